from phenorep import costs, logs

with logs.to(snakemake.log[0]):
    costs.collect(snakemake.params.entries, snakemake.output[0])
