"""Touching nuclei cut apart: one marker for each peak of form or brightness, then a watershed from the markers.

The steps are those of CellProfiler 4.2.8's IdentifyPrimaryObjects [0], and so are its ways of breaking ties. They work on
foreground only, and cut only what has several markers.

[0] https://cellprofiler-manual.s3.amazonaws.com/CellProfiler-4.2.8/modules/objectprocessing.html
"""

import math
from functools import lru_cache

import numpy as np
from scipy import ndimage

from phenorep.imaging import holes
from phenorep.preprocessing import Segmentation

TOUCHING = np.ones((3, 3), bool)  # pixels that meet at a corner belong together
_FWHM = 2.35  # full width at half maximum of a Gaussian, in standard deviations
_REDUCED = 10  # pixels of the smallest diameter, to which an image is reduced to seek peaks
_REDUCED_DISTANCE = 7  # pixels in the reduced image between peaks


def separate(objects: np.ndarray, image: np.ndarray, settings: Segmentation) -> np.ndarray:
    """Cut objects into nuclei.

    Parameters
    ----------
    objects
        (H, W) int32: 0 is background, objects that do not touch are 1..k.
    image
        (H, W) float32 from 0 to 1: the nuclear channel.

    Returns
    -------
    (H, W) int32: 0 is background, nuclei have the numbers of their markers, in the order of their topmost, then leftmost
    pixel; objects without a peak are gone.
    """
    divide = settings.divide or settings.declump
    distance = None
    if settings.declump == "shape":
        foreground = objects if settings.fill_holes else _touching(holes.fill_labelled(objects) > 0)
        # A little noise makes peaks unique; it has to be CellProfiler's, since it decides which of two equals is one.
        distance = _jitter(objects.shape) + _distance(foreground)
        heights = distance
    else:
        heights = _blurred(image, settings)
    markers = _touching(_single_pixels(_peaks(heights, objects, settings)))
    if divide == "intensity":
        landscape = 1 - image
    else:
        landscape = -(_distance(objects) if distance is None else distance)
    return _flooded(landscape, markers, objects)


def _touching(foreground: np.ndarray) -> np.ndarray:
    """The foreground's objects, numbered."""
    return ndimage.label(foreground, TOUCHING)[0]


def _distance(objects: np.ndarray) -> np.ndarray:
    """Distance of each object's pixels to the background in pixels, float64."""
    if objects.all():
        return ndimage.distance_transform_edt(objects)
    distance = np.zeros(objects.shape)
    # The background pixel nearest to an object's touches the object: a margin of one pixel holds it.
    for number, box in enumerate(ndimage.find_objects(objects), start=1):
        wide = tuple(slice(max(side.start - 1, 0), side.stop + 1) for side in box)
        own = objects[wide] == number
        distance[wide][own] = ndimage.distance_transform_edt(own)[own]
    return distance


@lru_cache(maxsize=2)  # all fields of a plate have one shape
def _jitter(shape: tuple[int, int]) -> np.ndarray:
    return np.random.RandomState(0).uniform(0, 0.001, shape)


def _blurred(image: np.ndarray, settings: Segmentation) -> np.ndarray:
    """The image under a Gaussian cut off at about two standard deviations, so that nuclei far away do not count."""
    width = settings.declump_smoothing
    if width is None:
        width = _FWHM * settings.diameter[0] / 3.5
    if not width:
        return image
    sigma = width / _FWHM
    reach = np.arange(-max(int(width / 2), 1), max(int(width / 2), 1) + 1)
    kernel = 1 / np.sqrt(2 * np.pi) / sigma * np.exp(-0.5 * reach**2 / sigma**2)

    def convolved(plane: np.ndarray) -> np.ndarray:
        return ndimage.convolve1d(ndimage.convolve1d(plane, kernel, 0, mode="constant"), kernel, 1, mode="constant")

    # The kernel does not add up to 1, nor does it at the border: divide by what it makes of ones.
    ones = np.ones(image.shape[0])[:, None], np.ones(image.shape[1])[None]
    weights = [ndimage.convolve1d(line, kernel, axis, mode="constant") for axis, line in enumerate(ones)]
    return (convolved(image) / (weights[0] * weights[1])).astype(image.dtype)


def _peaks(heights: np.ndarray, objects: np.ndarray, settings: Segmentation) -> np.ndarray:
    """Where nothing of the same object within the least distance between peaks is higher; (H, W) bool."""
    smallest, distance = settings.diameter[0], settings.declump_distance
    if not settings.low_resolution or smallest <= _REDUCED:
        return _maxima(heights, objects, smallest / 1.5 if distance is None else distance)
    factor = _REDUCED / smallest
    rows, columns = (np.arange(math.ceil(length * factor)) / factor for length in objects.shape)
    reduced = _nearest(objects, rows, columns)
    places = np.nonzero(reduced)
    reduced_heights = np.zeros(reduced.shape, heights.dtype)
    reduced_heights[places] = ndimage.map_coordinates(heights, [rows[places[0]], columns[places[1]]])
    found = _maxima(reduced_heights, reduced, _REDUCED_DISTANCE if distance is None else distance * factor + 0.5)
    return _enlarged(found, objects.shape)


def _nearest(objects: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The objects at the pixels nearest to a grid of rows and columns; beyond the last pixel's middle there is none."""
    reduced = objects[
        np.ix_(
            *(
                np.floor(places + 0.5).astype(int).clip(max=length - 1)
                for places, length in zip((rows, columns), objects.shape, strict=True)
            )
        )
    ]
    reduced[rows > objects.shape[0] - 1] = 0
    reduced[:, columns > objects.shape[1] - 1] = 0
    return reduced


def _maxima(heights: np.ndarray, objects: np.ndarray, distance: float) -> np.ndarray:
    """Pixels above 0 that no pixel of the same object within about `distance` exceeds."""
    radius = max(1, distance - 0.5)
    reach = np.arange(-int(radius), int(radius) + 1)
    square = reach[:, None] ** 2 + reach[None] ** 2
    offsets = np.argwhere((square <= radius**2) & (square > 0)) - int(radius)
    # The nearest first: they rule out most pixels, and the others need not be looked at again.
    offsets = offsets[np.argsort((offsets**2).sum(1), kind="stable")]
    margin = int(radius)
    labels, levels = np.pad(objects, margin).ravel(), np.pad(heights, margin).ravel()
    width = objects.shape[1] + 2 * margin
    here = np.flatnonzero(labels)
    here = here[levels[here] > 0]
    for row, column in offsets.tolist():
        there = here + (row * width + column)
        here = here[(labels[there] != labels[here]) | (levels[there] <= levels[here])]
    found = np.zeros(objects.shape, bool)
    found[here // width - margin, here % width - margin] = True
    return found


def _enlarged(found: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Peaks found in a reduced image, as spots of an image of `shape`: where a cubic spline through them exceeds a half."""
    factor = shape[0] / found.shape[0]
    rows, columns = (np.arange(length) / factor for length in shape)
    # The spline exceeds a half only between a peak and the pixels next to it.
    near = np.pad(found, ((0, 1), (0, 1)))
    near = near[:-1, :-1] | near[1:, :-1] | near[:-1, 1:] | near[1:, 1:]
    inside = (
        np.minimum(places.astype(int), length - 1) for places, length in zip((rows, columns), found.shape, strict=True)
    )
    y, x = np.nonzero(near[np.ix_(*inside)])
    enlarged = np.zeros(shape, bool)
    enlarged[y, x] = ndimage.map_coordinates(found.astype(float), [rows[y], columns[x]]) > 0.5
    return enlarged


def _single_pixels(spots: np.ndarray) -> np.ndarray:
    """Spots shrunk to one pixel each, or to a ring where they have a hole."""
    from centrosome.cpmorphology import binary_shrink

    return binary_shrink(spots) if spots.any() else spots


def _flooded(landscape: np.ndarray, markers: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """Each pixel of an object gets the number of the marker from which water reaches it first, rising in `landscape`."""
    from mahotas import cwatershed

    at = np.flatnonzero((markers > 0) & (objects > 0))
    object_of, marker_of = np.unique(np.stack([objects.ravel()[at], markers.ravel()[at]]), axis=1)
    counts = np.bincount(object_of, minlength=objects.max() + 1)
    only = np.zeros(len(counts), np.int32)
    only[object_of] = marker_of
    nuclei = only[objects]
    boxes = ndimage.find_objects(objects)
    for number in np.flatnonzero(counts > 1):
        box = boxes[number - 1]
        own = objects[box] == number
        # Where levels are equal, and only there, results of watersheds differ. This one floods a pit as soon as it is
        # reached, as scikit-image did up to the version that CellProfiler uses; later ones treat it as filled to its rim.
        level = np.where(own, landscape[box], landscape.dtype.type(np.finfo(landscape.dtype).max))
        nuclei[box][own] = cwatershed(level, np.where(own, markers[box], 0), TOUCHING)[own]
    return nuclei
