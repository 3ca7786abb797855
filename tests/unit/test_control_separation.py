"""Separation of control wells, with a discriminant and without."""

import numpy as np
import pandas as pd
import pytest

from phenorep import configuration
from phenorep.errors import NotRun, UserError
from phenorep.evaluations import Inputs, control_separation, distances


def wells(plates=1, positive=8, negative=16, treated=0, features=30, shift=0.0, seed=0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    rows = []
    for plate in range(plates):
        kinds = ["positive"] * positive + ["negative"] * negative + [""] * treated
        for number, kind in enumerate(kinds):
            values = generator.normal(size=features) + plate * 3
            values[0] += shift * (kind != "negative")
            rows.append((f"p{plate}", f"{'ABCDEFGH'[number % 8]}{number // 8 + 1:02d}", kind, *values))
    names = ["Metadata_Plate", "Metadata_Well", "Metadata_Control", *(f"x_{i:04d}" for i in range(features))]
    return pd.DataFrame(rows, columns=names)


def run(table, **keys):
    config = control_separation.Config(**{"null_draws": 2, **keys})
    scores, details = control_separation.evaluate(config, Inputs(profiles=table), seed=0)
    return {(score.metric, score.control): score for score in scores}, details


@pytest.mark.parametrize("features", [12, 60])
def test_direction_is_that_of_a_ledoit_wolf_covariance(features):
    from sklearn.covariance import LedoitWolf

    generator = np.random.default_rng(0)
    values = generator.normal(size=(40, features)) @ generator.normal(size=(features, features))
    labels = np.arange(40) < 15
    within = values - np.where(labels[:, None], values[labels].mean(0), values[~labels].mean(0))
    deviation = within.std(axis=0)
    covariance = LedoitWolf(assume_centered=True).fit(within / deviation).covariance_
    expected = np.linalg.solve(covariance, (values[labels].mean(0) - values[~labels].mean(0)) / deviation) / deviation
    np.testing.assert_allclose(control_separation.discriminant(values, labels), expected, rtol=1e-6)


@pytest.mark.parametrize("plates", [1, 3])
def test_a_clear_effect_is_found_and_none_among_controls(plates):
    found, _ = run(wells(plates, shift=10))
    assert found["auc", "none"].value > 0.99
    assert found["auc_distance", "none"].value > 0.95
    assert found["auc", "none"].n == 24 * plates
    for metric in ("auc", "auc_distance"):
        assert found[metric, "null"].value == pytest.approx(0.5, abs=0.25)
        assert found[metric, "null"].n == 2
        assert found[metric, "none"].chance == 0.5


def test_no_effect_scores_near_a_half_over_many_screens():
    values = [run(wells(seed=seed))[0] for seed in range(15)]
    assert np.mean([found["auc", "none"].value for found in values]) == pytest.approx(0.5, abs=0.1)
    assert np.mean([found["auc_distance", "none"].value for found in values]) == pytest.approx(0.5, abs=0.1)


def test_intervals_contain_the_value_and_items_average_to_it():
    found, details = run(wells(shift=1.5))
    for metric in ("auc", "auc_distance"):
        score = found[metric, "none"]
        assert score.ci_low < score.value < score.ci_high
        items = details[(details["part"] == "item") & (details["metric"] == metric)]
        assert len(items) == 8
        assert np.average(items["value"], weights=items["weight"]) == pytest.approx(score.value)
        assert (score.unit, score.units) == ("well", 8)
        reference = details[(details["part"] == "reference") & (details["metric"] == metric)]
        assert len(reference) == 16
        assert reference["value"].mean() == pytest.approx(score.value, abs=0.02)


def test_units_are_compounds_where_all_treated_wells_are_compared():
    table = wells(positive=0, treated=10, shift=1).assign(Metadata_Compound="DMSO")
    table.loc[table["Metadata_Control"] == "", "Metadata_Compound"] = [f"drug {number // 2}" for number in range(10)]
    found, details = run(table, positive="treated")
    assert (found["auc", "none"].unit, found["auc", "none"].units) == ("compound", 5)
    assert details.loc[details["part"] == "item", "unit"].nunique() == 5


def test_pairs_are_capped_by_a_key_and_drawn_by_seed():
    table = wells(shift=1)
    first, details = run(table, max_pairs=20)
    assert details.loc[(details["metric"] == "auc") & (details["part"] == "item"), "weight"].sum() == 20
    assert first == run(table, max_pairs=20)[0]


def test_distance_of_a_negative_control_is_to_the_others():
    values = np.array([[0.0], [2.0], [4.0], [9.0]])
    found = distances(values, np.array([True, True, True, False]), np.array(["p"] * 4))
    assert found.tolist() == [3, 0, 3, 7]


def test_plates_without_both_kinds_are_left_out_and_stated():
    table = wells(3, shift=5)
    table.loc[table["Metadata_Plate"] == "p1", "Metadata_Control"] = "negative"
    found, details = run(table)
    assert found["auc", "none"].n == 48
    assert "plate p1 is left out: it has 0 positive" in details.loc[details["part"] == "reason", "reason"].iloc[0]


def test_treated_wells_take_the_place_of_positive_ones():
    table = wells(positive=0, treated=10, shift=10)
    with pytest.raises(NotRun, match="'positive: treated'"):
        run(table)
    assert run(table, positive="treated")[0]["auc", "none"].value > 0.95


def test_an_empty_well_is_not_treated():
    table = wells(positive=0, treated=10, shift=10).assign(Metadata_Compound="drug")
    count = run(table, positive="treated")[0]["auc", "none"].n
    table.loc[table["Metadata_Control"] == "", "Metadata_Compound"] = ["drug"] * 8 + [""] * 2
    assert run(table, positive="treated")[0]["auc", "none"].n == count - 2


def test_no_negative_control_is_an_error_that_names_the_column():
    with pytest.raises(UserError, match="Metadata_Control"):
        run(wells(negative=0))


def test_one_positive_well_leaves_the_discriminant_out():
    found, details = run(wells(positive=1, shift=10))
    assert ("auc", "none") not in found
    assert found["auc_distance", "none"].value == 1
    assert details.loc[details["part"] == "reason", "reason"].str.contains("two positive wells").any()


def test_constant_features_do_no_harm():
    found, _ = run(wells(shift=10).assign(x_0029=0.1))
    assert found["auc", "none"].value > 0.99
    found, _ = run(wells().assign(**{f"x_{i:04d}": 1.0 for i in range(30)}))
    assert found["auc", "none"].value == found["auc_distance", "none"].value == 0.5


def test_a_key_of_an_earlier_version_names_its_successor():
    study = {"dataset": "s", "samples": "c", "methods": ["random"], "evaluations": ["control_separation"], "profiles": ["w"]}
    config = {
        "name": "n",
        "datasets": {"s": {"use": "simulated"}},
        "samples": {"c": {"use": "nuclei"}},
        "methods": {"random": {}},
        "profiles": {"w": [{"aggregate": {"by": "well"}}]},
        "evaluations": {"control_separation": {"permutations": 5}},
        "studies": {"n": {**study, "seeds": [0]}},
    }
    with pytest.raises(UserError, match="'permutations' was replaced by 'null_draws'"):
        configuration.resolve(config)
    with pytest.raises(ValueError, match="null_draws must be 2 or more, not 1"):
        control_separation.Config(null_draws=1)
