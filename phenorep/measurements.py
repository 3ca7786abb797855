"""Classical measurements of a plate's nuclei, defined and named as in CellProfiler.

cp_measure [0] computes them with the algorithms of CellProfiler's own modules [1]. Most are equal to CellProfiler's up to
rounding; Zernike moments differ where rounding decides whether a pixel lies in the circle around the nucleus, radial
distributions where several pixels may be its middle. Left out is what cp_measure defines in another way (rank-weighted
colocalisation, thresholds of Costes), what tells a place (centres, bounding boxes), and the phases of Zernike moments.

[0] Muñoz et al. 2025, cp_measure: API-first feature extraction for image-based profiling workflows, arXiv:2507.01163
[1] https://cellprofiler-manual.s3.amazonaws.com/CellProfiler-4.2.8/modules/measurement.html
"""

import itertools
import logging
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage

from phenorep import blas, contracts, masks, parallel, preprocessing
from phenorep.errors import UserError
from phenorep.imaging import illumination, intensity

# In the order of their columns. granularity costs more than all the others together.
GROUPS = ("shape", "zernike", "intensity", "texture", "radial", "radial_zernike", "correlation", "granularity")

_TEXTURE_SCALE = 3  # pixels between the grey values that are compared: CellProfiler's default


@blas.single_thread()
def make(inputs, preprocess: dict, groups: Iterable[str], threads: int, output: str | Path) -> None:
    """Write the measurements of a plate's nuclei.

    Parameters
    ----------
    inputs
        Paths of the plate's `fields`, `illumination`, `nuclei` and `masks`, as attributes.
    preprocess
        The configuration's block, as `preprocessing.stage` gives it.
    groups
        Some of `GROUPS`.
    threads
        Number of processes; the result does not depend on it.
    output
        One row per nucleus, in the order of the nuclei table: `Metadata_Plate`, `Metadata_Well`, `Metadata_Site`, `Field`,
        `Nucleus` and the measurements, float32. What is not defined (the texture of a nucleus smaller than its scale) is
        NaN. The facts beside the table hold ``columns``: {measurement: [its group, its channels...]} and the ``version`` of
        cp_measure.

    Raises
    ------
    ImageError
        For an image that cannot be decoded; under ``on_bad_image: exclude`` the nuclei of its field are NaN instead.
    UserError
        If masks and nuclei do not belong together.
    """
    on_bad_image = preprocessing.settings(preprocess).on_bad_image
    fields = contracts.read_table(inputs.fields, "fields")
    nuclei = contracts.read_table(inputs.nuclei, "nuclei")
    channels = contracts.channels_of(fields.columns)
    groups = [name for name in GROUPS if name in set(groups)]
    described = columns(channels, groups)  # before the processes part: it imports what each would have to import again
    functions = illumination.load(inputs.illumination, channels)
    rows = {row["Field"]: row for row in illumination.usable(fields, inputs.fields)}
    items = [(rows[field], numbers) for field, numbers in nuclei.groupby("Field")["Nucleus"].agg(list).items()]
    bits = int(items[0][0]["BitDepth"])
    full = intensity.share_of_range(contracts.about(inputs.fields).get("intensity_max"), bits)
    shared = (inputs.masks, functions, channels, groups, full, on_bad_image)

    parts = []
    for (row, numbers), (problem, part) in zip(items, parallel.in_order(_field, items, threads, shared), strict=True):
        if problem:
            logging.getLogger(__name__).warning("not measured: %s", problem)
            part = pd.DataFrame(index=range(len(numbers)))
        parts.append(part.assign(Field=row["Field"], Nucleus=sorted(numbers)))
    identity = nuclei[[*contracts.FIELD, "Field", "Nucleus"]]
    measured = identity.merge(pd.concat(parts), on=["Field", "Nucleus"], how="left", validate="one_to_one")
    table = measured.reindex(columns=[*identity, *described]).astype(dict.fromkeys(described, np.float32))
    facts = {"channels": channels, "columns": described, "version": metadata.version("cp_measure")}
    contracts.write_table(table, output, "measurements", facts)


def measure(
    labels: np.ndarray, images: np.ndarray, channels: Sequence[str], groups: Iterable[str], full: float = 1.0
) -> pd.DataFrame:
    """Measurements of the nuclei of one field.

    Parameters
    ----------
    labels
        (H, W) int: 0 is background, nuclei are 1..k.
    images
        (C, H, W) float32: corrected intensities from 0 to 1.
    channels
        Their names.
    groups
        Some of `GROUPS`.
    full
        The largest intensity that the camera gives. Texture divides the range from 0 to it into 256 grey levels; from 0 to 1
        an image of 12 bits that is stored in 16 would have 16 of them. In CellProfiler RescaleIntensity does the same.

    Returns
    -------
    pandas.DataFrame
        k rows; columns as `columns` names them; NaN where a measurement is not defined.
    """
    numbers = np.arange(1, int(labels.max()) + 1)
    # The spectrum of granularity depends on what surrounds a nucleus; all else on the nucleus alone.
    wide = [group for group in groups if group == "granularity"]
    near = [group for group in groups if group not in wide]
    parts = [
        pd.DataFrame(_measured(near, piece, pixels, channels, full), index=own)
        for own, piece, pixels in _pieces(labels, images)
    ]
    table = pd.concat([pd.DataFrame(index=numbers[:0]), *parts]).reindex(numbers)
    table = table.join(pd.DataFrame(_measured(wide, labels, images, channels, full), index=numbers))
    return table.where(np.isfinite(table)).reset_index(drop=True)


def columns(channels: Sequence[str], groups: Iterable[str]) -> dict[str, list[str]]:
    """Names of the measurements in their order, each with its group and the channels it is of: measured on a small disc."""
    y, x = np.mgrid[:9, :9]
    disc = ((y - 4) ** 2 + (x - 4) ** 2 <= 9).astype(np.int32)
    images = np.stack([(y + x + 1) / 20] * len(channels)).astype(np.float32)
    named: dict[str, list[str]] = {}
    for group, some in _sets(groups, channels):
        named |= {name: [group, *some] for name in _measured([group], disc, images[: len(some)], some, 1.0)}
    return named


def _field(masks_path, functions, channels, groups, full, on_bad_image, item):
    """Measurements of one field, or the reason why there are none."""
    row, numbers = item
    field = illumination.read_or_problem(row, channels, on_bad_image)
    if isinstance(field, str):
        return field, None
    labels = masks.read(masks_path, row["Field"]).astype(np.int32)
    if sorted(numbers) != np.unique(labels[labels > 0]).tolist() or int(labels.max()) != len(numbers):
        raise UserError(
            f"{masks_path}: field {row['Field']} has {int(labels.max())} masks, the nuclei table has {len(numbers)} nuclei: "
            "they are not of one run. Remove the masks and the plate's nuclei table and run again."
        )
    return "", measure(labels, intensity.scaled(field, functions), channels, groups, full)


def _pieces(labels: np.ndarray, images: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The nuclei without the wide space between them, which costs time but is not measured.

    Yields
    ------
    tuple
        Numbers of some nuclei; their labels, renumbered from 1 in that order; the pixels (C, ...) that belong to them.
        Nuclei at the image's border stay in the whole field: beyond the border there is no edge, but darkness would be one.
    """
    height, width = labels.shape
    boxes = ndimage.find_objects(labels)
    cut = np.array([b[0].start == 0 or b[1].start == 0 or b[0].stop == height or b[1].stop == width for b in boxes], bool)
    inside, at_border = np.flatnonzero(~cut) + 1, np.flatnonzero(cut) + 1
    if len(at_border):
        renumbered = np.zeros(len(boxes) + 1, np.int32)
        renumbered[at_border] = np.arange(1, len(at_border) + 1)
        yield at_border, renumbered[labels], images
    if len(inside):
        yield inside, *_packed(labels, images, inside, [boxes[number - 1] for number in inside])


def _packed(labels: np.ndarray, images: np.ndarray, numbers: np.ndarray, boxes: list) -> tuple[np.ndarray, np.ndarray]:
    """Nuclei side by side in the cells of a grid, each with an empty rim, and their pixels."""
    across = math.ceil(math.sqrt(len(boxes)))
    high, wide = (2 + max(box[axis].stop - box[axis].start for box in boxes) for axis in (0, 1))
    packed = np.zeros((-(-len(boxes) // across) * high, across * wide), np.int32)
    pixels = np.zeros((len(images), *packed.shape), images.dtype)
    for place, (number, box) in enumerate(zip(numbers, boxes, strict=True)):
        own = labels[box] == number
        top, left = place // across * high + 1, place % across * wide + 1
        cell = (slice(top, top + own.shape[0]), slice(left, left + own.shape[1]))
        packed[cell] = own * np.int32(place + 1)
        pixels[:, *cell] = images[:, *box]
    return packed, pixels


def _sets(groups: Iterable[str], channels: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each group with the channels that it measures at a time: none, one, or two."""
    at_a_time = {"shape": 0, "zernike": 0, "correlation": 2}
    for group in GROUPS:
        if group in groups:
            for some in itertools.combinations(channels, at_a_time.get(group, 1)):
                yield group, some


def _measured(groups: Iterable[str], labels: np.ndarray, images: np.ndarray, channels: Sequence[str], full: float) -> dict:
    """Measurements {name: (k,) values} of nuclei numbered 1..k."""
    measures = {
        "shape": _shape,
        "zernike": _zernike,
        "intensity": _intensity,
        "texture": _texture,
        "radial": _radial,
        "radial_zernike": _radial_zernike,
        "correlation": _correlation,
        "granularity": _granularity,
    }
    found: dict[str, np.ndarray] = {}
    # What is not defined (0 / 0) becomes NaN: no need to warn of each.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for group, some in _sets(groups, channels):
            # As float64: centres of mass are small differences of large sums.
            pixels = [images[list(channels).index(name)].astype(np.float64) for name in some]
            if group == "texture":
                pixels = [np.minimum(pixels[0] / full, 1)]
            found |= {_named(name, some): np.asarray(v, float) for name, v in measures[group](labels, *pixels).items()}
    return found


def _named(name: str, channels: Sequence[str]) -> str:
    """CellProfiler's name: the channels stand behind category and feature, before scales and degrees.

    A name that ends with ``'`` is of the second channel against the first.
    """
    if name.endswith("'"):
        name, channels = name[:-1], channels[::-1]
    if not channels:
        return name
    category, feature, *rest = name.split("_", 2)
    return "_".join([category, feature, *channels, *rest])


def _shape(labels: np.ndarray) -> dict:
    from cp_measure.core.measureobjectsizeshape import get_feret, get_sizeshape

    found = get_sizeshape(labels, None, calculate_advanced=False, new_features=False) | get_feret(labels, None)
    places = ("Center_", "BoundingBoxMinimum_", "BoundingBoxMaximum_")
    return {f"AreaShape_{name}": values for name, values in found.items() if not name.startswith(places)}


def _zernike(labels: np.ndarray) -> dict:
    from cp_measure.core.measureobjectsizeshape import get_zernike

    return {f"AreaShape_{name}": values for name, values in get_zernike(labels, None).items()}


def _intensity(labels: np.ndarray, image: np.ndarray) -> dict:
    from cp_measure.core.measureobjectintensity import get_intensity

    found = get_intensity(labels, image, legacy=True)  # quartiles as in CellProfiler, not as in numpy
    return {name: values for name, values in found.items() if not name.startswith("Location_")}


def _texture(labels: np.ndarray, image: np.ndarray) -> dict:
    from cp_measure.core.measuretexture import get_texture

    return {f"Texture_{name}": values for name, values in get_texture(labels, image, _TEXTURE_SCALE).items()}


def _radial(labels: np.ndarray, image: np.ndarray) -> dict:
    from cp_measure.core.measureobjectintensitydistribution import get_radial_distribution

    return get_radial_distribution(labels, image)


def _radial_zernike(labels: np.ndarray, image: np.ndarray) -> dict:
    from cp_measure.core.measureobjectintensitydistribution import get_radial_zernikes

    return {name: values for name, values in get_radial_zernikes(labels, image).items() if "Phase" not in name}


def _correlation(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> dict:
    from cp_measure.core import measurecolocalization as colocalisation

    both = (first, second, labels)
    overlap, manders = colocalisation.get_correlation_overlap(*both), colocalisation.get_correlation_manders_fold(*both)
    return {
        "Correlation_Correlation": colocalisation.get_correlation_pearson(*both)["Correlation_Pearson"],
        "Correlation_Overlap": overlap["Correlation_Overlap"],
        "Correlation_K": overlap["Correlation_K_1"],
        "Correlation_K'": overlap["Correlation_K_2"],
        "Correlation_Manders": manders["Correlation_Manders_1"],
        "Correlation_Manders'": manders["Correlation_Manders_2"],
    }


def _granularity(labels: np.ndarray, image: np.ndarray) -> dict:
    from cp_measure.core.measuregranularity import get_granularity

    return get_granularity(labels, image)
