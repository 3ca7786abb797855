"""Read a user's tables: CSV, also compressed, or parquet, with the columns of LoadData tables as text, others as numbers."""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from phenorep import plugins, tablefiles
from phenorep.errors import UserError
from phenorep.fields import well_name

_KEPT = ("Metadata_", "Label_", "Split_", "FileName_", "PathName_")
# The row numbers that pandas writes beside a table, as the header of a parquet file or of a CSV names them.
_ROW_NUMBERS = re.compile(r"__index_level_\d+__|Unnamed: \d+")
_SPREADSHEETS = (".xlsx", ".xls", ".ods")


def columns(path: str, key: str, rename: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our names of a table's columns, by theirs: renamed, and without the prefix ``Image_``.

    Parameters
    ----------
    path
        The table.
    key
        The key of the dataset's configuration that names it, for messages.
    rename
        {their column: ours}.
    """
    file = Path(path)
    if not _is_file(file):
        what = "this is a folder, no table" if os.path.isdir(file) else "there is no such file"
        raise UserError(f"{path}: {what}. Change 'datasets: {key}:'; it starts at the working directory.")
    if file.suffix.lower() in _SPREADSHEETS:
        raise UserError(f"{path}: this is a spreadsheet. Save it as CSV (UTF-8) and name that in 'datasets: {key}:'.")
    try:
        names = _parquet_schema(path).names if _is_parquet(file) else tablefiles.header(file, _separator(file))
    except (OSError, ValueError) as error:
        raise _unreadable(path, key, error) from error
    for separator, its_name in ((";", "';'"), ("\t", "tabs")):
        if len(names) == 1 and separator in names[0]:
            raise UserError(
                f"{path}: its columns are separated by {its_name}. Save it with commas; 'datasets: {key}:' names it."
            )
    if twice := [name for name, number in Counter(map(str.strip, names)).items() if number > 1]:
        raise UserError(f"{path}: its column '{twice[0]}' stands there twice. Take one out; 'datasets: {key}:' names it.")
    ours: dict[str, str] = {}
    taken: set[str] = set()
    for name in (name for name in names if not _ROW_NUMBERS.fullmatch(name)):
        short = name.removeprefix("Image_")
        new = (rename or {}).get(name) or (short if short.startswith(_KEPT) else name)
        if new in taken:
            raise UserError(f"{path}: two of its columns would be '{new}', one is '{name}'. Change 'datasets: rename:'.")
        ours[name] = str(new)
        taken.add(str(new))
    return ours


def read(
    path: str, key: str, rename: Mapping[str, str] | None = None, only: str | Collection[str] | None = None
) -> pd.DataFrame:
    """A table as text, under our column names; `only` is the one column to read, or several."""
    ours = columns(path, key, rename)
    wanted = (only,) if isinstance(only, str) else only
    for column in wanted or ():
        if column not in ours.values():
            raise _no_column(path, column, ours.values())
    theirs = [name for name, new in ours.items() if wanted is None or new in wanted]
    file = Path(path)
    try:
        # A column that was an index when the table was written is a column like any other.
        with tablefiles.decoding():
            table = (
                pq.read_table(file, columns=theirs).to_pandas(ignore_metadata=True)
                if _is_parquet(file)
                else _read_csv(file, usecols=None if wanted is None else theirs)  # all: rows that are too long are noticed
            )
            table = pd.DataFrame({ours[name]: _text(table[name]) for name in theirs})
    except (OSError, ValueError) as error:
        raise _unreadable(path, key, error) from error
    if table.empty:
        raise UserError(f"{path}: the table has no rows below its header. Fill it, or name another in 'datasets: {key}:'.")
    return table


def _parquet_schema(path: str | Path) -> pa.Schema:
    with tablefiles.decoding():
        return pq.read_schema(path)


def need(path: str, table: pd.DataFrame, wanted: Iterable[str]) -> None:
    """Raise `UserError` if a table lacks one of these columns."""
    for column in wanted:
        if column not in table:
            raise _no_column(path, column, table.columns)


def normalise_wells(table: pd.DataFrame, path: str) -> None:
    """Bring `Metadata_Well` into one form, in place: A01."""
    names = {text: well_name(text, f"{path}: Metadata_Well") for text in set(table["Metadata_Well"])}
    table["Metadata_Well"] = table["Metadata_Well"].map(names)


def _unreadable(path: str, key: str, error: Exception) -> UserError:
    remedy = f"Name another table in 'datasets: {key}:', or save this one as CSV again"
    if isinstance(error, UnicodeDecodeError):
        return UserError(f"{path}: its text is not UTF-8. {remedy}, as 'CSV UTF-8'.")
    return UserError(f"{path}: cannot be read as a table ({str(error).strip()}). {remedy}.")


def _is_file(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # a name that is too long, a folder that must not be looked into
        return False


def _is_parquet(file: Path) -> bool:
    return file.suffix.lower() in (".parquet", ".pq")


def _read_csv(file: Path, **options) -> pd.DataFrame:
    # Text throughout: a plate 0012 stays 0012, and a compound called NA stays NA.
    return tablefiles.read(file, sep=_separator(file), dtype=str, keep_default_na=False, **options)


def _separator(file: Path) -> str:
    return "\t" if any(suffix in (".tsv", ".txt") for suffix in file.suffixes) else ","


def _text(column: pd.Series) -> pd.Series:
    """A column as text: missing is empty, and whole numbers (also those that gaps made fractions) have no point."""
    if pd.api.types.is_float_dtype(column):
        # In the digits of its own type: 0.1 of 32 bits is not 0.10000000149.
        values = column.to_numpy(
            dtype=column.dtype.numpy_dtype if hasattr(column.dtype, "numpy_dtype") else None, na_value=np.nan
        )
        texts = ["" if np.isnan(x) else str(x) if np.isinf(x) or x != np.round(x) else f"{x:.0f}" for x in values]
        return pd.Series(texts, index=column.index, dtype="str")
    return column.astype("str").fillna("")


def _no_column(path: str, column: str, known) -> UserError:
    hint = plugins.suggest(column, known)
    return UserError(
        f"{path}: there is no column '{column}'. {hint} Or name theirs: 'datasets: rename: {{theirs: {column}}}'."
    )
