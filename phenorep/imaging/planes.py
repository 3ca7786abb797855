"""Planes of grey values as an image file holds them, and which of them are meant."""

from dataclasses import dataclass

import numpy as np


class Refused(ValueError):
    """Why a file cannot be used as an image: what was found and what was expected, as a sentence."""


@dataclass(frozen=True)
class Stored:
    """What a file holds.

    Parameters
    ----------
    shape
        Height and width in pixels, and bits per pixel: 8 or 16.
    values
        (planes, H, W) uint8 or uint16, without opacity; None where only the header was read.
    opacity
        (H, W) of the same type, where the file has it.
    colour
        Whether the planes are those of colours, red first.
    stack
        Whether the planes are images that follow each other, rather than values of each pixel.
    others
        Names of files that hold further channels of the same image, as OME-XML says.
    """

    shape: tuple[int, int, int]
    values: np.ndarray | None = None
    opacity: np.ndarray | None = None
    colour: bool = False
    stack: bool = False
    others: tuple[str, ...] = ()


def grey(stored: Stored) -> np.ndarray:
    """The one plane (H, W) of a file, or of several equal values of each pixel."""
    values = stored.values
    if len(values) > 1 and stored.stack:
        raise Refused(f"The file holds {len(values)} images, expected one.")
    if len(values) > 1 and (values[1:] != values[:1]).any():
        if stored.colour:
            raise Refused("The image is in colour: save each channel as its own grey image.")
        raise Refused(f"The file holds {len(values)} planes, expected one: save each channel as its own grey image.")
    return values[0]


def named(stored: Stored, count: int) -> np.ndarray:
    """The planes (count, H, W) of a crop whose channels have so many names."""
    values = stored.values
    if stored.others:
        raise Refused(
            f"The file holds {_number(len(values))}, of {count} named; its OME-XML says that other channels of the image "
            f"are in {', '.join(stored.others[:3])}. Save the channels of each crop in one file, or make a table of fields "
            "(the command `table`)."
        )
    if count == 1 and not stored.stack:
        return grey(stored)[None]
    if stored.opacity is not None and len(values) + 1 == count:
        # Writers of pictures take a fourth channel for opacity; where it is opacity, all is opaque.
        if (stored.opacity == np.iinfo(stored.opacity.dtype).max).all():
            raise Refused(
                f"The last of its {count} planes is opacity, the same everywhere; only {len(values)} are channels."
            )
        return np.concatenate([values, stored.opacity[None]])
    if stored.stack and len(values) != count and values.shape[2] == count:
        values = np.moveaxis(values, 2, 0)  # planes last, which tifffile writes as rows of so many images
    if len(values) != count:
        raise Refused(
            f"The file holds {_number(len(values))} of {values.shape[1]} x {values.shape[2]} pixels, but {count} "
            f"channel{'s are' if count > 1 else ' is'} named. Name the planes of the crops in their order, each once; of "
            "images with one channel each, the command `table` makes a table of fields."
        )
    return values


def turned(values: np.ndarray, orientation: int) -> np.ndarray:
    """Planes (..., rows, columns) as they are to be seen, by a TIFF's tag `Orientation`: the first row may be the last."""
    if orientation in (5, 6, 7, 8):
        values = np.swapaxes(values, -1, -2)
    if orientation in (2, 3, 6, 7):
        values = values[..., ::-1]
    if orientation in (3, 4, 7, 8):
        values = values[..., ::-1, :]
    return values


def _number(planes: int) -> str:
    return "one plane" if planes == 1 else f"{planes} planes"
