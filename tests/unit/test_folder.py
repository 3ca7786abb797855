"""Plates as a microscope leaves them, without a table: `datasets/folder.py`."""

import numpy as np
import pandas as pd
import pytest
import tifffile

from phenorep import contracts, fieldlist, fields, plugins
from phenorep.datasets import folder as module
from phenorep.errors import UserError
from phenorep.planning import Plan

WELLS = ("B02", "B10", "C03")


def configure(folder, **keys):
    return plugins.configure(module.Config, {"folder": str(folder), **keys}, "datasets: mine")


def take(folder, plate, wells=WELLS, sites=(1, 2), waves=(1, 2), steps="TimePoint_1"):
    """Images of a plate as MetaXpress names them."""
    place = folder / plate / steps
    place.mkdir(parents=True, exist_ok=True)
    for well in wells:
        for site in sites:
            for wave in waves:
                tifffile.imwrite(place / f"{plate}_{well}_s{site}_w{wave}.TIF", np.full((6, 8), wave, np.uint16))
                (place / f"{plate}_{well}_s{site}_w{wave}_thumb.TIF").touch()


@pytest.fixture
def screen(tmp_path):
    """Two plates of three wells with two fields each, in two wavelengths."""
    for plate in ("P2", "P10"):
        take(tmp_path / "screen", plate)
    return tmp_path / "screen"


def plate_map(screen, rows, columns=("Metadata_Well", "Metadata_Compound", "Metadata_Concentration")):
    path = screen.parent / "wells.csv"
    pd.DataFrame(rows, columns=list(columns)).to_csv(path, index=False)
    return str(path)


ROWS = [["B02", "DMSO", ""], ["B10", "taxol", "0.3"], ["C03", "taxol", "3"]]


def test_plates_of_a_folder(screen):
    config = configure(screen, channels={"w2": "DNA", "w1": "Actin"})
    assert module.plates(config) == ["P2", "P10"]
    assert module.about(config)["channels"] == ["DNA", "Actin"]
    assert module.archives(config, "P2") == module.sources(config) == []
    fields.make(module, config, "P10", screen.parent, "stop", screen.parent / "out.parquet")
    table = contracts.read_table(screen.parent / "out.parquet", "fields")
    assert table["Metadata_Well"].tolist() == ["B02", "B02", "B10", "B10", "C03", "C03"]
    assert table["Metadata_Site"].tolist() == ["1", "2"] * 3
    assert table["FileName_DNA"][0] == "P10_B02_s1_w2.TIF"
    assert set(table["PathName_Actin"]) == {str(screen / "P10" / "TimePoint_1")}
    assert contracts.channels_of(table.columns) == ["DNA", "Actin"]
    assert not [name for name in table if name in ("Metadata_Time", "Metadata_Plane")]


def test_the_same_folder_as_a_table_and_read_directly(screen):
    from phenorep import tabulation
    from phenorep.datasets import table

    options = {"folder": str(screen), "layout": "auto", "pattern": "", "channels": "w1=DNA,w2=Actin"}
    output, wells = screen.parent / "plates.csv", screen.parent / "empty.csv"
    tabulation.write(options | {"output": output, "plate_map": wells})
    keys = {"plate_map": plate_map(screen, ROWS), "negative_control": {"Metadata_Compound": "DMSO"}}
    listed = plugins.configure(table.Config, {"table": str(output), **keys}, "datasets: listed")
    config = configure(screen, channels={"w1": "DNA", "w2": "Actin"}, **keys)
    for plate in ("P2", "P10"):
        expected = table.fields(listed, plate, screen)
        found = module.fields(config, plate, screen)
        assert set(found) == set(expected)
        pd.testing.assert_frame_equal(found[list(expected)], expected, check_dtype=False)


def test_a_plate_map_with_controls_batches_and_a_well_without_images(screen):
    rows = [*ROWS, ["D04", "taxol", "1"]]
    keys = {
        "negative_control": {"Metadata_Compound": "DMSO"},
        "batch_from": {"column": "Metadata_Plate", "pattern": r"P(\d)"},
    }
    config = configure(screen, plate_map=plate_map(screen, rows), **keys)
    assert module.sources(config) == [config.plate_map]
    table = module.fields(config, "P10", screen)
    assert table["Metadata_Control"].tolist()[::2] == ["negative", "", "", ""]
    np.testing.assert_array_equal(table["Metadata_Concentration"][:6:2], [np.nan, 0.3, 3])
    assert set(table["Metadata_Batch"][:6]) == {"1"}
    assert table["Metadata_Plate"].unique().tolist() == ["P10"]
    assert table["Metadata_Well"].tolist()[6:] == ["D04"]
    assert "well D04" in table["Problem"].tolist()[6]


def test_controls_that_stand_on_another_plate_only(screen):
    rows = [[plate, *row] for plate in ("P2", "P10") for row in ROWS]
    rows[3][2] = "water"
    path = plate_map(screen, rows, ("Metadata_Plate", "Metadata_Well", "Metadata_Compound", "Metadata_Concentration"))
    config = configure(screen, plate_map=path, negative_control={"Metadata_Compound": "DMSO"})
    assert set(module.fields(config, "P10", screen)["Metadata_Control"]) == {""}
    assert set(module.fields(config, "P2", screen)["Metadata_Control"]) == {"negative", ""}
    one = configure(screen, plate_map=path, plates={"P10": "Week1"})  # the map may describe plates that are not used
    assert module.plates(one) == ["Week1"]
    with pytest.raises(UserError, match="no row in the plate map"):
        module.fields(one, "Week1", screen)  # by their names in the map
    with pytest.raises(UserError, match=r"negative_control: no row .*Did you mean 'DMSO'"):
        module.fields(configure(screen, plate_map=path, negative_control={"Metadata_Compound": "DMS"}), "P10", screen)


def test_plates_and_channels_are_selected_and_named(screen):
    config = configure(screen, plates={"P10": "Week1_10"}, channels={"w2": "DNA"})
    assert module.plates(config) == ["Week1_10"]
    table = module.fields(config, "Week1_10", screen)
    assert contracts.channels_of(table.columns) == ["DNA"]
    assert table["FileName_DNA"][0] == "P10_B02_s1_w2.TIF"


def test_names_of_wavelengths_are_made_fit_for_files(screen):
    (screen / "P2" / "P2.HTD").write_text('"WaveName1", "Texas Red"\n"WaveName2", "DAPI"\n')
    config = configure(screen, plates={"P2": "P2"})
    assert module.about(config)["channels"] == ["Texas_Red", "DAPI"]
    assert module.sources(config) == [str(screen / "P2" / "P2.HTD")]
    assert module.about(configure(screen, channels={"DAPI": "DNA", "w1": "Actin"}, plates={"P2": "P2"}))["channels"] == [
        "DNA",
        "Actin",
    ]
    with pytest.raises(UserError, match="plate P10 has the channels w1, w2, the first plate Texas_Red, DAPI"):
        module.fields(configure(screen), "P10", screen)
    (screen / "P2" / "P2.HTD").write_text('"WaveName1", "DAPI"\n"WaveName2", "DAPI"\n')
    with pytest.raises(UserError, match="has 2 channels called 'DAPI': w1, w2"):
        module.about(config)
    assert module.about(configure(screen, channels={"w1": "a", "w2": "b"}))["channels"] == ["a", "b"]


@pytest.mark.parametrize(("key", "steps", "column"), [("time", "TimePoint_{}", "Time"), ("plane", "ZStep_{}", "Plane")])
def test_one_of_several_time_points_or_planes_is_chosen(tmp_path, key, steps, column):
    for number in (1, 2):
        take(tmp_path, "P1", steps=steps.format(number))
    with pytest.raises(UserError, match=rf"plate P1 has 2 .*: 1, 2\..*'{key}: 1' \(--{key} 1\)"):
        module.fields(configure(tmp_path), "P1", tmp_path)
    table = module.fields(configure(tmp_path, **{key: 2}), "P1", tmp_path)
    assert len(table) == 6
    assert set(table[f"Metadata_{column}"]) == {"2"}
    assert set(table["PathName_w1"]) == {str(tmp_path / "P1" / steps.format(2))}
    with pytest.raises(UserError, match=rf"{key}: plate P1 has no .* 3; it has 1, 2"):
        module.fields(configure(tmp_path, **{key: 3}), "P1", tmp_path)


def test_a_projection_beside_the_planes(tmp_path):
    take(tmp_path, "P1", steps=".")
    take(tmp_path, "P1", steps="ZStep_1")
    with pytest.raises(UserError, match=r"2 planes: 0 \(projection, or a single plane\), 1"):
        module.fields(configure(tmp_path), "P1", tmp_path)
    table = module.fields(configure(tmp_path, plane=0), "P1", tmp_path)
    assert set(table["PathName_w1"]) == {str(tmp_path / "P1")}


def test_a_site_that_lacks_a_channel_is_a_bad_image(screen):
    (screen / "P2" / "TimePoint_1" / "P2_B10_s2_w1.TIF").unlink()
    config = configure(screen)
    assert fieldlist.gaps(module.fields(config, "P2", screen)) == ["plate P2, well B10, site 2: w1"]
    with pytest.raises(UserError, match="well B10, site 2: there is no image of channel w1") as caught:
        fields.make(module, config, "P2", screen, "stop", screen / "out.parquet")
    assert "on_bad_image: exclude" in str(caught.value)
    fields.make(module, config, "P2", screen, "exclude", screen / "out.parquet")
    table = contracts.read_table(screen / "out.parquet", "fields")
    assert (table["Problem"] != "").tolist() == [False, False, False, True, False, False]


def test_an_image_that_is_there_twice_is_named_with_the_other(screen):
    first = screen / "P2" / "TimePoint_1" / "P2_B02_s1_w1.TIF"
    first.with_name("P2_B02_s01_w1.tif").write_bytes(first.read_bytes())
    with pytest.raises(UserError, match=r"site 1, channel w1 has two images: .*_s01_w1\.tif and .*_s1_w1\.TIF"):
        module.fields(configure(screen), "P2", screen)


@pytest.mark.parametrize("name", ["Plate 1", "a..b", "-P"])
def test_plates_with_names_that_no_file_can_have(tmp_path, name):
    take(tmp_path, name)
    with pytest.raises(UserError, match=rf"cannot be the name of a plate.*--plates '{name}=NEW_NAME"):
        module.plates(configure(tmp_path))
    assert module.plates(configure(tmp_path, plates={name: "P1"})) == ["P1"]
    assert len(module.fields(configure(tmp_path, plates={name: "P1"}), "P1", tmp_path)) == 6


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"plates": {"P3": "P3"}}, "plates: there is no plate 'P3'. Known are: P10, P2"),
        ({"plates": {"P2": "P", "P10": "P"}}, "plates: P2 and P10 would both be 'P'"),
        ({"channels": {"w3": "DNA"}}, "plate P2 has no channel 'w3'; it has w1, w2"),
        ({"channels": {"w1": "a b"}}, "'a b' cannot be the name of a channel"),
        ({"channels": {"w1": "a", "w2": "a"}}, "channels: w1 and w2 would both be 'a'"),
        ({"layout": "metexpress"}, "Did you mean 'metaxpress'"),
        ({"plate_map": "none.csv"}, r"none\.csv: there is no such file. Change 'datasets: plate_map:'"),
    ],
)
def test_mistakes_in_keys(screen, keys, message):
    with pytest.raises(UserError, match=message):
        module.fields(configure(screen, **keys), "P2", screen)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"channels": {"w1": 1}}, r"channels must be \{theirs: ours\}"),
        ({"plates": {24277: "P1"}}, "put names of digits in quotes"),
        ({"pattern": "("}, "is no regular expression"),
        ({"pattern": "(?P<well>.)", "layout": "metaxpress"}, "pattern belongs to 'layout: pattern'"),
        ({"intensity_max": 70000}, "intensity_max must"),
        ({"batch_from": {"pattern": "x"}}, "batch_from must"),
    ],
)
def test_keys_out_of_range_are_named(tmp_path, keys, message):
    with pytest.raises(UserError, match=message):
        configure(tmp_path, **keys)


def test_a_plate_that_is_not_there(screen):
    with pytest.raises(UserError, match=r"there is no plate 'P1'"):
        module.fields(configure(screen), "P1", screen)


def test_a_folder_is_planned_with_the_code_of_its_layouts(screen, monkeypatch):
    plan = Plan(
        {
            "name": "mine",
            "datasets": {"mine": {"use": "folder", "folder": str(screen)}},
            "samples": {"cells": {"use": "nuclei"}},
            "studies": {"mine": {"dataset": "mine", "samples": "cells"}},
        }
    )
    assert plan.plates("mine") == ["P2", "P10"]
    names = {path.name for path in plan.plugin_files("datasets", ["mine"])}
    assert {"folder.py", "metaxpress.py", "harmony.py", "pattern.py"} == names
    # The folder is searched once, not for each plate.
    monkeypatch.setattr(module, "listing", lambda config: pytest.fail("searched again"))
    assert plan.sources("mine") == plan.plates("mine")[:0]


def test_a_folder_of_harmony(tmp_path):
    from tests.unit.test_microscopes import harmony, image, index

    size = '<ChannelName>DAPI</ChannelName><ImageResolutionX Unit="m">6.5E-07</ImageResolutionX>'
    harmony(tmp_path, index(image(described=size)))
    tifffile.imwrite(tmp_path / "Images" / "r02c03f04p01-ch1sk1fk1fl1.tiff", np.ones((6, 8), np.uint16))
    config = configure(tmp_path)
    assert module.about(config)["pixel_size_um"] == 0.65
    assert module.sources(config) == [str(tmp_path / "Images" / "Index.idx.xml")]
    fields.make(module, config, "P1", tmp_path, "stop", tmp_path / "out.parquet")
    table = contracts.read_table(tmp_path / "out.parquet", "fields")
    assert table.loc[0, ["Metadata_Well", "Metadata_Site", "FileName_DAPI"]].tolist() == [
        "B03",
        "4",
        "r02c03f04p01-ch1sk1fk1fl1.tiff",
    ]


@pytest.mark.parametrize(
    ("folder", "keys", "rows"),
    [
        ("ImageXpress/Projection-Mix", {"channels": {"w1": "DNA"}}, 4),
        ("ImageXpress/1well-3C-2S-Zmix-T", {"time": 2}, 2),
        ("ImageXpress_exported", {"time": 1, "channels": {"DAPI": "DNA", "FITC": "Actin"}}, 4),
    ],
)
def test_real_folders_can_be_read_as_they_are(shared_data, tmp_path, folder, keys, rows):
    config = configure(shared_data / "metaxpress" / folder, **keys)
    (plate,) = module.plates(config)
    fields.make(module, config, plate, tmp_path, "stop", tmp_path / "out.parquet")
    table = contracts.read_table(tmp_path / "out.parquet", "fields")
    assert len(table) == rows
    assert set(table["Problem"]) == {""}
    assert (table["BitDepth"] == 16).all()
