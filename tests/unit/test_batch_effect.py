"""What typical variation normalisation does to differences between batches, on simulated cells from image to score."""

import json

import numpy as np
import pandas as pd

from phenorep import contracts, embedding, pretrain, profiles, statistics
from phenorep.datasets.simulated import Config
from phenorep.evaluations import Inputs, moa_matching
from phenorep.simulation import layout, screen
from phenorep.simulation.optics import optics

# Three plates, one in each batch: 48 treatments of eight mechanisms, one field of each. Effects are larger than by default.
SCREEN = {
    **{"plates_per_batch": 1, "wells_per_treatment": 1, "negative_wells": 12, "positive_wells": 0, "sites": 1},
    **{"size": 256, "cells": 16.6, "effect": 1.5, "artefact_share": 0.0},
}
SIDE = 64  # pixels of a cell's sample
STATISTICS = {"percentiles": [5.0, 50.0, 95.0], "scales": [1, 4]}
TO_TREATMENTS = [
    {"aggregate": {"by": ["treatment", "plate"], "with": "mean"}},
    {"aggregate": {"by": "treatment", "with": "median"}},
]
PROFILES = {"raw": TO_TREATMENTS, "tvn": [{"tvn": {"fit": "negative"}}, *TO_TREATMENTS]}


def nscb(folder, **keys) -> dict[str, tuple[int, int]]:
    """Of each profile: how many treatments NSCB finds matched rightly, and how many it counts."""
    folder.mkdir()
    files = draw(Config(**SCREEN, **keys), folder)
    encoder, embeddings = folder / "encoder.safetensors", folder / "embeddings.parquet"
    pretrain.make(
        {"use": "pixel_statistics", "keys": STATISTICS},
        [{"samples": "screen/cells", "where": None, "labels": None, **files}],
        None,
        0,
        {"device": "cpu"},
        1,
        [str(encoder), str(folder / "training.csv"), str(folder / "epochs")],
    )
    embedding.make(encoder, files["tables"], files["statistics"], {"device": "cpu"}, 1, embeddings)
    found = {}
    for name, steps in PROFILES.items():
        path = folder / f"{name}.parquet"
        profiles.make(embeddings, steps, path, folder / f"{name}.npz")
        inputs = Inputs(profiles=contracts.read_table(path, "profiles"))
        scores, _ = moa_matching.evaluate(moa_matching.Config(permutations=1), inputs, seed=0)
        (score,) = (score for score in scores if (score.metric, score.control) == ("nscb", "none"))
        found[name] = (round(score.value * score.n), score.n)
    return found


def pooled(folder, batch_effect: float) -> dict[str, tuple[float, float, float]]:
    """NSCB of each profile over two screens, of other batches, compounds and cells each, with its interval."""
    screens = [nscb(folder / f"{batch_effect}_{seed}", batch_effect=batch_effect, seed=seed) for seed in (0, 1)]
    found = {}
    for name in PROFILES:
        right, count = (sum(numbers) for numbers in zip(*(screen[name] for screen in screens), strict=True))
        found[name] = (right / count, *statistics.wilson(right, count))
    return found


def draw(config: Config, folder) -> dict[str, list[str]]:
    """Draw all fields and cut the cells out of them where they are; returns the files of the sample set."""
    files = {"tables": [], "statistics": []}
    for plate in layout.plates(config):
        light, rows, images = optics(config, plate), [], []
        for well in layout.wells(config, plate).itertuples(index=False):
            field, nuclei = screen.draw_field(config, light, well, site="1", artefact="")
            corners = np.round(nuclei.centres).astype(int) - SIDE // 2
            for top, left in corners[((corners >= 0) & (corners + SIDE <= config.size)).all(axis=1)]:
                images.append(field[:, top : top + SIDE, left : left + SIDE])
                sample = f"{plate}/{well.Metadata_Well}/1/{len(images)}"
                rows.append(well._asdict() | {"Metadata_Site": "1", "Sample": sample})
        store(folder, plate, np.stack(images), pd.DataFrame(rows), files)
    return files


def store(folder, plate: str, images: np.ndarray, table: pd.DataFrame, files: dict) -> None:
    """Write a plate's samples in the store's format and add its files."""
    about = {
        **{"channels": list(layout.CHANNELS), "dtype": "uint16", "intensity_max": 4095, "illumination": "", "of": None},
        **{"shape": list(images.shape[1:]), "count": len(images)},
        **{"mean": images.mean(axis=(0, 2, 3)).tolist(), "std": images.std(axis=(0, 2, 3)).tolist()},
    }
    np.save(folder / f"{plate}.npy", images)
    contracts.write_table(table, folder / f"{plate}.parquet", "samples", about)
    (folder / f"{plate}.json").write_text(json.dumps(about))
    files["tables"].append(str(folder / f"{plate}.parquet"))
    files["statistics"].append(str(folder / f"{plate}.json"))


def test_tvn_helps_where_batches_differ_and_does_no_harm_where_they_do_not(tmp_path):
    """Negative controls show what differs between batches without any treatment. Whitened by them, treatments find
    neighbours of their mechanism in other batches, which is all that NSCB counts. Where batches are alike, controls show how
    cells vary by themselves, and without that treatments are told apart no worse.
    """
    strong, absent = pooled(tmp_path, 3.0), pooled(tmp_path, 0.0)
    value, low, _ = strong["tvn"]
    assert strong["raw"][0] < absent["raw"][1]  # the batches do hide the mechanisms
    assert value > strong["raw"][0] + 0.08
    assert low > strong["raw"][0]
    assert absent["tvn"][0] >= absent["raw"][1]
