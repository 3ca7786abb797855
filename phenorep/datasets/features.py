"""Features that were computed elsewhere: by CellProfiler, DeepProfiler, a foundation model.

The table (CSV, also compressed, or parquet) has a row per well, per field of view or per cell: which of them, its identity
columns ``Metadata_Plate``, ``Metadata_Well`` and, if there is one, ``Metadata_Site`` say. Other ``Metadata_*`` columns carry
the experiment, ``Label_*`` and ``Split_*`` are targets and splits (a prefix ``Image_`` is taken off these). Columns of other
names are brought in by `rename`. **Every other column that is numeric is a feature.** So rename what is none:
``rename: {ObjectNumber: Metadata_ObjectNumber}``. Smallest table::

    Metadata_Plate,Metadata_Well,Metadata_Compound,Metadata_MoA,Cells_Area,Cells_Texture
    P1,B02,taxol,Microtubule stabilizers,812.5,0.31

There are no images, so nothing is planned that needs them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from phenorep import experiment, loaddata, plugins
from phenorep.errors import UserError
from phenorep.experiment import Experiment
from phenorep.order import natural
from phenorep.platemap import CARRIED

FEATURES = True  # rows are features, there are no images


@dataclass(frozen=True, kw_only=True)
class Config(Experiment):
    """Where the table lies and how its columns are to be understood."""

    table: str  # CSV (.csv, .csv.gz, .tsv, ...) or parquet; a row per well, field of view or cell
    source: str = ""  # what computed the features, e.g. "CellProfiler 4.2.8", for the report


def plates(config: Config) -> list[str]:
    """Names of the plates, sorted, whatever the table's order; reads that one column."""
    names = experiment.read(config, "table", only="Metadata_Plate")["Metadata_Plate"]
    return sorted(set(names), key=natural)


def about(config: Config) -> dict:
    """Facts about the whole dataset."""
    return {
        "channels": [],
        "pixel_size_um": None,
        "citation": config.source or None,
        "licence": None,
        "simulated": False,
        "features": True,
    }


def archives(config: Config, plate: str | None = None) -> list[str]:  # noqa: ARG001
    """No download: the table is read where it lies."""
    return []


def sources(config: Config) -> list[str]:
    """The tables that are read."""
    return [path for path in (config.table, config.plate_map) if path]


def metadata(config: Config) -> pd.DataFrame:
    """What each row is of, in the table's order.

    Returns
    -------
    DataFrame
        (N rows) `Metadata_Plate`, `Metadata_Well` in one form (A01), `Metadata_Site` if the table has it, and all other
        ``Metadata_*``, ``Label_*`` and ``Split_*``, also of the plate map; `Metadata_Batch` and `Metadata_Control`.

    Raises
    ------
    UserError
        If table, plate map and keys do not fit together; the message says where.
    """
    ours = loaddata.columns(config.table, "table", config.rename)
    _check_renamed(config, ours)
    wanted = [new for name, new in ours.items() if new.startswith(CARRIED) or new in config.asked()]
    table = experiment.read(config, "table", only=[*wanted, "Metadata_Plate", "Metadata_Well"])
    for column in ("Metadata_Plate", "Metadata_Well"):
        if (table[column] == "").any():
            row = int(np.argmax(table[column] == ""))
            raise UserError(f"{config.table}: row {row + 1} has no {column}. Fill it in, or take the row out.")
    loaddata.normalise_wells(table, config.table)
    rows = len(table)
    table = experiment.describe(config, table, config.table, list(dict.fromkeys(table["Metadata_Plate"])))
    if len(table) > rows:
        print(f"{config.plate_map} names {len(table) - rows} wells that {config.table} does not have")
    table = table.iloc[:rows].reset_index(drop=True)
    return table[[name for name in table if name.startswith(CARRIED)]].copy()


def feature_names(config: Config) -> tuple[list[str], list[str]]:
    """The columns that are features, and the others that are no metadata: they hold text."""
    renamed = set(config.rename or {})
    ours = loaddata.columns(config.table, "table", config.rename)
    rest = [name for name, new in ours.items() if name not in renamed and not new.startswith(CARRIED)]
    numeric = set(loaddata.numeric(config.table, rest))
    return [name for name in rest if name in numeric], [name for name in rest if name not in numeric]


def values(config: Config, names: list[str]) -> Iterator[np.ndarray]:
    """The features `names` of all rows in the table's order, piece by piece: each (n, F), NaN where a cell is empty."""
    return loaddata.numbers(config.table, names)


def _check_renamed(config: Config, ours: dict[str, str]) -> None:
    known = set(ours)
    if config.plate_map:
        known |= set(loaddata.columns(config.plate_map, "plate_map", config.rename))
    for name in config.rename or {}:
        if name not in known:
            hint = plugins.suggest(name, known)
            raise UserError(f"datasets: rename: there is no column '{name}' in {config.table}. {hint}")
