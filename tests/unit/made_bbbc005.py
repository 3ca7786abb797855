"""A small copy of BBBC005, named as it is published."""

from pathlib import Path

import numpy as np
import tifffile


def names():
    """Two numbers of cells at three blurs, two samples of each, both stains: the published names."""
    for row, blur in (("A", 1), ("B", 4), ("P", 48)):
        for column, cells in ((1, 1), (2, 5)):
            for site in (1, 10):
                for stain in (1, 2):
                    yield f"SIMCEPImages_{row}{column:02d}_C{cells}_F{blur}_s{site:02d}_w{stain}.TIF"


def write(folder: Path) -> Path:
    """Write the copy into a folder, as the published archive unpacks; the grey value tells the stain."""
    (folder / "BBBC005_v1_images").mkdir(parents=True)
    for name in names():
        image = np.full((4, 6), int(name[-5]), np.uint8)
        tifffile.imwrite(folder / "BBBC005_v1_images" / name, image)
    return folder
