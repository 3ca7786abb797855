"""Which engine preprocessed the images, and how far the other one agrees."""

import pandas as pd

from phenorep import contracts
from phenorep.report import tables


def used(files: dict) -> str:
    """Engines that found the nuclei of a run, with their versions."""
    paths = [entry["path"] for entry in files.get("quality", []) if tables.not_run(entry["path"]) is None]
    found = {contracts.about(path).get("engine") for path in paths}
    return ", ".join(sorted(filter(None, found))) or "none"


def compared(files: dict) -> list[dict]:
    """How both engines agree on some fields of each plate: one entry per plate, for ``preprocess: check``."""
    found = []
    for entry in files.get("engines", []):
        table = tables.read(entry["path"], "details")
        if table is None:  # listed among what is missing
            continue
        nuclei = table[table["Compared"] == "nuclei"]
        smoothed = table[table["Compared"] == "illumination"]
        found.append(
            {
                **entry,
                "other": contracts.about(entry["path"])["engine"],
                "fields": len(nuclei),
                "native": int(nuclei["Native"].sum()),
                "cellprofiler": int(nuclei["CellProfiler"].sum()),
                "equal": _mean(nuclei, "Equal"),
                "f1": _mean(nuclei, "F1"),
                "near": _mean(nuclei, "Near"),
                "difference": smoothed["Difference"].max() if len(smoothed) else None,
            }
        )
    return found


def _mean(table: pd.DataFrame, column: str) -> float | None:
    """Mean of a column over fields; None where a pipeline of the user's own left no label images."""
    return float(table[column].astype(float).mean()) if column in table and table[column].notna().any() else None
