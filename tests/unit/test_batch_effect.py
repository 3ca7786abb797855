"""What typical variation normalisation does to differences between batches, on simulated fields from image to score."""

import json

import numpy as np
import pandas as pd

from phenorep import contracts, embedding, pretrain, profiles
from phenorep.datasets.simulated import Config
from phenorep.evaluations import Inputs, Score, moa_matching
from phenorep.simulation import layout, screen
from phenorep.simulation.optics import optics

# Three plates, one in each batch: 48 treatments of eight mechanisms. Effects are larger than by default, and there are more
# negative controls (72 fields) than features (36): so few fields suffice.
SCREEN = {
    **{"plates_per_batch": 1, "wells_per_treatment": 1, "negative_wells": 12, "positive_wells": 0, "sites": 2},
    **{"size": 192, "cells": 9.0, "effect": 1.5, "artefact_share": 0.0},
}
STATISTICS = {"percentiles": [5.0, 50.0, 95.0], "scales": [1, 4]}
TO_TREATMENTS = [
    {"aggregate": {"by": ["treatment", "plate"], "with": "mean"}},
    {"aggregate": {"by": "treatment", "with": "median"}},
]
PROFILES = {"raw": TO_TREATMENTS, "tvn": [{"tvn": {"fit": "negative"}}, *TO_TREATMENTS]}


def nscb(folder, batch_effect: float) -> dict[str, Score]:
    """NSCB of each profile on a screen with differences between batches of this size."""
    files = draw(Config(**SCREEN, batch_effect=batch_effect), folder)
    encoder, embeddings = folder / "encoder.safetensors", folder / "embeddings.parquet"
    pretrain.make(
        {"use": "pixel_statistics", "keys": STATISTICS},
        [{"samples": "screen/fields", "where": None, "labels": None, **files}],
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
        (found[name],) = (score for score in scores if (score.metric, score.control) == ("nscb", "none"))
    return found


def draw(config: Config, folder) -> dict[str, list[str]]:
    """Draw all fields and store each whole as a sample; returns the files of the sample set."""
    folder.mkdir()
    files = {"tables": [], "statistics": []}
    for plate in layout.plates(config):
        light, rows, images = optics(config, plate), [], []
        for well in layout.wells(config, plate).itertuples(index=False):
            for site in map(str, range(1, config.sites + 1)):
                images.append(screen.draw_field(config, light, well, site, artefact="")[0])
                sample = f"{plate}/{well.Metadata_Well}/{site}/1"
                rows.append(well._asdict() | {"Metadata_Site": site, "Sample": sample})
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
    """Negative controls show what differs between batches without any treatment: whitened by them, treatments find
    neighbours of their mechanism in other batches, which is all that NSCB counts. Where batches are alike, controls vary
    between wells and cells alone, and that may be whitened away as well.
    """
    strong, absent = nscb(tmp_path / "strong", 3.0), nscb(tmp_path / "absent", 0.0)
    assert strong["raw"].n == absent["raw"].n == 48
    assert strong["raw"].value < absent["raw"].value  # the batches do hide the mechanisms
    assert strong["tvn"].value > strong["raw"].value + 0.15
    assert strong["tvn"].ci_low > strong["raw"].value
    assert absent["tvn"].value >= absent["raw"].ci_low
