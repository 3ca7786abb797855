from phenorep import datasets, logs

with logs.to(snakemake.log[0]):
    datasets.download(snakemake.params.dataset, snakemake.wildcards.archive, snakemake.output[0])
