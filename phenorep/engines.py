"""Both engines on some fields of a user's own plate, with the user's settings (``preprocess: check: N``)."""

from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import contracts, parallel
from phenorep.imaging import cellprofiler, illumination, intensity
from phenorep.imaging.agreement import Matches, f1, near, relative_difference
from phenorep.imaging.segmentation import find_nuclei
from phenorep.preprocessing import Preprocess, settings


def stage(fields: str | Path, functions: str | Path, preprocess: dict, threads: int, output: str | Path) -> None:
    """Lay out some fields of a plate for CellProfiler: their mean images, and the fields themselves.

    Parameters
    ----------
    fields, functions
        The plate's fields table and illumination functions.
    preprocess
        The configuration's block, as `preprocessing.stage` gives it, with `check`, the number of fields.
    threads
        Number of processes.
    output
        The folder to lay it out in.
    """
    chosen = settings(preprocess)
    output = cellprofiler.emptied(output)
    table, rows = _some(fields, chosen)
    cellprofiler.stage_means(illumination.averages(table, fields, chosen, threads), chosen, output)
    cellprofiler.stage_fields(rows, contracts.about(fields), functions, chosen, threads, output)


def compare(inputs, preprocess: dict, threads: int, output: str | Path) -> None:
    """Write how the engines differ on the fields that were laid out.

    Parameters
    ----------
    inputs
        Paths, as attributes: the plate's `fields` and `illumination`, and the folders `staged` and `found`.
    preprocess
        As `stage` got it.
    threads
        Number of processes.
    output
        A table with a row per channel (`Compared` is "illumination": `Difference`, the largest relative difference of the
        functions, the fields' mean smoothed by each engine) and a row per field ("nuclei": their number by engine, `F1` at
        an intersection over union of 0.7, `Near`, the share of matched centres within 1 pixel, `Equal`, whether all pixels
        have the same label).
    """
    chosen = settings(preprocess)
    table, rows = _some(inputs.fields, chosen)
    means = illumination.averages(table, inputs.fields, chosen, threads)
    theirs, _ = cellprofiler.smoothed(inputs.staged, inputs.found)
    found = []
    for channel, mean in means.images.items():
        ours = illumination.estimate(mean, chosen.illumination_settings)
        found.append(
            {"Compared": "illumination", "Channel": channel, "Difference": relative_difference(ours, theirs[channel])}
        )
    channels = list(means.images)
    functions = illumination.load(inputs.illumination, channels)
    results = cellprofiler.Found(inputs.staged, inputs.found)
    about = contracts.about(inputs.fields)
    shared = (channels, functions, chosen, about.get("intensity_max"), results)
    for row, compared in zip(rows, parallel.in_order(_nuclei, rows, threads, shared), strict=True):
        if compared is not None:
            found.append({name: row[name] for name in contracts.FIELD} | {"Compared": "nuclei"} | compared)
    contracts.write_table(pd.DataFrame(found), output, "details", {"engine": results.engine, "fields": len(rows)})


def _some(fields: str | Path, chosen: Preprocess) -> tuple[pd.DataFrame, list[dict]]:
    """Fields to compare, spread evenly over the plate: as a table and as rows."""
    table = contracts.read_table(fields, "fields")
    rows = illumination.usable(table, fields)
    picked = np.unique(np.linspace(0, len(rows) - 1, min(chosen.check, len(rows))).round().astype(int))
    rows = [rows[index] for index in picked]
    return table.iloc[[row["Field"] for row in rows]].reset_index(drop=True), rows


def _nuclei(channels, functions, chosen, intensity_max, results, row) -> dict | None:
    """Native and CellProfiler's nuclei of one field; None where it cannot be read."""
    field = illumination.read_or_problem(row, channels, chosen.on_bad_image)
    if isinstance(field, str) or row["Field"] in results.problems:
        return None
    index = channels.index(chosen.nuclei_settings.nuclear(channels))
    share = intensity.share_of_range(intensity_max, int(row["BitDepth"]))
    native = find_nuclei(intensity.scaled(field[index], functions[index]), chosen.nuclei_settings, share)
    labels = results.labels(row["Field"], native.shape)
    if labels is None:  # a user's own pipeline that saves no label images
        return {"Native": int(native.max()), "CellProfiler": len(results.table(row["Field"]))}
    matches = Matches.of(native, labels)
    counts = dict(zip(("Native", "CellProfiler"), matches.counts, strict=True))
    return counts | {"F1": f1([matches]), "Near": near([matches]), "Equal": bool(np.array_equal(native, labels))}
