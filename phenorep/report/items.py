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


def read_reference(details: pd.DataFrame, wanted: Item) -> pd.Series:
    """The measure without each of the control wells that its items are compared with, by well; empty without any."""
    if not {"part", "item", "value"} <= set(details.columns):
        return pd.Series(dtype=float)
    rows = details[details["part"] == "reference"]
    for column, text in wanted._asdict().items():
        if column in rows:
            rows = rows[rows[column].fillna("").astype(str) == text]
    return rows.groupby(rows["item"].astype(str))["value"].mean()


def alike(values: pd.Series) -> pd.DataFrame:
    """Items that count alike, each a unit by itself."""
    return pd.DataFrame({"value": values, "weight": 1.0, "unit": values.index.astype(str)})


def over_seeds(found: list[pd.DataFrame]) -> pd.DataFrame:
    """Each item's mean over seeds."""
    if len(found) == 1:
        return found[0]
    table = pd.concat(found)
    return table.groupby(level=0).agg({"value": "mean", "weight": "mean", "unit": "first"})


def common_reference(first: pd.Series | None, second: pd.Series | None) -> dict[str, np.ndarray]:
    """How the difference of two representations depends on the choice of control wells, for `statistics.mean_interval`.

    Returns
    -------
    dict
        ``reference``, the difference without each control that both were compared with, and ``strata``, its plates; empty
        where one of them was not compared with controls.
    """
    if first is None or second is None:
        return {}
    both = pd.concat([first, second], axis=1, join="inner").dropna().sort_index()
    if len(both) < 2:
        return {}
    plates = both.index.str.rsplit("/", n=1).str[0].to_numpy(dtype=str)
    return {"reference": (both.iloc[:, 0] - both.iloc[:, 1]).to_numpy(), "strata": plates}


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
