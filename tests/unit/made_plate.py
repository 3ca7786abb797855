"""A small made-up plate of round nuclei, in files, for tests of what happens to images."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import tifffile

from phenorep import contracts, fields, nuclei, preprocessing, store
from phenorep.imaging import illumination


@dataclass
class Plate:
    """Paths of a plate's files, and the truth."""

    folder: Path
    channels: list[str]
    vignette: np.ndarray
    centres: list[np.ndarray]  # per field: (y, x) of its nuclei

    def __getattr__(self, name: str) -> Path:
        endings = {"fields": "parquet", "illumination": "npz", "nuclei": "parquet", "masks": "npz", "quality": "parquet"}
        if name not in endings:
            raise AttributeError(name)
        return self.folder / f"{name}.{endings[name]}"

    def image(self, field: int, channel: str) -> Path:
        return self.folder / f"{field}_{channel}.tif"

    def prepare(self, threads: int = 1, **keys) -> "Plate":
        """Make illumination functions and nuclei."""
        chosen = preprocessing.settings(keys)
        illumination.make(self.fields, preprocessing.stage(chosen, "illumination"), threads, self.illumination)
        nuclei.make(self, preprocessing.stage(chosen, "nuclei"), threads, self)
        return self

    def cut(self, name: str, threads: int = 1, use: str = "nuclei", where: str | None = None, **keys):
        """Make a sample set; returns its paths."""
        block = {"use": use, "keys": keys} | ({"where": where} if where else {})
        outputs = sample_paths(self.folder / name)
        store.make(block, {"on_bad_image": "exclude"}, self, outputs, threads)
        return outputs


def sample_paths(folder: Path) -> SimpleNamespace:
    return SimpleNamespace(
        **{k: folder / f"P1.{e}" for k, e in (("array", "npy"), ("table", "parquet"), ("statistics", "json"))}
    )


def draw(size, centres, radius, level, background):
    y, x = np.mgrid[: size[0], : size[1]]
    image = np.full(size, float(background))
    for centre in centres:
        image += level * (np.hypot(y - centre[0], x - centre[1]) <= radius)
    return np.minimum(image, level + background)


def vignette_of(size, strength=0.25):
    y, x = np.meshgrid(*(np.linspace(-1, 1, length) for length in size), indexing="ij")
    return 1 - strength * ((y - 0.2) ** 2 + (x + 0.1) ** 2) / 2


def scatter(generator, size, count, apart):
    """Places anywhere in the image, not too near to each other."""
    places = np.empty((0, 2))
    for place in generator.uniform((0, 0), size, (100 * count, 2)):
        if len(places) < count and (np.hypot(*(places - place).T) > apart).all():
            places = np.vstack([places, place])
    return places


def make_plate(folder, count=6, size=(120, 150), channels=("DNA", "Actin"), bits=12, radius=7, per_field=6, seed=0, at=None):
    """Write a plate's images and fields table; `at` places nuclei instead of chance."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    vignette, highest = vignette_of(size), 2**bits - 1
    rows, truth = [], []
    for number in range(count):
        centres = scatter(generator, size, per_field, 3 * radius) if at is None else np.array(at).reshape(-1, 2)
        truth.append(centres)
        row = {
            "Metadata_Plate": "P1",
            "Metadata_Well": f"A{number + 1:02d}",
            "Metadata_Site": "1",
            "Label_Odd": str(number % 2),
        }
        for channel in channels:
            clean = draw(size, centres, radius, 0.6 * highest, 0.05 * highest) * vignette
            noisy = generator.normal(clean, 0.004 * highest)
            image = np.clip(np.rint(noisy), 0, highest).astype(np.uint8 if bits == 8 else np.uint16)
            tifffile.imwrite(folder / f"{number}_{channel}.tif", image)
            row |= {f"FileName_{channel}": f"{number}_{channel}.tif", f"PathName_{channel}": str(folder)}
        rows.append(row)
    table = pd.DataFrame(rows)
    table = table[[name for name in table if "Name_" not in name] + [name for name in table if "Name_" in name]]
    about = {"channels": list(channels), "pixel_size_um": None, "intensity_max": highest}
    plate = Plate(folder, list(channels), vignette, truth)
    contracts.write_table(fields.with_headers(table, about, "P1"), plate.fields, "fields", about)
    return plate
