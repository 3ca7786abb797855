from phenorep import contracts, logs

with logs.to(snakemake.log[0]):
    contracts.write_json(snakemake.params.recipe, snakemake.output[0])
