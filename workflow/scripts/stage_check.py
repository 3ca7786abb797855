from phenorep import engines, logs

with logs.to(snakemake.log[0]):
    engines.stage(
        snakemake.input.fields,
        snakemake.input.illumination,
        snakemake.params.preprocess,
        snakemake.threads,
        snakemake.output[0],
    )
