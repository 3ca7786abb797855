"""Features computed elsewhere: what is a feature, what a row is, what becomes of gaps, and what is planned for them."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from phenorep import contracts, feature_values, imported, inventory, jobs, plugins, profiles
from phenorep.datasets import features as module
from phenorep.errors import UserError
from phenorep.planning import Plan

CONTROL = {"Metadata_Compound": "DMSO"}


class Wells:
    """A table of two plates with six wells each, and what becomes of it."""

    def __init__(self, folder):
        self.folder = folder
        rng = np.random.default_rng(0)
        rows = [
            {"Metadata_Plate": plate, "Metadata_Well": well, "Metadata_Compound": "DMSO" if number < 3 else f"c{number}"}
            for plate in ("Week1_01", "Week2_02")
            for number, well in enumerate(("A1", "A2", "a03", "B01", "B02", "B03"))
        ]
        self.table = pd.DataFrame(rows)
        self.table["Metadata_Concentration"] = [0.0 if row["Metadata_Compound"] == "DMSO" else 0.3 for row in rows]
        self.table["moa"] = ["" if row["Metadata_Compound"] == "DMSO" else "a mechanism" for row in rows]
        for name in ("Cells_Area", "Cells_Texture", "Nuclei_Area"):
            self.table[name] = rng.normal(100, 10, len(rows))

    def save(self, name="wells.csv"):
        path = str(self.folder / name)
        self.table.to_parquet(path) if name.endswith("parquet") else self.table.to_csv(path, index=False)
        return path

    def config(self, name="wells.csv", **keys):
        return plugins.configure(module.Config, {"table": self.save(name), **keys}, "datasets: mine")

    def made(self, name="wells.csv", **keys):
        output = self.folder / "made.parquet"
        imported.make(module, self.config(name, **keys), output)
        return contracts.read_table(output, "embeddings"), contracts.about(output)

    def refusal(self, **keys):
        with pytest.raises(UserError) as error:
            self.made(**keys)
        return str(error.value)


@pytest.fixture
def wells(tmp_path):
    return Wells(tmp_path)


@pytest.mark.parametrize("name", ["wells.csv", "wells.csv.gz", "wells.tsv.gz", "wells.parquet"])
def test_wells_become_embeddings(wells, name):
    if "tsv" in name:
        wells.table.to_csv(wells.folder / name, index=False, sep="\t")
        wells.save = lambda _: str(wells.folder / name)
    batch = {"column": "Metadata_Plate", "pattern": "^[^_]+"}
    table, about = wells.made(name, rename={"moa": "Metadata_MoA"}, negative_control=CONTROL, batch_from=batch)
    expected = wells.table[["Cells_Area", "Cells_Texture", "Nuclei_Area"]].to_numpy()
    np.testing.assert_array_equal(table[contracts.feature_columns(table.columns)].to_numpy(), expected)
    assert contracts.feature_columns(table.columns) == contracts.feature_names("imported", 3)
    assert about["blocks"]["imported"]["names"] == ["Cells_Area", "Cells_Texture", "Nuclei_Area"]
    assert about["blocks"]["imported"]["rows"] == "wells"
    assert table["Metadata_Well"].tolist()[:3] == ["A01", "A02", "A03"]
    assert table["Sample"].tolist()[:2] == ["Week1_01_A01", "Week1_01_A02"]
    assert set(table["Metadata_Site"]) == {""}
    assert table["Metadata_Control"].tolist() == (["negative"] * 3 + [""] * 3) * 2
    assert table["Metadata_Batch"].tolist() == ["Week1"] * 6 + ["Week2"] * 6
    assert table["Metadata_MoA"].tolist() == ([""] * 3 + ["a mechanism"] * 3) * 2
    assert table["Metadata_Concentration"].tolist() == ([0.0] * 3 + [0.3] * 3) * 2
    assert "Metadata_CellLine" not in table


def test_one_row_group_per_plate_whatever_the_order_of_the_rows(wells, monkeypatch):
    monkeypatch.setattr(feature_values, "_CELLS_AT_ONCE", 6)  # two rows at once
    wells.table["Cells_Area"] = np.arange(12.0)
    wells.table = wells.table.iloc[[11, 0, 1, 7, 2, 3, 4, 8, 5, 6, 9, 10]]
    for name in ("wells.csv", "wells.parquet"):
        table, _ = wells.made(name)
        file = pq.ParquetFile(wells.folder / "made.parquet")
        groups = [file.read_row_group(number).to_pandas() for number in range(file.num_row_groups)]
        assert [set(group["Metadata_Plate"]) for group in groups] == [{"Week1_01"}, {"Week2_02"}]
        assert table["imported_0000"].tolist() == list(range(12))
        assert table["Metadata_Well"].tolist()[6:8] == ["A01", "A02"]


def test_cells_keep_their_names_in_any_order_of_the_rows(wells):
    """They have no name of their own: they are numbered by their metadata, then by their features."""
    wells.table = pd.concat([wells.table] * 5, ignore_index=True)
    generator = np.random.default_rng(2)
    names = ["Cells_Area", "Cells_Texture", "Nuclei_Area"]
    wells.table[names] = generator.normal(size=(60, 3))
    wells.table["Cells_Area"] = 1.0
    wells.table["Metadata_Cell"] = [str(12 - number // 12 if number < 36 else 0) for number in range(60)]
    expected, about = wells.made()
    assert about["blocks"]["imported"]["rows"] == "cells"
    assert expected["Metadata_Cell"].tolist()[:5] == ["0", "0", "10", "11", "12"]
    assert expected["Sample"].tolist()[:3] == ["Week1_01_A01_1", "Week1_01_A01_2", "Week1_01_A01_3"]
    wells.table = wells.table.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(wells.made()[0], expected, check_exact=True)
    # Nor does rounding, also of a feature that is constant but for it.
    wells.table[names] *= 1 + 1e-15 * generator.normal(size=(60, 3))
    found, _ = wells.made()
    assert found["Sample"].tolist() == expected["Sample"].tolist()
    shown = contracts.feature_columns(expected.columns)
    np.testing.assert_allclose(found[shown], expected[shown], rtol=1e-12)


@pytest.mark.parametrize("name", ["wells.csv", "wells.parquet"])
def test_row_numbers_that_pandas_wrote_are_no_feature(wells, name):
    wells.table = wells.table.iloc[::-1]
    wells.save = lambda _: str(wells.folder / name)
    (wells.table.to_csv if "csv" in name else wells.table.to_parquet)(wells.folder / name)
    _, about = wells.made(name)
    assert about["blocks"]["imported"]["names"] == ["Cells_Area", "Cells_Texture", "Nuclei_Area"]
    assert about["blocks"]["imported"]["left_out"] == []


def test_identity_in_the_index_of_a_parquet_table(wells):
    wells.table = wells.table.set_index(["Metadata_Plate", "Metadata_Well"])
    table, _ = wells.made("wells.parquet")
    assert table["Sample"].tolist()[:2] == ["Week1_01_A01", "Week1_01_A02"]


def test_fields_and_cells_are_told_by_their_identity(wells):
    wells.table["Metadata_Well"] = ["A01", "A01", "A02", "A02", "A03", "A03"] * 2
    wells.table["Metadata_Site"] = ["1", "2"] * 6
    table, about = wells.made()
    assert about["blocks"]["imported"]["rows"] == "fields"
    assert table["Sample"].tolist()[:2] == ["Week1_01_A01_1", "Week1_01_A01_2"]
    wells.table["Metadata_Site"] = "1"
    table, about = wells.made()
    assert about["blocks"]["imported"]["rows"] == "cells"
    assert table["Sample"].tolist()[:3] == ["Week1_01_A01_1_1", "Week1_01_A01_1_2", "Week1_01_A02_1_1"]
    assert table["Sample"].is_unique


def test_only_plain_numeric_columns_are_features(wells, capsys):
    wells.table["Metadata_Count"] = 7
    wells.table["Label_Count"] = range(12)
    wells.table["Split_fold0"] = ["train", "test"] * 6
    wells.table["Image_Metadata_Row"] = range(12)
    wells.table["Renamed"] = range(12)
    wells.table["Dose"] = range(12)
    wells.table["Comment"] = "seen"
    wells.table["Mixed"] = [*range(11), "n.d."]
    wells.table["Flag"] = [True, False] * 6
    names = ["Cells_Area", "Cells_Texture", "Nuclei_Area"]
    for name in ("wells.csv", "wells.parquet"):
        wells.table["Mixed"] = wells.table["Mixed"].astype(str)
        table, about = wells.made(name, rename={"Renamed": "Metadata_Dose"})
        assert about["blocks"]["imported"]["names"] == names
        assert about["blocks"]["imported"]["bookkeeping"] == ["Dose"]
        assert table["Metadata_Dose"].tolist() == list(range(12))
        assert table["Label_Count"].tolist() == list(range(12))
        assert {"Metadata_Count", "Metadata_Row", "Split_fold0"} <= set(table)
        said = capsys.readouterr().out
        assert "(4): text: moa, Comment; numbers but for text ('n.d.' in row 13): Mixed; truth values: Flag" in said
        notes = [note for note in about["notes"] if "not taken" not in note["text"]]
        texts = [note["text"] for note in notes]
        assert ["no features (1): Dose." in text for text in texts] == [True, False]
        assert notes[1]["check"]
        assert "Leave cells without a number empty" in texts[1]


def test_gaps_are_left_out_or_filled_and_said(wells):
    wells.table = pd.concat([wells.table.assign(Metadata_Plate=f"P{number}") for number in range(40)], ignore_index=True)
    wells.table["Metadata_Site"] = np.arange(len(wells.table)) // 6 % 2
    count = len(wells.table)
    for name in ("Seldom", "Often", "Once"):
        wells.table[name] = np.random.default_rng(1).normal(size=count)
    wells.table["Constant"] = 0.1
    wells.table["Empty"] = np.nan
    wells.table.loc[[0, 20], "Seldom"] = [np.nan, np.inf]
    wells.table.loc[range(0, count, 50), "Often"] = -np.inf
    wells.table.loc[wells.table["Metadata_Plate"] == "P3", "Once"] = np.nan
    table, about = wells.made()
    block = about["blocks"]["imported"]
    assert block["left_out"] == ["Often", "Once", "Constant", "Empty"]
    assert block["filled"] == {"Seldom": 2}
    column = f"imported_{block['names'].index('Seldom'):04d}"
    own = wells.table.loc[wells.table["Metadata_Plate"] == "P0", "Seldom"]
    assert table[column][0] == np.median(own[1:])


def test_narrow_numbers_stay_narrow(wells):
    for name in ("Cells_Area", "Cells_Texture", "Nuclei_Area"):
        wells.table[name] = wells.table[name].astype(np.float32)
    wells.made("wells.parquet")
    assert pq.read_schema(wells.folder / "made.parquet").field("imported_0000").type == pa.float32()
    wells.made("wells.csv")
    assert pq.read_schema(wells.folder / "made.parquet").field("imported_0000").type == pa.float64()


def test_nothing_that_varies_is_a_record_with_the_reason(wells):
    wells.table[["Cells_Area", "Cells_Texture", "Nuclei_Area"]] = 1.0
    output = wells.folder / "made.parquet"
    imported.make(module, wells.config(), output)
    assert "none of the 3 features" in contracts.not_run(output)


def test_a_plate_map_is_joined(wells):
    (wells.folder / "map.csv").write_text("Metadata_Well,Metadata_CellLine\n" + "".join(
        f"{well},U2OS\n" for well in ("A01", "A02", "A03", "B01", "B02", "B03", "H12")
    ))  # fmt: skip
    table, _ = wells.made(plate_map=str(wells.folder / "map.csv"))
    assert table["Metadata_CellLine"].tolist() == ["U2OS"] * 12


def test_messages_say_what_to_change(wells):
    assert "there is no column 'no_such' in" in wells.refusal(rename={"no_such": "Metadata_MoA"})
    assert "negative_control: no row of" in wells.refusal(negative_control={"Metadata_Compound": "water"})
    assert "unknown key 'intensity_max'" in wells.refusal(intensity_max=255)
    wells.table.loc[4, "Metadata_Well"] = ""
    assert "row 6 has no Metadata_Well" in wells.refusal()
    wells.table = wells.table.drop(columns=["Metadata_Well"])
    assert "rename: {theirs: Metadata_Well}" in wells.refusal()
    wells.table = wells.table[["Metadata_Plate", "moa"]].assign(Metadata_Well="A01")
    assert "there is no feature" in wells.refusal()


def test_whitening_before_any_aggregation(wells):
    wells.table = pd.concat([wells.table.assign(Metadata_Plate=f"P{number}") for number in range(6)], ignore_index=True)
    values = np.random.default_rng(2).normal(5, [[1, 10, 100]], (len(wells.table), 3))
    wells.table[["Cells_Area", "Cells_Texture", "Nuclei_Area"]] = values
    wells.made(negative_control=CONTROL)
    files = [wells.folder / name for name in ("made.parquet", "profiles.parquet", "profiles.npz")]
    profiles.make(files[0], [{"tvn": {"fit": "negative"}}], *files[1:])
    table = contracts.read_table(files[1], "profiles")
    controls = profiles.features(table[table["Metadata_Control"] == "negative"])
    np.testing.assert_allclose(np.cov(controls.T), np.eye(3), atol=1e-9)


# -- the plan ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def config(wells):
    return {
        "name": "check",
        "datasets": {"profiles": {"use": "features", "table": wells.save()}},
        "profiles": {"raw": [{"aggregate": {"by": "treatment", "with": "median"}}]},
        "evaluations": {"moa_matching": {}, "invariance": {}},
        "studies": {"check": {"dataset": "profiles", "profiles": ["raw"], "evaluations": ["moa_matching"]}},
    }


def test_a_study_needs_neither_samples_nor_methods(config):
    config["studies"]["check"]["seeds"] = [1, 2]
    plan = Plan(config)
    wildcards = {"dataset": "profiles", "samples": "imported", "method": "imported", "seed": 0, "epoch": "final"}
    assert plan.scores == [{**wildcards, "profile": "raw", "evaluation": "moa_matching"}]
    files = inventory.files(plan)
    assert [job.rule for job in jobs.of(plan) if job.rule not in jobs.COLLECTING] == [
        *("check", "evaluate", "import_features", "normalise")
    ]
    assert not any(files[kind] for kind in ("fields", "quality", "illumination", "engines", "samples", "training"))


def test_what_needs_images_is_not_applicable(config):
    config["studies"]["check"]["evaluations"].append("invariance")
    plan = Plan(config)
    assert [score["evaluation"] for score in plan.scores] == ["moa_matching"]
    reason = "invariance needs an encoder, imported takes features that were computed elsewhere"
    assert plan.not_applicable == [{"study": "check", "profile": "none", "evaluation": "invariance", "reason": reason}]


def _with_images(config):
    config["datasets"]["screen"] = {"use": "simulated"}
    config["samples"] = {"cells": {"use": "nuclei", "size": 32}}
    config["methods"] = {"random": {}}
    config["studies"]["images"] = {**config["studies"]["check"], "dataset": "screen", "samples": "cells"}
    config["studies"]["images"]["methods"] = ["random"]


def test_a_dataset_of_images_beside_it(config):
    _with_images(config)
    plan = Plan(config)
    assert {entry["dataset"] for entry in inventory.files(plan)["samples"]} == {"screen"}
    assert {score["method"] for score in plan.scores} == {"random", "imported"}
    assert plan.stored() == ["cells"]
    assert plan.with_encoder() == ["random"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["studies"]["check"].update(samples="cells"), "nothing to cut or to encode"),
        (lambda c: c["studies"]["check"].update(methods=["random"]), "nothing to cut or to encode"),
        (lambda c: c["studies"]["images"].update(methods=["imported"]), "there is no 'imported'"),
        (lambda c: c["studies"]["images"].update(samples="imported"), "there is no 'imported'"),
        (lambda c: c["methods"].update(taken={"from": "profiles/imported/imported"}), "there are no images to learn from"),
        (lambda c: c["methods"].update(simclr={"train": [{"samples": "profiles/cells"}]}), "there are no images"),
        (lambda c: c["methods"].update(concat={"members": ["imported"]}), "there is no method 'imported'"),
        (lambda c: c["samples"].update(view={"of": "imported"}), "there is no sample set 'imported'"),
        (lambda c: c["methods"].update(imported={"use": "random"}), "this name is kept"),
    ],
)
def test_what_has_no_images_is_refused_where_they_are_needed(config, change, message):
    _with_images(config)
    config["studies"]["images"]["methods"] = ["random"]
    change(config)
    named = config["studies"]["images"]["methods"]
    named += [name for name in config["methods"] if name not in named and name != "imported"]
    with pytest.raises(UserError, match=message):
        Plan(config)
