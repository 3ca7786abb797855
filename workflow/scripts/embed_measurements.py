from phenorep import logs, measured_features

with logs.to(snakemake.log[0]):
    measured_features.make(
        snakemake.input.tables,
        snakemake.input.measurements,
        snakemake.params.method,
        snakemake.output[0],
    )
