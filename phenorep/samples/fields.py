"""Each field of view as a whole, resized."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

NEEDS = ()


@dataclass(frozen=True)
class Config:
    """Keys of the sample set."""

    size: tuple[int, int] = (512, 640)  # height and width in pixels; keep the camera's proportions, or cells are distorted

    def __post_init__(self):
        if min(self.size) < 1:
            raise ValueError("size must be [height, width], each at least 1")


def output_size(config: Config, about: dict) -> tuple[int, int]:  # noqa: ARG001
    """Height and width of a sample."""
    return config.size


def windows(config: Config, images: pd.DataFrame, nuclei: pd.DataFrame | None, about: dict) -> pd.DataFrame:  # noqa: ARG001
    """One window per image: all of it."""
    found = images[["Height", "Width"]].reset_index(drop=True)
    return found.assign(Image=np.arange(len(images)), Number=1, Top=0, Left=0)
