"""Collecting scores and costs, and the mark of a leak."""

import json

import pandas as pd
import pytest

from phenorep import contracts, costs, records, scores
from phenorep.errors import UserError


def score_file(path, **values):
    row = dict.fromkeys(contracts.SCORE_COLUMNS, "")
    row |= {"value": 1 / 3, "ci_low": 0.123456789123, "ci_high": None, "n": 12, "seed": "0", "metric": "nsc"} | values
    contracts.write_scores(pd.DataFrame([row])[list(contracts.SCORE_COLUMNS)], path)
    return path


def test_scores_are_sorted_and_the_same_bytes_whatever_the_order(tmp_path):
    paths = [
        score_file(tmp_path / f"{n}.csv", method=name, seed=s) for n, (name, s) in enumerate([("b", 0), ("a", 1), ("a", 0)])
    ]
    records.write(tmp_path / "none.csv", "no weights", "scores")
    scores.collect([*paths, tmp_path / "none.csv"], tmp_path / "one.csv")
    scores.collect([tmp_path / "none.csv", *reversed(paths)], tmp_path / "two.csv")
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    found = contracts.read_scores(tmp_path / "one.csv")
    assert found[["method", "seed"]].to_numpy().tolist() == [["a", "0"], ["a", "1"], ["b", "0"]]
    assert found["n"].tolist() == [12, 12, 12]
    scores.collect([tmp_path / "one.csv"], tmp_path / "again.csv")
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "again.csv").read_bytes()


def test_no_score_leaves_the_header(tmp_path):
    scores.collect([], tmp_path / "out.csv")
    assert len(contracts.read_scores(tmp_path / "out.csv")) == 0


SHOWN = {
    "samples": "screen/cells",
    "labels": "Metadata_Compound",
    "where": None,
    "shown": {"Metadata_Compound": ["taxol"]},
    "wells": ["p1/A01"],
    "compounds": ["taxol"],
}
EVALUATED = pd.DataFrame(
    {"Metadata_Plate": ["p1"], "Metadata_Well": ["B02"], "Metadata_Compound": ["taxol"], "Metadata_MoA": ["m"]}
)


@pytest.mark.parametrize(
    ("change", "evaluated", "expected"),
    [
        ({}, EVALUATED, "compound"),
        ({}, EVALUATED.assign(Metadata_Compound="other"), "none"),
        ({}, EVALUATED.assign(Metadata_Well="A01"), "well"),
        ({}, EVALUATED.assign(Metadata_Plate=[["p0", "p1"]], Metadata_Well=[["A01", "B02"]]), "well"),
        ({"samples": "elsewhere/cells"}, EVALUATED.assign(Metadata_Well="A01"), "compound"),
        ({"labels": None, "shown": {}, "wells": [], "compounds": []}, EVALUATED, "none"),
        ({"labels": "Metadata_Batch", "shown": {"Metadata_Batch": ["1"]}}, EVALUATED.assign(Metadata_Well="A01"), "none"),
        ({"labels": "Metadata_MoA", "shown": {"Metadata_MoA": ["m"]}, "compounds": ["other"]}, EVALUATED, "compound"),
        ({"wells": None}, EVALUATED, "well"),
        ({"wells": None, "where": "Split == 'train'"}, EVALUATED, "compound"),
    ],
)
def test_leak_says_what_the_training_labels_showed(change, evaluated, expected):
    assert scores.leak([SHOWN | change], evaluated, "screen") == expected


WELLS = pd.concat([EVALUATED, EVALUATED.assign(Metadata_Well="A01")], ignore_index=True)


@pytest.mark.parametrize(
    ("change", "control", "expected"),
    [
        ({"wells": ["p1/A01", "p1/B02"]}, ["negative", ""], "control"),
        ({"wells": None}, ["negative", ""], "control"),
        # The labels were of controls alone, or of treated wells alone: they did not tell the ones from the others.
        ({"wells": ["p1/B02"]}, ["negative", ""], "well"),
        ({"wells": ["p1/A01"]}, ["negative", ""], "well"),
        ({"wells": ["p1/A01", "p1/B02"]}, ["", ""], "well"),
        ({"wells": ["p1/A01", "p1/B02"], "labels": "Metadata_Batch"}, ["negative", ""], "none"),
        ({"wells": ["p2/A01", "p2/B02"]}, ["negative", ""], "compound"),
    ],
)
def test_labels_that_tell_controls_from_treated_wells_leak_into_scores_relative_to_controls(change, control, expected):
    table = WELLS.assign(Metadata_Control=control)
    assert scores.leak([SHOWN | change], table, "screen", with_controls=True) == expected
    assert scores.leak([SHOWN | change], table, "screen") == expected.replace("control", "well")


HELD_OUT = {"column": "Metadata_Compound", "values": ["taxol"]}


@pytest.mark.parametrize(
    ("change", "evaluated", "expected"),
    [
        # Aggregated, plates and wells are listed apart: what looks like a shown well is one of another compound.
        ({"wells": ["p1/A01", "p2/B02"]}, EVALUATED.assign(Metadata_Plate=[["p1", "p2"]]), "none"),
        ({"compounds": ["taxol"]}, EVALUATED, "none"),
        ({"wells": None}, EVALUATED, "none"),
        ({"wells": ["p1/B02"]}, pd.concat([EVALUATED, EVALUATED.assign(Metadata_Compound="other")]), "well"),
        (
            {"compounds": ["other"], "shown": {"Metadata_Compound": ["other"]}},
            pd.concat([EVALUATED, EVALUATED.assign(Metadata_Compound="other")]),
            "compound",
        ),
        # A row of two compounds of which one was shown.
        ({}, EVALUATED.assign(Metadata_Compound=[["other", "taxol"]]), "compound"),
        # The column that says what was held out is not there.
        ({"wells": ["p1/B02"]}, EVALUATED.drop(columns="Metadata_Compound"), "well"),
    ],
)
def test_rows_that_a_source_held_out_were_not_shown_by_it(change, evaluated, expected):
    assert scores.leak([SHOWN | {"held_out": HELD_OUT} | change], evaluated, "screen") == expected


def test_another_source_may_have_shown_what_one_held_out():
    sources = [SHOWN | {"held_out": HELD_OUT}, SHOWN]
    assert scores.leak(sources, EVALUATED, "screen") == "compound"


def test_what_an_encoder_of_elsewhere_has_seen_is_unknown():
    elsewhere = {"samples": "elsewhere", "labels": None}
    assert scores.leak([elsewhere], EVALUATED, "screen") == "unknown"
    assert scores.leak([elsewhere, SHOWN], EVALUATED, "screen") == "compound"
    assert scores.most(["unknown", "none"]) == "unknown"
    assert scores.most([]) == "none"


def test_labels_of_the_target_itself_are_a_leak():
    source = SHOWN | {"labels": "Label_Quality", "shown": {"Label_Quality": ["normal"]}, "wells": ["p1/B02"]}
    assert scores.leak([source], EVALUATED, "screen") == "none"
    assert scores.leak([source], EVALUATED, "screen", target="Label_Quality") == "well"


@pytest.mark.parametrize("label", ["Metadata_Control", "Metadata_Dose"])
def test_labels_of_controls_and_doses_are_a_leak(label):
    source = SHOWN | {"labels": label, "shown": {label: ["1"]}, "wells": ["p1/B02"]}
    assert scores.leak([source], EVALUATED, "screen") == "well"


def test_sources_are_found_in_encoders_side_by_side():
    other = {"samples": "rxrx1/fields", "labels": None}
    about = {
        "encoder": {"trained_on": [SHOWN]},
        "blocks": {"a": {"trained_on": json.dumps([other])}, "b": {"trained_on": [SHOWN]}},
    }
    assert len(scores.trained_on(about)) == 2
    assert scores.trained_on_text(about) == "rxrx1/fields; screen/cells (Metadata_Compound)"
    assert scores.trained_on_text({"encoder": {"recipe": "random"}}) == ""


BENCHMARK = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def test_costs_are_tidy_and_keep_what_was_not_measured_empty(tmp_path):
    (tmp_path / "long.tsv").write_text(BENCHMARK + "61.5\t0:01:01\t512.3\t1\t1\t1\t0\t0\t99\t60.1\n")
    (tmp_path / "short.tsv").write_text(BENCHMARK + "0.1\t0:00:00\tNA\tNA\tNA\tNA\tNA\tNA\tNA\tNA\n")
    entries = [
        {
            "path": str(tmp_path / "long.tsv"),
            "rule": "pretrain",
            "dataset": "d",
            "method": "simclr",
            "seed": 0,
            "unknown": 1,
        },
        {"path": str(tmp_path / "short.tsv"), "rule": "fields", "dataset": "d", "plate": "p1"},
        {"path": str(tmp_path / "gone.tsv"), "rule": "fields", "dataset": "d", "plate": "p2"},
    ]
    costs.collect(entries, tmp_path / "costs.csv")
    found = costs.read(tmp_path / "costs.csv")
    assert list(found.columns) == list(costs.COLUMNS)
    assert found["rule"].tolist() == ["fields", "pretrain"]
    assert found.loc[1, ["seed", "epoch", "seconds", "cpu_seconds", "max_rss_mb"]].tolist() == ["0", "", 61.5, 60.1, 512.3]
    assert pd.isna(found.loc[0, "max_rss_mb"])


def test_another_table_is_no_benchmark(tmp_path):
    (tmp_path / "x.tsv").write_text("a\tb\n1\t2\n")
    with pytest.raises(UserError, match=r"x\.tsv: no benchmark"):
        costs.collect([{"path": tmp_path / "x.tsv"}], tmp_path / "costs.csv")
