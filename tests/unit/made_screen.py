"""A made-up screen of the user's: a table of fields, images and plate maps."""

import numpy as np
import pandas as pd
import tifffile

from phenorep import plugins
from phenorep.datasets import table as module


def configure(**keys):
    return plugins.configure(module.Config, keys, "datasets: mine")


def make_screen(tmp_path):
    """Two plates of three wells with two fields each, as a LoadData table beside a folder of images."""
    rows = []
    for plate in ("Week1_01", "Week2_02"):
        (tmp_path / "images" / plate).mkdir(parents=True)
        for well, compound, concentration in (("A1", "DMSO", "0"), ("b02", "taxol", "0.3"), ("C03", "NA", "")):
            for site in ("1", "2"):
                row = {"Metadata_Plate": plate, "Metadata_Well": well, "Metadata_Site": site, "Metadata_Compound": compound}
                row |= {"Metadata_Concentration": concentration, "Metadata_Batch": plate[:5], "Count_Cells": "7"}
                for channel in ("DNA", "Actin"):
                    name = f"{well}_s{site}_{channel}.tif"
                    tifffile.imwrite(tmp_path / "images" / plate / name, np.ones((6, 8), np.uint16))
                    row |= {f"FileName_{channel}": name, f"PathName_{channel}": f"images/{plate}"}
                rows.append(row)
    return Screen(tmp_path, pd.DataFrame(rows))


class Screen:
    def __init__(self, folder, table):
        self.folder, self.table = folder, table

    def save(self, name="plates.csv"):
        path = self.folder / name
        self.table.to_parquet(path) if name.endswith("parquet") else self.table.to_csv(path, index=False)
        return str(path)

    def fields(self, plate="Week1_01", name="plates.csv", **keys):
        return module.fields(configure(table=self.save(name), **keys), plate, self.folder)


def with_map(screen, rows, columns=("Metadata_Well", "Metadata_Compound", "Metadata_Dose")):
    screen.table = screen.table.drop(columns=["Metadata_Compound", "Metadata_Concentration"], errors="ignore")
    path = screen.folder / "map.csv"
    pd.DataFrame(rows, columns=list(columns)).to_csv(path, index=False)
    return str(path)


WELLS = [["A01", "DMSO", "0"], ["B2", "taxol", "1"], ["C03", "nocodazole", "2"]]
