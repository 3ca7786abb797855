"""Nuclei in one image: threshold, fill holes, cut touching nuclei apart, keep those of a plausible size.

The operations, their order and their results are those of CellProfiler 4.2.8's IdentifyPrimaryObjects [0].

[0] https://cellprofiler-manual.s3.amazonaws.com/CellProfiler-4.2.8/modules/objectprocessing.html
"""

import math

import numpy as np
from scipy import ndimage

from phenorep.imaging import declumping, holes, thresholds
from phenorep.preprocessing import Segmentation


def find_nuclei(image: np.ndarray, settings: Segmentation, intensity_scale: float = 1.0) -> np.ndarray:
    """Label the nuclei of an image.

    Parameters
    ----------
    image
        (H, W) float32 from 0 to 1: the nuclear channel, corrected for illumination.
    settings
        What counts as a nucleus.
    intensity_scale
        Largest value that the camera can give, in the image's units, for `threshold_bounds`.

    Returns
    -------
    (H, W) int32: 0 is background, nuclei are 1..k, in the order in which rows of pixels meet their markers.

    Raises
    ------
    UserError
        If `adaptive_window` is too large for the image.
    """
    image = np.asarray(image, np.float32)
    smooth = thresholds.smoothed(image, settings.threshold_smoothing)
    level = thresholds.global_level(image, settings, intensity_scale)
    if not _stands_out(smooth, level, settings.minimum_contrast):
        return np.zeros(image.shape, np.int32)
    if settings.threshold_scope == "adaptive":
        level = thresholds.local_levels(image, level, settings, intensity_scale)
    foreground = smooth >= level
    if settings.fill_holes:
        foreground = holes.fill(foreground, settings.diameter[1] ** 2)
    nuclei, _ = ndimage.label(foreground, declumping.TOUCHING)
    if settings.declump != "none":
        nuclei = declumping.separate(nuclei, image, settings)
    nuclei = _plausible(nuclei, settings)
    if settings.fill_holes:
        nuclei = holes.fill_labelled(nuclei)
    return _numbered(nuclei)


def has_contrast(image: np.ndarray, settings: Segmentation, intensity_scale: float = 1.0) -> bool:
    """Whether what a threshold of the whole image finds stands out of its background: `minimum_contrast` decides.

    A threshold cuts noise in two as well. Fields without contrast are not searched, whichever engine works.

    Parameters
    ----------
    image, settings, intensity_scale
        As for `find_nuclei`.
    """
    image = np.asarray(image, np.float32)
    smooth = thresholds.smoothed(image, settings.threshold_smoothing)
    return _stands_out(smooth, thresholds.global_level(image, settings, intensity_scale), settings.minimum_contrast)


def _stands_out(smooth: np.ndarray, level: float, minimum_contrast: float) -> bool:
    """Whether what is above the level is brighter than the rest by so many of the rest's standard deviations."""
    if not minimum_contrast:
        return True
    bright = smooth >= level
    dark = smooth[~bright]
    if dark.size in (0, smooth.size):
        return False
    # Noise cut in two anywhere differs by less than three of its lower part's standard deviations, an even ramp by 3.5.
    return bool(smooth[bright].mean() - dark.mean() >= minimum_contrast * dark.std())


def _plausible(nuclei: np.ndarray, settings: Segmentation) -> np.ndarray:
    """Without nuclei that are too small, too large, or, where `border` drops them, cut by the image's border."""
    smallest, largest = (math.pi * diameter**2 / 4 for diameter in settings.diameter)
    areas = np.bincount(nuclei.ravel())
    kept = (areas >= smallest) & (areas <= largest)
    if settings.border == "drop":
        kept[holes.at_border(nuclei)] = False
    kept[0] = False
    return (np.arange(len(areas), dtype=np.int32) * kept)[nuclei]


def _numbered(nuclei: np.ndarray) -> np.ndarray:
    """The labels as 1..k in the same order."""
    there = np.bincount(nuclei.ravel()) > 0
    there[0] = False
    return (np.cumsum(there, dtype=np.int32) * there)[nuclei]
