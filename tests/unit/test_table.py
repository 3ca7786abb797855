import numpy as np
import pandas as pd
import pytest

from phenorep import contracts, fields, platemap
from phenorep.datasets import table as module
from phenorep.errors import UserError
from tests.unit.made_screen import WELLS, configure, make_screen, with_map


@pytest.fixture
def screen(tmp_path):
    return make_screen(tmp_path)


@pytest.mark.parametrize("name", ["plates.csv", "plates.csv.gz", "plates.parquet"])
def test_a_plate_of_a_table(screen, name):
    config = configure(table=screen.save(name))
    assert module.plates(config) == ["Week1_01", "Week2_02"]
    assert module.about(config)["channels"] == ["DNA", "Actin"]
    assert module.sources(config) == [config.table]
    assert module.archives(config, "Week1_01") == []
    fields.make(module, config, "Week2_02", screen.folder, "stop", screen.folder / "out.parquet")
    table = contracts.read_table(screen.folder / "out.parquet", "fields")
    assert table["Metadata_Well"].tolist() == ["A01", "A01", "B02", "B02", "C03", "C03"]
    assert table["Metadata_Compound"].tolist()[::2] == ["DMSO", "taxol", "NA"]
    np.testing.assert_array_equal(table["Metadata_Concentration"][::2], [0.0, 0.3, np.nan])
    assert set(table["PathName_DNA"]) == {str(screen.folder / "images" / "Week2_02")}
    assert "Count_Cells" not in table
    assert contracts.about(screen.folder / "out.parquet")["dataset"] == screen.folder.name


def test_numbers_in_a_parquet_become_text(screen):
    screen.table["Metadata_Plate"] = np.repeat([24277, 24278], 6)
    screen.table["Metadata_Site"] = np.tile([1.0, 2.0], 6)
    screen.table["Metadata_CellLine"] = None
    table = screen.fields("24277", "plates.parquet")
    assert table["Metadata_Site"].tolist() == ["1", "2"] * 3
    assert set(table["Metadata_CellLine"]) == {""}
    assert module.plates(configure(table=screen.save("plates.parquet"), plates=[24278])) == ["24278"]


def test_channels_images_and_rename(screen):
    screen.table = screen.table.rename(columns={"Metadata_Compound": "drug", "FileName_DNA": "Image_FileName_DNA"})
    moved = screen.folder / "moved"
    keys = {"images": str(moved), "rename": {"drug": "Metadata_Compound"}, "plates": ["Week1_01"]}
    table = screen.fields(channels=["Actin", "DNA"], **keys)
    assert contracts.channels_of(table.columns) == ["Actin", "DNA"]
    assert set(table["PathName_Actin"]) == {str(moved)}
    assert table.loc[2, "Metadata_Compound"] == "taxol"
    assert contracts.channels_of(screen.fields(channels=["Actin"]).columns) == ["Actin"]


def test_paths_absolute_windows_and_absent(screen):
    screen.table["PathName_DNA"] = str(screen.folder / "images" / "Week1_01")
    screen.table["PathName_Actin"] = "images\\Week1_01"
    table = screen.fields(plates=["Week1_01"])
    assert set(table["PathName_DNA"]) == set(table["PathName_Actin"]) == {str(screen.folder / "images" / "Week1_01")}
    screen.table = screen.table.drop(columns=["PathName_DNA"])
    assert set(screen.fields(plates=["Week1_01"])["PathName_DNA"]) == {str(screen.folder)}


def test_controls_and_batches(screen):
    screen.table = screen.table.drop(columns=["Metadata_Batch"])
    table = screen.fields(
        negative_control={"Metadata_Compound": "DMSO", "Metadata_Concentration": 0},
        positive_control={"Metadata_Well": ["B2", "b02"]},
        batch_from={"column": "Metadata_Plate", "pattern": r"^(Week\d+)_"},
    )
    assert table["Metadata_Control"].tolist()[::2] == ["negative", "positive", ""]
    assert set(table["Metadata_Batch"]) == {"Week1"}


def test_sites_are_counted_where_the_table_has_none(screen):
    screen.table = screen.table.drop(columns=["Metadata_Site"])
    expected = screen.fields()
    assert expected["Metadata_Site"].tolist() == ["1", "2"] * 3
    # By the names of their images, whichever a field lacks: another order of the rows numbers no field anew.
    screen.table.loc[0, ["FileName_DNA", "PathName_DNA"]] = ""
    expected = screen.fields()
    assert expected["FileName_Actin"].str.extract("_s(.)_")[0].tolist() == ["1", "2"] * 3
    screen.table = screen.table.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(screen.fields(), expected)


def test_plates_and_fields_are_sorted_whatever_the_order_of_the_table(screen):
    expected = screen.fields()
    screen.table = screen.table.replace({"Metadata_Plate": {"Week2_02": "Week10_02"}}).iloc[::-1]
    assert module.plates(configure(table=screen.save())) == ["Week1_01", "Week10_02"]
    pd.testing.assert_frame_equal(screen.fields(), expected)


def test_labels_of_numbers_and_of_classes(screen):
    screen.table["Label_Count"] = ["3", ""] * 6
    screen.table["Label_Quality"] = ["normal", ""] * 6
    table = screen.fields()
    np.testing.assert_array_equal(table["Label_Count"], [3, np.nan] * 3)
    assert table["Label_Quality"].tolist() == ["normal", ""] * 3


def test_a_plate_map_is_joined_by_well(screen):
    path = with_map(screen, WELLS)
    table = screen.fields(plate_map=path, negative_control={"Metadata_Compound": "DMSO"})
    assert table["Metadata_Compound"].tolist()[::2] == ["DMSO", "taxol", "nocodazole"]
    assert table["Metadata_Dose"].tolist() == [0, 0, 1, 1, 2, 2]
    assert table["Metadata_Control"].tolist()[::2] == ["negative", "", ""]
    assert module.sources(configure(table="t.csv", plate_map=path)) == ["t.csv", path]


def test_a_plate_map_is_joined_by_plate_and_well(screen):
    rows = [[plate, *well] for plate in ("Week1_01", "Week2_02") for well in WELLS]
    rows[3][2] = "water"
    path = with_map(screen, rows, ("Metadata_Plate", "Metadata_Well", "drug", "Metadata_Dose"))
    keys = {"plate_map": path, "rename": {"drug": "Metadata_Compound"}}
    assert screen.fields(**keys)["Metadata_Compound"][0] == "DMSO"
    assert screen.fields("Week2_02", **keys)["Metadata_Compound"][0] == "water"


def test_a_plate_map_naming_a_well_without_images(screen):
    path = with_map(screen, [*WELLS, ["D04", "taxol", "3"]])
    config = configure(table=screen.save(), plate_map=path, negative_control={"Metadata_Compound": "DMSO"})
    with pytest.raises(UserError, match=r"well D04: .*map\.csv names this well, .*plates\.csv has no image of it") as caught:
        fields.make(module, config, "Week1_01", screen.folder, "stop", screen.folder / "out.parquet")
    assert "on_bad_image: exclude" in str(caught.value)
    fields.make(module, config, "Week1_01", screen.folder, "exclude", screen.folder / "out.parquet")
    table = contracts.read_table(screen.folder / "out.parquet", "fields")
    assert table.loc[table["Problem"] != "", "Metadata_Well"].tolist() == ["D04"]
    assert len(table) == 7


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        (WELLS[:2], None, "Week1_01 C03, Week2_02 C03 have images .* no row in the plate map"),
        ([row[:1] for row in WELLS], ("Metadata_Well",), "no column Metadata_\\* beside the well"),
        ([["A01", "DMSO", "low"], *WELLS[1:]], None, "Metadata_Dose: 'low' is not a whole number"),
        ([["1A", "DMSO", "0"], *WELLS[1:]], None, "'1A' is no well"),
    ],
)
def test_mistakes_in_a_plate_map(screen, rows, columns, message):
    path = with_map(screen, rows, columns or ("Metadata_Well", "Metadata_Compound", "Metadata_Dose"))
    with pytest.raises(UserError, match=message):
        screen.fields(plate_map=path)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"batch_from": {"column": "Metadata_Plate"}}, "batch_from: .* has a column Metadata_Batch already"),
        ({"plate_map": "none.csv"}, "none.csv: there is no such file. Change 'datasets: plate_map:'"),
    ],
)
def test_mistakes_in_keys(screen, keys, message):
    with pytest.raises(UserError, match=message):
        screen.fields(**keys)


def test_keys_out_of_range_are_named():
    for keys, message in (
        ({}, "'table' is needed"),
        ({"table": "x", "intensity_max": "70000"}, "intensity_max must"),
        ({"table": "x", "pixel_size_um": 0}, "pixel_size_um must"),
        ({"table": "x", "batch_from": {"pattern": "x"}}, "batch_from must"),
        ({"table": "x", "batch_from": {"column": "x", "pattern": "("}}, "regular expression"),
    ):
        with pytest.raises(UserError, match=message):
            configure(**keys)


def test_mistakes_in_the_table(screen):
    with pytest.raises(UserError, match=r"no plate 'Week1_1'.*Did you mean 'Week1_01'"):
        screen.fields("Week1_1")
    original = screen.table
    screen.table = original.assign(Metadata_Control="vehicle")
    with pytest.raises(UserError, match="Metadata_Control: 'vehicle' is neither"):
        screen.fields()
    screen.table = original.drop(columns=["Metadata_Batch"])
    with pytest.raises(UserError, match=r"pattern: .* is not found in Week1_01, Week2_02"):
        screen.fields(batch_from={"column": "Metadata_Plate", "pattern": "^Month"})
    for column, value in (("Metadata_Plate", "../.."), ("Metadata_Plate", "a/b"), ("Metadata_Site", "1/2")):
        screen.table = original.assign(**{column: value})
        with pytest.raises(UserError, match=f"{column}: .* Allowed are"):
            screen.fields(value if column == "Metadata_Plate" else "Week1_01")


def test_a_channel_missing_in_some_fields(screen):
    screen.table.loc[1, "FileName_Actin"] = ""
    config = configure(table=screen.save())
    with pytest.raises(UserError, match="plate Week1_01, well A01, site 2: there is no image of channel Actin"):
        fields.make(module, config, "Week1_01", screen.folder, "stop", screen.folder / "out.parquet")


def test_the_published_table_of_bbbc021(shared_data):
    config = configure(
        table=str(shared_data / "bbbc021" / "BBBC021_v1_image.csv.gz"),
        rename={"Image_Metadata_Plate_DAPI": "Metadata_Plate", "Image_Metadata_Well_DAPI": "Metadata_Well"},
        negative_control={"Metadata_Compound": "DMSO"},
        batch_from={"column": "Metadata_Plate", "pattern": r"^(Week\d+)_"},
        images="/data/bbbc021",
    )
    names = module.plates(config)
    assert len(names) == 55
    assert module.about(config)["channels"] == ["DAPI", "Tubulin", "Actin"]
    table = module.fields(config, "Week4_27481", shared_data)
    assert len(table) == 240
    assert set(table["Metadata_Batch"]) == {"Week4"}
    assert table.groupby("Metadata_Well").size().unique().tolist() == [4]
    assert table["Metadata_Site"].unique().tolist() == ["1", "2", "3", "4"]
    assert (table["Metadata_Compound"] == "DMSO").sum() == (table["Metadata_Control"] == "negative").sum() == 24
    row = table[(table["Metadata_Well"] == "G10") & (table["Metadata_Site"] == "1")].iloc[0]
    assert (row["Metadata_Compound"], row["Metadata_Concentration"]) == ("5-fluorouracil", 0.003)
    assert row["FileName_DAPI"] == "G10_s1_w1BEDC2073-A983-4B98-95E9-84466707A25D.tif"


def test_numbers_match_as_numbers_and_text_as_text():
    table = pd.DataFrame({"Metadata_Concentration": ["0", "0.0", "1", ""], "Metadata_Compound": ["a", "0", "b", "c"]})

    def controls(value):
        rule = {"negative": {"Metadata_Concentration": value}}
        return platemap.controls(table, rule, {"Metadata_Concentration": "t"}, "exact").tolist()

    assert controls(0) == ["negative", "negative", "", ""]
    assert controls("0") == ["negative", "", "", ""]
