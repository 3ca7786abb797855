import hashlib
import http.server
import io
import threading
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from phenorep import contracts, fields, plugins
from phenorep.datasets import bbbc013
from phenorep.errors import UserError
from phenorep.imaging import readers
from tests.unit import made_bbbc013
from tests.unit.made_bbbc013 import names, plate_map


@pytest.fixture
def copy(tmp_path):
    return made_bbbc013.write(tmp_path)


def test_real_plate(shared_data, tmp_path):
    config = plugins.configure(bbbc013.Config, {"path": str(shared_data / "bbbc013")}, "datasets: bbbc013")
    assert bbbc013.plates(config) == ["BBBC013"]
    assert bbbc013.archives(config) == []
    assert [path.rsplit("/", 1)[1] for path in bbbc013.sources(config)] == ["1049_Metadata.csv"]
    fields.make(bbbc013, config, "BBBC013", tmp_path, "stop", tmp_path / "fields.parquet")
    table = contracts.read_table(tmp_path / "fields.parquet", "fields")
    assert len(table) == table["Metadata_Well"].nunique() == 96
    assert contracts.channels_of(table.columns) == ["DNA", "GFP"]
    assert (table[["Height", "Width", "BitDepth"]] == [640, 640, 8]).all(axis=None)
    assert table["Metadata_Control"].value_counts().to_dict() == {"": 72, "negative": 16, "positive": 8}
    assert (table["Metadata_Compound"] == "vehicle").equals(table["Metadata_Dose"] == 0)
    assert (table["Metadata_Control"] == "negative").equals(table["Metadata_Dose"] == 0)
    assert (table["Metadata_Control"] == "positive").equals(table["Metadata_Dose"] == 10)
    treated = table[table["Metadata_Dose"] > 0]
    assert (treated.groupby(["Metadata_Compound", "Metadata_Dose"]).size() == 4).all()
    assert treated.groupby("Metadata_Compound")["Metadata_Dose"].agg(["min", "max"]).to_numpy().tolist() == [
        [1, 10],
        [1, 10],
    ]
    assert set(treated.loc[treated["Metadata_Well"].str[0] < "E", "Metadata_Compound"]) == {"wortmannin"}
    assert "Metadata_Concentration" not in table
    well = table.set_index("Metadata_Well").loc["C05"]
    assert (well["FileName_DNA"], well["FileName_GFP"]) == ("Channel2-29-C-05.tif", "Channel1-29-C-05.tif")
    image = readers.read_field(well, ["DNA", "GFP"])
    assert (image.shape, image.dtype) == ((2, 640, 640), np.uint8)


def test_the_published_plate_map_gives_the_same_table(shared_data, copy):
    theirs = bbbc013.fields(bbbc013.Config(path=str(shared_data / "bbbc013")), "BBBC013", copy)
    ours = bbbc013.fields(bbbc013.Config(path=str(copy)), "BBBC013", copy)
    metadata = [name for name in theirs if name.startswith("Metadata_")]
    assert ours[metadata].equals(theirs[metadata])
    assert [name.split(".")[0] for name in ours["FileName_DNA"]] == [name.split(".")[0] for name in theirs["FileName_DNA"]]


def test_bmp_copy_and_a_missing_image(copy):
    config = bbbc013.Config(path=str(copy))
    (copy / "BBBC013_v1_images_bmp" / "Channel2-14-B-02.BMP").unlink()
    with pytest.raises(UserError, match=r"Channel2-14-B-02\.BMP: There is no such file"):
        fields.make(bbbc013, config, "BBBC013", copy, "stop", copy / "fields.parquet")
    fields.make(bbbc013, config, "BBBC013", copy, "exclude", copy / "fields.parquet")
    table = contracts.read_table(copy / "fields.parquet", "fields")
    assert table.loc[table["Problem"] != "", "Metadata_Well"].tolist() == ["B02"]
    np.testing.assert_array_equal(readers.read_field(table.iloc[0], ["DNA", "GFP"])[:, 0, 0], [2, 1])  # channel 2 is DNA


def test_mistakes_in_a_local_copy(copy, tmp_path):
    config = bbbc013.Config(path=str(copy))
    images = copy / "BBBC013_v1_images_bmp"
    (copy / "Channel1-01-A-01.tif").write_bytes(b"")
    with pytest.raises(UserError, match="twice"):
        bbbc013.fields(config, "BBBC013", copy)
    (copy / "Channel1-01-A-01.tif").unlink()
    (images / "Channel1-01-A-01.BMP").rename(images / "Channel1-01-B-01.BMP")
    with pytest.raises(UserError, match="number 01 does not belong to well B01"):
        bbbc013.fields(config, "BBBC013", copy)
    with pytest.raises(UserError, match="only plate is BBBC013"):
        bbbc013.fields(config, "P2", copy)
    (copy / bbbc013.PLATE_MAP).write_text(plate_map().replace("0.98", "low", 1))
    with pytest.raises(UserError, match="'low'"):
        bbbc013.fields(config, "BBBC013", copy)
    (copy / bbbc013.PLATE_MAP).write_text("DESCRIPTION Dose\n0\n1\n")
    with pytest.raises(UserError, match="96 concentrations after the first line, found 2"):
        bbbc013.fields(config, "BBBC013", copy)
    (copy / bbbc013.PLATE_MAP).unlink()
    with pytest.raises(UserError, match=r"neither 1049_Metadata\.csv nor.*path:"):
        bbbc013.sources(config)
    (copy / bbbc013.TABLE).write_text("ImageNumber,Column,Row,SBS_Doses\n1,01,A,0\n")
    with pytest.raises(UserError, match="SBS_Controls"):
        bbbc013.fields(config, "BBBC013", copy)


@pytest.fixture
def published(monkeypatch):
    """A server that offers files of the published names and layout."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names("BMP"):
            image = io.BytesIO()
            Image.fromarray(np.full((4, 4), int(name[7]), np.uint8)).save(image, "BMP")
            archive.writestr(f"BBBC013_v1_images_bmp/{name}", image.getvalue())
    contents = {"BBBC013_v1_images_bmp.zip": buffer.getvalue(), bbbc013.PLATE_MAP: plate_map().encode()}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(contents[self.path.rsplit("/", 1)[1]])

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setenv("no_proxy", "*")
        monkeypatch.setattr(bbbc013, "ADDRESS", f"http://127.0.0.1:{running.server_port}/")
        sizes = {
            archive: replace(file, size=len(contents[file.name]), sha256=hashlib.sha256(contents[file.name]).hexdigest())
            for archive, file in bbbc013.FILES.items()
        }
        yield sizes
        running.shutdown()


def test_download_leads_to_the_fields(published, monkeypatch, tmp_path):
    config = bbbc013.Config()
    assert bbbc013.archives(config) == ["images", "platemap"]
    assert bbbc013.sources(config) == []
    with pytest.raises(UserError):  # other bytes than those published
        bbbc013.download(config, "images", tmp_path / "images")
    monkeypatch.setattr(bbbc013, "FILES", published)
    for archive in bbbc013.archives(config, "BBBC013"):
        bbbc013.download(config, archive, tmp_path / archive)
    assert not list(tmp_path.rglob("*.zip"))
    fields.make(bbbc013, config, "BBBC013", tmp_path, "stop", tmp_path / "fields.parquet")
    table = contracts.read_table(tmp_path / "fields.parquet", "fields")
    assert table["Metadata_Control"].value_counts().to_dict() == {"": 72, "negative": 16, "positive": 8}
    assert set(table["Problem"]) == {""}


def test_a_mirror_takes_the_place_of_the_published_address(published, monkeypatch, tmp_path):
    config = bbbc013.Config(path=bbbc013.ADDRESS)
    monkeypatch.setattr(bbbc013, "FILES", published)
    monkeypatch.setattr(bbbc013, "ADDRESS", "http://127.0.0.1:9/")
    assert (bbbc013.archives(config), bbbc013.sources(config)) == (["images", "platemap"], [])
    for archive in bbbc013.archives(config):
        bbbc013.download(config, archive, tmp_path / archive)
    assert len(bbbc013.fields(config, "BBBC013", tmp_path)) == 96
