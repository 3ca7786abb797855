"""ComBat: each feature of a batch is moved and scaled, by amounts shrunk towards those of the batch's other features.

The estimates are pycombat's (parametric empirical Bayes without covariates), one block at a time. By default they are made
on negative controls and applied to all rows: where compounds stand in one batch only, a correction fitted on all rows would
take their effects for those of the batch. A feature that does not vary within any batch has no scale to estimate: its
batches are moved to the common mean and left unscaled, and the profile's facts say how many there are.

Batches are estimated jointly, so one that was not there when the step was fitted cannot be corrected by that fit.

[0] Johnson, Li, Rabinovic 2007, Adjusting batch effects in microarray expression data using empirical Bayes methods,
    doi:10.1093/biostatistics/kxj037
[1] CoAxLab/pycombat
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from phenorep import constancy, contracts
from phenorep.errors import NotRun, UserError
from phenorep.profiles import FIT_REMEDY, features, floor, members, negatives, with_features

BY_ROW = True
LINEAR = True
BY_FEATURE = True


@dataclass(frozen=True)
class Config:
    """What is corrected, and on which rows the correction is estimated."""

    fit: Literal["negative", "all"] = "negative"  # all: only where every batch holds the same treatments
    by: str = "Metadata_Batch"  # or Metadata_Plate


def fit(config: Config, table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Estimate every block by itself.

    Returns
    -------
    dict
        ``batches`` (B,), ``rows`` (B,) fitted on; for each block ``{block}/center`` (F,) the mean of the rows,
        ``{block}/slope`` and ``{block}/offset`` (B, F): x becomes ``(x - center) * slope + offset``, and
        ``{block}/constant`` (F,) bool.

    Raises
    ------
    NotRun
        If there is one batch alone, or a block has fewer than two varying features: there is nothing to shrink towards.
    UserError
        If there is no batch column, or a batch has fewer than two rows to fit on.
    """
    batch = members(table, config.by)
    chosen = negatives(table, FIT_REMEDY) if config.fit == "negative" else np.ones(len(table), bool)
    names, counts = sorted(set(batch)), pd.Series(batch[chosen]).value_counts()
    if len(names) < 2:
        raise NotRun(f"all rows are of one batch ({config.by}: {', '.join(names)}): there is nothing to correct.")
    for name in names:
        if counts.get(name, 0) < 2:
            kind = "negative-control rows (Metadata_Control)" if config.fit == "negative" else "rows"
            raise UserError(
                f"batch {name} ({config.by}) has {counts.get(name, 0)} {kind}, at least 2 are needed. Mark its negative-"
                "control wells in the dataset, name a coarser column with 'by', or put this step before the aggregation."
            )
    fitted = {"batches": np.array(names, dtype=str), "rows": counts[names].to_numpy(dtype=np.int64)}
    for block, columns in contracts.feature_blocks(table.columns).items():
        found = _estimate(features(table.loc[chosen], columns), floor(table, columns), batch[chosen], names)
        if found["constant"].sum() > len(columns) - 2:
            raise NotRun(
                f"fewer than two features of '{block}' vary within batches among the {chosen.sum()} rows fitted on: ComBat "
                "shrinks a feature's correction towards that of the others."
            )
        fitted |= {f"{block}/{name}": value for name, value in found.items()}
    return fitted


def transform(config: Config, fitted: dict, table: pd.DataFrame) -> pd.DataFrame:
    """Move and scale every row by its batch.

    Raises
    ------
    UserError
        If a batch was not there when the step was fitted.
    """
    batch = members(table, config.by)
    known = {name: number for number, name in enumerate(fitted["batches"].tolist())}
    new = sorted(set(batch) - known.keys())
    if new:
        raise UserError(
            f"the batches {', '.join(new[:5])} ({config.by}) were not there when the step was fitted, and ComBat estimates "
            "all batches jointly. Make the profiles of all plates together, or use 'coral', which aligns new batches."
        )
    number = np.array([known[name] for name in batch])
    values = [
        (features(table, columns) - fitted[f"{block}/center"]) * fitted[f"{block}/slope"][number]
        + fitted[f"{block}/offset"][number]
        for block, columns in contracts.feature_blocks(table.columns).items()
    ]
    return with_features(table, np.concatenate(values, axis=1), contracts.feature_columns(table.columns))


def carry(config: Config, fitted: dict, floor: np.ndarray, columns: list[str]) -> np.ndarray:  # noqa: ARG001
    """The floor (F,) in the units of the batch where it is largest."""
    blocks = contracts.feature_blocks(columns)
    slopes = {name: slope for block in blocks for name, slope in zip(blocks[block], fitted[f"{block}/slope"].T, strict=True)}
    return floor * np.array([slopes[name].max() for name in columns])


def facts(fitted: dict) -> dict:
    """How many batches were corrected, on how many rows, and how many features were left unscaled in each block."""
    constant = {name.removesuffix("/constant"): int(v.sum()) for name, v in fitted.items() if name.endswith("/constant")}
    return {
        "batches": len(fitted["batches"]),
        "rows": dict(zip(fitted["batches"].tolist(), fitted["rows"].tolist(), strict=True)),
        "constant_features": constant,
    }


def _estimate(values: np.ndarray, lowest: np.ndarray, batch: np.ndarray, names: list[str]) -> dict[str, np.ndarray]:
    """Slope and offset of each batch and feature, of (N, F) values; see `fit`."""
    from pycombat import Combat

    center = values.mean(axis=0)
    means = np.stack([values[batch == name].mean(axis=0) for name in names])
    within = values - means[np.searchsorted(names, batch)]
    lowest = np.maximum(lowest, constancy.RELATIVE * np.abs(values).max(axis=0))
    constant = np.sqrt((within**2).mean(axis=0)) <= lowest
    slope, offset = np.ones((len(names), len(center))), 2 * center - means
    varying = np.flatnonzero(~constant)
    if len(varying) >= 2:
        # What is constant in one batch has the variance 0 there until it is shrunk towards the others'.
        with np.errstate(divide="ignore", invalid="ignore"):
            model = Combat().fit(values[:, varying], batch)
        slope[:, varying] = 1 / np.sqrt(model.delta_sq_)
        offset[:, varying] = model.intercept_ - model.gamma_ * np.sqrt(model.epsilon_ / model.delta_sq_)
    return {"center": center, "slope": slope, "offset": offset, "constant": constant}
