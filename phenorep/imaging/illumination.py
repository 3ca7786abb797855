"""Uneven illumination of a plate and channel: estimated from all its fields, removed by division.

The function is the mean image of the plate's fields, smoothed, and scaled so that its robust minimum is 1, as CellProfiler's
CorrectIlluminationCalculate does with "Regular" and "All"; correcting never brightens a pixel, so nothing is clipped.

[0] https://cellprofiler-manual.s3.amazonaws.com/CellProfiler-4.2.8/modules/imageprocessing.html
"""

import json
import logging
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage

from phenorep import contracts, parallel
from phenorep.errors import UserError
from phenorep.imaging import readers
from phenorep.preprocessing import Illumination, settings

_LARGEST_RADIUS = (
    12  # pixels: a larger median filter works on a reduced image, which changes a smooth image by less than 0.1 %
)
_FWHM = 2.35  # full width at half maximum of a Gaussian, in standard deviations


def estimate(mean: np.ndarray, settings: Illumination) -> np.ndarray:
    """The illumination function of a channel.

    Parameters
    ----------
    mean
        (H, W): mean image of the channel over the plate's fields.

    Returns
    -------
    (H, W) float32, smallest value 1.
    """
    mean = np.asarray(mean, np.float64)
    size = max(mean.shape) / 4 if settings.size is None else settings.size
    if settings.smoothing == "none" or not mean.any():  # a channel that is black everywhere has nothing to correct
        return np.ones(mean.shape, np.float32)
    if settings.smoothing == "gaussian":
        smooth = smooth_gaussian(mean, size / _FWHM)
    elif settings.smoothing == "median":
        smooth = smooth_median(mean, size / _FWHM)
    else:
        smooth = smooth_polynomial(mean)
    lowest = np.quantile(smooth[smooth > 0], settings.robust_minimum, method="lower")
    return (np.maximum(smooth, lowest) / lowest).astype(np.float32)


def smooth_gaussian(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur with `sigma` in pixels; beyond the border there is nothing, rather than darkness."""
    weight = ndimage.gaussian_filter(np.ones_like(image), sigma, mode="constant")
    return ndimage.gaussian_filter(image, sigma, mode="constant") / weight


def smooth_median(image: np.ndarray, radius: float) -> np.ndarray:
    """Median over a disk with the radius in pixels, inside the image only."""
    radius = max(1, int(radius + 0.5))
    factor = max(1, radius // _LARGEST_RADIUS)
    reduced = _block_means(image, factor)
    reach = np.arange(-(radius // factor), radius // factor + 1)
    disk = np.hypot(reach[:, None], reach[None]) <= radius / factor
    smooth = ndimage.median_filter(reduced, footprint=disk, mode="reflect")
    if factor == 1:
        return smooth
    # Centres of the full image's pixels in the reduced one; cubic, since blocks of constant value would show as steps.
    rows, columns = ((np.arange(length) + 0.5) / factor - 0.5 for length in image.shape)
    return ndimage.map_coordinates(smooth, np.meshgrid(rows, columns, indexing="ij"), order=3, mode="nearest")


def smooth_polynomial(image: np.ndarray) -> np.ndarray:
    """Least-squares surface of second degree in both coordinates."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, length) for length in image.shape), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * y, x**2, y**2]).reshape(6, -1)
    # Six unknowns: the normal equations are exact enough with coordinates in -1..1, and need no copy of the terms.
    return (np.linalg.solve(terms @ terms.T, terms @ image.ravel()) @ terms).reshape(image.shape)


def _block_means(image: np.ndarray, factor: int) -> np.ndarray:
    """Means over squares of `factor` pixels; the last ones may be cut by the border."""
    if factor == 1:
        return image
    starts = [np.arange(0, length, factor) for length in image.shape]
    sums = np.add.reduceat(np.add.reduceat(image, starts[0], axis=0), starts[1], axis=1)
    heights, widths = (np.diff(np.append(start, length)) for start, length in zip(starts, image.shape, strict=True))
    return sums / np.outer(heights, widths)


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
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: cannot be read as illumination functions ({error}). Remove it and run again.") from error
    raise UserError(f"{path}: no illumination function for channel(s) {', '.join(missing)}. Remove the file and run again.")


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
    fields = contracts.read_table(fields_path, "fields")
    channels = contracts.channels_of(fields.columns)
    rows = usable(fields, fields_path)
    # Each process adds its own share up; sums of integers do not depend on the order, so neither does the result.
    shares = [rows[start::threads] for start in range(min(threads, len(rows)))]
    total, count = 0, 0
    for part, used in parallel.in_order(_sum_fields, shares, threads, (channels, chosen.on_bad_image)):
        total, count = total + part, count + used
    if not count:
        raise UserError(f"{fields_path}: none of the plate's {len(rows)} fields can be decoded. Replace its images.")
    functions = {name: estimate(total[index] / count, chosen.illumination_settings) for index, name in enumerate(channels)}
    about = {
        "channels": channels,
        "fields": count,
        "settings": asdict(chosen.illumination_settings),
        "engine": chosen.engine,
    }
    with contracts.replacing(output) as temporary:
        np.savez_compressed(temporary, about=np.array(json.dumps(about, sort_keys=True)), **functions)


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
    return rows.to_dict("records")


def read_or_problem(row: dict, channels: list[str], on_bad_image: str) -> np.ndarray | str:
    """A field's raw pixels (C, H, W), or under "exclude" the reason why they cannot be had."""
    try:
        return readers.read_field(row, channels)
    except readers.ImageError as error:
        if on_bad_image == "stop":
            raise
        return f"{error.path}: {error.problem}"


def _sum_fields(channels: list[str], on_bad_image: str, rows: list[dict]) -> tuple[np.ndarray, int]:
    total = np.zeros((len(channels), int(rows[0]["Height"]), int(rows[0]["Width"])), np.uint64)
    count = 0
    for row in rows:
        field = read_or_problem(row, channels, on_bad_image)
        if isinstance(field, str):
            logging.getLogger(__name__).warning("left out of the illumination functions: %s", field)
            continue
        total += field
        count += 1
    return total, count
