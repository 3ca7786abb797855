from phenorep import evaluations, logs, records

with logs.to(snakemake.log[0]), records.kept_in({snakemake.output.scores: "scores", snakemake.output.details: "table"}):
    evaluations.make(
        snakemake.params.evaluation,
        snakemake.input,
        snakemake.params.encoder,
        dict(snakemake.wildcards),
        snakemake.config.get("compute"),
        snakemake.output.scores,
        snakemake.output.details,
        snakemake.params.channels,
        snakemake.params.steps,
    )
