"""What a run will take: counted files and operations against what is known otherwise."""

import copy
import re

import numpy as np
import pytest
import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

from phenorep import cli, estimate, flops, forecast, plugins
from phenorep.errors import UserError
from phenorep.planning import Plan
from tests.conftest import ROOT


@pytest.fixture
def config() -> dict:
    """A small screen: one sample set and two methods, one of which learns."""
    return {
        "name": "small",
        "datasets": {"simulated": {"batches": 2, "wells_per_treatment": 1, "sites": 2}},
        "samples": {"cells": {"use": "nuclei", "size": 64}, "treated": {"of": "cells", "where": "Metadata_Control == ''"}},
        "methods": {
            "pixel_statistics": {},
            "simclr": {"backbone": "test_resnet", "epochs": 3, "train": [{"samples": "simulated/treated"}]},
        },
        "profiles": {"raw": [{"aggregate": {"by": "treatment", "with": "mean"}}]},
        "evaluations": {"moa_matching": {}},
        "studies": {
            "small": {
                "dataset": "simulated",
                "samples": "cells",
                "methods": ["pixel_statistics", "simclr"],
                "profiles": ["raw"],
                "evaluations": ["moa_matching"],
            }
        },
        "compute": {"device": "cpu"},
    }


def test_operations_are_those_that_are_done():
    """Counted while they are left out, against a run in which they are done."""
    network = plugins.load("methods", "random").Recipe.build_encoder(
        plugins.configure(plugins.load("methods", "random").Config, {"backbone": "test_vit"}, "random"), 2, (64, 64)
    )
    images = torch.rand(3, 2, 64, 64)
    with FlopCounterMode(display=False) as real:
        network(images).sum().backward()
    with flops.left_out() as counted:
        network(images).sum().backward()
    assert counted.total == real.get_total_flops() > 0


def test_a_training_step_takes_all_views_there_and_back():
    method = {"use": "simclr", "keys": {"backbone": "test_resnet", "projector": [32, 16], "channels": ["DNA", "Actin"]}}
    work = flops.of_method(method, (64, 64))
    # Two views, each forward and twice as much back, but for the images themselves; the projector is small.
    assert 5 * work.forward < work.step < 6.2 * work.forward
    wider = flops.of_method({**method, "keys": {**method["keys"], "projector": [2048, 2048]}}, (64, 64))
    assert wider.step > work.step
    assert wider.forward == work.forward
    assert wider.parameters == work.parameters
    assert wider.states > work.states


def test_clusters_cost_a_pass_over_all_images():
    keys = {"backbone": "test_resnet", "projector": [32, 16], "prototypes": 500, "channels": ["DNA"]}
    work = flops.of_method({"use": "deepcluster_v2", "keys": keys}, (64, 64))
    assert work.start >= work.forward
    untrained = flops.of_method({"use": "random", "keys": {"backbone": "test_resnet", "channels": ["DNA"]}}, (64, 64))
    assert (untrained.step, untrained.start) == (0, 0)


def test_jobs_are_those_of_the_plan_and_arrays_have_their_shape(config):
    found = estimate.of(Plan(config))
    # A view is made because a method learns from it, though no study shows it.
    assert found.jobs["samples"] == found.jobs["view"] == found.jobs["fields"] == 4
    assert found.jobs["pretrain"] == found.jobs["recipe"] == found.jobs["embed"] == found.jobs["normalise"] == 2
    extent = estimate.extent(Plan(config), "simulated")
    share = ((320 - 64) / 320) ** 2
    array = extent.fields * extent.cells * share * 3 * 64 * 64 * 2
    assert found.disk["preprocess"] == pytest.approx(array, rel=0.2)
    assert found.disk["download"] == pytest.approx(extent.fields * 3 * (320 * 320 * 2 + 208), rel=0.001)
    assert found.peak > found.end


def test_more_epochs_seeds_and_cells_take_more(config):
    first = estimate.of(Plan(copy.deepcopy(config)))
    longer = copy.deepcopy(config)
    longer["methods"]["simclr"]["epochs"] = 6
    assert estimate.of(Plan(longer)).flop["pretrain"] == 2 * first.flop["pretrain"]
    seeds = copy.deepcopy(config)
    seeds["studies"]["small"]["seeds"] = [0, 1]
    assert estimate.of(Plan(seeds)).flop["pretrain"] == 2 * first.flop["pretrain"]
    assert estimate.of(Plan(seeds)).jobs["pretrain"] == 3  # the other method has no seeds
    crowded = estimate.of(Plan(config), {"simulated": 52.0})
    assert crowded.flop["embed"] == pytest.approx(2 * first.flop["embed"])


def test_a_table_without_images_has_no_size(tmp_path, config, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plates.csv").write_text("Metadata_Plate,Metadata_Well,Metadata_Site,FileName_DNA\nP1,A01,1,a.tif\n")
    config["datasets"] = {"simulated": {"use": "table", "table": "plates.csv"}}
    with pytest.raises(UserError, match="none of its images is there"):
        estimate.of(Plan(config))
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", np.zeros((100, 120), np.uint16))
    found = estimate.extent(Plan(config), "simulated")
    assert (found.fields, found.size, found.pixel_bytes) == (1, (100, 120), 2)


def test_the_command_says_what_is_assumed(tmp_path, config, capsys):
    path, other = tmp_path / "small.yaml", tmp_path / "later.yaml"
    path.write_text(yaml.safe_dump(config))
    other.write_text("methods: {simclr: {epochs: 30}}\n")
    assert cli.main(["estimate", str(path), "--gpu-tflops", "4"]) == 0
    said = capsys.readouterr().out
    assert "4 TFLOP/s (assumed" in said
    assert "26 nuclei each" in said
    assert cli.main(["estimate", str(path), str(other)]) == 0
    trained = [float(re.search(r"([\d.]+) PFLOP to train", text)[1]) for text in (said, capsys.readouterr().out)]
    assert trained[1] > 5 * trained[0]
    for options in (["--gpu-tflops", "0"], ["--cells", "simulatd=3"], ["--cells", "simulated=many"]):
        assert cli.main(["estimate", str(path), *options]) == 1
        assert capsys.readouterr().err.startswith("phenorep: --")


STUDIES = sorted(path.stem for path in (ROOT / "studies").glob("*.yaml"))


@pytest.mark.parametrize("study", STUDIES)
def test_readme_states_what_the_code_computes(study):
    readme = (ROOT / "README.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` (\|.*)$", readme, re.MULTILINE))
    if not set(STUDIES) & set(rows):
        pytest.skip("README has no table of what studies take")
    found = estimate.of(Plan(forecast.read([str(ROOT / "studies" / f"{study}.yaml")])))
    assert rows[study] == forecast.row(found)
