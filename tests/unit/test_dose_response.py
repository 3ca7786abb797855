"""Dose response."""

import numpy as np
import pandas as pd
import pytest

from phenorep.errors import NotRun, UserError
from phenorep.evaluations import Inputs, dose_response


def plate(slopes=(2.0, 0.0), doses=range(9), seed=0) -> pd.DataFrame:
    """Four replicates of each dose of each compound, and 12 negative controls; the highest dose is the positive control."""
    generator = np.random.default_rng(seed)
    rows = [("vehicle", 0, "negative", *generator.normal(size=5)) for _ in range(12)]
    for number, slope in enumerate(slopes):
        for dose in doses:
            kind = "positive" if dose == max(doses) else ""
            for _ in range(4):
                values = generator.normal(size=5)
                values[1] += slope * dose
                rows.append((f"c{number}", dose, kind, *values))
    names = ["Metadata_Compound", "Metadata_Dose", "Metadata_Control", *(f"x_{i:04d}" for i in range(5))]
    table = pd.DataFrame(rows, columns=names).assign(Metadata_Plate="p")
    return table.assign(Metadata_Well=[f"A{i:02d}" for i in range(len(table))])


def run(table, **keys):
    scores, details = dose_response.evaluate(dose_response.Config(**keys), Inputs(profiles=table), seed=0)
    return {(score.settings, score.control): score for score in scores}, details


def test_distance_grows_with_dose_for_the_active_compound_alone():
    found, _ = run(plate())
    active, idle = found["Metadata_Compound=c0", "none"], found["Metadata_Compound=c1", "none"]
    assert active.value > 0.95
    assert active.ci_low > 0.9
    assert abs(idle.value) < 0.4
    assert idle.ci_low < 0 < idle.ci_high
    assert active.n == 32  # doses 1 to 8, the positive controls among them; dose 0 is no dose
    assert found["Metadata_Compound=c0", "shuffled"].value == pytest.approx(0, abs=0.1)


def test_same_as_scipy():
    from scipy.stats import spearmanr

    table = plate()
    _, details = run(table)
    curve = details[(details["part"] == "curve") & (details["compound"] == "c1")]
    expected = spearmanr(curve["dose"], curve["distance"]).statistic
    assert run(table)[0]["Metadata_Compound=c1", "none"].value == pytest.approx(expected)


def test_the_curve_holds_every_well_and_the_negative_controls():
    _, details = run(plate())
    curve = details[details["part"] == "curve"]
    assert curve["compound"].value_counts().to_dict() == {"c0": 32, "c1": 32, "vehicle": 12}
    assert (curve["control"] == "positive").sum() == 8
    assert np.isfinite(curve["distance"]).all()


def test_concentrations_serve_where_there_is_no_dose():
    table = plate().rename(columns={"Metadata_Dose": "Metadata_Concentration"})
    assert run(table)[0]["Metadata_Compound=c0", "none"].value == run(plate())[0]["Metadata_Compound=c0", "none"].value
    mixed = plate().assign(Metadata_Concentration=np.nan)
    mixed["Metadata_Dose"] = mixed["Metadata_Dose"].astype(float)
    second = mixed["Metadata_Compound"] == "c1"
    mixed.loc[second, "Metadata_Concentration"] = mixed.loc[second, "Metadata_Dose"] / 10
    mixed.loc[second, "Metadata_Dose"] = np.nan
    assert {key: score.value for key, score in run(mixed)[0].items()} == pytest.approx(
        {key: score.value for key, score in run(plate())[0].items()}
    )
    with pytest.raises(NotRun, match="Metadata_Dose or Metadata_Concentration"):
        run(plate().drop(columns="Metadata_Dose"))


def test_few_doses_are_left_out_with_a_reason():
    table = plate()
    table = table[(table["Metadata_Compound"] != "c1") | (table["Metadata_Dose"] < 3)]
    found, details = run(table)
    assert {settings for settings, _ in found} == {"Metadata_Compound=c0"}
    left = details[details["part"] == "left_out"]
    assert left["reason"].tolist() == ["2 doses above 0, 3 are needed"]
    with pytest.raises(NotRun, match="no compound has 3 doses"):
        run(table[table["Metadata_Compound"] != "c0"])


def test_plates_are_measured_from_their_own_controls():
    first, second = plate(), plate(seed=1).assign(Metadata_Plate="q")
    columns = [f"x_{i:04d}" for i in range(5)]
    second[columns] += 1000
    assert run(pd.concat([first, second], ignore_index=True))[0]["Metadata_Compound=c0", "none"].value > 0.95


def test_no_negative_control_is_an_error_that_names_the_column():
    with pytest.raises(UserError, match="Metadata_Control"):
        run(plate().assign(Metadata_Control=""))
