"""What is known of each well of a plate: contents, counts, what was left out, quality, brightness and abnormality."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import contracts
from phenorep.errors import UserError
from phenorep.report import plates_drawing as draw
from phenorep.report import tables
from phenorep.report.maps import as_text
from phenorep.treatments import treatments

WELL, SITE = "Metadata_Well", "Metadata_Site"
# What a well holds, as the table of wells names it.
CONTENT = {
    "Metadata_Control": "control",
    "Metadata_Compound": "compound",
    "Metadata_Perturbation": "perturbation",
    "Metadata_Concentration": "concentration",
    "Metadata_Dose": "dose",
    "Metadata_MoA": "mechanism",
    "Metadata_CellLine": "cell line",
}
SETS_SHOWN = 3  # sample sets of a data set whose samples are counted
# Samples of a well, at most, whose pixels are averaged, and the pixels of all of them: a plate is read in about a second.
MEASURED = 8
MEASURED_PIXELS = 60_000_000
QUALITY = {
    "Focus": "focus compares detail of 2 to 4 pixels with that of 4 to 8: about -0.5 if sharp, -1 if not, above 0 for noise",
    "Saturation": "saturation is the share of pixels at the camera's largest value",
    "Background": "background is the intensity between the cells, the 5 % quantile of a raw image's pixels",
}


FAR = 5  # robust standard deviations from the plate's median, beyond which a field stands out
FIELDS_SHOWN = 12
# What it means that a field's measure is far below or above that of the plate's others.
STANDS_OUT = {
    ("Focus", "low"): "low focus",
    ("Saturation", "high"): "saturated",
    ("Background", "low"): "dark background",
    ("Background", "high"): "bright background",
}


@dataclass
class Plate:
    """What the files of a plate say.

    ``wells``: one row per well, indexed by its name, with the columns of `CONTENT` that are known, ``treatment``,
    ``fields``, ``left_out`` and what was measured. ``columns``: of these measured ones, by kind (counts, quality, intensity,
    abnormal): {column: what it is called}. ``left_out``: ``well, site, problem``. ``outliers``: see `outliers`. ``samples``:
    path of each sample set.
    """

    dataset: str
    name: str
    wells: pd.DataFrame
    columns: dict[str, dict[str, str]]
    left_out: pd.DataFrame
    outliers: pd.DataFrame
    samples: dict[str, str] = field(default_factory=dict)
    illumination: str | None = None


def files_of(plan: dict) -> dict[str, dict[str, dict]]:
    """Files by data set and plate: paths of ``fields``, ``quality``, ``illumination``; ``samples``: a path for each set."""
    found: dict[str, dict[str, dict]] = {}
    for kind in ("fields", "quality", "illumination"):
        for entry in plan["files"].get(kind, []):
            own = found.setdefault(entry["dataset"], {}).setdefault(str(entry["plate"]), {"samples": {}})
            own[kind] = entry["path"]
    for entry in plan["files"].get("samples", []):
        if own := found.get(entry["dataset"], {}).get(str(entry["plate"])):
            own["samples"][entry["samples"]] = entry["path"]
    return found


def read(dataset: str, name: str, files: dict, abnormal: dict[str, pd.DataFrame]) -> Plate | None:
    """Sum up a plate's tables; None if its fields cannot be read.

    Parameters
    ----------
    files
        One plate's of `files_of`.
    abnormal
        Fields with ``mean``, ``likely`` and ``samples`` of `abnormality.Found`, by its title.
    """
    fields = tables.read(files["fields"], "fields") if "fields" in files else None
    if fields is None or fields.empty:
        return None
    fields = fields.astype(dict.fromkeys(contracts.FIELD, str))
    quality = tables.read(files["quality"], "field_quality") if "quality" in files else None
    columns: dict[str, dict[str, str]] = {"counts": {}, "quality": {}, "intensity": {}, "abnormal": {}}
    problems = [table[[WELL, SITE, "Problem"]] for table in (fields, quality) if table is not None]
    left_out = pd.concat(problems).fillna("").astype(str)
    left_out = left_out[left_out["Problem"] != ""].drop_duplicates([WELL, SITE], ignore_index=True)
    wells = _contents(fields)
    wells["fields"] = fields.groupby(WELL).size()
    wells["left_out"] = left_out.groupby(WELL).size()
    wells["left_out"] = wells["left_out"].fillna(0).astype(int)
    if quality is not None:
        _quality(wells, quality, columns)
    usable = {samples: path for samples, path in files["samples"].items() if tables.not_run(path) is None}
    for samples, path in list(usable.items())[:SETS_SHOWN]:
        table = tables.read(path, "samples", [WELL])
        wells[f"samples_{samples}"] = table[WELL].astype(str).value_counts() if table is not None else 0
        wells[f"samples_{samples}"] = wells[f"samples_{samples}"].fillna(0).astype(int)
        columns["counts"][f"samples_{samples}"] = f"samples: {samples}"
    for number, (title, table) in enumerate(abnormal.items()):
        own = table[table["Metadata_Plate"] == name]
        sums = own.assign(sum=own["mean"] * own["samples"]).groupby(WELL)[["sum", "samples"]].sum()
        if len(sums):
            wells[f"abnormal_{number}"] = sums["sum"] / sums["samples"]
            columns["abnormal"][f"abnormal_{number}"] = title
    left_out = left_out.rename(columns={WELL: "well", SITE: "site", "Problem": "problem"})
    far = outliers(quality)
    return Plate(dataset, name, wells, columns, left_out, far, usable, files.get("illumination"))


def _contents(fields: pd.DataFrame) -> pd.DataFrame:
    """What each well holds; where fields of a well differ, all that they say."""
    table = fields[[WELL]].copy()
    for column, name in CONTENT.items():
        if column in fields:
            table[name] = fields[column].map(_amount if name in ("concentration", "dose") else as_text)
    try:
        table["treatment"] = treatments(fields).map(as_text)
    except UserError:
        table["treatment"] = ""
    wells = pd.DataFrame(index=pd.Index(sorted(table[WELL].unique()), name=WELL))
    for name in (name for name in table if name != WELL):
        pairs = table[[WELL, name]].drop_duplicates()
        # Joining is slow, and almost never needed.
        values = pairs.groupby(WELL)[name].agg(", ".join) if len(pairs) > len(wells) else pairs.set_index(WELL)[name]
        wells[name] = values
    return wells


def _amount(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float | np.number) and value == value else as_text(value)


def _quality(wells: pd.DataFrame, quality: pd.DataFrame, columns: dict) -> None:
    """Means over the fields of each well; nuclei are summed up."""
    quality = quality.astype({WELL: str})
    groups = quality.groupby(WELL)
    if quality["Count_Nuclei"].notna().any():
        wells["nuclei"] = groups["Count_Nuclei"].sum(min_count=1).astype(float)
        columns["counts"]["nuclei"] = "nuclei found"
    for name in QUALITY:
        for column in (column for column in quality if column.startswith(f"ImageQuality_{name}_")):
            wells[column] = groups[column].mean()
            kind = "intensity" if name == "Background" else "quality"
            columns[kind][column] = f"{name.lower()}, {column.removeprefix(f'ImageQuality_{name}_')}"


def outliers(quality: pd.DataFrame | None) -> pd.DataFrame:
    """Fields whose quality lies far from that of the plate's others: ``well, site, reasons, distance``, the farthest first.

    ``distance`` is in robust standard deviations (1.4826 times the median absolute deviation). A measure that is the same in
    most fields has none, and is passed over.
    """
    rows: dict[int, dict] = {}
    for column in [] if quality is None else [name for name in quality if name.startswith("ImageQuality_")]:
        measure, _, channel = column.removeprefix("ImageQuality_").partition("_")
        middle = quality[column].median()
        spread = 1.4826 * (quality[column] - middle).abs().median()
        if not spread > 0:
            continue
        distances = (quality[column] - middle) / spread
        for index, distance in distances[distances.abs() > FAR].items():
            word = STANDS_OUT.get((measure, "low" if distance < 0 else "high"))
            if word:
                row = rows.setdefault(index, {"reasons": [], "distance": 0.0})
                row["reasons"].append(
                    f"{word}, {channel}: {draw.number(quality.loc[index, column])}, the plate's median {draw.number(middle)}"
                )
                row["distance"] = max(row["distance"], abs(float(distance)))
    found = [
        {"well": quality.loc[index, WELL], "site": quality.loc[index, SITE], **row, "reasons": "; ".join(row["reasons"])}
        for index, row in rows.items()
    ]
    table = pd.DataFrame(found, columns=["well", "site", "reasons", "distance"])
    return table.sort_values("distance", ascending=False, kind="stable", ignore_index=True)


def measure(plate: Plate) -> str:
    """Add each well's mean intensity of its samples, channel by channel; returns the sample set, or nothing.

    At most `MEASURED` samples of a well, evenly over it, are averaged: those of the first set that has an array.
    """
    from phenorep.store import Samples

    for samples, path in plate.samples.items():
        store = Samples.open([path], [str(Path(path).with_suffix(".json"))])
        names = store.table[WELL].astype(str).to_numpy()
        wells = np.unique(names)
        each = min(MEASURED, MEASURED_PIXELS // max(1, len(wells) * int(np.prod(store.size))))
        if not len(wells) or each < 1:
            continue
        means = {}
        for well in wells:
            rows = np.flatnonzero(names == well)
            some = rows[np.unique(np.linspace(0, len(rows) - 1, min(each, len(rows))).astype(int))]
            means[well] = store.read(some).mean(axis=(0, 2, 3))
        table = pd.DataFrame(means, index=[f"intensity_{channel}" for channel in store.channels]).T
        plate.wells[table.columns] = table
        named = {f"intensity_{channel}": f"samples, {channel}" for channel in store.channels}
        plate.columns["intensity"] = named | plate.columns["intensity"]
        return samples
    return ""


def summary(plate: Plate, has_page: bool = True) -> dict:
    """A plate in a row of the table of all plates."""
    wells = plate.wells
    first = next((name for name in plate.columns["counts"] if name.startswith("samples_")), None)
    worst = list(plate.columns["abnormal"])[:1]
    return {
        "dataset": plate.dataset,
        "plate": plate.name,
        "wells": len(wells),
        "fields": int(wells["fields"].sum()),
        "left_out": len(plate.left_out),
        "nuclei": float(wells["nuclei"].sum()) if "nuclei" in wells else None,
        "samples": int(wells[first].sum()) if first else None,
        "empty": int((wells[first] == 0).sum()) if first else None,
        "abnormal": float(wells[worst[0]].mean()) if worst else None,
        "page": has_page,
    }
