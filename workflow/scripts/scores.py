from phenorep import logs, scores

with logs.to(snakemake.log[0]):
    scores.collect(snakemake.input.scores, snakemake.output[0], snakemake.input.details)
