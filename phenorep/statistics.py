"""Intervals of scores over independent units, with numpy and the t distribution of scipy."""

import numpy as np

# Two-sided 95 % point of the normal distribution.
_NORMAL_95 = 1.959963984540054


def wilson(successes: float, n: float, point: float = _NORMAL_95) -> tuple[float, float]:
    """95 % interval of a share, by the score method: it stays inside 0..1 and is right for few trials.

    Parameters
    ----------
    successes, n
        Number of successes and of trials; `n` above 0. Effective numbers need not be whole.
    point
        Two-sided 95 % point: of the t distribution where `n` is itself estimated.

    References
    ----------
    Wilson 1927, Probable inference, the law of succession, and statistical inference.
    """
    if not n > 0 or not 0 <= successes <= n:
        raise ValueError(f"a share needs 0 <= successes <= n and n > 0, got {successes} of {n}.")
    share, z2 = successes / n, point**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = point / (1 + z2 / n) * np.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    # At 0 and n successes the bound is the share itself; rounding must not move it.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return float(low), float(high)


def wins(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Pairs ranked right, (p, n): 1 where the positive's score is higher, 0.5 where both are equal, else 0."""
    difference = np.asarray(positive, dtype=np.float64)[:, None] - np.asarray(negative, dtype=np.float64)[None, :]
    return (difference > 0) + 0.5 * (difference == 0)


def mean_interval(
    values: np.ndarray,
    units: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    reference: np.ndarray | None = None,
    strata: np.ndarray | None = None,
    inside: bool = False,
) -> tuple:
    """95 % interval of a (weighted) mean whose items come in independent units, by the t distribution over units.

    Parameters
    ----------
    values
        (n,) one for each item.
    units
        (n,) name of the unit that each item belongs to, such as its compound; None: each item is a unit.
    weights
        (n,) of the items in the mean; None: all alike.
    reference
        (c,) means without each of the controls that all items are compared with, whose choice varies the mean as well.
    strata
        (c,) names of the plates that these controls were chosen on; None: all are of one.
    inside
        Whether values lie from 0 to 1: the interval is that of `share_interval`, which stays inside and holds near the ends.

    Returns
    -------
    tuple of float
        Lower and upper bound; NaN twice where there is one unit alone.

    References
    ----------
    Efron and Stein 1981, The jackknife estimate of variance.
    """
    if inside:
        freedom = np.inf if reference is None else len(reference) - 1
        return share_interval(values, units, weights, more=(reference_variance(reference, strata), freedom))
    mean, variance, freedom = _spread(values, units, weights, reference, strata)
    half = t_point(freedom) * np.sqrt(variance) if freedom > 0 else float("nan")
    return float(mean - half), float(mean + half)


def mean_test(
    values: np.ndarray,
    units: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    reference: np.ndarray | None = None,
    strata: np.ndarray | None = None,
) -> float:
    """Two-sided p that a (weighted) mean is 0, by the t distribution; parameters as of `mean_interval`, NaN for one unit."""
    from scipy.special import stdtr

    mean, variance, freedom = _spread(values, units, weights, reference, strata)
    if not freedom > 0:
        return float("nan")
    if variance == 0:
        return float(mean == 0)
    return float(2 * stdtr(freedom, -abs(mean) / np.sqrt(variance)))


def _spread(values, units, weights, reference, strata) -> tuple[float, float, float]:
    """Mean, its variance over units and over the choice of controls, and the degrees of freedom; 0 of one unit alone."""
    values, weights, codes = _items(values, units, weights)
    total, weight = (np.bincount(codes, weights=w) for w in (values * weights, weights))
    count, mean = len(total), float(total.sum() / weight.sum())
    if count < 2:
        return mean, float("nan"), 0.0
    left_out = (total.sum() - total) / (weight.sum() - weight)
    parts = [((count - 1) / count * ((left_out - mean) ** 2).sum(), count - 1)]
    parts += [] if reference is None else [(reference_variance(reference, strata), len(reference) - 1)]
    return mean, sum(part for part, _ in parts), _pooled_freedom(parts)


def _pooled_freedom(parts: list[tuple[float, float]]) -> float:
    """Degrees of freedom of a sum of variances, each with its own.

    References
    ----------
    Satterthwaite 1946, An approximate distribution of estimates of variance components.
    """
    variance = sum(part for part, _ in parts)
    if not variance > 0:
        return float(min(free for _, free in parts))
    return float(variance**2 / sum(part**2 / max(free, 1.0) for part, free in parts if part > 0))


def reference_variance(without: np.ndarray | None, strata: np.ndarray | None = None) -> float:
    """Variance of a score over the choice of its controls, by the jackknife: see `mean_interval`; 0 without any."""
    if without is None or len(without) < 2:
        return 0.0
    codes = np.zeros(len(without), int) if strata is None else np.unique(strata, return_inverse=True)[1]
    parts = [without[codes == code] for code in range(codes.max() + 1)]
    return float(sum((len(part) - 1) / len(part) * ((part - part.mean()) ** 2).sum() for part in parts))


def share_interval(
    values: np.ndarray,
    units: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    strata: np.ndarray | None = None,
    more: tuple[float, float] = (0.0, np.inf),
) -> tuple:
    """95 % interval of a share, or a mean of values from 0 to 1, whose items come in independent units.

    It is Wilson's, with the effective number of items: items of a unit are alike, by the intraclass correlation of an
    analysis of variance, so that many items of few units tell as much as fewer independent ones. Where all items are right,
    or none is, nothing tells how alike they are, and each unit counts as one item.

    Parameters
    ----------
    values
        (n,) from 0 to 1.
    units, weights
        As of `mean_interval`.
    strata
        (n,) names of what is fixed, such as the classes of a balanced accuracy: their differences are not spread of units.
    more
        Variance of the mean from another source, such as the draws of what was learnt from, and its degrees of freedom.

    Returns
    -------
    tuple of float
        Lower and upper bound.

    References
    ----------
    Wilson 1927, Probable inference; Korn and Graubard 1998, Confidence intervals for proportions with small expected number
    of positive counts estimated from survey data; Donner 1986, A review of inference procedures for the intraclass
    correlation coefficient in the one-way random effects model.
    """
    values, weights, codes = _items(values, units, weights)
    mean, count = float(values @ weights / weights.sum()), int(codes.max()) + 1
    kinds = np.zeros(len(values), dtype=int) if strata is None else np.unique(strata, return_inverse=True)[1]
    if kinds.max() + 1 >= count:
        kinds = np.zeros(len(values), dtype=int)  # a unit for each stratum: nothing tells them apart
    squares = np.bincount(codes, weights=weights**2)
    alike = np.bincount(codes, weights=weights) ** 2 - squares
    deviations = values - (np.bincount(kinds, weights=values) / np.bincount(kinds))[kinds]
    items = weights.sum() ** 2 / (squares.sum() + _correlation(deviations, codes, kinds) * alike.sum())
    spread = mean * (1 - mean)
    if spread > 0:
        variance = (weights**2 @ deviations**2) / squares.sum() * len(values) / (len(values) - kinds.max())
        # Few values may look alike by chance; as if a further unit had the widest spread that values from 0 to 1 can have.
        variance = (count * variance + spread) / (count + 1)
        items *= spread / variance
    return _bounded(mean, [(spread / items, count - 1 - int(kinds.max())), more], items)


def jackknife_interval(
    value: float, left_out: np.ndarray, items: float, more: tuple[float, float] = (0.0, np.inf)
) -> tuple[float, float]:
    """95 % interval of any measure on a scale from 0 to 1: Wilson's, with as many items as have the jackknife's variance.

    Parameters
    ----------
    value
        The measure, from all units.
    left_out
        (U,) its values without each of the independent units; NaN where it is not defined then.
    items
        Number of independent items where the value is 0 or 1, and no variance can be seen.
    more
        As of `share_interval`.

    Returns
    -------
    tuple of float
        Lower and upper bound; NaN twice where the value is NaN.

    References
    ----------
    Efron and Stein 1981, The jackknife estimate of variance.
    """
    if np.isnan(value):
        return float("nan"), float("nan")
    left_out = left_out[np.isfinite(left_out)]
    count, spread = len(left_out), value * (1 - value)
    if count < 2:
        return wilson(value, 1.0)
    variance = (count - 1) / count * ((left_out - left_out.mean()) ** 2).sum()
    variance = (count * variance + spread / items) / (count + 1)  # few units may look alike by chance
    return _bounded(value, [(variance, count - 1), more], items)


def _bounded(value: float, parts: list[tuple[float, float]], items: float) -> tuple[float, float]:
    """Wilson's interval from variance and degrees of freedom of each source of error; `items` count at 0 and 1."""
    value = min(max(value, 0.0), 1.0)
    variance, spread = sum(part for part, _ in parts), value * (1 - value)
    effective = spread / variance if variance > 0 and spread > 0 else items
    return wilson(min(value * effective, effective), effective, t_point(max(_pooled_freedom(parts), 1.0)))


def auc_interval(
    places: np.ndarray,
    pairs: np.ndarray,
    units: np.ndarray,
    strata: np.ndarray,
    negatives: dict[str, int],
    inflation: float = 1.0,
) -> tuple:
    """95 % interval of an area under the ROC curve that is the share of compared pairs ranked right.

    Parameters
    ----------
    places
        (p,) share of the negatives it was compared with that each positive is ranked above, ties counting half.
    pairs
        (p,) how many these negatives are, above 0.
    units
        (p,) name of the independent unit (compound, well) that each positive belongs to; a negative is one by itself.
    strata
        (p,) names, such as plates: pairs are compared within these alone.
    negatives
        Number of negatives in each stratum.
    inflation
        Factor of the variance: above 1 where each pair was rated by what was learnt from the others.

    Returns
    -------
    tuple of float
        Lower and upper bound.

    References
    ----------
    Newcombe 2006, Confidence intervals for an effect size measure based on the Mann-Whitney statistic, part 2, method 5.
    The t distribution takes the place of the normal one: with 8 wells and skewed distances that is too narrow.
    """
    places, pairs, strata = np.asarray(places, np.float64), np.asarray(pairs, np.float64), np.asarray(strata, dtype=str)
    value = float(places @ pairs / pairs.sum())
    _, codes = np.unique(np.asarray(units, dtype=str), return_inverse=True)
    sizes = np.bincount(codes)
    alike = _correlation(places - places.mean(), codes, np.zeros(len(places), dtype=int))
    independent = 1 / (1 + alike * ((sizes**2).sum() / len(places) - 1))
    parts = []
    for name in np.unique(strata):
        rows = strata == name
        parts.append((pairs[rows].sum() / pairs.sum(), max(1.0, rows.sum() * independent), negatives[name]))
    share, m, n = np.array(parts).T
    point = t_point(max(1.0, float((m + n - 2).sum())))

    def error(area: float) -> float:
        return float(np.sqrt(inflation * auc_variance(area, m, n, share)))

    def limit(outside: float) -> float:
        inside = value
        for _ in range(40):
            middle = (outside + inside) / 2
            if abs(value - middle) > point * error(middle):
                outside = middle
            else:
                inside = middle
        return float(inside)

    return limit(0.0), limit(1.0)


def auc_variance(area: float, positives: np.ndarray, negatives: np.ndarray, shares: np.ndarray) -> float:
    """Variance of an area under the ROC curve, the mean over strata, which have these `shares` (P,) of all pairs.

    Parameters
    ----------
    area
        The true one.
    positives, negatives
        (P,) how many are in each stratum.

    References
    ----------
    Hanley and McNeil 1982, The meaning and use of the area under a receiver operating characteristic curve; Newcombe 2006.
    """
    positives, negatives, shares = (np.asarray(part, dtype=np.float64) for part in (positives, negatives, shares))
    curved = 1 + ((positives + negatives) / 2 - 1) * ((1 - area) / (2 - area) + area / (1 + area))
    return float((shares**2 * area * (1 - area) / (positives * negatives) * curved).sum())


def t_point(freedom: float) -> float:
    """Two-sided 95 % point of the t distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975)) if np.isfinite(freedom) else _NORMAL_95


def _items(values, units, weights) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values and weights as numbers, (n,) each, and the number of each item's unit, (n,)."""
    values = np.asarray(values, dtype=np.float64)
    weights = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    codes = np.arange(len(values)) if units is None else np.unique(np.asarray(units, dtype=str), return_inverse=True)[1]
    return values, weights, codes


def _correlation(deviations: np.ndarray, codes: np.ndarray, kinds: np.ndarray) -> float:
    """Intraclass correlation, 0 to 1, of deviations from the mean of their stratum; 1 where all are 0, as nothing is seen.

    By the mean squares between and within units; numbers of units and of strata are (n,) each.
    """
    sizes = np.bincount(codes)
    within_freedom, between_freedom = len(codes) - len(sizes), len(sizes) - kinds.max() - 1
    if not deviations.any() or between_freedom < 1:
        return 1.0
    if within_freedom == 0:
        return 0.0
    means = np.bincount(codes, weights=deviations) / sizes
    between = (sizes * means**2).sum() / between_freedom
    within = ((deviations - means[codes]) ** 2).sum() / within_freedom
    size = (len(codes) - (sizes[codes] / np.bincount(kinds)[kinds]).sum()) / between_freedom
    return float(np.clip((between - within) / (between + (size - 1) * within), 0.0, 1.0))
