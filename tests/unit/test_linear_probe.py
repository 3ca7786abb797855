"""Linear probe on embeddings of samples."""

import numpy as np
import pandas as pd
import pytest

from phenorep.errors import NotRun
from phenorep.evaluations import Inputs, linear_probe


def samples(signal=3.0, plates=3, wells=6, each=10, seed=0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    rows = []
    for plate in range(plates):
        for well in range(wells):
            for number in range(each):
                values = generator.normal(size=6)
                values[well % 3] += signal
                rows.append((f"p{plate}", f"A{well:02d}", f"{plate}/{well}/{number}", f"m{well % 3}", *values))
    names = ["Metadata_Plate", "Metadata_Well", "Sample", "Metadata_MoA", *(f"x_{i:04d}" for i in range(6))]
    return pd.DataFrame(rows, columns=names)


def run(table, **keys):
    scores, details = linear_probe.evaluate(linear_probe.Config(**keys), Inputs(embeddings=table), seed=0)
    return {score.control: score for score in scores}, details


def test_a_linear_label_is_read_and_shuffled_ones_are_not():
    found, details = run(samples())
    assert found["none"].value > 0.9
    assert found["none"].ci_low < found["none"].value < found["none"].ci_high
    assert found["shuffled"].value < 0.6
    items = details[details["part"] == "item"]
    assert len(items) == 180
    assert details.loc[details["part"] == "confusion", "count"].sum() == 180


def test_more_signal_scores_higher():
    values = [run(samples(signal), permutations=1)[0]["none"].value for signal in (0, 1, 4)]
    assert values == sorted(values)
    assert values[0] == pytest.approx(1 / 3, abs=0.12)


def test_held_out_groups_are_never_seen():
    """Features that only name the plate are of no use on another plate."""
    table = samples(signal=0)
    table["Metadata_MoA"] = table["Metadata_Plate"].map({"p0": "m0", "p1": "m1", "p2": "m2"})
    table["x_0000"] = table["Metadata_Plate"].map({"p0": 0.0, "p1": 9.0, "p2": 20.0})
    assert run(table, permutations=1)[0]["none"].value == 0
    assert run(table, permutations=1, groups="Metadata_Well")[0]["none"].value == 1


def test_classes_weigh_alike():
    labels = np.array(["a"] * 9 + ["b"])
    assert linear_probe.balanced_accuracy(labels, np.array(["a"] * 10)) == 0.5


def test_compounds_are_independent_where_a_label_has_several_else_wells():
    table = samples()
    alone = run(table)[0]["none"]
    assert (alone.unit, alone.units) == ("well", 18)
    place = table["Metadata_Well"].str[-1].astype(int)
    table["Metadata_Compound"] = "c" + place.astype(str)  # two of each mechanism
    found, details = run(table)
    assert (found["none"].unit, found["none"].units) == ("compound", 6)
    assert set(details.loc[details["part"] == "item", "unit"]) == {f"c{number}" for number in range(6)}
    assert found["none"].value == alone.value
    for target in ("Metadata_Compound", "Metadata_Treatment"):
        table["Metadata_Treatment"] = table["Metadata_Compound"] + " " + table["Metadata_Plate"].str[-1]
        read = run(table, target=target, groups="Metadata_Well", permutations=1)[0]["none"]
        assert (read.unit, read.units) == ("well", 18)


def test_wells_without_a_compound_stand_for_themselves():
    table = samples()
    place = table["Metadata_Well"].str[-1].astype(int)
    table["Metadata_Compound"] = ("c" + place.astype(str)).where(place > 0, "")
    found, _ = run(table)
    assert (found["none"].unit, found["none"].units) == ("compound", 5 + 3)


def test_weights_make_the_mean_the_metric():
    _, details = run(samples(signal=1).iloc[:-25])
    items = details[details["part"] == "item"]
    value = np.average(items["value"].astype(float), weights=items["weight"])
    labels, predicted = (items[column].to_numpy(dtype=str) for column in ("truth", "predicted"))
    assert value == pytest.approx(linear_probe.balanced_accuracy(labels, predicted))


def test_samples_without_label_are_not_used_and_many_are_drawn_by_seed():
    table = samples()
    table.loc[table["Metadata_Well"] == "A00", "Metadata_MoA"] = ""
    found, details = run(table, max_samples=90, permutations=1)
    assert found["none"].n == 90
    reasons = details.loc[details["part"] == "reason", "reason"].tolist()
    assert reasons == ["30 samples without Metadata_MoA are not used.", "90 of 150 samples were drawn (max_samples)."]
    assert found == run(table, max_samples=90, permutations=1)[0]


def test_the_order_of_the_rows_changes_nothing():
    table = samples(signal=1)
    table.loc[table["Metadata_Well"] == "A00", "Metadata_MoA"] = ""
    shuffled = table.iloc[np.random.default_rng(2).permutation(len(table))].reset_index(drop=True)
    first, second = (run(rows, max_samples=90, permutations=2) for rows in (table, shuffled))
    assert first[0] == second[0]
    pd.testing.assert_frame_equal(first[1], second[1], check_exact=True)


@pytest.mark.parametrize(
    ("table", "keys", "message"),
    [
        (samples(plates=1), {}, "Metadata_Well' for a single plate"),
        (samples().assign(Metadata_MoA="m"), {}, "1 value"),
        (samples(), {"target": "Label_Quality"}, "no column Label_Quality"),
        (samples(), {"target": "Sample"}, "too many to be classes"),
    ],
)
def test_what_cannot_be_probed_says_why(table, keys, message):
    with pytest.raises(NotRun, match=message):
        run(table, **keys)
