from phenorep import logs, pretrain

with logs.to(snakemake.log[0]):
    pretrain.make(
        snakemake.params.method,
        snakemake.params.sources,
        snakemake.input.init,
        int(snakemake.wildcards.seed),
        snakemake.config.get("compute"),
        snakemake.threads,
        snakemake.output,
        snakemake.params.code,
    )
