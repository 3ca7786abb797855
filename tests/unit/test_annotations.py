"""Labels given by eye: what a table of them may hold, and how it meets the samples."""

import pandas as pd
import pytest

from phenorep.errors import UserError
from phenorep.quality import annotations


@pytest.fixture
def samples() -> pd.DataFrame:
    names = [f"P1/A01/1/{number}" for number in range(1, 5)]
    return pd.DataFrame({"Sample": names, "Label_Quality": "normal", "Metadata_Plate": "P1"})


def written(tmp_path, *lines, header="Sample,Label_Quality,Label_Artefact"):
    path = tmp_path / "labels.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_labels_take_the_place_of_those_of_the_dataset(samples, tmp_path):
    path = written(tmp_path, "P1/A01/1/2,abnormal,debris", "P1/A01/1/4, Normal ,")
    table = annotations.join(samples, path)
    assert table["Label_Quality"].tolist() == ["", "abnormal", "", "normal"]
    assert table["Label_Artefact"].tolist() == ["", "debris", "", ""]
    assert samples["Label_Quality"].tolist() == ["normal"] * 4, "the table that was given is not changed"


def test_the_kind_need_not_be_known_and_open_rows_are_passed_over(samples, tmp_path):
    path = written(tmp_path, "P1/A01/1/1,", "P1/A01/1/3,abnormal", "P1/A01/1/3,abnormal", header="Sample,Label_Quality")
    table = annotations.join(samples, path)
    assert table["Label_Quality"].tolist() == ["", "", "abnormal", ""]
    assert set(table["Label_Artefact"]) == {""}


def test_a_table_written_by_a_spreadsheet_is_read(samples, tmp_path):
    path = tmp_path / "labels.csv"
    path.write_bytes("\ufeffSample,Label_Quality\r\nP1/A01/1/1,abnormal\r\n".encode())
    assert annotations.join(samples, path)["Label_Quality"].tolist() == ["abnormal", "", "", ""]


def test_some_unknown_samples_are_told(samples, tmp_path, caplog):
    path = written(tmp_path, "P1/A01/1/1,abnormal,", "P9/A01/1/1,normal,")
    annotations.join(samples, path)
    assert "1 of 2 samples are not in the sample set" in caplog.text
    assert "P9/A01/1/1" in caplog.text


def test_a_missing_column_gets_a_suggestion(samples, tmp_path):
    path = written(tmp_path, "P1/A01/1/1,normal", header="Sample,Quality")
    with pytest.raises(UserError, match="no column 'Label_Quality'"):
        annotations.join(samples, path)


def test_what_is_no_table_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no such file\. Change 'annotations:'"):
        annotations.read(tmp_path / "none.csv")
