"""How far two sets of labelled objects of the same image agree, and two illumination functions.

Objects match if their intersection over union is high enough; above 0.5 an object has one match at most. F1 as in [0].

[0] Caicedo et al. 2019, Nucleus segmentation across imaging experiments, doi:10.1038/s41592-019-0612-7
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Matches:
    """Pairs of objects of two label images that overlap.

    Attributes
    ----------
    counts
        Number of objects in the first and in the second image.
    pairs
        (k, 2) int: labels of overlapping objects.
    ious
        (k,) intersection over union of each pair.
    distances
        (k,) distance of the pair's centres in pixels.
    """

    counts: tuple[int, int]
    pairs: np.ndarray
    ious: np.ndarray
    distances: np.ndarray

    @classmethod
    def of(cls, first: np.ndarray, second: np.ndarray) -> "Matches":
        """Compare two label images (H, W) of integers, 0 is background."""
        areas = [np.bincount(labels.ravel()) for labels in (first, second)]
        centres = [_centres(labels, len(area)) for labels, area in zip((first, second), areas, strict=True)]
        both = (first > 0) & (second > 0)
        width = len(areas[1])
        codes, shared = np.unique(first[both].astype(np.int64) * width + second[both], return_counts=True)
        pairs = np.stack([codes // width, codes % width], axis=1)
        union = areas[0][pairs[:, 0]] + areas[1][pairs[:, 1]] - shared
        distances = np.linalg.norm(centres[0][pairs[:, 0]] - centres[1][pairs[:, 1]], axis=1)
        counts = tuple(int(np.count_nonzero(area[1:])) for area in areas)
        return cls(counts, pairs, shared / union, distances)

    def matched(self, iou: float = 0.7) -> np.ndarray:
        """Which pairs match: (k,) bool. `iou` must be at least 0.5, or an object could have two matches."""
        return self.ious > iou


def f1(matches: list[Matches], iou: float = 0.7) -> float:
    """Harmonic mean of the shares of objects that have a match, over several images; 1 where there is none at all."""
    total = sum(sum(one.counts) for one in matches)
    return 2 * sum(int(one.matched(iou).sum()) for one in matches) / total if total else 1.0


def near(matches: list[Matches], pixels: float = 1.0, iou: float = 0.7) -> float:
    """Share of the matched pairs, over several images, whose centres lie within so many pixels; 1 where there is none."""
    distances = np.concatenate([one.distances[one.matched(iou)] for one in matches] or [np.empty(0)])
    return float(np.mean(distances <= pixels)) if len(distances) else 1.0


def relative_difference(function: np.ndarray, reference: np.ndarray) -> float:
    """Largest difference of two illumination functions (H, W), relative to the second."""
    return float(np.max(np.abs(function - reference) / reference))


def _centres(labels: np.ndarray, length: int) -> np.ndarray:
    """Centre (y, x) of each label 0..length - 1: (length, 2)."""
    y, x = np.nonzero(labels)
    numbers = labels[y, x]
    area = np.maximum(np.bincount(numbers, minlength=length), 1)
    return np.stack([np.bincount(numbers, values, minlength=length) / area for values in (y, x)], axis=1)
