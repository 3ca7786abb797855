"""A plate whose every pixel is known: noise, with functions, nuclei and masks as given, nothing estimated."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import tifffile

from phenorep import contracts, fields, masks, store
from phenorep.store import Samples


@dataclass
class WrittenPlate:
    """Paths of a plate's files."""

    folder: Path
    fields: Path
    illumination: Path
    nuclei: Path
    quality: Path
    masks: Path
    raw: np.ndarray  # (fields, C, H, W)
    functions: np.ndarray  # (C, H, W) float32
    labels: np.ndarray  # (fields, H, W)

    def cut(self, name: str = "cells", use: str = "nuclei", where: str | None = None, threads: int = 1, **keys) -> Samples:
        """Make a sample set and open it."""
        outputs = self.outputs(name)
        block = {"use": use, "keys": keys} | ({"where": where} if where else {})
        store.make(block, {"on_bad_image": "stop"}, self, outputs, threads)
        return Samples.open([outputs.table], [outputs.statistics])

    def view(self, name: str, parent: str, use: str | None = None, where: str | None = None, **keys) -> Samples:
        """Make a view of another sample set and open it."""
        outputs, table = self.outputs(name), self.outputs(parent)
        array = Path(store.read_statistics(table.statistics)["of"] or table.array)
        block = {"use": use, "keys": keys, "of": parent} | ({"where": where} if where else {})
        inputs = SimpleNamespace(table=table.table, statistics=table.statistics, array=array)
        store.make_view(block, inputs, outputs)
        return Samples.open([outputs.table], [outputs.statistics])

    def outputs(self, name: str) -> SimpleNamespace:
        endings = {"array": "npy", "table": "parquet", "statistics": "json"}
        return SimpleNamespace(**{key: self.folder / name / f"P1.{ending}" for key, ending in endings.items()})

    def corrected(self) -> np.ndarray:
        """Raw images over the functions: (fields, C, H, W) float32.

        The quotient of two float32 numbers, taken in float64 and rounded once, is that of float32 arithmetic.
        """
        return (self.raw.astype(np.float64) / self.functions.astype(np.float64)).astype(np.float32)

    def expected(self) -> np.ndarray:
        """What samples must hold at each pixel of the fields: (fields, C, H, W) integers."""
        return np.clip(np.round(self.corrected()), 0, np.iinfo(self.raw.dtype).max).astype(self.raw.dtype)


def write_plate(
    folder: Path,
    labels: list[np.ndarray],
    channels: tuple[str, ...] = ("DNA", "Actin"),
    bits: int = 16,
    seed: int = 0,
    about: dict | None = None,
) -> WrittenPlate:
    """Write images of noise over the whole range of `bits`, functions of 0.5 to 2, and nuclei as `labels` (H, W) show."""
    generator = np.random.default_rng(seed)
    shape = (len(channels), *labels[0].shape)
    dtype = np.uint8 if bits == 8 else np.uint16
    raw = generator.integers(0, 2**bits, (len(labels), *shape)).astype(dtype)
    functions = generator.uniform(0.5, 2, shape).astype(np.float32)
    paths = {name: folder / f"{name}.parquet" for name in ("fields", "nuclei", "quality")}
    paths |= {name: folder / f"{name}.npz" for name in ("illumination", "masks")}
    plate = WrittenPlate(folder, **paths, raw=raw, functions=functions, labels=np.stack(labels))

    folder.mkdir(parents=True, exist_ok=True)
    rows, nuclei = [], []
    for number, image in enumerate(raw):
        row = {"Metadata_Plate": "P1", "Metadata_Well": f"A{number + 1:02d}", "Metadata_Site": "1"}
        nuclei += [row | {"Field": number} | nucleus for nucleus in _nuclei(labels[number])]
        rows.append(dict(row))
        for plane, channel in zip(image, channels, strict=True):
            tifffile.imwrite(folder / f"{number}_{channel}.tif", plane)
            rows[-1] |= {f"FileName_{channel}": f"{number}_{channel}.tif", f"PathName_{channel}": str(folder)}
    facts = {"dataset": "mine", "channels": list(channels), "pixel_size_um": None, "intensity_max": None} | (about or {})
    contracts.write_table(fields.with_headers(pd.DataFrame(rows), facts, "P1"), plate.fields, "fields", facts)
    contracts.write_table(pd.DataFrame(nuclei), plate.nuclei, "nuclei")
    quality = pd.DataFrame(rows)[list(contracts.FIELD)].assign(Field=range(len(rows)), Problem="", Count_Nuclei=1)
    contracts.write_table(quality, plate.quality, "field_quality")
    np.savez(plate.illumination, **dict(zip(channels, functions, strict=True)))
    with masks.writer(plate.masks) as add:
        for number, image in enumerate(labels):
            add(number, image)
    return plate


def _nuclei(labels: np.ndarray) -> list[dict]:
    found = []
    for nucleus in np.unique(labels[labels > 0]):
        y, x = np.nonzero(labels == nucleus)
        place = {"Location_Center_X": x.mean(), "Location_Center_Y": y.mean(), "AreaShape_Area": len(x)}
        touching = min(y.min(), x.min()) == 0 or y.max() == len(labels) - 1 or x.max() == len(labels[0]) - 1
        found.append({"Nucleus": int(nucleus), **place, "Touches_Border": bool(touching)})
    return found
