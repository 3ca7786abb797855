import types

import numpy as np
import pandas as pd
import pytest
import tifffile

from phenorep import contracts, fields
from phenorep.errors import UserError

CHANNELS = ["DNA", "Actin"]


def save(folder, name, shape=(8, 10), dtype=np.uint16):
    tifffile.imwrite(folder / name, np.ones(shape, dtype))


@pytest.fixture
def plate(tmp_path):
    """Five fields of two channels, and a dataset module around them."""
    rows = []
    for column in range(1, 6):
        row = {"Metadata_Plate": "P1", "Metadata_Well": f"A{column:02d}", "Metadata_Site": "1"}
        for channel in CHANNELS:
            name = f"A{column:02d}_{channel}.tif"
            save(tmp_path, name)
            row |= {f"FileName_{channel}": name, f"PathName_{channel}": str(tmp_path)}
        rows.append(row)
    table = pd.DataFrame(rows)
    module = types.ModuleType("phenorep.datasets.made_up")
    module.about = lambda config: {"channels": CHANNELS, "pixel_size_um": 0.5, "intensity_max": config}
    module.fields = lambda config, plate, resources: table.copy()
    return types.SimpleNamespace(module=module, table=table, folder=tmp_path, output=tmp_path / "fields" / "P1.parquet")


def make(plate, on_bad_image="stop", intensity_max=4095):
    fields.make(plate.module, intensity_max, "P1", plate.folder, on_bad_image, plate.output)
    return contracts.read_table(plate.output, "fields")


def test_facts_from_headers(plate):
    table = make(plate)
    path = plate.folder / "A02_Actin.tif"
    assert (table[["Height", "Width", "BitDepth"]] == [8, 10, 16]).all(axis=None)
    assert table.loc[1, "FileSize_Actin"] == path.stat().st_size
    assert table.loc[1, "FileTime_Actin"] == path.stat().st_mtime_ns
    assert set(table["Problem"]) == {""}
    assert contracts.channels_of(table.columns) == CHANNELS
    about = contracts.about(plate.output)
    assert (about["dataset"], about["channels"], about["intensity_max"]) == (plate.folder.name, CHANNELS, 4095)


def damage(plate):
    """One bad image each in A01 to A04 and what is said of it; only A05 is left."""
    (plate.folder / "A01_DNA.tif").unlink()
    path = plate.folder / "A02_Actin.tif"
    path.write_bytes(path.read_bytes()[:-20])
    save(plate.folder, "A03_DNA.tif", shape=(10, 8))
    plate.table.loc[3, "FileName_Actin"] = ""
    return {
        "A01_DNA.tif": "no such file",
        "A02_Actin.tif": "truncated",
        "A03_DNA.tif": "10 x 8 pixels",
        "A04": "no image of channel Actin",
    }


def test_stop_lists_every_bad_image_and_the_remedy(plate):
    said = damage(plate)
    with pytest.raises(UserError) as caught:
        make(plate)
    message = str(caught.value)
    assert "4 of 5 fields" in message
    assert "preprocess: on_bad_image: exclude" in message
    for place, problem in said.items():
        line = next(line for line in message.splitlines() if place in line)
        assert problem in line
    assert not plate.output.exists()


def test_exclude_keeps_the_rows_with_the_reason(plate, caplog):
    said = damage(plate)
    table = make(plate, "exclude")
    assert len(table) == 5
    for problem, text in zip(said.values(), table["Problem"], strict=False):
        assert problem in text
    assert table.loc[4, "Problem"] == ""
    assert (table[["Height", "Width", "BitDepth"]] == [8, 10, 16]).all(axis=None)
    assert table.loc[0, "FileSize_DNA"] == 0
    assert len(caplog.records) == 4


def test_bit_depth_of_the_majority_counts(plate):
    save(plate.folder, "A01_DNA.tif", dtype=np.uint8)
    with pytest.raises(
        UserError, match=r"A01_DNA\.tif: The image is 8 x 10 pixels of 8 bits, most of the plate are 8 x 10 .* 16 bits"
    ):
        make(plate)


def test_a_long_list_is_cut(plate):
    big = pd.concat([plate.table] * 6, ignore_index=True)
    big["Metadata_Site"] = [str(number) for number in range(30)]
    for channel in CHANNELS:
        big[f"FileName_{channel}"] = [f"none{number}_{channel}.tif" for number in range(30)]
    plate.module.fields = lambda config, plate, resources: big
    with pytest.raises(UserError, match=r"\.\.\. and 10 more") as caught:
        make(plate)
    assert str(caught.value).count("_DNA.tif: There is no such file") == 20


def test_nothing_left_is_an_error_even_with_exclude(plate):
    plate.table["FileName_DNA"] = [f"none{number}.tif" for number in range(5)]
    with pytest.raises(UserError, match=r"none of its 5 fields can be used\..*no such file"):
        make(plate, "exclude")


def test_a_problem_that_the_dataset_knows_is_kept_and_said_once(plate):
    plate.table["Problem"] = ["no image of it", "", "", "", ""]
    plate.table.loc[0, ["FileName_DNA", "FileName_Actin"]] = ""
    assert make(plate, "exclude")["Problem"].tolist() == ["no image of it", "", "", "", ""]
    with pytest.raises(UserError, match="no image of it"):
        make(plate, "stop")


def test_other_mistakes(plate):
    with pytest.raises(UserError, match="on_bad_image: 'skip' is neither"):
        make(plate, "skip")
    for column in (2, 3):
        for channel in CHANNELS:
            save(plate.folder, f"A{column:02d}_{channel}.tif", dtype=np.uint16)
    with pytest.raises(UserError, match="intensity_max: 70000"):
        make(plate, intensity_max=70000)
    plate.table.loc[1, "Metadata_Well"] = "A01"
    with pytest.raises(UserError, match="well A01, site 1 stands in the table of fields twice"):
        make(plate)


def test_well_names():
    assert [fields.well_name(text, "x") for text in ("a1", "A01", " H-12 ", "AF048", "P24", "A - 1", "A - 01")] == [
        *("A01", "A01", "H12", "AF48", "P24", "A01", "A01")
    ]
    for text in ("", "1A", "A0", "A", "ABC1", "A 1 2", "A -- 1", "A  1"):
        with pytest.raises(UserError, match="is no well"):
            fields.well_name(text, "x.csv: Metadata_Well")


def test_names_that_become_file_names():
    for text in ("P1", "Week1_22123", "2024-01-02.a+b", "0012"):
        assert fields.check_name(text, "plate", "x") == text
    for text in ("", "..", "a/b", "../a", ".hidden", "-x", "a b", "a..b", "Plätte", "x" * 101, "a\n"):
        with pytest.raises(UserError, match=r"x\.csv: .* cannot be the name of a plate"):
            fields.check_name(text, "plate", "x.csv")


def test_a_file_that_is_named_for_two_channels_is_refused(plate):
    plate.table.loc[2, "FileName_Actin"] = "A03_DNA.tif"
    for mode in ("stop", "exclude"):
        with pytest.raises(UserError, match=r"A03_DNA\.tif: is named for the channels DNA and Actin of .*well A03, site 1"):
            make(plate, mode)


def test_a_file_that_is_named_for_several_fields_is_refused(plate):
    plate.table.loc[[1, 3], "FileName_DNA"] = "A01_DNA.tif"
    with pytest.raises(UserError, match=r"A01_DNA\.tif: is named for 3 fields of view, in DNA: .*A01, .*A02, .*A04"):
        make(plate)


def test_a_file_that_all_wells_name_is_refused_however_its_path_is_spelt(plate):
    plate.table["FileName_Actin"] = "A01_Actin.tif"
    plate.table.loc[1:, "PathName_Actin"] = str(plate.folder / "x" / "..")
    with pytest.raises(UserError, match=r"A01_Actin\.tif: is named for 5 fields of view, in Actin: .* and 2 more"):
        make(plate)


def test_a_file_that_shows_two_things_in_two_fields_is_refused(plate):
    plate.table.loc[4, "FileName_Actin"] = "A01_DNA.tif"
    with pytest.raises(UserError, match=r"A01_DNA\.tif: is named for 2 fields of view, in DNA and Actin: .*A01, .*A05"):
        make(plate)


def test_equal_images_in_files_of_their_own_are_fields_of_their_own(plate):
    assert len({path.read_bytes() for path in plate.folder.glob("*.tif")}) == 1
    assert len(make(plate)) == 5


def test_fields_may_lack_images_without_sharing_them(plate):
    plate.table.loc[[0, 1], "FileName_DNA"] = ""
    assert (make(plate, "exclude")["Problem"] != "").tolist() == [True, True, False, False, False]
