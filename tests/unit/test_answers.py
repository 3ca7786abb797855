"""The table of answers, and the first lines of the page, which show it."""

import json

import numpy as np
import pandas as pd
import pytest

from phenorep import contracts, plugins
from phenorep.checksums import Damaged
from phenorep.report import answers, verdict
from tests.unit.made_run import make_run, score

TASK = "match compounds by mechanism of action"
DECLARED = {
    ("methods", "noise"): {"CONTROL": True},
    ("evaluations", "matching"): {"TASK": TASK, "METRICS": {"nsc": {"range": [0, 1]}, "nscb": {"range": [0, 1]}}},
}
CONTROL = ("noise", 0.2)


@pytest.fixture(autouse=True)
def declared(monkeypatch):
    monkeypatch.setattr(plugins, "constants", lambda kind, name: DECLARED.get((kind, name), {}))


def plan_of(folder, *scored: dict, simulated: bool = False, plates: int = 6) -> dict:
    """A run of one study, with these rows of scores."""
    contracts.write_scores(pd.DataFrame(scored, columns=list(contracts.SCORE_COLUMNS)), folder / "scores.csv")
    methods = list(dict.fromkeys(row["method"] for row in scored))
    study = {"dataset": "made", "samples": "cells", "methods": methods, "profiles": ["raw"], "seeds": [0, 1]}
    return {
        "config": {"methods": {name: {"use": name} for name in methods}, "evaluations": {"matching": {"use": "matching"}}},
        "studies": {"study": {**study, "evaluations": ["matching"]}},
        "datasets": {"made": {"about": {"simulated": simulated}, "plates": [f"p{place}" for place in range(plates)]}},
        "files": {"scores": str(folder / "scores.csv"), "details": []},
    }


def rows(*values: tuple[str, float], metric: str = "nsc", half: float = 0.05, **more) -> list[dict]:
    """Scores of two seeds each."""
    facts = {"unit": "compound", "units": 24, **more}
    return [
        score(method, "raw", "matching", metric, value, ci_low=value - half, ci_high=value + half, seed=seed, **facts)
        for method, value in values
        for seed in (0, 1)
    ]


def answered(folder, *scored: dict, **more) -> list[answers.Answer]:
    plan = plan_of(folder, *scored, **more)
    answers.make(plan, folder / "answers.csv")
    return answers.shown(plan, answers.read(folder / "answers.csv"))


def test_an_answer_says_what_to_use_and_how_sure_that_is(tmp_path):
    (clear,) = answered(tmp_path, *rows(("a", 0.9), ("b", 0.5), CONTROL))
    assert (clear.use, clear.row["verdict"], clear.row["task"]) == ("a × raw", "clear", TASK)
    assert clear.why == "above the controls (best: noise × raw, 0.200) and above every other method"
    assert clear.score == "0.900 [0.850, 0.950]"
    assert (clear.row["unit"], clear.row["units"]) == ("compound", 24)
    assert (clear.row["bound"], clear.row["bound_value"]) == ("noise × raw", 0.2)
    assert clear.cautions == ()
    (tied,) = answered(tmp_path, *rows(("a", 0.62), ("b", 0.6), ("c", 0.6), CONTROL))
    assert (tied.use, tied.row["verdict"]) == ("a × raw, or one tied with it", "tied")
    assert tied.why.endswith("and so are b × raw and c × raw, which cannot be told apart from it")
    (empty,) = answered(tmp_path, *rows(("a", 0.6), ("noise", 0.58)))
    assert (empty.use, empty.row["verdict"]) == ("none: not shown to beat the controls", "not informative")
    assert empty.why == "a × raw is the highest, but not shown to beat the control noise × raw (0.580)"
    (easy,) = answered(tmp_path, *rows(("a", 1.0), ("noise", 0.995)))
    assert (easy.use, easy.row["verdict"]) == ("any of them", "saturated")
    assert answered(tmp_path, *rows(CONTROL))[0].row["verdict"] == "no result"
    (unscored,) = answered(tmp_path)
    assert (unscored.row["verdict"], unscored.row["metric"], unscored.why) == ("no result", "nsc", "nothing was scored")


def test_a_score_that_noise_gets_is_not_valid(tmp_path):
    scored = rows(("a", 0.9), validity="not valid")
    null = {"control": "null", "n": 20, "chance": 0.5, "ci_low": 0.5, "ci_high": 0.7}
    scored += [score("a", "raw", "matching", "nsc", value, seed=seed, **null) for seed, value in ((0, 0.6), (1, 0.64))]
    (found,) = answered(tmp_path, *scored, *rows(CONTROL))
    assert (found.row["verdict"], found.use) == ("not valid", "none: the score cannot be trusted")
    assert found.why == "a × raw is the highest, but noise alone gets 0.620 here, where chance is 0.500"
    assert found.null == "0.620 (0.500 to 0.700)"
    # One seed that noise gets as well is enough.
    scored[0]["validity"] = "valid"
    assert answered(tmp_path, *scored, *rows(CONTROL))[0].row["verdict"] == "not valid"


def test_an_answer_warns_of_what_it_does_not_say(tmp_path):
    scored = rows(("a", 0.9), ("b", 0.5), CONTROL, leak="compound", validity="null not measurable")
    (found,) = answered(tmp_path, *[row for row in scored if row["seed"] == 0], plates=2)
    wanted = "its training labels showed the compound", "one seed", "null not measurable", "for these 2 plates alone"
    assert found.cautions == wanted
    outdated = rows(("a", 0.9), ("b", 0.5), CONTROL, trained_on="made/cells, changed since")
    (found,) = answered(tmp_path, *outdated)
    assert found.cautions == ("trained before its samples were made anew",)
    # Another seed would not change what is not trained.
    plan = plan_of(tmp_path, *[row for row in scored if row["seed"] == 0], plates=2) | {"seeded": ["b", "noise"]}
    answers.make(plan, tmp_path / "answers.csv")
    (found,) = answers.shown(plan, answers.read(tmp_path / "answers.csv"))
    assert found.cautions == tuple(text for text in wanted if text != "one seed")
    (found,) = answered(tmp_path, *rows(("a", 0.9), ("b", 0.5), CONTROL), plates=1)
    assert found.cautions == ("for this plate alone",)
    assert answered(tmp_path, *rows(("a", 0.9), ("b", 0.5), CONTROL), plates=0)[0].cautions == ()


def test_other_measures_agree_or_are_named(tmp_path):
    scored = rows(("a", 0.9), ("b", 0.5), CONTROL), rows(("b", 0.9), ("a", 0.5), CONTROL, metric="other")
    (found,) = answered(tmp_path, *scored[1], *scored[0], *rows(("a", 0.9), ("b", 0.5), CONTROL, metric="nscb"))
    # The first metric that the evaluation declares gives the answer, whatever the order of the scores.
    assert found.row["metric"] == "nsc"
    assert found.others == ("the same by nscb", "by other: clear, b × raw")


def test_the_table_has_a_row_for_each_measure_and_the_same_bytes_each_time(tmp_path):
    plan = make_run(tmp_path)
    for name in ("first.csv", "second.csv"):
        answers.make(json.loads(json.dumps(plan)), tmp_path / name)
    assert (tmp_path / "first.csv").read_bytes() == (tmp_path / "second.csv").read_bytes()
    table = answers.read(tmp_path / "first.csv")
    assert list(table.columns) == list(answers.COLUMNS)
    assert len(table) == 1
    row = table.iloc[0]
    assert (row["study"], row["evaluation"], row["metric"], row["method"]) == ("first", "matching", "nsc", "learned")
    assert (row["null"], row["null_low"], row["null_high"]) == pytest.approx((0.26, 0.125, 0.375))
    assert row["units"] == 24
    # 24 compounds, 0.9 of them right against 0.5, the same ones: shown.
    assert row["verdict"] == "clear"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[:-1], "cut off"),
        (lambda text: text.replace("verdict", "opinion", 1), "it has the columns"),
        (lambda text: text.replace(",clear,", ",probably,", 1), "'probably' is not a verdict; these are clear, tied"),
        (lambda text: text.replace(",0.9,", ",high,", 1), "high"),
        (lambda text: "", "empty"),
    ],
)
def test_what_is_no_table_of_answers_is_refused(tmp_path, damage, said):
    path = tmp_path / "answers.csv"
    answers.make(plan_of(tmp_path, *rows(("a", 0.9), ("b", 0.5), CONTROL)), path)
    path.write_text(damage(path.read_text()))
    with pytest.raises(Damaged, match=said):
        answers.read(path)
    with pytest.raises(Damaged):
        answers.read(tmp_path / "missing.csv")


def test_studies_on_simulated_images_come_last_and_their_answers_say_so(tmp_path):
    plan = {"studies": {"drawn": {"dataset": "d"}, "real": {"dataset": "r"}, "features": {"dataset": "f"}}}
    plan["datasets"] = {"d": {"about": {"simulated": True}}, "r": {"about": {}}}
    assert list(answers.real_first(plan)) == ["real", "features", "drawn"]
    assert answered(tmp_path, *rows(("a", 0.9)), simulated=True)[0].simulated


def test_advice_is_about_real_images_where_there_are_any(tmp_path):
    clear, unsure = rows(("a", 0.9), ("b", 0.5), CONTROL), rows(("a", 0.62), ("b", 0.6), CONTROL)
    drawn = answered(tmp_path, *clear, simulated=True)
    assert "simulated images" in answers.advice(drawn)
    assert "Use what is named" in answers.advice([*drawn, *answered(tmp_path, *clear)])
    assert f"To decide what is tied ({TASK})" in answers.advice([*drawn, *answered(tmp_path, *unsure)])
    assert "Do not choose by what gave no answer" in answers.advice(answered(tmp_path, *rows(("a", 0.6), ("noise", 0.6))))
    assert "Nothing was scored" in answers.advice([])


def test_a_made_up_word_is_no_verdict():
    assert set(verdict.WORDS) == {"clear", "tied", "not informative", "saturated", "not valid", "no result"}
    row = {"verdict": "", "method": "a", "profile": "raw", "bound": "", "value": np.nan}
    for word in verdict.WORDS:
        assert answers.use(row | {"verdict": word})
    with pytest.raises(KeyError):
        answers.use(row | {"verdict": "open"})
