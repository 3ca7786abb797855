"""Small made-up plates, with files as the steps write them: fields, qualities, illumination functions, samples."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import contracts

CHANNELS = ("DNA", "Actin")
COMPOUNDS = ("vehicle", "kinase & co", "", "<b>bold</b>")


WELLS = ("A01", "A02", "B01", "H12")


def make_plates(folder: Path, names: list[str], wells: tuple[str, ...] = WELLS, cells: int = 3) -> dict:
    """Write the files of some plates, and return a plan that names them.

    A well's samples are of the grey level 100 times its number (from 1), plus 10 on the second channel. Plate number `n` has
    lost `n` of its fields, at most all but one.
    """
    files: dict[str, list[dict]] = {kind: [] for kind in ("fields", "quality", "illumination", "samples")}
    for number, plate in enumerate(names):
        stem = folder / f"plate{number}"
        where = {"dataset": "made", "plate": plate}
        fields = pd.DataFrame({"Metadata_Plate": plate, "Metadata_Well": wells, "Metadata_Site": "1"})
        fields["Metadata_Compound"] = [COMPOUNDS[index % 4] for index in range(len(wells))]
        fields["Metadata_Concentration"] = [np.nan, 0.5, np.nan, 10.0] * (len(wells) // 4) + [np.nan] * (len(wells) % 4)
        fields["Metadata_Control"] = ["negative" if name == "vehicle" else "" for name in fields["Metadata_Compound"]]
        lost = np.arange(len(wells)) < min(number, len(wells) - 1)
        fields["Problem"] = np.where(lost, "a02.tif <i>truncated</i>", "")
        contracts.write_table(fields, f"{stem}_fields.parquet", "fields")
        quality = fields[[*contracts.FIELD, "Problem"]].assign(Count_Nuclei=cells + 1)
        for channel in CHANNELS:
            quality[f"ImageQuality_Focus_{channel}"] = -0.5
            quality[f"ImageQuality_Background_{channel}"] = np.arange(len(wells)) + 100.0
        contracts.write_table(quality, f"{stem}_quality.parquet", "field_quality")
        function = 1 + np.add.outer(np.linspace(0, 0.5, 30), np.linspace(0, 0.5, 40)).astype(np.float32)
        np.savez(f"{stem}.npz", DNA=function, Actin=function, about=json.dumps({"channels": CHANNELS, "engine": "native"}))
        samples = fields.loc[fields.index.repeat(cells)].reset_index(drop=True).drop(columns="Problem")
        samples["Sample"] = [f"{plate}/{row}" for row in range(len(samples))]
        levels = 100 * (1 + np.repeat(np.arange(len(wells)), cells))
        pixels = np.broadcast_to(levels[:, None, None, None], (len(samples), 2, 16, 16)).astype(np.uint16).copy()
        pixels[:, 1] += 10
        np.save(f"{stem}_samples.npy", pixels)
        contracts.write_table(samples, f"{stem}_samples.parquet", "samples")
        facts = {"channels": CHANNELS, "dtype": "uint16", "intensity_max": 4095, "shape": [2, 16, 16], "count": len(samples)}
        facts |= {"mean": [1.0, 1.0], "std": [1.0, 1.0], "illumination": None, "of": None}
        Path(f"{stem}_samples.json").write_text(json.dumps(facts))
        files["fields"].append({**where, "path": f"{stem}_fields.parquet"})
        files["quality"].append({**where, "path": f"{stem}_quality.parquet"})
        files["illumination"].append({**where, "path": f"{stem}.npz"})
        files["samples"].append({**where, "samples": "cells", "path": f"{stem}_samples.parquet"})
    return {"name": "trial", "datasets": {"made": {"plates": names}}, "files": files}
