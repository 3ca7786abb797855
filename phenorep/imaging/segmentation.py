"""Nuclei in one image: threshold, fill holes, cut touching nuclei apart, keep those of a plausible size.

The operations and their order are those of CellProfiler's IdentifyPrimaryObjects [0]; the two thresholds are Otsu's [1] and
the minimum cross-entropy of Li [2].

[0] https://cellprofiler-manual.s3.amazonaws.com/CellProfiler-4.2.8/modules/objectprocessing.html
[1] Otsu 1979, A threshold selection method from gray-level histograms, doi:10.1109/TSMC.1979.4310076
[2] Li & Tam 1998, An iterative algorithm for minimum cross entropy thresholding, doi:10.1016/S0167-8655(98)00057-9
"""

import math

import numpy as np
from scipy import ndimage

from phenorep.preprocessing import Segmentation

# Bins of the histogram from which thresholds are computed: fine beside any noise, and small enough to cost nothing.
_BINS = 4096


def find_nuclei(image: np.ndarray, settings: Segmentation, intensity_max: float) -> np.ndarray:
    """Label the nuclei of an image.

    Parameters
    ----------
    image
        (H, W), float32: the nuclear channel, corrected for illumination.
    settings
        What counts as a nucleus.
    intensity_max
        Largest value that the camera can give, for `threshold_bounds`.

    Returns
    -------
    (H, W) int32: 0 is background, nuclei are 1..k in the order of their topmost, then leftmost pixel.
    """
    smooth = ndimage.gaussian_filter(image.astype(np.float32, copy=False), settings.threshold_smoothing)
    level = _level(smooth, settings, intensity_max)
    if level is None:
        return np.zeros(image.shape, np.int32)
    objects, _ = ndimage.label(smooth >= level)
    smallest, largest = (math.pi * diameter**2 / 4 for diameter in settings.diameter)
    areas = np.bincount(objects.ravel())
    nuclei, found = np.zeros(image.shape, np.int32), 0
    # Object by object: nuclei cover a small share of a field, so this costs a fraction of the same steps on the whole image.
    for number, box in enumerate(ndimage.find_objects(objects), start=1):
        if areas[number] < smallest:
            continue
        mask = objects[box] == number
        if settings.fill_holes:
            mask = _filled(mask, largest)
        parts, count = _parts(mask, smooth[box], settings)
        for part in range(1, count + 1):
            chosen = parts == part
            cut = settings.border == "drop" and _touches_border(chosen, box, image.shape)
            if not cut and smallest <= chosen.sum() <= largest:
                found += 1
                nuclei[box][chosen] = found
    return nuclei


def _touches_border(mask: np.ndarray, box: tuple[slice, slice], shape: tuple[int, int]) -> bool:
    """Whether a mask that stands at `box` in an image of the given shape reaches the image's border."""
    rows, columns = box
    return bool(
        (rows.start == 0 and mask[0].any())
        or (rows.stop == shape[0] and mask[-1].any())
        or (columns.start == 0 and mask[:, 0].any())
        or (columns.stop == shape[1] and mask[:, -1].any())
    )


def _level(smooth: np.ndarray, settings: Segmentation, intensity_max: float) -> float | None:
    """The threshold; None where nothing stands out of the background."""
    low, high = float(smooth.min()), float(smooth.max())
    if not high > low:
        return None
    counts, edges = np.histogram(smooth, _BINS, range=(low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    level = (otsu if settings.threshold == "otsu" else minimum_cross_entropy)(counts, centres)
    level = level * settings.threshold_correction
    level = float(np.clip(level, *(bound * intensity_max for bound in settings.threshold_bounds)))
    below = centres < level
    dark, bright = counts[below], counts[~below]
    if not dark.sum() or not bright.sum():
        return None
    background = np.average(centres[below], weights=dark)
    spread = math.sqrt(np.average((centres[below] - background) ** 2, weights=dark))
    contrast = np.average(centres[~below], weights=bright) - background
    # Noise cut in two anywhere differs by less than three of its lower part's standard deviations, an even ramp by 3.5.
    return level if contrast >= settings.minimum_contrast * spread else None


def otsu(counts: np.ndarray, centres: np.ndarray) -> float:
    """Threshold of largest variance between the two classes of a histogram [1]."""
    below = np.cumsum(counts).astype(np.float64)
    total = np.cumsum(counts * centres)
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (total / below - (total[-1] - total) / above) ** 2
    best = np.nanargmax(between[:-1])
    # Empty bins between two classes are all as good: take their middle.
    best = int(np.flatnonzero(between[:-1] >= between[best] * (1 - 1e-12)).mean())
    return float((centres[best] + centres[best + 1]) / 2)


def minimum_cross_entropy(counts: np.ndarray, centres: np.ndarray) -> float:
    """Threshold of least cross-entropy between an image and its two class means [2]."""
    # Only differences from the darkest value count, or a camera's offset would move the threshold.
    offset = centres[0] - (centres[1] - centres[0])
    values = centres - offset
    weight = np.cumsum(counts).astype(np.float64)
    total = np.cumsum(counts * values)
    step = values[1] - values[0]
    level = total[-1] / weight[-1]
    for _ in range(1000):
        index = min(max(int(np.searchsorted(values, level)) - 1, 0), len(values) - 2)
        if not weight[index] or weight[index] == weight[-1]:
            break
        dark = total[index] / weight[index]
        bright = (total[-1] - total[index]) / (weight[-1] - weight[index])
        following = (bright - dark) / (math.log(bright) - math.log(dark))
        if abs(following - level) < step / 2:
            level = following
            break
        level = following
    return float(level + offset)


def _filled(mask: np.ndarray, largest: float) -> np.ndarray:
    """An object's mask without its holes; a hole larger than a nucleus stays."""
    outside, count = ndimage.label(np.pad(~mask, 1, constant_values=True))
    if count == 1:
        return mask
    small = np.bincount(outside.ravel()) <= largest
    small[:2] = False  # 0 is the object, 1 what surrounds it
    return mask | small[outside[1:-1, 1:-1]]


def _parts(mask: np.ndarray, smooth: np.ndarray, settings: Segmentation) -> tuple[np.ndarray, int]:
    """Cut one object into nuclei along the valleys between the peaks of its distance transform or of its intensity."""
    from skimage.segmentation import watershed

    if settings.declump == "none":
        return mask.astype(np.int32), 1
    margin = math.ceil(settings.peak_distance)
    mask = np.pad(mask, margin)
    if settings.declump == "shape":
        height = ndimage.distance_transform_edt(mask).astype(np.float32)
    else:
        height = np.pad(smooth, margin, mode="edge") * mask
    height = ndimage.gaussian_filter(height, settings.peak_smoothing, mode="constant")
    reach = np.arange(-margin, margin + 1)
    disk = np.hypot(reach[:, None], reach[None]) <= settings.peak_distance
    peaks = (height == ndimage.maximum_filter(height, footprint=disk, mode="constant")) & mask
    markers, count = ndimage.label(peaks, np.ones((3, 3)))
    if count < 2:
        parts, count = mask.astype(np.int32), 1
    else:
        parts = watershed(-height, markers, mask=mask)
    return parts[margin:-margin, margin:-margin] if margin else parts, count
