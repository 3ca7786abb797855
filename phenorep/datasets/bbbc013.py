"""BBBC013: one 96-well plate of U2OS cells in which FKHR-GFP moves from cytoplasm to nucleus as two compounds take effect.

Image set BBBC013v1, provided by Ilya Ravkin, from the Broad Bioimage Benchmark Collection [0][1]; licence CC BY 3.0. One
field per well, 640 x 640 pixels, 8 bits; channel 1 is FKHR-GFP, channel 2 is DNA. Rows A to D hold wortmannin, rows E to H
LY294002: nine concentrations in columns 3 to 11, controls in the columns beside them.

`Metadata_Dose` is the rank of the well's dose: 0 is the vehicle, 1 to 9 the series, 10 the positive control, as in the
plate's own table (``1049_Metadata.csv``). The published plate map gives the same layout as concentrations, in another unit
for each compound; the ranks are derived from it where that table is absent. By that map the positive control of wortmannin
(150 nM) lies between ranks 8 and 9, and that of LY294002 (80 uM) equals rank 9: rank 10 names the control, no tenth step.

[0] https://bbbc.broadinstitute.org/BBBC013
[1] Ljosa, Sokolnicki, Carpenter 2012, Annotated high-throughput microscopy image sets for validation, doi:10.1038/nmeth.2083
"""

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from phenorep import download as downloads
from phenorep.download import Published
from phenorep.errors import UserError
from phenorep.extents import Extent

PLATE = "BBBC013"
CHANNELS = {"DNA": "2", "GFP": "1"}  # number in the file name; DNA first: nuclei are found on it
COMPOUNDS = dict.fromkeys("ABCD", "wortmannin") | dict.fromkeys("EFGH", "LY294002")
CONTROLS = {-1: "negative", 0: "", 1: "positive"}
POSITIVE_DOSE = 10
TABLE = "1049_Metadata.csv"
PLATE_MAP = "BBBC013_v1_platemap_all.txt"
ADDRESS = "https://data.broadinstitute.org/bbbc/BBBC013/"
DOWNLOAD_KEYS = ("path",)  # all that decides what the archives hold, beside their checksums
# The collection states no checksums: these are as recorded by several of its users.
FILES = {
    "images": Published(
        "BBBC013_v1_images_bmp.zip",
        size=32404692,
        sha256="c059b569d96f70ad5626fad144867e6ece4353622119c46a8af8f9794f1e7985",
        unpacked=200_000_000,  # 192 images of 410 kB are 79 MB
    ),
    "platemap": Published(PLATE_MAP, size=513, sha256="e8db6666271d47962fa7d2abfa3ea965352b8e87bee461f2983d0f667bc7ff08"),
}
_IMAGE = re.compile(r"^Channel([12])-(\d\d)-([A-H])-(\d\d)\.(?:tiff?|bmp)$", re.IGNORECASE)


@dataclass(frozen=True)
class Config:
    """Where the plate lies."""

    # A folder with the images (TIFF or BMP) and 1049_Metadata.csv or the published plate map; or the address of a mirror of
    # the published files; "": download them from where they are published.
    path: str = ""

    @property
    def folder(self) -> str:
        """The local folder; empty if the files are downloaded."""
        return "" if downloads.is_address(self.path) else self.path


def plates(config: Config) -> list[str]:  # noqa: ARG001
    """Names of the plates."""
    return [PLATE]


def about(config: Config) -> dict:  # noqa: ARG001
    """Facts about the whole dataset."""
    return {
        "channels": list(CHANNELS),
        "pixel_size_um": None,  # not published
        "intensity_max": 255,
        "citation": "BBBC013v1, provided by Ilya Ravkin, Broad Bioimage Benchmark Collection (Ljosa et al. 2012)",
        "licence": "CC BY 3.0",
        "simulated": False,
    }


def extent(config: Config) -> Extent:
    """How much there is; some 16,000 nuclei were found in it."""
    files = [FILES[name] for name in archives(config)]
    unpacked = 192 * 411_000 if files else 0
    basis = {"download": "published", "cells": "found by phenorep"}
    return Extent(96, (640, 640), 1, 16_000 / 96, sum(file.size for file in files), len(files), unpacked, basis)


def archives(config: Config, plate: str | None = None) -> list[str]:  # noqa: ARG001
    """Names of the files to download; none where `path` gives a local copy."""
    return [] if config.folder else list(FILES)


def sources(config: Config) -> list[str]:
    """Tables that are read where they lie."""
    return [str(_layout_file(Path(config.folder)))] if config.folder else []


def download(config: Config, archive: str, target: Path) -> None:
    """Fetch one of `archives` into the folder `target`; the images are unpacked."""
    downloads.obtain(config.path or ADDRESS, [FILES[archive]], target)


def fields(config: Config, plate: str, resources: Path) -> pd.DataFrame:
    """One row per well: what it holds and its two images.

    Raises
    ------
    UserError
        If the folder has no table or no images of the plate, or has an image twice.
    """
    if plate != PLATE:
        raise UserError(f"bbbc013: there is no plate '{plate}'; its only plate is {PLATE}.")
    root = Path(config.folder) if config.folder else Path(resources) / "images"
    layout = _layout(_layout_file(root if config.folder else Path(resources) / "platemap"))
    images = _images(root)
    suffix = next(iter(images.values())).suffix
    folder = next(iter(images.values())).parent
    for channel, code in CHANNELS.items():
        # An image that is not there keeps the name it should have, so that the message can say what is missing.
        expected = [
            folder / f"Channel{code}-{n:02d}-{w[0]}-{w[1:]}{suffix}" for n, w in enumerate(layout["Metadata_Well"], 1)
        ]
        found = [images.get((code, well), path) for well, path in zip(layout["Metadata_Well"], expected, strict=True)]
        layout[f"FileName_{channel}"] = [path.name for path in found]
        layout[f"PathName_{channel}"] = [str(path.parent) for path in found]
    return layout


def _images(root: Path) -> dict[tuple[str, str], Path]:
    """Files by channel code and well, from `root` and the folders in it (the published archive has one)."""
    found: dict[tuple[str, str], Path] = {}
    for path in sorted([*root.glob("*"), *root.glob("*/*")]):
        if match := _IMAGE.match(path.name):
            code, number, row, column = match.groups()
            key = (code, f"{row.upper()}{column}")
            if int(number) != _number(key[1]):
                raise UserError(
                    f"{path}: image number {number} does not belong to well {key[1]}. Give the file its own name."
                )
            if key in found:
                raise UserError(f"{path}: well {key[1]} has this image twice, see {found[key]}. Keep one of them.")
            found[key] = path
    if not found:
        raise UserError(
            f"{root}: no image Channel1-NN-R-CC.tif or .BMP is there; give 'datasets: bbbc013: path:' their folder."
        )
    return found


def _layout_file(root: Path) -> Path:
    for path in (root / TABLE, root / PLATE_MAP):
        if path.is_file():
            return path
    raise UserError(
        f"{root}: neither {TABLE} nor {PLATE_MAP} is there; give 'datasets: bbbc013: path:' the folder that holds one of "
        "them, or leave 'path:' out to download the plate."
    )


def _layout(path: Path) -> pd.DataFrame:
    doses = _doses_of_table(path) if path.suffix == ".csv" else _doses_of_plate_map(path)
    wells = [_well(index) for index in range(96)]
    missing = sorted(set(wells) ^ set(doses))
    if missing:
        raise UserError(
            f"{path}: expected each of the 96 wells once; {', '.join(missing[:8])} differ. Take the file as published."
        )
    return pd.DataFrame(
        {
            "Metadata_Plate": PLATE,
            "Metadata_Well": wells,
            "Metadata_Site": "1",
            "Metadata_Compound": [COMPOUNDS[well[0]] if doses[well][0] else "vehicle" for well in wells],
            "Metadata_Dose": [doses[well][0] for well in wells],
            "Metadata_Control": [CONTROLS[doses[well][1]] for well in wells],
        }
    )


def _doses_of_table(path: Path) -> dict[str, tuple[int, int]]:
    """Rank of the dose and code of the control by well, from the plate's own table."""
    try:
        table = pd.read_csv(path, dtype={"Column": str, "Row": str})
        wells = table["Row"].str.strip() + table["Column"].str.zfill(2)
        if [_number(well) for well in wells] != list(table["ImageNumber"]):
            raise UserError(f"{path}: ImageNumber does not count the wells row by row. Take the file as published.")
        return dict(
            zip(wells, zip(table["SBS_Doses"].astype(int), table["SBS_Controls"].astype(int), strict=True), strict=True)
        )
    except (KeyError, ValueError) as error:
        needed = "ImageNumber, Column, Row, SBS_Doses, SBS_Controls"
        raise UserError(
            f"{path}: expected the columns {needed}, all filled ({error}). Take the file as published."
        ) from error


def _doses_of_plate_map(path: Path) -> dict[str, tuple[int, int]]:
    """The same, from the published plate map: a line of description, then one concentration per line, row by row."""
    lines = [line.strip() for line in path.read_text(encoding="latin-1").splitlines() if line.strip()]
    try:
        values = [float(line) for line in lines[1:]]
    except ValueError as error:
        raise UserError(f"{path}: expected a number on each line after the first ({error}). Download it again.") from error
    if len(values) != 96:
        raise UserError(f"{path}: expected 96 concentrations after the first line, found {len(values)}. Download it again.")
    doses = {}
    for first in (0, 48):  # half a plate per compound, each in its own unit
        half = values[first : first + 48]
        series = sorted({value for index, value in enumerate(half) if _in_series(index) and value})
        for index, value in enumerate(half):
            rank = series.index(value) + 1 if _in_series(index) and value else POSITIVE_DOSE if value else 0
            control = 0 if 0 < rank < POSITIVE_DOSE else 1 if rank else -1
            doses[_well(first + index)] = (rank, control)
    return doses


def _in_series(index: int) -> bool:
    """Whether the well of that index (counted row by row from 0) is in columns 3 to 11; beside them are the controls."""
    return 2 <= index % 12 <= 10


def _well(index: int) -> str:
    """Name of a well, counted row by row from 0."""
    return f"{'ABCDEFGH'[index // 12]}{index % 12 + 1:02d}"


def _number(well: str) -> int:
    """Number of a well, counted row by row from 1."""
    return (ord(well[0]) - ord("A")) * 12 + int(well[1:])
