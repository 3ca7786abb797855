from phenorep import logs, report

with logs.to(snakemake.log[0]):
    report.make(
        snakemake.params.plan,
        snakemake.output.page,
        snakemake.output.figures,
        snakemake.output.config,
        snakemake.output.plates,
        snakemake.output.maps,
        snakemake.params.configfiles,
    )
