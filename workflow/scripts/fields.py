from phenorep import datasets, fields, logs

with logs.to(snakemake.log[0]):
    fields.make(
        *datasets.configured(snakemake.params.dataset, snakemake.wildcards.dataset),
        snakemake.wildcards.plate,
        snakemake.params.resources,
        snakemake.params.on_bad_image,
        snakemake.output[0],
    )
