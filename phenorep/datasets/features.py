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

from phenorep import experiment, headers, loaddata, overlooked
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
    names = loaddata.read(config.table, "table", config.rename, only="Metadata_Plate")["Metadata_Plate"]
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
    tables = {"table": config.table, "plate_map": config.plate_map}
    loaddata.check_renamed(tables, config.rename)
    overlooked.tell(tables, config)
    rules = (config.negative_control, config.positive_control)
    asked = {column for rule in rules for column in rule or {}} | {(config.batch_from or {}).get("column")}
    wanted = [new for name, new in ours.items() if new.startswith(CARRIED) or new in asked]
    table = loaddata.read(config.table, "table", config.rename, only=[*wanted, "Metadata_Plate", "Metadata_Well"])
    loaddata.normalise_wells(table, config.table)
    rows = len(table)
    table = experiment.describe(config, table, config.table, list(dict.fromkeys(table["Metadata_Plate"])))
    if len(table) > rows:
        print(f"{config.plate_map} names {len(table) - rows} wells that {config.table} does not have")
    table = experiment.with_numbers(table.iloc[:rows].reset_index(drop=True), config.table)
    return table[[name for name in table if name.startswith(CARRIED)]].copy()


def check(config: Config) -> None:
    """Read all tables once, raise what is wrong with them and say what is read in which way."""
    metadata(config)
    feature_names(config)


def feature_names(config: Config) -> tuple[list[str], list[str]]:
    """The columns that are features, and the others that are no metadata: they hold text."""
    renamed = set(map(str, config.rename or {}))
    ours = loaddata.columns(config.table, "table", config.rename)
    ours = {name: new for name, new in ours.items() if not renamed & headers.forms(name)}
    rest = [name for name, new in ours.items() if not new.startswith(CARRIED)]
    numeric = set(loaddata.numeric(config.table, rest))
    return [name for name in rest if name in numeric], [name for name in rest if name not in numeric]


def values(config: Config, names: list[str]) -> Iterator[np.ndarray]:
    """The features `names` of all rows in the table's order, piece by piece: each (n, F), NaN where a cell is empty."""
    return loaddata.numbers(config.table, names)
