"""The rows of one well: fields, time points and planes, as a user's table names them."""

import re

import pandas as pd
import pytest

from phenorep import notes, plugins
from phenorep.datasets import table
from phenorep.errors import UserError


@pytest.fixture
def screen(tmp_path):
    """A function that writes a table of two wells and returns its fields of plate P1, and what was said."""
    path = tmp_path / "plates.csv"

    def fields(plate="P1", **columns):
        keys = {key: columns.pop(key) for key in ("time", "plane", "plates", "rename") if key in columns}
        n = len(next(iter(columns.values())))
        frame = pd.DataFrame(
            {"Metadata_Plate": "P1", "Metadata_Well": ["A01"] * (n // 2) + ["A02"] * (n - n // 2), **columns}
        )
        frame["FileName_DNA"] = [f"i{number:02d}.tif" for number in range(n, 0, -1)]
        frame.to_csv(path, index=False)
        config = plugins.configure(table.Config, {"table": str(path), **keys}, "datasets: mine")
        with notes.kept() as kept:
            return table.fields(config, plate, None), [note["text"] for note in kept if "Metadata_Site" in note["text"]]

    return fields


@pytest.mark.parametrize(
    "name",
    [
        "Metadata_FieldID",
        "Metadata_Field",
        "Image_Metadata_field_ID",
        "Metadata_Position",
        "Metadata_Series",
        "metadata_FOV",
    ],
)
def test_a_column_of_fields_is_the_site_and_that_is_said(screen, name):
    fields, said = screen(**{name: ["1", "10", "2", "1", "2", "10"]})
    assert fields["Metadata_Site"].tolist() == ["1", "2", "10"] * 2
    assert fields["FileName_DNA"].tolist()[:3] == ["i06.tif", "i04.tif", "i05.tif"]
    assert f"{name.replace('Image_', '').replace('metadata', 'Metadata')} is taken for it" in said[0]
    assert len(said) == 1


def test_sites_as_they_are_are_not_spoken_of(screen):
    fields, said = screen(Metadata_Site=["1", "2"] * 2, Metadata_Field=["7", "8"] * 2)
    assert fields["Metadata_Site"].tolist() == ["1", "2"] * 2
    assert not said
    fields, said = screen(Metadata_Compound=["a", "b"])  # one field in each well
    assert not said


def test_fields_are_numbered_where_nothing_tells_them(screen):
    for constant in (
        {},
        {"Metadata_Series": ["0"] * 4, "Metadata_Frame": ["0"] * 4},
        {"Metadata_Position": ["A01"] * 2 + ["A02"] * 2},
    ):
        fields, said = screen(**{"Metadata_Compound": ["a"] * 4, **constant})
        assert fields["FileName_DNA"].tolist() == ["i03.tif", "i04.tif", "i01.tif", "i02.tif"]
        assert "numbered in the order of their images' names" in said[0]


@pytest.mark.parametrize(
    ("key", "name"),
    [
        *(("time", f"Metadata_{name}") for name in ("Timepoint", "Time", "TimepointID", "T", "Frame")),
        *(("plane", f"Metadata_{name}") for name in ("Plane", "PlaneID", "Z", "ZSlice")),
    ],
)
def test_several_time_points_or_planes_wait_for_a_choice(screen, key, name):
    with pytest.raises(UserError, match=f"well A01 has 3 .*s in {name}: 1, 2, 03. .* by '{key}: 1'; .* dataset of its own"):
        screen(**{name: ["1", "2", "03"] * 2})


@pytest.mark.parametrize(("key", "name"), [("time", "Metadata_Timepoint"), ("plane", "Metadata_Z")])
def test_one_time_point_or_plane_is_chosen(screen, key, name):
    columns = {name: ["1", "2", "03"] * 2, "Metadata_Site": ["1"] * 6}
    with pytest.raises(UserError, match=f"well A01 has 3 .*s in {name}"):
        screen(**columns)
    fields, _ = screen(**columns, **{key: 3})
    assert fields["FileName_DNA"].tolist() == ["i04.tif", "i01.tif"]
    assert fields[name].tolist() == ["03"] * 2
    with pytest.raises(UserError, match=rf"{key}: plate P1 has no .* 7; it has 1, 2, 03 in {name}\. .* 'plates:'"):
        screen(**columns, **{key: 7})
    # A well at one time: 24 and 48 hours are treatments.
    fields, _ = screen(**{name: ["24"] * 2 + ["48"] * 2, "Metadata_Site": ["1", "2"] * 2})
    assert len(fields) == 4


def test_fields_times_and_planes_together(screen):
    field, time, plane = ["1", "1", "1", "1", "2", "2", "2", "2"], ["a", "a", "b", "b"] * 2, ["0", "1"] * 4
    columns = {"Metadata_FieldID": field * 2, "Metadata_Timepoint": time * 2, "Metadata_Z": plane * 2}
    with pytest.raises(UserError, match="by 'time: a'"):
        screen(**columns)
    with pytest.raises(UserError, match="by 'plane: 0'"):
        screen(**columns, time="b")
    fields, _ = screen(**columns, time="b", plane="1")
    assert fields["Metadata_Site"].tolist() == ["1", "2"] * 2
    assert fields["FileName_DNA"].tolist() == ["i13.tif", "i09.tif", "i05.tif", "i01.tif"]
    fields, _ = screen(Metadata_FieldID=["1", "2"] * 2, Metadata_Time=["12:01", "12:02", "12:03", "12:04"])
    assert len(fields) == 4  # each field has one time


def test_rows_that_cannot_be_told_apart(screen):
    with pytest.raises(UserError, match="rows 2, 4 are all of plate P1, well A01, Metadata_Site 1"):
        screen(Metadata_Site=["1", "2", "1", "1", "2", "3"])
    with pytest.raises(UserError, match="rows 6, 7 are all of plate P1, well A02, Metadata_FieldID 5"):
        screen(Metadata_FieldID=["1", "2", "3", "4", "5", "5"])
    with pytest.raises(UserError, match="row 3: Metadata_FieldID: '1/2' cannot be the name of a site"):
        screen(Metadata_FieldID=["1", "1/2"] * 2)
    with pytest.raises(UserError, match="time: there is no column of time points, such as Metadata_Time"):
        screen(Metadata_Site=["1", "2"] * 2, time=1)


def test_other_images_of_a_file_than_the_first_are_refused(screen):
    fields, _ = screen(Metadata_Site=["1", "2"], Frame_DNA=["0", ""], Series_DNA=["0.0", "0"], Frame_Actin=["1", "1"])
    assert len(fields) == 2
    for name in ("Frame_DNA", "Series_DNA", "Image_Frame_DNA"):
        with pytest.raises(UserError, match=f"row 3: {name} is '2': an image within a file of several"):
            screen(Metadata_Site=["1", "2"], **{name: ["0", "2"]})


def test_plates_that_are_not_used_need_no_choice(screen):
    columns = {"Metadata_Plate": ["P1", "P2", "P2"], "Metadata_Well": ["A01"] * 3, "Metadata_Time": ["1", "1", "2"]}
    fields, _ = screen(**columns, plates=["P1"])
    assert len(fields) == 1
    with pytest.raises(UserError, match="plate P2, well A01 has 2 time points"):
        screen(**columns)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        *(("time", name) for name in ("Metadata_Day", "Metadata_Hour", "Metadata_Time_h", "Metadata_ElapsedTime")),
        *(("time", name) for name in ("Timepoint", "Time", "Time [h]", "Metadata_hours")),
        *(("plane", f"Metadata_{name}") for name in ("Zstack", "Stack", "ZPos", "FocalPlane", "Depth")),
        ("plane", "Z"),
    ],
)
def test_time_points_and_planes_under_other_names_are_no_fields(screen, key, name):
    with pytest.raises(UserError, match=rf"well A01 has 3 .*s in {re.escape(name)}: 1, 2, 3\. .* by '{key}: 1'"):
        screen(**{name: ["1", "2", "3"] * 2})
    fields, _ = screen(**{name: ["1", "2", "3"] * 2}, **{key: 2})
    assert fields["FileName_DNA"].tolist() == ["i05.tif", "i02.tif"]
    fields, _ = screen(**{name: ["1", "2", "3"] * 2}, rename={name: "Metadata_Other"})
    assert len(fields) == 6


def test_what_the_rows_of_a_well_differ_in_is_named(screen):
    _, said = screen(Metadata_Exposure=["1", "2"] * 2, Metadata_Compound=["a", "a", "b", "b"])
    assert "Rows of a well differ in Metadata_Exposure." in said[0]


def test_wells_without_the_chosen_time_point_are_warned_of(tmp_path):
    path = tmp_path / "t.csv"
    for sites, named in ((False, "P1 A02."), (True, "P1 A02, P1 A01 site 2.")):
        rows = [("A01", "1", "0"), ("A01", "1", "2"), ("A02", "1", "0"), ("A02", "1", "1"), ("A01", "2", "0")]
        frame = pd.DataFrame(rows if sites else rows[:4], columns=["Metadata_Well", "Metadata_Site", "Metadata_Time"])
        frame = frame if sites else frame.drop(columns="Metadata_Site")
        names = [f"{number}.tif" for number in range(len(frame))]
        frame.assign(Metadata_Plate="P1", FileName_DNA=names).to_csv(path, index=False)
        config = plugins.configure(table.Config, {"table": str(path), "time": 2}, "datasets: mine")
        with notes.kept() as kept:
            table.check(config)
        warned = [note["text"] for note in kept if note["check"]]
        assert warned == [f"{path}: time: left out, since they have no time point 2 in Metadata_Time: {named}"]


def test_rows_without_their_site_are_named(screen):
    with pytest.raises(UserError, match="rows 4, 5 have no Metadata_Site, and other rows of their wells neither"):
        screen(Metadata_Site=["1", "2", "", ""])
    assert len(screen(Metadata_Site=["1", "2", "1", ""])[0]) == 4
