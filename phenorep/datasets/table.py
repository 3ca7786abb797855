"""Anybody's plates, from one table with a row per field of view.

The table (CSV, also compressed, or parquet) has the columns of CellProfiler's LoadData tables [0]: ``Metadata_Plate``,
``Metadata_Well``, any other ``Metadata_*``, and ``FileName_{Channel}`` with ``PathName_{Channel}`` per channel; a prefix
``Image_`` is taken off. Columns of other names are brought in by `rename`. Images are read where they lie. Smallest table::

    Metadata_Plate,Metadata_Well,Metadata_Site,Metadata_Compound,PathName_DNA,FileName_DNA,PathName_Actin,FileName_Actin
    P1,B02,1,DMSO,images/P1,B02_s1_w1.tif,images/P1,B02_s1_w2.tif

[0] https://cellprofiler-manual.s3.amazonaws.com/CellProfiler-4.2.8/modules/fileprocessing.html
"""

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from phenorep import contracts, platemap, plugins
from phenorep.errors import UserError
from phenorep.fields import check_name, well_name

_KEPT = ("Metadata_", "Label_", "Split_", "FileName_", "PathName_")
_NUMBERS = {"Metadata_Concentration": float, "Metadata_Dose": int}


@dataclass(frozen=True)
class Config:
    """Where the table lies and how its columns are to be understood."""

    table: str  # CSV (.csv, .csv.gz, .tsv, ...) or parquet; a row per field of view
    plate_map: str = (
        ""  # a table of the wells' contents, if it is apart: joined by well, and by plate if it has Metadata_Plate
    )
    channels: tuple[str, ...] = ()  # order, or a part, of the channels; (): as in the table. Nuclei are found on "DNA"
    images: str = ""  # folder of all images, in place of PathName_*: when they were moved since the table was written
    rename: dict | None = None  # {their column: ours} for columns that have other names, e.g. {compound: Metadata_Compound}
    negative_control: dict | None = None  # {column: value} (or a list of values) of the negative-control wells
    positive_control: dict | None = None  # the same for positive controls
    batch_from: dict | None = None  # {column: ..., pattern: regular expression}: its first group is Metadata_Batch
    intensity_max: int | None = (
        None  # largest grey value of the camera, e.g. 4095 for 12 bits in 16; None: of the file's type
    )
    pixel_size_um: float | None = None  # micrometres per pixel, for the record
    plates: tuple[str, ...] = ()  # use only these plates; (): all

    def __post_init__(self):
        if self.batch_from is not None and (set(self.batch_from) - {"column", "pattern"} or "column" not in self.batch_from):
            raise ValueError("batch_from must have the keys 'column' and, if need be, 'pattern'")
        if self.batch_from is not None:
            try:
                re.compile(str(self.batch_from.get("pattern", "")))
            except re.error as error:
                raise ValueError(f"batch_from: pattern must be a regular expression ({error})") from error
        if self.intensity_max is not None and not 1 <= self.intensity_max <= 65535:
            raise ValueError("intensity_max must lie between 1 and 65535")
        if self.pixel_size_um is not None and self.pixel_size_um <= 0:
            raise ValueError("pixel_size_um must be above 0")


def plates(config: Config) -> list[str]:
    """Names of the plates in the table's order; reads that one column."""
    known = list(dict.fromkeys(_read(config, config.table, "table", only="Metadata_Plate")["Metadata_Plate"]))
    for name in known:
        check_name(name, "plate", f"{config.table}: Metadata_Plate")
    for name in config.plates:
        if name not in known:
            raise UserError(f"datasets: plates: '{name}' is no plate of {config.table}. {plugins.suggest(name, known)}")
    return [name for name in known if not config.plates or name in config.plates]


def about(config: Config) -> dict:
    """Facts about the whole dataset; reads the table's header."""
    return {
        "channels": _channels(config, list(_columns(config, config.table, "table").values())),
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
    """One row per field of a plate: its metadata and images.

    A well that the plate map names and the table does not has one row without images, whose `Problem` says so.

    Raises
    ------
    UserError
        If table, plate map and keys do not fit together; the message says where.
    """
    known = plates(config)
    if plate not in known:
        raise UserError(f"{config.table}: there is no plate '{plate}'. {plugins.suggest(plate, known)}")
    table = _read(config, config.table, "table")
    _need(config.table, table, ("Metadata_Plate", "Metadata_Well"))
    channels = _channels(config, list(table.columns))
    _normalise_wells(table, config.table)
    table["Problem"] = ""
    if "Metadata_Site" not in table:
        # A well's fields in the order of their rows: the order in which tables list what the microscope took.
        table["Metadata_Site"] = (table.groupby(["Metadata_Plate", "Metadata_Well"]).cumcount() + 1).astype(str)
    if config.plate_map:
        table = _join_plate_map(config, table)
    _check_renamed(config)
    table = _with_controls(config, _with_batch(config, table))
    # Only now: a rule for controls that matches no row of the whole table is a mistake, on one plate it is none.
    table = table.loc[table["Metadata_Plate"] == plate].reset_index(drop=True)
    for site in set(table["Metadata_Site"]) - {""}:
        check_name(site, "site", f"{config.table}: Metadata_Site")
    table = _with_paths(config, table, channels)
    files = [f"{kind}_{channel}" for channel in channels for kind in ("FileName", "PathName")]
    rest = [name for name in table if name.startswith(platemap.CARRIED) and name not in contracts.FIELD]
    return _with_numbers(config, table[[*contracts.FIELD, *rest, *files, "Problem"]].copy())


def _columns(config: Config, path: str, key: str) -> dict[str, str]:
    """Our names of a table's columns, by theirs: renamed, and without the prefix ``Image_``."""
    file = Path(path)
    if not file.is_file():
        raise UserError(f"{path}: there is no such file. Change 'datasets: {key}:'; it starts at the working directory.")
    try:
        names = contracts.columns_of(file) if _is_parquet(file) else list(_read_csv(file, nrows=0).columns)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as a table ({error}); see 'datasets: {key}:'.") from error
    ours: dict[str, str] = {}
    for name in names:
        short = name.removeprefix("Image_")
        new = (config.rename or {}).get(name) or (short if short.startswith(_KEPT) else name)
        if new in ours.values():
            raise UserError(f"{path}: two of its columns would be '{new}', one is '{name}'. Change 'datasets: rename:'.")
        ours[name] = str(new)
    return ours


def _read(config: Config, path: str, key: str, only: str | None = None) -> pd.DataFrame:
    """A table as text, under our column names; `only` is the one column to read."""
    ours = _columns(config, path, key)
    theirs = [name for name, new in ours.items() if only in (None, new)]
    if not theirs:
        raise _no_column(path, only, ours.values())
    file = Path(path)
    try:
        table = pd.read_parquet(file, columns=theirs) if _is_parquet(file) else _read_csv(file, usecols=theirs)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as a table ({error}); see 'datasets: {key}:'.") from error
    if table.empty:
        raise UserError(f"{path}: the table has no rows; see 'datasets: {key}:'.")
    return pd.DataFrame({ours[name]: _text(table[name]) for name in theirs})


def _is_parquet(file: Path) -> bool:
    return file.suffix.lower() in (".parquet", ".pq")


def _read_csv(file: Path, **options) -> pd.DataFrame:
    separator = "\t" if any(suffix in (".tsv", ".txt") for suffix in file.suffixes) else ","
    # Text throughout: a plate 0012 stays 0012, and a compound called NA stays NA.
    return pd.read_csv(file, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig", **options)


def _text(column: pd.Series) -> pd.Series:
    """A column as text: missing is empty, and whole numbers (also those that gaps made fractions) have no point."""
    if pd.api.types.is_float_dtype(column):
        return column.map(
            lambda value: "" if pd.isna(value) else f"{value:.0f}" if value == round(value) else repr(float(value))
        )
    return column.astype("str").fillna("").str.strip()


def _need(path: str, table: pd.DataFrame, columns: tuple[str, ...]) -> None:
    for column in columns:
        if column not in table:
            raise _no_column(path, column, table.columns)


def _no_column(path: str, column: str, known) -> UserError:
    hint = plugins.suggest(column, known)
    return UserError(
        f"{path}: there is no column '{column}'. {hint} Or name theirs: 'datasets: rename: {{theirs: {column}}}'."
    )


def _channels(config: Config, columns: list[str]) -> list[str]:
    known = contracts.channels_of(columns)
    if not known:
        raise UserError(f"{config.table}: there is no column FileName_{{Channel}}; its columns are {', '.join(columns)}.")
    for channel in config.channels:
        if channel not in known:
            raise UserError(f"datasets: channels: '{channel}' is not in {config.table}. {plugins.suggest(channel, known)}")
    return [check_name(channel, "channel", config.table) for channel in config.channels or known]


def _normalise_wells(table: pd.DataFrame, path: str) -> None:
    names = {text: well_name(text, f"{path}: Metadata_Well") for text in set(table["Metadata_Well"])}
    table["Metadata_Well"] = table["Metadata_Well"].map(names)


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


def _join_plate_map(config: Config, table: pd.DataFrame) -> pd.DataFrame:
    wells = _read(config, config.plate_map, "plate_map")
    _need(config.plate_map, wells, ("Metadata_Well",))
    _normalise_wells(wells, config.plate_map)
    return platemap.join(table, wells, config.table, config.plate_map)


def _check_renamed(config: Config) -> None:
    known = {
        name
        for key in ("table", "plate_map")
        if getattr(config, key)
        for name in _columns(config, getattr(config, key), key)
    }
    for name in config.rename or {}:
        if name not in known:
            raise UserError(
                f"datasets: rename: there is no column '{name}' in {config.table}. {plugins.suggest(name, known)}"
            )


def _with_batch(config: Config, table: pd.DataFrame) -> pd.DataFrame:
    if config.batch_from is None:
        return table
    if "Metadata_Batch" in table:
        raise UserError(f"datasets: batch_from: {config.table} has a column Metadata_Batch already; give one of the two.")
    column = config.batch_from["column"]
    _need(config.table, table, (column,))
    imaged = table["Problem"] == ""  # wells without images have nothing but their plate and the plate map's columns
    table["Metadata_Batch"] = ""
    batches = platemap.batches(table.loc[imaged, column], str(config.batch_from.get("pattern", ".*")), config.table)
    table.loc[imaged, "Metadata_Batch"] = batches
    return table


def _with_controls(config: Config, table: pd.DataFrame) -> pd.DataFrame:
    rules = {"negative": config.negative_control, "positive": config.positive_control}
    given = "Metadata_Control" in table
    if any(rules.values()):
        if given:
            raise UserError(f"datasets: {config.table} has a column Metadata_Control already; take out the keys *_control.")
        table["Metadata_Control"] = platemap.controls(table, rules, config.table)
    elif given:
        odd = sorted(set(table["Metadata_Control"]) - {"negative", "positive", ""})
        if odd:
            raise UserError(
                f"{config.table}: Metadata_Control: '{odd[0]}' is neither negative, positive nor empty. Change it there, or "
                "rename the column by 'datasets: rename:' and give 'negative_control: {column: value}'."
            )
    return table


def _with_numbers(config: Config, table: pd.DataFrame) -> pd.DataFrame:
    for column, kind in _NUMBERS.items():
        if column in table:
            left_out = (table["Problem"] != "") & (table[column] == "")  # a well without images: any number will do
            table[column] = platemap.numbers(table[column].mask(left_out, "0"), kind, config.table)
    for column in [name for name in table if name.startswith("Label_")]:
        parsed = pd.to_numeric(table[column].replace("", None), errors="coerce")
        if parsed.notna().equals(table[column] != ""):  # a target of classes stays text
            table[column] = parsed
    return table
