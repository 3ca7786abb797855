"""Average precision against scikit-learn and by hand, and its random lists."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from phenorep import average_precision


def lists(values: np.ndarray, relevant: list[int], others: list[int]) -> float:
    """Average precision of the list of row 0."""
    parts = iter([("group", np.array([0]), np.array([0, *relevant]), np.array(others))])
    return average_precision.of_lists(average_precision.similarities(values), parts)["value"].item()


def at(*angles: float) -> np.ndarray:
    """Rows with these cosine similarities to the first."""
    return np.array([[1.0, 0.0], *([cosine, np.sqrt(1 - cosine**2)] for cosine in angles)])


def test_by_hand():
    assert lists(at(0.9, 0.5, 0.7, 0.1), [1, 2], [3, 4]) == pytest.approx((1 + 2 / 3) / 2)
    assert lists(at(0.5, 0.5, 0.5), [1], [2, 3]) == pytest.approx(1 / 3)  # of equal ones the others come first


def test_values_are_scikit_learns():
    generator = np.random.default_rng(0)
    for _ in range(20):
        relevant, others = generator.uniform(-0.2, 0.9, 5), generator.uniform(-0.5, 0.5, 9)
        expected = average_precision_score([1] * 5 + [0] * 9, np.r_[relevant, others])
        assert lists(at(*relevant, *others), list(range(1, 6)), list(range(6, 15))) == pytest.approx(expected)


def test_random_lists_do_not_depend_on_what_was_drawn_before(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    first = average_precision._random(500, 2, 8, 0, {})
    drawn = {}
    average_precision._random(500, 3, 9, 0, drawn)
    np.testing.assert_array_equal(average_precision._random(500, 2, 8, 0, drawn), first)
    assert not np.array_equal(average_precision._random(500, 2, 8, 1, {}), first)
    assert not list(tmp_path.iterdir())  # copairs keeps its own in the user's folder


def test_long_lists_are_drawn_in_parts(monkeypatch):
    whole = average_precision._random(2000, 3, 20, 0, {})
    monkeypatch.setattr(average_precision, "_DRAWN_AT_ONCE", 300)
    parts = average_precision._random(2000, 3, 20, 0, {})
    assert len(parts) == 2000
    assert len(set(parts[:15]) - set(parts[15:30])) > 0  # each part has draws of its own
    assert parts.mean() == pytest.approx(whole.mean(), abs=0.02)


def test_similarities_are_equal_whether_all_pairs_are_kept(monkeypatch):
    values = np.random.default_rng(0).normal(size=(12, 4))
    rows, others = np.arange(3), np.arange(5, 12)
    kept = average_precision.similarities(values)(rows, others)
    monkeypatch.setattr(average_precision, "_ALL_PAIRS", 0)
    np.testing.assert_array_equal(average_precision.similarities(values)(rows, others), kept)
