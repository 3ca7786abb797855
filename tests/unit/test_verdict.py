"""Verdicts: a winner where the run can tell, none where it cannot."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from phenorep.report import answers, verdict
from phenorep.report.tables import Measure

ROW = {"profile": "raw", "epoch": "final", "spread": np.nan, "seeds": 3, "n": 100, "leak": "none", "trained_on": ""}
ROW |= {"shuffled": np.nan, "shuffled_low": np.nan, "shuffled_high": np.nan, "control": False}


def row(method: str, value: float, half: float = 0.05, **more) -> dict:
    return {**ROW, "method": method, "value": value, "low": value - half, "high": value + half, **more}


def measure(*rows: dict, higher: bool = True, limits=(0, 1), units: dict | None = None) -> Measure:
    table = pd.DataFrame(rows, columns=list(row("", 0))).sort_values("value", ascending=not higher, ignore_index=True)
    return Measure("study", "matching", "nsc", "", "", higher, limits, table, units or {})


def units(share: float, n: int = 100, shift: int = 0) -> pd.Series:
    right = np.roll(np.arange(n) < share * n, shift)
    return pd.Series(right.astype(float), index=[f"t{i}" for i in range(n)])


def judge(*rows, **more):
    return verdict.judge(measure(*rows, **more))


NOISE = row("noise", 0.2, control=True)


def test_winner_by_intervals_where_nothing_can_be_paired():
    found = judge(row("a", 0.9), row("b", 0.5), NOISE)
    assert found.status == verdict.WINNER
    assert found.best["method"] == "a"
    assert "do not overlap (no results of single treatments to pair)" in found.comparisons[0].basis


def test_no_winner_where_intervals_overlap():
    found = judge(row("a", 0.62), row("b", 0.6), row("c", 0.3), NOISE)
    assert found.status == verdict.NO_WINNER
    assert "b × raw" in found.reason
    assert "c × raw" not in found.reason


def test_pairs_separate_what_intervals_cannot():
    # b is right wherever a is wrong to its cost: the same treatments, always worse.
    paired = {("a", "raw"): units(0.62), ("b", "raw"): units(0.52)}
    found = judge(row("a", 0.62, 0.1), row("b", 0.52, 0.1), NOISE, units=paired)
    assert found.status == verdict.WINNER
    first = found.comparisons[0]
    assert first.basis == "paired bootstrap over 100 treatments"
    assert first.difference == pytest.approx(0.10)
    assert 0 < first.low < 0.10 < first.high


def test_pairs_that_disagree_give_no_winner():
    paired = {("a", "raw"): units(0.55), ("b", "raw"): units(0.5, shift=50)}
    assert judge(row("a", 0.55), row("b", 0.5), NOISE, units=paired).status == verdict.NO_WINNER


def test_only_common_treatments_are_paired():
    paired = {("a", "raw"): units(0.9), ("b", "raw"): units(0.5).iloc[:20]}
    comparison = verdict.compare(measure(units=paired), row("a", 0.9), row("b", 0.5))
    assert "over 20 treatments" in comparison.basis
    paired[("b", "raw")] = units(0.5).iloc[:3]
    assert "no results" in verdict.compare(measure(units=paired), row("a", 0.9), row("b", 0.5)).basis


def test_control_within_the_interval_makes_a_measure_uninformative():
    found = judge(row("a", 0.6, 0.1), row("b", 0.3), row("noise", 0.52, control=True))
    assert found.status == verdict.NOT_INFORMATIVE
    assert "noise × raw (0.520)" in found.reason


def test_control_above_all_makes_a_measure_uninformative():
    assert judge(row("a", 0.6), row("noise", 0.9, control=True)).status == verdict.NOT_INFORMATIVE


def test_shuffled_labels_bound_the_score():
    shuffled = {"shuffled": 0.5, "shuffled_low": 0.4, "shuffled_high": 0.6}
    assert judge(row("a", 0.62, **shuffled)).status == verdict.NOT_INFORMATIVE
    assert judge(row("a", 0.72, **shuffled)).status == verdict.WINNER


def test_everything_at_the_end_of_the_scale_is_saturated():
    found = judge(row("a", 1.0, 0), row("b", 0.995), row("noise", 0.99, control=True))
    assert found.status == verdict.SATURATED
    # With a control far below, the methods are tied, not the measure spent.
    assert judge(row("a", 1.0, 0), row("b", 0.995), NOISE).status == verdict.NO_WINNER


def test_metrics_where_lower_is_better():
    found = judge(row("a", 0.3), row("b", 0.6), row("noise", 0.9, control=True), higher=False, limits=(0, None))
    assert found.status == verdict.WINNER
    assert found.best["method"] == "a"
    assert found.comparisons[0].difference == pytest.approx(0.3)
    assert judge(row("a", 0.001), row("b", 0.0), higher=False).status == verdict.SATURATED
    control = row("noise", 0.32, control=True)
    assert judge(row("a", 0.3), control, higher=False).status == verdict.NOT_INFORMATIVE


def test_without_intervals_there_is_no_winner():
    bare = {"low": np.nan, "high": np.nan}
    found = judge(row("a", 0.9, **bare), row("b", 0.5, **bare), NOISE)
    assert found.status == verdict.NO_WINNER
    assert found.comparisons[0].separated is None


def test_profiles_of_one_method_do_not_compete_for_the_win():
    found = judge(row("a", 0.9), row("a", 0.89, profile="tvn"), row("b", 0.5), NOISE)
    assert found.status == verdict.WINNER
    assert any("profile matters less" in note for note in found.notes)


def test_leak_and_single_seed_are_noted():
    found = judge(row("a", 0.9, leak="compound", seeds=1), row("b", 0.5), NOISE)
    assert any("showed it the compound" in note and "b × raw, 0.500" in note for note in found.notes)
    assert any("One seed" in note for note in found.notes)


def test_only_controls_or_nothing():
    assert judge(NOISE).status == verdict.NO_RESULT
    assert judge().status == verdict.NO_RESULT


def test_ranked_takes_each_method_once_and_controls_last():
    first = verdict.judge(
        measure(row("a", 0.9), row("a", 0.8, profile="tvn"), row("noise", 0.95, control=True), row("b", 0.3))
    )
    assert verdict.ranked([first]) == [("a", "raw"), ("b", "raw"), ("noise", "raw")]


# -- answers, the top of the page -------------------------------------------------------------------------------------------


STUDY = {"dataset": "made", "samples": "cells", "evaluations": ["matching"]}


def answer(*measures: Measure, simulated: bool = False):
    plan = {"config": {}, "datasets": {"made": {"about": {"simulated": simulated}}}}
    return answers.of_study("study", STUDY, [verdict.judge(one) for one in measures], plan)


def test_an_answer_says_what_to_use_and_how_sure_that_is():
    (clear,) = answer(measure(row("a", 0.9), row("b", 0.5), NOISE))
    assert (clear.use, clear.word, clear.why) == ("a × raw", "clear", "above the controls and above every other method")
    assert clear.score == "0.900 [0.850, 0.950]"
    assert clear.cautions == ()
    (open_,) = answer(measure(row("a", 0.62), *(row(name, 0.6) for name in "bcd"), NOISE))
    assert (open_.use, open_.word) == ("a × raw", "open")
    assert open_.why == "cannot be told apart from b × raw, c × raw and 1 more"
    (none,) = answer(measure(row("a", 0.6, 0.1), row("noise", 0.52, control=True)))
    assert (none.use, none.word) == ("none is shown to help", "not informative")
    assert none.why == "a × raw is the highest that is no control, but not told apart from one (noise × raw, 0.520)"
    (shuffled,) = answer(measure(row("a", 0.62, shuffled=0.5, shuffled_low=0.4, shuffled_high=0.6)))
    assert shuffled.why == "a × raw is highest, but no better than with shuffled labels"
    (easy,) = answer(measure(row("a", 1.0, 0), row("noise", 0.995, control=True)))
    assert (easy.use, easy.word) == ("any of them", "too easy")


def test_an_answer_without_controls_or_rivals_says_so():
    assert answer(measure(row("a", 0.9), row("b", 0.5)))[0].why == "above every other method; no control was scored"
    assert answer(measure(row("a", 0.9)))[0].why == "no control was scored; the only method scored"
    assert answer(measure(NOISE))[0].word == "no result"


def test_an_answer_warns_of_labels_seen_and_of_a_single_seed():
    (found,) = answer(measure(row("a", 0.9, leak="compound", seeds=1), row("b", 0.5), NOISE))
    assert found.cautions == ("its training labels showed the compound", "one seed")


def test_other_measures_agree_or_are_named():
    first = measure(row("a", 0.9), row("b", 0.5), NOISE)
    same, other = replace(first, metric="nscb"), replace(measure(row("b", 0.9), row("a", 0.5), NOISE), metric="f1")
    (found,) = answer(first, same, other)
    assert found.others == ("the same by nscb", "by f1: b × raw (clear)")


def test_studies_on_simulated_images_come_last_and_their_answers_say_so():
    plan = {"studies": {"drawn": {"dataset": "d"}, "real": {"dataset": "r"}, "features": {"dataset": "f"}}}
    plan["datasets"] = {"d": {"about": {"simulated": True}}, "r": {"about": {}}}
    assert list(answers.real_first(plan)) == ["real", "features", "drawn"]
    assert answer(measure(row("a", 0.9)), simulated=True)[0].simulated


def test_advice_is_about_real_images_where_there_are_any():
    clear, unsure = measure(row("a", 0.9), row("b", 0.5), NOISE), measure(row("a", 0.62), row("b", 0.6), NOISE)
    drawn = answer(clear, simulated=True)
    assert "simulated images" in answers.advice(drawn)
    assert "Use what is named" in answers.advice([*drawn, *answer(clear)])
    assert "To decide what is open (matching)" in answers.advice([*drawn, *answer(unsure)])
    assert "Nothing was scored" in answers.advice([])
