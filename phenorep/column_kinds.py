"""What a column that holds no numbers holds instead: text, dates, numbers that were written in a way that is not read."""

import re
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

_PLAIN = r"(?:[-+\u2212]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?|[-+]?(?:nan|inf))"
_NUMBER = rf"(?:{_PLAIN}|(?:np\.|numpy\.)?(?:float|u?int)\d+\({_PLAIN}\))"  # numpy 2 writes np.float64(0.1) in lists
# [0.1, 0.2], (0.1; 0.2), array([0.1 0.2 ... 0.3]); without brackets only long ones: 1 234 567 is one number.
_LIST = re.compile(
    rf"\s*(?:(?:np\.)?array|tensor)?\(?\s*[\[(][\[(\s]*{_NUMBER}(?:[\s,;]+(?:{_NUMBER}|\.\.\.))*[\s,]*[\])].*"
    rf"|{_PLAIN}(?:(?:\s|[,;|]\s*){_PLAIN}){{7,}}\s*",
    re.DOTALL | re.IGNORECASE,
)
# 1,5 and 1.234,5; 3.2 px and 12 %; < 0.1; a minus sign of typesetters.
_LIKE_A_NUMBER = re.compile(
    r"[<>\u2264\u2265~]?\s*[-+\u2212]?\d+(?:[.,' ]\d+)*(?:[eE][-+]?\d+)?\s*(?:%|[^\W\d_]{1,4}[\u00b2\u00b3]?)?"
)
_LOOKED_AT = 100  # values from which the way of writing is told
_MOSTLY = 0.9  # share of numbers in a column from which its text is a slip


@dataclass(frozen=True)
class Kind:
    """What a column holds.

    Attributes
    ----------
    word
        As the log says it, in the plural.
    remedy
        What makes features of the column, if it was probably meant as one.
    refused
        Whether it so surely was that a run without it would be another than was meant.
    """

    word: str
    remedy: str = ""
    refused: bool = False


TEXT = Kind("text")
NOTHING = Kind("nothing")
TRUTH = Kind("truth values")
AS_TEXT = Kind("numbers saved as text", "Save them as numbers.")
_LIST_REMEDY = "Save the table as parquet with lists of numbers, or with one column for each number."


def of_type(kind: pa.DataType) -> Kind | None:
    """What a column of a parquet table holds, by its type; None: text, numbers or lists of numbers."""
    types = pa.types
    if types.is_boolean(kind):
        return TRUTH
    if types.is_null(kind):
        return NOTHING
    if types.is_temporal(kind):
        return Kind("dates or times")
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return Kind("bytes", "What numpy or pickle wrote as bytes is not read: save lists of numbers.")
    if is_list(kind):
        return None if is_number(kind.value_type) else _of_lists(kind.value_type)
    return None if is_text(kind) or is_number(kind) else Kind("structures")


def _of_lists(element: pa.DataType) -> Kind:
    innermost = element
    while is_list(innermost):
        innermost = innermost.value_type
    if is_number(innermost):
        return Kind("lists of lists", "Save one flat list of numbers in each row.", refused=True)
    return Kind("lists of text" if is_text(innermost) else "lists of what is no number")


def of_text(cells: pd.Series, numbers_before: bool = False) -> Kind:
    """What the cells of a column that is no column of numbers hold.

    Parameters
    ----------
    cells
        Some of its cells, one after the other; the index numbers the rows of the file.
    numbers_before
        Whether rows before them held numbers.
    """
    text = cells.dropna().astype(str).str.strip()
    text = text[text != ""]
    if text.empty:
        return NOTHING
    first = text.head(_LOOKED_AT)
    if set(first.str.lower()) <= {"true", "false"}:
        return TRUTH
    if all(map(_LIST.fullmatch, first)):
        shown = " ".join(first.iloc[0][:20].split())
        return Kind(f"lists of numbers as text ('{shown}...')", _LIST_REMEDY, refused=True)
    odd = text[pd.to_numeric(text, errors="coerce").isna() & (text.str.lower() != "nan")]
    if odd.empty:
        return AS_TEXT
    if all(map(_LIKE_A_NUMBER.fullmatch, first)) and odd.index[0] in first.index:
        remedy = "Write a decimal point, and numbers without a comma, a sign before them or a unit."
        return Kind(f"numbers with a comma, a sign or a unit ('{odd.iloc[0]}')", remedy)
    if numbers_before or len(odd) <= (1 - _MOSTLY) * len(text):
        return Kind(
            f"numbers but for text ('{odd.iloc[0][:20]}' in row {odd.index[0]})", "Leave cells without a number empty."
        )
    return TEXT


def is_number(kind: pa.DataType) -> bool:
    """Whether values of this type are numbers."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def is_list(kind: pa.DataType) -> bool:
    """Whether values of this type are lists, of one length or of any."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def is_text(kind: pa.DataType) -> bool:
    """Whether values of this type are text."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
