"""Files that are no tables are named as what they are, and text is read by whatever separates its cells."""

import bz2
import gzip
import io
import lzma
import pickle
import sqlite3
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pytest

from phenorep import feature_values, loaddata, notes, plugins
from phenorep.datasets import features, table
from phenorep.errors import UserError
from phenorep.quality import annotations

TEXT = "Metadata_Plate,Metadata_Well,a,b\nP1,A01,1,0.5\nP1,A02,2,1.5\n"
FRAME = pd.DataFrame({"Metadata_Plate": ["P1"], "Metadata_Well": ["A01"], "a": [1.0]})


def array(path):
    with open(path, "wb") as file:
        np.save(file, np.zeros((3, 2)))


def arrays(path):
    with open(path, "wb") as file:
        np.savez(file, a=np.zeros(3), b=np.ones(2))


def database(path):
    with sqlite3.connect(path) as connection:
        connection.execute("create table Nuclei (Area real)")


def sheet(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("[Content_Types].xml", "<Types/>")
        file.writestr("xl/workbook.xml", "<workbook/>")


def of(content):
    return lambda path: path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "write", "what", "remedy"),
    [
        ("a.npy", array, "an array of NumPy", "to_parquet"),
        ("a.csv", array, "an array of NumPy", "to_parquet"),
        ("a.npz", arrays, "an array of NumPy", "to_parquet"),
        ("a.h5ad", of(b"\x89HDF\r\n\x1a\n" + bytes(50)), "an AnnData file", "anndata.read_h5ad('a.h5ad')"),
        ("a.h5", of(b"\x89HDF\r\n\x1a\n" + bytes(50)), "an HDF5 file", "pandas.read_hdf('a.h5')"),
        ("a.sqlite", database, "an SQLite database", "select * from TABLE"),
        ("a.csv", database, "an SQLite database", "sqlite3.connect('a.csv')"),
        (
            "a.feather",
            lambda path: pa.feather.write_feather(FRAME, path),
            "a Feather (Arrow) file",
            "read_feather('a.feather')",
        ),
        ("a.arrow", of(b"FEA1" + bytes(50)), "a Feather (Arrow) file", "read_feather"),
        ("a.rds", of(gzip.compress(b"X\n\0\0\0\3" + bytes(50))), "a file of R", "write.csv(readRDS('a.rds')"),
        ("a.RData", of(gzip.compress(b"RDX3\nX\n" + bytes(50))), "a file of R", "write.csv"),
        ("a.pkl", of(pickle.dumps({"a": 1})), "a pickle of Python", "where it was made"),
        ("a.txt", of(pickle.dumps(FRAME)), "a pickle of Python", "where it was made"),
        ("a.xlsx", sheet, "a spreadsheet", "CSV (UTF-8)"),
        ("a.csv", sheet, "a spreadsheet", "CSV (UTF-8)"),
        ("a.xls", of(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(50)), "a spreadsheet", "CSV (UTF-8)"),
        ("a.pdf", of(b"%PDF-1.7\n"), "a PDF document", "Save the table itself"),
        ("a.csv", of(b"\n<!DOCTYPE html><html>sign in</html>"), "a web page", "Save the table itself"),
        ("a.csv", of(b'<?xml version="1.0"?><a/>'), "XML", "Save the table itself"),
        ("a.csv", of(b'[{"Metadata_Well": "A01"}]'), "JSON", "read_json"),
        ("a.csv", of(gzip.compress(TEXT.encode())), "packed by gzip", "like a.csv.gz"),
        ("a.csv", of(lzma.compress(TEXT.encode())), "packed by xz", "like a.csv.xz"),
        ("a.csv", FRAME.to_parquet, "a parquet file", ".parquet"),
        ("a.csv", of(b"II*\0" + bytes(50)), "an image", "phenorep table FOLDER"),
        ("a.csv", of(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "a pointer of Git LFS", "git lfs pull"),
    ],
)
def test_what_is_no_table_is_named_as_what_it_is(tmp_path, name, write, what, remedy):
    path = tmp_path / name
    write(path)
    with pytest.raises(UserError) as caught:
        loaddata.read(str(path), "plate_map")
    message = str(caught.value)
    assert message.startswith(f"{path}: this is {what}")
    assert remedy in message
    assert "'datasets: plate_map:'" in message
    with pytest.raises(UserError, match="name that in 'annotations:'"):
        annotations.read(path)


@pytest.mark.parametrize(
    ("name", "separator", "said"),
    [
        *(("t.csv", ",", False), ("t.tsv", "\t", False), ("t.txt", "\t", False)),
        *(("t.txt", ",", True), ("t.tsv.gz", ",", True), ("t.csv", "\t", True), ("t.csv.gz", "\t", True)),
    ],
)
def test_separators(tmp_path, name, separator, said):
    content = TEXT.replace(",", separator).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    config = plugins.configure(features.Config, {"table": str(path)}, "datasets: mine")
    with notes.kept() as kept:
        assert features.metadata(config)["Metadata_Well"].tolist() == ["A01", "A02"]
    chosen, _ = features.columns(config)
    assert np.concatenate(list(feature_values.values(str(path), chosen))).tolist() == [[1, 0.5], [2, 1.5]]
    assert [f"{path}: its columns are separated by" in note["text"] for note in kept] == ([True] if said else [])


def test_semicolons_are_not_read_since_numbers_may_have_commas(tmp_path):
    for name in ("t.csv", "t.txt"):
        (tmp_path / name).write_text("Metadata_Plate;Metadata_Well;a\nP1;A01;0,5\n")
        with pytest.raises(UserError, match=r"separated by ';'\. Save it with commas"):
            loaddata.read(str(tmp_path / name), "table")


def packed_by_zip(content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("t.csv", content)
    return file.getvalue()


FORMS = {
    "plain": ("t.csv", lambda text: text),
    "BOM": ("t.csv", lambda text: b"\xef\xbb\xbf" + text),
    "CRLF": ("t.csv", lambda text: text.replace(b"\n", b"\r\n")),
    "CR": ("t.csv", lambda text: text.replace(b"\n", b"\r")),
    "all of it": ("t.csv", lambda text: b"\xef\xbb\xbf\r\n" + text.replace(b"\n", b"\r\n") + b",,,,,\r\n"),
    "tabs": ("t.tsv", lambda text: text.replace(b",", b"\t")),
    "quotes": ("t.csv", lambda text: b"\n".join(b",".join(b'"%s"' % c for c in r.split(b",")) for r in text.split())),
    "no last line break": ("t.csv", lambda text: text.rstrip()),
    "gz": ("t.csv.gz", gzip.compress),
    "xz": ("t.csv.xz", lzma.compress),
    "bz2": ("t.csv.bz2", bz2.compress),
    "zip": ("t.csv.zip", packed_by_zip),
}


@pytest.mark.parametrize("form", [*FORMS, "parquet", "parquet of categories", "parquet with an index"])
def test_forms_that_are_read_right(tmp_path, form):
    rows = [
        ["000123", "A1", "1", "NA", "1.0", "a.tif"],
        ["000123", "b02", "1", "None", "0.5", "b.tif"],
        ["000124", "A-001", "1", "1.0", "", "c.tif"],
        ["000124", "C03", "1", "nan", "3", "d.tif"],
    ]
    names = [
        "Metadata_Plate",
        "Metadata_Well",
        "Metadata_Site",
        "Metadata_Compound",
        "Metadata_Concentration",
        "FileName_DNA",
    ]
    frame = pd.DataFrame(rows, columns=names)
    if form in FORMS:
        name, written = FORMS[form]
        path = tmp_path / name
        path.write_bytes(written(frame.to_csv(index=False).encode()))
    else:
        path = tmp_path / "t.parquet"
        frame = frame.astype("category") if form == "parquet of categories" else frame
        (frame.set_index("Metadata_Well") if form == "parquet with an index" else frame).to_parquet(path)
    config = plugins.configure(table.Config, {"table": str(path)}, "datasets: mine")
    assert table.plates(config) == ["000123", "000124"]
    read = pd.concat([table.fields(config, plate, None) for plate in table.plates(config)])
    assert read["Metadata_Plate"].tolist() == ["000123"] * 2 + ["000124"] * 2
    assert read["Metadata_Well"].tolist() == ["A01", "B02", "A01", "C03"]
    assert read["Metadata_Compound"].tolist() == ["NA", "None", "1.0", "nan"]
    np.testing.assert_array_equal(read["Metadata_Concentration"], [1, 0.5, np.nan, 3])
    assert read["FileName_DNA"].tolist() == ["a.tif", "b.tif", "c.tif", "d.tif"]
