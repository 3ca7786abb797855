"""Intervals hold the truth as often as they say: a small run of `benchmarks.intervals`, which has the whole table."""

import pandas as pd
import pytest

from benchmarks import intervals

HARD = [
    intervals.auc("AUC .97, 8 and 16 wells", 0.97),
    intervals.share("accuracy .99 of 130 images of 36 wells", 0.99, intervals.WELLS, 0.3),
    intervals.share("NSC .9, treatments of one compound alike", 0.9, intervals.BBBC021, 0.6),
]


@pytest.mark.parametrize("case", HARD, ids=lambda case: case.name)
def test_an_interval_holds_the_truth_as_often_as_it_says(case):
    """Standard error .011: a right interval lies within 3 of it."""
    row = intervals.cover(case, draws=400, seed=0, bootstrap=False)
    assert 0.917 <= row["coverage"] <= 0.983


@pytest.mark.parametrize("case", HARD, ids=lambda case: case.name)
def test_these_cases_tell_a_wrong_interval(case):
    assert intervals.cover(case, draws=60, seed=0)["percentile"] < 0.9


def test_the_sizes_are_those_of_the_screen(shared_data):
    table = pd.read_csv(shared_data / "bbbc021/BBBC021_v1_moa.csv")
    assert tuple(table[table["moa"] != "DMSO"].groupby("compound").size()) == intervals.BBBC021
