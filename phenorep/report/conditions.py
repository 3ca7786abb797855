"""Texts that say what a score is for, ``classifier=knn, labels=350``, taken apart: what is drawn along and what is not."""

import math

import pandas as pd

BETWEEN = ", "


def parts(text: str) -> dict[str, str]:
    """Settings by key; a value may hold commas of its own."""
    found: dict[str, str] = {}
    last = ""
    for piece in text.split(BETWEEN) if text else []:
        key, equals, value = piece.partition("=")
        if equals or not found:
            last = key
            found[last] = value
        else:
            found[last] += BETWEEN + piece
    return found


def split(text: str, key: str) -> tuple[str, float]:
    """The settings without a key, and that key's value as a number, NaN where there is none."""
    found = parts(text)
    try:
        value = float(found.pop(key, "nan"))
    except ValueError:
        return text, math.nan
    return BETWEEN.join(f"{name}={value}" if value else name for name, value in found.items()), value


def same(text: str) -> str:
    """Settings in one order, to be compared: which stands first means nothing."""
    return BETWEEN.join(sorted(text.split(BETWEEN)))


def ends(rows: pd.DataFrame, key: str) -> pd.Series:
    """Which scores stand at the end of their curve: at the largest value at which most representations were scored.

    Parameters
    ----------
    rows
        Scores of one evaluation with ``metric, subset, settings, method, profile``.
    key
        Along which they are a curve.

    Returns
    -------
    pandas.Series
        bool; True as well for scores whose settings do not have the key.
    """
    texts = pd.DataFrame([split(text, key) for text in rows["settings"]], columns=["rest", "value"], index=rows.index)
    table = rows[["metric", "subset"]].join(texts).assign(scored=rows["method"] + "\t" + rows["profile"])
    kept = table["value"].isna()
    for _, part in table.groupby(["metric", "subset", "rest"]):
        counts = part.groupby("value")["scored"].nunique()
        if len(counts):
            kept |= (table.index.isin(part.index)) & (table["value"] == counts[counts == counts.max()].index.max())
    return kept
