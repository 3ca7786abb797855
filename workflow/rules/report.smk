# All scores, all answers and all costs of the run in one table each, and the page that people read.


rule scores:
    input:
        scores=report_files("scores"),
        details=report_files("details"),
    output:
        report("results/scores/{name}.csv", caption="../../reports/captions/scores.rst", category="Scores"),
    log:
        "logs/scores/{name}.log",
    benchmark:
        "results/benchmarks/scores/{name}.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(10),
    params:
        code=code_digest("scores"),
    script:
        "../scripts/scores.py"


rule answers:
    input:
        scores="results/scores/{name}.csv",
        details=report_files("details"),
    output:
        report("results/answers/{name}.csv", caption="../../reports/captions/answers.rst", category="Answers"),
    log:
        "logs/answers/{name}.log",
    benchmark:
        "results/benchmarks/answers/{name}.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(30),
    params:
        plan=report_plan,
        code=code_digest("answers"),
    script:
        "../scripts/answers.py"


rule costs:
    input:
        all_files,
    output:
        report("results/costs/{name}.csv", caption="../../reports/captions/costs.rst", category="Costs"),
    log:
        "logs/costs/{name}.log",
    benchmark:
        "results/benchmarks/costs/{name}.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(10),
    params:
        entries=cost_entries,
        code=code_digest("costs"),
    script:
        "../scripts/costs.py"


rule page:
    input:
        scores="results/scores/{name}.csv",
        answers="results/answers/{name}.csv",
        costs="results/costs/{name}.csv",
        details=report_files("details"),
        profiles=report_files("profiles"),
        training=report_files("training"),
        fields=report_files("fields"),
        quality=report_files("quality"),
        illumination=report_files("illumination"),
        engines=report_files("engines"),
        samples=report_files("samples"),
        abnormality=report_files("abnormality"),
    output:
        page=report("reports/{name}/index.html", caption="../../reports/captions/page.rst", category="Report"),
        figures=directory("reports/{name}/figures"),
        plates=directory("reports/{name}/plates"),
        maps=directory("reports/{name}/maps"),
        config="reports/{name}/config.yaml",
    log:
        "logs/report/{name}.log",
    benchmark:
        "results/benchmarks/report/{name}.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=minutes(60),
    params:
        plan=report_plan,
        # The commands on the page name it.
        configfiles=named_configfiles,
        templates=digests.of_folder(ROOT / "reports" / "templates"),
        published=digests.of_folder(ROOT / "phenorep" / "published"),
        code=code_digest("page"),
    script:
        "../scripts/page.py"
