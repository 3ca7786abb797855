"""A made-up mirror of BBBC022: the true names of archives, folders, files and columns, with tiny images."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

from phenorep.datasets import bbbc022
from tests.unit import made_mirror

SIZE = made_mirror.SIZE
SITES = 4
NUCLEI = 6  # of each field
# Well -> role and compound. One name has commas, which break its line as they do in the published table.
WELLS = {
    "A01": ("compound", "NIFLUMIC ACID"),
    "A02": ("compound", "(S)-(+)-2,3-dihydro"),
    "A13": ("mock", ""),
    "B05": ("compound", ""),  # known by its code alone
    "B06": ("compound", "cytochalasin D"),
    "B13": ("mock", ""),
}
COLUMNS = (
    *("TableNumber", "ImageNumber"),
    *(f"Image_FileName_{name}" for name in ("OrigER", "OrigHoechst", "OrigMito", "OrigPh_golgi", "OrigSyto")),
    *("Image_Metadata_ASSAY_WELL_ROLE", "Image_Metadata_BROAD_ID", "Image_Metadata_CPD_MMOL_CONC"),
    *("Image_Metadata_CPD_PLATE_MAP_NAME", "Image_Metadata_CPD_SMILES", "Image_Metadata_CPD_WELL_POSITION"),
    *("Image_Metadata_PlateID", "Image_Metadata_SOURCE_COMPOUND_NAME", "Image_Metadata_SOURCE_NAME"),
    *("Image_Metadata_Site", "Image_Metadata_TimePoint"),
)


def file_name(plate: str, well: str, site: int, number: str) -> str:
    """As published: an identifier without meaning behind the channel."""
    return f"IXMtest_{well}_s{site}_w{number}{made_mirror.hash_of(plate, well, site, number):08X}-F77C-4892.tif"


def is_abnormal(well: str, site: int) -> bool:
    """Whether the field is out of focus: one of four in each well."""
    return site == 1 + sum(map(ord, well)) % SITES


def image_table(plates) -> pd.DataFrame:
    """Rows of the published image table."""
    rows = []
    for plate in plates:
        for place, (well, (role, name)) in enumerate(WELLS.items()):
            code = f"BRD-K{place:08d}-001" if role == "compound" else ""
            for site in range(1, SITES + 1):
                row = dict.fromkeys(COLUMNS, "") | {"TableNumber": 1, "ImageNumber": len(rows) + 1}
                for theirs, number in bbbc022.CHANNELS.values():
                    row[f"Image_FileName_{theirs}"] = file_name(plate, well, site, number)
                row |= {"Image_Metadata_ASSAY_WELL_ROLE": role, "Image_Metadata_BROAD_ID": code}
                row |= {"Image_Metadata_CPD_WELL_POSITION": well, "Image_Metadata_PlateID": plate}
                row |= {"Image_Metadata_SOURCE_COMPOUND_NAME": name, "Image_Metadata_Site": site}
                row |= {"Image_Metadata_SOURCE_NAME": "Biomol International Inc." if name else ""}
                rows.append(row)
    return pd.DataFrame(rows)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """As the published file: nothing is quoted, so that a comma in a name is one field more."""
    lines = [",".join(table.columns), *(",".join(map(str, row)) for row in table.itertuples(index=False))]
    path.write_text("\n".join(lines) + "\n")


def image(plate: str, well: str, site: int, number: str) -> np.ndarray:
    """Six discs, at the same places in all channels; blurred where the field is abnormal."""
    from scipy.ndimage import gaussian_filter

    drawn = made_mirror.image(plate, well, site, number) % 4096
    if is_abnormal(well, site):
        drawn = np.round(gaussian_filter(drawn.astype(float), 4)).astype(np.uint16)
    return np.minimum(drawn, 4095)


def archive(plate: str, number: str) -> bytes:
    """A plate's archive of one channel: a folder of the archive's name with its images."""
    buffer = io.BytesIO()
    folder = f"BBBC022_v1_images_{plate}w{number}"
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr(f"{folder}/", "")
        for well in WELLS:
            for site in range(1, SITES + 1):
                content = io.BytesIO()
                tifffile.imwrite(content, image(plate, well, site, number))
                opened.writestr(f"{folder}/{file_name(plate, well, site, number)}", content.getvalue())
    return buffer.getvalue()


def make_mirror(folder: Path, plates, channels=bbbc022.Config.channels) -> Path:
    """Write the mirror of some plates into a folder, as it can be given as `path`, or served."""
    folder.mkdir(parents=True, exist_ok=True)
    write_table(image_table(plates), folder / bbbc022.IMAGE_TABLE)
    for plate in plates:
        for channel in channels:
            number = bbbc022.CHANNELS[channel][1]
            (folder / f"BBBC022_v1_images_{plate}w{number}.zip").write_bytes(archive(plate, number))
    return folder


def annotations(plates) -> pd.DataFrame:
    """Labels of all cells, as a person would give them."""
    rows = []
    for plate in plates:
        for well in WELLS:
            for site in range(1, SITES + 1):
                quality, artefact = ("abnormal", "out_of_focus") if is_abnormal(well, site) else ("normal", "")
                rows += [(f"{plate}/{well}/{site}/{number}", quality, artefact) for number in range(1, NUCLEI + 1)]
    return pd.DataFrame(rows, columns=["Sample", "Label_Quality", "Label_Artefact"])
