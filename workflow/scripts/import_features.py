from phenorep import datasets, imported, logs

with logs.to(snakemake.log[0]):
    imported.make(
        *datasets.configured(snakemake.params.dataset, snakemake.wildcards.dataset),
        snakemake.output[0],
    )
