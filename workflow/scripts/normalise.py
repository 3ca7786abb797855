from phenorep import logs, profiles, records

with logs.to(snakemake.log[0]), records.kept_in({snakemake.output.profiles: "table", snakemake.output.fitted: "arrays"}):
    profiles.make(snakemake.input.embeddings, snakemake.params.steps, snakemake.output.profiles, snakemake.output.fitted)
