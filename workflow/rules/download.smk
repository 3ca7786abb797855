# The configuration is checked first of all; images are downloaded, unpacked or drawn; fields of view are listed.

# Made once, before the first download, and without parameters, so that it is never out of date: what runs again would hide from
# Snakemake, through `ancient` files, that jobs behind it are out of date by parameters of their own. Training checks the
# configuration by itself whenever it starts.


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
        mem_mb=memory(2000),
        runtime=minutes(10),
    script:
        "../scripts/check.py"


rule download:
    input:
        check=ancient("results/check.json"),
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
        mem_mb=memory(2000),
        runtime=720,
        download=connections,
    params:
        dataset=archive_settings,
        code=archive_digest,
    script:
        "../scripts/download.py"


rule fields:
    input:
        archives=archives_of,
        sources=sources_of,
        check=ancient("results/check.json"),
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
        mem_mb=memory(2000),
        runtime=minutes(60),
    params:
        dataset=settings("datasets", "dataset"),
        resources="resources/{dataset}",
        on_bad_image=plan.preprocess.on_bad_image,
        code=code_digest("fields", "datasets"),
    script:
        "../scripts/fields.py"
