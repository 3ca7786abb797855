"""Which columns of a table are features, as its names, values and the user say; and planning says what reading says."""

import numpy as np
import pyarrow as pa
import pytest

from phenorep import notes, plugins
from phenorep.datasets import features
from phenorep.errors import UserError

from .wells import ROWS, VALUES, importer, refusal


@pytest.fixture
def made(tmp_path):
    return importer(tmp_path)


def test_columns_are_features_where_the_user_says_so(made):
    noise = VALUES[:, 0]
    columns = {
        "a": noise,
        "ImageNumber": noise,
        "frame_0": noise,
        "frame_1": noise,
        "Position X [\xb5m]": noise,
        "Comment": "x",
    }
    _, facts, said = made(columns, "csv", features=["frame_*", "Position X [\xb5m]"])
    assert facts["names"] == ["a", "frame_0", "frame_1", "Position X [\xb5m]"]
    assert facts["bookkeeping"] == ["ImageNumber"]
    assert "'features: [NAME, ...]'" in said[0]["text"]
    assert "no column that may be a feature is called so" in refusal(made, columns, "csv", features=["frames_*"])
    assert "names 'Metadata_Well'" in refusal(made, columns, "csv", features=["Metadata_Well"])
    assert "column 'Comment' holds text" in refusal(made, columns, "csv", features=["Comm*"])
    for wrong in ([], [1]):
        assert "or a list of columns" in refusal(made, columns, "csv", features=wrong)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("name", "column", "left_out"),
    [
        ("V1", range(1, ROWS + 1), True),
        ("X1", range(ROWS), True),
        ("V1", range(0, 2 * ROWS, 2), False),
        ("V2", range(ROWS), False),
        ("V1", [*range(ROWS - 1), 0.5], False),
    ],
)
def test_a_column_that_counts_the_rows(made, suffix, name, column, left_out):
    _, facts, _ = made({name: list(column), "a": VALUES[:, 0], "b": VALUES[:, 1]}, suffix)
    assert facts["bookkeeping"] == [name] * left_out
    assert (name in facts["names"]) != left_out


def test_lists_of_places_and_sizes_are_no_measurements(made):
    pairs = pa.array(np.random.default_rng(3).integers(0, 9, (ROWS, 2)).tolist())
    columns = dict.fromkeys(("box", "coords", "xy", "image_size", "input_ids"), pairs)
    _, facts, _ = made({"embedding": pa.array(list(VALUES)), **columns, "width": VALUES[:, 0]})
    assert facts["bookkeeping"] == [*columns, "width"]
    assert facts["names"] == [f"embedding[{place}]" for place in range(4)]


@pytest.mark.parametrize(
    ("columns", "suffix"),
    [
        ({"ImageNumber": range(ROWS), "a": VALUES[:, 0], "b": VALUES[:, 1], "c": VALUES[:, 2]}, "csv"),
        ({"a": VALUES[:, 0]}, "csv"),
        ({"a": VALUES[:, 0], "b": VALUES[:, 1], "c": VALUES[:, 2], "d": ["1,5"] * ROWS}, "csv"),
        ({"a": VALUES[:, 0], "b": VALUES[:, 1], "c": VALUES[:, 2], "d": ["1,5"] * ROWS}, "parquet"),
        ({"e": pa.array(list(VALUES)), "bbox": pa.array(list(VALUES))}, "parquet"),
    ],
    ids=["bookkeeping", "few", "commas", "commas in parquet", "corners"],
)
def test_planning_says_what_reading_says(made, tmp_path, columns, suffix):
    _, _, expected = made(columns, suffix)
    config = plugins.configure(features.Config, {"table": str(tmp_path / f"wells.{suffix}")}, "datasets: mine")
    with notes.kept() as said:
        features.check(config)
    assert said == expected != []


@pytest.mark.parametrize("other", [[1.0], None])
def test_planning_refuses_lists_of_other_lengths(made, tmp_path, other):
    lists = [*VALUES.tolist()[:-1], other]
    told = refusal(made, {"e": pa.array(lists)})
    config = plugins.configure(features.Config, {"table": str(tmp_path / "wells.parquet")}, "datasets: mine")
    with pytest.raises(UserError) as error:
        features.check(config)
    assert str(error.value) == told
    assert "in column 'e', where the first has 4" in told


def test_planning_refuses_a_table_without_features(made, tmp_path):
    told = refusal(made, {"ImageNumber": range(ROWS)}, "csv")
    config = plugins.configure(features.Config, {"table": str(tmp_path / "wells.csv")}, "datasets: mine")
    with pytest.raises(UserError) as error:
        features.check(config)
    assert str(error.value) == told
