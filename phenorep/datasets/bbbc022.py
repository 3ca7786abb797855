"""BBBC022: U2OS cells under 1,600 bioactive compounds, stained with six dyes in five channels: the Cell Painting pilot.

Image set BBBC022v1 [0][1] from the Broad Bioimage Benchmark Collection [2]; licence CC0. 20 plates of 384 wells, nine fields
per well, five channels: 345,600 images of 520 x 696 pixels in 16 bits, 0.656 micrometres a pixel, 20x. One archive per plate
and channel, of 3,456 images, some 2.5 GB unpacked. Only the archives of the configured channels are fetched.

The channels in the order of the files' w1 to w5: DNA (Hoechst 33342), ER (concanavalin A), RNA (SYTO 14), AGP (wheat germ
agglutinin and phalloidin: actin, Golgi, plasma membrane), Mito (MitoTracker Deep Red). The camera has 12 bits: images end
at 4,095, where they are saturated, and start near 130.

``BBBC022_v1_image.csv`` says what each field shows. Its role `mock` is our negative control, `compound` a treatment; there
are no positive controls. It gives a concentration in millimolar, as of a stock: what reached the cells is not stated, so
there is no `Metadata_Concentration`. Some names of compounds break their line: fields beyond those of the header belong to
the name, and a line that does not start with a number goes on with the one before.

No labels of image quality are published with it.

[0] https://bbbc.broadinstitute.org/BBBC022
[1] Gustafsdottir et al. 2013, Multiplex cytological profiling assay to measure diverse cellular states, PLOS ONE 8(12)
    e80999, doi:10.1371/journal.pone.0080999
[2] Ljosa, Sokolnicki, Carpenter 2012, Annotated high-throughput microscopy image sets for validation, doi:10.1038/nmeth.2083
"""

import csv
import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from phenorep import collection, plugins
from phenorep import download as downloads
from phenorep.download import Published
from phenorep.errors import UserError
from phenorep.extents import Extent

ADDRESS = "https://data.broadinstitute.org/bbbc/BBBC022/"
DOWNLOAD_KEYS = ("path",)  # what else is configured changes which archives are fetched, not what is in them
IMAGE_TABLE = "BBBC022_v1_image.csv"
TABLES = "tables"  # the archive that the table is
UNPACKED = 3_000_000_000  # bytes of a plate's channel; 3,456 images of 0.72 MB are 2.5 GB
# Written down here, so that a run can be planned before anything is downloaded.
PLATES = (
    *("20585", "20586", "20589", "20590", "20591", "20592", "20593", "20594", "20595", "20596"),
    *("20607", "20608", "20625", "20626", "20630", "20633", "20639", "20640", "20641", "20646"),
)
# Our channel -> its name in the table, and its number in the names of archives and files.
CHANNELS = {
    "DNA": ("OrigHoechst", "1"),
    "ER": ("OrigER", "2"),
    "RNA": ("OrigSyto", "3"),
    "AGP": ("OrigPh_golgi", "4"),
    "Mito": ("OrigMito", "5"),
}
ROLES = {"mock": "negative", "compound": ""}  # theirs -> ours
_IMAGE = re.compile(r"^IXMtest_([A-P]\d\d)_s(\d+)_w(\d)")
_PLATE, _WELL = "Image_Metadata_PlateID", "Image_Metadata_CPD_WELL_POSITION"
_ROLE, _NAME = "Image_Metadata_ASSAY_WELL_ROLE", "Image_Metadata_SOURCE_COMPOUND_NAME"
_CODE = "Image_Metadata_BROAD_ID"


@dataclass(frozen=True)
class Config:
    """Where the files lie, and which part of the screen is used."""

    # A folder with the table and the archives, as published or unpacked (BBBC022_v1_images_20585w1/); or the address of a
    # mirror; "": download from where it is published
    path: str = ""
    channels: tuple[str, ...] = ("DNA", "AGP", "Mito")  # the three that hcs_qc shows; of each, 2.5 GB a plate
    plates: tuple[str, ...] = ()  # use only these plates, in quotes; (): all 20
    # For small runs: {plates: so many, in their order, fields: so many of a plate, from each treatment in turn}; either or
    # both
    limit: dict | None = None

    def __post_init__(self) -> None:
        """Check names and ranges."""
        for key, known in (("channels", CHANNELS), ("plates", PLATES)):
            for name in getattr(self, key):
                if name not in known:
                    raise ValueError(f"{key}: there is no '{name}'. {plugins.suggest(name, known)}")
        if not self.channels or len(set(self.channels)) < len(self.channels):
            raise ValueError("channels must name one channel or more, each once")
        collection.check_limit(self.limit, ("plates", "fields"))

    @property
    def folder(self) -> str:
        """The local folder; empty if the files are downloaded."""
        return "" if downloads.is_address(self.path) else self.path


def plates(config: Config) -> list[str]:
    """Names of the plates, which are numbers."""
    return [name for name in PLATES if name in config.plates or not config.plates][
        : collection.at_most(config.limit, "plates")
    ]


def about(config: Config) -> dict:
    """Facts about the whole dataset."""
    return {
        "channels": list(config.channels),
        "pixel_size_um": 0.656,
        "intensity_max": 4095,
        "citation": (
            "image set BBBC022v1 (Gustafsdottir et al. 2013, PLOS ONE), available from the Broad Bioimage Benchmark "
            "Collection (Ljosa et al. 2012, Nature Methods)"
        ),
        "licence": "CC0 1.0",
        "simulated": False,
    }


def extent(config: Config) -> Extent:
    """How much there is; 64 nuclei a field are what phenorep finds in seven published fields."""
    each = 384 * 9
    fields = len(plates(config)) * min(each, collection.at_most(config.limit, "fields") or each)
    fetched = len([name for name in archives(config) if name != TABLES])
    unpacked = fetched * each * 724_000
    basis = {"download": "at most: as unpacked", "cells": "found by phenorep in seven fields"}
    return Extent(fields, (520, 696), 2, 64.0, unpacked, fetched, unpacked, basis)


def archives(config: Config, plate: str | None = None) -> list[str]:
    """What is to be downloaded or unpacked: the table, and each plate and channel that does not lie in the folder `path`."""
    wanted = [_archive(name, c) for name in (plates(config) if plate is None else [plate]) for c in config.channels]
    if not config.folder:
        return [TABLES, *wanted]
    return [name for name in wanted if _unpacked(Path(config.folder), name) is None]


def sources(config: Config) -> list[str]:
    """The table, if it is read where it lies."""
    return [str(collection.table_in(Path(config.folder), IMAGE_TABLE, "bbbc022"))] if config.folder else []


def download(config: Config, archive: str, target: Path) -> None:
    """Fetch one of `archives` into the folder `target`; images are unpacked. The collection states no checksums."""
    file = Published(IMAGE_TABLE) if archive == TABLES else Published(f"{_published(archive)}.zip", unpacked=UNPACKED)
    downloads.obtain(config.path or ADDRESS, [file], target)


def fields(config: Config, plate: str, resources: Path) -> pd.DataFrame:
    """One row per field of a plate.

    Parameters
    ----------
    plate
        One of `plates`.
    resources
        Folder of the downloaded archives.

    Returns
    -------
    DataFrame
        Metadata_Plate, Metadata_Well, Metadata_Site, Metadata_Compound (its name, or its code where it has none; `mock` in
        controls), Metadata_Control; FileName_ and PathName_ of each channel.

    Raises
    ------
    UserError
        If the table is not as published, or there is no folder of a channel's images.
    """
    if plate not in PLATES:
        raise UserError(f"bbbc022: there is no plate '{plate}'. {plugins.suggest(plate, PLATES)}")
    path = collection.table_in(Path(config.folder) if config.folder else Path(resources) / TABLES, IMAGE_TABLE, "bbbc022")
    table = collection.first_fields(
        _fields_of(path, plate, config.channels), ["Metadata_Compound"], collection.at_most(config.limit, "fields")
    )
    table = table.sort_values(["Metadata_Well", "Metadata_Site"], ignore_index=True)
    for channel in config.channels:
        archive = _archive(plate, channel)
        folder = collection.unpacked(_unpacked, config.folder, Path(resources), archive, _published(archive))
        table[f"PathName_{channel}"] = str(folder)
    return table


def _archive(plate: str, channel: str) -> str:
    return f"{plate}w{CHANNELS[channel][1]}"


def _published(archive: str) -> str:
    return f"BBBC022_v1_images_{archive}"


def _unpacked(root: Path, archive: str) -> Path | None:
    """Folder of a plate's images of one channel."""
    place = root / _published(archive)
    return place if place.is_dir() else None


def _fields_of(path: Path, plate: str, channels: tuple[str, ...]) -> pd.DataFrame:
    """All fields of a plate, in our columns."""
    names = {channel: f"Image_FileName_{CHANNELS[channel][0]}" for channel in channels}
    rows = [row for row in _rows(path, [_PLATE, _WELL, _ROLE, _CODE, _NAME, *names.values()]) if row[_PLATE] == plate]
    if not rows:
        raise UserError(f"{path}: there is no row of plate {plate}. Take the file as published.")
    table = pd.DataFrame(rows)
    if unknown := sorted(set(table[_ROLE]) - set(ROLES)):
        raise UserError(
            f"{path}: {_ROLE}: found {unknown[0]!r}, expected one of {', '.join(ROLES)}. Take the file as published."
        )
    columns = {name: CHANNELS[channel][1] for channel, name in names.items()}
    control = table[_ROLE].map(ROLES)
    compound = table[_NAME].where(table[_NAME] != "", table[_CODE])
    return pd.DataFrame(
        {
            "Metadata_Plate": plate,
            "Metadata_Well": table[_WELL],
            "Metadata_Site": collection.sites(table, columns, _WELL, _IMAGE, path),
            "Metadata_Compound": compound.mask(control == "negative", "mock"),
            "Metadata_Control": control,
            **{f"FileName_{channel}": table[name] for channel, name in names.items()},
        }
    )


def _rows(path: Path, columns: list[str]) -> Iterator[dict[str, str]]:
    """Some columns of each row, as text; broken names of compounds are put together again (see above)."""
    header, *lines = _lines(path)
    if missing := [column for column in columns if column not in header]:
        raise UserError(f"{path}: the column {missing[0]} is missing. Take the file as published.")
    places, name = {column: header.index(column) for column in columns}, header.index(_NAME)
    for cells in lines:
        end = max(name + 1, len(cells) - (len(header) - name - 1))
        whole = [*cells[:name], ",".join(cells[name:end]), *cells[end:]]
        if len(cells) <= name:
            raise UserError(f"{path}: the row {','.join(cells)[:100]!r} ends before {_NAME}. Take the file as published.")
        yield {column: whole[place].strip() if place < len(whole) else "" for column, place in places.items()}


def _lines(path: Path) -> list[list[str]]:
    """Cells of the header and of each row; one line by itself, so that a stray quote cannot swallow the rest of the file."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8", errors="replace") as file:
            first, *others = file.read().rstrip("\n").split("\n")
    except (OSError, EOFError) as error:
        raise UserError(f"{path}: cannot be read ({error}). Take the file as published.") from error
    lines = [first]
    for line in others:
        if line.split(",", 1)[0].strip('"').isdecimal() or len(lines) == 1:
            lines.append(line)
        else:
            lines[-1] += f" {line}"
    return [next(csv.reader([line]), []) for line in lines]
