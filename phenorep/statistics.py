"""Intervals and comparisons of scores, seeded, with numpy alone."""

from collections.abc import Callable

import numpy as np

# Two-sided 95 % point of the normal distribution.
_NORMAL_95 = 1.959963984540054
DRAWS = 1000


def wilson(successes: float, n: float) -> tuple[float, float]:
    """95 % interval of a share, by the score method: it stays inside 0..1 and is right for few trials.

    Parameters
    ----------
    successes, n
        Number of successes and of trials; `n` above 0. Effective numbers need not be whole.

    References
    ----------
    Wilson 1927, Probable inference, the law of succession, and statistical inference.
    """
    if not n > 0 or not 0 <= successes <= n:
        raise ValueError(f"a share needs 0 <= successes <= n and n > 0, got {successes} of {n}.")
    share, z2 = successes / n, _NORMAL_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _NORMAL_95 / (1 + z2 / n) * np.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    # At 0 and n successes the bound is the share itself; rounding must not move it.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return float(low), float(high)


def percentiles(draws: np.ndarray) -> tuple[float, float]:
    """The 2.5th and 97.5th percentile of the finite draws; NaN twice if there is none."""
    draws = np.asarray(draws, dtype=np.float64)
    draws = draws[np.isfinite(draws)]
    if draws.size == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(draws, (0.025, 0.975))
    return float(low), float(high)


def counts(n: int, generator: np.random.Generator, draws: int = DRAWS) -> np.ndarray:
    """How often each of `n` items stands in each bootstrap draw, (draws, n): weights are faster than gathered rows."""
    return generator.multinomial(n, np.full(n, 1 / n), size=draws).astype(np.float64)


def bootstrap(statistic: Callable, n: int, seed: int, draws: int = DRAWS, units: np.ndarray | None = None):
    """95 % percentile interval of a statistic over items drawn with replacement.

    Parameters
    ----------
    statistic
        Takes row numbers (k,) and returns a number; NaN where it is not defined, which is left out.
    n
        Number of items.
    seed
        Of the draws.
    units
        (n,) names of what is drawn as a whole, such as wells; by default each item for itself.

    Returns
    -------
    tuple of float
        Lower and upper bound.

    References
    ----------
    Efron 1979, Bootstrap methods: another look at the jackknife.
    """
    generator = np.random.default_rng(seed)
    if units is None:
        rows = (generator.integers(n, size=n) for _ in range(draws))
    else:
        _, codes = np.unique(np.asarray(units, dtype=str), return_inverse=True)
        members = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
        picks = (generator.integers(len(members), size=len(members)) for _ in range(draws))
        rows = (np.concatenate([members[unit] for unit in pick]) for pick in picks)
    return percentiles(np.array([statistic(chosen) for chosen in rows]))


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


def wins(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Pairs ranked right, (p, n): 1 where the positive's score is higher, 0.5 where both are equal, else 0."""
    difference = np.asarray(positive, dtype=np.float64)[:, None] - np.asarray(negative, dtype=np.float64)[None, :]
    return (difference > 0) + 0.5 * (difference == 0)


def pair_auc(won: np.ndarray, compared: np.ndarray, seed: int, draws: int = DRAWS) -> tuple[float, float, float]:
    """Area under the ROC curve as the share of compared pairs ranked right, with a bootstrap interval over both kinds.

    Parameters
    ----------
    won
        (p, n) result of each pair, see `wins`.
    compared
        (p, n) whether a pair counts: pairs of different plates do not.

    Returns
    -------
    tuple of float
        Value, lower and upper bound.
    """
    compared = np.asarray(compared, dtype=np.float64)
    won = np.where(compared > 0, won, 0.0)
    generator = np.random.default_rng(seed)
    positive, negative = (counts(size, generator, draws) for size in won.shape)
    total = ((positive @ compared) * negative).sum(axis=1)
    right = ((positive @ won) * negative).sum(axis=1)
    low, high = percentiles(np.divide(right, total, out=np.full(draws, np.nan), where=total > 0))
    return float(won.sum() / compared.sum()), low, high


def mean_interval(values: np.ndarray, units: np.ndarray | None = None, weights: np.ndarray | None = None) -> tuple:
    """95 % interval of a (weighted) mean whose items come in independent units, by the t distribution over units.

    Parameters
    ----------
    values
        (n,) one for each item.
    units
        (n,) name of the unit that each item belongs to, such as its compound; None: each item is a unit.
    weights
        (n,) of the items in the mean; None: all alike.

    Returns
    -------
    tuple of float
        Lower and upper bound; NaN twice where there is one unit alone.

    References
    ----------
    Efron and Stein 1981, The jackknife estimate of variance.
    """
    mean, left_out = _jackknife(values, units, weights)
    count = len(left_out)
    if count < 2:
        return float("nan"), float("nan")
    error = np.sqrt((count - 1) / count * ((left_out - mean) ** 2).sum())
    half = _t(count - 1) * error
    return float(mean - half), float(mean + half)


def share_interval(values: np.ndarray, units: np.ndarray | None = None, weights: np.ndarray | None = None) -> tuple:
    """95 % interval of a share whose items come in independent units: Wilson's, with the effective number of items.

    Items of a unit are alike, so that many items of few units tell as much as fewer independent ones. How many these are
    follows from the variance between units. Where all items are right, or none is, units count as one item each.

    Parameters
    ----------
    values
        (n,) from 0 to 1.
    units, weights
        As of `mean_interval`.

    Returns
    -------
    tuple of float
        Lower and upper bound.

    References
    ----------
    Wilson 1927, Probable inference; Korn and Graubard 1998, Confidence intervals for proportions with small expected number
    of positive counts estimated from survey data.
    """
    mean, left_out = _jackknife(values, units, weights)
    count = len(left_out)
    weights = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    items = weights.sum() ** 2 / (weights**2).sum()
    if count < 2:
        return wilson(mean, 1.0)
    variance = (count - 1) / count * ((left_out - mean) ** 2).sum()
    effective = mean * (1 - mean) / variance if variance > 0 else count
    effective = min(effective * (_NORMAL_95 / _t(count - 1)) ** 2, items)
    return wilson(mean * effective, effective)


def auc_interval(won: np.ndarray, compared: np.ndarray, units: np.ndarray, strata: tuple) -> tuple:
    """95 % interval of an area under the ROC curve that is the share of compared pairs ranked right.

    Parameters
    ----------
    won, compared
        (p, n) result of each pair and whether it counts, as of `pair_auc`.
    units
        (p,) name of the independent unit (compound, well) that each positive belongs to; a negative is one by itself.
    strata
        ((p,), (n,)) names, such as plates: pairs are compared within these alone.

    Returns
    -------
    tuple of float
        Lower and upper bound.

    References
    ----------
    Newcombe 2006, Confidence intervals for an effect size measure based on the Mann-Whitney statistic, part 2, method 5.
    """
    value = float(np.where(compared, won, 0.0).sum() / compared.sum())
    pairs = np.asarray(compared, dtype=np.float64)
    totals = pairs.sum(axis=1)
    places = np.divide((won * pairs).sum(axis=1), totals, out=np.zeros(len(totals)), where=totals > 0)
    shrink = min(1.0, _effective_share(places[totals > 0], np.asarray(units)[totals > 0]))
    parts = []
    for name in np.unique(np.asarray(strata[0], dtype=str)):
        rows, columns = (np.asarray(s, dtype=str) == name for s in strata)
        share = pairs[np.ix_(rows, columns)].sum() / pairs.sum()
        if share > 0:
            parts.append((share, max(1.0, rows.sum() * shrink), columns.sum()))

    def variance(area: float) -> float:
        total = 0.0
        for share, m, n in parts:
            middle = (m + n) / 2 - 1
            total += share**2 * area * (1 - area) / (m * n) * (1 + middle * ((1 - area) / (2 - area) + area / (1 + area)))
        return total

    def root(low: float, high: float, sign: int) -> float:
        for _ in range(60):
            middle = (low + high) / 2
            outside = abs(value - middle) > _NORMAL_95 * np.sqrt(variance(middle))
            low, high = (middle, high) if outside == (sign < 0) else (low, middle)
        return float((low + high) / 2)

    return root(0.0, value, -1), root(value, 1.0, 1)


def _effective_share(values: np.ndarray, units: np.ndarray) -> float:
    """How many independent items a mean of these is worth, as a share of their number; 1 where units are no matter."""
    mean, left_out = _jackknife(values, units, None)
    count, spread = len(left_out), values.var(ddof=1) if len(values) > 1 else 0.0
    if count < 2 or spread == 0:
        return count / len(values)
    variance = (count - 1) / count * ((left_out - mean) ** 2).sum()
    return float(spread / len(values) / variance) if variance > 0 else 1.0


def _jackknife(values, units, weights) -> tuple[float, np.ndarray]:
    """Weighted mean, and the means without each of the units, (U,)."""
    values = np.asarray(values, dtype=np.float64)
    weights = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    codes = np.arange(len(values)) if units is None else np.unique(np.asarray(units, dtype=str), return_inverse=True)[1]
    total, weight = (np.bincount(codes, weights=w) for w in (values * weights, weights))
    mean = float(total.sum() / weight.sum())
    if len(total) < 2:
        return mean, np.array([mean])
    return mean, (total.sum() - total) / (weight.sum() - weight)


def _t(freedom: int) -> float:
    """Two-sided 95 % point of the t distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))
