"""Labels of single images in the plan: annotations, abnormality, what is left out by it, and the annotation page."""

import copy
import os
import re
from pathlib import Path

import pytest

from phenorep import inventory, labelling
from phenorep.errors import UserError
from phenorep.grid import Encoded
from phenorep.planning import Plan

SECONDS = 1_000_000_000  # the time of all files of a finished run


@pytest.fixture
def config(tmp_path) -> dict:
    """Two screens; the second is judged by what was learnt on the first."""
    (tmp_path / "labels.csv").write_text("Sample,Label_Quality\nP1/A01/1/1,normal\n")
    study = {"dataset": "first", "samples": "cells", "methods": ["random", "simclr"]}
    return {
        "name": "two",
        "datasets": {"first": {"use": "simulated"}, "second": {"use": "simulated", "seed": 1}},
        "samples": {"cells": {"use": "nuclei", "size": 32}, "clean": {"of": "cells", "where": "abnormality < 0.9"}},
        "methods": {
            "random": {},
            "simclr": {"epochs": 1},
            "simclr_there": {"from": "first/cells/simclr"},
            "both": {"use": "concat", "members": ["random", "simclr"]},
        },
        "profiles": {"raw": [{"aggregate": {"by": "treatment", "with": "median"}}]},
        "evaluations": {
            "moa_matching": {},
            "quality_classification": {},
            "transferred": {"use": "quality_classification", "train": "first/cells"},
        },
        "annotations": {"first/cells": str(tmp_path / "labels.csv")},
        "abnormality": {"method": "random"},
        "studies": {
            "first": study | {"evaluations": ["quality_classification"]},
            "clean": study | {"samples": "clean", "profiles": ["raw"], "evaluations": ["moa_matching"]},
            "second": study | {"dataset": "second", "methods": ["random", "simclr_there"], "evaluations": ["transferred"]},
        },
    }


def refusal(config) -> str:
    with pytest.raises(UserError) as refused:
        Plan(config)
    return str(refused.value)


def test_the_whole_is_planned(workflow, config):
    jobs = workflow.jobs(config)
    assert jobs["abnormality"] == 2, "one for each dataset whose cells are looked at"
    assert jobs["view"] == jobs["samples"] / 2, "cleaned cells of the first screen alone"
    assert workflow.jobs(config, "annotate")["gallery"] == 1


def finished(workflow, config: dict, *targets: str) -> None:
    """Make empty files of all that a run leaves, none newer than another."""
    said = workflow.snakemake("--dry-run", *targets, config=config).stdout
    for path in {
        name for line in re.findall(r"^    (?:output|benchmark): (.+)$", said, re.MULTILINE) for name in line.split(", ")
    }:
        file = workflow.folder / path
        if file.name == "epochs":
            file.mkdir(parents=True, exist_ok=True)
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    for path in (workflow.folder, *workflow.folder.rglob("*")):
        os.utime(path, (SECONDS, SECONDS))


def test_another_label_changes_only_what_reads_labels(workflow, config):
    config["evaluations"] |= {
        "quality_fine_tuning": {},
        "attention": {},
        "retrieval": {},
        "kinds": {"use": "linear_probe", "target": "Label_Artefact"},
        "mechanisms": {"use": "linear_probe"},
        "each": {"use": "linear_probe", "by": "Label_Quality"},
    }
    # Without a view by abnormality: what follows from that is made again for another reason.
    config["studies"]["second"]["evaluations"] += ["mechanisms", "quality_fine_tuning"]
    config["studies"]["first"] |= {"profiles": ["raw"], "evaluations": list(config["evaluations"].keys() - {"transferred"})}
    del config["studies"]["clean"], config["samples"]["clean"]
    finished(workflow, config)
    assert workflow.jobs(config) == {}
    os.utime(config["annotations"]["first/cells"], (SECONDS + 60, SECONDS + 60))
    result = workflow.snakemake("--dry-run", config=config)
    again = set(re.findall(r"output: results/(\w+)/scores/.+/(\w+)\.csv", result.stdout))
    names = ("quality_classification", "quality_fine_tuning", "kinds", "each")
    assert again == {*(("first", name) for name in names), ("second", "transferred")}
    assert {"pretrain", "embed", "normalise"}.isdisjoint(workflow.jobs(config))


def test_labels_of_a_set_are_those_of_its_views_of_whole_samples(config):
    plan = Plan(config | {"samples": config["samples"] | {"parts": {"use": "tiles", "size": 16, "of": "cells"}}})
    path = config["annotations"]["first/cells"]
    assert labelling.annotations(plan, "first", "cells") == path
    assert labelling.annotations(plan, "first", "clean") == path
    assert labelling.annotations(plan, "first", "parts") is None
    assert labelling.annotations(plan, "second", "cells") is None


def test_the_other_set_is_seen_by_the_same_encoder(config):
    plan = Plan(config)
    here = Encoded("second", "cells", "simclr_there", 0)
    assert labelling.trained(plan, here, "first/cells") == Encoded("first", "cells", "simclr", 0)
    untrained = Encoded("second", "cells", "random", 0)
    assert labelling.trained(plan, untrained, "first/cells") == Encoded("first", "cells", "random", 0)
    assert labelling.trained(plan, Encoded("first", "cells", "random", 0), "first/cells") is None, "it is the set itself"


@pytest.mark.parametrize("method", ["simclr", "both"])
def test_another_encoder_is_not_compared(config, method):
    config["studies"]["second"]["methods"] = ["random", method]
    plan = Plan(config)
    assert not [score for score in plan.scores if score["method"] == method and score["evaluation"] == "transferred"]
    reasons = [entry["reason"] for entry in plan.not_applicable if entry["study"] == "second"]
    assert any(method in reason and "from: first/cells/" in reason for reason in reasons)


def test_what_was_left_out_is_in_the_report(config):
    plan = Plan(config)
    summary = inventory.summary(plan)
    entry = {"dataset": "first", "samples": "clean", "parent": "cells", "where": "abnormality < 0.9"}
    assert summary["cleaned"] == [entry]
    assert [e["path"] for e in summary["files"]["abnormality"]] == [
        f"results/{dataset}/abnormality/cells/random/seed0.parquet" for dataset in ("first", "second")
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["abnormality"].update(classifier="forest"),
        lambda c: c["methods"]["random"].update(backbone="resnet10t"),
        lambda c: Path(c["annotations"]["first/cells"]).write_text("Sample,Label_Quality\nP1/A01/1/1,abnormal\n"),
    ],
)
def test_what_decides_who_is_left_out_decides_an_encoder_of_the_rest(config, change):
    encoded = {name: Encoded("first", name, "simclr", 0) for name in ("clean", "cells")}
    before = {name: Plan(copy.deepcopy(config)).training_settings(one) for name, one in encoded.items()}
    change(config)
    after = {name: Plan(config).training_settings(one) for name, one in encoded.items()}
    assert before["clean"] != after["clean"]
    assert before["cells"] == after["cells"]


def test_an_encoder_of_the_rest_cannot_say_what_is_left_out(config):
    config["methods"]["own"] = {"use": "simclr", "epochs": 1, "train": [{"samples": "first/clean"}]}
    config["abnormality"]["method"] = "own"
    said = refusal(config)
    assert "a circle" in said
    assert "first/clean" in said
