"""Features that were computed elsewhere: by CellProfiler, DeepProfiler, a foundation model.

The table (CSV, also compressed, or parquet) has a row per well, per field of view or per cell: which of them, its identity
columns ``Metadata_Plate``, ``Metadata_Well`` and, if there is one, ``Metadata_Site`` say. Other ``Metadata_*`` columns carry
the experiment, ``Label_*`` and ``Split_*`` are targets and splits (a prefix ``Image_`` is taken off these). Columns of other
names are brought in by `rename`. **Every other column of numbers is a feature**, and a column of lists of numbers (parquet)
is as many features as its lists are long. Bookkeeping, which the column's name tells (`phenorep.bookkeeping`), is left out,
but for what `features` names.
What else is none is to be renamed: ``rename: {passage: Metadata_Passage}``. Smallest table::

    Metadata_Plate,Metadata_Well,Metadata_Compound,Metadata_MoA,Cells_Area,Cells_Texture
    P1,B02,taxol,Microtubule stabilizers,812.5,0.31

There are no images, so nothing is planned that needs them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import pandas as pd

from phenorep import bookkeeping, experiment, feature_tables, feature_values, headers, loaddata, overlooked, plugins
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
    # since some are biology in some studies, such as the count of children. A list of columns, also with * in their names:
    # the measurements and these, since a name misleads (Nuclear_Location_Ratio, an embedding's frame_0 ... frame_511).
    features: str | list = "measurements"

    def __post_init__(self):
        super().__post_init__()
        texts = isinstance(self.features, list) and self.features and all(isinstance(name, str) for name in self.features)
        if not texts and self.features not in ("measurements", "all"):
            raise ValueError(f"features must be 'measurements', 'all' or a list of columns, not {self.features!r}")


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
    table = metadata(config)
    chosen, left_out = columns(config)
    feature_tables.tell(config.table, table, chosen, left_out)
    feature_tables.tell_few(config.table, chosen.names(), chosen)
    feature_values.check_lists(config.table, chosen)


def columns(config: Config) -> tuple[feature_values.Columns, list[str]]:
    """The columns that are features and what others hold, and the names of those that are left out as bookkeeping.

    Raises
    ------
    UserError
        If a column holds what was surely meant as features and cannot be read as such, or `features` names none.
    """
    renamed = set(map(str, config.rename or {}))
    ours = loaddata.columns(config.table, "table", config.rename)
    ours = {name: new for name, new in ours.items() if not renamed & headers.forms(name)}
    rest = [name for name, new in ours.items() if not new.startswith(CARRIED)]
    named = _named(config, rest)
    all_columns = feature_values.columns(config.table, rest)
    telling = [name for name in _bookkeeping(config, rest, all_columns) if name not in named]
    for name, kind in all_columns.others.items():
        if (kind.refused and name not in telling) or name in named:
            raise UserError(
                f"{config.table}: column '{name}' holds {kind.word}, which cannot be read as features. {kind.remedy} If it "
                f"is none, name it in 'datasets: rename:', like {{{name}: Metadata_{name}}}."
            )
    left_out = [name for name in telling if name in all_columns.lengths]
    return all_columns.without(left_out), left_out


def _named(config: Config, columns: list[str]) -> set[str]:
    """The columns that the key `features` lists as features; raises `UserError` if a name or pattern has none."""
    patterns = config.features if isinstance(config.features, list) else []
    named: set[str] = set()
    for pattern in patterns:
        matching = {name for name in columns if any(fnmatchcase(form, _literal(pattern)) for form in headers.forms(name))}
        if not matching:
            raise UserError(
                f"{config.table}: 'features: {patterns}' of the dataset names {pattern!r}, and no column that may be a "
                f"feature is called so. {plugins.suggest(pattern, columns)}"
            )
        named |= matching
    return named


def _literal(pattern: str) -> str:
    """A pattern in which * alone has a meaning: names have brackets, as in Position X [µm]."""
    return "".join(f"[{sign}]" if sign in "?[" else sign for sign in pattern)


def _bookkeeping(config: Config, names: list[str], told: feature_values.Columns) -> list[str]:
    if config.features == "all":
        return []
    lists = any(told.lengths.get(name) is not None for name in names if not bookkeeping.is_bookkeeping(name))
    may_number = [name for name in names if bookkeeping.may_number_rows(name) and told.lengths.get(name, 0) is None]
    numbering = [name for name in may_number if feature_values.numbers_rows(config.table, name)]
    left_out = {*bookkeeping.among(names, lists), *numbering}
    return [name for name in names if name in left_out]


def values(config: Config, chosen: feature_values.Columns) -> Iterator[np.ndarray]:
    """These features of all rows in the table's order, piece by piece: each (n, F), NaN where a cell is empty."""
    return feature_values.values(config.table, chosen)
