"""Columns of lists of numbers: each list as many features, or refused; and any columns against a plain reader."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from phenorep import contracts, feature_values, imported, plugins
from phenorep.datasets import features

from .wells import ROUNDED, ROWS, VALUES, importer, refusal, warnings

LONG = feature_values.LONGEST + 1


@pytest.fixture
def made(tmp_path):
    return importer(tmp_path)


def test_lists_are_features_beside_a_count(made):
    """Embeddings in one column of lists, as many scripts save them: the count was the only feature."""
    values, facts, notes = made({"embedding": pa.array(list(VALUES)), "n_cells": pa.array(range(ROWS))})
    assert facts["names"] == ["embedding[0]", "embedding[1]", "embedding[2]", "embedding[3]", "n_cells"]
    np.testing.assert_array_equal(values, np.column_stack([VALUES, range(ROWS)]))
    assert notes == []


@pytest.mark.parametrize(
    ("kind", "narrow"),
    [
        (pa.list_(pa.float16()), True),
        (pa.list_(pa.float32(), 4), True),
        (pa.large_list(pa.float64()), False),
        (pa.fixed_shape_tensor(pa.float32(), [2, 2]), True),
    ],
    ids=str,
)
def test_lists_of_every_kind(made, kind, narrow):
    storage = kind.storage_type if isinstance(kind, pa.ExtensionType) else kind
    lists = pa.array([row.astype(storage.value_type.to_pandas_dtype()) for row in ROUNDED], storage)
    if storage is not kind:
        lists = pa.ExtensionArray.from_storage(kind, lists)
    values, facts, _ = made({"e": lists})
    np.testing.assert_array_equal(values, ROUNDED)
    assert facts["names"] == [f"e[{place}]" for place in range(4)]
    assert (values.dtype == np.float32) == narrow


def test_published_lists_of_five_channels(shared_data, tmp_path):
    folder = shared_data / "jump_recipe" / "inputs" / "profiles_efficientnet_v2_imagenet21k_s_feature_vector_2_0260bc96"
    path = min(folder.rglob("*.parquet"))
    output = tmp_path / "made.parquet"
    keys = {"table": str(path), "rename": {"plate": "Metadata_Plate", "well": "Metadata_Well"}}
    imported.make(features, plugins.configure(features.Config, keys, "datasets: jump"), output)
    table, theirs = contracts.read_table(output, "embeddings"), pd.read_parquet(path)
    names = [name for name in theirs if name.endswith("_emb")]
    expected = np.column_stack([np.stack(theirs[name]) for name in names])
    np.testing.assert_array_equal(table[contracts.feature_columns(table.columns)], expected[np.argsort(theirs["well"])])


def test_several_columns_of_lists_in_pieces(made, monkeypatch):
    monkeypatch.setattr(feature_values, "_CELLS_AT_ONCE", 25)  # five rows at once
    columns = {
        "a": pa.array(list(VALUES[:, :3])),
        "b": pa.array(range(ROWS), pa.uint8()),
        "c": pa.array(list(VALUES[:, 3:])),
    }
    values, facts, _ = made(columns)
    np.testing.assert_array_equal(values, np.column_stack([VALUES[:, :3], range(ROWS), VALUES[:, 3]]))
    assert facts["names"] == ["a[0]", "a[1]", "a[2]", "b", "c[0]"]


@pytest.mark.parametrize(
    ("row", "other", "message"),
    [
        (6, [1.0], "row 8 has a list of 1 numbers in column 'e', where the first has 4"),
        (23, None, "row 25 has no list in column 'e'"),
        (0, None, "row 2 has no list in column 'e'"),
        (9, [], "row 11 has a list of 0 numbers"),
    ],
)
def test_lists_of_other_lengths_are_refused(made, monkeypatch, row, other, message):
    monkeypatch.setattr(feature_values, "_CELLS_AT_ONCE", 20)
    lists = [list(values) for values in VALUES]
    lists[row] = other
    told = refusal(made, {"e": pa.array(lists, pa.list_(pa.float64()))})
    assert message in told
    assert "{e: Metadata_e}" in told


def test_elements_without_a_value_are_gaps_like_any(made):
    wells = {"Metadata_Plate": ["P1"] * 200, "Metadata_Well": ["A01"] * 200, "Metadata_Site": list(map(str, range(200)))}
    values = np.random.default_rng(1).normal(size=(200, 3)).tolist()
    values[3][0], values[4][1], values[5][1] = None, float("nan"), float("inf")
    for row in range(9):
        values[row][2] = float("-inf")
    values, facts, notes = made({"e": pa.array(values)}, wells=wells)
    assert (facts["filled"], facts["left_out"]) == ({"e[0]": 1, "e[1]": 2}, ["e[2]"])
    assert np.isfinite(values).all()
    assert "rests on the two features e[0], e[1]" in warnings(notes)[0]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([[list(row)] for row in VALUES]), "holds lists of lists"),
        (pa.FixedSizeListArray.from_arrays(np.zeros(ROWS * LONG, np.int8), LONG), "is it an image?"),
        (pa.array([[]] * ROWS, pa.list_(pa.float32())), "lists of 0 numbers"),
        (pa.array([None] * ROWS, pa.list_(pa.float32())), "none in its first 16 rows"),
        (pa.array([str(list(row)) for row in VALUES]), "holds lists of numbers as text ('["),
        (pa.array([" ".join(map(str, [*row, *row])) for row in VALUES]), "holds lists of numbers as text"),
    ],
    ids=["nested", "images", "empty", "none", "text", "text without brackets"],
)
def test_what_must_be_meant_as_lists_is_refused(made, column, message):
    told = refusal(made, {"n": pa.array(range(ROWS)), "e": column})
    assert message in told
    assert "{e: Metadata_e}" in told


@pytest.mark.parametrize(
    "cell", ["[0.1, -2e-3]", "[ 0.1 -0.2\n 0.3]", "(1;2)", "array([1., nan], dtype=float32)", "tensor([0.5])"]
)
def test_lists_as_text_in_csv_are_refused(made, cell):
    assert "parquet with lists of numbers" in refusal(made, {"n": range(ROWS), "e": [cell] * ROWS}, "csv")


def test_corners_in_lists_are_bookkeeping(made):
    for corners in ([1, 2], [3]), ([1, 2], [3, 4]):  # of any length: they are not read
        _, facts, _ = made({"bbox": pa.array([*corners] * 12), "a": pa.array(range(ROWS))})
        assert (facts["names"], facts["bookkeeping"]) == (["a"], ["bbox"])


# -- any table, against a reader that takes all of it at once ----------------------------------------------------------

TYPES = [pa.float16(), pa.float32(), pa.float64(), pa.uint8(), pa.int16(), pa.int64()]


@st.composite
def columns(draw):
    count = draw(st.integers(1, 12))
    found = {}
    for number in range(draw(st.integers(1, 3))):
        kind, length = draw(st.sampled_from(TYPES)), draw(st.sampled_from([None, None, 1, 3]))
        value = (
            st.none() | st.sampled_from([0, 1, 2, 7, 100, 127])
            if pa.types.is_integer(kind)
            else st.none() | st.floats(width=16)
        )
        cell = value if length is None else st.lists(value, min_size=length, max_size=length)
        cells = draw(st.lists(cell, min_size=count, max_size=count))
        wrap = draw(st.sampled_from([pa.list_, pa.large_list, lambda each, length=length: pa.list_(each, length)]))
        numbers = np.float16 if kind == pa.float16() else None
        cells = [_as(numbers, one) for one in cells]
        found[f"c{number}"] = pa.array(cells, kind if length is None else wrap(kind))
    return found


def _as(kind, value):
    if kind is None or value is None:
        return value
    return [_as(kind, each) for each in value] if isinstance(value, list) else kind(value)


def test_any_columns_are_read_as_arrow_itself_reads_them(tmp_path, monkeypatch):
    monkeypatch.setattr(feature_values, "_CELLS_AT_ONCE", 12)
    path = tmp_path / "any.parquet"

    @settings(
        max_examples=25,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(columns())
    def one(some):
        pq.write_table(pa.table(some), path)
        chosen = feature_values.columns(str(path), list(some))
        assert chosen.others == {}
        rows = zip(*(column.to_pylist() for column in some.values()), strict=True)
        flat = [[each for cell in row for each in (cell if isinstance(cell, list) else [cell])] for row in rows]
        expected = np.array([[np.nan if each is None else float(each) for each in row] for row in flat])
        np.testing.assert_array_equal(np.concatenate(list(feature_values.values(str(path), chosen))), expected)

    one()
