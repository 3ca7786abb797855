"""Verdicts: clear where the run can tell, tied where it cannot, and nothing where noise might have done it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from benchmarks import verdicts as benchmark
from phenorep.report import evidence, items, verdict
from phenorep.report.evidence import Evidence
from phenorep.report.tables import NULL, Measure

ROW = {
    "profile": "raw",
    "epoch": "final",
    "spread": np.nan,
    "seeds": 3,
    "seeded": True,
    "n": 100,
    "leak": "none",
    "trained_on": "",
}
ROW |= {"unit": "compound", "units": 100.0, "chance": np.nan, "validity": "", "variant": ""}
ROW |= {"shuffled": np.nan, "shuffled_low": np.nan, "shuffled_high": np.nan, "control": False}
ROW |= dict.fromkeys(NULL, np.nan)


def row(method: str, value: float, half: float = 0.05, **more) -> dict:
    return {**ROW, "method": method, "value": value, "low": value - half, "high": value + half, **more}


def measure(*rows: dict, higher: bool = True, limits=(0, 1), units: dict | None = None) -> Measure:
    table = pd.DataFrame(rows, columns=list(row("", 0))).sort_values("value", ascending=not higher, ignore_index=True)
    return Measure("study", "matching", "nsc", "", "", higher, limits, table, units or {}, "compounds")


def right(share: float, n: int = 100, shift: int = 0) -> pd.DataFrame:
    """Results of n compounds, the same ones right for methods of one `shift`."""
    values = np.roll(np.arange(n) < share * n, shift).astype(float)
    return items.alike(pd.Series(values, index=[f"t{place}" for place in range(n)]))


def judge(*rows, **more):
    return verdict.judge_all([measure(*rows, **more)])[0]


NOISE = row("noise", 0.2, control=True)


def test_clear_by_intervals_where_nothing_can_be_paired():
    found = judge(row("a", 0.9), row("b", 0.5), NOISE)
    assert found.status == verdict.CLEAR
    assert found.best["method"] == "a"
    assert found.reason == "Above the controls (best: noise × raw, 0.200) and above every other method."
    assert found.comparisons[0].text == "a × raw against b × raw: +0.400, p < 0.001, from their intervals"


def test_tied_where_several_are_above_the_controls():
    found = judge(row("a", 0.62), row("b", 0.6), row("c", 0.3), NOISE)
    assert found.status == verdict.TIED
    assert found.ties == ("b × raw",)
    assert found.reason.endswith("and so is b × raw, which cannot be told apart from it.")
    found = judge(row("a", 0.62), row("b", 0.6), row("c", 0.6), NOISE)
    assert found.ties == ("b × raw", "c × raw")


def test_a_tie_names_those_alone_that_are_above_the_controls():
    found = judge(row("a", 0.62), row("b", 0.5, 0.2), NOISE | {"value": 0.45, "low": 0.4, "high": 0.5})
    assert found.status == verdict.TIED
    assert found.ties == ()
    assert found.reason.endswith("but not shown to be better than b × raw.")


def test_pairs_separate_what_intervals_cannot():
    # b is right wherever a is right, but for some: the same compounds, never better.
    paired = {("a", "raw"): right(0.62), ("b", "raw"): right(0.5)}
    rows = row("a", 0.62, 0.1), row("b", 0.5, 0.1), NOISE
    assert judge(*rows).status == verdict.TIED
    found = judge(*rows, units=paired)
    assert found.status == verdict.CLEAR
    first = found.comparisons[0]
    assert first.basis == "over 100 compounds"
    assert first.difference == pytest.approx(0.12)
    assert 0 < first.low < 0.12 < first.high


def test_pairs_that_disagree_are_tied():
    paired = {("a", "raw"): right(0.55), ("b", "raw"): right(0.5, shift=50)}
    assert judge(row("a", 0.55), row("b", 0.5), NOISE, units=paired).status == verdict.TIED


def test_items_of_one_unit_are_one_result():
    """Twelve treatments more, all of them doses of one compound, are one compound more."""
    first, second = right(0.62), right(0.5)
    paired = {("a", "raw"): first, ("b", "raw"): second}
    rows = row("a", 0.62, 0.1), row("b", 0.5, 0.1), NOISE
    assert judge(*rows, units=paired).status == verdict.CLEAR
    where = (first["value"] != second["value"]).to_numpy()
    alike = {pair: table.assign(unit=np.where(where, "taxol", table["unit"])) for pair, table in paired.items()}
    found = judge(*rows, units=alike)
    assert found.status == verdict.TIED
    assert found.comparisons[0].basis == "over 89 compounds"
    assert found.comparisons[0].low < 0 < found.comparisons[0].high


def test_few_controls_that_all_items_share_are_part_of_the_doubt():
    """Every compound is a little better by the first method: which a single one of the shared controls may have done."""
    paired = {("a", "raw"): right(0.7), ("b", "raw"): right(0.7).assign(value=lambda table: table["value"] * 0.8)}
    case = measure(row("a", 0.7), row("b", 0.56), NOISE, units=paired)
    assert verdict.judge_all([case])[0].status == verdict.CLEAR
    wells = [f"p1/A{number:02d}" for number in range(12)]
    same = pd.Series(0.7, index=wells)
    steady = {("a", "raw"): same, ("b", "raw"): same - 0.14}
    assert verdict.judge_all([replace(case, references=steady)])[0].status == verdict.CLEAR
    moved = same - np.r_[0.12, np.zeros(11)]
    (found,) = verdict.judge_all([replace(case, references=steady | {("a", "raw"): moved})])
    assert found.status == verdict.TIED
    assert found.comparisons[0].low < 0 < found.comparisons[0].high


def test_controls_that_cannot_be_judged_leave_nothing_clear():
    invalid = {"validity": "not valid", "null": 0.7, "null_chance": 0.5, "chance": 0.5}
    found = judge(row("a", 0.8, chance=0.5), row("noise", 0.85, control=True, **invalid))
    assert found.status == verdict.NOT_INFORMATIVE
    assert found.reason == "a × raw is the highest, but its controls could not be judged."
    assert len(found.left_out) == 1
    found = judge(row("a", 0.8, chance=0.5), row("b", 0.9, **invalid), NOISE)
    assert found.status == verdict.CLEAR
    assert found.reason.endswith("; no other method could be judged.")


def test_profiles_that_are_not_told_apart_are_named():
    paired = {("a", name): right(share) for name, share in (("raw", 0.8), ("tvn", 0.78), ("mad", 0.4))}
    profiles = [row("a", share, profile=name) for name, share in (("raw", 0.8), ("tvn", 0.78), ("mad", 0.4))]
    found = judge(*profiles, NOISE, units=paired)
    assert found.status == verdict.CLEAR
    assert found.same_method == ("tvn",)


def test_labels_that_are_shuffled_may_get_more_than_chance():
    shuffled = {"chance": 0.05, "shuffled": 0.1, "shuffled_low": 0.0, "shuffled_high": 0.3}
    assert evidence.noise(row("a", 0.4, **shuffled), True)[:2] == (0.1, 0.3)
    assert evidence.noise(row("a", 0.4, **{**shuffled, "shuffled": 0.0, "shuffled_high": 0.02}), True)[:2] == (0.05, 0.05)


def test_weights_of_items_count():
    heavy = right(0.5).assign(weight=np.where(np.arange(100) < 10, 9.0, 1.0))
    paired = {("a", "raw"): heavy, ("b", "raw"): heavy.assign(value=np.where(np.arange(100) < 10, 0.0, heavy["value"]))}
    found = judge(row("a", 0.72), row("b", 0.22), NOISE, units=paired)
    assert found.comparisons[0].difference == pytest.approx(90 / 180)


def test_only_common_items_are_paired_and_few_units_are_not():
    paired = {("a", "raw"): right(0.9), ("b", "raw"): right(0.5).iloc[:20]}
    assert judge(row("a", 0.9), row("b", 0.5), NOISE, units=paired).comparisons[0].basis == "over 20 compounds"
    few = {("a", "raw"): right(1.0, 5), ("b", "raw"): right(0.0, 5)}
    # No exchange of five units can tell; the intervals, which know of the five, can.
    assert judge(row("a", 1.0, 0.1), row("b", 0.2, 0.1), NOISE, units=few).status == verdict.CLEAR
    assert judge(row("a", 1.0, 0.6), row("b", 0.2, 0.6), NOISE, units=few).status != verdict.CLEAR
    few = {("a", "raw"): right(1.0, 6), ("b", "raw"): right(0.0, 6)}
    assert judge(row("a", 1.0, 0.6), row("b", 0.2, 0.6), NOISE | {"value": 0.0, "high": 0.1}, units=few).status == "clear"


def test_a_control_that_may_be_as_good_makes_a_measure_uninformative():
    found = judge(row("a", 0.6, 0.1), row("b", 0.3), row("noise", 0.52, control=True))
    assert found.status == verdict.NOT_INFORMATIVE
    assert found.reason == "a × raw is the highest, but not shown to beat the control noise × raw (0.520)."
    assert judge(row("a", 0.6), row("noise", 0.9, control=True)).status == verdict.NOT_INFORMATIVE


def test_controls_are_corrected_over_the_methods_that_the_best_was_chosen_from():
    control = row("noise", 0.5, control=True)
    assert judge(row("a", 0.59), control).status == verdict.CLEAR
    many = [row(name, 0.585) for name in "bcdefghij"]
    found = judge(row("a", 0.59), *many, control)
    assert found.status == verdict.NOT_INFORMATIVE
    assert "once the 10 methods it was chosen from are counted" in found.reason


def test_shuffled_labels_bound_the_score_where_chance_is_not_known():
    shuffled = {"shuffled": 0.5, "shuffled_low": 0.4, "shuffled_high": 0.6}
    found = judge(row("a", 0.6, **shuffled))
    assert found.status == verdict.NOT_INFORMATIVE
    assert "its own score with shuffled labels (0.500)" in found.reason
    found = judge(row("a", 0.72, **shuffled))
    assert found.status == verdict.CLEAR
    assert found.reason.endswith("; no other method and no control was scored.")
    assert judge(row("a", 0.72, **shuffled, chance=0.68)).status == verdict.NOT_INFORMATIVE


def test_chance_and_a_null_above_it_bound_the_score():
    assert judge(row("a", 0.62, chance=0.5), row("b", 0.3)).status == verdict.CLEAR
    found = judge(row("a", 0.62, chance=0.6), row("b", 0.3))
    assert found.status == verdict.NOT_INFORMATIVE
    assert "not shown to beat chance (0.600)" in found.reason
    found = judge(row("a", 0.62, chance=0.5, null=0.58, null_chance=0.5, validity="valid"), row("b", 0.3))
    assert found.status == verdict.NOT_INFORMATIVE
    assert "what noise gets (0.580)" in found.reason
    # A null below chance takes nothing from it.
    below = row("a", 0.62, chance=0.5, null=0.42, null_chance=0.5, validity="below chance")
    found = judge(below, row("b", 0.3))
    assert found.status == verdict.CLEAR
    assert any("below chance (0.420, chance 0.500)" in note for note in found.notes)


def test_chance_is_corrected_over_the_representations_that_the_best_was_chosen_from():
    alone = row("a", 0.62, 0.1, chance=0.5)
    assert judge(alone).status == verdict.CLEAR
    assert judge(alone, *(row("a", 0.5, profile=f"p{place}", chance=0.5) for place in range(9))).status != verdict.CLEAR


def test_without_any_bound_nothing_is_clear():
    found = judge(row("a", 0.9), row("b", 0.5))
    assert found.status == verdict.NOT_INFORMATIVE
    assert "nothing bounds it" in found.reason


def test_what_noise_gets_as_well_cannot_win_nor_bound():
    noise = {"validity": "not valid", "null": 0.62, "null_chance": 0.5, "chance": 0.5}
    found = judge(row("a", 0.95, **noise), row("b", 0.5), NOISE)
    assert (found.status, found.best["method"]) == (verdict.CLEAR, "b")
    assert any("a × raw, 0.950, is not judged: noise alone gets 0.620" in note for note in found.notes)
    found = judge(row("a", 0.9), row("b", 0.5), row("noise", 0.95, control=True, **noise), NOISE)
    assert found.status == verdict.CLEAR
    assert found.bound["value"] == 0.2
    found = judge(row("a", 0.95, **noise), row("b", 0.9, leak="control"), NOISE)
    assert found.status == verdict.INVALID
    assert found.reason == "a × raw is the highest, but noise alone gets 0.620 here, where chance is 0.500."
    found = judge(row("b", 0.9, leak="control"), NOISE)
    assert (found.status, found.best["method"]) == (verdict.INVALID, "b")
    assert "told controls from treated wells" in found.reason


def test_a_null_that_was_not_measured_is_said():
    found = judge(row("a", 0.9, validity="null not measurable"), row("b", 0.5), NOISE)
    assert found.status == verdict.CLEAR
    assert any("too few control wells" in note for note in found.notes)


def test_everything_at_the_end_of_the_scale_is_saturated():
    found = judge(row("a", 1.0, 0), row("b", 0.995), row("noise", 0.99, control=True))
    assert found.status == verdict.SATURATED
    # With a control far below, the methods are tied, not the measure spent.
    assert judge(row("a", 1.0, 0.01), row("b", 0.995), NOISE).status == verdict.TIED


def test_metrics_where_lower_is_better():
    found = judge(row("a", 0.3), row("b", 0.6), row("noise", 0.9, control=True), higher=False, limits=(0, None))
    assert found.status == verdict.CLEAR
    assert found.best["method"] == "a"
    assert found.comparisons[0].difference == pytest.approx(0.3)
    assert judge(row("a", 0.001), row("b", 0.0), higher=False).status == verdict.SATURATED
    control = row("noise", 0.32, control=True)
    assert judge(row("a", 0.3), control, higher=False).status == verdict.NOT_INFORMATIVE
    assert judge(row("a", 0.3, chance=0.33), higher=False).status == verdict.NOT_INFORMATIVE
    assert judge(row("a", 0.3, chance=0.4), higher=False).status == verdict.CLEAR
    paired = {("a", "raw"): right(0.3), ("b", "raw"): right(0.5)}
    rows = row("a", 0.3, 0.2), row("b", 0.5, 0.2), row("noise", 0.9, control=True)
    assert judge(*rows, higher=False, units=paired).status == verdict.CLEAR


def test_without_intervals_or_pairs_nothing_is_shown():
    bare = {"low": np.nan, "high": np.nan}
    found = judge(row("a", 0.9, **bare), row("b", 0.5, **bare), NOISE)
    assert found.status == verdict.NOT_INFORMATIVE
    assert found.comparisons[0].basis == "no interval is known"
    assert judge(row("a", 0.9, **bare, chance=0.1), row("b", 0.5, **bare)).status == verdict.NOT_INFORMATIVE


def test_profiles_of_one_method_do_not_compete_for_the_win():
    paired = {(name, profile): right(share) for name, profile, share in (("a", "raw", 0.9), ("a", "tvn", 0.9))}
    found = judge(row("a", 0.9), row("a", 0.89, profile="tvn"), row("b", 0.5), NOISE, units=paired)
    assert found.status == verdict.CLEAR
    assert any("profile matters less: a × tvn" in note for note in found.notes)


def test_measures_of_a_page_are_judged_together():
    one = measure(row("a", 0.62), row("b", 0.54), NOISE)
    assert verdict.judge_all([one])[0].status == verdict.CLEAR
    sure = [measure(row("a", 0.9), row("b", 0.5), NOISE)] * 10
    assert {found.status for found in verdict.judge_all([one, *sure])} == {verdict.CLEAR}  # Holm
    equal = measure(row("a", 0.6), row("b", 0.6), NOISE)
    found = verdict.judge_all([one, *[replace(equal, metric=f"m{place}") for place in range(10)]])
    assert [item.status for item in found] == [verdict.TIED] * 11
    # What cannot be judged at all is no measure that a verdict was chosen from.
    spent = measure(row("a", 1.0), row("b", 1.0))
    found = verdict.judge_all([one, *[replace(spent, metric=f"m{place}") for place in range(10)]])
    assert found[0].status == verdict.CLEAR


def test_leak_and_single_seed_are_noted():
    found = judge(row("a", 0.9, leak="compound", seeds=1), row("b", 0.5), NOISE)
    assert any("showed it the compound" in note and "b × raw, 0.500" in note for note in found.notes)
    assert any("One seed" in note for note in found.notes)
    found = judge(row("a", 0.9, seeds=1, seeded=False), row("b", 0.5), NOISE)
    assert not any("One seed" in note for note in found.notes)


def test_only_controls_or_nothing():
    assert judge(NOISE).status == verdict.NO_RESULT
    assert judge().status == verdict.NO_RESULT
    assert verdict.judge_all([]) == []


def test_ranked_takes_each_method_once_and_controls_last():
    first = judge(row("a", 0.9), row("a", 0.8, profile="tvn"), row("noise", 0.95, control=True), row("b", 0.3))
    assert verdict.ranked([first]) == [("a", "raw"), ("b", "raw"), ("noise", "raw")]


# -- evidence on arrays, as the benchmark has it ---------------------------------------------------------------------------


def test_other_profiles_are_corrected_for_by_their_number():
    random = np.random.default_rng(0)
    first, second = random.normal([[[0.8]], [[0.0]]], 1, size=(2, 30, 1))
    alone = evidence.ahead(first, second, matched=False)
    assert 0 < alone < 0.2
    worse = np.concatenate([first, first - 5, first - 5], axis=1)
    assert evidence.ahead(worse, second, matched=False) == pytest.approx(3 * alone)
    assert evidence.ahead(second, first, matched=False) == 1.0


def test_a_tie_needs_somebody_to_be_tied_with():
    words, level = evidence.decide([Evidence({"b": 0.001}, {"noise": 0.02}), *[Evidence({"b": 0.5}, {"noise": 1.0})] * 5])
    assert words == [verdict.NOT_INFORMATIVE] * 6
    assert level == pytest.approx(0.05 / 6)
    assert evidence.decide([])[0] == []


def test_equal_methods_are_seldom_clear_on_a_page_of_six_measures():
    """Without correction over measures one page in five would have a winner."""
    share, low, _ = benchmark.share_clear([0.7, 0.7], [1, 1], measures=6, correlation=0.3, pages=200)
    assert low < 0.05
    assert share < 0.08
    uncorrected = []
    generator = np.random.default_rng(0)
    for _ in range(200):
        page = [benchmark.measure(generator, [0.7, 0.7], [1, 1], 0.3) for _ in range(6)]
        uncorrected.append(any(found.clear <= evidence.LEVEL for found in page))
    assert np.mean(uncorrected) > 0.15


def test_a_better_method_is_seen():
    assert benchmark.share_clear([0.9, 0.7], [1, 1], measures=1, correlation=0.0, pages=60)[0] > 0.8
    assert benchmark.share_clear([0.9, 0.7], [1, 1], measures=1, correlation=0.6, pages=60)[0] > 0.4
