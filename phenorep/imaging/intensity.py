"""Intensities as segmentation sees them, and CellProfiler: shares of the largest value of the file's integer type."""

import numpy as np

from phenorep.errors import UserError


def check_range(values: np.ndarray, intensity_max: int | None, where: str) -> None:
    """Raise `UserError` if raw values are above what is said to be the camera's largest.

    Parameters
    ----------
    values
        Raw pixels, uint8 or uint16, of any shape.
    intensity_max
        Largest grey value of the camera; None: that of the type.
    where
        The file, for the message.
    """
    if intensity_max is None or intensity_max >= np.iinfo(values.dtype).max:
        return
    largest = int(values.max())
    if largest <= intensity_max:
        return
    share = np.count_nonzero(values > intensity_max) / values.size
    bits = largest.bit_length()
    raise UserError(
        f"{where}: {100 * share:.3g} % of its pixels are above 'intensity_max: {intensity_max}', the largest is {largest}. "
        f"Set 'intensity_max' (--intensity-max) to the camera's largest grey value, {2**bits - 1} if it has {bits} bits, or "
        "leave it out."
    )


def scaled(raw: np.ndarray, function: np.ndarray) -> np.ndarray:
    """Corrected intensities of a raw image (H, W) of type uint8 or uint16: (H, W) float32 from 0 to 1."""
    image = raw.astype(np.float32)
    image /= np.float32(np.iinfo(raw.dtype).max)
    image /= function
    return np.clip(image, 0, 1, out=image)


def share_of_range(intensity_max: int | None, bits: int) -> float:
    """The camera's largest value as a share of the file type's: 4095 of 16 bits is 0.0625; None is 1."""
    return 1.0 if intensity_max is None else intensity_max / (2**bits - 1)
