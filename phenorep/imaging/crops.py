"""Windows cut out of images, and resized."""

import numpy as np


def cut(image: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    """A window of an image (C, H, W): a view of it, or a copy padded with 0 where the window hangs over the edge."""
    inside = image[:, max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    if inside.shape[1:] == (height, width):
        return inside
    window = np.zeros((len(image), height, width), image.dtype)
    y, x = max(-top, 0), max(-left, 0)
    window[:, y : y + inside.shape[1], x : x + inside.shape[2]] = inside
    return window


def without_others(image: np.ndarray, labels: np.ndarray, own: int) -> np.ndarray:
    """A copy of an image (C, H, W) that is 0, in all channels, where `labels` (H, W) shows another nucleus than `own`."""
    others = (labels != 0) & (labels != own)
    return np.where(others, image.dtype.type(0), image)


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bicubic resize of an image (C, H, W) to `size` (height, width), float32.

    When it shrinks the image, the kernel grows with the scale, so that no detail turns into false patterns.
    """
    from PIL import Image

    planes = (Image.fromarray(np.ascontiguousarray(plane, np.float32)) for plane in image)
    return np.stack([np.asarray(plane.resize(size[::-1], Image.Resampling.BICUBIC)) for plane in planes])
