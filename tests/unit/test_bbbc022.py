import functools
import gzip
import http.server
import threading

import numpy as np
import pytest
import tifffile

from phenorep import contracts, fields, plugins
from phenorep.datasets import bbbc022
from phenorep.errors import UserError
from phenorep.imaging import readers
from tests.unit import made_bbbc022

PLATES = ["20585", "20646"]
CHANNELS = ["DNA", "AGP", "Mito"]


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    return made_bbbc022.make_mirror(tmp_path_factory.mktemp("mirror"), PLATES)


@pytest.fixture
def server(mirror, monkeypatch):
    asked = []

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=mirror)) as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setenv("no_proxy", "*")
        yield f"http://127.0.0.1:{running.server_port}", asked
        running.shutdown()


def configured(**keys):
    return plugins.configure(bbbc022.Config, keys, "datasets: bbbc022")


def test_true_images_under_their_published_names(shared_data, tmp_path):
    paths = sorted((shared_data / "bbbc022").glob("IXMtest_*_w1*.tif"))
    folder = tmp_path / "BBBC022_v1_images_20585w1"
    folder.mkdir()
    for path in paths:
        (folder / path.name).symlink_to(path)
    table = made_bbbc022.image_table(["20585"]).iloc[: len(paths)].copy()
    names = [path.name for path in paths]
    table["Image_FileName_OrigHoechst"] = names
    table["Image_Metadata_CPD_WELL_POSITION"] = [name.split("_")[1] for name in names]
    made_bbbc022.write_table(table, tmp_path / bbbc022.IMAGE_TABLE)
    config = configured(path=str(tmp_path), channels=["DNA"], plates=["20585"])
    assert bbbc022.archives(config) == []
    fields.make(bbbc022, config, "20585", tmp_path, "stop", tmp_path / "fields.parquet")
    found = contracts.read_table(tmp_path / "fields.parquet", "fields")
    assert sorted(found["FileName_DNA"]) == names
    assert len(found) == 7
    assert (found[["Height", "Width", "BitDepth"]] == [520, 696, 16]).all(axis=None)
    first = found.iloc[0]
    assert (first["Metadata_Well"], first["Metadata_Site"]) == ("A01", "1")
    image = readers.read_field(first, ["DNA"])[0]
    np.testing.assert_array_equal(image, tifffile.imread(paths[0]))
    limit = bbbc022.about(config)["intensity_max"]
    assert image.max() <= limit
    # Hundreds of pixels of a brighter field end at the same value: it is where the camera saturates.
    bright = tifffile.imread(shared_data / "bbbc022" / "A02_s9_w1w2w3_crop.tif")
    assert (bright.max(), (bright == limit).sum() > 100) == (limit, True)


def test_only_the_archives_of_the_chosen_channels_are_wanted():
    config = configured()
    assert (len(bbbc022.plates(config)), len(bbbc022.archives(config))) == (20, 61)
    assert bbbc022.archives(config, "20633") == ["tables", "20633w1", "20633w4", "20633w5"]
    every = configured(channels=list(bbbc022.CHANNELS))
    assert len(bbbc022.archives(every)) == 101
    assert bbbc022.about(every)["channels"] == ["DNA", "ER", "RNA", "AGP", "Mito"]
    assert bbbc022.sources(config) == []
    assert bbbc022.plates(configured(plates=["20646", "20585"])) == ["20585", "20646"]
    assert bbbc022.plates(configured(limit={"plates": "2"})) == ["20585", "20586"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"plates": ["20631"]}, "there is no '20631'"),
        ({"channels": ["DNA", "Actin"]}, "channels: there is no 'Actin'"),
        ({"channels": ["DNA", "DNA"]}, "each once"),
        ({"channels": []}, "one channel or more"),
        ({"limit": {"wells": 2}}, "unknown key 'wells'"),
        ({"limit": {"fields": 0}}, "at least 1, not 0"),
    ],
)
def test_mistakes_in_the_configuration(keys, message):
    with pytest.raises(UserError, match=message):
        configured(**keys)


def fields_of(config, plate, resources):
    """The fields table as the workflow makes it, from a download of all that it needs."""
    for archive in bbbc022.archives(config, plate):
        bbbc022.download(config, archive, resources / archive)
    fields.make(bbbc022, config, plate, resources, "stop", resources / f"{plate}.parquet")
    return contracts.read_table(resources / f"{plate}.parquet", "fields")


def test_from_a_mirror_to_the_fields(server, tmp_path):
    address, asked = server
    plate = PLATES[1]
    table = fields_of(configured(path=address), plate, tmp_path / "bbbc022")
    assert len(table) == len(made_bbbc022.WELLS) * made_bbbc022.SITES
    assert contracts.channels_of(table.columns) == CHANNELS
    assert set(table["Metadata_Plate"]) == {plate}
    assert table["Metadata_Control"].value_counts().to_dict() == {"": 16, "negative": 8}
    assert set(table.loc[table["Metadata_Control"] == "negative", "Metadata_Compound"]) == {"mock"}
    by_well = table.set_index("Metadata_Well")["Metadata_Compound"]
    assert set(by_well["A02"]) == {"(S)-(+)-2,3-dihydro"}  # whose commas break its lines
    assert set(by_well["B05"]) == {"BRD-K00000003-001"}
    assert (table[["Height", "Width", "BitDepth"]] == [*made_bbbc022.SIZE, 16]).all(axis=None)
    assert set(table["Problem"]) == {""}
    last = table.iloc[-1]  # B13, site 4
    images = [made_bbbc022.image(plate, "B13", 4, bbbc022.CHANNELS[channel][1]) for channel in CHANNELS]
    np.testing.assert_array_equal(readers.read_field(last, CHANNELS), images)
    assert sorted(asked) == ["/BBBC022_v1_image.csv", *(f"/BBBC022_v1_images_{plate}w{n}.zip" for n in (1, 4, 5))]


def test_a_limit_takes_fields_of_all_treatments(mirror, tmp_path):
    config = configured(path=str(mirror), limit={"fields": 5})
    table = fields_of(config, PLATES[0], tmp_path)
    assert sorted(table["Metadata_Compound"]) == sorted(
        ["mock", "NIFLUMIC ACID", "(S)-(+)-2,3-dihydro", "BRD-K00000003-001", "cytochalasin D"]
    )
    assert set(table["Metadata_Site"]) == {"1"}


def test_a_local_folder(mirror, tmp_path):
    config = configured(path=str(mirror))
    assert len(bbbc022.archives(config)) == 60  # archives, which are unpacked; the table is read where it lies
    bbbc022.download(config, "20585w1", tmp_path)
    (tmp_path / "BBBC022_v1_image.csv.gz").write_bytes(gzip.compress((mirror / bbbc022.IMAGE_TABLE).read_bytes()))
    config = configured(path=str(tmp_path), channels=["DNA"])
    assert bbbc022.archives(config, "20585") == []
    table = bbbc022.fields(config, "20585", tmp_path / "nothing")
    assert set(table["PathName_DNA"]) == {str(tmp_path / "BBBC022_v1_images_20585w1")}
    with pytest.raises(UserError, match="no folder BBBC022_v1_images_20646w1"):
        bbbc022.fields(config, "20646", tmp_path / "nothing")
    with pytest.raises(UserError, match=r"images_20646w1\.zip: there is no such file.*'path:'"):
        bbbc022.download(config, "20646w1", tmp_path / "20646w1")


def test_lines_that_a_compounds_name_breaks_are_read_whole(tmp_path):
    table = made_bbbc022.image_table(["20585"])
    name, source = "Image_Metadata_SOURCE_COMPOUND_NAME", "Image_Metadata_SOURCE_NAME"
    table.loc[:3, name] = '"one, two"'
    table.loc[4:7, name] = "three\nfour"
    table.loc[12:15, name] = '5" six'
    table.loc[16:19, source] = '"Sigma, Inc."'
    made_bbbc022.write_table(table, tmp_path / bbbc022.IMAGE_TABLE)
    found = bbbc022._fields_of(tmp_path / bbbc022.IMAGE_TABLE, "20585", ("DNA",))
    assert len(found) == 24
    assert found["Metadata_Compound"].iloc[[0, 4, 8, 12, 16]].tolist() == [
        *("one, two", "three four", "mock"),
        *('5" six', "cytochalasin D"),
    ]
    assert not found.duplicated(["Metadata_Well", "Metadata_Site"]).any()


def test_tables_that_are_not_as_published(tmp_path):
    path = tmp_path / bbbc022.IMAGE_TABLE
    config = configured(path=str(tmp_path))
    with pytest.raises(UserError, match=r"neither BBBC022_v1_image\.csv nor"):
        bbbc022.sources(config)
    table = made_bbbc022.image_table(PLATES)
    mito, role = "Image_FileName_OrigMito", "Image_Metadata_ASSAY_WELL_ROLE"
    for change, message in [
        ({mito: table["Image_FileName_OrigER"]}, "24 file names of Image_FileName_OrigMito are not of .* wavelength w5"),
        ({mito: table[mito].str.replace("_s1_", "_s9_")}, "Image_FileName_OrigMito is of other sites than"),
        ({role: "treated"}, "found 'treated', expected one of mock, compound"),
        ({"Image_Metadata_PlateID": "1"}, "no row of plate 20585"),
    ]:
        made_bbbc022.write_table(table.assign(**change), path)
        with pytest.raises(UserError, match=message):
            bbbc022.fields(config, "20585", tmp_path)
    made_bbbc022.write_table(table.drop(columns=mito), path)
    with pytest.raises(UserError, match="the column Image_FileName_OrigMito is missing"):
        bbbc022.fields(config, "20585", tmp_path)
    path.write_text(",".join(made_bbbc022.COLUMNS) + "\n1,1,IXMtest_A01_s1_w2.tif\n")
    with pytest.raises(UserError, match="ends before Image_Metadata_SOURCE_COMPOUND_NAME"):
        bbbc022.fields(config, "20585", tmp_path)
    with pytest.raises(UserError, match="no plate '20631'"):
        bbbc022.fields(config, "20631", tmp_path)
