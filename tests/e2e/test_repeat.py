"""The same study gives the same bytes, in whatever order its table lists the images."""

import contextlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from phenorep import embedding, evaluations, fields, nuclei, plugins, preprocessing, pretrain, profiles, store
from phenorep.datasets import simulated
from phenorep.datasets import table as own
from phenorep.imaging import illumination
from tests.e2e.conftest import TINY_SCREEN

CHANNELS = ("DNA", "Actin", "Tubulin")
SIMCLR = {"use": "simclr", "keys": {"backbone": "resnet10t", "epochs": 2, "batch_size": 32}}
TVN = [{"tvn": {}}, {"aggregate": {"by": "treatment", "with": "median"}}]
# Fewer samples than there are, so that some are drawn.
EVALUATIONS = {
    "moa_matching": {},
    "linear_probe": {"max_samples": 60, "permutations": 1, "groups": "Metadata_Well"},
    "invariance": {"samples": 40},
}


def listed(folder: Path) -> pd.DataFrame:
    """Draw the tiny screen; a table of its fields without names of sites, which must follow from the images."""
    screen = plugins.configure(simulated.Config, TINY_SCREEN, "datasets: screen")
    tables = []
    for plate in simulated.plates(screen):
        simulated.download(screen, plate, folder / plate)
        table = simulated.fields(screen, plate, folder)
        columns = [name for name in table if name.startswith(("Metadata_", "FileName_")) and name != "Metadata_Site"]
        tables.append(table[columns].assign(**{f"PathName_{channel}": plate for channel in CHANNELS}))
    return pd.concat(tables, ignore_index=True)


def made_of(table: pd.DataFrame, folder: Path) -> dict[str, bytes]:
    """What the steps of a run leave, in their order: file by file."""
    preprocess = preprocessing.settings({})
    with contextlib.chdir(folder):
        table.to_csv("plates.csv", index=False)
        dataset = plugins.configure(own.Config, {"table": "plates.csv"}, "datasets: own")
        samples = {"tables": [], "statistics": []}
        for plate in own.plates(dataset):
            files = {kind: f"{kind}/{plate}.parquet" for kind in ("fields", "nuclei", "quality")}
            files |= {kind: f"{kind}/{plate}.npz" for kind in ("illumination", "masks")}
            paths = SimpleNamespace(**{kind: _placed(path) for kind, path in files.items()})
            cut = {
                "array": f"samples/{plate}.npy",
                "table": f"samples/{plate}.parquet",
                "statistics": f"samples/{plate}.json",
            }
            outputs = SimpleNamespace(**{kind: _placed(path) for kind, path in cut.items()})
            fields.make(own, dataset, plate, "resources/own", "stop", paths.fields)
            illumination.make(paths.fields, preprocessing.stage(preprocess, "illumination"), 1, paths.illumination)
            nuclei.make(paths, preprocessing.stage(preprocess, "nuclei"), 1, paths)
            store.make(
                {"use": "nuclei", "keys": {"size": 32}}, preprocessing.stage(preprocess, "samples"), paths, outputs, 1
            )
            samples["tables"].append(outputs.table)
            samples["statistics"].append(outputs.statistics)
        trained = [_placed("encoder/encoder.safetensors"), "encoder/training.csv", "encoder/epochs"]
        sources = [{"samples": "own/cells", "where": None, "labels": None, **samples}]
        pretrain.make(SIMCLR, sources, None, 0, {"device": "cpu"}, 1, trained)
        embedding.make(trained[0], *samples.values(), {"device": "cpu"}, 1, "embeddings.parquet")
        profiles.make("embeddings.parquet", TVN, "profiles.parquet", "profiles.npz")
        inputs = {"embeddings": "embeddings.parquet", "profiles": "profiles.parquet", **samples}
        row = {"dataset": "own", "samples": "cells", "method": "simclr", "seed": "0", "epoch": "final", "profile": "tvn"}
        for name, keys in EVALUATIONS.items():
            asked = {"use": name, "keys": keys}
            evaluations.make(asked, inputs, trained[0], row, {"device": "cpu"}, f"{name}.csv", f"{name}.parquet")
        names = [*(path for paths in samples.values() for path in paths), trained[0], "embeddings.parquet"]
        names += ["profiles.parquet", *(f"{name}.csv" for name in EVALUATIONS), "linear_probe.parquet"]
        return {name: Path(name).read_bytes() for name in names}


def _placed(path: str) -> str:
    Path(path).parent.mkdir(exist_ok=True)
    return path


@pytest.fixture(scope="module")
def screen(tmp_path_factory) -> tuple[Path, pd.DataFrame]:
    """A folder of images, and their table as the microscope would list them."""
    folder = tmp_path_factory.mktemp("screen")
    return folder, listed(folder)


def test_another_order_of_the_table_changes_no_byte(screen):
    folder, table = screen
    plain = made_of(table, folder)
    shuffled = table.iloc[np.random.default_rng(1).permutation(len(table))]
    assert shuffled["Metadata_Plate"].iloc[0] != table["Metadata_Plate"].iloc[0]
    other = made_of(shuffled, folder)
    assert other.keys() == plain.keys()
    assert not [name for name in plain if plain[name] != other[name]]
