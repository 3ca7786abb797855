"""Nuclei and field quality of a plate: one pass over its images."""

import logging

import numpy as np
import pandas as pd
from scipy import ndimage

from phenorep import blas, contracts, masks, parallel
from phenorep.errors import UserError
from phenorep.imaging import cellprofiler, holes, illumination, intensity, quality
from phenorep.imaging.segmentation import find_nuclei
from phenorep.preprocessing import settings, stage


@blas.single_thread()
def make(inputs, preprocess: dict, threads: int, outputs) -> None:
    """Write the nuclei, their masks and the field quality of a plate.

    Parameters
    ----------
    inputs
        Paths of the plate's `fields` (table) and `illumination` (functions), as attributes; where CellProfiler was the
        engine, also what was `staged` for it and what it `found`.
    preprocess
        The configuration's block, as `preprocessing.stage` gives it.
    threads
        Number of processes; the result does not depend on it.
    outputs
        Paths, as attributes: `nuclei` (one row per nucleus: the field's metadata and labels, `Field`, which is the row of
        the fields table, and what `measure` gives), `masks` (`phenorep.masks`) and `quality` (one row per field:
        `Count_Nuclei`, the measures of `imaging.quality`, `Problem`). A nucleus that the border cuts counts in full.

    Raises
    ------
    ImageError
        For an image that cannot be decoded; under ``on_bad_image: exclude`` its field gets a `Problem` instead.
    UserError
        If the nuclear channel is not there, or if the plate has no nucleus at all.
    """
    chosen = settings(preprocess)
    table = contracts.read_table(inputs.fields, "fields")
    about = contracts.about(inputs.fields)
    channels = contracts.channels_of(table.columns)
    channel = chosen.nuclei_settings.nuclear(channels)
    functions = illumination.load(inputs.illumination, channels)
    rows = illumination.usable(table, inputs.fields)
    results = cellprofiler.Found(inputs.staged, inputs.found) if chosen.engine == "cellprofiler" else None

    found, qualities, problems = {}, {}, table["Problem"].tolist()
    shared = (channels, channel, functions, chosen, about.get("intensity_max"), results)
    with masks.writer(outputs.masks) as write_mask:
        for row, result in zip(rows, parallel.in_order(_field, rows, threads, shared), strict=True):
            field, (nuclei, labels, measures, problem) = row["Field"], result
            if problem:
                logging.getLogger(__name__).warning("left out: %s", problem)
                problems[field] = problem
                continue
            # Thousands of small data frames would take more memory than the images.
            found[field] = nuclei.to_numpy(np.float64)
            if len(nuclei):
                kinds = nuclei.dtypes
            qualities[field] = {"Count_Nuclei": len(nuclei), **measures}
            if labels is not None:
                write_mask(field, labels)
    count = sum(map(len, found.values()))
    if not count:
        _raise_none(table, inputs.fields, len(found), channel, channels, chosen.nuclei_settings)

    values = np.concatenate([rows for rows in found.values() if len(rows)])
    nuclei = pd.DataFrame(values, columns=kinds.index).astype(kinds)
    nuclei["Field"] = np.repeat(list(found), [len(rows) for rows in found.values()])
    described = table[[name for name in table if name.startswith(("Metadata_", "Label_"))]]
    nuclei = described.iloc[nuclei["Field"]].reset_index(drop=True).join(nuclei)
    first = [*described.columns, "Field", "Nucleus"]
    facts = {
        "channel": channel,
        "channels": channels,
        "engine": results.engine if results else "native",
        "pipeline": chosen.pipeline,
        "settings": stage(chosen, "nuclei")["nuclei"] | {"channel": channel},
        "illumination": str(inputs.illumination),
    }
    columns = first + [name for name in nuclei if name not in first]
    contracts.write_table(nuclei[columns], outputs.nuclei, "nuclei", facts)

    measured = pd.DataFrame.from_dict(qualities, orient="index").reindex(range(len(table)))
    measured["Count_Nuclei"] = measured["Count_Nuclei"].astype("Int64")  # unknown where the field is left out
    field_quality = table[list(contracts.FIELD)].assign(Field=np.arange(len(table)), Problem=problems).join(measured)
    contracts.write_table(field_quality, outputs.quality, "field_quality", facts)


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
    `AreaShape_BoundingBoxMinimum_X/Y` and ``...Maximum_X/Y`` (the maximum is the first pixel outside), `Touches_Border`
    (whether it has a pixel at the image's border: a part of it may be missing).
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
    touching = np.zeros(len(area) + 1, bool)
    touching[holes.at_border(labels)] = True
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
            "Touches_Border": touching[1:],
        }
    )


def _exported(table: pd.DataFrame, shape: tuple[int, int]) -> pd.DataFrame:
    """Nuclei of a pipeline that saves no labels, with `Touches_Border`: by their bounding boxes, where it exports them.

    Without boxes nothing is known, and the pipeline's own setting decides what touches the border.
    """
    touching = np.zeros(len(table), bool)
    for axis, length in zip("YX", shape, strict=True):
        for end, at in (("Minimum", 0), ("Maximum", length)):
            if (name := f"AreaShape_BoundingBox{end}_{axis}") in table:
                touching |= (table[name] == at).to_numpy()
    return table.assign(Touches_Border=touching)


def _field(channels, channel, functions, chosen, intensity_max, results, row):
    """Nuclei, labels and quality of one field, or the reason why there are none."""
    field = illumination.read_or_problem(row, channels, chosen.on_bad_image)
    if not isinstance(field, str) and results is not None and row["Field"] in results.problems:
        field = results.problems[row["Field"]]
    if isinstance(field, str):
        return None, None, None, field
    if results is None:
        index = channels.index(channel)
        share = intensity.share_of_range(intensity_max, int(row["BitDepth"]))
        labels = find_nuclei(intensity.scaled(field[index], functions[index]), chosen.nuclei_settings, share)
    else:
        labels = results.labels(row["Field"], field.shape[1:])
    nuclei = measure(labels) if labels is not None else _exported(results.table(row["Field"]), field.shape[1:])
    measures = {}
    for name, image in zip(channels, field, strict=True):
        measures |= quality.measures(image, intensity_max or 2 ** int(row["BitDepth"]) - 1, name)
    return nuclei, labels, measures, ""


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
