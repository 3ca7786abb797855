"""How good the image of one channel is: focus, saturation, background.

The measures are those for which screens are commonly checked [0]. Focus is a ratio of detail at two scales, which depends
neither on the number of cells nor on brightness.

[0] Bray et al. 2012, Workflow and metrics for image quality control in large-scale high-content screens,
    doi:10.1177/1087057111420292
"""

import math

import numpy as np
from scipy import ndimage

_BACKGROUND = 0.05  # quantile: even a crowded field leaves a twentieth of its pixels between the cells


def focus(image: np.ndarray) -> float:
    """Sharpness: logarithm (base 10) of the variance at 2 to 4 pixels over that at 4 to 8 pixels.

    Parameters
    ----------
    image
        (H, W), any number type.

    Returns
    -------
    About -0.5 for sharp nuclei, -1 when out of focus, above 0 for noise alone; 0 for an even image.
    """
    height, width = (length // 2 * 2 for length in image.shape)
    image = image[:height, :width].astype(np.float32)
    # Averaging 2 x 2 pixels halves the camera's noise, which would pass for detail.
    image = (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) / 4
    fine, middle, coarse = (ndimage.gaussian_filter(image, sigma, truncate=3.0) for sigma in (1, 2, 4))
    detail, structure = (float(np.var(band, dtype=np.float64)) for band in (fine - middle, middle - coarse))
    return math.log10(detail / structure) if detail > 0 and structure > 0 else 0.0


def saturation(image: np.ndarray, intensity_max: float) -> float:
    """Share of raw pixels (0 to 1) at or above the largest value that the camera gives."""
    return float(np.mean(image >= intensity_max))


def background(image: np.ndarray) -> float:
    """Intensity between the cells: the 5 % quantile of the pixels."""
    return float(np.quantile(image, _BACKGROUND))


def measures(raw: np.ndarray, intensity_max: float, channel: str) -> dict[str, float]:
    """The measures of one channel's raw image (H, W), under their column names."""
    return {
        f"ImageQuality_Focus_{channel}": focus(raw),
        f"ImageQuality_Saturation_{channel}": saturation(raw, intensity_max),
        f"ImageQuality_Background_{channel}": background(raw),
    }
