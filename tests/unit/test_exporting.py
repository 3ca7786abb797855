"""What is exported is what AnnData's own library reads; what cannot be is a message."""

import hashlib
import json
import subprocess
import sys

import h5py
import numpy as np
import pandas as pd
import pytest

from phenorep import contracts, exporting, h5ad, profiles
from phenorep.errors import UserError
from tests.conftest import ROOT

ENCODER = {"recipe": "simclr", "seed": 3, "epoch": 5, "versions": {"torch": "2"}, "trained_on": [{"samples": "mine/cells"}]}
ABOUT = {
    "encoder": ENCODER,
    "blocks": {"simclr": {"features": 4, "channels": ["DNA", "Actin"]}, "own": {"features": 2, "names": ["Area", "Form"]}},
}


def embeddings(plates: int = 2, wells: int = 4, dtype=np.float32) -> list[pd.DataFrame]:
    """Plates of two cells a well; the wells of the first column are negative controls."""
    generator = np.random.default_rng(0)
    found = []
    for plate in range(plates):
        rows = [(f"P{plate}", f"A{1 + n // 2:02d}", "1", f"P{plate}/A{1 + n // 2:02d}/1/{n}") for n in range(2 * wells)]
        table = pd.DataFrame(rows, columns=["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Sample"])
        table["Metadata_Compound"] = ["DMSO" if well == "A01" else f"c{well}/µM" for well in table["Metadata_Well"]]
        table["Metadata_Control"] = np.where(table["Metadata_Well"] == "A01", "negative", "")
        table["Metadata_Concentration"] = [None if well == "A01" else 0.5 for well in table["Metadata_Well"]]
        table["Metadata_Unknown"] = None
        table["Label_Count"] = pd.array([None, *range(1, len(table))], dtype="Int64")
        table["Label_Odd"] = np.arange(len(table)) % 2 == 1
        table["Metadata_per/well"] = "x"
        table["Prediction_MoA_0"], table["Prediction_MoA_1"] = 0.25, 0.75
        features = generator.normal(size=(len(table), 6)).astype(dtype)
        names = [*contracts.feature_names("simclr", 4), *contracts.feature_names("own", 2)]
        found.append(pd.concat([table, pd.DataFrame(features, columns=names)], axis=1))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Embeddings, and the profiles that two lists of steps make of them, where the workflow keeps them."""
    root = tmp_path_factory.mktemp("exporting")
    path = root / "results/mine/embeddings/cells/simclr/seed3/final.parquet"
    with contracts.table_writer(path, "embeddings", ABOUT) as write:
        for table in embeddings():
            write(table)
    place = root / "results/mine/profiles/cells/simclr/seed3/final"
    by_well = {"aggregate": {"by": "well", "with": "mean"}}
    steps = {
        "wells": [by_well],
        "scaled": [{"plate_zscore": {}}, by_well],
        "treatments": [{"aggregate": {"by": "treatment", "with": "median"}}],
        "both": [{"aggregate": {"by": ["treatment", "plate"], "with": "mean"}}],
        "tvn": [{"tvn": {"components": 2}}, by_well],
    }
    for name, done in steps.items():
        profiles.make(path, done, place / f"{name}.parquet", place / f"{name}.npz")
    contracts.write_not_run(root / "absent.parquet", "the weights are not there")
    return root


@pytest.fixture(scope="module")
def exported(folder):
    """All of them exported, the wells with a layer."""
    place = folder / "results/mine"
    done = {"cells": "embeddings/cells/simclr/seed3/final"}
    done |= {name: f"profiles/cells/simclr/seed3/final/{name}" for name in ("wells", "treatments", "both")}
    for name, path in done.items():
        layers = {"scaled": place / "profiles/cells/simclr/seed3/final/scaled.parquet"} if name == "wells" else None
        exporting.export(place / f"{path}.parquet", folder / f"{name}.h5ad", layers, "phenorep export a b")
    return {name: (folder / f"{name}.h5ad", place / f"{path}.parquet") for name, path in done.items()}


def read(path) -> dict:
    """All elements of a file: values of arrays, attributes of groups."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.update({name: item[()] if isinstance(item, h5py.Dataset) else dict(item.attrs)})
        )
    return found


def test_features_are_those_of_the_table_in_its_precision(exported):
    for name, kind in (("cells", np.float32), ("wells", np.float64)):
        path, source = exported[name]
        table = pd.read_parquet(source)
        with h5py.File(path) as file:
            assert file["X"].dtype == kind
            np.testing.assert_array_equal(file["X"], table[contracts.feature_columns(table.columns)])


def test_rows_are_named_by_what_they_are(exported):
    names = {name: [text.decode() for text in read(path)["obs/" + key]] for name, (path, _), key in named(exported)}
    assert names["cells"][:2] == ["P0/A01/1/0", "P0/A01/1/1"]
    assert names["wells"][0] == "P0/A01"
    assert names["treatments"][0] == "cA02/µM 0.5 uM"
    assert names["both"][:2] == ["cA02/µM 0.5 uM/P0", "cA02/µM 0.5 uM/P1"]
    for found in names.values():
        assert len(set(found)) == len(found)


def named(exported):
    return [(name, entry, "Sample" if name == "cells" else "_index") for name, entry in exported.items()]


def test_names_that_are_there_twice_are_numbered():
    assert h5ad.unique(["a", "b", "a", "a", "a-1"]) == ["a", "b", "a-2", "a-3", "a-1"]


def test_sets_of_values_are_text(exported):
    found = read(exported["treatments"][0])
    assert [text.decode() for text in found["obs/Metadata_Plate/categories"]] == ["P0|P1"]
    joined = [text.decode() for text in found["uns/phenorep/joined"]]
    assert "Metadata_Plate" in joined
    assert "Metadata_Compound" not in joined


def test_own_names_of_features_go_only_with_what_is_still_that_feature(folder, exported):
    names = {"cells": True, "wells": True, "scaled": True, "tvn": False}
    place = folder / "results/mine/profiles/cells/simclr/seed3/final"
    for name in ("scaled", "tvn"):
        exporting.export(place / f"{name}.parquet", folder / f"{name}.h5ad")
    for name, expected in names.items():
        assert ("var/name/categories" in read(folder / f"{name}.h5ad")) == expected, name


def test_features_keep_their_own_names_where_others_were_left_out(folder, tmp_path):
    path = tmp_path / "e.parquet"
    contracts.write_table(
        pd.concat(embeddings(), ignore_index=True).assign(own_0000=np.float32(1)), path, "embeddings", ABOUT
    )
    profiles.make(path, ["plate_zscore"], tmp_path / "p.parquet", tmp_path / "p.npz")
    exporting.export(tmp_path / "p.parquet", tmp_path / "p.h5ad")
    found = read(tmp_path / "p.h5ad")
    names = np.array([text.decode() for text in found["var/name/categories"]])[found["var/name/codes"]]
    assert names.tolist() == ["", "", "", "", "Form"]


def test_a_layer_goes_to_the_rows_of_its_names(tmp_path):
    table = pd.concat(embeddings(), ignore_index=True).iloc[::-1]
    path = tmp_path / "e.parquet"
    contracts.write_table(table.reset_index(drop=True), path, "embeddings", ABOUT)
    profiles.make(path, [], tmp_path / "p.parquet", tmp_path / "p.npz")
    exporting.export(path, tmp_path / "e.h5ad", {"same": tmp_path / "p.parquet"})
    found = read(tmp_path / "e.h5ad")
    assert pd.read_parquet(tmp_path / "p.parquet")["Sample"].tolist() == table["Sample"].tolist()[::-1]
    np.testing.assert_array_equal(found["layers/same"], found["X"])


def test_where_it_comes_from_stands_in_the_file(exported):
    path, source = exported["wells"]
    start = "uns/phenorep/"
    found = {key.removeprefix(start): value for key, value in read(path).items() if key.startswith(start)}
    assert json.loads(found["about"]) == contracts.about(source)
    assert found["sha256"].decode() == hashlib.sha256(source.read_bytes()).hexdigest()
    for key, expected in {"method": "simclr", "profile": "wells", "level": "well", "command": "phenorep export a b"}.items():
        assert found[key].decode() == expected
    assert (found["seed"], found["trained_epochs"]) == (3, 5)
    assert found["steps"][0].decode() == 'aggregate {"by": "well", "with": "mean"}'


def test_the_same_table_gives_the_same_file(exported, tmp_path):
    path, source = exported["cells"]
    exporting.export(source, tmp_path / "again.h5ad", None, "phenorep export a b")
    assert (tmp_path / "again.h5ad").read_bytes() == path.read_bytes()


def test_scanpy_reads_uses_and_writes_what_is_exported(exported, scanpy):
    files = {name: str(path) for name, (path, _) in exported.items()}
    command = [scanpy, "-P", str(ROOT / "tests" / "unit" / "opened_by_scanpy.py"), *files.values()]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    found = {name: json.loads(result.stdout)[path] for name, path in files.items()}
    for name, (_, source) in exported.items():
        table = pd.read_parquet(source)
        values = table[contracts.feature_columns(table.columns)].to_numpy(np.float64)
        assert found[name]["shape"] == list(values.shape)
        assert found[name]["sum"] == pytest.approx(values.sum())
        assert found[name]["again"]
        assert found[name]["neighbours"] > 0
        assert found[name]["var_names"] == contracts.feature_columns(table.columns)
    cells = found["cells"]
    assert cells["dtype"] == "float32"
    assert cells["index"] == "Sample"
    assert cells["obs_names"] == pd.read_parquet(exported["cells"][1], columns=["Sample"])["Sample"].tolist()
    assert cells["obs"] | {"Metadata_per_well": "category"} == cells["obs"]
    expected = {"Metadata_Compound": "category", "Metadata_Concentration": "float64", "Label_Count": "Int64"}
    assert {key: cells["obs"][key] for key in expected} == expected
    assert cells["obs"]["Label_Odd"] == "bool"
    first = {"Metadata_Compound": "DMSO", "Metadata_Concentration": "nan", "Label_Count": "<NA>", "Metadata_Unknown": "nan"}
    assert {key: cells["first"][key] for key in first} == first
    assert cells["obsm"]["Prediction_MoA"][0] == [0.25, 0.75]
    assert cells["var"]["block"] == ["simclr"] * 4 + ["own"] * 2
    assert cells["var"]["number"] == ["0", "1", "2", "3", "0", "1"]
    assert cells["var"]["channels"] == ["DNA|Actin"] * 4 + [""] * 2
    assert cells["var"]["name"] == [""] * 4 + ["Area", "Form"]
    assert found["wells"]["layers"].keys() == {"scaled"}
    assert found["wells"]["uns"]["layers"]["scaled"]["profile"] == "scaled"
    assert found["treatments"]["uns"]["level"] == "treatment"


def test_features_are_never_held_as_a_whole(tmp_path):
    """A process that exports six plates takes hardly more memory than one that exports a single one of them."""
    names = contracts.feature_names("wide", 512)
    values = pd.DataFrame(np.random.default_rng(0).normal(size=(6_000, len(names))).astype(np.float32), columns=names)
    for count in (1, 6):
        with contracts.table_writer(tmp_path / f"{count}.parquet", "embeddings", {"blocks": {}}) as write:
            for plate in range(count):
                table = pd.DataFrame({"Sample": [f"P{plate}/{number}" for number in range(len(values))]})
                write(pd.concat([table.assign(**dict.fromkeys(contracts.FIELD, f"P{plate}")), values], axis=1))
    code = (
        "import resource, sys; from phenorep import exporting; exporting.export(*sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for count in (1, 6):
        command = [sys.executable, "-c", code, str(tmp_path / f"{count}.parquet"), str(tmp_path / f"{count}.h5ad")]
        peaks.append(int(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout))
    size = values.to_numpy().nbytes / 1024
    assert peaks[1] - peaks[0] < 2 * size, f"{peaks} kB for plates of {size:.0f} kB each"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.parquet", "there is no such file"),
        ("text.parquet", "text.parquet: cannot be read as a table"),
        ("text.csv", "is no table of embeddings or profiles: those end in .parquet"),
        ("damaged.parquet", "damaged.parquet: cannot be read as a table"),
        ("absent.parquet", "its step did not run: the weights are not there"),
        ("details.parquet", "has no features to export"),
    ],
)
def test_what_cannot_be_exported_is_a_message(folder, tmp_path, name, message):
    for suffix in ("parquet", "csv"):
        (folder / f"text.{suffix}").write_text("Metadata_Plate,a_0000\n")
    whole = bytearray((folder / "results/mine/embeddings/cells/simclr/seed3/final.parquet").read_bytes())
    place = whole.find(np.float32(embeddings()[1]["own_0001"].iloc[3]).tobytes())
    assert place > 0
    whole[place] ^= 1  # a bit of one number
    (folder / "damaged.parquet").write_bytes(whole)
    contracts.write_table(pd.DataFrame({"a": [1]}), folder / "details.parquet", "details")
    with pytest.raises(UserError, match=message):
        exporting.export(folder / name, tmp_path / "out.h5ad")
    assert not list(tmp_path.iterdir())


def test_a_layer_of_other_rows_or_features_is_refused(folder, tmp_path):
    place = folder / "results/mine/profiles/cells/simclr/seed3/final"
    for other, message in (("treatments", "rows at the level treatment"), ("tvn", "A layer has the same features")):
        with pytest.raises(UserError, match=message):
            exporting.export(place / "wells.parquet", tmp_path / "out.h5ad", {"x": place / f"{other}.parquet"})
    assert not list(tmp_path.iterdir())


def test_several_tables_become_a_file_each(folder, tmp_path):
    place = folder / "results/mine/profiles/cells/simclr/seed3/final"
    said = exporting.export_all([str(place / "wells.parquet"), str(place / "tvn.parquet")], str(tmp_path / "all"))
    names = sorted(path.name for path in (tmp_path / "all").iterdir())
    assert names == [f"mine_profiles_cells_simclr_seed3_final_{name}.h5ad" for name in ("tvn", "wells")]
    assert all(name in said for name in names)
    with pytest.raises(UserError, match="name a folder"):
        exporting.export_all(["a.parquet", "b.parquet"], "out.h5ad")


def test_a_full_disk_is_a_message(folder, exported):
    with pytest.raises(UserError, match=r"cannot be written"):
        exporting.export(exported["cells"][1], folder / "text.parquet" / "out.h5ad")
    with pytest.raises(UserError, match=r"AnnData files end in \.h5ad"):
        exporting.export(exported["cells"][1], folder / "out.parquet")
