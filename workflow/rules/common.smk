# Shared by all stages: the plan of the run, what wildcards may be, and functions from wildcards to files.
import re
from pathlib import Path

from snakemake.io import strip_wildcard_constraints

import phenorep
from phenorep import check, configfiles, digests, inventory, jobs, labelling, machine, plugins, preprocessing
from phenorep.errors import UserError
from phenorep.planning import Encoded, Plan


report: "../../reports/captions/workflow.rst"


# Inside another workflow, `workflow.basedir` would be that one's.
ROOT = Path(phenorep.__file__).parent.parent

try:
    # Snakemake has read them, and of two keys of one name has taken the last.
    for path in workflow.configfiles:
        configfiles.check(path)
    plan = Plan(config)
    check.light(plan.blocks)
except UserError as error:
    raise WorkflowError(f"configuration: {error}") from None


def one_of(names):
    """A pattern that fits these names and nothing else."""
    return "|".join(map(re.escape, names)) or "(?!)"


wildcard_constraints:
    name=re.escape(plan.name),
    dataset=one_of(plan.blocks["datasets"]),
    samples=one_of(plan.blocks["samples"]),
    method=one_of(plan.blocks["methods"]),
    profile=one_of(["none", *plan.blocks["profiles"]]),
    evaluation=one_of(plan.blocks["evaluations"]),
    plate="[^/]+",
    archive="[^/]+",
    seed=r"\d+",
    epoch=r"final|\d+",


# -- blocks of the configuration, as jobs get them ---------------------------------------------------------------------


def settings(kind, wildcard):
    """A function from wildcards to the block that the wildcard names."""
    return lambda wildcards: plan.settings(kind, wildcards[wildcard])


def download_keys(wildcards):
    """Keys on which the content of a dataset's archives depends; None if they are drawn: then it is all of them."""
    return plugins.constants("datasets", plan.settings("datasets", wildcards.dataset)["use"]).get("DOWNLOAD_KEYS")


def connections(wildcards):
    """What a job takes of the resource `download`, which limits how many archives are fetched at a time."""
    return 0 if download_keys(wildcards) is None else 1


def archive_settings(wildcards):
    """A dataset's block with the keys that its archives depend on: 800 MB are not fetched again for another limit."""
    block, keys = plan.settings("datasets", wildcards.dataset), download_keys(wildcards)
    return block if keys is None else {**block, "keys": {k: v for k, v in block["keys"].items() if k in keys}}


def archive_digest(wildcards):
    """Code that decides what an archive holds: none where it is published, whose checksum is compared instead."""
    return code_digest("download", "datasets")(wildcards) if download_keys(wildcards) is None else "published"


def preprocess_settings(stage):
    """The settings that a stage of preprocessing depends on, and no others."""
    return preprocessing.stage(plan.preprocess, stage)


def preprocessed_by(engine):
    """A pattern of the datasets whose images this engine works on."""
    return one_of(plan.blocks["datasets"] if plan.preprocess.engine == engine else [])


def own_pipeline(wildcards):
    """The user's own CellProfiler pipeline, if there is one."""
    return plan.preprocess.pipeline or []


def cellprofiler_processes(wildcards):
    """The mean images of a plate are one chunk, its fields are many."""
    return 1 if wildcards.stage == "illumination" else 4


def steps_of(wildcards):
    """Steps of a profile."""
    return plan.blocks["profiles"][wildcards.profile]


def steps_of_chain(wildcards):
    """Steps of a profile that an evaluation makes anew with other controls; none for another evaluation."""
    return steps_of(wildcards) if needs(wildcards, "chain") else []


def recipe_of(wildcards):
    """All that decides the weights of an encoder."""
    return {
        "method": plan.settings("methods", wildcards.method),
        "sources": plan.training_sources(encoded(wildcards)),
        "threads": plan.blocks["compute"]["threads"],  # whatever the device, which is not known before a job runs
        "made_of": plan.training_settings(encoded(wildcards)),
        "code": plan.recipe_digest(wildcards.method),
    }


def member_names(wildcards):
    """Methods whose embeddings are put side by side."""
    return plan.members(wildcards.method)


def encoded(wildcards):
    """The table of embeddings that these wildcards name."""
    epoch = wildcards.get("epoch", "final")
    return Encoded(wildcards.dataset, wildcards.samples, wildcards.method, int(wildcards.seed), epoch)


def cpu_threads():
    """What torch computes with on a CPU. Snakemake gives fewer where it has fewer cores; torch takes as many all the same."""
    threads = plan.blocks["compute"]["threads"]
    return threads if isinstance(threads, int) and threads > 0 else 1  # the job `check` says what is wrong with others


def embedding_threads(wildcards):
    """With a GPU, threads read samples."""
    return 8 if gpus(wildcards) else cpu_threads()


def training_threads(wildcards):
    """Recipes without epochs learn nothing, and take no GPU."""
    return embedding_threads(wildcards) if wildcards.method in plan.learning() else cpu_threads()


def threads_of_evaluation(wildcards):
    """An evaluation computes with torch only where it computes with an encoder."""
    return cpu_threads() if needs(wildcards, "encoder") else 1


def memory(megabytes):
    """A function from wildcards to memory: a job that a cluster killed, perhaps for want of it, gets more the next time."""
    return lambda wildcards, attempt: megabytes * attempt


def minutes(first):
    """The same of run time. Jobs that go on where they were killed need no more: they state a number."""
    return lambda wildcards, attempt: first * attempt


def gpus(wildcards):
    """How many GPUs a job that computes with torch asks for. On a machine that has none, `auto` must not wait for one."""
    compute = plan.blocks["compute"]
    on_cpu = compute["device"] == "auto" and workflow.local_exec and not machine.has_gpu()
    return 0 if on_cpu or compute["device"] == "cpu" else int(compute["devices"])


def gpus_of_evaluation(wildcards):
    """An evaluation asks for a GPU only where it computes with an encoder."""
    return gpus(wildcards) if needs(wildcards, "encoder") else 0


# -- digests of code ---------------------------------------------------------------------------------------------------


# The program that runs in CellProfiler's environment; its pipelines, which are no Python.
RUNNER = ROOT / "phenorep" / "imaging" / "cellprofiler_run.py"
PIPELINES = digests.of_folder(ROOT / "workflow" / "cellprofiler")


def code_digest(script, *kinds):
    """A function from wildcards to the digest of a script and of the plug-ins that the job's configuration names."""
    file = ROOT / "workflow" / "scripts" / f"{script}.py"
    wildcard = {"datasets": "dataset", "samples": "samples", "methods": "method", "evaluations": "evaluation"}

    def digest(wildcards):
        files = [path for kind in kinds for path in plan.plugin_files(kind, [wildcards[wildcard[kind]]])]
        if script == "normalise" or (script == "evaluate" and needs(wildcards, "chain")):
            files += plan.step_files(wildcards.profile)
        if script == "embed" or (script == "evaluate" and needs(wildcards, "encoder")):
            # An encoder is built by the recipe that made it, wherever that was.
            files += plan.plugin_files("methods", [plan.maker(wildcards.method)])
        files += plan.figure_files() if script == "page" else []
        return digests.of([file, *files])

    return digest


def recipe_digest(wildcards):
    """Digest of what decides the weights of an encoder."""
    return plan.recipe_digest(wildcards.method)


# -- files -------------------------------------------------------------------------------------------------------------


def archives_of(wildcards):
    return plan.archives(wildcards.dataset, wildcards.plate)


def sources_of(wildcards):
    return plan.sources(wildcards.dataset)


def parent(suffix):
    """A function from wildcards to a plate's file of the sample set that a view looks at."""
    folder = "results/{dataset}/samples/{parent}/{plate}"
    return (
        lambda wildcards: folder.format(parent=plan.settings("samples", wildcards.samples)["of"], **wildcards) + suffix
    )


def parent_array(wildcards):
    return plan.array(wildcards.dataset, wildcards.samples, wildcards.plate)


def sample_tables(wildcards):
    return plan.sample_files(wildcards.dataset, wildcards.samples)["tables"]


def sample_statistics(wildcards):
    return plan.sample_files(wildcards.dataset, wildcards.samples)["statistics"]


def sample_arrays(wildcards):
    return plan.sample_files(wildcards.dataset, wildcards.samples)["arrays"]


def training_sources(wildcards):
    """What an encoder learns from, with the files of each sample set."""
    return [
        {**source, **plan.sample_files(*source["samples"].split("/"))}
        for source in plan.training_sources(encoded(wildcards))
    ]


def training_files(wildcards):
    kinds = ("tables", "statistics", "arrays")
    return [path for source in training_sources(wildcards) for kind in kinds for path in source[kind]]


def init_of(wildcards):
    return plan.init(wildcards.method, int(wildcards.seed)) or []


def encoder_of(wildcards):
    """The encoder that is applied; of a saved epoch, the declared directory that holds it."""
    return plan.encoder(wildcards.dataset, wildcards.samples, wildcards.method, int(wildcards.seed), wildcards.epoch)


def encoder_file(wildcards):
    path = encoder_of(wildcards)
    return path if path is None or wildcards.epoch == "final" else f"{path}/{wildcards.epoch}.safetensors"


def channels_of(wildcards):
    """The sample set's channels that take the places of a borrowed encoder's; None where their names are the same."""
    block = plan.settings("methods", wildcards.method)
    return block["keys"].get("channels") if "from" in block else None


def members_of(wildcards):
    """Embeddings that are put side by side."""
    return [part.path("embeddings", f"{part.epoch}.parquet") for part in plan.parts(encoded(wildcards))]


def measurements_of(wildcards):
    """Measurements of the nuclei that a sample set shows; none if it shows something else."""
    return plan.measurements(wildcards.dataset, wildcards.samples)


def measured_groups(wildcards):
    """Groups of measurements that methods take."""
    return plan.measured_groups()


def needs(wildcards, what):
    """Whether an evaluation reads files of this sort, or of one of several."""
    return bool(plan.needs(wildcards.evaluation) & ({what} if isinstance(what, str) else set(what)))


def if_needed(what, files):
    """Files that are an evaluation's input only if it declares that it needs `what`; they are a path or a function."""

    def found(wildcards):
        if not needs(wildcards, what):
            return []
        return files(wildcards) if callable(files) else files.format(**wildcards)

    return found


# -- labels of single images -----------------------------------------------------------------------------------------


def annotations_of(wildcards):
    """Labels that somebody gave the samples of this set."""
    return labelling.annotations(plan, wildcards.dataset, wildcards.samples) or []


def if_labelled(files):
    """Labels are an input only of an evaluation that reads them: one more marked image changes no other score."""
    return lambda wildcards: files(wildcards) if labelling.reads_labels(plan, wildcards.evaluation) else []


def of_train(kind):
    """A function from wildcards to files of the sample set from which an evaluation learns; none if it is the same."""

    def found(wildcards):
        train = plan.settings("evaluations", wildcards.evaluation).get("train")
        return _of_other(labelling.trained(plan, encoded(wildcards), train), kind) if train else []

    return found


def abnormality_train(kind):
    """The same of the classifier of abnormal images."""
    return lambda wildcards: _of_other(labelling.trained(plan, encoded(wildcards)), kind)


def _of_other(other, kind):
    if other is None:
        return []
    if kind == "annotations":
        return labelling.annotations(plan, other.dataset, other.samples) or []
    if kind == "embeddings":
        return other.path("embeddings", f"{other.epoch}.parquet")
    return plan.sample_files(other.dataset, other.samples)[kind]


def abnormality_of_view(wildcards):
    """The abnormality by which a view leaves samples out."""
    return labelling.of_view(plan, wildcards.dataset, wildcards.samples) or []


def abnormality_settings(wildcards):
    """How the probability of being abnormal is computed, without what names its files."""
    block = plan.blocks["abnormality"] or {}
    return {key: value for key, value in block.items() if key not in ("samples", "seed")}


def page_samples(kind):
    """A function from wildcards to files of the sample set that is annotated."""
    return lambda wildcards: plan.sample_files(*labelling.annotated(plan))[kind]


def page_embeddings(wildcards):
    """Embeddings by which the page chooses its samples."""
    return labelling.page_embeddings(plan) or []


def page_annotations(wildcards):
    """Labels that the page shows from its start."""
    return labelling.annotations(plan, *labelling.annotated(plan)) or []


def page_settings(wildcards):
    """What the page is of, and its keys."""
    block = plan.blocks["annotate"]
    dataset, samples = labelling.annotated(plan)
    return {"samples": f"{dataset}/{samples}", "keys": {**block["keys"], "seed": block["seed"]}}


# -- what the report reads ---------------------------------------------------------------------------------------------


def report_files(kind):
    """A function from wildcards to all files of a kind that the run leaves."""
    return lambda wildcards: [entry["path"] for entry in inventory.files(plan)[kind]]


def all_files(wildcards):
    """What the jobs leave whose costs are told. Their benchmarks are no input: for want of one a job would run again."""
    return sorted({entry["path"] for entries in inventory.files(plan).values() for entry in entries})


def cost_entries(wildcards):
    """Benchmarks of the run's jobs, by the paths that the rules themselves state."""
    stated = {rule.name: strip_wildcard_constraints(rule.benchmark) for rule in workflow.rules if rule.benchmark}
    return jobs.costs(plan, stated)


def report_plan(wildcards):
    """What the report needs to know of the run."""
    return inventory.summary(plan)


def named_configfiles(wildcards):
    """Configuration files of the command line. Of text that no function gives, Snakemake takes braces for wildcards."""
    return [str(path) for path in workflow.overwrite_configfiles]
