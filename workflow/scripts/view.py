from phenorep import logs, store

with logs.to(snakemake.log[0]):
    store.make_view(snakemake.params.samples, snakemake.input, snakemake.output)
