"""Whole groups of samples change between a part to learn from and one to test, so that both reach the numbers asked for."""

import numpy as np

_LOOKED_AT = 1000  # groups of each part of which pairs are tried


def exchanged(each: np.ndarray, tested: np.ndarray, learnt: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, int]:
    """Move groups from one part to the other, or exchange two, while that brings both parts nearer to what they need.

    Parameters
    ----------
    each
        (G, 2) int: samples of both classes in each group.
    tested
        (G,) bool: groups of the part to test.
    learnt, test
        (2,) int: how many of both classes are needed in either part.

    Returns
    -------
    tuple
        Groups of the part to test, (G,) bool; how many samples are still lacking, of both parts and classes.
    """
    tested, totals = tested.copy(), each.sum(axis=0)

    def lacking(have: np.ndarray) -> np.ndarray:
        return np.maximum(0, learnt - (totals - have)).sum(axis=-1) + np.maximum(0, test - have).sum(axis=-1)

    have = each[tested].sum(axis=0)
    while (least := int(lacking(have))) > 0:
        signs = np.where(tested, -1, 1)[:, None]
        moved = lacking(have + signs * each)
        out, into = np.flatnonzero(tested)[:_LOOKED_AT], np.flatnonzero(~tested)[:_LOOKED_AT]
        pairs = lacking(have - each[out][:, None] + each[into][None, :])
        if moved.min() < least and moved.min() <= pairs.min(initial=least):
            changed = [int(moved.argmin())]
        elif pairs.size and pairs.min() < least:
            first, second = np.unravel_index(pairs.argmin(), pairs.shape)
            changed = [int(out[first]), int(into[second])]
        else:
            break
        tested[changed] = ~tested[changed]
        have = each[tested].sum(axis=0)
    return tested, int(lacking(have))
