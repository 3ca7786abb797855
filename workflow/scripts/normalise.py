from phenorep import logs, profiles, records

outputs = {snakemake.output.profiles: "table", snakemake.output.fitted: "arrays"}
with logs.to(snakemake.log[0]), records.kept_in(outputs):
    profiles.make(snakemake.input.embeddings, snakemake.params.steps, snakemake.output.profiles, snakemake.output.fitted)
