"""One row per field, well, plate, treatment or compound: the mean or the median of each feature.

Metadata that is constant in a group is kept; of others the sorted set of values, as a list column. Negative controls are no
treatments: they are left out when the rows become treatments or compounds.

The mean of replicate profiles and the median over plates follow [0].

[0] Ljosa et al. 2013, Comparison of methods for image-based profiling of cellular morphological responses to small-molecule
    treatment, doi:10.1177/1087057113503553
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from phenorep import contracts
from phenorep.errors import NotRun
from phenorep.levels import KEYS
from phenorep.treatments import single, treatments

SETS_LEVEL = "by"
# Values summarised at once: bounds the memory taken by float64 copies.
_VALUES_AT_ONCE = 2**24


@dataclass(frozen=True)
class Config:
    """Which rows become one, and how.

    The key `with` is a word of Python's own; the underscore is no part of it.
    """

    by: str | tuple[str, ...] = "treatment"  # field, well, plate, treatment or compound; a list for their combinations
    with_: Literal["mean", "median", "lower_median"] = "median"  # mean uses all of few rows; lower_median: as torch.median

    def __post_init__(self):
        parts = self.parts
        unknown = [part for part in parts if part not in KEYS]
        if unknown or not parts or len(set(parts)) < len(parts):
            raise ValueError(f"by must be one or several of {', '.join(KEYS)}, each once, not {self.by!r}")

    @property
    def parts(self) -> tuple[str, ...]:
        """The key `by` as a tuple."""
        return (self.by,) if isinstance(self.by, str) else self.by


def is_mean(config: Config) -> bool:
    """Whether rows become their mean."""
    return config.with_ == "mean"


def fit(config: Config, table: pd.DataFrame) -> dict[str, np.ndarray]:  # noqa: ARG001
    """Nothing is fitted."""
    return {}


def transform(config: Config, fitted: dict, table: pd.DataFrame) -> pd.DataFrame:  # noqa: ARG001
    """Summarise the rows of each group.

    Parameters
    ----------
    table
        (N rows) metadata and features.

    Returns
    -------
    DataFrame
        One row per group, sorted by the group's keys; features are float64.

    Raises
    ------
    UserError
        If a key's column is missing, or an earlier aggregation has mixed its values.
    NotRun
        If all rows are negative controls, which are no treatments.
    """
    # Features are fetched last: a table of a million cells is not copied, filtered and sorted as a whole.
    kept = [c for c in table.columns if c.startswith(("Metadata_", "Label_", "Split_"))]
    metadata = table[kept].reset_index(drop=True)
    if {"treatment", "compound"} & set(config.parts):
        if "Metadata_Control" in metadata:
            metadata = metadata[(metadata["Metadata_Control"] != "negative").to_numpy(dtype=bool)]
        if "treatment" in config.parts:
            metadata = metadata.assign(Metadata_Treatment=treatments(metadata))
        # A well without treatment and without the mark of a control is an empty one.
        named = "Metadata_Treatment" if "treatment" in config.parts else "Metadata_Compound"
        single(metadata, named)
        metadata = metadata[(metadata[named] != "").to_numpy(dtype=bool)]
    keys = [column for part in config.parts for column in KEYS[part]]
    keys = list(dict.fromkeys(keys))
    for column in keys:
        single(metadata, column)
    if metadata.empty:
        raise NotRun("no row is left: all are negative controls or have no treatment.")
    metadata = metadata.sort_values(keys, kind="stable")
    codes = metadata.groupby(keys, sort=True, observed=True).ngroup().to_numpy()
    summaries = _summaries(table, metadata.index.to_numpy(), codes, config.with_)
    metadata = pd.DataFrame({column: gathered(metadata[column], codes) for column in metadata})
    return pd.concat([metadata, summaries], axis=1)


def carry(config: Config, fitted: dict, floor: np.ndarray, columns: list[str]) -> np.ndarray:  # noqa: ARG001
    """The floor (F,) as it is: what is the same in all rows is the same in their means."""
    return floor


def gathered(column: pd.Series, codes: np.ndarray) -> pd.Series:
    """The one value of each group; if any group has several, the sorted list of distinct values of every group.

    Parameters
    ----------
    column
        (N,) values, or lists of values from an earlier aggregation; N above 0.
    codes
        (N,) group numbers 0..G-1, in ascending order.
    """
    starts = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
    if not isinstance(column.iloc[0], list | np.ndarray):
        numbers, _ = pd.factorize(column)
        if (numbers == numbers[starts][codes]).all():
            return column.iloc[starts].reset_index(drop=True)
    return pd.Series([_distinct(part) for part in np.split(column.to_numpy(), starts[1:])])


def _distinct(values: np.ndarray) -> list:
    if isinstance(values[0], list | np.ndarray):
        values = np.concatenate([np.asarray(value) for value in values])
    found = pd.unique(pd.Series(values))
    return sorted(value.item() if isinstance(value, np.generic) else value for value in found if not pd.isna(value))


def _summaries(table: pd.DataFrame, rows: np.ndarray, codes: np.ndarray, how: str) -> pd.DataFrame:
    """Features of each group of the given rows."""
    columns, parts = contracts.feature_columns(table.columns), []
    step = max(1, _VALUES_AT_ONCE // len(rows))
    for first in range(0, len(columns), step):
        names = columns[first : first + step]
        values = table[names].to_numpy(dtype=np.float64).T.take(rows, axis=1).T
        groups = pd.DataFrame(values, columns=names, copy=False).groupby(codes)
        if how == "lower_median":
            parts.append(groups.quantile(0.5, interpolation="lower"))
        else:
            parts.append(getattr(groups, how)())
    return pd.concat(parts, axis=1).reset_index(drop=True)
