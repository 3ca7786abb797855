"""Names that are spelt in several ways: each kind of difference is refused, joined or kept apart, as the key says."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phenorep import notes, spellings
from phenorep.errors import UserError

# Two spellings of a name, and in what they differ.
TWINS = {
    "case": ("Taxol", "taxol"),
    "case of Greek": ("\u0391-amanitin", "\u03b1-amanitin"),
    "blank at the end": ("taxol", "taxol "),
    "two blanks": ("cytochalasin B", "cytochalasin  B"),
    "no blank": ("cytochalasin B", "cytochalasinB"),
    "no-break blank": ("cytochalasin B", "cytochalasin\u00a0B"),
    "zero width": ("taxol", "ta\u200bxol"),
    "byte order mark": ("taxol", "\ufefftaxol"),
    "writing direction": ("taxol", "taxol\u200e"),
    "NFC, NFD": ("caf\u00e9", "cafe\u0301"),
    "mu": ("1 \u00b5M", "1 \u03bcM"),
    "wide letters": ("DMSO", "\uff24\uff2d\uff33\uff2f"),
    "dash": ("BAY-11", "BAY\u201311"),
    "prime": ("2'-fluoro", "2\u2032-fluoro"),
    "point zero": ("2244", "2244.0"),
    "Cyrillic": ("taxol", "t\u0430xol"),
}
WORDS = {
    "case": "case",
    "case of Greek": "case",
    "blank at the end": "blanks",
    "two blanks": "blanks",
    "no blank": "blanks",
    "no-break blank": "blanks",
    "zero width": "invisible characters",
    "byte order mark": "invisible characters",
    "writing direction": "invisible characters",
    "NFC, NFD": "(NFC, NFD)",
    "mu": "the micro sign and the Greek mu",
    "wide letters": "wide or other forms of letters",
    "dash": "the kind of dash",
    "prime": "the kind of quotation mark",
    "point zero": "a zero behind the point",
    "Cyrillic": "letters of another alphabet",
}
NOT_SEEN = {"blank at the end", "two blanks", "no-break blank", "zero width", "byte order mark"}
NOT_SEEN |= {"writing direction", "NFC, NFD", "mu"}


def table(names, column="Metadata_Compound"):
    return pd.DataFrame({"Metadata_Well": "A01", column: names}, index=range(2, len(names) + 2))


def cleaned(names, policy, column="Metadata_Compound"):
    with notes.kept() as said:
        result = spellings.cleaned(table(names, column), "t.csv", policy)[column].tolist()
    return result, " ".join(note["text"] for note in said)


@pytest.mark.parametrize("kind", TWINS)
@pytest.mark.parametrize("column", ["Metadata_Compound", "Metadata_Plate", "Metadata_Control", "Label_Class"])
def test_twins_are_refused_quoting_both(kind, column):
    first, second = TWINS[kind]
    with pytest.raises(UserError) as caught:
        spellings.cleaned(table([first, second, first, "other"], column), "t.csv", "exact")
    message = str(caught.value)
    assert message.startswith(f"t.csv: {column}: {first!r} (2 rows) and {second!r} (1) differ only in ")
    assert WORDS[kind] in message
    assert "names: folded" in message


@pytest.mark.parametrize("kind", TWINS)
def test_twins_are_joined_and_listed(kind):
    first, second = TWINS[kind]
    result, said = cleaned([second, first, first, "other", ""], "folded")
    assert result == [first, first, first, "other", ""]
    assert "joined (names: folded)" in said
    assert repr(first) in said
    assert repr(second) in said


@pytest.mark.parametrize("kind", TWINS)
def test_distinct_keeps_apart_what_differs_visibly(kind):
    first, second = TWINS[kind]
    result, said = cleaned([second, first, first], "distinct")
    assert len(set(result)) == (1 if kind in NOT_SEEN else 2)
    assert ("kept apart" in said) == (kind not in NOT_SEEN)
    assert ("joined" in said) == (kind in NOT_SEEN)


@pytest.mark.parametrize("policy", spellings.POLICIES)
def test_names_without_twins_stay_as_they_are(policy):
    names = ["NA", "None", "1.0", "10", "000123", "", "2-aminoethanol", "3-aminoethanol", "a\u202eb", "x\ny", "\u00b5"]
    assert cleaned(names, policy) == (names, "")


def test_invisible_characters_at_the_ends_are_taken_off_and_said():
    result, said = cleaned(["taxol\u200b", "taxol\u200b", "DMSO"], "exact")
    assert result == ["taxol", "taxol", "DMSO"]
    assert said == "t.csv: Metadata_Compound: invisible characters were taken off: 'taxol\\u200b' is 'taxol'."


def test_columns_that_name_nothing_are_not_refused_but_said():
    smiles = ["c1ccccc1", "C1CCCCC1"]
    result, said = cleaned(smiles, "exact", "Metadata_smiles")
    assert result == smiles
    assert "differ in case" in said
    with pytest.raises(UserError, match="differ only in case"):
        spellings.cleaned(table(smiles, "Metadata_smiles"), "t.csv", "exact", {"Metadata_smiles"})


def test_numbers_are_no_twins():
    assert cleaned(["1", "1 ", "", "2e3", "2E3"], "exact", "Label_Count")[0] == ["1", "1", "", "2e3", "2E3"]


def test_plates_that_are_numbers_are_names():
    with pytest.raises(UserError, match=r"'41744' \(2 rows\) and '41744.0' \(1\) differ only in a zero behind the point"):
        spellings.cleaned(table(["41744", "41744.0", "41744"], "Metadata_Plate"), "t.csv", "exact")


@pytest.mark.parametrize("text", ["#N/A", "#REF!", "#NAME?", " #VALUE!"])
def test_errors_of_a_spreadsheet_are_refused(text):
    with pytest.raises(UserError, match=r"t\.csv: Metadata_MoA: row 3: '#.*' is what a spreadsheet writes"):
        spellings.cleaned(table(["actin", text], "Metadata_MoA"), "t.csv", "folded")


def test_numbers_that_a_spreadsheet_has_shortened_are_said():
    result, said = cleaned(["1.1E+11", "1.2E+11"], "exact", "Metadata_Plate")
    assert result == ["1.1E+11", "1.2E+11"]
    assert "1.1E+11, 1.2E+11: a spreadsheet has shortened a long number" in said


def test_a_hint_names_another_spelling_alone():
    assert spellings.hint("DMSO", ["DMSO", "dmso"]) == "It has 'dmso', which differs only in case."
    assert spellings.hint("DMSO", ["DMSO", "water"]) == ""


DECORATIONS = ["", " ", "\u00a0", "\u200b", "\ufeff", "\t", "\u3000"]


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    st.lists(st.text(st.sampled_from("abAB\u00b5\u03bc1-. \u00e9"), min_size=1, max_size=4), min_size=1, max_size=5),
    st.lists(st.tuples(st.sampled_from(DECORATIONS), st.sampled_from(DECORATIONS)), min_size=5, max_size=5),
)
def test_no_two_names_of_a_table_are_one_name(names, ends):
    """Whatever the policy: names that a reader cannot tell apart are one name or an error; others are never joined."""
    decorated = [before + name + after for name, (before, after) in zip(names, ends, strict=False)]
    for policy in spellings.POLICIES:
        try:
            result, _ = cleaned(decorated, policy)
        except UserError:
            assert policy == "exact"
            assert len({spellings.folded(name) for name in decorated}) < len(set(decorated))
            continue
        form = spellings.folded if policy != "distinct" else spellings.seen
        assert len(set(result)) == len({form(name) for name in decorated})
        assert [form(name) for name in result] == [form(name) for name in decorated]
