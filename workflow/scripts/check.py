from phenorep import check, logs

with logs.to(snakemake.log[0]):
    check.make(snakemake.config, snakemake.output[0])
