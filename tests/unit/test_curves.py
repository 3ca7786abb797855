"""Scores along the number of labels: what is judged, what is drawn, and the tables."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from phenorep import contracts, plugins
from phenorep.report import conditions, curves, drawing, epochs, published, tables
from phenorep.report.published import COLUMNS
from tests.unit.made_quality import DECLARED, KINDS, LABELS, REACHED, make_quality_run, share
from tests.unit.made_run import make_page


@pytest.fixture(autouse=True)
def declared(monkeypatch):
    monkeypatch.setattr(plugins, "constants", lambda kind, name: DECLARED.get((kind, name), {}))


@pytest.fixture
def plan(tmp_path):
    return make_quality_run(tmp_path)


def measured(plan: dict) -> tables.Measures:
    return tables.measures("labels", plan["studies"]["labels"], contracts.read_scores(plan["files"]["scores"]), plan)


def test_settings_are_taken_apart():
    assert conditions.split("classifier=knn, labels=350", "labels") == ("classifier=knn", 350)
    assert conditions.split("labels=10, compound=a, b", "labels") == ("compound=a, b", 10)
    assert conditions.split("labels=50", "labels") == ("", 50)
    for text in ("classifier=knn", "labels=many", ""):
        rest, value = conditions.split(text, "labels")
        assert rest == text
        assert np.isnan(value)
    assert conditions.same("labels=350, classifier=knn") == conditions.same("classifier=knn, labels=350")


def test_the_end_of_a_curve_is_where_most_were_scored():
    rows = pd.DataFrame(
        [(m, n) for m in "abc" for n in (10, 350)] + [("d", 340), ("d", 10)], columns=["method", "labels"]
    ).assign(metric="accuracy", subset="", profile="none")
    rows["settings"] = [f"labels={n}" for n in rows["labels"]]
    # One method had ten labels less: it is compared where the others were scored too.
    assert set(rows.loc[conditions.ends(rows, "labels"), "labels"]) == {10}
    same = rows[rows["method"] != "d"]
    assert set(same.loc[conditions.ends(same, "labels"), "labels"]) == {350}
    assert conditions.ends(rows.assign(settings="other=1"), "labels").all()


def test_the_first_metric_at_the_end_of_each_curve_is_judged(plan):
    found = measured(plan)
    settings = ["classifier=knn, labels=350", "classifier=linear, labels=350", "classifier=fine_tuned, labels=350"]
    assert [measure.settings for measure in found.judged] == settings
    assert {measure.metric for measure in found.judged} == {"accuracy"}
    assert [(measure.metric, measure.settings) for measure in found.behind] == [("auc", text) for text in settings]
    assert len(found.curves) == 2 * 3 * len(LABELS)
    assert len(found.judged[0].units["learned", "none"]["unit"].unique()) == 26  # wells of the largest number alone


def test_settings_of_other_evaluations_are_judged_as_before(plan, monkeypatch):
    monkeypatch.setattr(plugins, "constants", lambda *_: {})
    found = measured(plan)
    assert {measure.settings for measure in found.judged if measure.evaluation == "sorting"} == {"mean over 6 settings"}
    assert not found.curves


def test_figure_draws_every_point_of_each_representation(plan, tmp_path):
    with drawing.style():
        made = {figure.name: figure for figure in curves.draw("labels", measured(plan), tmp_path)}
    assert list(made) == ["curve_labels_labels_accuracy", "curve_labels_labels_auc"]  # what is judged comes first
    data = pd.read_csv(tmp_path / "curve_labels_labels_accuracy.csv")
    assert len(data) == len(REACHED) * 3 * len(LABELS)
    row = data[(data["method"] == "learned") & (data["panel"] == "fine_tuned") & (data["labels"] == 50)].iloc[0]
    assert row["value"] == pytest.approx(share("learned", 50))
    assert (row["shuffled"], row["evaluation"]) == (0.5, "tuning")
    assert set(data.loc[data["control"], "method"]) == {"noise"}
    for text in (">knn<", ">linear<", ">fine_tuned<", ">350<", ">shuffled labels<"):
        assert text in made["curve_labels_labels_accuracy"].svg


def test_tables_are_those_of_the_paper(plan):
    made = curves.tables(measured(plan))
    wide, *along = made
    assert wide["heads"] == [(f"{kind}, labels = 350", 2) for kind in ("knn", "linear", "fine_tuned")]
    assert wide["columns"] == ["accuracy", "auc"] * 3
    assert [row["method"] for row in wide["rows"]] == ["photographs", "learned", "noise"]  # controls last
    assert not wide["profiles"]
    first = wide["rows"][0]["cells"]
    assert first[1]["value"] == pytest.approx(share("photographs", 350, "auc"))
    assert first[0]["best"]
    assert not wide["rows"][1]["cells"][0]["best"]
    assert [table["title"] for table in along] == [f"{kind}: accuracy by labels" for kind in ("knn", "linear", "fine_tuned")]
    assert along[0]["columns"] == ["350", "50", "10"]
    assert along[0]["rows"][1]["cells"][2]["value"] == pytest.approx(share("learned", 10))


def test_panels_of_one_name_tell_their_evaluation(plan):
    scores = contracts.read_scores(plan["files"]["scores"])
    again = scores[scores["evaluation"] == "sorting"].assign(evaluation="tuning")
    contracts.write_scores(pd.concat([scores, again]), plan["files"]["scores"])
    names = set(curves.panels(measured(plan).curves).values())
    assert names == {"sorting knn", "sorting linear", "tuning knn", "tuning linear", "fine_tuned"}


def test_saved_epochs_are_compared_at_the_end_of_the_curve(plan):
    scores = contracts.read_scores(plan["files"]["scores"])
    saved = scores[(scores["method"] == "learned") & (scores["control"] == "none")]
    contracts.write_scores(pd.concat([scores, saved.assign(epoch="1", value=0.5)]), plan["files"]["scores"])
    found = epochs.summarise(plan["studies"]["labels"], contracts.read_scores(plan["files"]["scores"]), plan)
    assert set(found["settings"]) == {f"classifier={kind}, labels=350" for kinds in KINDS.values() for kind in kinds}


@pytest.fixture
def compared(plan, tmp_path, monkeypatch):
    """The plan with published figures by settings, in two tables; a second study has the methods of the second one."""
    monkeypatch.setattr(published, "FOLDER", tmp_path)
    rows = [
        ("1", "Photographs", "accuracy", "labels=350, classifier=knn", 0.97, "photographs"),
        ("1", "Photographs", "auc", "classifier=knn, labels=350", 0.96, "photographs"),
        ("1", "Learned", "accuracy", "classifier=knn, labels=350", 0.80, "learned"),
        ("1", "Nobody's", "accuracy", "classifier=knn, labels=350", 0.70, ""),
        ("2", "Learned", "accuracy", "classifier=fine_tuned, labels=10", 0.65, "learned"),
        ("3", "Learned", "accuracy", "classifier=knn, labels=350", 0.55, "moved"),
    ]
    table = pd.DataFrame(rows, columns=["table", "row", "metric", "settings", "value", "method"])
    table["profile"] = np.where(table["method"] == "", "", "none")
    table = table.assign(
        source="nobody 2020", type="", weak_label="", single_cell="", reference="", statistic="stated", n=130
    )
    table[list(COLUMNS)].to_csv(tmp_path / "made.csv", index=False)
    study = plan["studies"]["labels"]
    study["published"] = "made"
    plan["studies"]["moved"] = study | {"methods": ["moved"], "samples": "others"}
    return plan


def test_published_figures_are_matched_by_their_settings(compared):
    study, found = compared["studies"]["labels"], measured(compared)
    beside = published.compare("labels", study, [*found.judged, *found.curves], pd.DataFrame(), compared["studies"])
    assert beside.evaluations == ["sorting", "tuning"]
    values = {(row["name"], row["metric"], row["tables"]): row["final"] for row in beside.rows}
    assert values["Photographs", "accuracy", "1"] == pytest.approx(share("photographs", 350))  # in whatever order they stand
    assert values["Photographs", "auc", "1"] == pytest.approx(share("photographs", 350, "auc"))
    assert values["Learned", "accuracy", "2"] == pytest.approx(share("learned", 10))
    assert values["Learned", "accuracy", "3"] is None
    # What the paper lacks at its own settings, and nothing at others.
    others = {(row["method"], row["metric"], row["settings"]) for row in beside.others}
    knn, tuned = "classifier=knn, labels=350", "classifier=fine_tuned, labels=10"
    assert others == {
        *(("noise", "accuracy", text) for text in (knn, tuned)),
        *((method, "auc", knn) for method in ("learned", "noise")),
        ("photographs", "accuracy", tuned),
    }


def test_published_figures_stand_by_table_and_settings(compared):
    study, found = compared["studies"]["labels"], measured(compared)
    beside = published.compare("labels", study, [*found.judged, *found.curves], pd.DataFrame(), compared["studies"])
    first, second, third = beside.groups
    assert first["title"] == "Table 1: classifier=knn, labels=350"
    assert [line["name"] for line in first["lines"]] == ["Photographs", "Learned", "Nobody's", "noise"]
    assert first["lines"][0]["cells"]["auc"]["difference"] == pytest.approx(100 * (share("photographs", 350, "auc") - 0.96))
    assert (second["title"], second["measured"]) == ("Table 2: classifier=fine_tuned, labels=10", True)
    assert (third["measured"], third["words"], third["figures"]) == (False, "see study moved", 1)
    assert first["metrics"] == ["accuracy", "auc"]
    assert not first["order"]  # two methods have no order worth a correlation


def test_the_order_of_published_and_measured_values_is_compared(compared, tmp_path):
    table = pd.read_csv(tmp_path / "made.csv", dtype=str, keep_default_na=False)
    table.loc[3, ["method", "profile"]] = "noise", "none"
    table.to_csv(tmp_path / "made.csv", index=False)
    study, found = compared["studies"]["labels"], measured(compared)
    beside = published.compare("labels", study, [*found.judged, *found.curves], pd.DataFrame(), compared["studies"])
    assert beside.groups[0]["order"] == {"accuracy": (pytest.approx(1), 3)}


def test_page_shows_curves_and_published_tables(compared, tmp_path):
    compared = json.loads(json.dumps(compared))
    make_page(compared, str(tmp_path / "r" / "page.html"), str(tmp_path / "r" / "figures"))
    page = (tmp_path / "r" / "page.html").read_text()
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)))
    assert "Scores at the largest value of labels knn, labels = 350 linear, labels = 350 fine_tuned, labels = 350" in text
    assert "photographs 0.950 0.910 to 0.990 0.940 0.950" in text
    assert "Table 2: classifier=fine_tuned, labels=10" in text
    assert "Table 3: classifier=knn, labels=350: 1 figures; see study moved" in text
    assert text.count("Above the controls (best: noise, 0.600) and above every other method.") == 3
    assert (tmp_path / "r" / "figures" / "published_labels_accuracy.csv").is_file()
    confusions = list((tmp_path / "r" / "figures").glob("confusion_*.svg"))
    assert len(confusions) == 3  # one for each way to classify, not for each number of labels
