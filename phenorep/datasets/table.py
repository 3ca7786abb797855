"""Anybody's plates, from one table with a row per field of view.

The table (CSV, also compressed, or parquet) has the columns of CellProfiler's LoadData tables [0]: ``Metadata_Plate``,
``Metadata_Well``, any other ``Metadata_*``, and ``FileName_{Channel}`` with ``PathName_{Channel}`` per channel; headers are
read as `headers` says, and a prefix ``Image_`` is taken off. Columns of other names are brought in by `rename`. Images are
read where they lie. A field of view is one image per channel: where there are several time points or planes, `time` and
`plane` choose one. Smallest table::

    Metadata_Plate,Metadata_Well,Metadata_Site,Metadata_Compound,PathName_DNA,FileName_DNA,PathName_Actin,FileName_Actin
    P1,B02,1,DMSO,images/P1,B02_s1_w1.tif,images/P1,B02_s1_w2.tif

[0] https://cellprofiler-manual.s3.amazonaws.com/CellProfiler-4.2.8/modules/fileprocessing.html
"""

import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from phenorep import channel_columns, contracts, experiment, loaddata, locations, overlooked, platemap, plugins, sites
from phenorep.errors import UserError
from phenorep.experiment import Imaged
from phenorep.fields import check_name, check_shared
from phenorep.order import natural
from phenorep.wording import listed


@dataclass(frozen=True, kw_only=True)
class Config(Imaged):
    """Where the table lies and how its columns are to be understood."""

    table: str  # CSV (.csv, .csv.gz, .tsv, ...) or parquet; a row per field of view
    channels: tuple[str, ...] = ()  # order, or a part, of the channels; (): as in the table. Nuclei are found on "DNA"
    images: str = ""  # folder of all images, in place of PathName_*: when they were moved since the table was written
    pixel_size_um: float | None = None  # micrometres per pixel, for the record
    plates: tuple[str, ...] = ()  # use only these plates; (): all
    # which time point and plane, as the table calls them, where there are several: a field is one image per channel
    time: int | str | None = None
    plane: int | str | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.pixel_size_um is not None and self.pixel_size_um <= 0:
            raise ValueError("pixel_size_um must be above 0")
        if what := locations.elsewhere(self.images) if not self.images.lower().startswith("file:") else None:
            raise ValueError(f"images must be a folder as this machine calls it; '{self.images}' is {what}")


def plates(config: Config) -> list[str]:
    """Names of the plates, sorted, whatever the table's order; reads that one column."""
    names = experiment.read(config, "table", only="Metadata_Plate")["Metadata_Plate"]
    if (names == "").any():  # in a row that holds nothing else, perhaps: it is passed over
        table = experiment.read(config, "table")
        loaddata.check_filled(table, config.table)
        names = table["Metadata_Plate"]
    for row, name in names.drop_duplicates().items():
        check_name(name, "plate", f"{config.table}: row {row}: Metadata_Plate")
    known = sorted(set(names), key=natural)
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


def check(config: Config) -> None:
    """Read all tables once, raise what is wrong with them and say what is read in which way; no image is opened."""
    chosen = plates(config)
    table, channels = _described(config, chosen)
    imaged = table[table["Metadata_Plate"].isin(chosen) & (table["Problem"] == "")]
    images = _images(config, imaged, channels)
    for plate in dict.fromkeys(images.loc[images.duplicated("image"), "plate"]):
        check_shared(_of_plate(config, imaged, plate, channels), channels)


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
    table, channels = _described(config, known)
    return _of_plate(config, table, plate, channels)


def _described(config: Config, chosen: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """The fields of all plates with what their wells hold, and the channels; images are looked for on the chosen plates."""
    tables = {"table": config.table, "plate_map": config.plate_map}
    loaddata.check_renamed(tables, config.rename)
    table = experiment.read(config, "table")
    loaddata.need(config.table, table, ("Metadata_Plate", "Metadata_Well"))
    channels = _channels(config, list(table.columns))
    loaddata.normalise_wells(table, config.table)
    sited = ["Metadata_Site"] if sites.candidates(list(table)) else []
    overlooked.tell(tables, config, there=sited)
    names = list(dict.fromkeys(table["Metadata_Plate"]))
    used = table["Metadata_Plate"].isin(chosen)
    channel_columns.check(table[used], channels, bool(config.channels), config.table)
    fields = sites.numbered(table[used], channels, config.table, config.time, config.plane)
    fields = _placed(config, fields, channels)
    _check_shared(config, fields, channels)
    # Of all plates: a rule for controls that matches no row of the whole table is a mistake, on one plate it is none.
    fields = pd.concat([fields, table[~used].assign(Metadata_Site=table[~used].get("Metadata_Site", ""))])
    return experiment.describe(config, fields, config.table, names), channels


def _of_plate(config: Config, table: pd.DataFrame, plate: str, channels: list[str]) -> pd.DataFrame:
    table = _with_paths(config, experiment.of_plate(table, plate), channels)
    files = [f"{kind}_{channel}" for channel in channels for kind in ("FileName", "PathName")]
    rest = [name for name in table if name.startswith(platemap.CARRIED) and name not in contracts.FIELD]
    return table[[*contracts.FIELD, *rest, *files, "Problem"]].copy()


def _channels(config: Config, columns: list[str]) -> list[str]:
    known = contracts.channels_of(columns)
    images = channel_columns.images(columns)
    if not known:
        raise UserError(f"{config.table}: there is no column FileName_{{Channel}}; its columns are {', '.join(columns)}.")
    for channel in config.channels:
        if channel not in known:
            raise UserError(f"datasets: channels: '{channel}' is not in {config.table}. {plugins.suggest(channel, known)}")
    return [check_name(channel, "channel", config.table) for channel in config.channels or images]


def _placed(config: Config, table: pd.DataFrame, channels: list[str]) -> pd.DataFrame:
    """The table with names and folders of images as this machine calls them."""
    kinds = ("FileName",) if config.images else ("PathName", "FileName")
    columns = [name for channel in channels for name in (f"{kind}_{channel}" for kind in kinds) if name in table]
    return table.assign(**{name: _here(config, table[name]) for name in columns})


def _check_shared(config: Config, table: pd.DataFrame, channels: list[str]) -> None:
    """Raise `UserError` if plates share an image; `fields.check_shared` says it of one plate."""
    each = _images(config, table, channels).drop_duplicates()
    if len(shared := each[each.duplicated("image", keep=False)]):
        first = shared[shared["image"] == shared["image"].iloc[0]]
        rows, plates = listed(first.index.tolist()), " and ".join(first["plate"])
        why = " 'images:' takes the place of all folders in PathName_*." if config.images else ""
        raise UserError(
            f"{config.table}: rows {rows}: plates {plates} name the same image, {first['image'].iloc[0]}.{why} "
            "Name each plate's own images."
        )


def _images(config: Config, table: pd.DataFrame, channels: list[str]) -> pd.DataFrame:
    """All images that a table names, from its folder, and their plates."""
    images = []
    for channel in channels:
        names = table[f"FileName_{channel}"]
        folders = "" if config.images else table.get(f"PathName_{channel}", "")
        paths = names if isinstance(folders, str) else (folders + "/" + names).where(folders != "", names)
        paths = paths.str.replace("\\", "/", regex=False).map(os.path.normpath)  # one file may have two spellings
        images.append(pd.DataFrame({"image": paths, "plate": table["Metadata_Plate"]})[names != ""])
    return pd.concat(images)


def _here(config: Config, column: pd.Series) -> pd.Series:
    remedy = "Name the folder in which all images are here by 'datasets: images:'; it takes the place of PathName_*."
    first = column[locations.are_odd(column)].drop_duplicates()
    places = {}
    for row, text in first.items():
        if config.images and locations.elsewhere(text):  # where they were before they were moved
            places[text] = locations.last(text)
        else:
            places[text] = locations.path(text, f"{config.table}: row {row}: {column.name}", remedy)
    return column.map(lambda text: places.get(text, text)) if places else column


def _with_paths(config: Config, table: pd.DataFrame, channels: list[str]) -> pd.DataFrame:
    """Names and folders of the images, from the working directory or absolute."""
    here = [""] * len(table)
    base = Path(locations.path(config.images, "datasets: images:", "")) if config.images else Path(config.table).parent
    for channel in channels:
        names = table[f"FileName_{channel}"]
        folders = here if config.images else table.get(f"PathName_{channel}", here)
        # Tables that were written on Windows have backslashes.
        paths = [base / f.replace("\\", "/") / n.replace("\\", "/") for f, n in zip(folders, names, strict=True)]
        table[f"FileName_{channel}"] = [path.name if name else "" for path, name in zip(paths, names, strict=True)]
        table[f"PathName_{channel}"] = [str(path.parent if name else path) for path, name in zip(paths, names, strict=True)]
    return table
