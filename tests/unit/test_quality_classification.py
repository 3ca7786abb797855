"""Normal or abnormal, on frozen embeddings."""

import numpy as np
import pandas as pd
import pytest

from phenorep import contracts, evaluations, plugins
from phenorep.errors import NotRun, UserError
from phenorep.evaluations import Inputs, quality_classification
from tests.unit.made_labels import table

ROW = {"dataset": "made", "samples": "cells", "method": "m", "seed": "0", "epoch": "final", "profile": "none"}
FEW = {"labels": (60, 10), "test": 60, "draws": 3, "permutations": 6, "trees": 20}


def run(embeddings, train=None, **keys):
    config = quality_classification.Config(**(FEW | keys))
    inputs = Inputs(embeddings=embeddings, train=None if train is None else Inputs(embeddings=train))
    scores, details = quality_classification.evaluate(config, inputs, 0)
    return {(s.settings, s.metric, s.control): s for s in scores}, details


def reasons(details):
    return details.loc[details["part"] == "reason", "reason"].tolist() if "reason" in details else []


def test_abnormal_samples_are_told_and_shuffled_labels_tell_nothing():
    found, details = run(table())
    assert set(found) == {
        (f"classifier={kind}, labels={count}", metric, control)
        for kind in ("knn", "linear", "forest")
        for count in (60, 10)
        for metric in ("accuracy", "f1", "auc")
        for control in ("none", "shuffled")
    }
    for (settings, _, control), score in found.items():
        assert score.n == 60
        if control == "none" and "labels=60" in settings:
            assert score.value > 0.95
            assert score.ci_low <= score.value <= score.ci_high
    shuffled = [
        score.value for (_, metric, control), score in found.items() if (metric, control) == ("accuracy", "shuffled")
    ]
    assert np.mean(shuffled) == pytest.approx(0.5, abs=0.15)
    assert reasons(details) == []


def test_more_labels_and_more_signal_score_higher():
    values = [run(table(signal=signal), classifiers=("linear",))[0] for signal in (0.0, 1.0, 3.0)]
    most = [found["classifier=linear, labels=60", "auc", "none"].value for found in values]
    assert most == sorted(most)
    assert most[0] == pytest.approx(0.5, abs=0.12)
    assert most[1] > values[1]["classifier=linear, labels=10", "auc", "none"].value


def test_features_that_name_the_well_are_of_no_use():
    """Without groups, cells of a well that was learnt from are tested, and its name gives them away."""
    samples = table(count=900, signal=0.0, wells=40)
    samples["Label_Quality"] = np.where(samples["Metadata_Well"].str[1:].astype(int) % 2 == 0, "abnormal", "normal")
    names = pd.get_dummies(samples["Metadata_Well"]).to_numpy(float) * 8
    samples = samples.drop(columns=contracts.feature_columns(samples.columns))
    samples[contracts.feature_names("x", names.shape[1])] = names
    keys = {"classifiers": ("knn",), "labels": (350,), "standardise": False}
    apart, mixed = (run(samples, groups=groups, **keys)[0] for groups in ("Metadata_Well", ""))
    setting = ("classifier=knn, labels=350", "accuracy", "none")
    assert mixed[setting].value > 0.95
    assert apart[setting].value < 0.75


def test_another_data_set_is_learnt_from():
    here = table(count=90, plate="Q", seed=1)
    found, details = run(here, train=table())
    score = found["classifier=forest, labels=60", "accuracy", "none"]
    assert score.n == 90
    assert score.value > 0.95
    told = details[details["part"] == "prediction"]
    assert set(told["item"]) == set(here["Sample"])
    shifted = here.copy()
    shifted[contracts.feature_columns(here.columns)] += 30
    assert run(shifted, train=table())[0]["classifier=linear, labels=60", "accuracy", "none"].value < 0.7
    most = 2 * int((table()["Label_Quality"] == "abnormal").sum())
    assert (f"classifier=knn, labels={most}", "auc", "none") in run(here, train=table(), labels=(), classifiers=("knn",))[0]
    with pytest.raises(UserError, match="have 4 features, x_0000 and so on; those to evaluate have 12"):
        run(here, train=table(features=4))


def test_settings_carry_the_true_number_of_labels():
    samples = table()
    rare = np.flatnonzero(samples["Label_Quality"] == "abnormal")[50:]
    samples.loc[rare, "Label_Quality"] = ""
    found, details = run(samples, labels=(350, 200, 10), test=60, classifiers=("knn",), groups="")
    assert {settings for settings, _, _ in found} == {"classifier=knn, labels=86", "classifier=knn, labels=10"}
    assert any(text.startswith("labels: 350, 200 asked for; there are 86") for text in reasons(details))


def test_too_few_labels_for_the_neighbours_are_left_out_and_said():
    found, details = run(table(), labels=(60, 4), classifiers=("knn", "linear"))
    settings = {settings for settings, _, _ in found}
    assert settings == {"classifier=knn, labels=60", "classifier=linear, labels=60", "classifier=linear, labels=4"}
    assert reasons(details)[0].startswith("classifier=knn, labels=4: knn looks at 5 neighbours, and there are only 4 labels")
    with pytest.raises(NotRun, match="only 4 labels: mark more images or set 'neighbours' lower"):
        run(table(), labels=(4,), classifiers=("knn",))


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (table().assign(Label_Quality="abnormal"), "all 600 labelled samples are abnormal.*'annotations:'"),
        (table().assign(Label_Quality=""), "no sample is labelled.*'annotations:'"),
        (table().drop(columns="Label_Quality"), "have no labels .*'annotations:'"),
        (table(wells=1), "lie in so few groups"),
    ],
)
def test_what_cannot_be_evaluated_says_why(samples, message):
    with pytest.raises(NotRun, match=message):
        run(samples)
    if "so few" not in message:
        with pytest.raises(NotRun, match=message):
            run(table(), train=samples)


def test_hyperparameters_are_searched_and_named():
    _, details = run(table(signal=1.5), classifiers=("knn", "linear"), search={"neighbours": [1, 15], "learning_rate": [1]})
    chosen = details[details["part"] == "chosen"]
    assert set(zip(chosen["settings"], chosen["key"], strict=True)) == {
        (f"classifier={kind}, labels={count}", key)
        for kind, key in (("knn", "neighbours"), ("linear", "learning_rate"))
        for count in (60, 10)
    }
    assert set(chosen.loc[chosen["key"] == "neighbours", "value"]) <= {1, 5, 15}
    for keys, message in (
        ({"trees": []}, "list of values"),
        ({"neighbours": [0]}, "neighbours"),
        ({"test": [9]}, "'test' cannot"),
    ):
        with pytest.raises(UserError, match=message):
            plugins.configure(quality_classification.Config, {"search": keys}, "evaluations: quality_classification")


def test_columns_of_the_field_beside_the_features():
    samples = table(signal=0.0)
    blurred = (samples["Label_Quality"] == "abnormal").to_numpy()
    samples = samples.assign(ImageQuality_Focus_DNA=-0.5 - blurred, Count_Nuclei=7, ImageQuality_Note="x")
    setting = ("classifier=forest, labels=60", "accuracy", "none")
    alone, beside = (run(samples, classifiers=("forest",), beside=keys)[0] for keys in ((), ("ImageQuality_", "Count_")))
    assert alone[setting].value < 0.7
    assert beside[setting].value > 0.95
    _, details = run(table(), classifiers=("forest",), beside=("ImageQuality_",))
    assert reasons(details) == ["beside: no column of numbers begins with ImageQuality_."]


def test_means_of_batches_are_another_average():
    samples = table(signal=1.0)
    keys = {"labels": (60,), "test": 130, "classifiers": ("linear",), "draws": 1, "groups": ""}
    setting = ("classifier=linear, labels=60", "accuracy", "none")
    right, mean = (run(samples, average=average, **keys)[0][setting].value for average in ("samples", "batch_mean"))
    assert right * 130 == pytest.approx(round(right * 130))
    assert mean != right
    assert mean * 160 == pytest.approx(round(mean * 160))  # four batches of 32 and one of 2: steps of 1/160 and 1/10


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"classifiers": ["tree"]}, "'tree' is none; known are knn, linear, forest"),
        ({"classifiers": []}, "at least one"),
        ({"draws": 0}, "draws"),
        ({"neighbours": 0}, "neighbours"),
        ({"average": "median"}, "average"),
    ],
)
def test_wrong_keys_are_named(keys, message):
    with pytest.raises(UserError, match=message):
        plugins.configure(quality_classification.Config, keys, "evaluations: quality_classification")


def test_files_are_valid_and_the_same_each_time(tmp_path):
    contracts.write_table(table(), tmp_path / "e.parquet", "embeddings", {"encoder": {"recipe": "random", "trained_on": []}})
    evaluation = {"use": "quality_classification", "keys": {k: list(v) if k == "labels" else v for k, v in FEW.items()}}
    for out in ("a", "b"):
        paths = [tmp_path / f"{out}.csv", tmp_path / f"{out}.parquet"]
        evaluations.make(evaluation, {"embeddings": tmp_path / "e.parquet"}, None, ROW, {}, *paths)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    scores = contracts.read_scores(tmp_path / "a.csv")
    assert scores[["value", "ci_low", "ci_high"]].stack().between(0, 1).all()
    assert set(scores["evaluation"]) == {"quality_classification"}
    details = contracts.read_table(tmp_path / "a.parquet", "details")
    assert {"item", "prediction", "confusion", "draw"} <= set(details["part"])
