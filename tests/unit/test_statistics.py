"""Intervals and comparisons."""

import numpy as np
import pytest

from phenorep import statistics


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(101, 103, 0.932, 0.995), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634)],
)
def test_wilson_gives_the_published_intervals(successes, n, low, high):
    assert statistics.wilson(successes, n) == pytest.approx((low, high), abs=6e-4)


def test_wilson_refuses_an_empty_share():
    with pytest.raises(ValueError, match="0 of 0"):
        statistics.wilson(0, 0)


def test_bootstrap_of_a_mean_is_as_wide_as_theory_says():
    values = np.random.default_rng(1).normal(size=400)
    low, high = statistics.bootstrap(lambda rows: values[rows].mean(), len(values), seed=0)
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.1)
    assert (low, high) == statistics.bootstrap(lambda rows: values[rows].mean(), len(values), seed=0)


def test_bootstrap_over_units_is_wider_where_units_are_alike():
    units = np.repeat(np.arange(20), 20)
    values = np.random.default_rng(1).normal(size=20)[units]
    single = np.subtract(*statistics.bootstrap(lambda rows: values[rows].mean(), 400, seed=0))
    whole = np.subtract(*statistics.bootstrap(lambda rows: values[rows].mean(), 400, seed=0, units=units))
    assert whole / single > 3


def test_spearman_shares_ranks_of_ties():
    assert statistics.ranks(np.array([3.0, 1, 3, 2])).tolist() == [3.5, 1, 3.5, 2]
    assert statistics.spearman(np.array([1, 2, 3, 4]), np.array([1, 4, 9, 16])) == pytest.approx(1)
    assert statistics.spearman(np.array([1, 2, 2, 3]), np.array([1, 3, 2, 4])) == pytest.approx(0.9486833)
    assert np.isnan(statistics.spearman(np.array([1, 2, 3]), np.array([5, 5, 5])))


def test_auc_counts_pairs_of_the_same_plate_and_halves_ties():
    won = statistics.wins(np.array([1.0, 5.0]), np.array([0.0, 5.0, 9.0]))
    assert won.tolist() == [[1, 0, 0], [1, 0.5, 0]]
    compared = np.array([[True, False, False], [False, True, True]])
    value, low, high = statistics.pair_auc(won, compared, seed=0)
    assert value == 0.5
    assert 0 <= low <= value <= high <= 1
