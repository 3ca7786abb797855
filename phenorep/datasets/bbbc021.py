"""BBBC021: MCF-7 breast cancer cells under 113 compounds at eight concentrations, stained for DNA, tubulin and actin.

Image set BBBC021v1 [0][1] from the Broad Bioimage Benchmark Collection [2]; licence CC BY-NC-SA 3.0. 55 plates of 60 wells
in 10 weeks, four fields per well, 1280 x 1024 pixels, 16 bits: 39,600 images, one archive of some 800 MB per plate. 103 of
the treatments (38 compounds) have one of 12 mechanisms of action: 2,528 fields, beside 1,320 fields of DMSO.

A treatment was tested in one week, on two or three plates of it; only taxol at 0.3 micromolar, the positive control, is on
all plates. `Metadata_Batch` is the week: the part of a plate's name before the underscore.

The channels are in the published order: DNA (their DAPI, w1), Tubulin (w2), Actin (w4).

[0] https://bbbc.broadinstitute.org/BBBC021
[1] Caie et al. 2010, High-content phenotypic profiling of drug response signatures across distinct cancer cells, Molecular
    Cancer Therapeutics 9(6), doi:10.1158/1535-7163.MCT-09-1148
[2] Ljosa, Sokolnicki, Carpenter 2012, Annotated high-throughput microscopy image sets for validation, doi:10.1038/nmeth.2083
"""

import re
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import pandas as pd

from phenorep import collection, plugins
from phenorep import download as downloads
from phenorep.download import Published
from phenorep.errors import UserError
from phenorep.extents import Extent

ADDRESS = "https://data.broadinstitute.org/bbbc/BBBC021/"
DOWNLOAD_KEYS = ("path",)  # what else is configured changes which archives are fetched, not what is in them
IMAGE_TABLE = "BBBC021_v1_image.csv"
MECHANISM_TABLE = "BBBC021_v1_moa.csv"
TABLES = "tables"  # the archive that the two tables are
UNPACKED = 2_500_000_000  # bytes of a plate; 720 images of 2.6 MB are 1.9 GB
# Week -> its plates. Written down here, so that a run can be planned before anything is downloaded.
WEEKS = {
    "Week1": ("22123", "22141", "22161", "22361", "22381", "22401"),
    "Week2": ("24121", "24141", "24161", "24361", "24381", "24401"),
    "Week3": ("25421", "25441", "25461", "25681", "25701", "25721"),
    "Week4": ("27481", "27521", "27542", "27801", "27821", "27861"),
    "Week5": ("28901", "28921", "28961", "29301", "29321", "29341"),
    "Week6": ("31641", "31661", "31681", "32061", "32121", "32161"),
    "Week7": ("34341", "34381", "34641", "34661", "34681"),
    "Week8": ("38203", "38221", "38241", "38341", "38342"),
    "Week9": ("39206", "39221", "39222", "39282", "39283", "39301"),
    "Week10": ("40111", "40115", "40119"),
}
PLATES = tuple(f"{week}_{number}" for week, numbers in WEEKS.items() for number in numbers)
# Our channel -> theirs, and its number in file names.
CHANNELS = {"DNA": ("DAPI", "1"), "Tubulin": ("Tubulin", "2"), "Actin": ("Actin", "4")}
NEGATIVE = "DMSO"
POSITIVE = ("taxol", 0.3)
_IMAGE = re.compile(r"^(?:.*_)?([A-P]\d\d)_s(\d+)_w(\d)")
_PLATE, _WELL = "Image_Metadata_Plate_DAPI", "Image_Metadata_Well_DAPI"
_COMPOUND, _CONCENTRATION = "Image_Metadata_Compound", "Image_Metadata_Concentration"


@dataclass(frozen=True)
class Config:
    """Where the files lie, and which part of the screen is used."""

    # A folder with both tables (.csv or .csv.gz) and the plates, as published archives or unpacked (Week1_22123/ or
    # Week1/Week1_22123/); or the address of a mirror; "": download from where it is published
    path: str = ""
    plates: tuple[str, ...] = ()  # use only these plates; (): all 55
    annotated_only: bool = True  # only treatments with a mechanism, and DMSO: 3,848 of 13,200 fields, as in published work
    # For small runs: {plates: so many, taken from each week in turn, fields: so many of a plate, from each treatment in
    # turn}; either or both
    limit: dict | None = None

    def __post_init__(self) -> None:
        """Check names and ranges."""
        for name in self.plates:
            if name not in PLATES:
                raise ValueError(f"plates: there is no plate '{name}'. {plugins.suggest(name, PLATES)}")
        collection.check_limit(self.limit, ("plates", "fields"))

    @property
    def folder(self) -> str:
        """The local folder; empty if the files are downloaded."""
        return "" if downloads.is_address(self.path) else self.path


def plates(config: Config) -> list[str]:
    """Names of the plates, week by week."""
    chosen = [name for name in PLATES if name in config.plates or not config.plates]
    # A mechanism is matched across weeks, so a few plates from several weeks tell more than the first few.
    weeks = [[name for name in chosen if _week(name) == week] for week in WEEKS]
    in_turn = [name for turn in zip_longest(*weeks) for name in turn if name]
    kept = in_turn[: collection.at_most(config.limit, "plates")]
    return [name for name in chosen if name in kept]


def about(config: Config) -> dict:  # noqa: ARG001
    """Facts about the whole dataset."""
    return {
        "channels": list(CHANNELS),
        "pixel_size_um": None,  # not published
        "intensity_max": 65535,
        "citation": (
            "image set BBBC021v1 (Caie et al. 2010, Molecular Cancer Therapeutics), available from the Broad Bioimage "
            "Benchmark Collection (Ljosa et al. 2012, Nature Methods)"
        ),
        "licence": "CC BY-NC-SA 3.0",
        "simulated": False,
    }


def extent(config: Config) -> Extent:
    """How much there is. Nobody states the number of cells: 150 in a field are an assumption."""
    chosen = len(plates(config))
    each = (3_848 if config.annotated_only else 13_200) / len(PLATES)
    fields = round(chosen * min(each, collection.at_most(config.limit, "fields") or each))
    fetched = len([name for name in archives(config) if name != TABLES])
    # 45 GB in 55 archives; each holds all 240 fields of its plate, 3 images of 2.6 MB.
    sizes = (fetched * 818_000_000, fetched, fetched * 720 * 2_621_000)
    basis = {"download": "published, rounded", "cells": "assumed; set it by --cells"}
    return Extent(fields, (1024, 1280), 2, 150.0, *sizes, basis)


def archives(config: Config, plate: str | None = None) -> list[str]:
    """What is to be downloaded or unpacked: the tables, and each plate whose images do not lie in the folder `path`."""
    wanted = plates(config) if plate is None else [plate]
    tables = [] if config.folder else [TABLES]
    return tables + [name for name in wanted if not config.folder or _unpacked(Path(config.folder), name) is None]


def sources(config: Config) -> list[str]:
    """Tables that are read where they lie."""
    if not config.folder:
        return []
    return [str(collection.table_in(Path(config.folder), name, "bbbc021")) for name in (IMAGE_TABLE, MECHANISM_TABLE)]


def download(config: Config, archive: str, target: Path) -> None:
    """Fetch one of `archives` into the folder `target`; images are unpacked. The collection states no checksums."""
    if archive == TABLES:
        files = [Published(IMAGE_TABLE), Published(MECHANISM_TABLE)]
    else:
        files = [Published(f"BBBC021_v1_images_{archive}.zip", unpacked=UNPACKED)]
    downloads.obtain(config.path or ADDRESS, files, target)


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
        Metadata_Plate, Metadata_Well, Metadata_Site, Metadata_Batch, Metadata_Compound, Metadata_Concentration (micromolar;
        0 for DMSO), Metadata_MoA (empty for DMSO and where none is known), Metadata_Control; FileName_ and PathName_ of
        each channel.

    Raises
    ------
    UserError
        If a table is not as published, or there is no folder of the plate's images.
    """
    if plate not in PLATES:
        raise UserError(f"bbbc021: there is no plate '{plate}'. {plugins.suggest(plate, PLATES)}")
    root = Path(config.folder) if config.folder else Path(resources) / TABLES
    table = _joined(collection.table_in(root, IMAGE_TABLE, "bbbc021"), collection.table_in(root, MECHANISM_TABLE, "bbbc021"))
    table = table[table["Metadata_Plate"] == plate]
    if config.annotated_only:
        table = table[(table["Metadata_MoA"] != "") | (table["Metadata_Control"] == "negative")]
    table = collection.first_fields(
        table, ["Metadata_Compound", "Metadata_Concentration"], collection.at_most(config.limit, "fields")
    ).sort_values(["Metadata_Well", "Metadata_Site"], ignore_index=True)
    folder = collection.unpacked(_unpacked, config.folder, Path(resources), plate, plate)
    for channel in CHANNELS:
        table[f"PathName_{channel}"] = str(folder)
    return table


def _week(plate: str) -> str:
    return plate.split("_")[0]


def _unpacked(root: Path, plate: str) -> Path | None:
    """Folder of a plate's images; in the published table it stands in the folder of its week, in the archive on its own."""
    places = (root / plate, root / _week(plate) / plate, root / f"BBBC021_v1_images_{plate}" / plate)
    return next((place for place in places if place.is_dir()), None)


def _joined(images: Path, mechanisms: Path) -> pd.DataFrame:
    """All fields of the screen with their mechanism, in our columns."""
    columns = {f"Image_FileName_{name}": number for name, number in CHANNELS.values()}
    table = _read(images, [_PLATE, _WELL, _COMPOUND, _CONCENTRATION, *columns])
    known = _read(mechanisms, ["compound", "concentration", "moa"])
    treatment = [_COMPOUND, _CONCENTRATION]
    known = known.rename(columns=dict(zip(["compound", "concentration"], treatment, strict=True)))
    if known.duplicated(treatment).any():
        raise UserError(f"{mechanisms}: a treatment stands there twice. Take the file as published.")
    table = table.merge(known, on=treatment, how="left", validate="many_to_one")
    negative = table[_COMPOUND] == NEGATIVE
    positive = (table[_COMPOUND] == POSITIVE[0]) & (table[_CONCENTRATION] == POSITIVE[1])
    return pd.DataFrame(
        {
            "Metadata_Plate": table[_PLATE],
            "Metadata_Well": table[_WELL],
            "Metadata_Site": collection.sites(table, columns, _WELL, _IMAGE, images),
            "Metadata_Batch": table[_PLATE].str.split("_").str[0],
            "Metadata_Compound": table[_COMPOUND],
            "Metadata_Concentration": table[_CONCENTRATION].astype(float),
            "Metadata_MoA": table["moa"].fillna("").mask(negative, ""),
            "Metadata_Control": pd.Series("", table.index).mask(negative, "negative").mask(positive, "positive"),
            **{f"FileName_{channel}": table[f"Image_FileName_{name}"] for channel, (name, _) in CHANNELS.items()},
        }
    )


def _read(path: Path, columns: list[str]) -> pd.DataFrame:
    try:
        return pd.read_csv(path, usecols=columns)[columns]
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"{path}: cannot be read ({error}). Take the file as published.") from error
