"""Holes in the foreground of an image, filled as CellProfiler 4.2.8 does."""

import numpy as np
from scipy import ndimage


def fill(foreground: np.ndarray, smaller_than: float) -> np.ndarray:
    """Foreground (H, W) bool with its holes of less than `smaller_than` pixels.

    A hole is background that does not reach the image's border by steps up, down, left or right.
    """
    background, count = ndimage.label(~foreground)
    small = np.bincount(background.ravel(), minlength=count + 1) < smaller_than
    small[at_border(background)] = False
    small[0] = True  # the foreground itself
    return small[background]


def fill_labelled(labels: np.ndarray) -> np.ndarray:
    """Labels (H, W) int32 with the holes of each object, however large.

    An object that stands in the hole of another, or that another surrounds, becomes part of it.
    """
    from centrosome.cpmorphology import fill_labeled_holes

    background, count = ndimage.label(labels == 0)
    border = at_border(background)
    open_to_border = np.zeros(count + 1, bool)
    open_to_border[border[border > 0]] = True
    if open_to_border.sum() == count and _all_reached(labels, background > 0):
        return labels
    return fill_labeled_holes(labels)


def _all_reached(labels: np.ndarray, outside: np.ndarray) -> bool:
    """Whether each object has a pixel beside the outside, or at the image's border."""
    outside = np.pad(outside, 1, constant_values=True)
    at = np.flatnonzero(np.pad(labels, 1))
    width = outside.shape[1]
    flat = outside.ravel()
    beside = flat[at - width] | flat[at + width] | flat[at - 1] | flat[at + 1]
    numbers = labels[labels > 0]
    reached = np.zeros(labels.max() + 1, bool)
    reached[numbers[beside]] = True
    return bool(reached[numbers].all())


def at_border(labels: np.ndarray) -> np.ndarray:
    """Labels at the image's border, each once."""
    return np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
