"""Small sample sets in the store's format, for tests of training and embedding."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import checksums, contracts


def write(
    folder: Path,
    plates: int = 2,
    count: int = 12,
    channels: tuple[str, ...] = ("DNA", "Actin"),
    size: tuple[int, int] = (24, 24),
    intensity_max: int | None = 4095,
    seed: int = 0,
) -> dict[str, list[str]]:
    """Write sample sets of blobs; compounds A, B and "" take turns."""
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    files = {"tables": [], "statistics": []}
    rows, columns = np.mgrid[: size[0], : size[1]]
    for plate in range(1, plates + 1):
        width = generator.uniform(2, 5, size=(count, len(channels), 1, 1))
        distance = (rows - size[0] / 2) ** 2 + (columns - size[1] / 2) ** 2
        images = 200 * plate + 1500 * np.exp(-distance / width**2) + generator.normal(0, 20, (count, len(channels), *size))
        images = images.clip(0, 4095).astype(np.uint16)
        wells = [f"A{1 + number // 2:02d}" for number in range(count)]
        table = pd.DataFrame(
            {
                "Metadata_Plate": f"P{plate}",
                "Metadata_Well": wells,
                "Metadata_Site": "1",
                "Metadata_Compound": [("A", "B", "")[number % 3] for number in range(count)],
                "Split_fold": ["train" if number % 4 else "test" for number in range(count)],
                "Sample": [f"P{plate}/{well}/1/{number}" for number, well in enumerate(wells)],
            }
        )
        about = {
            "channels": list(channels),
            "dtype": "uint16",
            "intensity_max": intensity_max,
            "shape": [len(channels), *size],
            "count": count,
            "mean": images.mean(axis=(0, 2, 3)).tolist(),
            "std": images.std(axis=(0, 2, 3)).tolist(),
            "sums": images.sum(axis=(0, 2, 3), dtype=np.uint64).tolist(),
            "illumination": "",
            "of": None,
        }
        np.save(folder / f"P{plate}.npy", images)
        table[checksums.COLUMN] = checksums.of_samples(images)
        contracts.write_table(table, folder / f"P{plate}.parquet", "samples", about)
        (folder / f"P{plate}.json").write_text(json.dumps(about))
        files["tables"].append(str(folder / f"P{plate}.parquet"))
        files["statistics"].append(str(folder / f"P{plate}.json"))
    return files


def reordered(folder: Path, files: dict[str, list[str]], seed: int = 1) -> dict[str, list[str]]:
    """The same samples in sets whose plates and rows stand in another order."""
    folder.mkdir(parents=True)
    generator, made = np.random.default_rng(seed), {"tables": [], "statistics": []}
    for table, statistics in list(zip(files["tables"], files["statistics"], strict=True))[::-1]:
        rows = contracts.read_table(table, "samples")
        order = generator.permutation(len(rows))
        target = folder / Path(table).name
        contracts.write_table(rows.iloc[order].reset_index(drop=True), target, "samples", contracts.about(table))
        np.save(target.with_suffix(".npy"), np.load(Path(table).with_suffix(".npy"))[order])
        target.with_suffix(".json").write_bytes(Path(statistics).read_bytes())
        made["tables"].append(str(target))
        made["statistics"].append(str(target.with_suffix(".json")))
    return made


def pretrain_arguments(folder: Path, files: dict, use: str, keys: dict, **other) -> dict:
    """Arguments of `pretrain.make` for outputs in a folder."""
    return {
        "method": {"use": use, "keys": keys},
        "sources": [{"samples": "made/cells", "where": None, "labels": None, **files}],
        "init": None,
        "seed": 0,
        "compute": {"device": "cpu"},
        "threads": 1,
        "outputs": [str(folder / "encoder.safetensors"), str(folder / "training.csv"), str(folder / "epochs")],
    } | other
