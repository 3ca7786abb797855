from phenorep import logs
from phenorep.quality import annotating

with logs.to(snakemake.log[0]):
    annotating.make(
        snakemake.wildcards.name,
        snakemake.params.page["samples"],
        snakemake.input.tables,
        snakemake.input.statistics,
        snakemake.input.embeddings,
        snakemake.params.page["keys"],
        snakemake.input.annotations,
        snakemake.output[0],
    )
