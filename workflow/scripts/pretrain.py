from phenorep import check, logs, pretrain

with logs.to(snakemake.log[0]), check.passed(snakemake.config):
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
