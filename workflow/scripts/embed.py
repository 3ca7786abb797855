from phenorep import embedding, logs, records

with logs.to(snakemake.log[0]), records.kept_in(snakemake.output):
    embedding.make(
        snakemake.params.encoder,
        snakemake.input.tables,
        snakemake.input.statistics,
        snakemake.config.get("compute"),
        snakemake.threads,
        snakemake.output[0],
    )
