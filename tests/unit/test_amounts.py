"""Concentrations and doses: plain numbers are read as they are, all else is refused with what to write."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phenorep import amounts, notes
from phenorep.errors import UserError


def checked(column, texts):
    with notes.kept() as said:
        table = amounts.checked(pd.DataFrame({column: texts}, index=range(2, len(texts) + 2)), "t.csv")
    return table[column].tolist(), " ".join(note["text"] for note in said)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("0.1 uM", "Write it in micromolar, without the unit. Here that is 0.1."),
        ("100nM", "Here that is 0.1."),
        ("1 \u00b5M", "Here that is 1."),
        ("2 mM", "Here that is 2000."),
        ("0.5 %", "number with a unit"),
        ("3 ug/ml", "number with a unit"),
        ("1,5", "a decimal comma. Write it with a point: 1.5."),
        ("1,000", "has a comma"),
        ("inf", "is an infinity"),
        ("-Infinity", "is an infinity"),
        ("1e999", "too large"),
        ("-6", "below 0: a logarithm?"),
        ("1_000", "is not a number"),
        ("\u0661", "is not a number"),
        ("low", "is not a number"),
        ("0x10", "is not a number"),
    ],
)
def test_what_is_no_plain_concentration_is_refused(text, remedy):
    with pytest.raises(UserError) as caught:
        checked("Metadata_Concentration", ["1", text, text])
    assert str(caught.value).startswith(f"t.csv: row 3 and 1 more: Metadata_Concentration: {text!r} ")
    assert remedy in str(caught.value)


@pytest.mark.parametrize("text", ["1.5", "-1", "2 uM", "inf", "1e400", "low", "1,0"])
def test_what_is_no_rank_is_refused(text):
    with pytest.raises(UserError, match=r"row 3: Metadata_Dose: .* is not a whole number\. A dose is a rank: 1, 2, 3"):
        checked("Metadata_Dose", ["1", text])


def test_ranks_with_a_point_and_empty_ones():
    assert checked("Metadata_Dose", ["1.0", "2", "", "10.00", "0"]) == (["1", "2", "", "10", "0"], "")
    texts, said = checked("Metadata_Dose", ["NA", "1"])
    assert texts == ["", "1"]
    assert "'NA' means that there is none" in said


def test_numbers_kept_in_32_bits_are_the_decimals_that_were_meant():
    given_ = [0.1, 0.3, 1 / 3, 1000.1, 0.5, 7, 1e-5, 12.25]
    texts, said = checked("Metadata_Concentration", [repr(float(np.float32(number))) for number in given_])
    assert [float(text) for text in texts] == [0.1, 0.3, float(str(np.float32(1 / 3))), 1000.1, 0.5, 7, 1e-5, 12.25]
    assert "0.10000000149011612 is 0.1" in said
    # What was kept in 64 bits is left alone, however many digits it has.
    exact = ["0.1", "0.10000000149", "0.3333333333333333", "3.3333333333333335", "2.5e-06", "0"]
    texts, said = checked("Metadata_Concentration", exact)
    assert [float(text) for text in texts] == [float(text) for text in exact]
    assert not said


def test_ranks_are_whole_numbers_unless_some_are_missing():
    texts = pd.Series(["1", "", "2"], name="Metadata_Dose")
    np.testing.assert_array_equal(amounts.numbers(texts, pd.Series([True, True, True])), [1, np.nan, 2])
    values = amounts.numbers(texts, pd.Series([True, False, True]))
    assert values.dtype == np.int64
    assert values.tolist() == [1, 0, 2]


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.text(st.sampled_from("0123456789.,eE+- \u00b5uMnainf_"), max_size=8))
def test_a_concentration_is_what_a_plain_reader_makes_of_it(text):
    try:
        texts, said = checked("Metadata_Concentration", [text.strip()])
    except UserError:
        return
    if texts[0] == "":
        assert text.strip() == "" or "means that there is none" in said
    else:
        assert float(texts[0]) == float(text) or "numbers of 32 bits" in said
