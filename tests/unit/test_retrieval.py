"""Mean average precision of wells against copairs, and what cross-fitting and nulls add."""

import numpy as np
import pandas as pd
import pytest

from phenorep import contracts
from phenorep.errors import NotRun
from phenorep.evaluations import Inputs, retrieval

FAST = retrieval.Config(null_size=1000, permutations=3, null_draws=2)


def wells(plates: int = 3, controls: int = 6, effect: float = 3.0, count: int = 6, seed: int = 0) -> pd.DataFrame:
    """Four compounds of two mechanisms, one well each on every plate, beside negative controls."""
    generator = np.random.default_rng(seed)
    rows = []
    for plate in range(plates):
        kinds = [("DMSO", "", "negative")] * controls + [(f"c{number}", f"moa{number // 2}", "") for number in range(4)]
        for well, (compound, moa, control) in enumerate(kinds):
            values = generator.normal(size=count)
            if moa:
                values[int(moa[-1])] += effect
            rows.append((f"p{plate}", f"A{well:02d}", compound, moa, control, *values))
    names = ["Metadata_Plate", "Metadata_Well", "Metadata_Compound", "Metadata_MoA", "Metadata_Control"]
    return pd.DataFrame(rows, columns=[*names, *contracts.feature_names("x", count)])


def evaluate(table, config=FAST):
    scores, details = retrieval.evaluate(config, Inputs(profiles=table), 0)
    values = {score.metric: score.value for score in scores if score.control == "none"}
    return values, details, scores


def items(details, metric):
    rows = details[(details["part"] == "item") & (details["metric"] == metric)]
    return rows.set_index("item")[["value", "p", "q", "wells"]].astype(float)


def from_copairs(table, tmp_path, **pairs):
    from copairs.map import average_precision, mean_average_precision

    table = table.reset_index(drop=True)
    meta, values = table.filter(like="Metadata_"), table.filter(like="x_").to_numpy()
    found = average_precision(meta, values, **pairs, progress_bar=False)
    found = found[found["Metadata_Control"] == ""]
    same = pairs["pos_sameby"]
    tested = mean_average_precision(found, same, 20000, 0.05, 0, progress_bar=False, cache_dir=tmp_path)
    return tested.set_index(same[0])


def test_activity_is_what_copairs_gives(tmp_path):
    table = wells(effect=1.0)
    found = items(evaluate(table, retrieval.Config(permutations=1, null_draws=2))[1], "map_activity")
    expected = from_copairs(
        table,
        tmp_path,
        pos_sameby=["Metadata_Compound"],
        pos_diffby=[],
        neg_sameby=["Metadata_Plate"],
        neg_diffby=["Metadata_Control"],
    )
    np.testing.assert_allclose(found["value"], expected.loc[found.index, "mean_average_precision"], atol=1e-6)
    np.testing.assert_allclose(found["p"], expected.loc[found.index, "p_value"], atol=0.02)
    np.testing.assert_allclose(found["q"], expected.loc[found.index, "corrected_p_value"], atol=0.03)


def test_consistency_is_what_copairs_gives(tmp_path):
    table = wells(effect=1.0)
    found = items(evaluate(table, retrieval.Config(permutations=1, null_draws=2))[1], "map_consistency")
    expected = from_copairs(
        table[table["Metadata_Control"] == ""],
        tmp_path,
        pos_sameby=["Metadata_MoA"],
        pos_diffby=["Metadata_Compound"],
        neg_sameby=[],
        neg_diffby=["Metadata_MoA"],
    )
    np.testing.assert_allclose(found["value"], expected.loc[found.index, "mean_average_precision"], atol=1e-6)
    np.testing.assert_allclose(found["p"], expected.loc[found.index, "p_value"], atol=0.02)


def test_scores_are_means_of_the_details_and_shares_count_q():
    values, details, scores = evaluate(wells(effect=2.0))
    for metric, share in (("map_activity", "share_active"), ("map_consistency", "share_consistent")):
        found = items(details, metric)
        assert values[metric] == pytest.approx(found["value"].mean())
        assert values[share] == pytest.approx((found["q"] < 0.05).mean())
        assert values[share] == pytest.approx(items(details, share)["value"].mean())
    assert {score.control for score in scores if score.metric == "map_activity"} == {"none", "null"}
    assert {score.control for score in scores if score.metric == "map_consistency"} == {"none", "shuffled"}
    assert {score.unit for score in scores if score.metric == "map_activity" and score.control == "none"} == {"compound"}


def test_strong_effects_are_found_and_no_effects_are_not():
    strong, none = evaluate(wells(plates=6, effect=8.0))[0], evaluate(wells(plates=6, effect=0.0))[0]
    assert strong["map_activity"] > 0.95
    assert strong["share_active"] == 1
    assert none["share_active"] == 0
    assert none["map_activity"] < 0.7


def test_a_collapsed_encoder_gets_the_lowest_score_not_the_highest():
    table = wells()
    table[contracts.feature_names("x", 6)] = 1.0
    values, _, _ = evaluate(table)
    assert values["map_activity"] < 0.3
    assert values["share_active"] == values["share_consistent"] == 0


def test_controls_of_other_plates_serve_where_asked_for():
    table = wells()
    table = table[(table["Metadata_Plate"] != "p1") | (table["Metadata_Control"] == "")]
    _, details, _ = evaluate(table)
    assert "fewer than 3 negative-control wells are not scored: p1 (0)" in " ".join(details["reason"].dropna())
    assert (items(details, "map_activity")["wells"] == 2).all()
    _, details, _ = evaluate(table, retrieval.Config(controls="all", null_size=1000, permutations=1, null_draws=2))
    assert (items(details, "map_activity")["wells"] == 3).all()


def test_a_treatment_of_one_well_and_a_mechanism_of_one_compound_are_listed():
    table = wells()
    single = table[table["Metadata_Compound"] == "c0"].head(1)
    table = table[table["Metadata_Compound"] != "c0"]
    third = table[table["Metadata_Compound"] == "c1"].assign(
        Metadata_Compound="c9", Metadata_MoA="moa9", Metadata_Well="B01"
    )
    table = pd.concat([table, single, third], ignore_index=True)
    _, details, _ = evaluate(table)
    left = details[details["part"] == "left_out"].set_index(["metric", "item"])["reason"]
    assert "no replicate" in left["map_activity", "c0"]
    assert "one compound only" in left["map_consistency", "moa9"]
    assert "c0" not in items(details, "map_activity").index
    assert set(items(details, "map_consistency").index) == {"moa0", "moa1"}


def test_without_controls_or_mechanisms_the_other_score_is_left():
    table = wells()
    values, details, _ = evaluate(table[table["Metadata_Control"] == ""])
    assert set(values) == {"map_consistency", "share_consistent"}
    assert "negative control" in " ".join(details["reason"].dropna())
    values, details, _ = evaluate(table.drop(columns="Metadata_MoA"))
    assert set(values) == {"map_activity", "share_active"}
    assert "no Metadata_MoA" in " ".join(details["reason"].dropna())
    with pytest.raises(NotRun, match=r"nothing can be retrieved.*Metadata_Control"):
        evaluate(table[table["Metadata_Control"] == ""].drop(columns="Metadata_MoA"))


def test_the_activity_without_a_control_is_that_of_a_table_without_it():
    table = wells(effect=1.0, controls=5)
    _, details, _ = evaluate(table)
    without = details[details["part"] == "reference"].set_index("item")["value"]
    assert len(without) == 15
    # No step refits these profiles: what a control hides in does not matter, so that its row can be taken out by hand.
    left = table[~((table["Metadata_Plate"] == "p1") & (table["Metadata_Well"] == "A02"))]
    assert evaluate(left)[0]["map_activity"] == pytest.approx(without["p1/A02"])


def test_a_table_without_compounds_has_no_activity_and_says_so():
    with pytest.raises(NotRun, match="neither Metadata_Compound nor Metadata_Perturbation"):
        evaluate(wells().drop(columns=["Metadata_Compound", "Metadata_MoA"]))


def test_perturbations_stand_in_for_compounds():
    table = wells()
    renamed = table.rename(columns={"Metadata_Compound": "Metadata_Perturbation"})
    renamed.loc[renamed["Metadata_Control"] == "negative", "Metadata_Perturbation"] = ""
    assert evaluate(renamed)[0] == evaluate(table)[0]


def test_wells_without_a_mechanism_are_left_out_and_counted():
    table = wells()
    table.loc[table["Metadata_Compound"] == "c0", "Metadata_MoA"] = ""
    _, details, _ = evaluate(table)
    assert "3 wells without a mechanism" in " ".join(details["reason"].dropna())
    assert set(items(details, "map_consistency").index) == {"moa1"}


@pytest.mark.parametrize("keys", [{"null_size": 10}, {"permutations": 0}, {"null_draws": 1}, {"threshold": 1.0}])
def test_settings_out_of_range_are_refused(keys):
    with pytest.raises(ValueError, match=next(iter(keys))):
        retrieval.Config(**keys)
