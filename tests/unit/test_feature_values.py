"""What is a feature of a table that somebody else computed: numbers keep their values, and what is left out is said."""

import decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from phenorep import contracts, feature_values, profiles
from phenorep.evaluations import Inputs, moa_matching

from .wells import ROUNDED, ROWS, VALUES, WELLS, importer, refusal, warnings

STEPS = [{"aggregate": {"by": ["treatment", "plate"], "with": "mean"}}, {"aggregate": {"by": "treatment", "with": "median"}}]


@pytest.fixture
def made(tmp_path):
    return importer(tmp_path)


# -- other columns -----------------------------------------------------------------------------------------------------


def test_bytes_alone_are_named_with_the_remedy(made):
    told = refusal(made, {"e": pa.array([row.tobytes() for row in VALUES])})
    assert "It has bytes: e." in told
    assert "save lists of numbers" in told


def test_what_other_columns_hold_is_said(made, capsys):
    columns = {
        "a": pa.array(range(ROWS)),
        "when": pa.array([pd.Timestamp("2026-01-01")] * ROWS),
        "ok": pa.array([True, False] * 12),
        "empty": pa.nulls(ROWS),
        "words": pa.array([["a"]] * ROWS),
        "picture": pa.array([{"bytes": b"", "path": "a"}] * ROWS),
        "kind": pa.array(["x", "y"] * 12).dictionary_encode(),
    }
    made(columns)
    said = capsys.readouterr().out
    kinds = "dates or times: when; truth values: ok; nothing: empty; lists of text: words; structures: picture; text: kind"
    assert f"(6): {kinds}\n" in said


@pytest.mark.parametrize(
    ("cells", "word"),
    [
        (["1,5"] * 23 + ["2"], "numbers with a comma, a sign or a unit ('1,5')"),
        (["1.234,5"] * ROWS, "numbers with a comma, a sign or a unit"),
        (["3.2 px"] * ROWS, "numbers with a comma, a sign or a unit ('3.2 px')"),
        (["12 µm²"] * ROWS, "numbers with a comma, a sign or a unit"),
        (["<0.1"] + ["3"] * 23, "numbers with a comma, a sign or a unit ('<0.1')"),
        (["\u22121.5"] * ROWS, "numbers with a comma, a sign or a unit"),
        (["4.5"] * 20 + ["#DIV/0!"] + ["1"] * 3, "numbers but for text ('#DIV/0!' in row 22)"),
    ],
)
def test_columns_that_look_like_numbers_are_warned_of(made, cells, word):
    _, facts, notes = made({"a": range(ROWS), "b": VALUES[:, 0], "c": VALUES[:, 1], "odd": cells}, "csv")
    assert facts["names"] == ["a", "b", "c"]
    assert len(warnings(notes)) == 1
    assert f"they may be meant as such: {word}" in warnings(notes)[0]


def test_numbers_as_text_are_warned_of_where_they_are_the_most(made):
    text = pa.array([f"{value:.3f}" for value in VALUES[:, 0]])
    numbers = {name: pa.array(VALUES[:, place]) for place, name in enumerate("abc")}
    assert warnings(made({**numbers, "cas": text})[2]) == []
    assert "Save them as numbers." in warnings(made({"a": numbers["a"], "u": text, "v": text})[2])[0]


def test_text_after_many_numbers_is_found(made, monkeypatch):
    monkeypatch.setattr(feature_values, "_CELLS_AT_ONCE", 15)
    _, _, notes = made({"a": range(ROWS), "b": VALUES[:, 0], "c": VALUES[:, 1], "d": [1.5] * 23 + ["bad"]}, "csv")
    assert "('bad' in row 25)" in warnings(notes)[0]


# -- numbers at the ends of their types --------------------------------------------------------------------------------


def test_numbers_keep_their_values_or_are_said(made):
    columns = {
        "small": pa.array(range(232, 256), pa.uint8()),
        "decimal": pa.array([decimal.Decimal(number) / 4 for number in range(ROWS)], pa.decimal128(10, 2)),
        "half": pa.array(ROUNDED[:, 0].astype(np.float16)),
        "large": pa.array([2**63 + 2**60 * (number % 8) for number in range(ROWS)], pa.uint64()),
    }
    features, _, notes = made(columns)
    expected = [
        range(232, 256),
        np.arange(ROWS) / 4,
        ROUNDED[:, 0],
        [2.0**63 + 2**60 * (number % 8) for number in range(ROWS)],
    ]
    np.testing.assert_array_equal(features, np.column_stack(expected))
    assert ["column 'large' holds whole numbers above 2^53" in text for text in warnings(notes)] == [True]


def test_large_whole_numbers_of_csv_are_said_too(made):
    _, _, notes = made({"a": range(ROWS), "b": VALUES[:, 0], "c": VALUES[:, 1], "n": [-(2**53) - 1, *range(23)]}, "csv")
    assert "column 'n' holds whole numbers above 2^53" in warnings(notes)[0]


def test_numbers_beyond_float32_are_undefined(made):
    columns = {"a": [1e300, *range(23)], "b": VALUES[:, 0] * 1e38, "c": VALUES[:, 1]}
    features, facts, notes = made(columns, "csv")
    assert (facts["names"], facts["left_out"]) == (["b", "c"], ["a"])
    np.testing.assert_array_equal(features[:, 0], VALUES[:, 0] * 1e38)
    assert "beyond 3.4e+38" in notes[0]["text"]


# -- what is a study on ------------------------------------------------------------------------------------------------


def nsc(made, columns, wells, tmp_path, **keys):
    made(columns, wells=wells, negative_control={"Metadata_Compound": "DMSO"}, **keys)
    files = [tmp_path / name for name in ("made.parquet", "profiles.parquet", "profiles.npz")]
    profiles.make(files[0], STEPS, *files[1:])
    inputs = Inputs(profiles=contracts.read_table(files[1], "profiles"))
    scores, _ = moa_matching.evaluate(moa_matching.Config(permutations=2), inputs, seed=0)
    return next(score.value for score in scores if score.metric == "nsc" and score.control == "none")


def test_noise_with_a_number_of_the_image_group_scores_as_noise(made, tmp_path):
    compounds = [number // 2 for number in range(80)]
    wells = {
        "Metadata_Plate": ["P1"] * 80,
        "Metadata_Well": [f"{'ABCDEFGH'[number // 10]}{number % 10 + 1:02d}" for number in range(80)],
        "Metadata_Compound": ["DMSO" if compound < 4 else f"c{compound}" for compound in compounds],
        "Metadata_MoA": ["" if compound < 4 else f"mechanism {compound // 6}" for compound in compounds],
    }
    # Textures are of one sign: with the group's number among them, the angle of a well follows its place.
    drawn = np.random.default_rng(3).normal(30, 1, size=(9, 80))
    noise = {f"Nuclei_Texture_{place}": pa.array(values) for place, values in enumerate(drawn)}
    alone = nsc(made, noise, wells, tmp_path)
    with_group = {"Image_Group_Index": pa.array([10 * number for number in range(80)]), **noise}
    assert nsc(made, with_group, wells, tmp_path) == alone
    assert nsc(made, with_group, wells, tmp_path, features="all") > alone + 0.2


def test_all_takes_bookkeeping_as_features_and_nothing_but_it_is_refused(made):
    columns = {"ObjectNumber": range(ROWS), "Nuclei_Children_Spots_Count": VALUES[:, 0]}
    told = refusal(made, columns, "csv")
    assert "bookkeeping by their names: ObjectNumber, Nuclei_Children_Spots_Count." in told
    assert "'features: all'" in told
    features, facts, _ = made(columns, "csv", features="all")
    assert (facts["names"], facts["bookkeeping"]) == (list(columns), [])
    np.testing.assert_array_equal(features, np.column_stack(list(columns.values())))
    assert "'measurements', 'all' or a list of columns, not 'most'" in refusal(made, columns, "csv", features="most")


def test_columns_that_are_named_by_numbers_are_features(made):
    _, facts, notes = made({str(place): VALUES[:, place] for place in range(4)}, "csv")
    assert (facts["names"], notes) == (["0", "1", "2", "3"], [])


@pytest.mark.parametrize(
    ("rows", "more", "check", "word"),
    [
        (3, {}, True, "each well has 3: are they fields or repeated measurements?"),
        (7, {}, False, "its 168 rows are of 24 wells and are taken as cells."),
        (3, {"ObjectNumber": range(72)}, False, None),
        (3, {"Metadata_Site": ["1"] * 72}, False, None),
    ],
)
def test_rows_of_one_well_are_said_to_be_cells(made, rows, more, check, word):
    values = np.random.default_rng(0).normal(size=(3, ROWS * rows))
    wells = {name: list(column) * rows for name, column in WELLS.items()}
    _, facts, notes = made({"a": values[0], "b": values[1], "c": values[2], **more}, "csv", wells=wells)
    assert facts["rows"] == "cells"
    assert [note["check"] for note in notes if "taken as cells" in note["text"]] == ([check] if word else [])
    assert word is None or word in notes[0]["text"]


def test_columns_of_a_plate_map_are_no_bookkeeping(made, tmp_path):
    wells = sorted(set(WELLS["Metadata_Well"]))
    contents = {"well": wells, "Metadata_Group_Index": range(12), "Dose": range(12)}
    pd.DataFrame(contents).to_csv(tmp_path / "map.csv", index=False)
    columns = {"Dose": [7] * 24, "a": VALUES[:, 0], "b": VALUES[:, 1], "c": VALUES[:, 2]}
    keys = {"plate_map": str(tmp_path / "map.csv"), "rename": {"well": "Metadata_Well"}}
    _, facts, _ = made(columns, "csv", **keys)
    assert facts["bookkeeping"] == ["Dose"]
    table = contracts.read_table(tmp_path / "made.parquet", "embeddings")
    assert table["Metadata_Group_Index"].tolist() == list(map(str, range(12))) * 2
