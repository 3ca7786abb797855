"""Spearman's rank correlation and its interval, with numpy alone."""

import numpy as np

from phenorep.statistics import t_point

_AT_ONCE = 2**22  # numbers that are ranked together


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1 along the last axis of (..., n) values; equal values share their mean rank."""
    values = np.asarray(values, dtype=np.float64)
    order = np.argsort(values, axis=-1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=-1)
    places, differs = np.arange(1, values.shape[-1] + 1), ordered[..., 1:] != ordered[..., :-1]
    edge = np.ones((*values.shape[:-1], 1), bool)
    first = np.maximum.accumulate(np.where(np.concatenate([edge, differs], axis=-1), places, 0), axis=-1)
    last = np.where(np.concatenate([differs, edge], axis=-1), places, places[-1])
    last = np.minimum.accumulate(last[..., ::-1], axis=-1)[..., ::-1]
    found = np.empty(values.shape)
    np.put_along_axis(found, order, (first + last) / 2, axis=-1)
    return found


def spearman(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation along the last axis of two (..., n) arrays; NaN where one of them is constant."""
    first, second = ranks(first), ranks(second)
    first, second = (values - values.mean(axis=-1, keepdims=True) for values in (first, second))
    scale = np.sqrt((first**2).sum(axis=-1) * (second**2).sum(axis=-1))
    return np.divide((first * second).sum(axis=-1), scale, out=np.full(scale.shape, np.nan), where=scale > 0)


def spearman_interval(first: np.ndarray, second: np.ndarray) -> tuple:
    """95 % interval of Spearman's rank correlation of two (n,) arrays: the jackknife over items on Fisher's scale, with t.

    Fisher's transform of normal variables has a known variance. That of ranks of few doses is larger or smaller, and the
    jackknife sees which. It is held at half of the known one at least: a perfect curve stays perfect whichever item is left
    out.

    Returns
    -------
    tuple of float
        Lower and upper bound; -1 and 1 where there are fewer than four items; NaN twice where an array is constant.

    References
    ----------
    Fisher 1921, On the probable error of a coefficient of correlation; Efron and Stein 1981, The jackknife estimate of
    variance.
    """
    count = len(first)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan"), float("nan")
    if count < 4:
        return -1.0, 1.0
    first, second = np.asarray(first), np.asarray(second)
    left_out, places, step = [], np.arange(count - 1), max(1, _AT_ONCE // count)
    for start in range(0, count, step):
        others = places + (places >= np.arange(start, min(start + step, count))[:, None])
        left_out.append(spearman(first[others], second[others]))
    end = 1 - 1 / count**2  # a correlation of 1 is infinite on Fisher's scale
    value, left_out = (np.arctanh(np.clip(part, -end, end)) for part in (spearman(first, second), np.concatenate(left_out)))
    left_out = left_out[np.isfinite(left_out)]
    variance = (count - 1) ** 2 / count * left_out.var() if left_out.size else 0.0
    half = t_point(count - 1) * np.sqrt(max(variance, 0.5 / (count - 3)))
    return float(np.tanh(value - half)), float(np.tanh(value + half))
