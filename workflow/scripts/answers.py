from phenorep import logs
from phenorep.report import answers

with logs.to(snakemake.log[0]):
    answers.make(snakemake.params.plan, snakemake.output[0])
