"""Anybody's plates, from one table with a row per field of view.

The table (CSV, also compressed, or parquet) has the columns of CellProfiler's LoadData tables [0]: ``Metadata_Plate``,
``Metadata_Well``, any other ``Metadata_*``, and ``FileName_{Channel}`` with ``PathName_{Channel}`` per channel; a prefix
``Image_`` is taken off. Columns of other names are brought in by `rename`. Images are read where they lie. Smallest table::

    Metadata_Plate,Metadata_Well,Metadata_Site,Metadata_Compound,PathName_DNA,FileName_DNA,PathName_Actin,FileName_Actin
    P1,B02,1,DMSO,images/P1,B02_s1_w1.tif,images/P1,B02_s1_w2.tif

[0] https://cellprofiler-manual.s3.amazonaws.com/CellProfiler-4.2.8/modules/fileprocessing.html
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from phenorep import contracts, experiment, loaddata, platemap, plugins
from phenorep.errors import UserError
from phenorep.experiment import Imaged
from phenorep.fields import check_name
from phenorep.order import natural


@dataclass(frozen=True, kw_only=True)
class Config(Imaged):
    """Where the table lies and how its columns are to be understood."""

    table: str  # CSV (.csv, .csv.gz, .tsv, ...) or parquet; a row per field of view
    channels: tuple[str, ...] = ()  # order, or a part, of the channels; (): as in the table. Nuclei are found on "DNA"
    images: str = ""  # folder of all images, in place of PathName_*: when they were moved since the table was written
    pixel_size_um: float | None = None  # micrometres per pixel, for the record
    plates: tuple[str, ...] = ()  # use only these plates; (): all

    def __post_init__(self):
        super().__post_init__()
        if self.pixel_size_um is not None and self.pixel_size_um <= 0:
            raise ValueError("pixel_size_um must be above 0")


def plates(config: Config) -> list[str]:
    """Names of the plates, sorted, whatever the table's order; reads that one column."""
    names = experiment.read(config, "table", only="Metadata_Plate")["Metadata_Plate"]
    known = sorted(set(names), key=natural)
    for name in known:
        check_name(name, "plate", f"{config.table}: Metadata_Plate")
    for name in config.plates:
        if name not in known:
            raise UserError(f"datasets: plates: '{name}' is no plate of {config.table}. {plugins.suggest(name, known)}")
    return [name for name in known if not config.plates or name in config.plates]


def about(config: Config) -> dict:
    """Facts about the whole dataset; reads the table's header."""
    return {
        "channels": _channels(config, list(loaddata.columns(config.table, "table", config.rename).values())),
        "pixel_size_um": config.pixel_size_um,
        "intensity_max": config.intensity_max,
        "citation": None,
        "licence": None,
        "simulated": False,
    }


def archives(config: Config, plate: str | None = None) -> list[str]:  # noqa: ARG001
    """No download: the images are read where they lie."""
    return []


def sources(config: Config) -> list[str]:
    """The tables that are read."""
    return [path for path in (config.table, config.plate_map) if path]


def fields(config: Config, plate: str, resources: Path) -> pd.DataFrame:  # noqa: ARG001
    """One row per field of a plate, sorted by well and site: its metadata and images.

    Without sites in the table, a well's fields are numbered in the order of the names of their images. A well that the plate
    map names and the table does not has one row without images, whose `Problem` says so.

    Raises
    ------
    UserError
        If table, plate map and keys do not fit together; the message says where.
    """
    known = plates(config)
    if plate not in known:
        raise UserError(f"{config.table}: there is no plate '{plate}'. {plugins.suggest(plate, known)}")
    table = experiment.read(config, "table")
    loaddata.need(config.table, table, ("Metadata_Plate", "Metadata_Well"))
    channels = _channels(config, list(table.columns))
    loaddata.normalise_wells(table, config.table)
    if "Metadata_Site" not in table:
        table["Metadata_Site"] = _numbered(table, channels)
    names = list(dict.fromkeys(table["Metadata_Plate"]))
    # Of all plates: a rule for controls that matches no row of the whole table is a mistake, on one plate it is none.
    table = experiment.describe(config, table, config.table, names)
    _check_renamed(config)
    table = experiment.of_plate(table, plate)
    for site in set(table["Metadata_Site"]) - {""}:
        check_name(site, "site", f"{config.table}: Metadata_Site")
    table = _with_paths(config, table, channels)
    files = [f"{kind}_{channel}" for channel in channels for kind in ("FileName", "PathName")]
    rest = [name for name in table if name.startswith(platemap.CARRIED) and name not in contracts.FIELD]
    return table[[*contracts.FIELD, *rest, *files, "Problem"]].copy()


def _numbered(table: pd.DataFrame, channels: list[str]) -> pd.Series:
    """The number, as text, of each field in its well: the same fields get the same numbers in any order of the rows."""
    columns = [name for kind in ("PathName", "FileName") for name in (f"{kind}_{channel}" for channel in channels)]
    columns = [name for name in columns if name in table]
    files = [f"FileName_{channel}" for channel in channels]
    # Whatever images a field lacks, its first one says where it belongs.
    first = [next(filter(None, names), "") for names in zip(*(table[name] for name in files), strict=True)]
    rest = zip(*(table[name] for name in columns), strict=True)
    keys = [(natural(name), names) for name, names in zip(first, rest, strict=True)]
    sorted_rows = table.iloc[sorted(range(len(table)), key=keys.__getitem__)]
    return (sorted_rows.groupby(["Metadata_Plate", "Metadata_Well"]).cumcount() + 1).astype(str)


def _channels(config: Config, columns: list[str]) -> list[str]:
    known = contracts.channels_of(columns)
    if not known:
        raise UserError(f"{config.table}: there is no column FileName_{{Channel}}; its columns are {', '.join(columns)}.")
    for channel in config.channels:
        if channel not in known:
            raise UserError(f"datasets: channels: '{channel}' is not in {config.table}. {plugins.suggest(channel, known)}")
    return [check_name(channel, "channel", config.table) for channel in config.channels or known]


def _with_paths(config: Config, table: pd.DataFrame, channels: list[str]) -> pd.DataFrame:
    """Names and folders of the images, from the working directory or absolute."""
    here = [""] * len(table)
    for channel in channels:
        names = table[f"FileName_{channel}"]
        folders = here if config.images else table.get(f"PathName_{channel}", here)
        base = Path(config.images) if config.images else Path(config.table).parent
        # Tables that were written on Windows have backslashes.
        paths = [base / f.replace("\\", "/") / n.replace("\\", "/") for f, n in zip(folders, names, strict=True)]
        table[f"FileName_{channel}"] = [path.name if name else "" for path, name in zip(paths, names, strict=True)]
        table[f"PathName_{channel}"] = [str(path.parent if name else path) for path, name in zip(paths, names, strict=True)]
    return table


def _check_renamed(config: Config) -> None:
    known = {
        name
        for key in ("table", "plate_map")
        if getattr(config, key)
        for name in loaddata.columns(getattr(config, key), key, config.rename)
    }
    for name in config.rename or {}:
        if name not in known:
            raise UserError(
                f"datasets: rename: there is no column '{name}' in {config.table}. {plugins.suggest(name, known)}"
            )
