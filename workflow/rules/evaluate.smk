# Each evaluation declares what it needs; what it does not need is no input of its job.


rule evaluate:
    input:
        profiles=if_needed(
            "profiles", "results/{dataset}/profiles/{samples}/{method}/seed{seed}/{epoch}/{profile}.parquet"
        ),
        embeddings=if_needed(
            ("embeddings", "chain"), "results/{dataset}/embeddings/{samples}/{method}/seed{seed}/{epoch}.parquet"
        ),
        encoder=if_needed("encoder", encoder_of),
        tables=if_needed("samples", sample_tables),
        statistics=if_needed("samples", sample_statistics),
        arrays=if_needed("samples", sample_arrays),
        benchmark=if_needed(
            "benchmark", "results/benchmarks/{dataset}/embeddings/{samples}/{method}/seed{seed}/{epoch}.tsv"
        ),
        annotations=if_labelled(annotations_of),
        train_embeddings=if_needed("embeddings", of_train("embeddings")),
        train_tables=if_needed("samples", of_train("tables")),
        train_statistics=if_needed("samples", of_train("statistics")),
        train_arrays=if_needed("samples", of_train("arrays")),
        train_annotations=if_labelled(of_train("annotations")),
    output:
        scores="results/{dataset}/scores/{samples}/{method}/seed{seed}/{epoch}/{profile}/{evaluation}.csv",
        details="results/{dataset}/scores/{samples}/{method}/seed{seed}/{epoch}/{profile}/{evaluation}.parquet",
    log:
        "logs/{dataset}/scores/{samples}/{method}/seed{seed}/{epoch}/{profile}/{evaluation}.log",
    benchmark:
        "results/benchmarks/{dataset}/scores/{samples}/{method}/seed{seed}/{epoch}/{profile}/{evaluation}.tsv"
    conda:
        "../../envs/learn.yaml"
    threads: threads_of_evaluation
    resources:
        mem_mb=memory(8000),
        runtime=minutes(120),
        gpu=gpus_of_evaluation,
    params:
        evaluation=settings("evaluations", "evaluation"),
        encoder=encoder_file,
        channels=channels_of,
        steps=steps_of_chain,
        code=code_digest("evaluate", "evaluations"),
    script:
        "../scripts/evaluate.py"
