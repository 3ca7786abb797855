"""Where images lie: addresses of files are read, places that this machine does not have are explained."""

import pytest

from phenorep import locations, microscopes, notes, plugins, tabulation
from phenorep.datasets import table
from phenorep.errors import UserError


def fields(tmp_path, folder, name, **keys):
    path = tmp_path / "plates.csv"
    path.write_text(f'Metadata_Plate,Metadata_Well,PathName_DNA,FileName_DNA\nP1,A01,.,b.tif\nP1,A02,"{folder}","{name}"\n')
    config = plugins.configure(table.Config, {"table": str(path), **keys}, "datasets: mine")
    with notes.kept():
        table.check(config)
        row = table.fields(config, "P1", None).iloc[1]
    return row["PathName_DNA"], row["FileName_DNA"]


@pytest.mark.parametrize(
    ("folder", "name", "expected"),
    [
        ("file:///data/my%20screen", "a.tif", ("/data/my screen", "a.tif")),
        ("file:/data/x", "a%20b.tif", ("/data/x", "a%20b.tif")),  # a name is no address
        ("FILE://localhost/data", "a.tif", ("/data", "a.tif")),
        ("", "file:///data/100%25%20%C3%A9.tif", ("/data", "100% \xe9.tif")),
        ("/data/a:b", "12:30:00.tif", ("/data/a:b", "12:30:00.tif")),
        ("//data", "a.tif", ("//data", "a.tif")),
        ("images\\P1", "a.tif", ("{}/images/P1", "a.tif")),
    ],
)
def test_places_that_are_here(tmp_path, folder, name, expected):
    assert fields(tmp_path, folder, name) == (expected[0].format(tmp_path), expected[1])


@pytest.mark.parametrize(
    ("folder", "name", "what"),
    [
        (r"D:\images\P1", "a.tif", "a drive of Windows, D:, which this machine does not have"),
        ("file:///C:/images", "a.tif", "a drive of Windows, C:"),
        (r"\\server\share\P1", "a.tif", "a shared folder of Windows"),
        ("file://server/share", "a.tif", "a shared folder of Windows"),
        ("", r"E:\images\a.tif", "a drive of Windows, E:"),
        ("s3://cellpainting-gallery/P1", "a.tif", "on the network"),
        ("", "https://example.org/a.tif", "on the network"),
    ],
)
def test_places_that_are_elsewhere(tmp_path, folder, name, what):
    with pytest.raises(UserError) as caught:
        fields(tmp_path, folder, name)
    message = str(caught.value)
    assert f"plates.csv: row 3: {'PathName' if folder else 'FileName'}_DNA is " in message
    assert what in message
    assert "'datasets: images:'" in message
    moved = tmp_path / "moved"
    if folder:  # all images are in one folder here
        assert fields(tmp_path, folder, name, images=str(moved)) == (str(moved), name)
    else:
        assert fields(tmp_path, folder, name, images=moved.as_uri()) == (str(moved), "a.tif")


def test_a_folder_of_images_that_is_elsewhere():
    for images in (r"D:\images", r"\\server\share", "s3://bucket/images"):
        with pytest.raises(UserError, match="images must be a folder as this machine calls it"):
            plugins.configure(table.Config, {"table": "t", "images": images}, "datasets: mine")


def test_names_with_commas_on_the_command_line():
    assert tabulation.pairs('"DAPI, 405"=DNA, w2=Actin,w3', "--channels") == {"DAPI, 405": "DNA", "w2": "Actin", "w3": "w3"}
    # A name may have the sign that parts the pair.
    assert tabulation.pairs('"GFP=488"=GFP,DAPI=405=DNA,w3', "--channels") == {
        "GFP=488": "GFP",
        "DAPI=405": "DNA",
        "w3": "w3",
    }
    for text in ("w1=,w2=Actin", "=DNA", "w1,,w2"):
        with pytest.raises(UserError, match="expected THEIRS=OURS"):
            tabulation.pairs(text, "--channels")
    with pytest.raises(UserError, match='a name with a comma in it in quotes: --channels \'"DAPI, 405"=DNA'):
        tabulation.pairs("w1=,w2=Actin", "--channels")


@pytest.mark.parametrize("place", ["~/im", "~", "~me/im", "$DATA/x", "${DATA}/x", "$HOME"])
def test_what_a_shell_replaces_is_not_replaced_here(place):
    with pytest.raises(UserError, match=r"t\.csv: row 2 is .*is replaced by a shell alone.* Write the folder in full"):
        locations.path(place, "t.csv: row 2", "")


def test_names_that_only_begin_like_what_a_shell_replaces():
    for place in ("~$lock.tif", "im/$x", "$1.tif", "a~"):
        assert locations.path(place, "t.csv", "") == place


@pytest.mark.parametrize("folder", [r"D:\data", r"\\server\share\data", "s3://bucket/data"])
def test_a_folder_for_the_command_that_is_elsewhere(tmp_path, folder):
    options = {"folder": folder, "layout": "auto", "pattern": ""}
    options |= {"output": str(tmp_path / "t.csv"), "plate_map": str(tmp_path / "m.csv")}
    with pytest.raises(UserError, match=r"the folder of images is .* Name the folder as this machine calls it"):
        tabulation.write(options)


def test_the_address_of_a_folder_is_the_folder(tmp_path):
    folder = tmp_path / "my screen"
    folder.mkdir()
    (folder / "a.tif").touch()
    assert microscopes.scan(f"file://{tmp_path}/my%20screen").images == ["a.tif"]
