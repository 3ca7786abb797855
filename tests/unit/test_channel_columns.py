"""Columns that name images: what looks like a channel and is none, or is one and looks otherwise, is said or refused."""

import pytest

from phenorep import notes, plugins
from phenorep.datasets import table
from phenorep.errors import UserError

START = "Metadata_Plate,Metadata_Well"


def checked(tmp_path, names, cells, **keys):
    """The channels of a table of two wells, and what was said."""
    path = tmp_path / "t.csv"
    rows = "".join(f"P1,A0{well},{cells.replace('#', str(well))}\n" for well in (1, 2))
    path.write_text(f"{START},{names}\n{rows}")
    config = plugins.configure(table.Config, {"table": str(path), **keys}, "datasets: mine")
    with notes.kept() as kept:
        table.check(config)
    return table.about(config)["channels"], [(note["check"], note["text"]) for note in kept]


@pytest.mark.parametrize(
    "name", ["FileName ER", "FileName.ER", "File_Name_ER", "file name_ER", "FileName-ER", "Image_FileName ER"]
)
def test_an_image_under_almost_its_name_is_taken_and_said(tmp_path, name):
    channels, said = checked(tmp_path, f"FileName_DNA,{name}", "d#.tif,e#.tif")
    assert channels == ["DNA", "ER"]
    assert any(f"{name!r} as FileName_ER" in text for _, text in said)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("FileNameER", "rename: {FileNameER: FileName_ER}"),
        ("PathName_ER", "Add the column FileName_ER"),
        ("URL_ER", "rename: {URL_ER: FileName_ER}"),
        ("Image_URL_ER", "rename: {Image_URL_ER: FileName_ER}"),
    ],
)
def test_an_image_that_is_not_taken_is_warned_of(tmp_path, name, remedy):
    channels, said = checked(tmp_path, f"FileName_DNA,{name}", "d#.tif,e#.tif")
    assert channels == ["DNA"]
    assert [text for warns, text in said if warns and f"{name} look like names of images" in text and remedy in text]
    # Whoever names the channels has left it out; of one channel, two columns are no two channels.
    assert not any(warns for warns, _ in checked(tmp_path, f"FileName_DNA,{name}", "d#.tif,e#.tif", channels=["DNA"])[1])
    assert not any(warns for warns, _ in checked(tmp_path, "FileName_DNA,URL_DNA", "d#.tif,file:d#.tif")[1])


@pytest.mark.parametrize("names", ["FileName_OrigDNA,FileName_IllumDNA", "FileName_DNA,FileName_Illum_DNA"])
def test_illumination_functions_are_no_channels(tmp_path, names):
    channels, said = checked(tmp_path, names, "d#.tif,i.npy")
    assert channels == [names.split(",")[0].removeprefix("FileName_")]
    assert any("name illumination functions" in text for _, text in said)


@pytest.mark.parametrize("name", ["IllumDNA", "Correction"])
def test_what_is_no_image_is_refused(tmp_path, name):
    with pytest.raises(UserError, match=rf"row 2: FileName_{name} is 'i\.npy': no image\. Leave {name} out"):
        checked(tmp_path, f"FileName_ER,FileName_{name}", "e#.tif,i.npy", channels=["ER", name])
    assert checked(tmp_path, f"FileName_ER,FileName_{name}", "e#.tif,i.npy", channels=["ER"])[0] == ["ER"]


@pytest.mark.parametrize("name", ["Metadata_Channel", "Metadata_ChannelID", "Metadata_Wavelength", "Channel Name"])
def test_channels_in_rows_are_refused(tmp_path, name):
    path = tmp_path / "t.csv"
    path.write_text(f"{START},{name},FileName_Orig\nP1,A01,DNA,a.tif\nP1,A01,Actin,b.tif\nP1,A02,DNA,c.tif\n")
    for keys in ({}, {"rename": {name: "Metadata_Other"}}):
        config = plugins.configure(table.Config, {"table": str(path), **keys}, "datasets: mine")
        if keys:
            table.check(config)
            continue
        with pytest.raises(UserError, match=rf"well A01 has rows of several channels, by {name}: DNA, Actin.*`table\.pivot"):
            table.check(config)
    path.write_text(f"{START},{name},FileName_Orig\nP1,A01,DNA,a.tif\nP1,A02,DNA,c.tif\n")
    table.check(plugins.configure(table.Config, {"table": str(path)}, "datasets: mine"))


def test_channels_that_differ_only_in_case(tmp_path):
    names, cells = "FileName_DNA,FileName_dna,FileName_ER", "a#.tif,b#.tif,c#.tif"
    with pytest.raises(UserError, match="the channels DNA and dna differ only in case"):
        checked(tmp_path, names, cells)
    assert checked(tmp_path, names, cells, channels=["DNA", "ER"])[0] == ["DNA", "ER"]


@pytest.mark.parametrize(
    ("cells", "name"),
    [("d#.tif,.,nan,.", "FileName_ER"), ("d#.tif,.,N/A,.", "FileName_ER"), ("d#.tif,nan,e#.tif,.", "PathName_DNA")],
)
def test_what_tools_write_where_there_is_nothing_names_no_file(tmp_path, cells, name):
    with pytest.raises(UserError, match=rf"row 2: {name} is .*, which would be the name of a file. Leave the cell empty"):
        checked(tmp_path, "FileName_DNA,PathName_DNA,FileName_ER,PathName_ER", cells)
