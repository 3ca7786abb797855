from phenorep import embedding, logs

with logs.to(snakemake.log[0]):
    embedding.make(
        snakemake.params.encoder,
        snakemake.input.tables,
        snakemake.input.statistics,
        snakemake.config.get("compute"),
        snakemake.threads,
        snakemake.output[0],
        snakemake.params.channels,
        sample_set=snakemake.params.sample_set,
    )
