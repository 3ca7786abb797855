"""Intensities as segmentation sees them, and CellProfiler: shares of the largest value of the file's integer type."""

import numpy as np


def scaled(raw: np.ndarray, function: np.ndarray) -> np.ndarray:
    """Corrected intensities of a raw image (H, W) of type uint8 or uint16: (H, W) float32 from 0 to 1."""
    image = raw.astype(np.float32)
    image /= np.float32(np.iinfo(raw.dtype).max)
    image /= function
    return np.clip(image, 0, 1, out=image)


def share_of_range(intensity_max: int | None, bits: int) -> float:
    """The camera's largest value as a share of the file type's: 4095 of 16 bits is 0.0625; None is 1."""
    return 1.0 if intensity_max is None else intensity_max / (2**bits - 1)
