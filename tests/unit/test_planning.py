"""What follows from a configuration without running Snakemake."""

import copy

import pytest
import yaml

from phenorep import inventory, jobs, saved_epochs
from phenorep.errors import UserError
from phenorep.planning import Encoded, Plan
from tests.conftest import ROOT, manual


@pytest.fixture
def config() -> dict:
    found = manual()
    # One study; what others name would stand in the way of what the tests change.
    found["studies"] = {"demo": found["studies"]["demo"]}
    del found["abnormality"], found["samples"]["clean"]
    return found


def test_what_is_switched_off_in_the_manual_can_be_switched_on_and_is_run_in_small():
    whole, shown = manual(), yaml.safe_load((ROOT / "config.yaml").read_text())
    assert Plan(copy.deepcopy(whole)).scores
    small = yaml.safe_load((ROOT / "studies/small/simulated.yaml").read_text())
    off = {kind: set(whole[kind]) - set(shown[kind]) for kind in ("samples", "methods", "evaluations", "studies")}
    assert off == {
        "samples": {"clean"},
        "methods": {"barlow_twins", "swav", "ws_dino", "image_quality", "simclr_and_pixels"},
        "evaluations": {"control_separation", "quality_classification", "quality_fine_tuning"},
        "studies": {"quality", "clean"},
    }
    # Two are run by other tests of whole runs, or under another name.
    for kind, names in off.items():
        assert names - {"control_separation", "simclr_and_pixels"} <= set(small[kind])
    assert "abnormality" in small
    assert set(whole) == {*shown, "abnormality"}


def settings_after(config: dict, method: str, change) -> tuple[list, list]:
    """What decides an encoder, before and after a change of the configuration."""
    encoded = Encoded("simulated", "cells", method, 0)
    before = Plan(copy.deepcopy(config)).training_settings(encoded)
    change(config)
    return before, Plan(config).training_settings(encoded)


def test_an_evaluation_may_be_done_for_some_methods_alone(config):
    def done(config):
        return {s["method"] for s in Plan(config).scores if s["evaluation"] == "linear_probe" and s["samples"] == "cells"}

    assert done(copy.deepcopy(config)) > {"random", "simclr"}
    config["studies"]["demo"]["only"] = {"linear_probe": ["random"]}
    assert done(config) == {"random"}
    config["studies"]["demo"]["only"] = {"linear_probe": ["randon"]}
    with pytest.raises(UserError, match=r"studies: demo: only: linear_probe: .*Did you mean 'random'"):
        Plan(config)


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
    rules = {(job.rule, dict(job.wildcards).get("method")) for job in jobs.of(Plan(config))}
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
    rules = {(job.rule, *map(dict(job.wildcards).get, ("method", "seed"))) for job in jobs.of(plan)}
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


@pytest.mark.parametrize(
    ("wanted", "epochs", "expected"),
    [
        (None, 4, []),
        ({"every": 5}, 12, [5, 10]),
        ({"every": "5", "from": "0", "to": "10"}, "12", [0, 5, 10]),
        ({"every": 100, "from": 50, "to": 250}, 400, [50, 150, 250]),
        ({"every": 5, "to": 7}, 12, [5]),
        ({"every": 5}, 4, []),
        ([3, "0", 3], 4, [0, 3]),
    ],
)
def test_saved_epochs_are_read_as_written(wanted, epochs, expected):
    assert saved_epochs.numbers(wanted, epochs) == expected


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"every": 0}, "every must be at least 1, not 0"),
        ({"from": 2}, "every: N"),
        ({"every": 1, "until": 3}, "until"),
        ({"every": 1, "from": 4, "to": 2}, r"from \(4\) must not be after to \(2\)"),
        ({"every": 1, "from": 11}, r"from \(11\) must not be after to \(10\)"),
        ({"every": 1, "to": 11}, r"between 0 and epochs \(10\), not at 11"),
        ({"every": 2.5}, "every must be a whole number"),
        ([11], "not at 11"),
        ([-1], "whole number from 0, not -1"),
        (5, "or a list of epochs, not 5"),
    ],
)
def test_saved_epochs_that_cannot_be(wanted, message):
    with pytest.raises(ValueError, match=message):
        saved_epochs.numbers(wanted, 10)


@pytest.fixture
def along(config) -> dict:
    """Two encoders that have the saved epochs 2 and 4 in common, beside each other and beside what does not train."""
    config["methods"] |= {
        "first": {"use": "simclr", "epochs": 4, "save_epochs": {"every": 1, "from": 2}},
        "second": {"use": "simclr", "epochs": 6, "save_epochs": {"every": 2}},
        "unsaved": {"use": "simclr", "epochs": 6},
        "borrowed": {"from": "simulated/cells/first"},
        "inner": {"use": "concat", "members": ["second", "pixel_statistics"]},
        "outer": {"use": "concat", "members": ["first", "inner", "borrowed"]},
        "fixed": {"use": "concat", "members": ["pixel_statistics", "borrowed"]},
        "mixed": {"use": "concat", "members": ["first", "unsaved"]},
    }
    config["studies"]["demo"].update(methods=["outer", "fixed", "mixed"], profiles=["raw", "tvn"])
    config["studies"]["demo"].update(evaluations=["moa_matching", "linear_probe"])
    return config


def test_a_combined_method_has_the_epochs_of_all_members_that_train(along):
    plan = Plan(along)
    found = {name: plan.epochs(name) for name in ("first", "second", "inner", "outer", "fixed", "mixed", "borrowed")}
    assert found == {
        "first": ["2", "3", "4", "final"],
        "second": ["2", "4", "6", "final"],
        "inner": ["2", "4", "6", "final"],
        "outer": ["2", "4", "final"],
        "fixed": ["final"],
        "mixed": ["final"],
        "borrowed": ["final"],
    }


def test_a_member_that_does_not_train_is_the_same_beside_every_epoch(along):
    plan = Plan(along)
    whole = Encoded("simulated", "cells", "outer", 0, "4")
    assert [(part.method, part.epoch) for part in plan.parts(whole)] == [
        ("first", "4"),
        ("inner", "4"),
        ("borrowed", "final"),
    ]
    inner = Encoded("simulated", "cells", "inner", 0, "4")
    assert [(part.method, part.epoch) for part in plan.parts(inner)] == [("second", "4"), ("pixel_statistics", "final")]
    files = inventory.files(plan)
    embedded = {(entry["method"], entry["epoch"]) for entry in files["embeddings"]}
    assert {("inner", "2"), ("second", "4"), ("pixel_statistics", "final")} <= embedded
    assert ("second", "6") not in embedded
    assert {entry["method"] for entry in files["training"]} == {"first", "second", "unsaved", "pixel_statistics"}


def scored(plan: Plan, method: str) -> set:
    return {(s["epoch"], s["profile"], s["evaluation"]) for s in plan.scores if s["method"] == method}


FINAL = {("final", profile, "moa_matching") for profile in ("raw", "tvn")} | {("final", "none", "linear_probe")}


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, {("2", "raw", "moa_matching"), ("2", "tvn", "moa_matching"), ("2", "none", "linear_probe")}),
        ({"profiles": ["tvn"]}, {("2", "tvn", "moa_matching"), ("2", "none", "linear_probe")}),
        ({"profiles": ["tvn"], "evaluations": ["moa_matching"]}, {("2", "tvn", "moa_matching")}),
        ({"methods": ["fixed"]}, set()),
        ({"profiles": [], "evaluations": ["moa_matching"]}, set()),
    ],
)
def test_what_is_scored_at_saved_epochs(along, keys, expected):
    along["methods"]["first"]["save_epochs"] = [2]
    along["studies"]["demo"]["saved_epochs"] = keys
    plan = Plan(along)
    assert scored(plan, "outer") == FINAL | expected
    assert scored(plan, "fixed") == FINAL
    kinds = {(entry["method"], entry["epoch"]) for entry in inventory.files(plan)["embeddings"]}
    assert (("outer", "2") in kinds) == bool(expected)


def key_of_saved_epochs(config):
    config["studies"]["demo"]["saved_epochs"] = {"profile": ["raw"]}


def mean_that_ends_before_it_starts(config):
    config["studies"]["demo"]["saved_epochs"] = {"mean": [250, 50]}


def published(config):
    config["studies"]["demo"]["published"] = "ws_dinno"


def saved_epochs_after_the_end(config):
    config["methods"]["simclr"] |= {"epochs": 5, "save_epochs": {"every": 1, "from": 2, "to": 7}}


def key_of_a_fold(config):
    hold_out = {"colum": "Metadata_Compound", "fold": 0, "of": 3}
    config["methods"]["simclr"]["train"] = [{"samples": "simulated/cells", "hold_out": hold_out}]


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (key_of_saved_epochs, "studies: demo: saved_epochs: unknown key 'profile'. Did you mean 'profiles'"),
        (mean_that_ends_before_it_starts, r"demo: saved_epochs: mean: the first epoch \(250\) .* the last \(50\)"),
        (published, "demo: published: there is no ws_dinno.csv in phenorep/published. Did you mean 'ws_dino'"),
        (saved_epochs_after_the_end, r"methods: simclr: save_epochs must lie between 0 and epochs \(5\), not at 7"),
        (key_of_a_fold, "methods: simclr: train: 1: hold_out: unknown key 'colum'. Did you mean 'column'"),
    ],
)
def test_mistakes_in_epochs_and_folds(config, break_it, message):
    break_it(config)
    with pytest.raises(UserError, match=message):
        Plan(config)


def test_the_mean_over_epochs_stands_in_the_plan(along):
    along["studies"]["demo"]["saved_epochs"] = {"mean": ["2", 4]}
    stated = inventory.summary(Plan(copy.deepcopy(along)))["studies"]["demo"]["saved_epochs"]
    assert stated["mean"] == [2, 4]
    assert stated["profiles"] == ["raw", "tvn"]
    del along["studies"]["demo"]["saved_epochs"]
    assert inventory.summary(Plan(along))["studies"]["demo"]["saved_epochs"]["mean"] is None


@pytest.fixture
def held_out(config) -> dict:
    """One encoder for each of two folds of the compounds."""
    for fold in (0, 1):
        hold_out = {"column": "Metadata_Compound", "fold": fold, "of": 2}
        train = [{"samples": "simulated/cells", "labels": "Metadata_Compound", "hold_out": hold_out}]
        config["methods"][f"without_{fold}"] = {"use": "simclr", "train": train, "save_epochs": [1]}
    config["methods"]["unseen"] = {"use": "held_out", "members": ["without_0", "without_1"]}
    config["studies"]["demo"].update(methods=["unseen", "without_0"], profiles=["tvn"], seeds=[3])
    return config


def test_only_what_reads_alternatives_is_planned_for_them(held_out):
    plan = Plan(held_out)
    assert scored(plan, "unseen") == {(epoch, "tvn", "moa_matching") for epoch in ("1", "final")}
    assert {evaluation for _, _, evaluation in scored(plan, "without_0")} == {"moa_matching", "linear_probe"}
    (reason,) = (p["reason"] for p in plan.not_applicable if p["evaluation"] == "linear_probe")
    assert reason == "linear_probe reads one set of features for all rows, unseen has another one for each fold held out"
    assert plan.seed("unseen", 3) == 3


def test_a_study_of_alternatives_that_nothing_can_read_is_refused(held_out):
    held_out["studies"]["demo"].update(methods=["unseen"], evaluations=["linear_probe"])
    with pytest.raises(UserError, match="demo: nothing would be scored: linear_probe reads one set of features"):
        Plan(held_out)


def test_alternatives_cannot_stand_beside_others(held_out):
    held_out["methods"]["both"] = {"use": "concat", "members": ["unseen", "pixel_statistics"]}
    held_out["studies"]["demo"]["methods"] = ["both"]
    with pytest.raises(UserError, match="methods: both: members: the members of 'unseen' are alternatives to each other"):
        Plan(held_out)


def test_what_is_held_out_decides_an_encoder(held_out):
    plan = Plan(held_out)
    first, second = (plan.training_sources(Encoded("simulated", "cells", f"without_{fold}", 0)) for fold in (0, 1))
    assert first[0]["hold_out"] == {"column": "Metadata_Compound", "fold": 0, "of": 2} != second[0]["hold_out"]
    (plain,) = plan.training_sources(Encoded("simulated", "cells", "simclr", 0))
    assert set(plain) == {"samples", "where", "labels"}  # as it was before there were folds: nothing is trained again
