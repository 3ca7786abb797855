import functools
import http.server
import io
import threading
import zipfile

import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy import ndimage

from phenorep import contracts, fields, plugins
from phenorep.datasets import bbbc005
from phenorep.errors import UserError
from phenorep.imaging import readers
from tests.unit import made_bbbc005


def configured(**keys):
    return plugins.configure(bbbc005.Config, keys, "datasets: bbbc005")


@pytest.fixture
def copy(tmp_path):
    return made_bbbc005.write(tmp_path)


def test_true_images(shared_data, tmp_path):
    folder = shared_data / "bbbc005" / "images"
    truth = pd.read_csv(shared_data / "bbbc005" / "labels.csv")
    for stain, number in (("nuclei", 1), ("cell_bodies", 2)):
        config = configured(path=str(folder), stain=stain)
        channel = bbbc005.about(config)["channels"][0]
        fields.make(bbbc005, config, "BBBC005", tmp_path, "stop", tmp_path / "fields.parquet")
        table = contracts.read_table(tmp_path / "fields.parquet", "fields")
        expected = truth[truth["stain"] == number].set_index("file").loc[table[f"FileName_{channel}"]]
        assert len(table) == len(expected) == 60
        assert table["Label_Count"].tolist() == expected["count"].tolist()
        assert table["Label_Blur"].tolist() == expected["blur"].tolist()
        assert (table["Label_Quality"] == "normal").tolist() == (expected["blur"] == 1).tolist()
        assert table["Label_Artefact"].value_counts().to_dict() == {"out_of_focus": 40, "": 20}
        assert (table[["Height", "Width", "BitDepth"]] == [520, 696, 8]).all(axis=None)
    image = readers.read_field(table.iloc[0], ["CellBody"])[0]
    np.testing.assert_array_equal(image, tifffile.imread(folder / table.iloc[0]["FileName_CellBody"]))


def test_the_nuclei_are_in_the_first_wavelength(shared_data):
    """Which is not what the collection says of it."""
    folder = shared_data / "bbbc005" / "images"
    widths = {}
    for wavelength in ("1", "2"):
        found = []
        for path in folder.glob(f"A*_F1_*_w{wavelength}.TIF"):
            labels, _ = ndimage.label(tifffile.imread(path) > 60)
            found += [2 * np.sqrt(area / np.pi) for area in np.bincount(labels.ravel())[1:] if area > 50]
        widths[wavelength] = np.median(found)
    assert 25 < widths["1"] < 40 < 60 < widths["2"]
    assert bbbc005.STAINS["nuclei"] == ("1", "DNA")


def test_what_counts_as_normal(copy):
    plain = bbbc005.fields(configured(path=str(copy)), "BBBC005", copy)
    assert contracts.channels_of(plain.columns) == ["DNA"]
    assert plain["Label_Quality"].value_counts().to_dict() == {"abnormal": 8, "normal": 4}
    assert plain["Metadata_Site"].tolist()[:2] == ["1", "10"]
    assert readers.read(f"{plain['PathName_DNA'][0]}/{plain['FileName_DNA'][0]}").max() == 1  # w1 is nuclei
    clear = bbbc005.fields(configured(path=str(copy), abnormal_blur=20), "BBBC005", copy)
    assert clear.groupby("Label_Blur")["Label_Quality"].unique().map(list).to_dict() == {
        **{1: ["normal"], 4: [""]},
        **{48: ["abnormal"]},
    }
    assert set(clear.loc[clear["Label_Quality"] == "", "Label_Artefact"]) == {""}
    lenient = bbbc005.fields(configured(path=str(copy), normal_blur=4, abnormal_blur=5), "BBBC005", copy)
    assert lenient["Label_Quality"].value_counts().to_dict() == {"normal": 8, "abnormal": 4}


def test_a_limit_takes_all_blurs(copy):
    table = bbbc005.fields(configured(path=str(copy), limit={"fields": "4"}), "BBBC005", copy)
    assert table["Metadata_Well"].tolist() == ["A01", "A02", "B01", "P01"]
    assert set(table["Metadata_Site"]) == {"1"}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"normal_blur": 0}, "at least 1"),
        ({"abnormal_blur": 1}, "abnormal_blur above it, not 1 and 1"),
        ({"stain": "dna"}, "not one of nuclei, cell_bodies"),
        ({"limit": {"plates": 1}}, "unknown key 'plates'"),
        ({"limit": {"fields": -1}}, "at least 1, not -1"),
    ],
)
def test_mistakes_in_the_configuration(keys, message):
    with pytest.raises(UserError, match=message):
        configured(**keys)


def test_mistakes_in_a_local_copy(copy, tmp_path):
    config = configured(path=str(copy))
    with pytest.raises(UserError, match="only plate is BBBC005"):
        bbbc005.fields(config, "P1", copy)
    images = copy / "BBBC005_v1_images"
    (images / "SIMCEPImages_A01_C1_F1_s01_w1.TIF").rename(images / "SIMCEPImages_A01_C1_F4_s01_w1.TIF")
    with pytest.raises(UserError, match="images of well A01 have several blurs"):
        bbbc005.fields(config, "BBBC005", copy)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no image like SIMCEPImages_A01_C1_F1_s01_w1\.TIF"):
        bbbc005.fields(configured(path=str(tmp_path / "empty")), "BBBC005", copy)


def test_the_published_archive(copy, tmp_path, monkeypatch):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in (copy / "BBBC005_v1_images").iterdir():
            archive.write(path, f"BBBC005_v1_images/{path.name}")
    (tmp_path / "BBBC005_v1_images.zip").write_bytes(buffer.getvalue())

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path)) as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setenv("no_proxy", "*")
        monkeypatch.setattr(bbbc005, "ADDRESS", f"http://127.0.0.1:{running.server_port}/")
        config = configured()
        assert (bbbc005.archives(config), bbbc005.sources(config)) == (["images"], [])
        bbbc005.download(config, "images", tmp_path / "resources" / "images")
        running.shutdown()
    fields.make(bbbc005, config, "BBBC005", tmp_path / "resources", "stop", tmp_path / "fields.parquet")
    assert len(contracts.read_table(tmp_path / "fields.parquet", "fields")) == 12
