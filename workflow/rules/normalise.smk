# Embeddings become profiles: aggregation and correction, step by step.


rule normalise:
    input:
        embeddings="results/{dataset}/embeddings/{samples}/{method}/seed{seed}/{epoch}.parquet",
    output:
        profiles="results/{dataset}/profiles/{samples}/{method}/seed{seed}/{epoch}/{profile}.parquet",
        fitted="results/{dataset}/profiles/{samples}/{method}/seed{seed}/{epoch}/{profile}.npz",
    log:
        "logs/{dataset}/profiles/{samples}/{method}/seed{seed}/{epoch}/{profile}.log",
    benchmark:
        "results/benchmarks/{dataset}/profiles/{samples}/{method}/seed{seed}/{epoch}/{profile}.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=minutes(60),
    params:
        steps=steps_of,
        code=code_digest("normalise"),
    script:
        "../scripts/normalise.py"
