from phenorep import fields, logs

with logs.to(snakemake.log[0]):
    fields.make(
        snakemake.params.dataset,
        snakemake.wildcards.dataset,
        snakemake.wildcards.plate,
        snakemake.params.on_bad_image,
        snakemake.output[0],
    )
