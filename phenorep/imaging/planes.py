"""Planes of grey values as an image file holds them, and which of them are meant."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Olympus ScanR stores signed values from 32768 [0]; a frame grabber's name tells its cameras of any number of bits.
# [0] https://github.com/CellProfiler/CellProfiler/issues/2285
_OFFSET, _NOISE, _GRABBER = 2**15, 64, "National Instruments IMAQ"
# {range of a camera: how bright its darkest pixel may be}. 12 bits fill so little of 16 that nothing else explains it; 14
# bits could be a bright field, whose darkest pixel lies above a tenth of the range.
_RANGES = {4095: 4095, 16383: 1638}
_ENDING = re.compile(r"\.\w{2,4}$")


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
    frames
        What the planes are where the file says that they are not its channels alone, like "2 focal planes".
    names
        What the file calls its planes, in their order; empty where it says nothing.
    """

    shape: tuple[int, int, int]
    values: np.ndarray | None = None
    opacity: np.ndarray | None = None
    colour: bool = False
    stack: bool = False
    others: tuple[str, ...] = ()
    frames: str = ""
    names: tuple[str, ...] = ()


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


def named(stored: Stored, channels: Sequence[str]) -> np.ndarray:
    """The planes (channels, H, W) of a crop whose channels have these names."""
    values, count = stored.values, len(channels)
    if stored.others:
        raise Refused(
            f"The file holds {_number(len(values))}, of {count} named; its OME-XML says that other channels of the image "
            f"are in {', '.join(stored.others[:3])}. Save the channels of each crop in one file, or make a table of fields "
            "(the command `table`)."
        )
    _check_named(stored, channels)
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


def _check_named(stored: Stored, channels: Sequence[str]) -> None:
    """Raise `Refused` if the file says that its planes are others than the channels that are named."""
    # Whole words: a plane that is called "cell 3, DNA.tif" is the channel DNA.
    calls = [_ENDING.sub("", name) for name in stored.names]
    of = [{name for name in channels if re.search(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])", call, re.I)} for call in calls]
    if len(of) == len(channels) and all(name in names for name, names in zip(channels, of, strict=True)):
        return
    if stored.frames:
        raise Refused(
            f"The file says that its planes are {stored.frames}, expected channels. Save the channels of one plane and time "
            "point as a crop. If they are channels, save them as such: in ImageJ, Image > Properties."
        )
    for plane, (name, names) in enumerate(zip(channels, of, strict=False), start=1):
        if name not in names and any(name in others for others in of):
            raise Refused(
                f"The file calls its planes {', '.join(stored.names)}, in this order, but --channels has {name} as number "
                f"{plane}. Name the planes in the order that they have in the file."
            )


def check_offset(values: np.ndarray, software: str = "") -> None:
    """Raise `Refused` for values that start at 32768: signed ones that were stored as if they were not."""
    if values.dtype != np.uint16 or not values.size or (lowest := int(values.min())) < _OFFSET - _NOISE:
        return
    highest = int(values.max())
    fits = [top for top, dark in _RANGES.items() if highest <= _OFFSET + top and lowest <= _OFFSET + dark]
    if fits or str(software).startswith(_GRABBER):
        raise Refused(
            f"All grey values are from {lowest} to {highest}: they start at {_OFFSET}, as Olympus ScanR stores them. "
            f"Subtract {_OFFSET} from all images, and state what is left as 'intensity_max': 4095 of 12 bits, 16383 of 14."
        )


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
