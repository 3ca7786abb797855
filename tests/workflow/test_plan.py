"""What is planned: one small graph for each shape that a study can have, and the number of its jobs per rule."""

import subprocess
import sys
from collections import Counter

import pytest

from phenorep import estimate, jobs, machine
from phenorep.planning import Plan
from tests.workflow.conftest import ROOT, busy_screen

# Of every run: the check, and per plate (the tiny screen has two) drawing, listing, illumination, nuclei, samples.
BASE = {"check": 1, "scores": 1, "answers": 1, "costs": 1, "page": 1}
BASE |= dict.fromkeys(["download", "fields", "illumination", "nuclei", "samples"], 2)


def study(config: dict) -> dict:
    return config["studies"]["tiny"]


def test_one_method(workflow, screen):
    assert workflow.jobs(screen) == BASE | {"pretrain": 1, "embed": 1, "normalise": 1, "evaluate": 1}


def test_demonstration_and_studies_plan(workflow):
    for name in ["config.yaml", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "studies").glob("*.yaml"))]:
        result = workflow.snakemake("--dry-run", "--configfile", str(ROOT / name))
        assert result.returncode == 0, name + result.stdout + result.stderr


def test_jobs_ask_for_a_gpu_where_one_will_be_used(workflow, screen):
    asked = {}
    for device in ("auto", "cpu", "cuda"):
        result = workflow.snakemake("--dry-run", config=screen | {"compute": {"device": device}})
        assert result.returncode == 0, result.stdout + result.stderr
        asked[device] = (result.stdout + result.stderr).count("gpu=1")
    assert asked == {"cpu": 0, "cuda": 2, "auto": 2 if machine.has_gpu() else 0}


def test_cellprofiler_and_the_comparison_of_both_engines(workflow, screen):
    screen["preprocess"] = {"engine": "cellprofiler"}
    own = dict.fromkeys(("stage_illumination", "collect_illumination", "stage_nuclei", "collect_nuclei"), 2)
    scored = {"pretrain": 1, "embed": 1, "normalise": 1, "evaluate": 1}
    base = {name: count for name, count in BASE.items() if name not in ("illumination", "nuclei")}
    assert workflow.jobs(screen) == base | own | scored | {"cellprofiler": 4}
    screen["preprocess"]["check"] = 5
    compared = {"stage_check": 2, "compare_engines": 2}
    assert workflow.jobs(screen) == base | own | scored | compared | {"cellprofiler": 6}
    screen["preprocess"]["engine"] = "native"
    assert workflow.jobs(screen) == BASE | scored | compared | {"cellprofiler": 2}


@pytest.mark.parametrize("engine", ["native", "cellprofiler"])
def test_listed_and_estimated_are_the_jobs_that_snakemake_plans(workflow, engine):
    config = busy_screen() | {"preprocess": {"engine": engine, "check": 5}}
    planned = workflow.jobs(config)
    planned["recipe"] = planned["pretrain"]
    plan = Plan(config)
    assert Counter(job.rule for job in jobs.of(plan)) == planned
    assert estimate.of(plan).jobs == planned


def test_keys_of_a_second_configuration_are_checked_when_it_is_read(workflow, screen):
    (workflow.folder / "results").mkdir()
    (workflow.folder / "results" / "check.json").write_text("{}")
    screen["evaluations"]["moa_matching"]["by"] = "Metadata_Batch"
    screen["evaluations"]["linear_probe"] = {"folds": "many"}
    screen["samples"]["cells"]["size"] = "large"
    screen["profiles"]["raw"].insert(0, {"tvn": {"fit": 3}})
    said = workflow.refusal(screen)
    for place in ("evaluations: linear_probe: folds", "samples: cells: size", "profiles: raw: tvn: fit"):
        assert place in said, said


def test_seeds_and_methods_that_do_not_depend_on_them(workflow, screen):
    screen["methods"] |= {"pixel_statistics": {}}
    study(screen).update(methods=["random", "pixel_statistics"], seeds=[0, 1, 2])
    assert workflow.jobs(screen) == BASE | {"pretrain": 4, "embed": 4, "normalise": 4, "evaluate": 4}


def test_encoder_of_another_dataset(workflow, screen):
    screen["datasets"]["other"] = {"use": "simulated", "batches": 2, "plates_per_batch": 2}
    screen["methods"] |= {"simclr": {"backbone": "resnet10t"}, "borrowed": {"from": "other/cells/simclr"}}
    study(screen)["methods"] = ["borrowed"]
    plates = dict.fromkeys(("download", "fields", "illumination", "nuclei", "samples"), 2 + 4)
    assert workflow.jobs(screen) == BASE | plates | {"pretrain": 1, "embed": 1, "normalise": 1, "evaluate": 1}


def test_encoder_started_from_another(workflow, screen):
    screen["methods"] |= {"simclr": {"backbone": "resnet10t"}}
    screen["methods"] |= {"tuned": {"use": "simclr", "backbone": "resnet10t", "init": "screen/cells/simclr"}}
    study(screen)["methods"] = ["tuned"]
    assert workflow.jobs(screen) == BASE | {"pretrain": 2, "embed": 1, "normalise": 1, "evaluate": 1}


def test_training_on_two_sample_sets_with_labels_and_without(workflow, screen):
    screen["samples"]["large"] = {"use": "nuclei", "size": 48}
    sources = [
        {"samples": "screen/cells", "where": "Metadata_Control == ''", "labels": "Metadata_Compound"},
        {"samples": "screen/large"},
    ]
    screen["methods"] |= {"simclr": {"backbone": "resnet10t", "train": sources}}
    study(screen)["methods"] = ["simclr"]
    assert workflow.jobs(screen) == BASE | {"samples": 4, "pretrain": 1, "embed": 1, "normalise": 1, "evaluate": 1}


def test_encoders_side_by_side(workflow, screen):
    screen["methods"] |= {"pixel_statistics": {}, "both": {"use": "concat", "members": ["random", "pixel_statistics"]}}
    study(screen)["methods"] = ["both"]
    assert workflow.jobs(screen) == BASE | {"pretrain": 2, "embed": 2, "concat": 1, "normalise": 1, "evaluate": 1}


def test_measurements_as_features(workflow, screen):
    screen["methods"] |= {"classical": {"use": "cellprofiler_features"}}
    study(screen).update(methods=["classical"], seeds=[0, 1])
    assert workflow.jobs(screen) == BASE | {"measurements": 2, "embed_measurements": 1, "normalise": 1, "evaluate": 1}
    # Fields have no nucleus each: the job that says so needs none of the measurements.
    screen["samples"]["fields"] = {"use": "fields", "size": [64, 64]}
    study(screen)["samples"] = "fields"
    assert workflow.jobs(screen) == BASE | {"embed_measurements": 1, "normalise": 1, "evaluate": 1}


def test_view_of_a_sample_set(workflow, screen):
    screen["samples"]["fields"] = {"use": "fields", "size": [64, 64]}
    screen["samples"]["quads"] = {"use": "tiles", "of": "fields", "size": 32}
    screen["samples"]["sharp"] = {"of": "quads", "where": "Label_Quality == 'normal'"}
    study(screen)["samples"] = "sharp"
    assert workflow.jobs(screen) == BASE | {"view": 4, "pretrain": 1, "embed": 1, "normalise": 1, "evaluate": 1}


def test_saved_epochs_are_scored(workflow, screen):
    screen["methods"]["simclr"] = {"backbone": "resnet10t", "epochs": 4, "save_epochs": {"every": 2}}
    study(screen)["methods"] = ["simclr"]
    assert workflow.jobs(screen) == BASE | {"pretrain": 1, "embed": 3, "normalise": 3, "evaluate": 3}


def test_saved_epochs_of_encoders_side_by_side(workflow, screen):
    learned = {"use": "simclr", "backbone": "resnet10t", "epochs": 4, "save_epochs": [1, 2]}
    screen["methods"] |= {"one": learned, "two": learned | {"save_epochs": {"every": 1, "from": 2, "to": 3}}}
    screen["methods"]["inner"] = {"use": "concat", "members": ["two", "random"]}
    screen["methods"]["all"] = {"use": "concat", "members": ["one", "inner"]}
    study(screen).update(methods=["all"])
    # Epoch 2 and the end: of `one`, `two`, `inner` and `all`; `random` stands beside both.
    assert workflow.jobs(screen) == BASE | {"pretrain": 3, "embed": 5, "concat": 4, "normalise": 2, "evaluate": 2}
    study(screen)["saved_epochs"] = {"methods": []}
    assert workflow.jobs(screen) == BASE | {"pretrain": 3, "embed": 3, "concat": 2, "normalise": 1, "evaluate": 1}


def test_compounds_that_encoders_were_trained_without(workflow, screen):
    for fold in (0, 1):
        train = [{"samples": "screen/cells", "hold_out": {"column": "Metadata_Compound", "fold": fold, "of": 2}}]
        screen["methods"][f"without_{fold}"] = {"use": "simclr", "backbone": "resnet10t", "train": train}
    screen["methods"]["unseen"] = {"use": "held_out", "members": ["without_0", "without_1"]}
    screen["evaluations"]["linear_probe"] = {}
    study(screen).update(methods=["unseen"], evaluations=["moa_matching", "linear_probe"])
    assert workflow.jobs(screen) == BASE | {"pretrain": 2, "embed": 2, "concat": 1, "normalise": 1, "evaluate": 1}


def test_evaluation_of_encoder_and_samples_reads_no_profiles(workflow, screen):
    screen["evaluations"] = {"invariance": {}}
    study(screen)["evaluations"] = ["invariance"]
    assert workflow.jobs(screen) == BASE | {"pretrain": 1, "evaluate": 1}


def test_evaluation_per_subset_is_one_job(workflow, screen):
    screen["evaluations"] = {"moa_matching": {"by": "Metadata_Batch"}}
    assert workflow.jobs(screen) == BASE | {"pretrain": 1, "embed": 1, "normalise": 1, "evaluate": 1}


def test_profiles_of_another_level_are_passed_over(workflow, screen):
    screen["profiles"]["wells"] = [{"aggregate": {"by": "well", "with": "mean"}}]
    study(screen)["profiles"] = ["raw", "wells"]
    assert workflow.jobs(screen) == BASE | {"pretrain": 1, "embed": 1, "normalise": 1, "evaluate": 1}


def test_skipped_method_is_not_planned(workflow, screen):
    screen["methods"] |= {"simclr": {}}
    study(screen).update(methods=["random", "simclr"], skip={"simclr": "no GPU here"})
    assert workflow.jobs(screen) == BASE | {"pretrain": 1, "embed": 1, "normalise": 1, "evaluate": 1}


def test_two_studies_share_what_they_have_in_common(workflow, screen):
    screen["studies"]["second"] = study(screen) | {"evaluations": ["linear_probe"]}
    screen["evaluations"]["linear_probe"] = {}
    assert workflow.jobs(screen) == BASE | {"pretrain": 1, "embed": 1, "normalise": 1, "evaluate": 2}


def test_planning_imports_neither_torch_nor_scikit_learn():
    code = (
        "import sys, yaml; from phenorep import check, inventory, jobs; from phenorep.planning import Plan;"
        "plan = Plan(yaml.safe_load(open('config.yaml'))); check.light(plan.blocks); inventory.summary(plan); jobs.of(plan);"
        "print([m for m in ('torch', 'sklearn', 'scipy', 'timm', 'lightning', 'skimage', 'matplotlib') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stdout + result.stderr
