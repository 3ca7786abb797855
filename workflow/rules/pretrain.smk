# Encoders are trained, or made ready. Samples and the check are `ancient`: GPU hours are not spent again because a table was
# rewritten with the same content. What does count stands in the parameters. The block `compute` does not: jobs read it from
# the configuration, which Snakemake does not track, because another device is no reason to train again.


rule pretrain:
    input:
        samples=ancient(training_files),
        init=ancient(init_of),
        check=ancient("results/check.json"),
    output:
        encoder="results/{dataset}/encoders/{samples}/{method}/seed{seed}/encoder.safetensors",
        training="results/{dataset}/encoders/{samples}/{method}/seed{seed}/training.csv",
        epochs=directory("results/{dataset}/encoders/{samples}/{method}/seed{seed}/epochs"),
    log:
        "logs/{dataset}/encoders/{samples}/{method}/seed{seed}.log",
    benchmark:
        "results/benchmarks/{dataset}/encoders/{samples}/{method}/seed{seed}.tsv"
    wildcard_constraints:
        method=one_of(plan.trained()),
    conda:
        "../../envs/learn.yaml"
    threads: 8
    resources:
        mem_mb=16000,
        runtime=2880,
        gpu=gpus,
    params:
        method=settings("methods", "method"),
        sources=training_sources,
        made_of=training_settings,
        code=recipe_digest,
    script:
        "../scripts/pretrain.py"
