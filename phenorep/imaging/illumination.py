"""Uneven illumination of a plate and channel: estimated from all its fields, removed by division.

The function is the mean image of the plate's fields, or of the darkest pixels of their blocks, smoothed, and scaled so that
its robust minimum is 1: CellProfiler 4.2.8's CorrectIlluminationCalculate with "All" images [0]. Correcting never brightens
a pixel, so nothing is clipped.

[0] https://cellprofiler-manual.s3.amazonaws.com/CellProfiler-4.2.8/modules/imageprocessing.html
"""

import json
import logging
import zipfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import blas, contracts, notes, parallel
from phenorep.errors import UserError
from phenorep.imaging import intensity, readers, smoothing
from phenorep.preprocessing import Illumination, Preprocess, settings

_PLACE = (*contracts.FIELD, "Field", "Height", "Width", "BitDepth")
_SHIFT = 2**15 / (2**16 - 1)  # where the values of 16 bits begin that were stored as signed ones, as a share of all
_ROBUST_MINIMUM = 0.02  # share of the pixels that are at or below the function's minimum, before they are raised to it


@dataclass(frozen=True)
class Means:
    """What illumination functions are made of.

    Parameters
    ----------
    images
        By channel: mean over the fields of the image, or of the minima of its blocks; (H, W) float32 from 0 to 1, which is
        the largest value of the files' integer type.
    count
        Number of fields.
    """

    images: dict[str, np.ndarray]
    count: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the fields."""
        return next(iter(self.images.values())).shape


def estimate(mean: np.ndarray, settings: Illumination) -> np.ndarray:
    """The illumination function of a channel.

    Parameters
    ----------
    mean
        (H, W) float32 from 0 to 1: one of `Means.images`.

    Returns
    -------
    (H, W) float32, smallest value 1.
    """
    smooth = np.zeros(mean.shape)
    if settings.smoothing == "gaussian":
        smooth = smoothing.gaussian(mean, settings.width(mean.shape))
    elif settings.smoothing == "median":
        smooth = smoothing.median(mean, settings.width(mean.shape))
    elif settings.smoothing == "polynomial":
        smooth = smoothing.polynomial(mean)
    shown = smooth[smooth > 0]
    if not shown.size:  # nothing to correct: no smoothing, or a channel that is black everywhere
        return np.ones(mean.shape, np.float32)
    place = int(shown.size * _ROBUST_MINIMUM)
    lowest = np.partition(shown, place)[place]
    return (np.maximum(smooth, lowest) / lowest).astype(np.float32)


def apply(image: np.ndarray, function: np.ndarray) -> np.ndarray:
    """Corrected intensities, float32: image (..., H, W) divided by the function (..., H, W)."""
    return np.divide(image, function, dtype=np.float32)


def to_raw(corrected: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Corrected intensities, rounded and clipped to the raw image's integer type."""
    return np.clip(np.rint(corrected), 0, np.iinfo(dtype).max).astype(dtype)


def load(path: str | Path, channels: list[str]) -> np.ndarray:
    """The functions of a plate, (C, H, W) float32, in the order of `channels`."""
    try:
        with np.load(path) as file:
            missing = [channel for channel in channels if channel not in file]
            if not missing:
                return np.stack([file[channel] for channel in channels])
    except (OSError, ValueError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path}: cannot be read as illumination functions ({error}). Remove it and run again.") from error
    raise UserError(f"{path}: no illumination function for channel(s) {', '.join(missing)}. Remove the file and run again.")


def about(path: str | Path) -> dict:
    """How the functions of a file were made, as `write` states it; nothing where the file does not say."""
    with np.load(path) as file:
        return json.loads(str(file["about"])) if "about" in file else {}


@blas.single_thread()
def make(fields_path: str | Path, preprocess: dict, threads: int, output: str | Path) -> None:
    """Write the illumination functions of a plate, one (H, W) float32 array per channel, and ``about``.

    Parameters
    ----------
    fields_path
        The plate's fields table.
    preprocess
        The configuration's block, as `preprocessing.stage` gives it.
    threads
        Number of processes; the result does not depend on it.

    Raises
    ------
    ImageError
        For an image that cannot be decoded; under ``on_bad_image: exclude`` its field is left out instead.
    """
    chosen = settings(preprocess)
    means = averages(contracts.read_table(fields_path, "fields"), fields_path, chosen, threads)
    # A median takes seconds. The others are products of matrices, which may use threads: not for processes of our own.
    processes = threads if chosen.illumination_settings.smoothing == "median" else 1
    made = parallel.in_order(_estimated, list(means.images.values()), processes, (chosen.illumination_settings,))
    write(dict(zip(means.images, made, strict=True)), means.count, chosen, chosen.engine, output)


def averages(fields: pd.DataFrame, path: str | Path, preprocess: Preprocess, threads: int) -> Means:
    """Mean images of the fields of a plate.

    Parameters
    ----------
    fields, path
        A fields table or part of one, and its file, whose facts state the dataset's `intensity_max`.
    preprocess
        Its illumination's `method` and its `on_bad_image` count.
    threads
        Number of processes; the result does not depend on it.

    Raises
    ------
    ImageError
        For an image that cannot be decoded; under ``on_bad_image: exclude`` its field is left out instead.
    UserError
        If no field is left, or one has pixels above the dataset's `intensity_max`.
    """
    chosen = preprocess.illumination_settings
    limit = contracts.about(path).get("intensity_max")
    channels = contracts.channels_of(fields.columns)
    rows = usable(fields, path)
    block = chosen.block_size if chosen.method == "background" else None
    # Each process adds its own share up; sums of integers do not depend on the order, so neither does the result.
    shares = [rows[start::threads] for start in range(min(threads, len(rows)))]
    total, count = 0, 0
    for part, used in parallel.in_order(_sum_fields, shares, threads, (channels, preprocess.on_bad_image, block, limit)):
        total, count = total + part, count + used
    if not count:
        raise UserError(f"{path}: none of the plate's {len(rows)} fields can be decoded. Replace its images.")
    means = (total / (count * (2 ** int(rows[0]["BitDepth"]) - 1))).astype(np.float32)
    for channel, mean in zip(channels, means, strict=True):
        if int(rows[0]["BitDepth"]) == 16 and mean.min() >= _SHIFT:
            notes.say(
                f"{path}: the grey values of {channel} are from 32768 upwards, in the mean of its fields. Bright field may "
                "be so; Olympus ScanR shifts what it stores by 32768: then subtract that from all images."
            )
    if block:
        shape = int(rows[0]["Height"]), int(rows[0]["Width"])
        means = [smoothing.spread(minima, shape, block) for minima in means]
    return Means(dict(zip(channels, means, strict=True)), count)


def write(functions: dict[str, np.ndarray], count: int, preprocess: Preprocess, engine: str, output: str | Path) -> None:
    """Write illumination functions (H, W) by channel, made from `count` fields by an engine."""
    about = {
        "channels": list(functions),
        "fields": count,
        "settings": asdict(preprocess.illumination_settings),
        "engine": engine,
    }
    # Not compressed: smooth functions of float32 hardly get smaller, and that would take longer than all the rest.
    with contracts.replacing(output) as temporary:
        np.savez(temporary, about=np.array(json.dumps(about, sort_keys=True)), **functions)


def usable(fields: pd.DataFrame, path: str | Path) -> list[dict]:
    """The rows of a fields table whose images can be used, as mappings with the row's number as `Field`.

    Raises
    ------
    UserError
        If there is none, or if they differ in size or bit depth.
    """
    rows = fields.assign(Field=np.arange(len(fields))).loc[fields["Problem"] == ""]
    if rows.empty:
        raise UserError(f"{path}: none of the plate's {len(fields)} fields can be used; the column Problem says why.")
    shapes = rows[["Height", "Width", "BitDepth"]].drop_duplicates()
    if len(shapes) > 1:
        raise UserError(
            f"{path}: fields of one plate differ in Height, Width, BitDepth: {shapes.to_numpy().tolist()}. "
            "Replace those images, or leave them out with 'preprocess: on_bad_image: exclude'."
        )
    # Only what a field is read by: a plate has thousands of rows.
    kept = [name for name in rows if name in _PLACE or name.startswith(("FileName_", "PathName_"))]
    return rows[kept].to_dict("records")


def read_or_problem(row: dict, channels: list[str], on_bad_image: str) -> np.ndarray | str:
    """A field's raw pixels (C, H, W), or under "exclude" the reason why they cannot be had."""
    try:
        return readers.read_field(row, channels)
    except readers.ImageError as error:
        if on_bad_image == "stop":
            raise
        return f"{error.path}: {error.problem}"


def _estimated(settings: Illumination, mean: np.ndarray) -> np.ndarray:
    return estimate(mean, settings)


def _sum_fields(
    channels: list[str], on_bad_image: str, block: int | None, intensity_max: int | None, rows: list[dict]
) -> tuple[np.ndarray, int]:
    """Sums over fields, (C, H, W) or (C, blocks, blocks) unsigned integers, and the number of fields that can be read."""
    # Half as wide as sums of any number of fields would have to be, and so twice as fast.
    kind = np.uint32 if len(rows) * (2 ** int(rows[0]["BitDepth"]) - 1) < 2**32 else np.uint64
    total, count = None, 0
    for row in rows:
        field = read_or_problem(row, channels, on_bad_image)
        if isinstance(field, str):
            logging.getLogger(__name__).warning("left out of the illumination functions: %s", field)
            continue
        for channel, image in zip(channels, field, strict=True):
            # Here all pixels are read for the first time, whatever the illumination functions will be.
            intensity.check_range(image, intensity_max, f"{row[f'PathName_{channel}']}/{row[f'FileName_{channel}']}")
        if block:
            field = np.stack([smoothing.block_minima(image, block) for image in field])
        if total is None:
            total = np.zeros(field.shape, kind)
        total += field
        count += 1
    return 0 if total is None else total.astype(np.uint64), count
