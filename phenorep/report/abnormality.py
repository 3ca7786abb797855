"""How abnormal each image is: read plate by plate, and summed up by field, by plate and in the few that are shown."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from phenorep import contracts
from phenorep.errors import UserError
from phenorep.report import drawing, tables

PLATES_SHOWN = 12
FIELDS_SHOWN = 12
BINS = 20  # of the histogram
LIKELY = 0.5  # from here on an image is counted as abnormal
# Rows of the gallery: what stands in one, and how many images.
GALLERY = {"most abnormal": 16, "nearest to 0.5": 8, "most normal": 8}
FIELD = list(contracts.FIELD)
WHERE = ("dataset", "samples", "method", "seed")


@dataclass
class Found:
    """What a file of abnormalities says.

    ``fields``: one row per field, `FIELD` with ``samples``, ``mean`` (mean probability: the share that is expected to be
    abnormal) and ``likely`` (images at `LIKELY` or more). ``histogram``: ``low, high, samples``. ``shown``: the images of
    the gallery, at most one per field and row, with ``group``. ``about``: how the classifier was trained.
    """

    entry: dict
    about: dict
    fields: pd.DataFrame
    histogram: pd.DataFrame
    shown: pd.DataFrame = field(repr=False)

    @property
    def name(self) -> str:
        """What its files are called."""
        return "_".join(str(self.entry[key]) for key in WHERE)

    @property
    def title(self) -> str:
        """What it is called on the page."""
        return f"{self.entry['dataset']}, {self.entry['samples']}: {self.entry['method']}, seed {self.entry['seed']}"

    def plates(self) -> pd.DataFrame:
        """``plate, fields, samples, likely, share`` (of the images, likely abnormal) and ``mean``; worst plate first."""
        groups = self.fields.groupby("Metadata_Plate", sort=False)
        total = self.fields.assign(sum=self.fields["mean"] * self.fields["samples"]).groupby("Metadata_Plate", sort=False)
        table = groups[["samples", "likely"]].sum().assign(fields=groups.size(), sum=total["sum"].sum())
        table = table.assign(share=table["likely"] / table["samples"], mean=table["sum"] / table["samples"])
        table = table.rename_axis("plate").reset_index().sort_values(["mean", "plate"], ascending=[False, True])
        return table[["plate", "fields", "samples", "likely", "share", "mean"]].reset_index(drop=True)

    def worst_fields(self) -> pd.DataFrame:
        """Fields with the highest mean, `FIELDS_SHOWN` of them."""
        return self.fields.sort_values(["mean", *FIELD], ascending=[False, True, True, True]).head(FIELDS_SHOWN)


def read(entry: dict) -> Found:
    """Sum up a file, one plate in memory at a time.

    Raises
    ------
    UserError
        If the file is damaged or lacks a column.
    """
    path, parts, counts, shown = entry["path"], [], np.zeros(BINS, dtype=np.int64), dict.fromkeys(GALLERY, pd.DataFrame())
    edges = np.linspace(0, 1, BINS + 1)
    for table in _plates(path):
        values = table["abnormality"].to_numpy(dtype=float)
        counts += np.histogram(np.clip(values, 0, 1), edges)[0]
        groups = table.assign(likely=values >= LIKELY).groupby(FIELD, sort=False)
        sums = groups.agg(samples=("abnormality", "size"), total=("abnormality", "sum"), likely=("likely", "sum"))
        parts.append(sums.reset_index())
        for group in GALLERY:
            shown[group] = _foremost(pd.concat([shown[group], _foremost(table, group)]), group)
    fields = pd.concat(parts).groupby(FIELD, sort=False, as_index=False).sum() if parts else pd.DataFrame()
    if not len(fields):
        raise UserError(f"{path}: no image has an abnormality. Remove the file and run again.")
    fields = fields.assign(mean=fields["total"] / fields["samples"]).drop(columns="total")
    histogram = pd.DataFrame({"low": edges[:-1], "high": edges[1:], "samples": counts})
    pictures = pd.concat([part.assign(group=group) for group, part in shown.items()], ignore_index=True)
    return Found(entry, contracts.about(path), fields, histogram, pictures)


def _plates(path: str | Path) -> Iterator[pd.DataFrame]:
    """The file's rows, one row group at a time."""
    try:
        contracts.check_table(contracts.columns_of(path), "abnormality", path)
        file = contracts.open_table(path)
        wanted = [*FIELD, "Sample", "abnormality", "Label_Quality"]
        columns = [name for name in wanted if name in file.schema_arrow.names]
        for number in range(file.num_row_groups):
            table = file.read_row_group(number, columns).to_pandas()
            yield table.astype(dict.fromkeys(FIELD, str)) if len(table) else table
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{path}: cannot be read as a table ({error}). Remove the file and run again.") from error


def _foremost(table: pd.DataFrame, group: str) -> pd.DataFrame:
    """The first images of a row of the gallery, one per field; equal ones in the order of the file."""
    keys = {"most abnormal": -table["abnormality"], "most normal": table["abnormality"]}
    order = keys.get(group, (table["abnormality"] - 0.5).abs()).to_numpy().argsort(kind="stable")
    return table.iloc[order].drop_duplicates(FIELD).head(GALLERY[group])


def usable(plan: dict) -> list[dict]:
    """Entries whose file is there and ran; the others are listed among what did not run."""
    return [entry for entry in plan["files"].get("abnormality", []) if tables.not_run(entry["path"]) is None]


def training(found: Found) -> dict:
    """How the classifier was trained, for a row of the page's table."""
    about, counts = found.about, found.about.get("counts") or {}
    kept = {key: about.get(key) for key in ("classifier", "auc", "accuracy", "brier", "prevalence")}
    texts = {key: str(about.get(key) or "–") for key in ("labels_from", "prevalence_how")}
    if texts["labels_from"].endswith(".parquet"):  # embeddings carry the labels that a dataset has
        texts["labels_from"] = f"the data set ({texts['labels_from']})"
    numbers = {key: counts.get(key, 0) for key in ("normal", "abnormal")}
    return {key: found.entry[key] for key in WHERE} | kept | texts | numbers


def summarise(found: Found, folder: Path) -> dict:
    """What the page's tables show, and the CSV behind them: ``title, training, plates, plate_count, fields, file``."""
    plates = found.plates()
    name = f"abnormal_plates_{drawing.safe(found.name)}.csv"
    contracts.write_csv(plates, folder / name)
    return {
        "title": found.title,
        "training": training(found),
        "samples": int(plates["samples"].sum()),
        "likely": int(plates["likely"].sum()),
        "mean": float((plates["mean"] * plates["samples"]).sum() / plates["samples"].sum()),
        "plates": plates.head(PLATES_SHOWN).to_dict("records"),
        "plate_count": len(plates),
        "fields": found.worst_fields().to_dict("records"),
        "field_count": len(found.fields),
        "file": name,
    }
