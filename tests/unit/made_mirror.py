"""A made-up mirror of BBBC021: the true names of archives, folders, files and columns, with tiny images."""

import io
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

from phenorep.datasets import bbbc021

SIZE = (128, 160)
SITES = 4
# Well -> compound and concentration (micromolar); the wells of controls are those of the published plates.
WELLS = {
    "B02": ("DMSO", 0.0),
    "E11": ("DMSO", 0.0),
    "C02": ("taxol", 0.3),
    "B03": ("emetine", 0.3),
    "B04": ("AZ258", 1.0),
    "B05": ("AZ-A", 0.1),  # a compound without a mechanism
    "B06": ("epothilone B", 0.3),
    "B07": ("anisomycin", 1.0),
}
MECHANISMS = {
    ("DMSO", 0.0): "DMSO",
    ("taxol", 0.3): "Microtubule stabilizers",
    ("emetine", 0.3): "Protein synthesis",
    ("AZ258", 1.0): "Aurora kinase inhibitors",
    ("epothilone B", 0.3): "Microtubule stabilizers",
    ("anisomycin", 1.0): "Protein synthesis",
}


def file_name(plate: str, well: str, site: int, number: str) -> str:
    """As published: some weeks have a date before the well, all have an identifier without meaning behind the channel."""
    before = "Week2_180607_" if plate.startswith("Week2") else ""
    return f"{before}{well}_s{site}_w{number}{hash_of(plate, well, site, number):08X}-A983-4B98.tif"


def hash_of(*parts) -> int:
    """A number that is the same in every process."""
    return zlib.crc32(repr(parts).encode())


def image_table(plates) -> pd.DataFrame:
    """Rows of the published image table."""
    rows = []
    for plate in plates:
        for well, (compound, concentration) in WELLS.items():
            for site in range(1, SITES + 1):
                row = {"TableNumber": 1, "ImageNumber": len(rows) + 1}
                for name, number in bbbc021.CHANNELS.values():
                    row[f"Image_FileName_{name}"] = file_name(plate, well, site, number)
                    row[f"Image_PathName_{name}"] = f"{plate.split('_')[0]}/{plate}"
                row |= {"Image_Metadata_Plate_DAPI": plate, "Image_Metadata_Well_DAPI": well, "Replicate": 1}
                row |= {"Image_Metadata_Compound": compound, "Image_Metadata_Concentration": concentration}
                rows.append(row)
    return pd.DataFrame(rows)


def image(plate: str, well: str, site: int, number: str) -> np.ndarray:
    """Discs, at the same places in all channels, on a background that tells the channel: 1000 times its number."""
    places = np.random.default_rng(hash_of(plate, well, site)).uniform(-4, 4, (6, 2))
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    discs = np.zeros(SIZE, dtype=bool)
    for (down, right), start in zip(places, np.ndindex(2, 3), strict=True):
        discs |= np.hypot(y - 40 - 48 * start[0] - down, x - 32 - 48 * start[1] - right) < 11
    noise = np.random.default_rng(hash_of(plate, well, site, number)).integers(0, 50, SIZE)
    return (1000 * int(number) + 2000 * discs + noise).astype(np.uint16)


def archive(plate: str) -> bytes:
    """A plate's archive: a folder of the plate's name with its images."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr(f"{plate}/", "")
        for well in WELLS:
            for site in range(1, SITES + 1):
                for _, number in bbbc021.CHANNELS.values():
                    content = io.BytesIO()
                    tifffile.imwrite(content, image(plate, well, site, number))
                    opened.writestr(f"{plate}/{file_name(plate, well, site, number)}", content.getvalue())
    return buffer.getvalue()


def make_mirror(folder: Path, plates) -> Path:
    """Write the mirror of some plates into a folder, as it can be given as `path`, or served."""
    folder.mkdir(parents=True, exist_ok=True)
    image_table(plates).to_csv(folder / bbbc021.IMAGE_TABLE, index=False)
    rows = [(*treatment, mechanism) for treatment, mechanism in MECHANISMS.items()]
    pd.DataFrame(rows, columns=["compound", "concentration", "moa"]).to_csv(folder / bbbc021.MECHANISM_TABLE, index=False)
    for plate in plates:
        (folder / f"BBBC021_v1_images_{plate}.zip").write_bytes(archive(plate))
    return folder
