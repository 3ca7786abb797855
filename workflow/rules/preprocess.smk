# Illumination functions, nuclei, and the samples that encoders see. The rules of both engines leave the same files:
# `illumination` and `nuclei` work in process; where CellProfiler is the engine, `stage_*` lay out its tables and images,
# `cellprofiler` runs it in an environment of its own, and `collect_*` take its results.


rule illumination:
    input:
        fields="results/{dataset}/fields/{plate}.parquet",
    output:
        "results/{dataset}/illumination/{plate}.npz",
    log:
        "logs/{dataset}/illumination/{plate}.log",
    benchmark:
        "results/benchmarks/{dataset}/illumination/{plate}.tsv"
    wildcard_constraints:
        dataset=preprocessed_by("native"),
    conda:
        "../../envs/preprocess.yaml"
    threads: 4
    resources:
        mem_mb=memory(4000),
        runtime=minutes(240),
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
        masks="results/{dataset}/masks/{plate}.npz",
        quality="results/{dataset}/field_quality/{plate}.parquet",
    log:
        "logs/{dataset}/nuclei/{plate}.log",
    benchmark:
        "results/benchmarks/{dataset}/nuclei/{plate}.tsv"
    wildcard_constraints:
        dataset=preprocessed_by("native"),
    conda:
        "../../envs/preprocess.yaml"
    threads: 4
    resources:
        mem_mb=memory(4000),
        runtime=minutes(240),
    params:
        preprocess=preprocess_settings("nuclei"),
        code=code_digest("nuclei"),
    script:
        "../scripts/nuclei.py"


rule stage_illumination:
    input:
        fields="results/{dataset}/fields/{plate}.parquet",
    output:
        temp(directory("results/{dataset}/cellprofiler/illumination/{plate}/staged")),
    log:
        "logs/{dataset}/stage_illumination/{plate}.log",
    benchmark:
        "results/benchmarks/{dataset}/stage_illumination/{plate}.tsv"
    conda:
        "../../envs/preprocess.yaml"
    threads: 4
    resources:
        mem_mb=memory(4000),
        runtime=minutes(240),
    params:
        preprocess=preprocess_settings("illumination"),
        templates=PIPELINES,
        code=code_digest("stage_illumination"),
    script:
        "../scripts/stage_illumination.py"


rule stage_nuclei:
    input:
        fields="results/{dataset}/fields/{plate}.parquet",
        illumination="results/{dataset}/illumination/{plate}.npz",
        pipeline=own_pipeline,
    output:
        temp(directory("results/{dataset}/cellprofiler/nuclei/{plate}/staged")),
    log:
        "logs/{dataset}/stage_nuclei/{plate}.log",
    benchmark:
        "results/benchmarks/{dataset}/stage_nuclei/{plate}.tsv"
    conda:
        "../../envs/preprocess.yaml"
    threads: 4
    resources:
        mem_mb=memory(4000),
        runtime=minutes(240),
    params:
        preprocess=preprocess_settings("nuclei"),
        templates=PIPELINES,
        code=code_digest("stage_nuclei"),
    script:
        "../scripts/stage_nuclei.py"


rule stage_check:
    input:
        fields="results/{dataset}/fields/{plate}.parquet",
        illumination="results/{dataset}/illumination/{plate}.npz",
        pipeline=own_pipeline,
    output:
        temp(directory("results/{dataset}/cellprofiler/check/{plate}/staged")),
    log:
        "logs/{dataset}/stage_check/{plate}.log",
    benchmark:
        "results/benchmarks/{dataset}/stage_check/{plate}.tsv"
    conda:
        "../../envs/preprocess.yaml"
    threads: 4
    resources:
        mem_mb=memory(4000),
        runtime=minutes(60),
    params:
        preprocess=preprocess_settings("check"),
        templates=PIPELINES,
        code=code_digest("stage_check"),
    script:
        "../scripts/stage_check.py"


rule cellprofiler:
    input:
        "results/{dataset}/cellprofiler/{stage}/{plate}/staged",
    output:
        temp(directory("results/{dataset}/cellprofiler/{stage}/{plate}/found")),
    log:
        "logs/{dataset}/cellprofiler/{stage}/{plate}.log",
    benchmark:
        "results/benchmarks/{dataset}/cellprofiler/{stage}/{plate}.tsv"
    wildcard_constraints:
        stage="illumination|nuclei|check",
    conda:
        "../../envs/cellprofiler.yaml"
    threads: cellprofiler_processes
    resources:
        # Each process takes about 700 MB, and as much again with large fields.
        mem_mb=memory(6000),
        runtime=1440,
    params:
        program=plan.preprocess.cellprofiler,
        runner=RUNNER,
        code=digests.of([RUNNER]),
    shell:
        "python3 {params.runner:q} {input:q} {output:q} --executable {params.program:q} --processes {threads} > {log:q} 2>&1"


rule collect_illumination:
    input:
        staged="results/{dataset}/cellprofiler/illumination/{plate}/staged",
        found="results/{dataset}/cellprofiler/illumination/{plate}/found",
    output:
        "results/{dataset}/illumination/{plate}.npz",
    log:
        "logs/{dataset}/illumination/{plate}.log",
    benchmark:
        "results/benchmarks/{dataset}/illumination/{plate}.tsv"
    wildcard_constraints:
        dataset=preprocessed_by("cellprofiler"),
    conda:
        "../../envs/preprocess.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(60),
    params:
        preprocess=preprocess_settings("illumination"),
        code=code_digest("collect_illumination"),
    script:
        "../scripts/collect_illumination.py"


rule collect_nuclei:
    input:
        fields="results/{dataset}/fields/{plate}.parquet",
        illumination="results/{dataset}/illumination/{plate}.npz",
        staged="results/{dataset}/cellprofiler/nuclei/{plate}/staged",
        found="results/{dataset}/cellprofiler/nuclei/{plate}/found",
    output:
        nuclei="results/{dataset}/nuclei/{plate}.parquet",
        masks="results/{dataset}/masks/{plate}.npz",
        quality="results/{dataset}/field_quality/{plate}.parquet",
    log:
        "logs/{dataset}/nuclei/{plate}.log",
    benchmark:
        "results/benchmarks/{dataset}/nuclei/{plate}.tsv"
    wildcard_constraints:
        dataset=preprocessed_by("cellprofiler"),
    conda:
        "../../envs/preprocess.yaml"
    threads: 4
    resources:
        mem_mb=memory(4000),
        runtime=minutes(240),
    params:
        preprocess=preprocess_settings("nuclei"),
        code=code_digest("nuclei"),
    script:
        "../scripts/nuclei.py"


rule compare_engines:
    input:
        fields="results/{dataset}/fields/{plate}.parquet",
        illumination="results/{dataset}/illumination/{plate}.npz",
        staged="results/{dataset}/cellprofiler/check/{plate}/staged",
        found="results/{dataset}/cellprofiler/check/{plate}/found",
    output:
        "results/{dataset}/engines/{plate}.parquet",
    log:
        "logs/{dataset}/engines/{plate}.log",
    benchmark:
        "results/benchmarks/{dataset}/engines/{plate}.tsv"
    conda:
        "../../envs/preprocess.yaml"
    threads: 4
    resources:
        mem_mb=memory(4000),
        runtime=minutes(60),
    params:
        preprocess=preprocess_settings("check"),
        code=code_digest("compare_engines"),
    script:
        "../scripts/compare_engines.py"


rule samples:
    input:
        fields="results/{dataset}/fields/{plate}.parquet",
        illumination="results/{dataset}/illumination/{plate}.npz",
        nuclei="results/{dataset}/nuclei/{plate}.parquet",
        masks="results/{dataset}/masks/{plate}.npz",
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
        mem_mb=memory(4000),
        runtime=minutes(240),
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
        abnormality=abnormality_of_view,
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
        mem_mb=memory(4000),
        runtime=minutes(60),
    params:
        samples=settings("samples", "samples"),
        code=code_digest("view", "samples"),
    script:
        "../scripts/view.py"


rule measurements:
    input:
        fields="results/{dataset}/fields/{plate}.parquet",
        illumination="results/{dataset}/illumination/{plate}.npz",
        nuclei="results/{dataset}/nuclei/{plate}.parquet",
        masks="results/{dataset}/masks/{plate}.npz",
    output:
        "results/{dataset}/measurements/{plate}.parquet",
    log:
        "logs/{dataset}/measurements/{plate}.log",
    benchmark:
        "results/benchmarks/{dataset}/measurements/{plate}.tsv"
    conda:
        "../../envs/preprocess.yaml"
    threads: 4
    resources:
        mem_mb=memory(4000),
        runtime=minutes(720),
    params:
        preprocess=preprocess_settings("samples"),
        groups=measured_groups,
        code=code_digest("measurements"),
    script:
        "../scripts/measurements.py"
