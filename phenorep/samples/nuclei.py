"""One square window around each nucleus."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

NEEDS = ("nuclei",)


@dataclass(frozen=True)
class Config:
    """Keys of the sample set."""

    size: int = 128  # side of the window in pixels: a cell and little of its neighbours
    edge: Literal["drop", "pad"] = "drop"  # nuclei whose window leaves the field: without them, or filled up with 0

    def __post_init__(self):
        if self.size < 1:
            raise ValueError("size must be at least 1")


def output_size(config: Config) -> tuple[int, int]:
    """Height and width of a sample."""
    return config.size, config.size


def windows(config: Config, images: pd.DataFrame, nuclei: pd.DataFrame) -> pd.DataFrame:
    """Windows whose middle (pixel ``size // 2``) is the pixel nearest to a nucleus's centre."""
    found = nuclei[["Image", *(name for name in nuclei if name.startswith(("Nucleus", "Location_", "AreaShape_")))]].copy()
    found["Number"] = found["Nucleus"]
    for column, centre in (("Top", "Location_Center_Y"), ("Left", "Location_Center_X")):
        found[column] = np.floor(found[centre] + 0.5).astype(np.int64) - config.size // 2
    found["Height"] = found["Width"] = config.size
    if config.edge == "pad":
        return found.reset_index(drop=True)
    height, width = (images[name].to_numpy()[found["Image"]] for name in ("Height", "Width"))
    inside = (found["Top"] >= 0) & (found["Left"] >= 0)
    inside &= (found["Top"] + config.size <= height) & (found["Left"] + config.size <= width)
    return found[inside].reset_index(drop=True)
