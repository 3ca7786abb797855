"""Average precision of ranked lists, and tests against random lists, as copairs has them.

A well's random lists have as many relevant and other wells as its own list; a group's null value is the mean over its wells'
lists; p is the share of draws above the group's mean average precision (plus 1 in both counts), q is after Benjamini and
Hochberg. Draws are seeded by the lengths of the list: copairs keeps them in the user's folder, where a second run would take
those of another.

[0] Kalinin et al. 2025, A versatile information retrieval framework for evaluating profile strength and similarity,
    doi:10.1038/s41467-025-60306-2
[1] cytomining/copairs
"""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

# Elements of random lists drawn at once: bounds the memory taken where lists are long.
_DRAWN_AT_ONCE = 4_000_000
# Wells up to which all similarities are kept, 8 bytes a pair, for all shuffles of the labels.
_ALL_PAIRS = 8192
COLUMNS = ("item", "value", "relevant", "total")


def similarities(values: np.ndarray) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A function from row numbers (R,) and (S,) to their cosine similarities (R, S), to 12 decimals: ties are ties.

    Parameters
    ----------
    values
        (N, F); a row of zeros is similar to none (0).
    """
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    unit = np.divide(values, norms, out=np.zeros_like(values), where=norms > 0)
    if len(unit) > _ALL_PAIRS:
        return lambda rows, others: np.round(unit[rows] @ unit[others].T, 12)
    pairs = np.round(unit @ unit.T, 12)
    return lambda rows, others: pairs[np.ix_(rows, others)]


def of_lists(similarity: Callable, lists: Iterator[tuple]) -> pd.DataFrame:
    """Average precision of each well's list.

    Parameters
    ----------
    similarity
        As from `similarities`.
    lists
        Name of the group, row numbers of the wells that rank, of those relevant and of the others. A well is not in its own
        list; without a relevant or another one it has none.

    Returns
    -------
    DataFrame
        ``item`` (the group), ``value``, ``relevant`` and ``total``: how many wells are in the list.
    """
    rows_of = []
    for name, rows, relevant, others in lists:
        if not len(others):
            continue
        first, second = similarity(rows, relevant), similarity(rows, others)
        for number, row in enumerate(rows):
            kept = relevant != row
            if kept.any():
                ahead = len(others) - np.searchsorted(np.sort(second[number]), first[number, kept], side="left")
                rows_of.append((name, of_ahead(ahead), kept.sum(), kept.sum() + len(others)))
    return pd.DataFrame(rows_of, columns=list(COLUMNS))


def of_ahead(ahead: np.ndarray) -> np.ndarray:
    """Average precision (...,) of lists of which (..., R) says how many others come before each relevant well."""
    places = np.arange(1, ahead.shape[-1] + 1)
    return (places / (places + np.sort(ahead, axis=-1))).mean(axis=-1)


def significance(precisions: pd.DataFrame, size: int, seed: int, drawn: dict) -> pd.DataFrame:
    """Mean average precision of each group with p and q.

    Parameters
    ----------
    precisions
        As from `of_lists`.
    size
        Number of random lists.
    drawn
        Random lists drawn before, by size, ``relevant`` and ``total``; new ones are added.

    Returns
    -------
    DataFrame
        ``item``, ``value``, ``chance`` (mean of random lists), ``wells`` (number of lists), ``p``, ``q``, sorted by item.
    """
    from copairs.map import apply_fdr_correction

    rows = []
    lengths = precisions[["relevant", "total"]].to_numpy()
    for name, group in precisions.groupby("item", sort=True).indices.items():
        value = precisions["value"].iloc[group].mean()
        null = np.zeros(size)
        for (relevant, total), count in zip(*np.unique(lengths[group], axis=0, return_counts=True), strict=True):
            null += _random(size, relevant, total, seed, drawn) * (count / len(group))
        rows.append((name, value, null.mean(), len(group), ((null > value).sum() + 1) / (size + 1)))
    tested = apply_fdr_correction(pd.DataFrame(rows, columns=["item", "value", "chance", "wells", "p_value"]))
    tested = tested.rename(columns={"p_value": "p", "corrected_p_value": "q"})
    return tested[["item", "value", "chance", "wells", "p", "q"]]


def _random(size: int, relevant: int, total: int, seed: int, drawn: dict) -> np.ndarray:
    """Average precision of random lists, (size,)."""
    from copairs.compute import random_ap

    key = (size, int(relevant), int(total))
    if key not in drawn:
        seeds = np.random.SeedSequence([seed, *key])
        step = max(1, _DRAWN_AT_ONCE // key[2])
        starts = range(0, size, step)
        parts = zip(starts, seeds.spawn(len(starts)), strict=True)
        drawn[key] = np.concatenate([random_ap(min(step, size - start), *key[1:], part) for start, part in parts])
    return drawn[key]
