"""Square tiles on a grid over each image."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from phenorep.errors import UserError

NEEDS = ()


@dataclass(frozen=True)
class Config:
    """Keys of the sample set."""

    size: int = 224  # side of a tile in pixels
    overlap: int = 0  # pixels that neighbouring tiles share
    align: Literal["centre", "corner"] = "centre"  # where the grid lies if it leaves a rest: in the middle, or upper left

    def __post_init__(self):
        if self.size < 1:
            raise ValueError("size must be at least 1")
        if not 0 <= self.overlap < self.size:
            raise ValueError("overlap must be at least 0 and below size")


def output_size(config: Config, about: dict) -> tuple[int, int]:  # noqa: ARG001
    """Height and width of a sample."""
    return config.size, config.size


def windows(config: Config, images: pd.DataFrame, nuclei: pd.DataFrame | None, about: dict) -> pd.DataFrame:  # noqa: ARG001
    """All whole tiles, row by row; what is left at the edges is in no tile."""
    grids = []
    for (height, width), rows in images.reset_index(drop=True).groupby(["Height", "Width"]):
        if min(height, width) < config.size:
            raise UserError(
                f"samples: size: tiles of {config.size} pixels do not fit into images of {height} x {width}; lower it."
            )
        tops, lefts = (_starts(int(length), config) for length in (height, width))
        top, left = (part.ravel() for part in np.meshgrid(tops, lefts, indexing="ij"))
        grid = pd.DataFrame({"Number": np.arange(1, len(top) + 1), "Top": top, "Left": left})
        grids.append(pd.DataFrame({"Image": rows.index}).merge(grid, how="cross"))
    found = pd.concat(grids).sort_values(["Image", "Number"], ignore_index=True)
    return found.assign(Height=config.size, Width=config.size)


def _starts(length: int, config: Config) -> np.ndarray:
    step = config.size - config.overlap
    count = (length - config.size) // step + 1
    rest = length - config.size - (count - 1) * step
    return np.arange(count) * step + (rest // 2 if config.align == "centre" else 0)
