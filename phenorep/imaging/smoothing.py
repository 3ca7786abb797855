"""Smooth surfaces through a mean image, as CellProfiler 4.2.8's CorrectIlluminationCalculate lays them [0].

[0] https://cellprofiler-manual.s3.amazonaws.com/CellProfiler-4.2.8/modules/imageprocessing.html
"""

import warnings

import numpy as np

_FWHM = 2.35  # full width at half maximum of a Gaussian, in standard deviations
_TRUNCATE = 4  # standard deviations at which a Gaussian is cut off
_LEVELS = 65535  # grey levels of the median filter above 0
_MANY = 1024  # grey levels from which on a first, coarse pass of the median filter saves time


def gaussian(image: np.ndarray, width: float) -> np.ndarray:
    """Gaussian blur of an image (H, W) with its full width at half maximum in pixels, float64.

    Beyond the border there is nothing, rather than darkness.
    """
    matrices = [_blur_matrix(length, width / _FWHM) for length in image.shape]
    blurred = matrices[0] @ image.astype(np.float64) @ matrices[1]
    inside = np.outer(*(matrix.sum(0) for matrix in matrices))
    return blurred / (inside + np.finfo(float).eps)


def median(image: np.ndarray, width: float) -> np.ndarray:
    """Median of an image (H, W) float32 from 0 to 1 over a disk, inside the image only; float64, a multiple of 1/65535.

    The disk's radius is the standard deviation of a Gaussian of that width. Grey levels are cut off to whole numbers.
    """
    from skimage.filters import rank

    radius = max(1, int(width / _FWHM + 0.5))
    reach = np.arange(-radius, radius + 1)
    disk = (reach[:, None] ** 2 + reach[None] ** 2 <= radius**2).astype(np.uint8)
    levels = (image.astype(np.float32, copy=False) * np.float32(_LEVELS)).astype(np.uint16)
    low, high = int(levels.min()), int(levels.max())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Bad rank filter performance")
        if high - low > _MANY:
            # Time grows with the levels: find out which ones the medians have. A level that is not between these need
            # only stay on its side of them, and the median stays what it is.
            shift = (high - low).bit_length() - 8
            coarse = rank.median(((levels - low) >> shift).astype(np.uint8), disk)
            low, high = low + (int(coarse.min()) << shift) - 1, low + ((int(coarse.max()) + 1) << shift)
            low, high = max(low, 0), min(high, _LEVELS)
        smooth = rank.median(np.clip(levels, low, high) - np.uint16(low), disk)
    return (smooth.astype(np.float64) + low) / _LEVELS


def polynomial(image: np.ndarray) -> np.ndarray:
    """Least-squares surface of second degree in both coordinates, float64, cut to 0..1; pixels of 0 do not count."""
    image = image.astype(np.float64)
    weight = (image > 0).astype(np.float64)
    # Coordinates in -1..1, where six unknowns need no more than their normal equations. The sums over pixels of all products
    # of powers are those over rows of sums over columns.
    y, x = (np.vander(np.linspace(-1, 1, length), 5, increasing=True) for length in image.shape)
    powers = np.array([(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (2, 0)])
    moments, products = y.T @ weight @ x, y[:, :3].T @ image @ x[:, :3]
    both = powers[:, None] + powers[None]
    factors = np.linalg.lstsq(moments[both[..., 0], both[..., 1]], products[powers[:, 0], powers[:, 1]], rcond=None)[0]
    surface = np.zeros((3, 3))
    surface[powers[:, 0], powers[:, 1]] = factors
    return np.clip(y[:, :3] @ surface @ x[:, :3].T, 0, 1)


def block_minima(image: np.ndarray, side: int) -> np.ndarray:
    """Smallest value of each block of an image (H, W); blocks have about `side` pixels, so that all are of one size."""
    for axis in (0, 1):
        starts = np.flatnonzero(np.diff(_blocks(image.shape[axis], side), prepend=-1))
        image = np.minimum.reduceat(image, starts, axis=axis)
    return image


def spread(minima: np.ndarray, shape: tuple[int, int], side: int) -> np.ndarray:
    """Values of blocks as an image (H, W) of steps."""
    return minima[np.ix_(*(_blocks(length, side) for length in shape))]


def _blocks(length: int, side: int) -> np.ndarray:
    """Number of the block of each of `length` pixels."""
    count = max(length // side, 1)
    return (np.arange(length) * (count / length)).astype(int)


def _blur_matrix(length: int, sigma: float) -> np.ndarray:
    """What a Gaussian makes of a line of pixels, as a matrix: a product is much faster than a filter of that width."""
    apart = np.abs(np.arange(length)[:, None] - np.arange(length)[None])
    reach = int(_TRUNCATE * sigma + 0.5)
    kernel = np.exp(-0.5 * np.arange(-reach, reach + 1) ** 2 / sigma**2)
    return np.where(apart <= reach, np.exp(-0.5 * apart**2 / sigma**2), 0) / kernel.sum()
