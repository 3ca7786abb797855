# Illumination functions, nuclei, and the samples that encoders see.


rule illumination:
    input:
        fields="results/{dataset}/fields/{plate}.parquet",
    output:
        "results/{dataset}/illumination/{plate}.npz",
    log:
        "logs/{dataset}/illumination/{plate}.log",
    benchmark:
        "results/benchmarks/{dataset}/illumination/{plate}.tsv"
    conda:
        "../../envs/preprocess.yaml"
    threads: 4
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        preprocess=preprocess_settings("illumination"),
        code=code_digest("illumination"),
    script:
        "../scripts/illumination.py"


rule nuclei:
    input:
        fields="results/{dataset}/fields/{plate}.parquet",
        illumination="results/{dataset}/illumination/{plate}.npz",
    output:
        nuclei="results/{dataset}/nuclei/{plate}.parquet",
        quality="results/{dataset}/field_quality/{plate}.parquet",
    log:
        "logs/{dataset}/nuclei/{plate}.log",
    benchmark:
        "results/benchmarks/{dataset}/nuclei/{plate}.tsv"
    conda:
        "../../envs/preprocess.yaml"
    threads: 4
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        preprocess=preprocess_settings("nuclei"),
        code=code_digest("nuclei"),
    script:
        "../scripts/nuclei.py"


rule samples:
    input:
        fields="results/{dataset}/fields/{plate}.parquet",
        illumination="results/{dataset}/illumination/{plate}.npz",
        nuclei="results/{dataset}/nuclei/{plate}.parquet",
        quality="results/{dataset}/field_quality/{plate}.parquet",
    output:
        array="results/{dataset}/samples/{samples}/{plate}.npy",
        table="results/{dataset}/samples/{samples}/{plate}.parquet",
        statistics="results/{dataset}/samples/{samples}/{plate}.json",
    log:
        "logs/{dataset}/samples/{samples}/{plate}.log",
    benchmark:
        "results/benchmarks/{dataset}/samples/{samples}/{plate}.tsv"
    wildcard_constraints:
        samples=one_of(plan.stored()),
    conda:
        "../../envs/preprocess.yaml"
    threads: 4
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        samples=settings("samples", "samples"),
        preprocess=preprocess_settings("samples"),
        code=code_digest("samples", "samples"),
    script:
        "../scripts/samples.py"


rule view:
    input:
        table=parent(".parquet"),
        statistics=parent(".json"),
        array=parent_array,
    output:
        table="results/{dataset}/samples/{samples}/{plate}.parquet",
        statistics="results/{dataset}/samples/{samples}/{plate}.json",
    log:
        "logs/{dataset}/samples/{samples}/{plate}.log",
    benchmark:
        "results/benchmarks/{dataset}/samples/{samples}/{plate}.tsv"
    wildcard_constraints:
        samples=one_of(plan.views()),
    conda:
        "../../envs/preprocess.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        samples=settings("samples", "samples"),
        code=code_digest("view", "samples"),
    script:
        "../scripts/view.py"
