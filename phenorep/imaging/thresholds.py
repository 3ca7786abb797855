"""The threshold of an image: Otsu's [1] or Li's minimum cross-entropy [2], of the whole image or following it.

They are CellProfiler 4.2.8's, to the bit where floating point allows it: its 256 bins, its stopping rule, its spline between
the thresholds of blocks [0].

[0] https://cellprofiler-manual.s3.amazonaws.com/CellProfiler-4.2.8/modules/imageprocessing.html (Threshold)
[1] Otsu 1979, A threshold selection method from gray-level histograms, doi:10.1109/TSMC.1979.4310076
[2] Li & Tam 1998, An iterative algorithm for minimum cross entropy thresholding, doi:10.1016/S0167-8655(98)00057-9
"""

from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np
from scipy import ndimage

from phenorep.errors import UserError
from phenorep.preprocessing import Segmentation

_BINS = 256
_FINEST = 0.5 / 65536  # minimum cross-entropy is not sought finer than half a grey level of 16 bits
_AROUND_GLOBAL = 0.7, 1.5  # a local threshold stays between these multiples of the global one
_HALF_INSIDE = 0.6744  # within this many standard deviations of its middle lies half of a Gaussian


def global_level(image: np.ndarray, settings: Segmentation, intensity_scale: float = 1.0) -> float:
    """The threshold of a whole image.

    Parameters
    ----------
    image
        (H, W) float32.
    settings
        `threshold`, `threshold_correction` and `threshold_bounds` of them count.
    intensity_scale
        What the bounds are shares of, in the image's units: the camera's largest value.
    """
    level = float(_method(image, settings)(image.ravel())) * settings.threshold_correction
    low, high = (bound * intensity_scale for bound in settings.threshold_bounds)
    return min(max(level, low), high)


def local_levels(image: np.ndarray, guide: float, settings: Segmentation, intensity_scale: float = 1.0) -> np.ndarray:
    """A threshold (H, W) for each pixel, from its surroundings but not far from the `guide`, the global one.

    Raises
    ------
    UserError
        If the image has no two adaptive windows side by side.
    """
    levels = _interpolated(image, settings.adaptive_window, _method(image, settings)) * settings.threshold_correction
    low, high = (bound * intensity_scale for bound in settings.threshold_bounds)
    return np.clip(levels, max(low, guide * _AROUND_GLOBAL[0]), min(high, guide * _AROUND_GLOBAL[1]))


def smoothed(image: np.ndarray, scale: float) -> np.ndarray:
    """The image to which a threshold is applied: a Gaussian blur, of which half comes from within `scale` pixels across.

    What lies beyond the border counts nothing rather than as darkness.
    """
    if not scale:
        return image
    sigma = scale / _HALF_INSIDE / 2
    return ndimage.gaussian_filter(image, sigma, mode="constant") / _inside(image.shape, sigma)


def otsu(values: np.ndarray) -> float:
    """Threshold of largest variance between the two classes of a histogram of float32 values [1]."""
    low, high = values.min(), values.max()
    if low == high:
        return low
    edges, counts = _histogram(values, low, high)
    centres = (edges[:-1] + edges[1:]) / np.float32(2)
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    dark = np.cumsum(counts * centres) / below
    bright = np.cumsum((counts * centres)[::-1])[::-1] / above
    return centres[np.argmax(below[:-1] * above[1:] * (dark[:-1] - bright[1:]) ** 2)]


def minimum_cross_entropy(values: np.ndarray, tolerance: float) -> float:
    """Threshold of least cross-entropy between float32 values and their two class means [2], found by iteration."""
    lowest = values.min()
    # Only differences from the darkest value count, or a camera's offset would move the threshold.
    values = values - lowest
    count, total = len(values), values.sum(dtype=np.float64)
    start = following = np.float32(total / count)
    if not start:
        return lowest
    # From the mean, the threshold moves one way only, and that is nearly always up: no need to sort what is below.
    part = np.sort(values[values > start])
    sums = np.append(0, np.cumsum(part[::-1], dtype=np.float64))  # of the brightest ones
    current = np.float32(-np.inf)
    while abs(following - current) > tolerance:
        if following < start and len(part) < count:
            part = np.sort(values)
            sums = np.append(0, np.cumsum(part[::-1], dtype=np.float64))
        current = following
        bright = len(part) - int(np.searchsorted(part, current, side="right"))
        if not bright:
            break
        bright_mean = np.float32(sums[bright] / bright)
        dark_mean = np.float32(max(total - sums[bright], 0) / (count - bright))
        with np.errstate(divide="ignore"):  # a background of zeros has no logarithm: the threshold becomes 0
            following = (dark_mean - bright_mean) / (np.log(dark_mean) - np.log(bright_mean))
    return following + lowest


def _method(image: np.ndarray, settings: Segmentation) -> Callable[[np.ndarray], float]:
    """What makes a threshold of values; its tolerance is that of the whole image, for each block too."""
    if settings.threshold == "otsu":
        return otsu
    return partial(minimum_cross_entropy, tolerance=max(_finest_step(image) / 2, _FINEST))


def _finest_step(image: np.ndarray) -> float:
    """Smallest difference between two grey levels, or some smaller than twice the finest tolerance."""
    low, high = image.min(), image.max()
    if low == high:
        return 0.0
    # More levels than fit in with that distance between them: no need to sort the whole image.
    fitting = int((high - low) / (2 * _FINEST)) + 2
    sample = np.unique(image.ravel()[:: max(1, image.size // (4 * fitting))])
    if len(sample) > fitting:
        return 0.0
    return float(np.diff(np.unique(image)).min())


def _histogram(values: np.ndarray, low: np.float32, high: np.float32) -> tuple[np.ndarray, np.ndarray]:
    """Edges (257,) float32 and counts (256,) float64, as NumPy made them up to its version 1: 2 rounds edges otherwise."""
    edges = np.linspace(float(low), float(high), _BINS + 1).astype(np.float32)
    bins = np.minimum(((values - low) * np.float32(_BINS / (float(high) - float(low)))).astype(np.int32), _BINS - 1)
    counts = np.bincount(bins, minlength=_BINS)
    # Rounding may have put what lies beside an edge into the bin on its other side.
    down = values < edges.take(bins)
    up = values >= np.append(edges[1:-1], np.float32(np.inf)).take(bins)
    for moved, step in ((bins[down], -1), (bins[up], 1)):
        counts -= np.bincount(moved, minlength=_BINS)
        counts += np.bincount(moved + step, minlength=_BINS)
    return edges, counts.astype(np.float64)


def _interpolated(image: np.ndarray, window: int, method: Callable[[np.ndarray], float]) -> np.ndarray:
    """A threshold (H, W) for each pixel: of blocks of about `window` pixels, with a spline laid through their middles."""
    from scipy.interpolate import RectBivariateSpline

    blocks = [length // window for length in image.shape]
    if min(blocks) < 2:
        raise UserError(
            f"preprocess: nuclei: adaptive_window: a window of {window} pixels is too large for images of "
            f"{image.shape[0]} x {image.shape[1]}. Set it to at most half of their shorter side, {min(image.shape) // 2}."
        )
    steps = [length / count for length, count in zip(image.shape, blocks, strict=True)]
    edges = [[int(index * step) for index in range(count + 1)] for step, count in zip(steps, blocks, strict=True)]
    levels = np.array(
        [
            [method(image[top:bottom, left:right].ravel()) for left, right in zip(edges[1], edges[1][1:], strict=False)]
            for top, bottom in zip(edges[0], edges[0][1:], strict=False)
        ],
        np.float64,
    )
    middles, places = [], []
    for length, count, step in zip(image.shape, blocks, steps, strict=True):
        middles.append(np.linspace(int(step / 2), int((count - 0.5) * step), count))
        places.append(np.linspace(0.5, int(count * step) - 0.5, length))
    degree = min(3, min(blocks) - 1)
    limits = (0.5, image.shape[0] - 0.5, 0.5, image.shape[1] - 0.5)
    return RectBivariateSpline(*middles, levels, bbox=limits, kx=degree, ky=degree)(*places)


@lru_cache(maxsize=2)  # all fields of a plate have one shape
def _inside(shape: tuple[int, int], sigma: float) -> np.ndarray:
    """Share of a Gaussian around each pixel that lies in the image."""
    return ndimage.gaussian_filter(np.ones(shape), sigma, mode="constant") + np.finfo(float).eps
