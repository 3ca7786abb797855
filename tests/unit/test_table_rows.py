"""Rows of a user's table: numbered as a spreadsheet does, passed over where they are empty, refused where cells lack."""

import numpy as np
import pandas as pd
import pytest

from phenorep import feature_values, loaddata, notes, plugins
from phenorep.datasets import features, table
from phenorep.errors import UserError

HEADER = "Metadata_Plate,Metadata_Well,Metadata_Compound"


def read(path, text, **keys):
    path.write_bytes(text.encode())
    with notes.kept() as kept:
        return loaddata.read(str(path), "table", **keys), [note["text"] for note in kept]


@pytest.mark.parametrize(
    ("text", "rows", "empty"),
    [
        (f"{HEADER}\nP1,A01,a\nP1,A02,b\n", [2, 3], ""),
        (f"{HEADER}\nP1,A01,a\n,,\n  , ,\t\nP1,A02,b\n", [2, 5], "rows 3, 4"),
        (f"{HEADER}\n\nP1,A01,a\n\n\nP1,A02,b\n,,\n", [3, 6], "rows 2, 4, 5, 7"),
        (f"{HEADER}\r\nP1,A01,a\r\n\r\nP1,A02,b\r\n", [2, 4], "row 3"),
        (f'{HEADER}\nP1,A01,"a\n\nb"\nP1,A02,b\n', [2, 3], ""),  # a cell with line breaks is in one row
        (f"\n,,\n{HEADER}\nP1,A01,a\nP1,A02,b\n", [4, 5], ""),
        (f"{HEADER}\nP1,A01\nP1,A02,b\n" + ",,\n" * 20, [2, 3], "rows 4, 5, 6, 7, 8, 9, 10, 11 and 12 more"),
    ],
)
def test_numbers_of_rows(tmp_path, text, rows, empty):
    for only in (None, "Metadata_Plate", ["Metadata_Compound", "Metadata_Well"]):
        given, texts = read(tmp_path / "t.csv", text, only=only)
        assert given.index.tolist() == rows
        assert [text for text in texts if "empty rows are passed over" in text and text.endswith(f"over: {empty}.")] == texts
        assert bool(texts) == bool(empty)


def test_a_row_is_not_empty_because_the_columns_that_are_asked_for_are(tmp_path):
    given, texts = read(tmp_path / "t.csv", f"{HEADER},x\nP1,A01,,1\n,,,2\n,,,\n", only="Metadata_Compound")
    assert given.index.tolist() == [2, 3]
    assert "over: row 4." in texts[0]


@pytest.mark.parametrize("only", [None, "Metadata_Plate"])
def test_rows_of_a_parquet_file(tmp_path, only):
    path = tmp_path / "t.parquet"
    pd.DataFrame({"Metadata_Plate": ["P1", None, "P1"], "Metadata_Well": ["A01", None, "A02"]}).to_parquet(path)
    with notes.kept() as kept:
        given = loaddata.read(str(path), "table", only=only)
    assert given.index.tolist() == ([2, 4] if only is None else [2, 3, 4])
    assert bool(kept) == (only is None)
    config = plugins.configure(table.Config, {"table": str(path)}, "datasets: mine")
    assert table.plates(config) == ["P1"]


def test_features_of_empty_rows_are_passed_over_with_them(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("Metadata_Plate,Metadata_Well,a,b,c\nP1,A01,1,0.5,x\n,,,,\n , , , ,\nP1,A02,2,1.5,y\n\nP1,A03,3,,z\n")
    config = plugins.configure(features.Config, {"table": str(path)}, "datasets: mine")
    chosen, _ = features.columns(config)
    values = np.concatenate(list(feature_values.values(str(path), chosen)))
    assert chosen.names() == ["a", "b"]
    np.testing.assert_array_equal(values, [[1, 0.5], [2, 1.5], [3, np.nan]])
    assert features.metadata(config)["Metadata_Well"].tolist() == ["A01", "A02", "A03"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("P1,A01,a\n,,\nP1,,b\n", "row 4 has no Metadata_Well where other cells are filled"),
        ("P1,A01,a\nP1,A02,\n,A03,b\n,A04,\n", "rows 4, 5 have no Metadata_Plate"),
        ("P1,A01,a\n\nP1,1A,b\n", "row 4: Metadata_Well: '1A' is no well"),
        ("P1,A01,a\nP/1,A02,b\n", "row 3: Metadata_Plate: 'P/1' cannot be the name of a plate"),
        ("P1,A01,a,x\n", "more cells than the header"),
        ('P1,A01,"a\nb"\nP1,A01,a,x\n', "Expected 3 cells in row 3, saw 4"),
    ],
)
def test_messages_name_file_and_row(tmp_path, text, message):
    path = tmp_path / "plates.csv"
    path.write_text(f"{HEADER.replace('Metadata_Compound', 'FileName_DNA')}\n{text}")
    config = plugins.configure(table.Config, {"table": str(path)}, "datasets: mine")
    with pytest.raises(UserError, match=message) as caught:
        table.check(config)
    assert str(path) in str(caught.value)


def test_a_fault_of_the_plate_map_is_laid_to_the_plate_map(tmp_path):
    plates, wells = tmp_path / "plates.csv", tmp_path / "wells.csv"
    plates.write_text("Metadata_Plate,Metadata_Well,FileName_DNA\nP1,A01,a.tif\nP1,A02,b.tif\n")
    config = plugins.configure(table.Config, {"table": str(plates), "plate_map": str(wells)}, "datasets: mine")
    wells.write_text("Metadata_Well,Metadata_Compound\nA01,DMSO\nA02,taxol\n,\n,\n")
    with notes.kept() as kept:
        table.check(config)
    assert [note["text"] for note in kept if "empty" in note["text"]] == [f"{wells}: empty rows are passed over: rows 4, 5."]
    for text, message in (
        ("A01,DMSO\n,taxol\n", "row 3 has no Metadata_Well"),
        ("A01,DMSO\nA2x,taxol\n", "row 3: Metadata_Well: 'A2x' is no well"),
        ("A01,DMSO\nA02,taxol,x\n", "cannot be read"),
    ):
        wells.write_text(f"Metadata_Well,Metadata_Compound\n{text}")
        with pytest.raises(UserError, match=message) as caught:
            table.check(config)
        assert str(caught.value).startswith(f"{wells}: ")


@pytest.mark.parametrize("top", ["sep=,\n", "sep=,,\r\n", "\nSEP=,\n"])
def test_the_line_that_excel_writes_for_itself_is_passed_over(tmp_path, top):
    given, _ = read(tmp_path / "t.csv", f"{top}{HEADER}\nP1,A01,a\nP1,A02,b\n")
    assert list(given.columns) == HEADER.split(",")
    assert given["Metadata_Compound"].tolist() == ["a", "b"]
    assert given.index[0] == top.count("\n") + 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# made by R, 2024\nHEADER\nP1,A01,a\n", "its first row is '# made by R'"),
        ("# made by R\nHEADER\nP1,A01,a\n", "its first row is '# made by R'.* Take out all lines above the header"),
        ("Database Name,Columbus\n\n[Data]\nHEADER\nP1,A01,a\n", "its first row is 'Database Name'"),
        ("Columbus\n\n[Data]\nHEADER\nP1,A01,a\n", "its first row is 'Columbus'"),
        ("[Data]\nHEADER\nP1,A01,a\n", r"its first row is '\[Data\]'"),
        ("Exported on Monday,,\nHEADER\nP1,A01,a\n", "its first row is 'Exported on Monday'"),
        ("sep=;\nMetadata_Plate;Metadata_Well\nP1;A01\n", "columns are separated by ';'"),
        ("Metadata_Plate|Metadata_Well\nP1|A01\n", r"columns are separated by '\|'"),
    ],
)
def test_a_first_row_that_is_no_header(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read(tmp_path / "t.csv", text.replace("HEADER", HEADER), only="Metadata_Plate")


def test_tabs_with_a_comma_in_a_name(tmp_path):
    text = "Metadata_Plate\tMetadata_Well\tArea, total\tb\nP1\tA01\t1\t2\n"
    given, said = read(tmp_path / "t.csv", text)
    assert list(given.columns) == ["Metadata_Plate", "Metadata_Well", "Area, total", "b"]
    assert "separated by tabs" in said[0]
    given, _ = read(tmp_path / "t.txt", 'Metadata_Plate,Metadata_Well,"a\tb",c\nP1,A01,1,2\n')
    assert list(given.columns)[:2] == ["Metadata_Plate", "Metadata_Well"]
