"""The study hcs_qc: what it published, and that its configuration names what is compared with it."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from phenorep import configuration, plugins
from phenorep.report import published

STUDIES = Path(plugins.ROOT).parent / "studies"
# As they stand in the paper, accuracy, F1 and AUC in per cent: table, settings, row -> values.
ANCHORS = {
    ("1", "classifier=knn, labels=350", "resnet18"): (97.66, 97.51, 97.63),
    ("1", "classifier=knn, labels=350", "vicreg"): (76.30, 75.28, 75.13),
    ("1", "classifier=linear, labels=350", "convnext"): (98.47, 98.24, 98.17),
    ("1", "classifier=linear, labels=350", "barlow_twins"): (87.28, 86.42, 87.35),
    ("2", "classifier=fine_tuned, labels=350", "convnext"): (99.39, 99.21, 99.25),
    ("2", "classifier=fine_tuned, labels=50", "vicreg"): (71.01, 74.33, 74.15),
    ("2", "classifier=fine_tuned, labels=10", "swav"): (82.87, 82.62, 83.39),
    ("3", "classifier=fine_tuned, labels=350", "vgg16_bbbc022"): (96.43, 97.51, 98.02),
    ("3", "classifier=fine_tuned, labels=350", "vicreg_bbbc022"): (37.95, 40.00, 39.21),
}


@pytest.fixture(scope="module")
def table():
    return published.read("hcs_qc")


@pytest.fixture(scope="module")
def config():
    return yaml.safe_load((STUDIES / "hcs_qc.yaml").read_text())


def test_every_figure_of_the_three_tables(table):
    assert table["table"].value_counts().to_dict() == {"1": 8 * 2 * 3, "2": 8 * 5 * 3, "3": 8 * 3}
    assert set(table["n"][table["table"] != "3"]) == {130}
    assert set(table["n"][table["table"] == "3"]) == {200}
    values = table.set_index(["table", "settings", "method", "metric"])["value"]
    for place, expected in ANCHORS.items():
        found = [values[(*place, metric)] for metric in ("accuracy", "f1", "auc")]
        np.testing.assert_allclose(found, np.array(expected) / 100, atol=1e-9)


def test_accuracies_on_the_other_data_set_are_means_over_batches(table):
    """Six batches of 32 images and one of 8, of which each counts the same: not the share of 200 images."""
    found = table.loc[(table["table"] == "3") & (table["metric"] == "accuracy"), "value"].to_numpy()
    assert (np.abs(found - np.round(found * 224) / 224) < 1e-4).all()
    assert (np.abs(found - np.round(found * 200) / 200) > 1e-4).all()


def test_each_figure_has_its_method_in_a_study(table, config):
    methods = {"1": "hcs_qc", "2": "hcs_qc", "3": "hcs_qc_bbbc021"}
    for number, study in methods.items():
        named = set(table.loc[table["table"] == number, "method"])
        assert named <= set(config["studies"][study]["methods"])
    assert {study["published"] for study in config["studies"].values()} == {"hcs_qc"}


def test_the_other_data_sets_encoders_are_the_same_ones(config):
    first, second = (config["studies"][name]["methods"] for name in ("hcs_qc", "hcs_qc_bbbc021"))
    assert second == [f"{name}_bbbc022" for name in first]
    channels = config["datasets"]["bbbc022"]["channels"]
    stains = dict(zip(channels, ["Actin", "Tubulin", "DNA"], strict=True))  # red, green and blue in the paper's figures
    for name in second:
        block = config["methods"][name]
        assert block["from"] == f"bbbc022/cells/{name.removesuffix('_bbbc022')}"
        assert block["channels"] == [stains[channel] for channel in channels]


@pytest.mark.parametrize("name", ["hcs_qc", "hcs_qc_simulated", "bbbc005"])
def test_studies_resolve(name):
    resolved = configuration.resolve(yaml.safe_load((STUDIES / f"{name}.yaml").read_text()))
    assert resolved["name"] == name
    for kind in ("datasets", "methods", "evaluations"):
        for block, values in resolved[kind].items():
            if values["use"] is not None:
                plugins.configure(plugins.load(kind, values["use"]).Config, values["keys"], f"{kind}: {block}")


def test_the_study_trains_as_the_paper_says(config):
    """Values that the paper states stand in the configuration, not only in defaults that may change."""
    for name in ("simclr", "barlow_twins", "vicreg", "deepcluster_v2", "swav"):
        block = config["methods"][name]
        keys = ("backbone", "epochs", "batch_size", "optimiser", "learning_rate", "momentum", "warmup_epochs")
        assert [block[key] for key in keys] == ["resnet18", 5, 128, "sgd", 0.001, 0.9, 1]
        assert block["projector"][0] == 2048
    assert config["methods"]["simclr"]["temperature"] == 0.07
    assert [config["methods"][name]["prototypes"] for name in ("deepcluster_v2", "swav")] == [500, 500]
    assert config["methods"]["deepcluster_v2"]["kmeans_iterations"] == 10
    assert config["methods"]["swav"]["queue"] == 2560
