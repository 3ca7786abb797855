"""Published figures: the files that come with phenorep, and how a report sets what is measured beside them."""

import re
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from phenorep import contracts, plugins, statistics
from phenorep.errors import UserError
from phenorep.report import conditions, epochs, published, tables, verdict
from tests.unit.made_run import make_page, make_run_with_epochs

# As they stand in the paper: table -> rows of (NSC, NSCB) in per cent, None where it has none.
WS_DINO = {
    "1": [(91, 82), (92, 95), (92, 90), (98, 96), (100, 100)],
    "2": [(92, 95), (92, 90), (98, 96), (100, 100), (90, 90), (89, 83), (96, 93), (99, 99)],
    "3": [
        (98, 96),
        (95, 89),
        (90, 85),
        (94, 77),
        (93, None),
        (96, 95),
        (97, 85),
        (93, 82),
        (68, None),
        (96, 95),
        (91, None),
    ],
}
ROOT = Path(plugins.ROOT).parent


@pytest.fixture
def declared(monkeypatch):
    found = {("evaluations", "matching"): {"METRICS": {"nsc": {}, "nscb": {}}}, ("methods", "noise"): {"CONTROL": True}}
    monkeypatch.setattr(plugins, "constants", lambda kind, name: found.get((kind, name), {}))


@pytest.fixture
def plan(declared, tmp_path, monkeypatch):
    """A run with saved epochs and a file of published figures, `made`."""
    monkeypatch.setattr(published, "FOLDER", tmp_path)
    rows = [
        ("1", "Learned", "best", "nsc", 0.85, 24, "learned"),
        ("1", "Learned", "best", "nscb", 1.00, 200, "learned"),
        ("2", "Learned too", "best", "nsc", 0.85, 24, "learned"),
        ("2", "Learned", "mean", "nsc", 0.30, 24, "learned"),
        ("2", "Made elsewhere", "stated", "nsc", 0.5, 24, "other"),
        ("2", "Another's", "stated", "nsc", 0.9, 24, ""),
        ("2", "Not run", "stated", "nsc", 0.9, 24, "absent"),
    ]
    table = pd.DataFrame(rows, columns=["table", "row", "statistic", "metric", "value", "n", "method"])
    table["profile"] = np.where(table["method"] == "", "", "whitened")
    table = table.assign(source="nobody 2020", type="", weak_label="None", single_cell="", reference="", settings="")
    table[list(published.COLUMNS)].to_csv(tmp_path / "made.csv", index=False)
    plan = make_run_with_epochs(tmp_path)
    plan["studies"]["first"]["published"] = "made"
    return plan


def compared(plan: dict) -> published.Beside:
    study = plan["studies"]["first"]
    scores = contracts.read_scores(plan["files"]["scores"])
    judged = tables.measures("first", study, scores, plan).judged
    return published.compare("first", study, judged, epochs.summarise(study, scores, plan), plan["studies"])


def test_ws_dino_holds_what_the_paper_states():
    table = published.read("ws_dino")
    for name, rows in WS_DINO.items():
        own = table[table["table"] == name]
        wanted = [(metric, value / 100) for row in rows for metric, value in zip(("nsc", "nscb"), row, strict=True) if value]
        assert list(zip(own["metric"], own["value"], strict=True)) == wanted
    assert len(table) == 45
    assert (table["n"] == table["metric"].map({"nsc": 103, "nscb": 92})).all()
    trained = table["method"].isin(["dino_all", "ws_dino_treatment_all", "ws_dino_all", "ws_dino_moa_all"])
    assert (table.loc[trained, "statistic"] != "stated").all()
    assert (table.loc[~trained, "statistic"] == "stated").all()
    assert set(table.loc[trained & (table["statistic"] == "mean"), "table"]) == {"2"}


def test_ws_dino_shares_are_those_of_so_many_treatments():
    table = published.read("ws_dino")
    table = table[table["statistic"] != "mean"]  # a mean over epochs is of no whole number
    share = (table["value"] * table["n"]).round() / table["n"]
    np.testing.assert_allclose(share.round(2), table["value"])


FILES = sorted(path.stem for path in published.FOLDER.glob("*.csv"))


@pytest.mark.parametrize("name", FILES)
def test_every_method_named_stands_in_the_study(name):
    config = yaml.safe_load((ROOT / "studies" / f"{name}.yaml").read_text())
    studies = [study for study in config["studies"].values() if study.get("published") == name]
    assert studies
    table = published.read(name)
    for method, profile in set(zip(table["method"], table["profile"], strict=True)) - {("", "")}:
        profiles = [["none", *study.get("profiles", [])] for study in studies if method in study["methods"]]
        assert any(profile in names for names in profiles), (method, profile)


@pytest.mark.parametrize("name", FILES)
def test_settings_are_such_as_the_evaluations_give(name):
    """An evaluation along numbers of labels names its classifier and the number; others have one score per metric."""
    for text in set(published.read(name)["settings"]) - {""}:
        found = conditions.parts(text)
        assert set(found) == {"classifier", "labels"}, text
        assert found["classifier"] in ("knn", "linear", "forest", "fine_tuned")
        assert int(found["labels"]) > 0


@pytest.mark.parametrize("name", FILES)
def test_files_are_in_the_format_and_name_known_metrics(name):
    table = published.read(name)
    metrics = {m for name in plugins.names("evaluations") for m in plugins.constants("evaluations", name)["METRICS"]}
    assert set(table["metric"]) <= metrics


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": "98"}, "line 2: value: found '98', expected a share"),
        ({"value": "many"}, "value: found 'many'"),
        ({"n": "0"}, "n: found '0'"),
        ({"n": "10.5"}, "n: found '10.5'"),
        ({"statistic": "median"}, "expected one of stated, best, mean"),
        ({"metric": ""}, "the name of a metric"),
        ({"profile": ""}, "filled where 'method' is"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_line(plan, tmp_path, change, message):
    table = pd.read_csv(tmp_path / "made.csv", dtype=str, keep_default_na=False)
    table.loc[0, list(change)] = list(change.values())
    table.to_csv(tmp_path / "made.csv", index=False)
    with pytest.raises(UserError, match=re.escape(message)):
        published.read("made", tmp_path)


def test_a_missing_file_column_or_second_row_is_said(plan, tmp_path):
    with pytest.raises(UserError, match="Did you mean 'made'"):
        published.read("mado", tmp_path)
    table = pd.read_csv(tmp_path / "made.csv", dtype=str, keep_default_na=False)
    pd.concat([table, table.iloc[[0]]]).to_csv(tmp_path / "twice.csv", index=False)
    with pytest.raises(UserError, match="line 9: row"):
        published.read("twice", tmp_path)
    table.drop(columns="n").to_csv(tmp_path / "made.csv", index=False)
    with pytest.raises(UserError, match="expected the columns"):
        published.read("made", tmp_path)


def test_measured_values_are_of_the_published_statistic(plan):
    best, nscb, mean, other, *_ = compared(plan).rows
    assert best["tables"] == "1, 2"  # the same figure in two tables stands once
    assert (best["low"], best["high"]) == statistics.wilson(20, 24)
    assert best["final"] == pytest.approx((16 + 18) / 48)  # two seeds
    assert best["same"] == pytest.approx(20 / 24)
    assert best["how"].startswith("best of 6 epochs: ")
    assert best["difference"] == pytest.approx(100 * (20 / 24 - 0.85))
    assert best["words"] == "inside the published interval"
    assert nscb["words"] == "below the published interval"
    assert (mean["how"], mean["words"]) == ("mean of 3 epochs", "above the published interval")
    assert mean["same_low"] == pytest.approx(12 / 24)
    # Without saved epochs there is the last one alone.
    assert (other["same"], other["how"]) == (None, "")
    assert other["difference"] == pytest.approx(100 * (other["final"] - 0.5))


def test_figures_without_a_counterpart_stay_and_say_why(plan):
    study = plan["studies"]["first"]
    rows = {row["name"]: row for row in compared(plan).rows}
    assert rows["Another's"]["words"] == "no such method here"
    assert rows["Not run"]["words"] == "not in this study"
    assert rows["Not run"]["final"] is None
    plan["studies"]["second"] = study | {"methods": ["absent"]}
    assert compared(plan).rows[-1]["words"] == "see study second"
    del plan["studies"]["second"]
    study["methods"] = [*study["methods"], "absent"]
    assert compared(plan).rows[-1]["words"] == "no score; see what did not run"
    study["skip"] = {"absent": "no time"}
    assert compared(plan).rows[-1]["words"] == "skipped: no time"


def test_what_the_paper_lacks_is_listed_below(plan):
    others = {(row["method"], row["metric"], row["variant"]): row for row in compared(plan).others}
    held = "held_out=Metadata_Compound"
    noise = {("noise", "nsc", ""), ("noise", "nscb", "")}
    assert set(others) == noise | {("held", "nsc", held), ("held", "nscb", held), ("other", "nscb", "")}
    assert others["noise", "nsc", ""]["control"]
    assert all(row["value"] is None and row["difference"] is None for row in others.values())


def test_encoders_trained_without_what_is_scored_are_judged_with_the_rest(plan):
    scores = contracts.read_scores(plan["files"]["scores"])
    judged = tables.measures("first", plan["studies"]["first"], scores, plan).judged
    assert [measure.metric for measure in judged] == ["nsc", "nscb"]
    rows = judged[0].rows.set_index("method")
    assert rows.loc["held", "variant"] == "held_out=Metadata_Compound"
    assert not rows.loc["learned", "variant"]
    assert len(judged[0].units["held", "whitened"]) == 24
    assert any("held × whitened" in note for note in verdict.judge_all(judged)[0].notes)  # the best without a leak


def test_an_evaluation_that_stands_later_in_the_study_is_not_compared(plan, tmp_path):
    scores = contracts.read_scores(tmp_path / "scores.csv")
    again = scores.assign(evaluation="again", value=0.0)
    contracts.write_scores(pd.concat([again, scores]), tmp_path / "scores.csv")
    plan["studies"]["first"]["evaluations"] = ["matching", "again"]
    beside = compared(plan)
    assert beside.evaluations == ["matching"]
    assert beside.rows[0]["final"] > 0


@pytest.mark.parametrize(("labels", "nearest"), [(350, ""), (348, "labels=348"), (340, "labels=340"), (300, None)])
def test_the_nearest_number_of_labels_is_compared_and_named(plan, tmp_path, labels, nearest):
    rows = pd.read_csv(tmp_path / "made.csv", dtype=str, keep_default_na=False).assign(settings="labels=350")
    rows[rows["metric"] == "nsc"].drop_duplicates("row").to_csv(tmp_path / "made.csv", index=False)
    scores = contracts.read_scores(tmp_path / "scores.csv")
    far = scores.assign(settings="labels=100", value=0.0)
    contracts.write_scores(pd.concat([far, scores.assign(settings=f"labels={labels}")]), tmp_path / "scores.csv")
    beside = compared(plan)
    row = next(row for row in beside.rows if row["method"] == "other")
    if nearest is None:
        assert row["final"] is None
    else:
        assert row["final"] > 0
        assert row["nearest"] == nearest
        assert ("the nearest there is" in row["words"]) == bool(nearest)
        assert beside.groups[0]["nearest"] == nearest


def text_of(plan: dict, folder: Path) -> str:
    make_page(plan, str(folder / "page.html"), str(folder / "figures"))
    plain = re.sub(r"<svg.*?</svg>", "", (folder / "page.html").read_text(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", plain)))


def test_page_shows_published_and_measured_values(plan, tmp_path):
    text = text_of(plan, tmp_path)
    assert "Published: nobody 2020. Measured: matching." in text
    assert "Learned table 1, 2 nsc, best n = 24 0.85 0.641 to 0.933 learned whitened 0.708 0.658 to 0.758 0.833" in text
    assert "0.783 to 0.883 best of 6 epochs: 3, 4 -1.7 inside the published interval compound" in text
    assert "Made elsewhere table 2 nsc n = 24 0.50" in text
    assert "Another's table 2 nsc n = 24 0.90 0.742 to 0.977 – – – – no such method here –" in text
    assert "held whitened held_out=Metadata_Compound" in text
    data = pd.read_csv(tmp_path / "figures" / "published_first.csv")
    assert len(data) == 11
    assert re.search(r"nscb, best n = 200 1.00 0.981 to 1.000 learned whitened [\d.]+ [\d.]+ to [\d.]+ n = 20 ", text)
    assert "epochs 2 to 4, as far as they were saved" in text


def test_labels_that_nobody_knows_are_said_to_be_not_known(plan, tmp_path):
    text = text_of(plan, tmp_path)
    assert re.search(r"other whitened [\d. –to]+ not known", text)
    assert "unknown" not in text
    scores = contracts.read_scores(tmp_path / "scores.csv")
    contracts.write_scores(scores[scores["method"].isin(["other", "noise"])], tmp_path / "scores.csv")
    assert "What labels the encoder of other was trained on is not known" in text_of(plan, tmp_path)


def test_page_without_published_figures_or_saved_epochs_says_nothing_of_them(plan, tmp_path):
    del plan["studies"]["first"]["published"]
    scores = contracts.read_scores(tmp_path / "scores.csv")
    contracts.write_scores(scores[scores["epoch"] == "final"], tmp_path / "scores.csv")
    text = text_of(plan, tmp_path)
    assert "Measured beside published" not in text
    assert "Along training" not in text
