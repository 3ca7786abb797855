"""BBBC005: simulated fields of U2OS-like cells with known cell counts, each sharp or blurred by a known amount.

Image set BBBC005v1 [0] from the Broad Bioimage Benchmark Collection [1]: 19,200 images of 520 x 696 pixels, 8 bits, drawn by
SIMCEP; one archive of 1.8 GB. They are named as if they were one 384-well plate: the row is the blur (16 levels), the column
the number of cells (24 numbers from 1 to 100), the site one of 25 samples, the wavelength the stain. A blur of F is a
Gaussian filter F pixels wide of sigma F / 4; the collection takes images of F1 as fully in focus.

The page of the collection calls w1 cell bodies and w2 nuclei. The images show it the other way round: objects of w1 are
convex and some 31 pixels wide, those of w2 some 65 and overlap. Here w1 is nuclei.

Blurred fields are abnormal (`Label_Artefact`: out_of_focus), so this set tests how a quality control that was trained
elsewhere finds one sort of artefact. `Label_Count` is the number of cells.

Copies of parts of the set go without ``SIMCEPImages_`` at the start of the names; both are read.

[0] https://data.broadinstitute.org/bbbc/BBBC005/
[1] Ljosa, Sokolnicki, Carpenter 2012, Annotated high-throughput microscopy image sets for validation, doi:10.1038/nmeth.2083
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from phenorep import collection
from phenorep import download as downloads
from phenorep.download import Published
from phenorep.errors import UserError
from phenorep.extents import Extent

PLATE = "BBBC005"
ADDRESS = "https://data.broadinstitute.org/bbbc/BBBC005/"
DOWNLOAD_KEYS = ("path",)  # the archive holds both stains
ARCHIVE = "images"
FILE = Published("BBBC005_v1_images.zip", unpacked=9_000_000_000)  # 19,200 images of at most 0.37 MB are 7.1 GB
# Stain -> its number in file names, and the name of its channel. The nuclei stand for the DNA of other datasets.
STAINS = {"nuclei": ("1", "DNA"), "cell_bodies": ("2", "CellBody")}
ARTEFACT = "out_of_focus"
_IMAGE = re.compile(r"^(?:SIMCEPImages_)?([A-P]\d\d)_C(\d+)_F(\d+)_s(\d+)_w(\d)\.tiff?$", re.IGNORECASE)


@dataclass(frozen=True)
class Config:
    """Where the images lie, and which of them are used."""

    path: str = ""  # a folder of the images, or the address of a mirror; "": download from where they are published
    stain: Literal["nuclei", "cell_bodies"] = "nuclei"  # nuclei: channel DNA, as in other sets; cell_bodies: CellBody
    normal_blur: int = 1  # the largest blur that is normal; the collection's own ground truth is 1
    abnormal_blur: int = 2  # the smallest that is out of focus; what lies between has no label: raise it for clear cases
    limit: dict | None = None  # for small runs: {fields: so many, from each blur and number of cells in turn}

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 1 <= self.normal_blur < self.abnormal_blur:
            raise ValueError(
                f"normal_blur must be at least 1 and abnormal_blur above it, not {self.normal_blur} and {self.abnormal_blur}"
            )
        collection.check_limit(self.limit, ("fields",))

    @property
    def folder(self) -> str:
        """The local folder; empty if the files are downloaded."""
        return "" if downloads.is_address(self.path) else self.path


def plates(config: Config) -> list[str]:  # noqa: ARG001
    """Names of the plates."""
    return [PLATE]


def about(config: Config) -> dict:
    """Facts about the whole dataset."""
    return {
        "channels": [STAINS[config.stain][1]],
        "pixel_size_um": None,  # not published
        "intensity_max": 255,
        "citation": "image set BBBC005v1, available from the Broad Bioimage Benchmark Collection (Ljosa et al. 2012)",
        "licence": None,  # look at [0]
        "simulated": True,
    }


def extent(config: Config) -> Extent:
    """How much there is; the numbers of cells run evenly from 1 to 100."""
    fields = min(9_600, collection.at_most(config.limit, "fields") or 9_600)
    fetched = (1_800_000_000, 1, 19_200 * 370_000) if archives(config) else (0, 0, 0)
    basis = {"download": "published, rounded", "cells": "as drawn"}
    return Extent(fields, (520, 696), 1, 50.0, *fetched, basis)


def archives(config: Config, plate: str | None = None) -> list[str]:  # noqa: ARG001
    """Name of the archive to download; none where `path` gives a local copy."""
    return [] if config.folder else [ARCHIVE]


def sources(config: Config) -> list[str]:  # noqa: ARG001
    """No table: the names of the images say it all."""
    return []


def download(config: Config, archive: str, target: Path) -> None:  # noqa: ARG001
    """Fetch the images and unpack them into the folder `target`. The collection states no checksum."""
    downloads.obtain(config.path or ADDRESS, [FILE], target)


def fields(config: Config, plate: str, resources: Path) -> pd.DataFrame:
    """One row per image of the stain.

    Returns
    -------
    DataFrame
        Metadata_Plate, Metadata_Well, Metadata_Site; FileName_ and PathName_ of the channel; Label_Count (cells), Label_Blur
        (F), Label_Quality (normal, abnormal, empty between `normal_blur` and `abnormal_blur`), Label_Artefact.

    Raises
    ------
    UserError
        If the folder has no image of the stain, or a well has images of several blurs or numbers of cells.
    """
    if plate != PLATE:
        raise UserError(f"bbbc005: there is no plate '{plate}'; its only plate is {PLATE}.")
    root = Path(config.folder) if config.folder else Path(resources) / ARCHIVE
    number, channel = STAINS[config.stain]
    # The published archive has one folder.
    paths = [path for path in sorted([*root.glob("*"), *root.glob("*/*")]) if _IMAGE.match(path.name)]
    rows = [(*_IMAGE.match(path.name).groups(), path) for path in paths]
    rows = [(well, str(int(site)), int(cells), int(blur), path) for well, cells, blur, site, w, path in rows if w == number]
    if not rows:
        raise UserError(
            f"{root}: no image like SIMCEPImages_A01_C1_F1_s01_w{number}.TIF is there; give 'datasets: bbbc005: path:' "
            "their folder, or leave it out to download them."
        )
    table = pd.DataFrame(rows, columns=["Metadata_Well", "Metadata_Site", "Label_Count", "Label_Blur", "path"])
    _check(table, root)
    quality = pd.Series("", table.index)
    quality = quality.mask(table["Label_Blur"] <= config.normal_blur, "normal")
    quality = quality.mask(table["Label_Blur"] >= config.abnormal_blur, "abnormal")
    table = pd.DataFrame(
        {
            "Metadata_Plate": PLATE,
            **{column: table[column] for column in ("Metadata_Well", "Metadata_Site")},
            f"FileName_{channel}": [path.name for path in table["path"]],
            f"PathName_{channel}": [str(path.parent) for path in table["path"]],
            **{column: table[column] for column in ("Label_Count", "Label_Blur")},
            "Label_Quality": quality,
            "Label_Artefact": quality.map({"abnormal": ARTEFACT}).fillna(""),
        }
    )
    return _first_fields(table, config.limit)


def _check(table: pd.DataFrame, root: Path) -> None:
    for column, what in (("Label_Blur", "blurs"), ("Label_Count", "numbers of cells")):
        several = table.groupby("Metadata_Well")[column].nunique()
        if (several > 1).any():
            raise UserError(
                f"{root}: images of well {several.idxmax()} have several {what}; a well has one. Give the files their own "
                "names."
            )


def _first_fields(table: pd.DataFrame, limit: dict | None) -> pd.DataFrame:
    """At most so many fields, from each blur and number of cells in turn."""
    table = table.sort_values(["Metadata_Well", "Metadata_Site"], key=lambda column: column.str.zfill(3), ignore_index=True)
    if not limit:
        return table
    order = pd.DataFrame({"of_well": table.groupby("Metadata_Well").cumcount(), "Label_Blur": table["Label_Blur"]})
    order["of_blur"] = order.groupby(["of_well", "Label_Blur"]).cumcount()
    chosen = order.sort_values(["of_well", "of_blur", "Label_Blur"], kind="stable").index[
        : collection.at_most(limit, "fields")
    ]
    return table.loc[sorted(chosen)].reset_index(drop=True)
