import functools
import http.server
import json
import threading
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from phenorep import contracts, fields, plugins
from phenorep.datasets import bbbc021
from phenorep.errors import UserError
from phenorep.imaging import readers
from tests.unit import made_mirror

PLATES = ["Week1_22123", "Week2_24121"]
CHANNELS = ["DNA", "Tubulin", "Actin"]


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    return made_mirror.make_mirror(tmp_path_factory.mktemp("mirror"), PLATES)


@pytest.fixture
def server(mirror, monkeypatch):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=mirror)) as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setenv("no_proxy", "*")
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def configured(**keys):
    return plugins.configure(bbbc021.Config, keys, "datasets: bbbc021")


def fields_of(config, plate, resources):
    """The fields table as the workflow makes it, from a download of all that it needs."""
    for archive in bbbc021.archives(config, plate):
        bbbc021.download(config, archive, resources / archive)
    fields.make(bbbc021, config, plate, resources, "stop", resources / f"{plate}.parquet")
    return contracts.read_table(resources / f"{plate}.parquet", "fields")


def test_the_published_tables(shared_data, tmp_path):
    folder = tmp_path / "copy"
    for plate in bbbc021.PLATES:
        (folder / plate).mkdir(parents=True)
    for path in (shared_data / "bbbc021").iterdir():
        (folder / path.name).symlink_to(path)
    config = configured(path=str(folder))
    assert bbbc021.archives(config) == []
    assert [path.rsplit("/", 1)[1] for path in bbbc021.sources(config)] == [
        "BBBC021_v1_image.csv.gz",
        "BBBC021_v1_moa.csv",
    ]
    table = pd.concat([bbbc021.fields(config, plate, tmp_path) for plate in bbbc021.plates(config)])
    treated = table[table["Metadata_Control"] != "negative"]
    assert (len(table), len(treated), table["Metadata_Plate"].nunique()) == (3848, 2528, 55)
    assert treated["Metadata_Compound"].nunique() == 38
    assert treated["Metadata_MoA"].nunique() == 12
    assert treated.groupby(["Metadata_Compound", "Metadata_Concentration"]).ngroups == 103
    assert "" not in set(treated["Metadata_MoA"])
    assert set(table.loc[table["Metadata_Control"] == "negative", "Metadata_Compound"]) == {"DMSO"}
    assert table["Metadata_Batch"].nunique() == 10
    positive = table[table["Metadata_Control"] == "positive"]
    assert (len(positive), positive["Metadata_Plate"].nunique()) == (1332, 55)
    assert not table.duplicated(list(contracts.FIELD)).any()
    assert set(table["Metadata_Site"]) == set("1234")
    whole = replace(config, annotated_only=False)
    assert len(bbbc021.fields(whole, "Week10_40119", tmp_path)) == 240
    published = pd.read_csv(shared_data / "bbbc021" / "BBBC021_v1_image.csv.gz")
    assert set(published["Image_Metadata_Plate_DAPI"]) == set(bbbc021.PLATES)


def test_plates_are_known_before_anything_is_there():
    config = configured()
    assert (len(bbbc021.plates(config)), len(bbbc021.archives(config))) == (55, 56)
    assert bbbc021.archives(config, "Week9_39301") == ["tables", "Week9_39301"]
    assert bbbc021.sources(config) == []
    assert bbbc021.plates(configured(plates=["Week9_39301", "Week1_22123"])) == ["Week1_22123", "Week9_39301"]


def test_a_limit_takes_plates_of_all_weeks_and_fields_of_all_treatments(mirror, tmp_path):
    chosen = bbbc021.plates(configured(limit={"plates": "12"}))
    assert len({name.split("_")[0] for name in chosen}) == 10
    assert chosen[:3] == ["Week1_22123", "Week1_22141", "Week2_24121"]
    config = configured(path=str(mirror), limit={"fields": 5}, annotated_only=False)
    table = fields_of(config, PLATES[0], tmp_path)
    assert table["Metadata_Compound"].tolist() == ["DMSO", "emetine", "AZ258", "AZ-A", "taxol"]
    assert set(table["Metadata_Site"]) == {"1"}
    two = fields_of(replace(config, limit={"fields": 2}), PLATES[0], tmp_path)
    assert set(two["Metadata_Control"]) == {"negative", "positive"}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"plates": ["Week1_2212"]}, "Did you mean 'Week1_22123'"),
        ({"limit": {"plate": 2}}, "unknown key 'plate'"),
        ({"limit": {"fields": 0}}, "at least 1, not 0"),
        ({"limit": {"fields": "few"}}, "at least 1, not 'few'"),
    ],
)
def test_mistakes_in_the_configuration(keys, message):
    with pytest.raises(UserError, match=message):
        configured(**keys)


@pytest.mark.parametrize("plate", PLATES)
def test_from_a_mirror_to_the_fields(server, tmp_path, plate):
    config = configured(path=server)
    table = fields_of(config, plate, tmp_path / "bbbc021")
    assert len(table) == (len(made_mirror.WELLS) - 1) * made_mirror.SITES  # without the compound that has no mechanism
    assert contracts.channels_of(table.columns) == CHANNELS
    assert set(table["Metadata_Batch"]) == {plate.split("_")[0]}
    assert table["Metadata_Control"].value_counts().to_dict() == {"negative": 8, "": 16, "positive": 4}
    assert (table[["Height", "Width", "BitDepth"]] == [*made_mirror.SIZE, 16]).all(axis=None)
    assert set(table["Problem"]) == {""}
    last = table.iloc[-1]  # E11, site 4
    images = [made_mirror.image(plate, "E11", 4, number) for _, number in bbbc021.CHANNELS.values()]
    np.testing.assert_array_equal(readers.read_field(last, CHANNELS), images)
    assert not list(tmp_path.rglob("*.zip"))
    records = sorted(path.name for path in (tmp_path / "bbbc021" / "checksums").iterdir())
    assert records == [f"BBBC021_v1_{name}.json" for name in ("image.csv", f"images_{plate}.zip", "moa.csv")]


def test_another_archive_than_the_first_time_is_refused(server, mirror, tmp_path):
    config, plate = configured(path=server), PLATES[0]
    bbbc021.download(config, plate, tmp_path / plate)
    record = tmp_path / "checksums" / f"BBBC021_v1_images_{plate}.zip.json"
    first = json.loads(record.read_text())
    assert first["from"] == f"{server}/BBBC021_v1_images_{plate}.zip"
    record.write_text(json.dumps(first | {"sha256": "0" * 64}))
    with pytest.raises(UserError, match=r"what came first .* remove .*checksums/BBBC021_v1_images_Week1_22123\.zip\.json"):
        bbbc021.download(config, plate, tmp_path / plate)
    assert not list((tmp_path / "partial").iterdir())


def test_a_local_folder_with_unpacked_plates(mirror, tmp_path):
    config = configured(path=str(mirror))
    assert bbbc021.archives(config) == bbbc021.plates(config)  # archives, which are unpacked
    bbbc021.download(config, PLATES[0], tmp_path / "Week1")
    for path in mirror.glob("*.csv"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = configured(path=str(tmp_path))  # the plate lies in the folder of its week, as in the published table
    assert bbbc021.archives(config, PLATES[0]) == []
    table = bbbc021.fields(config, PLATES[0], tmp_path / "nothing")
    assert set(table["PathName_Actin"]) == {str(tmp_path / "Week1" / PLATES[0])}
    with pytest.raises(UserError, match=r"images_Week9_39301\.zip: there is no such file.*'path:'"):
        bbbc021.download(config, "Week9_39301", tmp_path / "Week9_39301")
    with pytest.raises(UserError, match="no folder Week2_24121"):
        bbbc021.fields(config, PLATES[1], tmp_path / "nothing")


def test_tables_that_are_not_as_published(mirror, tmp_path):
    config = configured(path=str(tmp_path))
    with pytest.raises(UserError, match=r"neither BBBC021_v1_image\.csv nor"):
        bbbc021.sources(config)
    images = made_mirror.image_table(PLATES)
    (tmp_path / bbbc021.MECHANISM_TABLE).write_bytes((mirror / bbbc021.MECHANISM_TABLE).read_bytes())
    for change, message in [
        (
            {"Image_FileName_Tubulin": images["Image_FileName_Actin"]},
            "64 file names of Image_FileName_Tubulin are not of .* wavelength w2",
        ),
        ({"Image_FileName_Actin": images["Image_FileName_Actin"].str.replace("_s1_", "_s9_")}, "Actin is of other sites"),
    ]:
        images.assign(**change).to_csv(tmp_path / bbbc021.IMAGE_TABLE, index=False)
        with pytest.raises(UserError, match=message):
            bbbc021.fields(config, PLATES[0], tmp_path)
    images.drop(columns="Image_FileName_DAPI").to_csv(tmp_path / bbbc021.IMAGE_TABLE, index=False)
    with pytest.raises(UserError, match=r"BBBC021_v1_image\.csv: cannot be read.*Image_FileName_DAPI"):
        bbbc021.fields(config, PLATES[0], tmp_path)
