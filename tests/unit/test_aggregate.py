"""Aggregation of rows and of their metadata."""

import numpy as np
import pandas as pd
import pytest

from phenorep.errors import NotRun, UserError
from phenorep.profiles import aggregate


def table(**columns) -> pd.DataFrame:
    base = {
        "Metadata_Plate": ["p1", "p1", "p2", "p2", "p1"],
        "Metadata_Well": ["A01", "A01", "A01", "B01", "B02"],
        "Metadata_Site": ["1", "2", "1", "1", "1"],
        "Metadata_Batch": ["b1", "b1", "b2", "b2", "b1"],
        "Metadata_Compound": ["taxol", "taxol", "taxol", "taxol", "dmso"],
        "Metadata_Concentration": [0.3, 0.3, 0.3, 1.0, np.nan],
        "Metadata_Control": ["positive", "positive", "positive", "", "negative"],
        "x_0000": np.array([1, 3, 8, 5, 7], np.float32),
        "x_0001": np.array([0, 0, 3, 1, 7], np.float32),
    }
    return pd.DataFrame(base | columns)


def run(data: pd.DataFrame, by, how: str = "mean") -> pd.DataFrame:
    return aggregate.transform(aggregate.Config(by, how), {}, data)


def test_treatments_are_compound_with_concentration_and_controls_are_dropped():
    found = run(table(), "treatment")
    assert found["Metadata_Treatment"].tolist() == ["taxol 0.3 uM", "taxol 1 uM"]
    assert found["x_0000"].tolist() == [4, 5]
    assert found["Metadata_Compound"].tolist() == ["taxol", "taxol"]
    assert found["Metadata_Batch"].tolist() == [["b1", "b2"], ["b2"]]


def test_two_steps_weigh_plates_alike_and_join_sets():
    first = run(table(), ("treatment", "plate"))
    assert first["x_0000"].tolist() == [2, 8, 5]
    second = run(first, "treatment")
    assert second["x_0000"].tolist() == [5, 5]
    assert second["Metadata_Plate"].tolist() == [["p1", "p2"], ["p2"]]
    assert second["Metadata_Site"].tolist() == [["1", "2"], ["1"]]


@pytest.mark.parametrize(("how", "expected"), [("mean", 4.0), ("median", 3.0), ("lower_median", 3.0)])
def test_middle_of_three(how, expected):
    assert run(table(), "treatment", how)["x_0000"].iloc[0] == expected


def test_lower_median_of_an_even_count_is_a_value_that_occurs():
    assert run(table(), "well", "lower_median")["x_0000"].iloc[0] == 1
    assert run(table(), "well", "median")["x_0000"].iloc[0] == 2


def test_wells_of_different_plates_are_different_and_keep_plain_metadata():
    found = run(table(), "well")
    assert (found["Metadata_Plate"] + found["Metadata_Well"]).tolist() == ["p1A01", "p1B02", "p2A01", "p2B01"]
    assert found["Metadata_Concentration"].dtype == float
    assert np.isnan(found["Metadata_Concentration"][1])
    assert found["Metadata_Site"].tolist() == [["1", "2"], ["1"], ["1"], ["1"]]


def test_the_order_of_rows_does_not_matter():
    shuffled = table().sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(run(shuffled, "treatment", "median"), run(table(), "treatment", "median"))


def test_perturbations_come_before_compounds_and_doses_stand_in_for_concentrations():
    genes = table(Metadata_Perturbation=["g1", "g1", "", "", ""])
    assert run(genes, "treatment")["Metadata_Treatment"].tolist() == ["g1", "taxol 0.3 uM", "taxol 1 uM"]
    ranks = table(Metadata_Dose=[3, 3, 3, 4, 0]).drop(columns="Metadata_Concentration")
    assert run(ranks, "treatment")["Metadata_Treatment"].tolist() == ["taxol dose 3", "taxol dose 4"]


def test_many_features_are_summarised_in_parts():
    values = np.random.default_rng(0).normal(size=(5, 300)).astype(np.float32)
    wide = table().drop(columns=["x_0000", "x_0001"])
    wide = pd.concat([wide, pd.DataFrame(values, columns=[f"x_{i:04d}" for i in range(300)])], axis=1)
    found = run(wide, "plate").filter(like="x_").to_numpy()
    np.testing.assert_allclose(found, [values[[0, 1, 4]].astype(float).mean(0), values[[2, 3]].astype(float).mean(0)])


def test_only_controls_is_no_result():
    with pytest.raises(NotRun, match="negative controls"):
        run(table(Metadata_Control=["negative"] * 5), "treatment")


def test_no_compound_names_the_column():
    with pytest.raises(UserError, match="Metadata_Compound"):
        run(table().drop(columns="Metadata_Compound"), "treatment")


def test_mixed_values_cannot_be_grouped_again():
    with pytest.raises(UserError, match="several values of Metadata_Concentration"):
        run(run(table(), "compound"), "treatment")


@pytest.mark.parametrize("by", ["wells", (), ("well", "well")])
def test_unknown_levels_are_refused(by):
    with pytest.raises(ValueError, match="by must be"):
        aggregate.Config(by)
