"""Concentrations and doses as people write them into tables: numbers, or a message that says what to write."""

import re
from collections.abc import Callable

import numpy as np
import pandas as pd

from phenorep.errors import UserError
from phenorep.notes import say
from phenorep.wording import WORDS_FOR_NONE

CONCENTRATION, DOSE = "Metadata_Concentration", "Metadata_Dose"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
# Also signs; a compound may be called so, a number may not.
_NONE = WORDS_FOR_NONE | {"-", "--", "\u2013", "\u2014", "."}
_UNITS = {"m": 1e6, "mm": 1e3, "um": 1.0, "nm": 1e-3, "pm": 1e-6}  # micromolar in a molar, ...
_WITH_UNIT = re.compile(r"(?P<number>[\d.,eE+-]+)\s*(?P<unit>[A-Za-zµμ%/]+)")


def checked(table: pd.DataFrame, path: str) -> pd.DataFrame:
    """A table of text columns whose concentrations and doses are plain decimal numbers, still as text.

    Parameters
    ----------
    table
        Its index holds the numbers of the rows in the file, for messages.
    path
        The file, for messages.

    Returns
    -------
    DataFrame
        With "" where there is none; 0.1 where the file has 0.10000000149, which is 0.1 kept in 32 bits; ranks without a
        point.

    Raises
    ------
    UserError
        If a cell holds anything else: a unit, an infinity, a decimal comma; the message says what to write.
    """
    readers: dict[str, Callable[[str], str]] = {CONCENTRATION: _concentration, DOSE: _rank}
    for column in (name for name in readers if name in table):
        texts = pd.unique(table[column])
        forms, nothing, short = {}, [], []
        for text in texts:
            try:
                forms[text] = "" if text.lower() in _NONE else readers[column](text)
            except ValueError as error:
                rows = table.index[table[column] == text]
                more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
                raise UserError(f"{path}: row {rows[0]}{more}: {column}: {text!r} {error}") from None
            nothing += [text] if text and not forms[text] else []
            short += [text] if _shorter(text, forms[text]) else []
        if nothing:
            say(f"{path}: {column}: {', '.join(map(repr, nothing))} means that there is none.")
        if short:
            say(f"{path}: {column}: numbers of 32 bits are the decimals that were meant: {short[0]} is {forms[short[0]]}.")
        table = table.assign(**{column: table[column].map(forms)})
    return table


def meant(number: float) -> float:
    """The decimal number that was meant by one that was kept in 32 bits: 0.1 for 0.10000000149011612."""
    with np.errstate(over="ignore"):
        narrow = np.float32(number)
    short = str(narrow)
    # A number with few digits of its own is what it says, also where 32 bits hold it exactly, like 0.5.
    return float(short) if float(narrow) == number and len(short) < len(repr(float(number))) - 3 else float(number)


def number(text: str) -> float | None:
    """A text's value; None if it is no plain number. Python's own reading takes 1_000, nan and digits of all scripts."""
    return float(text) if _NUMBER.fullmatch(text) else None


def numbers(texts: pd.Series, decided: pd.Series) -> np.ndarray:
    """Values of a column that `checked` has read: int64 if it holds ranks and none is missing, else float64.

    Parameters
    ----------
    texts
        (N,) text; "" is NaN.
    decided
        (N,) bool: the rows that decide whether any is missing. In others a missing rank is 0: they have no images.
    """
    values = np.array([np.nan if text == "" else float(text) for text in texts], dtype=np.float64)
    if texts.name == DOSE and not np.isnan(values[decided.to_numpy()]).any():
        return np.nan_to_num(values, nan=0.0).astype(np.int64)
    return values


def _concentration(text: str) -> str:
    if text == "":
        return ""
    value = number(text)
    if value is None:
        raise ValueError(_no_concentration(text))
    if not np.isfinite(value):
        raise ValueError("is too large for a number. Write the concentration in micromolar.")
    if value < 0:
        raise ValueError(
            "is below 0: a logarithm? Write the concentration itself, in micromolar: a log10 of the molar of -6 is 1."
        )
    return _plain(meant(value))


def _rank(text: str) -> str:
    if text == "":
        return ""
    value = number(text)
    if value is None or value != int(min(max(value, -1e15), 1e15)) or value < 0:
        raise ValueError(
            "is not a whole number. A dose is a rank: 1, 2, 3, or empty where there is none. Write amounts into "
            f"{CONCENTRATION}, in micromolar."
        )
    return str(int(value))


def _no_concentration(text: str) -> str:
    """What is wrong with a concentration, and what to write."""
    plain = text.strip().lower().lstrip("+-")
    if plain in ("inf", "infinity", "∞", "1.#inf"):
        return "is an infinity. Write the concentration in micromolar, or leave the cell empty."
    if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d*)?", text):
        return "has a comma. Write it without: a point for decimals, nothing between thousands."
    if re.fullmatch(r"\d*,\d+", text):
        return f"has a decimal comma. Write it with a point: {text.replace(',', '.')}."
    match = _WITH_UNIT.fullmatch(text.strip())
    unit = match["unit"].replace("µ", "u").replace("μ", "u") if match else ""
    value = number(match["number"]) if match else None
    if value is None:
        return "is not a number. Write it in micromolar, without a unit, or leave the cell empty."
    known_unit = "M" in unit and unit.lower() in _UNITS
    said = f" Here that is {_plain(float(f'{value * _UNITS[unit.lower()]:.12g}'))}." if known_unit else ""
    return f"is a number with a unit. Write it in micromolar, without the unit.{said}"


def _shorter(text: str, form: str) -> bool:
    return bool(form) and number(text) is not None and float(text) != float(form)


def _plain(value: float) -> str:
    return f"{value:.0f}" if value == round(value) and value < 1e15 else repr(value)
