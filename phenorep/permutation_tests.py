"""Tests of two methods on the same independent units, by flipping signs; correction over measures; numpy alone.

Under equal methods the results of a unit, such as a compound with all its wells, might as well have been those of the other
method: exchanging them unit by unit gives the distribution of any difference, whatever the results within a unit have in
common.
"""

import math
from collections.abc import Iterable
from functools import lru_cache

import numpy as np

DRAWS = 9999
# More units are exchanged in so many groups: exchanging groups is as exact, and time and memory stay bounded.
MOST = 1000
# Draws computed at once: bounds the memory.
_BLOCK = 1000


def swap_test(first: np.ndarray, second: np.ndarray, seed: int, draws: int = DRAWS) -> float:
    """Two-sided p that the best profiles of two methods are equal, under exchange of the methods unit by unit.

    The statistic is the difference of the highest column sums of both. It is computed again after each exchange, so that
    choosing the best profile is part of the test.

    Parameters
    ----------
    first, second
        (U, P) results of U units with the same P profiles of two methods; sums over units are what is compared, higher is
        better.
    seed
        Of the exchanges; where there are no more than `draws`, all of them are made.

    Returns
    -------
    float
        From 1 / (draws + 1), or 1 / 2**U, to 1.

    Raises
    ------
    ValueError
        If the shapes differ, or there are no units or profiles.

    References
    ----------
    Fisher 1935, The design of experiments, section 21; Phipson and Smyth 2010, Permutation p-values should never be zero.
    """
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 2 or not first.size:
        raise ValueError(f"a test needs the same units and profiles twice, (U, P), got {first.shape} and {second.shape}.")
    first, second = _grouped(first), _grouped(second)
    centre, half = (first + second).sum(axis=0) / 2, (first - second) / 2
    shift = half.sum(axis=0)
    stated = abs((centre + shift).max() - (centre - shift).max())
    # Sums in another order differ in their last bits: what is equal must count as equal.
    stated -= 1e-9 * max(1e-300, np.abs(first).sum() + np.abs(second).sum())
    signs, extreme = _signs(len(half), seed, draws), 0
    for start in range(0, len(signs), _BLOCK):
        shift = signs[start : start + _BLOCK].astype(np.float64) @ half
        extreme += int((np.abs((centre + shift).max(axis=1) - (centre - shift).max(axis=1)) >= stated).sum())
    # What was observed is one of all exchanges, and is added to those that were drawn.
    added = 0 if _all(len(half), draws) else 1
    return (extreme + added) / (len(signs) + added)


def interval_test(first: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    """Two-sided p that two values are equal, from their 95 % intervals alone, as if they were independent.

    Parameters
    ----------
    first, other
        Value, lower and upper bound.

    Returns
    -------
    float
        NaN where an interval is not known.

    References
    ----------
    Newcombe 1998, Interval estimation for the difference between independent proportions (method 10: MOVER).
    """
    (above, low, _), (below, _, high) = sorted([first, other], reverse=True)
    error = math.hypot(above - low, high - below) / 1.959963984540054
    if not math.isfinite(error):
        return float("nan")
    if error == 0:
        return 1.0 if above == below else 0.0
    return math.erfc((above - below) / error / math.sqrt(2))


def holm(p: Iterable[float]) -> np.ndarray:
    """P adjusted so that the probability of any false rejection keeps the level, whatever the tests have in common.

    References
    ----------
    Holm 1979, A simple sequentially rejective multiple test procedure.
    """
    p = np.asarray(list(p), dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted


def _grouped(values: np.ndarray) -> np.ndarray:
    """Sums over groups of units, where there are many; a unit's place, which says nothing of it, chooses its group."""
    if len(values) <= MOST:
        return values
    found = np.zeros((MOST, values.shape[1]))
    np.add.at(found, np.arange(len(values)) % MOST, values)
    return found


def _all(units: int, draws: int) -> bool:
    return units < 60 and 2**units <= draws + 1


@lru_cache(maxsize=8)
def _signs(units: int, seed: int, draws: int) -> np.ndarray:
    """Exchanges, (draws, units) of -1 and 1, or all there are; kept, since a page has hundreds of tests of as many units."""
    if _all(units, draws):
        return (1 - 2 * (np.arange(2**units)[:, None] >> np.arange(units) & 1)).astype(np.int8)
    return 1 - 2 * np.random.default_rng(seed).integers(2, size=(draws, units), dtype=np.int8)
