from phenorep import logs
from phenorep.imaging import cellprofiler

with logs.to(snakemake.log[0]):
    cellprofiler.collect_illumination(
        snakemake.input.staged, snakemake.input.found, snakemake.params.preprocess, snakemake.output[0]
    )
