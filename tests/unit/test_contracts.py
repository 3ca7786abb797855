"""Files that pass between steps are checked when written and when read."""

import numpy as np
import pandas as pd
import pytest

from phenorep import contracts, records
from phenorep.errors import NotRun, UserError


def samples(rows=3) -> pd.DataFrame:
    table = pd.DataFrame({"Metadata_Plate": "p", "Metadata_Well": "A01", "Metadata_Site": "1"}, index=range(rows))
    return table.assign(Sample=[f"p/A01/1/{n}" for n in range(rows)])


def test_round_trip_with_facts(tmp_path):
    contracts.write_table(samples(), tmp_path / "x.parquet", "samples", {"channels": ["DNA"]})
    pd.testing.assert_frame_equal(contracts.read_table(tmp_path / "x.parquet", "samples"), samples(), check_dtype=False)
    assert contracts.about(tmp_path / "x.parquet") == {"channels": ["DNA"]}


def test_one_row_group_per_table_written(tmp_path):
    with contracts.table_writer(tmp_path / "x.parquet", "samples") as write:
        write(samples(2))
        write(samples(5))
    assert contracts.pq.ParquetFile(tmp_path / "x.parquet").num_row_groups == 2
    assert len(contracts.read_table(tmp_path / "x.parquet", "samples")) == 7


def test_missing_column_is_named(tmp_path):
    with pytest.raises(UserError, match=r"needs the column.*Sample"):
        contracts.write_table(samples().drop(columns="Sample"), tmp_path / "x.parquet", "samples")


def test_nan_feature_is_refused_and_leaves_no_file(tmp_path):
    table = samples().assign(a_0000=[1.0, np.nan, 2.0])
    with pytest.raises(ValueError, match="a_0000"):
        contracts.write_table(table, tmp_path / "x.parquet", "embeddings")
    assert list(tmp_path.iterdir()) == []


def test_damaged_file_is_named_with_the_remedy(tmp_path):
    path = tmp_path / "x.parquet"
    contracts.write_table(samples(), path, "samples")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"x\.parquet.*Remove the file and run again"):
        contracts.read_table(path, "samples")


def test_features_and_blocks():
    columns = ["Metadata_Dose_0001", "b_0000", "b_0001", "my_block_0000", "Sample", "Prediction_moa_0000", "Label_0000"]
    assert contracts.feature_columns(columns) == ["b_0000", "b_0001", "my_block_0000"]
    assert contracts.feature_blocks(columns) == {"b": ["b_0000", "b_0001"], "my_block": ["my_block_0000"]}


def test_not_run_leaves_a_valid_record_in_every_output(tmp_path):
    kinds = ("table", "training", "scores", "weights", "arrays", "folder")
    assert set(kinds) == set(records.WRITERS)
    # A file's name says nothing of what it is.
    outputs = [tmp_path / str(number) for number in range(len(kinds))]
    with records.kept_in(dict(zip(outputs, kinds, strict=True))):
        raise NotRun("no weights")
    assert contracts.not_run(outputs[0]) == "no weights"
    assert len(contracts.read_table(outputs[0], "embeddings")) == 0
    assert outputs[1].read_text() == ",".join(contracts.TRAINING_COLUMNS) + "\n"
    assert len(contracts.read_scores(outputs[2])) == 0
    assert np.load(outputs[4])["not_run"] == "no weights"
    assert outputs[5].is_dir()

    from safetensors import safe_open

    with safe_open(outputs[3], "numpy") as file:
        assert file.metadata() == {"not_run": "no weights"}
        assert list(file.keys()) == []


def test_an_output_of_an_unknown_kind_is_an_error_before_the_step(tmp_path):
    with pytest.raises(ValueError, match=r"'tabel' is no kind.*table"), records.kept_in({tmp_path / "a.parquet": "tabel"}):
        pytest.fail("the step began")


def test_columns_come_as_asked(tmp_path):
    path = tmp_path / "x.parquet"
    contracts.write_table(samples(), path, "samples")
    assert list(contracts.read_table(path, "samples", ["Sample", "Metadata_Plate"])) == ["Sample", "Metadata_Plate"]
    with pytest.raises(UserError, match=r"x\.parquet.*no column Colour"):
        contracts.read_table(path, "samples", ["Sample", "Colour"])


def test_a_table_is_opened_once(tmp_path, monkeypatch):
    path, times = tmp_path / "x.parquet", []
    contracts.write_table(samples(), path, "samples")
    opened = contracts.pq.ParquetFile
    monkeypatch.setattr(contracts.pq, "ParquetFile", lambda *args, **keys: times.append(args) or opened(*args, **keys))
    contracts.read_table(path, "samples")
    assert len(times) == 1


def test_scores_are_checked(tmp_path):
    row = dict.fromkeys(contracts.SCORE_COLUMNS, "")
    with pytest.raises(ValueError, match="NaN"):
        contracts.write_scores(pd.DataFrame([row | {"value": np.nan}]), tmp_path / "s.csv")
    contracts.write_scores(pd.DataFrame([row | {"value": 0.5, "n": 3}]), tmp_path / "s.csv")
    back = contracts.read_scores(tmp_path / "s.csv")
    assert back.loc[0, "value"] == 0.5
    assert back.loc[0, "subset"] == ""
    assert np.isnan(back.loc[0, "ci_low"])
