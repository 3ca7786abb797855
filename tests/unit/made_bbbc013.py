"""A small copy of BBBC013, named as it is published."""

from pathlib import Path

import numpy as np
from PIL import Image

from phenorep.datasets import bbbc013

WORTMANNIN = ["0.98", "1.95", "3.91", "7.81", "15.63", "31.25", "62.5", "125", "250"]  # nM
LY294002 = ["0.31", "0.63", "1.25", "2.5", "5", "10", "20", "40", "80"]  # uM


def plate_map():
    """A file of the published format: a line of description, then 96 concentrations row by row."""
    rows = [["0", "0", *WORTMANNIN, "150"]] * 4 + [["80", "0", *LY294002, "0"]] * 4
    return "DESCRIPTION Dose\r\n" + "".join(f"{value}\r\n" for row in rows for value in row)


def names(suffix):
    for index in range(96):
        for channel in "12":
            yield f"Channel{channel}-{index + 1:02d}-{'ABCDEFGH'[index // 12]}-{index % 12 + 1:02d}.{suffix}"


def write(folder: Path) -> Path:
    """Write the copy into a folder, as the published archive unpacks: BMP images in a folder, the plate map beside it."""
    (folder / "BBBC013_v1_images_bmp").mkdir(parents=True)
    for name in names("BMP"):
        Image.fromarray(np.full((4, 4), int(name[7]), np.uint8)).save(folder / "BBBC013_v1_images_bmp" / name)
    (folder / bbbc013.PLATE_MAP).write_text(plate_map(), newline="")
    return folder
