from phenorep import logs, records
from phenorep.quality import abnormality

with logs.to(snakemake.log[0]), records.kept_in({snakemake.output[0]: "table"}):
    abnormality.make(snakemake.input, snakemake.params.abnormality, snakemake.output[0])
