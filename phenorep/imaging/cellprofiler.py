"""CellProfiler as an engine: what it gets to work on, and what is taken from what it leaves.

CellProfiler [0] gets arrays of the integers that our readers found, which it divides by the largest value of their type:
its own readers scale images of 12 and 14 bits in different ways [1], and take grey palettes for colour. Each chunk of fields
has a folder with its images, a LoadData table and a pipeline with the configuration's settings; `cellprofiler_run` runs it.

[0] Stirling et al. 2021, CellProfiler 4, doi:10.1186/s12859-021-04344-9
[1] https://github.com/CellProfiler/CellProfiler/issues/4470
"""

import csv
import hashlib
import json
import math
import shutil
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import contracts, parallel
from phenorep.errors import UserError
from phenorep.imaging import illumination, intensity, pipelines, segmentation
from phenorep.imaging.cellprofiler_run import CONTENTS, PIPELINE, TABLE
from phenorep.preprocessing import Preprocess, settings

# What a pipeline must export of each nucleus; with label images it is measured on these.
REQUIRED = ("ImageNumber", "ObjectNumber", "Location_Center_X", "Location_Center_Y", "AreaShape_Area")
_MEANS, _FIELDS = "means.json", "fields.json"  # what was laid out, and what was left out


# -- illumination functions --------------------------------------------------------------------------------------------


def stage_illumination(fields: str | Path, preprocess: dict, threads: int, output: str | Path) -> None:
    """Lay out the mean images of a plate, one image set per channel, for CorrectIlluminationCalculate.

    The mean over the plate's fields is summed up by us, in integers: CellProfiler ("All") may smooth again at every field.

    Parameters
    ----------
    fields
        The plate's fields table.
    preprocess
        The configuration's block, as `preprocessing.stage` gives it.
    threads
        Number of processes.
    output
        The folder to lay it out in.
    """
    chosen = settings(preprocess)
    means = illumination.averages(contracts.read_table(fields, "fields"), fields, chosen, threads)
    stage_means(means, chosen, emptied(output))


def stage_means(means: illumination.Means, chosen: Preprocess, output: Path) -> None:
    """Lay out mean images in a folder that is there."""
    smoothing = chosen.illumination_settings.smoothing
    # A channel that is black everywhere has nothing to correct; without smoothing there is nothing to compute.
    shown = [name for name, mean in means.images.items() if mean.any() and smoothing != "none"]
    facts = {"fields": means.count, "smoothed": shown, "channels": list(means.images), "shape": list(means.shape)}
    contracts.write_json(facts, output / _MEANS)
    if shown:
        chunk = output / "means"
        digests = [_save(chunk / f"{name}.npy", means.images[name]) for name in shown]
        lines = [{"Metadata_Channel": name, "FileName_Mean": f"{name}.npy"} for name in shown]
        _finish_chunk(chunk, pipelines.illumination(chosen.illumination_settings, means.shape), lines, digests)


def collect_illumination(staged: str | Path, found: str | Path, preprocess: dict, output: str | Path) -> None:
    """Write the illumination functions of a plate, as `imaging.illumination.make` does, from what CellProfiler saved."""
    functions, fields = smoothed(staged, found)
    illumination.write(functions, fields, settings(preprocess), version(found), output)


def smoothed(staged: str | Path, found: str | Path) -> tuple[dict[str, np.ndarray], int]:
    """The functions (H, W) float32 that CellProfiler made, by channel, and the number of fields behind them."""
    facts = json.loads((Path(staged) / _MEANS).read_text())
    functions = {name: np.ones(facts["shape"], np.float32) for name in facts["channels"]}
    for name in facts["smoothed"]:
        functions[name] = np.load(Path(found) / "means" / "found" / f"{name}.npy").astype(np.float32)
    return functions, facts["fields"]


# -- nuclei ------------------------------------------------------------------------------------------------------------


def stage_nuclei(fields: str | Path, functions: str | Path, preprocess: dict, threads: int, output: str | Path) -> None:
    """Lay out the fields of a plate in chunks, for IdentifyPrimaryObjects or the user's own pipeline.

    Parameters
    ----------
    fields, functions
        The plate's fields table and illumination functions.
    preprocess
        The configuration's block, as `preprocessing.stage` gives it; `pipeline` in it is a user's own, ours is filled in.
    threads
        Number of processes.
    output
        The folder to lay it out in.
    """
    table = contracts.read_table(fields, "fields")
    rows = illumination.usable(table, fields)
    stage_fields(rows, contracts.about(fields), functions, settings(preprocess), threads, emptied(output))


def stage_fields(
    rows: list[dict], about: dict, functions: str | Path, chosen: Preprocess, threads: int, output: Path
) -> None:
    """Lay out some fields of a plate, given as rows of its fields table, in a folder that is there.

    Fields that show nothing at all (`segmentation.has_contrast`) are left out: CellProfiler would cut their noise in two.
    """
    channels = contracts.channels_of(rows[0])
    nuclear = chosen.nuclei_settings.nuclear(channels)
    share = intensity.share_of_range(about.get("intensity_max"), int(rows[0]["BitDepth"]))
    loaded = dict(zip(channels, illumination.load(functions, channels), strict=True))
    # Our pipeline knows the nuclear channel as DNA, a user's all channels by their names.
    named = {name: name for name in channels} if chosen.pipeline else {nuclear: "DNA"}
    if chosen.pipeline:
        pipeline = Path(chosen.pipeline).read_text()
    else:
        pipeline = pipelines.nuclei(chosen.nuclei_settings, share)

    size = math.ceil(len(rows) / math.ceil(len(rows) / chosen.chunk))  # chunks of even size keep all cores busy to the end
    items = [(row, output / f"fields_{index // size:04d}") for index, row in enumerate(rows)]
    shared = (channels, nuclear, loaded, chosen, share, tuple(named))
    facts: dict = {"empty": [], "problems": {}, "pipeline": chosen.pipeline}
    chunks: dict[Path, list[tuple[dict, str]]] = {}
    for (row, chunk), (digest, problem) in zip(items, parallel.in_order(_save_field, items, threads, shared), strict=True):
        field = row["Field"]
        if problem:
            facts["problems"][field] = problem
        elif digest is None:
            facts["empty"].append(field)
        else:
            line = {name: value for name, value in row.items() if name in contracts.FIELD} | {"Metadata_Field": field}
            line |= {f"FileName_{new}": f"{field}_{old}.npy" for old, new in named.items()}
            line |= {f"FileName_Illum{new}": f"Illum{new}.npy" for new in named.values()}
            chunks.setdefault(chunk, []).append((line, digest))
    for chunk, lines in chunks.items():
        digests = [_save(chunk / f"Illum{new}.npy", loaded[old]) for old, new in named.items()]
        _finish_chunk(chunk, pipeline, [line for line, _ in lines], [*digests, *(digest for _, digest in lines)])
    contracts.write_json(facts, output / _FIELDS)


class Found:
    """What CellProfiler left of a plate's nuclei.

    Parameters
    ----------
    staged, found
        The folder that `stage_nuclei` laid out, and the one of the results.

    Attributes
    ----------
    problems
        {field: reason} of fields whose images could not be read.
    engine
        CellProfiler's name and version.
    """

    def __init__(self, staged: str | Path, found: str | Path):
        facts = json.loads((Path(staged) / _FIELDS).read_text())
        self.problems = {int(field): reason for field, reason in facts["problems"].items()}
        self.engine = version(found)
        self._pipeline = facts["pipeline"] or str(pipelines.FOLDER / "nuclei.cppipe")
        self._empty = set(facts["empty"])
        self._folders: dict[int, tuple[Path, int]] = {}
        for chunk in sorted(Path(found).glob("fields_*")):
            folder = chunk / "found"
            images = _read_csv(folder / "Image.csv", ("ImageNumber", "Metadata_Field"), self._pipeline)
            for number, field in zip(images["ImageNumber"], images["Metadata_Field"], strict=True):
                self._folders[int(field)] = (folder, int(number))

    def labels(self, field: int, shape: tuple[int, int]) -> np.ndarray | None:
        """Labels (H, W) int32 of a field's nuclei; None where the pipeline saved no label images.

        Raises
        ------
        UserError
            If the labels do not fit the field or the exported table.
        """
        if field in self._empty:
            return np.zeros(shape, np.int32)
        folder, _ = self._folder(field)
        path = next((path for path in (folder / f"{field}.npy", *folder.glob(f"{field}.tif*")) if path.is_file()), None)
        if path is None:
            return None
        try:
            labels = np.load(path) if path.suffix == ".npy" else _read_labels(path)
        except Exception as error:  # damaged files make the decoders raise nearly anything
            raise UserError(f"{path}: cannot be read as a label image ({error}). Run CellProfiler again.") from error
        count = len(self.table(field))
        if labels.shape != tuple(shape) or labels.max() != count:
            raise UserError(
                f"{self._pipeline}: the label image {path.name} is {labels.shape} with {labels.max():g} objects; the field "
                f"is {tuple(shape)} and Nuclei.csv has {count}. Save the objects 'Nuclei' as uint16 labels, not scaled."
            )
        return labels.astype(np.int32)

    def table(self, field: int) -> pd.DataFrame:
        """One row per nucleus of a field, as the pipeline exported it, with our columns for place and number first."""
        if field in self._empty:
            return pd.DataFrame(columns=["Nucleus", *REQUIRED[2:]])
        folder, number = self._folder(field)
        nuclei = _read_csv(folder / "Nuclei.csv", REQUIRED[:4], self._pipeline)
        nuclei = nuclei[nuclei["ImageNumber"] == number].rename(columns={"ObjectNumber": "Nucleus"})
        # Names of plates and files may stand beside the measurements: the fields table has them.
        return nuclei.drop(columns="ImageNumber").select_dtypes("number").reset_index(drop=True)

    def _folder(self, field: int) -> tuple[Path, int]:
        if field not in self._folders:
            raise UserError(
                f"{self._pipeline}: Image.csv has no row whose Metadata_Field is {field}. The pipeline must read all rows "
                "of its LoadData table and export the image table with their metadata."
            )
        return self._folders[field]


def version(found: str | Path) -> str:
    """Name and version of what left these results, as they state it."""
    for path in sorted(Path(found).glob("*/found/Experiment.csv")):
        with open(path, newline="", encoding="utf-8", errors="replace") as file:
            for line in csv.reader(file):
                if line[:1] == ["CellProfiler_Version"]:
                    return f"CellProfiler {line[1]}"
    return "CellProfiler"


@lru_cache(maxsize=4)
def _read_csv(path: Path, needed: tuple[str, ...], pipeline: str) -> pd.DataFrame:
    """A table that a pipeline exported."""
    remedy = f"Add a module ExportToSpreadsheet to {pipeline}, without prefix, that exports all measurements of 'Nuclei'."
    if not path.is_file():
        raise UserError(f"{path}: CellProfiler exported no such table. {remedy}")
    table = pd.read_csv(path)
    missing = [name for name in needed if name not in table]
    if missing:
        raise UserError(f"{path}: the table lacks the column(s) {', '.join(missing)}. {remedy}")
    return table


def _read_labels(path: Path) -> np.ndarray:
    import tifffile

    return tifffile.imread(path)


def _save_field(channels, nuclear, functions, chosen: Preprocess, share, saved, item) -> tuple[str | None, str]:
    """Save the channels of a field as they are read: their digest, None if the field shows nothing; or a problem."""
    row, chunk = item
    field = illumination.read_or_problem(row, channels, chosen.on_bad_image)
    if isinstance(field, str):
        return None, field
    raw = dict(zip(channels, field, strict=True))
    if not segmentation.has_contrast(intensity.scaled(raw[nuclear], functions[nuclear]), chosen.nuclei_settings, share):
        return None, ""
    return "".join(_save(chunk / f"{row['Field']}_{name}.npy", raw[name]) for name in saved), ""


def _save(path: Path, array: np.ndarray) -> str:
    """Save an array; returns the digest of its content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


def _finish_chunk(chunk: Path, pipeline: str, lines: list[dict], digests: list[str]) -> None:
    """Write a chunk's pipeline and LoadData table, and the digests by which a result is known to be of these images."""
    (chunk / PIPELINE).write_text(pipeline)
    with open(chunk / TABLE, "w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    (chunk / CONTENTS).write_text("\n".join(digests))


def emptied(folder: str | Path) -> Path:
    """The folder, made anew."""
    folder = Path(folder)
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder
