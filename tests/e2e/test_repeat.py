"""The same study gives the same bytes, whatever number of cores runs it and in whatever order its table lists the images."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from phenorep import plugins
from phenorep.datasets import simulated
from tests.e2e.conftest import TINY_SCREEN, Project

CHANNELS = ("DNA", "Actin", "Tubulin")
PATTERNS = ("encoders/**/*.safetensors", "samples/**/*.npy", "embeddings/**/*.parquet", "profiles/**/*.parquet")
CONFIG = {
    "name": "repeat",
    # Names of sites are left out: they must follow from the images, too.
    "datasets": {"own": {"use": "table", "table": "plates.csv"}},
    "samples": {"cells": {"use": "nuclei", "size": 32}},
    "methods": {"simclr": {"backbone": "resnet10t", "epochs": 2, "batch_size": 32}},
    "profiles": {"tvn": [{"tvn": {}}, {"aggregate": {"by": "treatment", "with": "median"}}]},
    # Fewer samples than there are, so that some are drawn.
    "evaluations": {
        "moa_matching": {},
        "linear_probe": {"max_samples": 60, "permutations": 1, "groups": "Metadata_Well"},
        "invariance": {"samples": 40},
    },
    "studies": {
        "repeat": {
            "dataset": "own",
            "samples": "cells",
            "methods": ["simclr"],
            "profiles": ["tvn"],
            "evaluations": ["moa_matching", "linear_probe", "invariance"],
        }
    },
}


def run(folder: Path, shuffled: bool, cores: int) -> Path:
    """Draw the tiny screen, list it in a table, run the study; returns the folder of results."""
    project = Project(folder)
    screen = plugins.configure(simulated.Config, TINY_SCREEN, "datasets: screen")
    tables = []
    for plate in simulated.plates(screen):
        simulated.download(screen, plate, folder / plate)
        table = simulated.fields(screen, plate, folder)
        columns = [name for name in table if name.startswith(("Metadata_", "FileName_")) and name != "Metadata_Site"]
        tables.append(table[columns].assign(**{f"PathName_{channel}": plate for channel in CHANNELS}))
    table = pd.concat(tables, ignore_index=True)
    if shuffled:
        table = table.iloc[np.random.default_rng(1).permutation(len(table))]
        assert table["Metadata_Plate"].iloc[0] != tables[0]["Metadata_Plate"].iloc[0]
    table.to_csv(folder / "plates.csv", index=False)
    project.finish(CONFIG, "--cores", str(cores), "results/scores/repeat.csv")
    return folder / "results"


def contents(results: Path) -> dict[str, bytes]:
    """What each file of samples, weights, features and scores holds, by its path."""
    paths = [path for pattern in PATTERNS for path in results.glob(f"own/{pattern}")]
    paths += [*results.glob("own/scores/**/*.csv"), results / "scores" / "repeat.csv"]
    return {path.relative_to(results).as_posix(): path.read_bytes() for path in sorted(paths)}


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> dict[str, bytes]:
    """Results with one core and the table as the microscope left it."""
    return contents(run(tmp_path_factory.mktemp("plain"), False, 1))


def test_more_cores_and_another_order_of_the_table_change_no_byte(plain, tmp_path):
    other = contents(run(tmp_path, True, 2))
    assert other.keys() == plain.keys()
    assert len([name for name in plain if name.endswith(".csv")]) == 4
    assert not [name for name in plain if plain[name] != other[name]]
