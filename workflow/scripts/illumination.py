from phenorep import logs
from phenorep.imaging import illumination

with logs.to(snakemake.log[0]):
    illumination.make(snakemake.input.fields, snakemake.params.preprocess, snakemake.threads, snakemake.output[0])
