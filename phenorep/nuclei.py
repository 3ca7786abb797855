"""Nuclei and field quality of a plate: one pass over its images."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage

from phenorep import contracts, parallel
from phenorep.errors import UserError
from phenorep.imaging import illumination, quality
from phenorep.imaging.segmentation import find_nuclei
from phenorep.preprocessing import Segmentation, settings


def make(
    fields: str | Path,
    illumination_path: str | Path,
    preprocess: dict,
    threads: int,
    nuclei_out: str | Path,
    quality_out: str | Path,
) -> None:
    """Write the nuclei and the field quality of a plate.

    Parameters
    ----------
    fields, illumination_path
        The plate's fields table and illumination functions.
    preprocess
        The configuration's block, as `preprocessing.stage` gives it.
    threads
        Number of processes; the result does not depend on it.
    nuclei_out
        One row per nucleus: the field's metadata and labels, `Field` (row of the fields table), and what `measure` gives.
    quality_out
        One row per field: `Count_Nuclei`, the measures of `imaging.quality`, `Problem`.

    Raises
    ------
    ImageError
        For an image that cannot be decoded; under ``on_bad_image: exclude`` its field gets a `Problem` instead.
    UserError
        If the nuclear channel is not there, or if the plate has no nucleus at all.
    """
    chosen = settings(preprocess)
    table = contracts.read_table(fields, "fields")
    about = contracts.about(fields)
    channels = contracts.channels_of(table.columns)
    channel = nuclear_channel(chosen.nuclei_settings, channels)
    functions = illumination.load(illumination_path, channels)
    rows = illumination.usable(table, fields)
    intensity_max = about.get("intensity_max") or 2 ** int(rows[0]["BitDepth"]) - 1

    found, qualities, problems = {}, {}, table["Problem"].tolist()
    shared = (channels, channel, functions, chosen.nuclei_settings, intensity_max, chosen.on_bad_image)
    for row, (nuclei, measures, problem) in zip(rows, parallel.in_order(_field, rows, threads, shared), strict=True):
        if problem:
            logging.getLogger(__name__).warning("left out: %s", problem)
            problems[row["Field"]] = problem
            continue
        found[row["Field"]] = nuclei
        qualities[row["Field"]] = {"Count_Nuclei": len(nuclei), **measures}
    count = sum(map(len, found.values()))
    if not count:
        _raise_none(table, fields, len(found), channel, channels, chosen.nuclei_settings)

    nuclei = pd.concat([nuclei.assign(Field=field) for field, nuclei in found.items() if len(nuclei)], ignore_index=True)
    described = table[[name for name in table if name.startswith(("Metadata_", "Label_"))]]
    nuclei = described.iloc[nuclei["Field"]].reset_index(drop=True).join(nuclei)
    first = [*described.columns, "Field", "Nucleus"]
    facts = {"channel": channel, "channels": channels, "engine": chosen.engine, "illumination": str(illumination_path)}
    contracts.write_table(nuclei[first + [name for name in nuclei if name not in first]], nuclei_out, "nuclei", facts)

    measured = pd.DataFrame.from_dict(qualities, orient="index").reindex(range(len(table)))
    measured["Count_Nuclei"] = measured["Count_Nuclei"].astype("Int64")  # unknown where the field is left out
    field_quality = table[list(contracts.FIELD)].assign(Field=np.arange(len(table)), Problem=problems).join(measured)
    contracts.write_table(field_quality, quality_out, "field_quality", facts)


def nuclear_channel(segmentation: Segmentation, channels: list[str]) -> str:
    """The channel in which nuclei are sought."""
    channel = segmentation.channel or "DNA"
    if channel not in channels:
        raise UserError(
            f"preprocess: nuclei: channel: there is no channel '{channel}'; the channels are {', '.join(channels)}. "
            "Set the key to the one that shows nuclei."
        )
    return channel


def measure(labels: np.ndarray) -> pd.DataFrame:
    """Place, size and form of each labelled nucleus.

    Parameters
    ----------
    labels
        (H, W) int: 0 is background, nuclei are 1..k.

    Returns
    -------
    One row per nucleus: `Nucleus` (its label), `Location_Center_X/Y` (pixels; the centre of the upper left pixel is 0, 0),
    `AreaShape_Area` (pixels), `AreaShape_Eccentricity` (0 round to 1 a line: of the ellipse of the same second moments),
    `AreaShape_BoundingBoxMinimum_X/Y` and ``...Maximum_X/Y`` (the maximum is the first pixel outside).
    """
    y, x = np.nonzero(labels)
    numbers = labels[y, x]
    area = np.bincount(numbers)[1:]

    def means(values: np.ndarray) -> np.ndarray:
        return np.bincount(numbers, values)[1:] / area

    centre_y, centre_x = means(y), means(x)
    dy, dx = y - np.append(0, centre_y)[numbers], x - np.append(0, centre_x)[numbers]
    yy, xx, xy = means(dy * dy), means(dx * dx), means(dx * dy)
    root = np.sqrt(((yy - xx) / 2) ** 2 + xy**2)
    major, minor = (yy + xx) / 2 + root, np.maximum((yy + xx) / 2 - root, 0)
    boxes = ndimage.find_objects(labels)
    return pd.DataFrame(
        {
            "Nucleus": np.arange(1, len(area) + 1),
            "Location_Center_X": centre_x,
            "Location_Center_Y": centre_y,
            "AreaShape_Area": area.astype(np.int64),
            "AreaShape_Eccentricity": np.sqrt(1 - np.where(major > 0, minor, 1) / np.where(major > 0, major, 1)),
            "AreaShape_BoundingBoxMinimum_X": np.array([box[1].start for box in boxes], np.int64),
            "AreaShape_BoundingBoxMinimum_Y": np.array([box[0].start for box in boxes], np.int64),
            "AreaShape_BoundingBoxMaximum_X": np.array([box[1].stop for box in boxes], np.int64),
            "AreaShape_BoundingBoxMaximum_Y": np.array([box[0].stop for box in boxes], np.int64),
        }
    )


def _field(channels, channel, functions, segmentation, intensity_max, on_bad_image, row):
    """Nuclei and quality of one field, or the reason why there are none."""
    field = illumination.read_or_problem(row, channels, on_bad_image)
    if isinstance(field, str):
        return None, None, field
    index = channels.index(channel)
    labels = find_nuclei(illumination.apply(field[index], functions[index]), segmentation, intensity_max)
    measures = {}
    for name, image in zip(channels, field, strict=True):
        measures |= quality.measures(image, intensity_max, name)
    return measure(labels), measures, ""


def _raise_none(table, path, fields, channel, channels, segmentation):
    plates = ", ".join(sorted(set(table["Metadata_Plate"])))
    if not fields:
        raise UserError(f"{path}: none of the fields of plate {plates} can be decoded. Replace its images.")
    low, high = segmentation.diameter
    raise UserError(
        f"Plate {plates}: no nucleus was found in channel '{channel}' of its {fields} fields. Set 'preprocess: nuclei: "
        f"diameter' (now {low:g} to {high:g} pixels) to their size, 'preprocess: nuclei: channel' to the channel "
        f"that shows them (the plate has {', '.join(channels)}), or, for dim nuclei, 'preprocess: nuclei: "
        f"minimum_contrast' (now {segmentation.minimum_contrast:g}) lower."
    )
