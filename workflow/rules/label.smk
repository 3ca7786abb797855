# Labels of single images: the page on which they are given, and the probability that an image is abnormal.


rule gallery:
    input:
        tables=page_samples("tables"),
        statistics=page_samples("statistics"),
        arrays=page_samples("arrays"),
        embeddings=page_embeddings,
        annotations=page_annotations,
    output:
        report("reports/{name}/annotate.html", caption="../../reports/captions/annotate.rst", category="Report"),
    log:
        "logs/annotate/{name}.log",
    benchmark:
        "results/benchmarks/annotate/{name}.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=minutes(60),
    params:
        page=page_settings,
        templates=digests.of_folder(ROOT / "reports" / "templates"),
        code=code_digest("annotate"),
    script:
        "../scripts/annotate.py"


rule abnormality:
    input:
        embeddings="results/{dataset}/embeddings/{samples}/{method}/seed{seed}/final.parquet",
        annotations=annotations_of,
        train_embeddings=abnormality_train("embeddings"),
        train_annotations=abnormality_train("annotations"),
    output:
        "results/{dataset}/abnormality/{samples}/{method}/seed{seed}.parquet",
    log:
        "logs/{dataset}/abnormality/{samples}/{method}/seed{seed}.log",
    benchmark:
        "results/benchmarks/{dataset}/abnormality/{samples}/{method}/seed{seed}.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=minutes(240),
    params:
        abnormality=abnormality_settings,
        code=code_digest("abnormality"),
    script:
        "../scripts/abnormality.py"
