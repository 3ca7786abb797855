"""Results of single items (treatments, wells, samples), of which a measure is the mean, and which are independent."""

from typing import NamedTuple

import numpy as np
import pandas as pd

# Part of the details -> columns of the item's name and its value, and what the items are called.
_PARTS = {"pair": ("treatment", "correct", "treatments"), "item": ("item", "value", "items")}
# Columns that say what is independent, the first that is there, and what they hold, where the scores do not say it.
_UNITS = {"unit": "units", "compound": "compounds", "well": "wells"}


class Item(NamedTuple):
    """Which results of an evaluation's details are meant."""

    metric: str
    subset: str = ""
    settings: str = ""


def read(details: pd.DataFrame, wanted: Item) -> tuple[pd.DataFrame, str]:
    """Results item by item.

    Returns
    -------
    tuple
        ``value, weight, unit`` by item, empty where the details hold none: the measure is the sum of weight * value over the
        sum of weight, and items of one unit (a compound, a well) are not independent. Second, what units are, in the plural.
    """
    columns = set(details.columns)
    for part, (name, value, kind) in _PARTS.items():
        if not {"part", name, value} <= columns:
            continue
        rows = details[details["part"] == part]
        for column, text in wanted._asdict().items():
            if column in rows:
                rows = rows[rows[column].fillna("").astype(str) == text]
        if not len(rows):
            continue
        given = next((column for column in _UNITS if column in rows and rows[column].notna().all()), name)
        weight = rows["weight"].astype(float) if "weight" in rows else pd.Series(1.0, index=rows.index)
        single = pd.DataFrame({"value": rows[value] * weight, "weight": weight, "unit": rows[given].astype(str)})
        # An item that was scored several times counts as often.
        single = single.groupby(rows[name].astype(str)).agg({"value": "sum", "weight": "sum", "unit": "first"})
        return single.assign(value=single["value"] / single["weight"]), _UNITS.get(given, kind)
    return alike(pd.Series(dtype=float)), ""


def alike(values: pd.Series) -> pd.DataFrame:
    """Items that count alike, each a unit by itself."""
    return pd.DataFrame({"value": values, "weight": 1.0, "unit": values.index.astype(str)})


def over_seeds(found: list[pd.DataFrame]) -> pd.DataFrame:
    """Each item's mean over seeds."""
    if len(found) == 1:
        return found[0]
    table = pd.concat(found)
    return table.groupby(level=0).agg({"value": "mean", "weight": "mean", "unit": "first"})


class Common(NamedTuple):
    """Items that several representations have: ``values`` (N, R), ``weights`` (N,) and ``units`` (N,) names."""

    values: np.ndarray
    weights: np.ndarray
    units: np.ndarray

    @property
    def count(self) -> int:
        """How many units there are."""
        return len(set(self.units))

    @property
    def sums(self) -> np.ndarray:
        """Each unit's part of the weighted means, (U, R)."""
        _, codes = np.unique(self.units, return_inverse=True)
        parts = self.values * (self.weights / self.weights.sum())[:, None]
        found = np.zeros((codes.max() + 1, parts.shape[1]))
        np.add.at(found, codes, parts)
        return found


def common(tables: list[pd.DataFrame | None]) -> Common | None:
    """What all of several representations have; None where one of them has no single results, or they share no item."""
    if any(table is None for table in tables):
        return None
    joined = pd.concat(
        [table[["value", "weight"]] for table in tables], axis=1, join="inner", keys=range(len(tables))
    ).dropna()
    if not len(joined):
        return None
    joined = joined.sort_index()
    values, weights = (joined.xs(name, axis=1, level=1).to_numpy(dtype=float) for name in ("value", "weight"))
    weights = weights.mean(axis=1)
    if not weights.sum() > 0:
        return None
    return Common(values, weights, tables[0].loc[joined.index, "unit"].to_numpy(dtype=str))
