"""Embeddings of the run's own plates outside the run are the run's, whatever the method and the settings."""

from types import SimpleNamespace

import numpy as np
import pytest

from phenorep import applying, contracts, embedding, plugins, pretrain, store
from tests.unit import made_plate, made_samples
from tests.unit.test_methods import ENCODERS, SMALL

SETTINGS = {
    "on_bad_image": "exclude",
    "illumination": {"smoothing": "gaussian", "size": 40},
    "nuclei": {"channel": "Hoechst", "diameter": [9, 40], "threshold": "minimum_cross_entropy", "border": "keep"},
}
VIEW = {"use": "tiles", "keys": {"size": 24}, "of": "cells", "where": "Nucleus != 2"}
SCALINGS = ("range", {"clip": 1500}, "plate")


def write_plate(folder, channels, bits=12, seed=0):
    """A plate as the workflow's jobs leave it, and its table of fields."""
    plate = made_plate.make_plate(folder, 2, (84, 90), channels, bits, per_field=6, seed=seed).prepare(**SETTINGS)
    cells = plate.cut("cells", size=32, edge="pad", border="keep", where="AreaShape_Area > 20")
    view = made_plate.sample_paths(folder / "view")
    store.make_view(VIEW, cells, view)
    fields = contracts.read_table(plate.fields, "fields")
    wanted = ("Metadata_", "Label_", "FileName_", "PathName_")
    fields[[name for name in fields if name.startswith(wanted)]].to_csv(folder / "plates.csv", index=False)
    files = {"tables": [str(view.table)], "statistics": [str(view.statistics)]}
    return SimpleNamespace(plate=plate, cells=cells, files=files, table=folder / "plates.csv")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_plate(tmp_path_factory.mktemp("made"), ("Hoechst", "Actin", "Tubulin"))


def run(made, folder, use, **keys):
    """The encoder and the embeddings of a method, as the jobs make them."""
    known = plugins.config_keys("methods", use)
    chosen = {key: value for key, value in (SMALL | {"backbone": "test_resnet"}).items() if key in known}
    arguments = made_samples.pretrain_arguments(folder, made.files, use, chosen | keys)
    arguments["sources"][0]["labels"] = "Metadata_Well" if use == "classifier" else None
    pretrain.make(**arguments)
    encoder = folder / "encoder.safetensors"
    embedding.make(encoder, **made.files, compute={"device": "cpu"}, threads=1, output=folder / "run.parquet",
                   channels=keys.get("channels"))  # fmt: skip
    return str(encoder), contracts.read_table(folder / "run.parquet", "embeddings")


def embed(encoder, table, output, **options):
    given = {"encoder": encoder, "images": [str(table)], "output": str(output), "device": "cpu", "threads": 1}
    applying.make(given | options)
    return contracts.read_table(output, "embeddings")


def features(table):
    return table[contracts.feature_columns(table.columns)].to_numpy()


def check_same(found, expected):
    assert found["Sample"].tolist() == expected["Sample"].tolist()
    np.testing.assert_allclose(features(found), features(expected), rtol=0, atol=1e-6)
    assert np.ptp(features(expected), axis=0).max() > 1e-3


# Each method with one of the scalings; image_quality refuses that by plate.
CASES = [(name, SCALINGS[number % 3]) for number, name in enumerate(sorted(set(ENCODERS) - {"image_quality"}))]
CASES.append(("image_quality", "range"))


@pytest.mark.parametrize(("name", "scaling"), CASES, ids=[f"{name}-{next(iter(scaling))}" for name, scaling in CASES])
def test_a_plate_of_the_run_gives_the_numbers_of_the_run(made, tmp_path, capsys, name, scaling):
    encoder, expected = run(made, tmp_path, name, scaling=scaling, channels=["Tubulin", "Hoechst"])
    check_same(embed(encoder, made.table, tmp_path / "new.parquet"), expected)
    assert "WARNING" not in capsys.readouterr().out
