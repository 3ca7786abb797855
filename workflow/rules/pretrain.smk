# Encoders are trained, or made ready. GPU hours are not spent again because a table was rewritten with the same content, so
# samples are `ancient`, and what does decide the weights is written to a file of its own, which is not. The block `compute` is
# not among it but for the number of threads of a CPU: jobs read it from the configuration, which Snakemake does not track,
# because another device is no reason.


localrules:
    recipe,


rule recipe:
    output:
        "results/{dataset}/encoders/{samples}/{method}/seed{seed}/recipe.json",
    log:
        "logs/{dataset}/encoders/{samples}/{method}/seed{seed}.recipe.log",
    benchmark:
        "results/benchmarks/{dataset}/encoders/{samples}/{method}/seed{seed}.recipe.tsv"
    wildcard_constraints:
        method=one_of(plan.trained()),
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    params:
        recipe=recipe_of,
    script:
        "../scripts/recipe.py"


rule pretrain:
    input:
        recipe="results/{dataset}/encoders/{samples}/{method}/seed{seed}/recipe.json",
        samples=ancient(training_files),
        init=ancient(init_of),
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
    threads: training_threads
    resources:
        mem_mb=memory(16000),
        runtime=2880,
        gpu=gpus,
    params:
        method=settings("methods", "method"),
        sources=training_sources,
        code=recipe_digest,
    script:
        "../scripts/pretrain.py"
