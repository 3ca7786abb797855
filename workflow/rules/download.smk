# The configuration is checked first of all; images are downloaded, unpacked or drawn; fields of view are listed.


rule check:
    output:
        "results/check.json",
    log:
        "logs/check.log",
    benchmark:
        "results/benchmarks/check.tsv"
    conda:
        "../../envs/learn.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        config=plan.blocks,
        code=code_of_check,
    script:
        "../scripts/check.py"


rule download:
    output:
        directory("resources/{dataset}/{archive}"),
    log:
        "logs/{dataset}/download/{archive}.log",
    benchmark:
        "results/benchmarks/{dataset}/download/{archive}.tsv"
    retries: 3
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=720,
    params:
        dataset=settings("datasets", "dataset"),
        code=code_digest("download", "datasets"),
    script:
        "../scripts/download.py"


rule fields:
    input:
        archives=archives_of,
        sources=sources_of,
    output:
        "results/{dataset}/fields/{plate}.parquet",
    log:
        "logs/{dataset}/fields/{plate}.log",
    benchmark:
        "results/benchmarks/{dataset}/fields/{plate}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        dataset=settings("datasets", "dataset"),
        resources="resources/{dataset}",
        on_bad_image=plan.preprocess.on_bad_image,
        code=code_digest("fields", "datasets"),
    script:
        "../scripts/fields.py"
