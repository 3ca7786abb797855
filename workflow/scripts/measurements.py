from phenorep import logs, measurements

with logs.to(snakemake.log[0]):
    measurements.make(
        snakemake.input,
        snakemake.params.preprocess,
        snakemake.params.groups,
        snakemake.threads,
        snakemake.output[0],
    )
