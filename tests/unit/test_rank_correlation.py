"""Spearman's rank correlation and its interval."""

import numpy as np
import pytest

from phenorep import rank_correlation


def test_spearman_shares_ranks_of_ties():
    assert rank_correlation.ranks(np.array([3.0, 1, 3, 2])).tolist() == [3.5, 1, 3.5, 2]
    assert rank_correlation.spearman(np.array([1, 2, 3, 4]), np.array([1, 4, 9, 16])) == pytest.approx(1)
    assert rank_correlation.spearman(np.array([1, 2, 2, 3]), np.array([1, 3, 2, 4])) == pytest.approx(0.9486833)
    assert np.isnan(rank_correlation.spearman(np.array([1, 2, 3]), np.array([5, 5, 5])))


def test_an_interval_of_a_rank_correlation_stays_on_its_scale():
    perfect = rank_correlation.spearman_interval(np.arange(8), np.arange(8))
    assert 0.8 < perfect[0] < perfect[1] <= 1
    assert rank_correlation.spearman_interval(np.arange(3), np.arange(3)) == (-1, 1)
    assert np.isnan(rank_correlation.spearman_interval(np.zeros(5), np.arange(5))).all()
    x, y = np.random.default_rng(0).normal(size=(2, 50))
    low, high = rank_correlation.spearman_interval(x, x + y)
    assert high - low == pytest.approx(0.36, abs=0.1)
    assert rank_correlation.spearman_interval(x, -x - y) == pytest.approx((-high, -low))


def test_an_interval_does_not_depend_on_how_many_are_ranked_together(monkeypatch):
    x, y = np.random.default_rng(0).normal(size=(2, 30))
    whole = rank_correlation.spearman_interval(x, y)
    monkeypatch.setattr(rank_correlation, "_AT_ONCE", 100)
    assert rank_correlation.spearman_interval(x, y) == pytest.approx(whole)
