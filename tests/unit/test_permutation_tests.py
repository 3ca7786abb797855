"""Tests by exchange of methods: exact under equal methods, blind to nothing that was chosen, the same on every run."""

import math
from itertools import product

import numpy as np
import pytest

from phenorep.permutation_tests import MOST, holm, interval_test, swap_test


def best(first: np.ndarray, second: np.ndarray) -> float:
    return first.sum(axis=0).max() - second.sum(axis=0).max()


def test_few_units_are_exchanged_in_all_ways():
    random = np.random.default_rng(0)
    first, second = random.normal(0.4, 1, size=(2, 6, 3))
    wanted = []
    for signs in product((False, True), repeat=6):
        swapped = np.where(np.array(signs)[:, None], second, first), np.where(np.array(signs)[:, None], first, second)
        wanted.append(abs(best(*swapped)))
    expected = np.mean(np.array(wanted) >= abs(best(first, second)) - 1e-12)
    assert swap_test(first, second, seed=0) == pytest.approx(expected)
    assert swap_test(second, first, seed=1) == pytest.approx(expected)


def test_many_units_are_exchanged_at_random_the_same_each_time():
    first, second = np.random.default_rng(0).normal([[[0.3]], [[0.0]]], 1, size=(2, 60, 1))
    p = swap_test(first, second, seed=0)
    assert p == swap_test(first, second, seed=0)
    # A paired test that knows the distribution.
    difference = (first - second)[:, 0]
    z = difference.mean() / difference.std(ddof=1) * math.sqrt(60)
    assert p == pytest.approx(math.erfc(abs(z) / math.sqrt(2)), abs=0.02)
    assert swap_test(first + 9, second, seed=0) == 1 / 10_000


def test_equal_methods_have_no_difference():
    same = np.random.default_rng(0).normal(size=(20, 2))
    assert swap_test(same, same, seed=0) == 1.0


def test_choosing_the_best_profile_is_part_of_the_test():
    """Of equal methods with eight profiles one looks better by its best profile: no more often than the level says."""
    random = np.random.default_rng(0)
    draws = random.normal(size=(200, 2, 20, 8))
    # One profile is better than the others, with both methods.
    draws[..., 0] += 0.5
    p = np.array([swap_test(first, second, seed=0, draws=199) for first, second in draws])
    assert (p <= 0.2).mean() == pytest.approx(0.2, abs=0.08)
    equal = random.normal(size=(200, 2, 20, 8))
    chosen = [(first[:, [first.sum(0).argmax()]], second[:, [0]]) for first, second in equal]
    naive = np.array([swap_test(first, second, seed=0, draws=199) for first, second in chosen])
    assert (naive <= 0.2).mean() > 0.3


def test_many_units_are_exchanged_in_groups():
    first, second = np.random.default_rng(0).normal([[[0.03]], [[0.0]]], 1, size=(2, 20 * MOST, 1))
    difference = (first - second)[:, 0]
    z = difference.mean() / difference.std(ddof=1) * math.sqrt(20 * MOST)
    assert swap_test(first, second, seed=0) == pytest.approx(math.erfc(abs(z) / math.sqrt(2)), abs=0.01)


@pytest.mark.parametrize("shapes", [((3, 1), (4, 1)), ((3, 1), (3, 2)), ((0, 1), (0, 1)), ((3,), (3,))])
def test_other_units_or_profiles_are_refused(shapes):
    with pytest.raises(ValueError, match="the same units and profiles twice"):
        swap_test(*(np.ones(shape) for shape in shapes), seed=0)


def test_intervals_tell_what_independent_values_would():
    # Normal intervals: the standard error of the difference is known.
    half = 1.959963984540054
    assert interval_test((3.0, 3 - half, 3 + half), (0.0, -half, half)) == pytest.approx(math.erfc(3 / 2))
    assert interval_test((0.0, -half, half), (3.0, 3 - half, 3 + half)) == pytest.approx(math.erfc(3 / 2))
    # Only the sides that face each other count.
    assert interval_test((3.0, 2.9, 99), (0.0, -99, 0.1)) < 0.001
    assert interval_test((1.0, 1.0, 1.0), (1.0, 1.0, 1.0)) == 1.0
    assert interval_test((2.0, 2.0, 2.0), (1.0, 1.0, 1.0)) == 0.0
    assert math.isnan(interval_test((2.0, math.nan, math.nan), (1.0, 0.9, 1.1)))


def test_holm_adjusts_as_its_article_does():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.6, 0.9]), [1.0, 1.0])
    assert len(holm([])) == 0
