from phenorep import engines, logs

with logs.to(snakemake.log[0]):
    engines.compare(snakemake.input, snakemake.params.preprocess, snakemake.threads, snakemake.output[0])
