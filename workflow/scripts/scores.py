from phenorep import logs, scores

with logs.to(snakemake.log[0]):
    scores.collect(snakemake.input, snakemake.output[0])
