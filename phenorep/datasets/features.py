"""Features that were computed elsewhere: by CellProfiler, DeepProfiler, a foundation model.

The table (CSV, also compressed, or parquet) has a row per well, per field of view or per cell: which of them, its identity
columns ``Metadata_Plate``, ``Metadata_Well`` and, if there is one, ``Metadata_Site`` say. Other ``Metadata_*`` columns carry
the experiment, ``Label_*`` and ``Split_*`` are targets and splits (a prefix ``Image_`` is taken off these). Columns of other
names are brought in by `rename`. **Every other column of numbers is a feature**, and a column of lists of numbers (parquet)
is as many features as its lists are long. Bookkeeping, which the column's name tells (`phenorep.bookkeeping`), is left out.
What else is none is to be renamed: ``rename: {passage: Metadata_Passage}``. Smallest table::

    Metadata_Plate,Metadata_Well,Metadata_Compound,Metadata_MoA,Cells_Area,Cells_Texture
    P1,B02,taxol,Microtubule stabilizers,812.5,0.31

There are no images, so nothing is planned that needs them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from phenorep import bookkeeping, experiment, feature_values, headers, loaddata, overlooked
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
    # "measurements": all columns of numbers but bookkeeping, such as numbers of objects, places in the field, run times:
    # noise with a number of the image group among it passed for a representation that finds mechanisms. "all": these too,
    # since some are biology in some studies, such as the count of children.
    features: str = "measurements"

    def __post_init__(self):
        super().__post_init__()
        if self.features not in ("measurements", "all"):
            raise ValueError(f"features must be 'measurements' or 'all', not '{self.features}'")


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
    tables = {"table": config.table, "plate_map": config.plate_map}
    loaddata.check_renamed(tables, config.rename)
    overlooked.tell(tables, config)
    wanted = [new for name, new in ours.items() if new.startswith(CARRIED) or new in config.asked()]
    table = experiment.read(config, "table", only=[*wanted, "Metadata_Plate", "Metadata_Well"])
    loaddata.normalise_wells(table, config.table)
    rows = len(table)
    table = experiment.describe(config, table, config.table, list(dict.fromkeys(table["Metadata_Plate"])))
    if len(table) > rows:
        print(f"{config.plate_map} names {len(table) - rows} wells that {config.table} does not have")
    table = table.iloc[:rows].reset_index(drop=True)
    return table[[name for name in table if name.startswith(CARRIED)]].copy()


def check(config: Config) -> None:
    """Read all tables once, raise what is wrong with them and say what is read in which way."""
    metadata(config)
    columns(config)


def columns(config: Config) -> tuple[feature_values.Columns, list[str]]:
    """The columns that are features and what others hold, and the names of those that are left out as bookkeeping.

    Raises
    ------
    UserError
        If a column holds what was surely meant as features and cannot be read as such.
    """
    renamed = set(map(str, config.rename or {}))
    ours = loaddata.columns(config.table, "table", config.rename)
    ours = {name: new for name, new in ours.items() if not renamed & headers.forms(name)}
    rest = [name for name, new in ours.items() if not new.startswith(CARRIED)]
    all_columns = feature_values.columns(config.table, rest)
    telling = [] if config.features == "all" else [name for name in rest if bookkeeping.is_bookkeeping(name)]
    for name, kind in all_columns.others.items():
        if kind.refused and name not in telling:
            raise UserError(
                f"{config.table}: column '{name}' holds {kind.word}, which cannot be read as features. {kind.remedy} If it "
                f"is none, name it in 'datasets: rename:', like {{{name}: Metadata_{name}}}."
            )
    left_out = [name for name in telling if name in all_columns.lengths]
    return all_columns.without(left_out), left_out


def values(config: Config, chosen: feature_values.Columns) -> Iterator[np.ndarray]:
    """These features of all rows in the table's order, piece by piece: each (n, F), NaN where a cell is empty."""
    return feature_values.values(config.table, chosen)
