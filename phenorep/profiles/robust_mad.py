"""Each plate's features in robust standard deviations from its median: (x - median) / (1.4826 MAD + epsilon).

The median absolute deviation (MAD) of normal values times 1.4826 is their standard deviation. Median and MAD are taken over
the plate's negative controls, or over all of its rows, which holds where most wells show no effect. A feature whose MAD is 0
(half of the rows share one value) is centred and left unscaled, where pycytominer's default divides it by 1e-18; the
profile's facts say how often that happened. A plate that was not there when the step was fitted is scaled by its own rows.

[0] Caicedo et al. 2017, Data-analysis strategies for image-based cell profiling, doi:10.1038/nmeth.4397
[1] pycytominer, operations/transform.py: RobustMAD
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from phenorep.profiles import plate_zscore

BY_ROW = True
LINEAR = True
BY_FEATURE = True


@dataclass(frozen=True)
class Config:
    """Whose median and deviation are taken."""

    fit: Literal["negative", "all"] = "negative"  # all: for screens in which most wells show no effect, or without controls
    epsilon: float = 0.0  # added to every deviation: tames features that hardly vary among few control wells

    def __post_init__(self):
        if self.epsilon < 0:
            raise ValueError(f"epsilon must be 0 or more, not {self.epsilon}")


def fit(config: Config, table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Median and scaled deviation of each plate: see `plate_zscore.fit`, also for what is returned and raised."""
    return plate_zscore.fit(_robust(config), table)


def transform(config: Config, fitted: dict, table: pd.DataFrame) -> pd.DataFrame:
    """Centre and scale every row by its plate; a plate that was not fitted, by its own rows."""
    return plate_zscore.transform(_robust(config), fitted, table)


def carry(config: Config, fitted: dict, floor: np.ndarray, columns: list[str]) -> np.ndarray:
    """The floor (F,) in the units of the plate where it is largest."""
    return plate_zscore.carry(_robust(config), fitted, floor, columns)


def facts(fitted: dict) -> dict:
    """How many features of how many plates had a MAD of 0 and were left unscaled."""
    return plate_zscore.facts(fitted)


def _robust(config: Config) -> plate_zscore.Config:
    return plate_zscore.Config(fit=config.fit, robust=True, epsilon=config.epsilon)
