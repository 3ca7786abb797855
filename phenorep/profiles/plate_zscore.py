"""Each plate's features in standard deviations from its negative controls.

A feature that does not vary among a plate's fitted rows has no standard deviation there: it is centred and left unscaled,
and the profile's facts say how often that happened. A plate that was not there when the step was fitted is scaled by its own
rows: the step corrects plates, so every plate brings its own reference.

[0] Caicedo et al. 2017, Data-analysis strategies for image-based cell profiling, doi:10.1038/nmeth.4397
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from phenorep import constancy, contracts
from phenorep.errors import UserError
from phenorep.profiles import FIT_REMEDY, features, floor, negatives, with_features

BY_ROW = True
LINEAR = True
BY_FEATURE = True
# Makes the median absolute deviation of normal values their standard deviation.
_MAD_TO_SD = 1.482602218505602


@dataclass(frozen=True)
class Config:
    """How each plate is centred and scaled."""

    fit: Literal["negative", "all"] = "negative"  # all: for screens in which most wells show no effect, or without controls
    robust: bool = False  # median and median absolute deviation: for plates with outlying wells
    epsilon: float = 0.0  # added to every deviation: tames features that hardly vary among few control wells

    def __post_init__(self):
        if self.epsilon < 0:
            raise ValueError(f"epsilon must be 0 or more, not {self.epsilon}")


def fit(config: Config, table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Centre and scale of each plate.

    Returns
    -------
    dict
        ``plates`` (P,), ``center`` and ``scale`` (P, F), ``constant`` (P, F) bool: not varying, so not scaled.

    Raises
    ------
    UserError
        If a plate has fewer than two rows to fit on, or a row mixes several plates.
    """
    chosen = negatives(table, FIT_REMEDY) if config.fit == "negative" else np.ones(len(table), bool)
    plates = _plates(table)
    values = features(table)
    return _fit(config, values, floor(table), chosen, plates, sorted(set(plates)))


def transform(config: Config, fitted: dict, table: pd.DataFrame) -> pd.DataFrame:
    """Centre and scale every row by its plate; a plate that was not fitted, by its own rows."""
    plates, values = _plates(table), features(table)
    new = sorted(set(plates) - set(fitted["plates"]))
    if new:
        chosen = negatives(table, FIT_REMEDY) if config.fit == "negative" else np.ones(len(table), bool)
        own = _fit(config, values, floor(table), chosen, plates, new)
        fitted = {name: np.concatenate([fitted[name], own[name]]) for name in fitted}
    row = {plate: number for number, plate in enumerate(fitted["plates"])}
    number = np.array([row[plate] for plate in plates])
    values = (values - fitted["center"][number]) / fitted["scale"][number]
    return with_features(table, values, contracts.feature_columns(table.columns))


def carry(config: Config, fitted: dict, floor: np.ndarray, columns: list[str]) -> np.ndarray:  # noqa: ARG001
    """The floor (F,) in the units of the plate where it is largest."""
    return floor / fitted["scale"].min(axis=0)


def facts(fitted: dict) -> dict:
    """How many features of how many plates did not vary and were left unscaled."""
    constant = fitted["constant"]
    return {
        "constant_features": int(constant.any(axis=0).sum()),
        "plates_with_constant_features": int(constant.any(axis=1).sum()),
    }


def _fit(
    config: Config, values: np.ndarray, lowest: np.ndarray, chosen: np.ndarray, plates: np.ndarray, wanted: list[str]
) -> dict[str, np.ndarray]:
    centers, scales, constants = [], [], []
    for plate in wanted:
        rows = values[chosen & (plates == plate)]
        if len(rows) < 2:
            kind = "negative-control rows (Metadata_Control)" if config.fit == "negative" else "rows"
            raise UserError(
                f"plate {plate} has {len(rows)} {kind}, at least 2 are needed. Mark the plate's negative-control wells in "
                "the dataset, set 'fit: all', or put this step before the step that aggregates them to one row."
            )
        center = np.median(rows, axis=0) if config.robust else rows.mean(axis=0)
        scale = np.median(np.abs(rows - center), axis=0) * _MAD_TO_SD if config.robust else rows.std(axis=0)
        constant = scale <= np.maximum(lowest, constancy.RELATIVE * np.abs(center))
        centers.append(center)
        scales.append(np.where(constant, 1.0, scale + config.epsilon))
        constants.append(constant)
    return {
        "plates": np.array(wanted, dtype=str),
        "center": np.stack(centers),
        "scale": np.stack(scales),
        "constant": np.stack(constants),
    }


def _plates(table: pd.DataFrame) -> np.ndarray:
    column = table["Metadata_Plate"]
    if len(column) and isinstance(column.iloc[0], list | np.ndarray):
        raise UserError("an earlier aggregation has mixed several plates in one row. Put this step before it.")
    return column.to_numpy(dtype=str)
