"""Matching of treatments to mechanisms, on a table of ten treatments that is worked out by hand."""

import numpy as np
import pandas as pd
import pytest
import yaml

from phenorep import plugins
from phenorep.errors import NotRun, UserError
from phenorep.evaluations import Inputs, moa_matching
from phenorep.report import published
from phenorep.report.tables import Measure

# Two features: the angle (degrees) alone decides a cosine. By hand:
#
# row          batches  MoA  angle   nsc: nearest of other compounds    nscb: ... that share no batch
# a1 low       1        A      0     b1 (5)    A right                  b1 shares 1; c1 (20) B wrong
# a1 high      1        A      2     b1 (3)    A right                  c1 (18) B wrong
# b1           1, 2     A      5     a1 high (3) A right                c1 (2, shared), d1 (3): 85; e1, e2: f1 (3) ...
# c1           2        B     20     b1 (15)   A wrong                  b1 shares 2; a1 high (18) A wrong
# d1           3        B     90     e1 (0)    C wrong                  e1 shares 3; e2 (10) C wrong
# e1           3        C     90     d1 (0)    B wrong                  d1 shares 3; f1 at 120: no; g1 (4): 70 (20) ...
# e2           4        C    100     d1 (10) and e1 (10) tie: d1 comes first by name: B wrong; the same for nscb
# f1           3        D    120     mechanism in one compound: no partner, left out of both
# g1           4        E     70     h1 (10): E right                   h1 shares 4: its only partner is gone, left out
# h1           4        E     60     g1 (10): E right                   left out
ROWS = [
    ("a1 high", "a1", ["1"], "A", 2),
    ("a1 low", "a1", ["1"], "A", 0),
    ("b1", "b1", ["1", "2"], "A", 5),
    ("c1", "c1", ["2"], "B", 20),
    ("d1", "d1", ["3"], "B", 90),
    ("e1", "e1", ["3"], "C", 90),
    ("e2", "e2", ["4"], "C", 100),
    ("f1", "f1", ["3"], "D", 120),
    ("g1", "g1", ["4"], "E", 70),
    ("h1", "h1", ["4"], "E", 60),
]
NSC = {
    "a1 high": ("b1", 1),
    "a1 low": ("b1", 1),
    "b1": ("a1 high", 1),
    "c1": ("b1", 0),
    "d1": ("e1", 0),
    "e1": ("d1", 0),
    "e2": ("d1", 0),
    "g1": ("h1", 1),
    "h1": ("g1", 1),
}
# Without shared batches a1 and b1 lose each other (batch 1) and with it mechanism A its partners; c1 keeps d1, d1 keeps c1,
# e1 and e2 keep each other. Of c1 (20): a1 high (18) is nearer than h1 (40). Of d1 (90): e2 (10). Of e1 (90): e2 (10).
# Of e2 (100): d1 and e1 (10 each), d1 first.
NSCB = {"c1": ("a1 high", 0), "d1": ("e2", 0), "e1": ("e2", 1), "e2": ("d1", 0)}


def by_hand(rows=ROWS) -> pd.DataFrame:
    table = pd.DataFrame(
        [row[:4] for row in rows], columns=["Metadata_Treatment", "Metadata_Compound", "Metadata_Batch", "Metadata_MoA"]
    )
    angle = np.radians([row[4] for row in rows])
    # Length must not matter to a cosine.
    return table.assign(
        x_0000=np.cos(angle) * np.arange(1, len(rows) + 1), x_0001=np.sin(angle) * np.arange(1, len(rows) + 1)
    )


def run(table, **keys):
    return moa_matching.evaluate(moa_matching.Config(**keys), Inputs(profiles=table), seed=0)


def pairs(details, metric) -> dict:
    rows = details[(details["part"] == "pair") & (details["metric"] == metric)]
    return {row.treatment: (row.neighbour, int(row.correct)) for row in rows.itertuples()}


def value(scores, metric, control="none"):
    return next((score for score in scores if (score.metric, score.control) == (metric, control)), None)


def test_ten_treatments_by_hand():
    scores, details = run(by_hand())
    assert pairs(details, "nsc") == NSC
    assert pairs(details, "nscb") == NSCB
    nsc, nscb = value(scores, "nsc"), value(scores, "nscb")
    assert (nsc.value, nsc.n) == (5 / 9, 9)
    assert (nscb.value, nscb.n) == (1 / 4, 4)
    assert (nsc.unit, nsc.units) == ("compound", details.loc[details["metric"] == "nsc", "unit"].nunique())
    # Treatments of one compound are matched rightly or wrongly together: wider than Wilson's interval for 5 of 9.
    assert nsc.ci_low < 0.2667 < 0.8112 < nsc.ci_high


def test_those_without_a_partner_are_listed():
    _, details = run(by_hand())
    left = details[details["part"] == "left_out"]
    assert left.loc[left["metric"] == "nsc", "treatment"].tolist() == ["f1"]
    nscb = left[left["metric"] == "nscb"]
    assert sorted(nscb["treatment"]) == ["a1 high", "a1 low", "b1", "f1", "g1", "h1"]
    assert nscb["reason"].str.contains("same mechanism").all()


def test_the_confusion_matrix_counts_every_pair():
    _, details = run(by_hand())
    confusion = details[(details["part"] == "confusion") & (details["metric"] == "nsc")]
    counts = {
        (row.truth, row.predicted): row.count for row in confusion[["truth", "predicted", "count"]].itertuples(name="R")
    }
    assert set(counts) == {("A", "A"), ("B", "A"), ("B", "C"), ("C", "B"), ("E", "E")}
    assert confusion["count"].sum() == 9


def test_the_order_of_rows_does_not_matter():
    first, details = run(by_hand())
    second, other = run(by_hand().sample(frac=1, random_state=1))
    assert first == second
    pd.testing.assert_frame_equal(details, other)


def test_one_batch_leaves_nscb_out_with_a_reason():
    for table in (by_hand().assign(Metadata_Batch="1"), by_hand().drop(columns="Metadata_Batch")):
        scores, details = run(table)
        assert value(scores, "nscb") is None
        assert value(scores, "nsc").value == 5 / 9
        assert details.loc[details["part"] == "reason", "reason"].str.contains("at least two batches").any()


def test_a_metric_that_another_block_has_is_left_out():
    both, details = run(by_hand())
    for metric in ("nsc", "nscb"):
        scores, alone = run(by_hand(), metrics=(metric,))
        assert scores == [score for score in both if score.metric == metric]
        assert pairs(alone, metric) == pairs(details, metric)
    for wrong in ([], ["nscc"]):
        with pytest.raises(UserError, match="metrics"):
            plugins.configure(moa_matching.Config, {"metrics": wrong}, "evaluations: moa_matching")
    scores, details = run(by_hand().assign(Metadata_Batch="1"), metrics=("nscb",))
    assert scores == []
    assert "at least two batches" in details["reason"].item()


def test_treatments_without_mechanism_are_no_neighbours():
    table = by_hand()
    table.loc[table["Metadata_Treatment"] == "b1", "Metadata_MoA"] = ""
    _, details = run(table)
    assert "b1" not in {neighbour for neighbour, _ in pairs(details, "nsc").values()}
    assert details.loc[details["part"] == "reason", "reason"].iloc[0].startswith("1 treatments without a mechanism")


def test_one_compound_does_not_run():
    with pytest.raises(NotRun, match="at least two compounds"):
        run(by_hand(ROWS[:2]))


def test_no_two_compounds_of_one_mechanism_gives_a_reason_and_no_nan():
    scores, details = run(by_hand([ROWS[0], ROWS[3], ROWS[5]]))
    assert scores == []
    assert details.loc[details["part"] == "reason", "reason"].str.contains("no treatment has a partner").all()


def test_a_mechanism_that_differs_between_replicates_is_an_error():
    with pytest.raises(UserError, match="Metadata_MoA has several values"):
        run(by_hand().assign(Metadata_MoA=[["A", "B"]] * 10))


def test_a_profile_of_zeros_is_similar_to_none():
    similarity = moa_matching.cosine(np.array([[0.0, 0], [1, 0], [3, 0]]))
    assert similarity.tolist() == [[0, 0, 0], [0, 1, 1], [0, 1, 1]]


def test_shuffled_mechanisms_score_near_chance():
    generator = np.random.default_rng(0)
    moas = np.repeat([f"m{i}" for i in range(6)], 10)
    centres = np.repeat(generator.normal(size=(6, 20)) * 5, 10, axis=0)
    table = pd.DataFrame(centres + generator.normal(size=(60, 20)), columns=[f"x_{i:04d}" for i in range(20)])
    names = [f"c{i:02d}" for i in range(60)]
    table = table.assign(Metadata_Treatment=names, Metadata_Compound=names, Metadata_MoA=moas)
    scores, _ = run(table)
    assert value(scores, "nsc").value == 1
    assert value(scores, "nsc", "shuffled").value == pytest.approx(9 / 59, abs=0.03)


# Four treatments as angles (degrees) in two encoders; the first was trained without p1 and q1, the second without p2 and q2.
#
# row  MoA  first  second   nearest in its own encoder's features
# p1   A        0       0   first: q2 (5) before p2 (10): B wrong   (second: p2, right)
# p2   A       10      10   second: p1 (10): A right                (first: q2 (5), wrong)
# q1   B       90      90   first: p2 (80) before q2 (85): A wrong  (second: q2, right)
# q2   B        5      80   second: q1 (10): B right                (first: p1 and p2 tie, wrong)
ANGLES = {"p1": ("A", 0, 0), "p2": ("A", 10, 10), "q1": ("B", 90, 90), "q2": ("B", 5, 80)}


def of_two_encoders() -> tuple[pd.DataFrame, dict]:
    names = list(ANGLES)
    table = pd.DataFrame({"Metadata_Treatment": names, "Metadata_Compound": names, "Metadata_MoA": [*"AABB"]})
    for number, block in ((1, "first_dna"), (2, "second_dna")):
        angle = np.radians([row[number] for row in ANGLES.values()])
        table = table.assign(**{f"{block}_0000": np.cos(angle) * number, f"{block}_0001": np.sin(angle) * number})
    own = {"first": ["p1", "q1"], "second": ["p2", "q2"]}
    return table, {
        name: {"blocks": [f"{name}_dna"], "held_out": {"column": "Metadata_Compound", "values": values}}
        for name, values in own.items()
    }


def test_each_treatment_is_matched_in_the_features_of_the_encoder_that_held_it_out():
    table, own = of_two_encoders()
    scores, details = moa_matching.evaluate(moa_matching.Config(), Inputs(profiles=table, alternatives=own), seed=0)
    assert pairs(details, "nsc") == {"p1": ("q2", 0), "p2": ("p1", 1), "q1": ("p2", 0), "q2": ("q1", 1)}
    assert value(scores, "nsc").value == 2 / 4
    assert {score.settings for score in scores} == {"held_out=Metadata_Compound"}
    assert {score.control for score in scores} == {"none", "shuffled"}
    assert set(details.loc[details["part"] == "pair", "settings"]) == {"held_out=Metadata_Compound"}
    similarity = details[details["part"] == "pair"].set_index("treatment")["similarity"]
    np.testing.assert_allclose(similarity[["p1", "q2"]], np.cos(np.radians([5, 10])), atol=1e-9)
    # Side by side, the features are those of all encoders for all treatments.
    _, both = run(table)
    assert pairs(both, "nsc")["p1"] == ("p2", 1)
    assert set(both.loc[both["part"] == "pair", "settings"]) == {""}


def test_a_treatment_that_no_encoder_held_out_is_a_neighbour_alone():
    table, own = of_two_encoders()
    own["first"]["held_out"]["values"] = ["q1"]
    scores, details = moa_matching.evaluate(moa_matching.Config(), Inputs(profiles=table, alternatives=own), seed=0)
    assert pairs(details, "nsc") == {"p2": ("p1", 1), "q1": ("p2", 0), "q2": ("q1", 1)}
    assert value(scores, "nsc").n == 3
    left = details[details["part"] == "left_out"].set_index("treatment")["reason"]
    assert left.to_dict() == {"p1": "no encoder was trained without it"}
    assert details.loc[details["part"] == "reason", "reason"].str.contains("Metadata_Compound: p1").any()


def test_a_treatment_of_several_batches_may_count_as_of_the_median_one():
    """b1 (5) is then of batch 1 alone, the lower of its two: c1 (20) and b1 may be matched to each other."""
    _, details = run(by_hand(), several_batches="median")
    # Of c1: b1 (15) is nearer than a1 high (18). b1 shares batch 1 with a1 still: no partner of its mechanism is left.
    assert pairs(details, "nscb") == NSCB | {"c1": ("b1", 0)}
    assert pairs(details, "nsc") == NSC
    batches = [["Week10", "Week2"], ["Week1", "Week10", "Week2"], ["Week1"], ["10", "9", "8"]]
    found = moa_matching._batches(pd.DataFrame({"Metadata_Batch": batches}), "median")
    assert found == [{"Week2"}, {"Week2"}, {"Week1"}, {"9"}]


@pytest.fixture
def bbbc021(shared_data) -> pd.DataFrame:
    """Treatments of BBBC021 that have a mechanism, from the published tables; their features are made up."""
    images = pd.read_csv(shared_data / "bbbc021" / "BBBC021_v1_image.csv.gz")
    moa = pd.read_csv(shared_data / "bbbc021" / "BBBC021_v1_moa.csv")
    names = ["Image_Metadata_Compound", "Image_Metadata_Concentration"]
    joined = images.merge(moa, left_on=names, right_on=["compound", "concentration"])
    joined = joined[joined["compound"] != "DMSO"]
    joined["batch"] = joined["Image_Metadata_Plate_DAPI"].str.split("_").str[0]
    groups = joined.groupby(["compound", "concentration"])
    table = groups.agg(Metadata_MoA=("moa", "first"), Metadata_Batch=("batch", lambda b: sorted(set(b)))).reset_index()
    table["Metadata_Compound"] = table["compound"]
    table["Metadata_Treatment"] = [f"{row.compound} {row.concentration:g} uM" for row in table.itertuples()]
    values = np.random.default_rng(0).normal(size=(len(table), 8))
    return pd.concat([table, pd.DataFrame(values, columns=[f"x_{i:04d}" for i in range(8)])], axis=1)


def test_published_bbbc021_table_leaves_out_what_the_data_say(bbbc021):
    """All treatments have a partner of another compound; without shared batches two mechanisms have none."""
    scores, details = run(bbbc021)
    assert len(bbbc021) == 103
    assert value(scores, "nsc").n == 103
    left = details[(details["part"] == "left_out") & (details["metric"] == "nscb")]
    # Taxol at 0.3 uM, the positive control, stands in every batch: it shares one with every other treatment.
    assert left["moa"].value_counts().to_dict() == {
        "Cholesterol-lowering": 6,
        "Kinase inhibitors": 5,
        "Microtubule stabilizers": 1,
    }
    assert left.loc[left["moa"] == "Microtubule stabilizers", "treatment"].tolist() == ["taxol 0.3 uM"]
    assert value(scores, "nscb").n == 91
    scores, details = run(bbbc021, several_batches="median")
    assert (value(scores, "nsc").n, value(scores, "nscb").n) == (103, 92)
    matched = details[(details["part"] == "pair") & (details["metric"] == "nscb")].set_index("treatment")
    assert matched.loc["taxol 0.3 uM", "batch"] == "Week5"  # the fifth of ten


@pytest.mark.parametrize(
    ("name", "method", "profile"), [("ws_dino", "dino_all", "tvn"), ("ws_dino_cells", "classical", "singh")]
)
def test_the_study_sets_the_published_figures_beside_as_many_treatments(bbbc021, name, method, profile):
    """Matchings as published are of 103 and 92 treatments, ours is of 91; the first are compared, NSC is judged once."""
    config = yaml.safe_load((plugins.ROOT.parent / "studies" / "ws_dino.yaml").read_text())
    study, counts, measures = config["studies"][name], {}, []
    for evaluation in study["evaluations"]:
        keys = dict(config["evaluations"][evaluation])
        if keys.pop("use", evaluation) != "moa_matching":
            continue
        scores, _ = run(bbbc021, permutations=1, **keys)
        counts[evaluation] = {score.metric: score.n for score in scores if score.control == "none"}
        for metric in counts[evaluation]:
            row = {"method": method, "profile": profile, "value": 0.5, "low": 0.4, "high": 0.6, "leak": "none"}
            row |= {"trained_on": [], "control": False, "n": value(scores, metric).n, "variant": ""}
            rows = pd.DataFrame([row])
            measures.append(Measure(name, evaluation, metric, "", "", True, (0, 1), rows))
    assert counts == {"moa_matching_as_published": {"nsc": 103, "nscb": 92}, "moa_matching": {"nscb": 91}}
    beside = published.compare(name, study, measures[::-1], pd.DataFrame(), config["studies"])
    assert beside.evaluations == ["moa_matching_as_published"]
    rows = [row for row in beside.rows if row["method"] == method and row["profile"] == profile]
    assert {(row["metric"], row["n"], row["final_n"]) for row in rows} == {("nsc", 103, 103), ("nscb", 92, 92)}
    # Along training, too: the second table of the paper is of saved epochs.
    assert study.get("saved_epochs", {}).get("evaluations", beside.evaluations) == beside.evaluations
