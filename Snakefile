# phenorep: from plate images to a report, one rule file per stage.
from snakemake.utils import min_version

min_version("9.0")

# A study's configuration stands alone; the demonstration is what runs when none is given.
if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/download.smk"
include: "workflow/rules/preprocess.smk"
include: "workflow/rules/pretrain.smk"
include: "workflow/rules/embed.smk"
include: "workflow/rules/normalise.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/label.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        f"reports/{plan.name}/index.html",
        f"results/scores/{plan.name}.csv",
        f"results/answers/{plan.name}.csv",
        f"results/costs/{plan.name}.csv",


rule annotate:
    input:
        f"reports/{plan.name}/annotate.html",
