"""Intervals and comparisons."""

import numpy as np
import pytest

from benchmarks.intervals import auc_limits
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


def test_an_interval_of_a_mean_is_as_wide_as_theory_says():
    values = np.random.default_rng(1).normal(size=400)
    low, high = statistics.mean_interval(values)
    assert high - low == pytest.approx(2 * 1.966 * values.std(ddof=1) / 20, rel=1e-3)
    assert np.isnan(statistics.mean_interval(values, units=np.zeros(400))).all()


def test_a_share_of_independent_items_has_wilsons_interval():
    right = np.repeat([1.0, 0.0], [101, 2])
    assert statistics.share_interval(right) == pytest.approx(statistics.wilson(101, 103, statistics.t_point(102)))
    assert statistics.share_interval(right, weights=np.full(103, 7.0)) == pytest.approx(statistics.share_interval(right))
    low, high = statistics.share_interval(np.ones(12), units=np.repeat(["a", "b", "c"], 4))
    assert (low, high) == pytest.approx(statistics.wilson(3, 3, statistics.t_point(2)))


@pytest.mark.parametrize("interval", [statistics.mean_interval, statistics.share_interval])
def test_copies_of_a_unit_tell_nothing_new(interval):
    values = np.random.default_rng(1).random(20)
    assert interval(np.repeat(values, 20), np.repeat(np.arange(20), 20)) == pytest.approx(interval(values), abs=0.01)


def test_what_is_fixed_is_no_spread_of_units():
    """Two classes of which one is always right, the other never: each unit tells what the next one will."""
    right, units = np.repeat([1.0, 0.0], 40), np.repeat(np.arange(16), 5)
    free = np.subtract(*statistics.share_interval(right, units))
    fixed = np.subtract(*statistics.share_interval(right, units, strata=right))
    assert fixed / free < 0.5


def test_another_source_of_error_widens():
    right = np.repeat([1.0, 0.0], [70, 30])
    alone, both = statistics.share_interval(right), statistics.share_interval(right, more=(0.01, 2))
    assert both[1] - both[0] > 2 * (alone[1] - alone[0])
    assert 0 <= both[0] < both[1] <= 1


def test_wins_halve_ties():
    won = statistics.wins(np.array([1.0, 5.0]), np.array([0.0, 5.0, 9.0]))
    assert won.tolist() == [[1, 0, 0], [1, 0.5, 0]]


def test_pairs_of_different_plates_do_not_count():
    won = statistics.wins(np.array([1.0, 5.0]), np.array([0.0, 5.0, 9.0]))
    compared = np.array([[True, False, False], [False, True, True]])
    plates = np.array(["a", "b"]), np.array(["a", "b", "b"])
    low, high = auc_limits(won, compared, np.arange(2), plates)
    assert low < 0.5 < high
    assert (low, high) == auc_limits(np.where(compared, won, 7), compared, np.arange(2), plates)


def test_the_choice_of_controls_widens():
    values, without = np.array([0.6, 0.7, 0.8, 0.5]), np.array([0.5, 0.6, 0.7, 0.8])
    for inside in (False, True):
        alone, both = (statistics.mean_interval(values, reference=r, inside=inside) for r in (None, without))
        assert both[0] < alone[0] < alone[1] < both[1]
    assert statistics.mean_interval(values, inside=True) == statistics.share_interval(values)


def test_an_interval_of_an_auc_counts_independent_positives():
    won, compared = np.ones((8, 16)), np.ones((8, 16))
    strata = np.repeat("p", 8), np.repeat("p", 16)
    wells = auc_limits(won, compared, np.arange(8), strata)
    compounds = auc_limits(won, compared, np.arange(8) // 4, strata)
    assert wells[1] == compounds[1] == 1
    assert compounds[0] < wells[0] - 0.1
    half = np.tile([1.0, 0.0], (8, 8))
    low, high = auc_limits(half, compared, np.arange(8), strata)
    assert low + high == pytest.approx(1)
