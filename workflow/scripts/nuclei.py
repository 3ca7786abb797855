from phenorep import logs, nuclei

with logs.to(snakemake.log[0]):
    nuclei.make(
        snakemake.input.fields,
        snakemake.input.illumination,
        snakemake.params.preprocess,
        snakemake.threads,
        snakemake.output.nuclei,
        snakemake.output.quality,
    )
