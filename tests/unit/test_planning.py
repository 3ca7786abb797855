"""What follows from a configuration without running Snakemake."""

import copy

import pytest
import yaml

from phenorep import inventory
from phenorep.errors import UserError
from phenorep.planning import Encoded, Plan
from tests.conftest import ROOT


@pytest.fixture
def config() -> dict:
    return yaml.safe_load((ROOT / "config.yaml").read_text())


def settings_after(config: dict, method: str, change) -> tuple[list, list]:
    """What decides an encoder, before and after a change of the configuration."""
    encoded = Encoded("simulated", "cells", method, 0)
    before = Plan(copy.deepcopy(config)).training_settings(encoded)
    change(config)
    return before, Plan(config).training_settings(encoded)


@pytest.mark.parametrize("start", ["simulated/cells/simclr", "simulated/cells/borrowed"])
def test_a_change_of_the_encoder_it_starts_from_decides_an_encoder(config, start):
    config["methods"] |= {"borrowed": {"from": "simulated/cells/simclr"}, "tuned": {"use": "simclr", "init": start}}
    before, after = settings_after(config, "tuned", lambda c: c["methods"]["simclr"].update(epochs=7))
    assert before != after


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["samples"]["cells"].update(size=48),
        lambda c: c["preprocess"].update(illumination={"smoothing": "none"}),
        lambda c: c["datasets"]["simulated"].update(effect=2.0),
    ],
)
def test_what_samples_look_like_decides_an_encoder(config, change):
    before, after = settings_after(config, "simclr", change)
    assert before != after


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["preprocess"].update(on_bad_image="exclude"),
        lambda c: c.update(compute={"device": "cpu"}),
        lambda c: c["methods"]["random"].update(backbone="resnet18"),
        lambda c: c["evaluations"].update(invariance={}),
    ],
)
def test_nothing_else_decides_an_encoder(config, change):
    before, after = settings_after(config, "simclr", change)
    assert before == after


def test_costs_and_curves_of_members_that_no_study_names_are_kept(config):
    config["studies"]["demo"]["methods"] = ["simclr_and_pixels"]
    files = inventory.files(Plan(config))
    assert {entry["method"] for entry in files["training"]} == {"simclr", "pixel_statistics"}
    rules = {(entry["rule"], entry.get("method")) for entry in files["costs"]}
    assert {("pretrain", "simclr"), ("embed", "simclr"), ("concat", "simclr_and_pixels")} <= rules


def test_measurements_are_planned_only_where_a_method_takes_them(config):
    config["studies"]["demo"]["methods"] = ["random"]
    assert not inventory.files(Plan(copy.deepcopy(config)))["measurements"]
    config["methods"] |= {"form": {"use": "cellprofiler_features", "groups": ["shape", "granularity"]}}
    config["methods"] |= {"both": {"use": "concat", "members": ["form", "random"]}}
    del config["methods"]["classical"]
    config["studies"]["demo"].update(methods=["both"], seeds=[5])
    plan = Plan(config)
    assert plan.measured_groups() == ["granularity", "shape"]
    files = inventory.files(plan)
    assert [entry["plate"] for entry in files["measurements"]] == plan.plates("simulated")
    assert {entry["method"] for entry in files["training"]} == {"random"}
    rules = {(entry["rule"], entry.get("method"), entry.get("seed")) for entry in files["costs"]}
    assert {("embed_measurements", "form", 0), ("concat", "both", 5), ("measurements", None, None)} <= rules


def test_measurements_are_of_samples_with_nuclei(config):
    config["samples"] |= {"fields": {}, "sharp": {"of": "cells", "where": "Label_Quality == 'normal'"}}
    plan = Plan(config)
    assert plan.measurements("simulated", "sharp") == plan.measurements("simulated", "cells") != []
    assert plan.measurements("simulated", "fields") == []


def test_an_evaluation_of_encoders_does_not_fit_measurements(config):
    config["evaluations"]["invariance"] = {}
    config["studies"]["demo"].update(methods=["classical", "random"], evaluations=["invariance", "moa_matching"])
    plan = Plan(config)
    assert {score["method"] for score in plan.scores if score["evaluation"] == "invariance"} == {"random"}
    (pair,) = (pair for pair in plan.not_applicable if pair["evaluation"] == "invariance")
    assert pair["reason"] == "invariance needs an encoder, classical takes measurements as features"
    assert plan.encoder("simulated", "cells", "classical", 0) is None


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"from": "simulated/cells/classical"}, "'classical' has no encoder: it takes measurements as features"),
        ({"use": "simclr", "init": "simulated/cells/classical"}, "methods: odd: init: 'classical' has no encoder"),
        ({"use": "cellprofiler_features", "init": "simulated/cells/simclr"}, "init: nothing is trained"),
        ({"use": "cellprofiler_features", "train": [{"samples": "simulated/cells"}]}, "train: nothing is trained"),
        ({"use": "cellprofiler_features", "groups": "shape"}, "groups: 'shape' is no list of groups"),
    ],
)
def test_measurements_take_the_place_of_an_encoder_nowhere(config, block, message):
    config["methods"]["odd"] = block
    config["studies"]["demo"]["methods"] = ["odd"]
    with pytest.raises(UserError, match=message):
        Plan(config).measured_groups()


def test_a_method_without_use_of_its_seed_is_run_once(config):
    config["studies"]["demo"].update(methods=["pixel_statistics", "simclr_and_pixels"], seeds=[3, 4])
    plan = Plan(config)
    seeds = {(encoded.method, encoded.seed) for encoded in plan.encoded(plan.blocks["studies"]["demo"])}
    assert seeds == {("pixel_statistics", 0), ("simclr_and_pixels", 3), ("simclr_and_pixels", 4)}
