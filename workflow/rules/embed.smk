# Encoders are applied to samples, or measurements joined to them; features that were computed elsewhere are taken over;
# embeddings of several methods are put side by side.


rule embed:
    input:
        encoder=encoder_of,
        tables=sample_tables,
        statistics=sample_statistics,
        arrays=sample_arrays,
    output:
        "results/{dataset}/embeddings/{samples}/{method}/seed{seed}/{epoch}.parquet",
    log:
        "logs/{dataset}/embeddings/{samples}/{method}/seed{seed}/{epoch}.log",
    benchmark:
        "results/benchmarks/{dataset}/embeddings/{samples}/{method}/seed{seed}/{epoch}.tsv"
    wildcard_constraints:
        method=one_of(plan.with_encoder()),
    conda:
        "../../envs/learn.yaml"
    threads: embedding_threads
    resources:
        mem_mb=memory(16000),
        runtime=minutes(720),
        gpu=gpus,
    params:
        encoder=encoder_file,
        channels=channels_of,
        sample_set="{dataset}/{samples}",
        code=code_digest("embed"),
    script:
        "../scripts/embed.py"


rule embed_measurements:
    input:
        tables=sample_tables,
        measurements=measurements_of,
    output:
        "results/{dataset}/embeddings/{samples}/{method}/seed{seed}/{epoch}.parquet",
    log:
        "logs/{dataset}/embeddings/{samples}/{method}/seed{seed}/{epoch}.log",
    benchmark:
        "results/benchmarks/{dataset}/embeddings/{samples}/{method}/seed{seed}/{epoch}.tsv"
    wildcard_constraints:
        method=one_of(plan.measured()),
        epoch="final",
    conda:
        "../../envs/learn.yaml"
    threads: 1
    resources:
        mem_mb=memory(16000),
        runtime=minutes(60),
    params:
        method=settings("methods", "method"),
        code=code_digest("embed_measurements", "methods"),
    script:
        "../scripts/embed_measurements.py"


rule import_features:
    input:
        sources=sources_of,
        check=ancient("results/check.json"),
    output:
        "results/{dataset}/embeddings/{samples}/{method}/seed{seed}/{epoch}.parquet",
    log:
        "logs/{dataset}/embeddings/{samples}/{method}/seed{seed}/{epoch}.log",
    benchmark:
        "results/benchmarks/{dataset}/embeddings/{samples}/{method}/seed{seed}/{epoch}.tsv"
    wildcard_constraints:
        dataset=one_of(plan.without_images()),
        samples="imported",
        method="imported",
        seed="0",
        epoch="final",
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=minutes(120),
    params:
        dataset=settings("datasets", "dataset"),
        code=code_digest("import_features", "datasets"),
    script:
        "../scripts/import_features.py"


rule concat:
    input:
        members_of,
    output:
        "results/{dataset}/embeddings/{samples}/{method}/seed{seed}/{epoch}.parquet",
    log:
        "logs/{dataset}/embeddings/{samples}/{method}/seed{seed}/{epoch}.log",
    benchmark:
        "results/benchmarks/{dataset}/embeddings/{samples}/{method}/seed{seed}/{epoch}.tsv"
    wildcard_constraints:
        method=one_of(plan.combined()),
    conda:
        "../../envs/learn.yaml"
    threads: 1
    resources:
        mem_mb=memory(16000),
        runtime=minutes(60),
    params:
        method=settings("methods", "method"),
        members=member_names,
        code=code_digest("concat", "methods"),
    script:
        "../scripts/concat.py"
