"""What a microscope's index lists and its folder lacks, and what the folder has and the index does not list."""

import pytest

from phenorep import cli, microscopes, notes, plugins
from phenorep.datasets import folder as module
from tests.unit.test_microscopes import harmony, image, index

HTD = """"HTSInfoFile", Version 1.0
"XWells", 4
"YWells", 2
"WellsSelection1", FALSE, TRUE, TRUE, FALSE
"WellsSelection2", FALSE, TRUE, FALSE, FALSE
"XSites", 2
"SiteSelection1", TRUE, TRUE
"NWavelengths", 3
"WaveName1", "DAPI"
"WaveName2", "FITC"
"WaveName3", "Cy5"
"EndFile"
"""


def metaxpress(place, wells=("A02", "A03", "B02"), sites=(1, 2), htd=HTD):
    place.mkdir()
    for well in wells:
        for site in sites:
            for wave in (1, 2):
                (place / f"P_{well}_s{site}_w{wave}.tif").write_bytes(b"II")
    (place / "P.HTD").write_text(htd)
    return place


def told(folder, capsys, *options):
    """What `phenorep table` says, and the lines of its table."""
    arguments = ["--output", str(folder / "t.csv"), "--plate-map", str(folder / "w.csv"), *options]
    assert cli.main(["table", str(folder), *arguments]) == 0
    return capsys.readouterr().out, (folder / "t.csv").read_text().splitlines()


def test_images_that_an_index_of_harmony_lists_and_the_folder_lacks(tmp_path, capsys):
    images, there = [], []
    for row, column, channel in [(1, 1, 1), (1, 1, 2), (1, 2, 1), (1, 2, 2), (2, 1, 1), (2, 1, 2), (2, 2, 1), (2, 2, 2)]:
        name = f"r{row:02}c{column:02}-ch{channel}.tiff"
        images.append(image(channel, f"<ChannelName>C{channel}</ChannelName>", Row=row, Col=column, FieldID=1, URL=name))
        there += [name] if (row, column, channel) not in [(1, 2, 2), (2, 2, 1), (2, 2, 2)] else []
    harmony(tmp_path, index(*images), images=[*there, "extra.tiff"])
    for name in there[1:]:
        (tmp_path / "Images" / name).write_bytes(b"II")
    said, lines = told(tmp_path, capsys)
    assert "3 images are missing: plate P1, well B02, site 1: C1, plate P1, well A02, site 1: C2, plate P1, well B02" in said
    assert "1 images are empty (0 bytes) or cannot be opened: " in said
    assert "r01c01-ch1.tiff" in said
    assert "Left out: 1 images that stand in no index" in said
    assert lines[2] == "P1,A02,1,Images,r01c02-ch1.tiff,,"
    assert lines[4] == "P1,B02,1,,,,"


def test_a_folder_without_a_table_says_the_same(tmp_path, capsys):
    harmony(
        tmp_path,
        index(image(1), image(2, "<ChannelName>Cy5</ChannelName>")),
        images=["r02c03f04p01-ch1sk1fk1fl1.tiff", "extra.tiff"],
    )
    config = plugins.configure(module.Config, {"folder": str(tmp_path)}, "datasets: mine")
    with notes.kept() as said:
        table = module.fields(config, "P1", tmp_path)
    assert table[["FileName_DAPI", "FileName_Cy5"]].iloc[0].tolist() == ["r02c03f04p01-ch1sk1fk1fl1.tiff", ""]
    assert said == [{"text": f"{tmp_path}: Left out: 1 images that stand in no index", "check": False}]


def test_wells_that_an_htd_file_lists_and_the_folder_lacks(tmp_path, capsys):
    said, lines = told(metaxpress(tmp_path / "P", wells=("A02", "A03", "B04")), capsys)
    assert (
        "4 images are missing: plate P, well B02, site 1: DAPI, plate P, well B02, site 2: DAPI, plate P, well B02" in said
    )
    assert "P.HTD does not list 1 wells that have images: B04." in said
    assert "P.HTD names w3 Cy5, which have no image here." in said
    assert [line for line in lines if "B02" in line] == ["P,B02,1,,,,", "P,B02,2,,,,"]


def test_a_site_that_only_one_well_lacks(tmp_path, capsys):
    place = metaxpress(tmp_path / "P")
    for wave in (1, 2):
        (place / f"P_A03_s2_w{wave}.tif").unlink()
    said, _ = told(place, capsys)
    assert "2 images are missing: plate P, well A03, site 2: DAPI, plate P, well A03, site 2: FITC" in said


@pytest.mark.parametrize(
    "htd", ['"HTSInfoFile", Version 1.0\n"WaveName1", "DAPI"\n', "no table at all", '"WellsSelection1"\n']
)
def test_an_htd_file_that_lists_no_wells_adds_none(tmp_path, capsys, htd):
    said, lines = told(metaxpress(tmp_path / "P", htd=htd), capsys)
    assert "missing" not in said
    assert len(lines) == 7


def test_the_htd_file_of_another_plate_of_a_folder_says_nothing_of_wells(tmp_path):
    place = metaxpress(tmp_path / "P")
    (place / "Q_A01_s1_w1.tif").touch()
    found = microscopes.module_of("metaxpress").read(microscopes.scan(place))
    assert not [one for one in found.images if not one.path]
    assert not [note for note in found.notes if "does not list" in note]
