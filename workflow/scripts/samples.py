from phenorep import logs, store

with logs.to(snakemake.log[0]):
    store.make(
        snakemake.params.samples,
        snakemake.params.preprocess,
        snakemake.input,
        snakemake.output,
        snakemake.threads,
    )
