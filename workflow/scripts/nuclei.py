from phenorep import logs, nuclei

with logs.to(snakemake.log[0]):
    nuclei.make(snakemake.input, snakemake.params.preprocess, snakemake.threads, snakemake.output)
