from phenorep import logs
from phenorep.imaging import cellprofiler

with logs.to(snakemake.log[0]):
    cellprofiler.stage_illumination(
        snakemake.input.fields, snakemake.params.preprocess, snakemake.threads, snakemake.output[0]
    )
