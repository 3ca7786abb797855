"""Accuracy, F1 and AUC for normal and abnormal samples, their intervals and details."""

import numpy as np
import pytest
from sklearn import metrics as sklearn

from benchmarks.intervals import auc_limits
from phenorep import statistics
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


def test_intervals_are_over_groups_and_draws():
    truth, probabilities = predictions(300, draws=4)
    alone = scoring.intervals(truth, probabilities, np.arange(300))
    wells = scoring.intervals(truth, probabilities, np.arange(300) // 30)
    value = scoring.metrics(truth, probabilities)
    for name in scoring.NAMES:
        low, high = alone[name]
        assert low < value[name].mean() < high
    # Draws that differ widen it.
    apart = np.stack([truth.astype(float), np.full(300, 0.6), np.full(300, 0.6)])
    drawn, alike = (scoring.intervals(truth, rated, np.arange(300))["accuracy"] for rated in (apart, apart[[1, 1, 1]]))
    assert drawn[1] - drawn[0] > 0.3 > alike[1] - alike[0]
    # One group alone tells next to nothing.
    for low, high in scoring.intervals(truth, probabilities, np.zeros(300)).values():
        assert high - low > 0.7
    assert wells["accuracy"] != alone["accuracy"]
    # A normal interval of a share, for single samples and one draw.
    low, high = scoring.intervals(truth, probabilities[:1], np.arange(300))["accuracy"]
    share = value["accuracy"][0]
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(share * (1 - share) / 300), rel=0.02)


def test_intervals_hold_at_the_end_of_the_scale():
    truth = np.arange(130) % 2 == 0
    rated = np.where(truth, 0.9, 0.1)[None]
    # With averages over batches, the two samples of the last one decide as much as the 32 of any other.
    for batch, least in ((None, 0.96), (32, 0.9)):
        for low, high in scoring.intervals(truth, rated, np.arange(130), batch).values():
            assert least < low < 0.98
            assert high == 1


def test_the_interval_of_an_auc_is_newcombes_nearly():
    """The jackknife's variance against the one that Newcombe takes, of 40 abnormal and 90 normal samples."""
    generator = np.random.default_rng(3)
    truth = np.arange(130) < 40
    rated = 1 / (1 + np.exp(-generator.normal(truth * 1.5, 1)))
    low, high = scoring.intervals(truth, rated[None], np.arange(130))["auc"]
    won = statistics.wins(rated[truth], rated[~truth])
    strata = np.zeros(40), np.zeros(90)
    assert (low, high) == pytest.approx(auc_limits(won, np.ones_like(won), np.arange(40), strata), abs=0.03)


def test_intervals_do_not_depend_on_how_many_weights_are_held(monkeypatch):
    truth, probabilities = predictions(50)
    whole = scoring.intervals(truth, probabilities, np.arange(50) // 5)
    monkeypatch.setattr(scoring, "_AT_ONCE", 300)
    parts = scoring.intervals(truth, probabilities, np.arange(50) // 5)
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
    scores, details = scoring.summarise(made, [result], ["something"])
    assert [(score.metric, score.control) for score in scores] == [
        (name, kind) for name in ("accuracy", "f1", "auc") for kind in ("none", "shuffled")
    ]
    values = {score.metric: score.value for score in scores if score.control == "none"}
    drawn = details[details["part"] == "draw"]
    for name, value in values.items():
        assert drawn.loc[drawn["metric"] == name, "value"].mean() == pytest.approx(value)
        assert (drawn["metric"] == name).sum() == 3
    items = details[details["part"] == "item"]
    assert np.average(items["value"].astype(float), weights=items["weight"]) == pytest.approx(values["accuracy"])
    assert items["item"].nunique() == len(items) == 40
    wells = items["unit"].nunique()
    assert all((score.unit, score.units) == ("well", wells) for score in scores if score.control == "none")
    told = details[details["part"] == "prediction"]
    assert set(zip(told["truth"], told["artefact"], strict=True)) == {("normal", ""), ("abnormal", "debris")}
    np.testing.assert_allclose(told["probability"].astype(float), probabilities.mean(axis=0))
    assert details.loc[details["part"] == "confusion", "count"].sum() == 3 * 40
    assert details.loc[details["part"] == "chosen", ["key", "value"]].to_numpy().tolist() == [["neighbours", 3]]
    assert details.loc[details["part"] == "reason", "reason"].tolist() == ["something"]
    assert details.columns[0] == "part"
