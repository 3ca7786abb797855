"""One square window around each nucleus."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from phenorep.errors import UserError

NEEDS = ("nuclei",)
# What encoders' files mean that were written before a key was there: all nuclei that were found were cut.
EARLIER = {"border": "keep"}
_SIZE = 128  # pixels, where a configuration gives no size at all


@dataclass(frozen=True)
class Config:
    """Keys of the sample set."""

    size: int | None = None  # side of a sample in pixels: a cell and little of its neighbours; default: 128, or by size_um
    # side of the window in micrometres, for plates of different microscopes: cut by the dataset's pixel_size_um, and resized
    # to `size` (bicubic) where that is given too, so that all plates give samples of one size
    size_um: float | None = None
    edge: Literal["drop", "pad"] = "drop"  # nuclei whose window leaves the field: without them, or filled up with 0
    # drop: without nuclei that touch the field's border, since a part of them is missing. keep: a sample of each one that is
    # counted, where `edge: pad` fills up its window
    border: Literal["drop", "keep"] = "drop"
    # mask: other nuclei become 0, so that a sample shows one nucleus; in all channels, so what lies over or under a
    # neighbour's nucleus is lost too (its cytoplasm beyond the nucleus stays)
    neighbours: Literal["keep", "mask"] = "keep"

    def __post_init__(self):
        if self.size is not None and self.size < 1:
            raise ValueError("size must be at least 1")
        if self.size_um is not None and self.size_um <= 0:
            raise ValueError("size_um must be above 0")


def output_size(config: Config, about: dict) -> tuple[int, int]:
    """Height and width of a sample."""
    side = config.size or _side(config, about)
    return side, side


def windows(config: Config, images: pd.DataFrame, nuclei: pd.DataFrame, about: dict) -> pd.DataFrame:
    """Windows whose middle (pixel ``side // 2``) is the pixel nearest to a nucleus's centre."""
    side = _side(config, about)
    if config.border == "drop":
        nuclei = nuclei[~nuclei["Touches_Border"]]
    kept = (name for name in nuclei if name.startswith(("Nucleus", "Location_", "AreaShape_", "Touches_")))
    found = nuclei[["Image", *kept]].copy()
    found["Number"] = found["Nucleus"]
    for column, centre in (("Top", "Location_Center_Y"), ("Left", "Location_Center_X")):
        found[column] = np.floor(found[centre] + 0.5).astype(np.int64) - side // 2
    found["Height"] = found["Width"] = side
    if config.edge == "pad":
        return found.reset_index(drop=True)
    height, width = (images[name].to_numpy()[found["Image"]] for name in ("Height", "Width"))
    inside = (found["Top"] >= 0) & (found["Left"] >= 0)
    inside &= (found["Top"] + side <= height) & (found["Left"] + side <= width)
    return found[inside].reset_index(drop=True)


def _side(config: Config, about: dict) -> int:
    """Side of the window in pixels of the images."""
    if config.size_um is None:
        return config.size or _SIZE
    pixel = about.get("pixel_size_um")
    if pixel is None:
        raise UserError(
            f"samples: size_um: {config.size_um:g} micrometres cannot be told in pixels, since the size of a pixel is not "
            f"known. State it as 'datasets: {about.get('dataset') or '...'}: pixel_size_um' (the microscope's camera pixel "
            "divided by its magnification), or give 'size' in pixels in place of 'size_um'."
        )
    side = round(config.size_um / pixel)
    if side < 1:
        raise UserError(
            f"samples: size_um: {config.size_um:g} micrometres are less than a pixel, which has {pixel:g}. Both are in "
            f"micrometres: make size_um larger, or mend 'datasets: {about.get('dataset') or '...'}: pixel_size_um'."
        )
    return side
