"""Tables that are not what they should be: cells are text and nothing else, and what is no table is refused."""

import bz2
import gzip
import io
import lzma
import os
import zipfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from phenorep import fields, imported, loaddata, plugins, tablefiles
from phenorep.datasets import features, table
from phenorep.errors import UserError
from phenorep.quality import annotations

from .bounded import result, told

HEADER, ROW = "Metadata_Plate,Metadata_Well,Metadata_Site,PathName_DNA,FileName_DNA", "P1,B02,1,images,a.tif"


def first(path, **keys):
    """The first field of a table, as the workflow makes it of it."""
    config = plugins.configure(table.Config, {"table": str(path), **keys}, "datasets: mine")
    plates = table.plates(config)
    rows = fields.with_headers(table.fields(config, plates[0], Path()), table.about(config), plates[0])
    return rows.iloc[0].to_dict()


def written(folder, text, name="plates.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


@pytest.mark.parametrize(
    "compound",
    ["$(touch made)", "`touch made`", "; touch made", "=HYPERLINK(made)", "<script>", "{plate}", "%s", "a\u202eb", "a\nb"],
)
def test_cells_are_text(tmp_path, monkeypatch, compound):
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path, f'{HEADER},Metadata_Compound\n{ROW},"{compound}"\n')
    row = result(first, path)
    assert row["Metadata_Compound"] == compound
    assert os.listdir(tmp_path) == ["plates.csv"]


@pytest.mark.parametrize("cell", ["$(touch made).tif", "a`b`.tif", "-rf", "a b.tif", "{plate}.tif", "%s.tif", "\xe9.tif"])
def test_names_of_images_are_read_as_they_are(tmp_path, monkeypatch, cell):
    monkeypatch.chdir(tmp_path)
    row = result(first, written(tmp_path, f'{HEADER}\nP1,B02,1,images,"{cell}"\n'))
    assert row["FileName_DNA"] == cell
    assert row["Problem"] == f"{tmp_path}/images/{cell}: There is no such file."
    assert os.listdir(tmp_path) == ["plates.csv"]


def test_a_name_that_can_be_none_is_a_bad_image(tmp_path):
    assert "null byte" in result(first, written(tmp_path, f"{HEADER}\nP1,B02,1,images,a\0b.tif\n"))["Problem"]
    long = f"{HEADER}\nP1,B02,1,images,{'a' * (1 << 20)}\n"
    assert "too long" in result(first, written(tmp_path, long))["Problem"]


REFUSED = [
    *("..", ".", "a/b", "a\\b", "", "P" * 300, "P" * (1 << 20), "\U0001f600", "P 1", "P'1", "-rf", "{plate}", "%s", "a..b"),
    *("P\n1", "P\0", "\xe9", "e\u0301", "~", "P\u202e1", "$(x)", "=1"),
]


@pytest.mark.parametrize(
    ("column", "allowed"),
    # A row may lack its site; P 1 is a way to write the well P01.
    [("Metadata_Plate", []), ("Metadata_Site", [""]), ("Metadata_Well", ["P 1"])],
)
def test_names_that_become_files_are_refused(tmp_path, column, allowed):
    path = tmp_path / "plates.csv"

    def messages():
        found = {}
        for name in REFUSED:
            cells = dict(zip(HEADER.split(","), ROW.split(","), strict=True)) | {column: name}
            pd.DataFrame([cells]).to_csv(path, index=False)
            try:
                first(path)
            except UserError as error:
                found[name] = str(error)
        return found

    found = result(messages)
    assert list(found) == [name for name in REFUSED if name not in allowed]
    for message in found.values():
        assert str(path) in message
        assert column in message
        assert len(message) < 1000
        assert message.isprintable()


@pytest.mark.parametrize("name", ["CON", "nul.txt", "0012", "NA", "P1.", "1e5", "true"])
def test_names_that_are_only_odd_are_plates(tmp_path, name):
    assert result(first, written(tmp_path, f"{HEADER}\n{name},B02,1,images,a.tif\n"))["Metadata_Plate"] == name


@pytest.mark.parametrize("well", ["A0", "A1000000000", "\u0661", "A\u0661", "A\xb2", "AAA1", "-A1"])
def test_wells_that_are_none(tmp_path, well):
    assert "is no well" in told(first, written(tmp_path, f"{HEADER}\nP1,{well},1,images,a.tif\n"))


@pytest.mark.parametrize(
    ("text", "encoding", "says"),
    [
        (f"{HEADER}\n{ROW}\n", "utf-16", "not UTF-8"),
        (f"{HEADER},Metadata_Compound\n{ROW},\xb5\n", "latin-1", "not UTF-8"),
        (f"{HEADER}\n{ROW}\n".replace(",", ";"), "utf-8", "separated by ';'"),
        (f"{HEADER},Metadata_Well\n{ROW},B03\n", "utf-8", "'Metadata_Well' stands there twice"),
        (f"{HEADER}\n{ROW},x\n", "utf-8", "more cells than the header"),
        (f"{HEADER}\n{ROW},x\n{ROW},x\n", "utf-8", "more cells than the header"),
        (f"{HEADER}\n{ROW}\n{ROW},x\n", "utf-8", "row 3"),
        (f'{HEADER}\n"{ROW}\n', "utf-8", "EOF inside string"),
        (f"{HEADER},Metadata_{'x' * (1 << 20)}\n{ROW},x\n", "utf-8", "field limit"),
        ("", "utf-8", "nothing in it"),
        (f"{HEADER}\n", "utf-8", "no rows"),
    ],
)
def test_what_is_no_table(tmp_path, text, encoding, says):
    path = written(tmp_path, text, encoding=encoding)
    message = told(first, path)
    assert says in message
    assert str(path) in message


@pytest.mark.parametrize(
    "text",
    [
        f"\ufeff{HEADER}\n{ROW}\n",
        f"{HEADER}\r{ROW}\r",
        f"{HEADER},\n{ROW},\n",
        f"\n{HEADER}\n{ROW}",
        f"{HEADER}\n{ROW}\n".replace(",", "\t"),
    ],
)
def test_what_spreadsheets_write_is_read(tmp_path, text):
    row = result(first, written(tmp_path, text))
    assert (row["Metadata_Plate"], row["FileName_DNA"]) == ("P1", "a.tif")


@pytest.mark.parametrize(("suffix", "packed"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)])
def test_compressed_tables(tmp_path, suffix, packed):
    content = packed(f"{HEADER}\n{ROW}\n".encode() * 50)
    name = f"plates.csv{suffix}"
    assert "cannot be read" in told(first, written(tmp_path, content[:-20], name))
    assert "cannot be read" in told(first, written(tmp_path, b"hello" * 20, name))
    assert result(first, written(tmp_path, packed(f"{HEADER}\n{ROW}\n".encode()), name))["Metadata_Plate"] == "P1"


def test_a_compressed_table_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(tablefiles, "FREE", 1 << 24)
    one_cell = written(tmp_path, gzip.compress(bytes(64 << 20), 9), "plates.csv.gz")
    assert "bytes, 200 times" in told(first, one_cell, memory=1 << 28)
    many_rows = written(tmp_path, gzip.compress(HEADER.encode() + b"\n" + (ROW.encode() + b"\n") * 10**6), "plates.csv.gz")
    assert "bytes, 200 times" in told(first, many_rows, memory=1 << 28)


def test_archives_of_tables(tmp_path):
    def packed(names):
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as file:
            for name in names:
                file.writestr(name, f"{HEADER}\n{ROW}\n")
        return written(tmp_path, content.getvalue(), "plates.csv.zip")

    assert result(first, packed(["../plates.csv"]))["Metadata_Plate"] == "P1"  # read, and written nowhere
    assert "2 files" in told(first, packed(["a.csv", "b.csv"]))
    assert "BadZipFile" in told(first, written(tmp_path, b"PK\3\4", "plates.csv.zip"))
    for name in ("plates.csv.zst", "plates.csv.tar", "plates.tgz"):
        assert "not read" in told(first, written(tmp_path, b"abc", name))


@pytest.mark.parametrize("column", ["a\0b", "../b", "a b", "{c}", "", "DNA$(x)", "\u202e"])
def test_channels_that_become_files_are_refused(tmp_path, column):
    path = written(tmp_path, f"Metadata_Plate,Metadata_Well,FileName_{column}\nP1,B02,a.tif\n")
    assert "channel" in told(first, path)


def test_parquet_that_lies(tmp_path):
    path = tmp_path / "plates.parquet"
    columns = {"Metadata_Plate": ["P1"], "Metadata_Well": ["B02"], "FileName_DNA": ["a.tif"]}
    pq.write_table(pa.table(columns), path)
    good = path.read_bytes()
    assert result(first, path)["Metadata_Plate"] == "P1"
    for content in (
        b"",
        b"PAR1",
        b"PAR1" + bytes(50) + b"PAR1",
        good[:-8] + b"\xff\xff\xff\x7fPAR1",
        good[:100] + good[120:],
    ):
        assert str(path) in told(first, written(tmp_path, content, "plates.parquet"))
    pq.write_table(pa.table(columns | {"Metadata_Plate": [["P1"]]}), path)
    assert "cannot be the name of a plate" in told(first, path)
    pq.write_table(pa.table(columns | {"FileName_DNA": [b"\xff\0"]}), path)
    assert "not UTF-8" in told(first, path)


def test_what_is_no_file_of_a_table(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    for name in (tmp_path / "pipe.csv", tmp_path, "/dev/zero", "a\0", "http://127.0.0.1:9/plates.csv", "a" * 300):
        assert str(name)[:50].replace("\0", r"\x00") in told(loaddata.read, str(name), "table", seconds=10)


def imported_values(folder, text):
    path = written(folder, text, "features.csv")
    config = plugins.configure(features.Config, {"table": str(path)}, "datasets: f")
    imported.make(features, config, folder / "out.parquet")
    rows = pd.read_parquet(folder / "out.parquet")
    return rows["Metadata_Plate"].tolist(), rows.filter(like="imported_").to_numpy().tolist()


def test_features(tmp_path):
    start = "Metadata_Plate,Metadata_Well,a,b\n"
    assert "more cells" in told(imported_values, tmp_path, f"{start}P1,B02,1,2,3\nP1,B03,2,3\n")
    assert "row 3" in told(imported_values, tmp_path, f"{start}P1,B02,1,2\nP1,B03,2,3,4\n")
    assert "twice" in told(imported_values, tmp_path, "Metadata_Plate,Metadata_Well,a,a\nP1,B02,1,2\nP1,B03,2,3\n")
    # Plates of features are no files: any name is one. What is infinite or too large for a number is undefined.
    text = f"{start}../P 1,B02,1e400,1\n../P 1,B03,1,2\n../P 1,B04,inf,5\n"
    assert result(imported_values, tmp_path, text) == (["../P 1"] * 3, [[1.0], [2.0], [5.0]])


def test_annotations(tmp_path):
    path = tmp_path / "labels.csv"
    for content in (
        b"",
        b"Sample,Label_Quality\na,normal,x\n",
        "Sample,Label_Quality\na,normal\n".encode("utf-16"),
        b"\0" * 50,
    ):
        path.write_bytes(content)
        assert str(path) in told(annotations.read, path)
    path.write_text("Sample,Label_Quality\n$(touch made),normal\n")
    assert result(annotations.read, path)["Sample"].tolist() == ["$(touch made)"]
