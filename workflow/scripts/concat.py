from phenorep import embedding, logs, records

with logs.to(snakemake.log[0]), records.kept_in({snakemake.output[0]: "table"}):
    embedding.combine(snakemake.input, snakemake.params.members, snakemake.output[0], snakemake.params.method)
