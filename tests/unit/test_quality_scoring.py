"""Accuracy, F1 and AUC for normal and abnormal samples, their intervals and details."""

import numpy as np
import pytest
from sklearn import metrics as sklearn

from phenorep.quality import scoring, splits
from phenorep.quality.scoring import Result
from phenorep.quality.splits import LabelConfig
from tests.unit.made_labels import table


def predictions(count=200, draws=3, seed=0):
    generator = np.random.default_rng(seed)
    truth = generator.random(count) < 0.4
    probabilities = np.clip(truth * 0.3 + generator.normal(0.35, 0.25, (draws, count)), 0, 1).round(1)  # with ties
    return truth, probabilities


def test_metrics_are_those_of_scikit_learn():
    truth, probabilities = predictions()
    found = scoring.metrics(truth, probabilities)
    for draw, rated in enumerate(probabilities):
        assert found["accuracy"][draw] == pytest.approx(sklearn.accuracy_score(truth, rated > 0.5))
        assert found["f1"][draw] == pytest.approx(sklearn.f1_score(truth, rated > 0.5, average="weighted"))
        assert found["auc"][draw] == pytest.approx(sklearn.roc_auc_score(truth, rated))


def test_weights_are_repetitions():
    truth, probabilities = predictions(40)
    often = np.random.default_rng(1).integers(0, 3, (5, 40))
    found = scoring._weighted(truth, probabilities, often.astype(float), None)
    for number, counts in enumerate(often):
        rows = np.repeat(np.arange(40), counts)
        expected = scoring.metrics(truth[rows], probabilities[:, rows])
        for name in scoring.NAMES:
            np.testing.assert_allclose(found[name][number], expected[name])


def test_means_of_batches_give_a_small_last_batch_as_much_weight():
    """200 predictions in batches of 32: six full ones and one of 8, so steps of 1/224 where 1/200 is right."""
    truth = np.arange(200) % 2 == 0
    for wrong, expected in ((0, 1 / 224), (199, 1 / 56)):
        rated = truth.astype(float)
        rated[wrong] = 1 - rated[wrong]
        right = scoring.metrics(truth, rated[None])["accuracy"][0]
        mean = scoring.metrics(truth, rated[None], batch=32)["accuracy"][0]
        assert right == pytest.approx(199 / 200)
        assert 1 - mean == pytest.approx(expected)
    generator = np.random.default_rng(0)
    rated = np.where(generator.random(200) < 0.9, truth, ~truth)[None].astype(float)
    mean = scoring.metrics(truth, rated, batch=32)["accuracy"][0]
    assert mean * 224 == pytest.approx(round(mean * 224))
    assert mean * 200 != pytest.approx(round(mean * 200))


def test_batches_where_a_metric_is_not_defined_are_left_out():
    truth = np.repeat([True, False, True, False], [4, 4, 2, 2])
    rated = np.linspace(0, 1, 12)[None]
    found = scoring.metrics(truth, rated, batch=4)
    assert found["auc"][0] == pytest.approx(sklearn.roc_auc_score(truth[8:], rated[0, 8:]))
    assert np.isnan(scoring.metrics(truth[:4], rated[:, :4])["auc"][0])


def test_intervals_draw_groups_and_draws():
    truth, probabilities = predictions(300, draws=4)
    alone = scoring.intervals(truth, probabilities, np.arange(300), seed=0)
    wells = scoring.intervals(truth, probabilities, np.arange(300) // 30, seed=0)
    value = scoring.metrics(truth, probabilities)
    for name in scoring.NAMES:
        low, high = alone[name]
        assert low < value[name].mean() < high
    # Draws that differ widen it, also where all samples are of one group.
    apart = np.stack([truth.astype(float), np.full(300, 0.6), np.full(300, 0.6)])
    one = scoring.intervals(truth, apart, np.zeros(300), seed=0)["accuracy"]
    assert one[1] - one[0] > 0.3
    assert wells["accuracy"] != alone["accuracy"]
    # A normal interval of a share, for single samples and one draw.
    low, high = scoring.intervals(truth, probabilities[:1], np.arange(300), seed=0)["accuracy"]
    share = value["accuracy"][0]
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(share * (1 - share) / 300), rel=0.15)


def test_intervals_do_not_depend_on_how_many_weights_are_held(monkeypatch):
    truth, probabilities = predictions(50)
    whole = scoring.intervals(truth, probabilities, np.arange(50) // 5, seed=0)
    monkeypatch.setattr(scoring, "_AT_ONCE", 300)
    parts = scoring.intervals(truth, probabilities, np.arange(50) // 5, seed=0)
    for name, limits in whole.items():
        assert parts[name] == pytest.approx(limits)


@pytest.mark.parametrize("average", ["samples", "batch_mean"])
def test_details_stand_behind_the_scores(average):
    config = LabelConfig(labels=(60,), test=40, average=average)
    made = splits.design(config, splits.labelled(table(), config.groups), None, 0)
    truth = made.judged.abnormal[made.test]
    probabilities = np.clip(truth + np.random.default_rng(0).normal(0, 0.5, (3, 40)), 0, 1)
    control = np.random.default_rng(1).random((4, 40))
    result = Result("classifier=knn, labels=60", probabilities, control, {"neighbours": 3})
    scores, details = scoring.summarise(made, [result], ["something"], 0)
    assert [(score.metric, score.control) for score in scores] == [
        (name, kind) for name in ("accuracy", "f1", "auc") for kind in ("none", "shuffled")
    ]
    values = {score.metric: score.value for score in scores if score.control == "none"}
    drawn = details[details["part"] == "draw"]
    for name, value in values.items():
        assert drawn.loc[drawn["metric"] == name, "value"].mean() == pytest.approx(value)
        assert (drawn["metric"] == name).sum() == 3
    items = details[details["part"] == "item"]
    if average == "samples":
        assert items["value"].mean() == pytest.approx(values["accuracy"])
        assert items["item"].nunique() == len(items) == 40
    else:
        assert items.empty  # their mean is not the metric
    told = details[details["part"] == "prediction"]
    assert set(zip(told["truth"], told["artefact"], strict=True)) == {("normal", ""), ("abnormal", "debris")}
    np.testing.assert_allclose(told["probability"].astype(float), probabilities.mean(axis=0))
    assert details.loc[details["part"] == "confusion", "count"].sum() == 3 * 40
    assert details.loc[details["part"] == "chosen", ["key", "value"]].to_numpy().tolist() == [["neighbours", 3]]
    assert details.loc[details["part"] == "reason", "reason"].tolist() == ["something"]
    assert details.columns[0] == "part"
