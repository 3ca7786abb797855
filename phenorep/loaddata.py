"""Read a user's tables: CSV, also compressed, or parquet, with the columns of LoadData tables as text, others as numbers."""

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from phenorep import filekinds, headers, lookalikes, notes, plugins, tablefiles
from phenorep.errors import UserError
from phenorep.fields import well_name
from phenorep.wording import listed

_ABOVE = ("#", "[", "//", "%")  # what comments and names of sections begin with
_PREAMBLE = 50  # lines of settings at most


def columns(path: str, key: str, rename: Mapping[str, str] | None = None, also: Collection[str] = ()) -> dict[str, str]:
    """Our names of a table's columns, by theirs, as `headers.read` has them; columns that have no name are not among them.

    Parameters
    ----------
    path
        The table.
    key
        The key of the configuration that names it, for messages: ``table``, ``plate_map`` or ``annotations``.
    rename
        {their column: ours}.
    also
        Names of ours besides those of all tables.
    """
    theirs = _header(path, key)
    ours = headers.read(theirs, path, rename, also)
    return {name: new for name, new in zip(theirs, ours, strict=True) if new is not None}


def read(
    path: str,
    key: str,
    rename: Mapping[str, str] | None = None,
    only: str | Collection[str] | None = None,
    also: Collection[str] = (),
) -> pd.DataFrame:
    """A table as text, under our column names; `only` is the one column to read, or several.

    Rows that hold nothing are passed over, which is said. The index holds the numbers of the rows in the file, as a
    spreadsheet counts them: the header is row 1.
    """
    theirs = _header(path, key)
    ours = headers.read(theirs, path, rename, also)
    wanted = (only,) if isinstance(only, str) else only
    for column in wanted or ():
        if column not in ours:
            raise _no_column(path, column, dict(zip(theirs, ours, strict=True)))
    places = [place for place, new in enumerate(ours) if new is not None and (wanted is None or new in wanted)]
    nameless = [place for place, new in enumerate(ours) if new is None]
    try:
        table = _cells(Path(path), theirs, [*places, *nameless], whole=wanted is None)
        empty = table.index[np.logical_and.reduce([table[place].str.strip() == "" for place in table])]
        if len(empty) and wanted is not None:
            # The other columns decide; of a parquet file nothing is passed over then, since its other columns are not read.
            empty = [] if is_parquet(Path(path)) else tablefiles.empty_rows(path, empty)
    except (OSError, ValueError) as error:
        raise unreadable(path, key, error) from error
    if len(empty):
        notes.say(f"{path}: empty rows are passed over: {_rows_named(empty)}.")
        table = table.drop(index=empty)
    if table.empty:
        raise UserError(f"{path}: the table has no rows below its header. Fill it, or name another in {_named(key)}.")
    for place in nameless:
        _check_nameless(path, theirs[place], place, table[place])
    return table[places].set_axis([ours[place] for place in places], axis=1)


def check_renamed(tables: Mapping[str, str], rename: Mapping[str, str] | None) -> None:
    """Raise `UserError` if a name in 'rename:' is none of a column in any of these tables.

    Parameters
    ----------
    tables
        {key: path}; those without a path are passed over.
    """
    if not rename:
        return
    names = [name for key, path in tables.items() if path for name in _header(path, key)]
    known = {form for name in names for form in headers.forms(name)}
    for name in map(str, rename):
        if name not in known and headers.clean(name) not in known:
            where = " and ".join(path for path in tables.values() if path)
            hint = plugins.suggest(name, names)
            raise UserError(f"datasets: rename: there is no column '{name}' in {where}. {hint}")


def _header(path: str, key: str) -> list[str]:
    """Names of a table's columns as the file has them."""
    file = Path(path)
    if not _is_file(file):
        what = "this is a folder, no table" if os.path.isdir(file) else "there is no such file"
        raise UserError(f"{path}: {what}. Change {_named(key)}; it starts at the working directory.")
    try:
        if kind := filekinds.told(file):
            what, remedy = kind
            raise UserError(f"{path}: this is {what}. {remedy.replace('FILE', file.name)}, and name that in {_named(key)}.")
        if is_parquet(file):
            return _parquet_schema(path).names
        separator = tablefiles.separator_of(file)
        names = tablefiles.header(file, separator).unique
    except (OSError, ValueError) as error:
        raise unreadable(path, key, error) from error
    _check_header(path, key, names, separator)
    if (separator == ",") != (_by_name(file) == ","):
        its_name = {",": "commas", "\t": "tabs"}[separator]
        notes.say(f"{path}: its columns are separated by {its_name}, and it is read so.")
    return names


def _check_header(path: str, key: str, names: Sequence[str], separator: str) -> None:
    """Raise `UserError` if the first row of a table is no header of ours: other separators, a comment, a preamble."""
    filled = [name for name in names if name.strip() and not name.startswith("Unnamed: ")]
    for sign in ";|":
        if len(names) == 1 and sign in names[0]:
            # Not read: where cells are separated by semicolons, numbers may have commas.
            raise UserError(f"{path}: its columns are separated by '{sign}'. Save it with commas; {_named(key)} names it.")
    first = filled[0].strip()
    ours = any(headers.spelt(headers.clean(name)) in headers.NAMES for name in filled)
    alone = len(filled) == 1 and (first.startswith(_ABOVE) or _has_more_below(path, separator))
    if (not ours and (alone or _has_section(path))) or re.match(r"#\s|//|%\s", first):
        raise UserError(
            f"{path}: its first row is {first!r:.80}, where the names of columns are expected. Take out all lines above the "
            "header."
        )


def _has_section(path: str) -> bool:
    """Whether data begin below a line ``[Data]``, as in tables of Columbus."""
    return any(line.strip(' ,;\t"').lower() == "[data]" for line in tablefiles.lines(path, _PREAMBLE))


def _has_more_below(path: str, separator: str) -> bool:
    """Whether rows below a first one of a single cell have several: settings of Columbus stand above its data."""
    return any(separator in line.strip(separator) for line in tablefiles.lines(path, _PREAMBLE)[1:])


def _cells(file: Path, names: Sequence[str], places: Sequence[int], whole: bool) -> pd.DataFrame:
    """Columns of a table as text, by their places; the index numbers the rows."""
    with tablefiles.decoding():
        if not is_parquet(file):
            # All columns, where all are wanted: then rows that are too long are noticed.
            return tablefiles.read(file, None if whole else places)[list(places)].apply(_text)
        table = pq.read_table(file, columns=[names[place] for place in places])
        # A column that was an index when the table was written is a column like any other.
        cells = {place: _text(_plain(table.column(names[place]))) for place in places}
        return pd.DataFrame(cells, index=pd.RangeIndex(2, table.num_rows + 2))


def _plain(column: pa.ChunkedArray) -> pd.Series:
    """A column of a parquet file; categories are what they stand for."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    series = column.to_pandas()
    series.index = pd.RangeIndex(2, len(series) + 2)
    return series


def _check_nameless(path: str, name: str, place: int, cells: pd.Series) -> None:
    """Raise `UserError` if a column without a name holds anything but pandas' numbers of rows."""
    filled = cells[cells.str.strip() != ""]
    if filled.empty or ((place == 0 or name.startswith("__")) and filled.str.fullmatch(r"\s*\d+\s*").all()):
        return
    what = f"{filled.iloc[0].strip()!r:.60} in row {filled.index[0]}"
    raise UserError(
        f"{path}: its column {place + 1} has no name but what pandas writes ({name!r}), and holds {what}. Name it "
        "in the header, or take it out."
    )


def _rows_named(numbers: Sequence[int]) -> str:
    """Rows for a message: ``rows 5, 7 and 3 more``."""
    return f"{'rows' if len(numbers) > 1 else 'row'} {listed(numbers)}"


def _parquet_schema(path: str | Path) -> pa.Schema:
    with tablefiles.decoding():
        return pq.read_schema(path)


def need(path: str, table: pd.DataFrame, wanted: Iterable[str]) -> None:
    """Raise `UserError` if a table lacks one of these columns."""
    for column in wanted:
        if column not in table:
            raise _no_column(path, column, {name: name for name in table.columns})


def check_filled(table: pd.DataFrame, path: str) -> None:
    """Raise `UserError` if a row lacks its well or plate. The table's index numbers its rows, as of `read`."""
    for column in ("Metadata_Plate", "Metadata_Well"):
        if column in table and (lacking := table.index[table[column] == ""]).size:
            what = f"{_rows_named(lacking)} {'have' if len(lacking) > 1 else 'has'} no {column} where other cells are filled"
            raise UserError(f"{path}: {what}. Fill it in, or take out what is not meant.")


def normalise_wells(table: pd.DataFrame, path: str) -> None:
    """Bring `Metadata_Well` into one form, in place: A01. The table's index numbers its rows, as of `read`.

    Raises
    ------
    UserError
        If a row lacks its well or plate, or what it has is no well.
    """
    check_filled(table, path)
    first = table["Metadata_Well"].drop_duplicates()
    names = {text: well_name(text, f"{path}: row {row}: Metadata_Well") for row, text in first.items()}
    table["Metadata_Well"] = table["Metadata_Well"].map(names)


def _named(key: str) -> str:
    """The key of the configuration that names a table, as messages have it."""
    return f"'{key}:'" if key == "annotations" else f"'datasets: {key}:'"


def unreadable(path: str, key: str, error: Exception) -> UserError:
    """What a user is told of a table that cannot be read."""
    remedy = f"Name another table in {_named(key)}, or save this one as CSV again"
    if isinstance(error, UnicodeDecodeError):
        return UserError(f"{path}: its text is not UTF-8. {remedy}, as 'CSV UTF-8'.")
    # pandas numbers rows as we do, and calls them lines.
    text = str(error).strip().replace("fields in line", "cells in row")
    return UserError(f"{path}: cannot be read as a table ({text}). {remedy}.")


def _is_file(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # a name that is too long, a folder that must not be looked into
        return False


def is_parquet(file: Path) -> bool:
    """Whether a table is read as parquet, which its name says."""
    return file.suffix.lower() in (".parquet", ".pq")


def _by_name(file: Path) -> str:
    """What separates the cells of a table that is called so."""
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


def _no_column(path: str, column: str, known: Mapping[str, str | None]) -> UserError:
    """What is said of a column that is not there; `known` is {theirs: ours}."""
    like = [name for name, new in known.items() if new and lookalikes.of(new) == column]
    parts = [name for part in ("row", "column", "col") for name in known if name.lower().removeprefix("metadata_") == part]
    if column == "Metadata_Well" and len(parts) == 2:
        hint = f"Its columns {' and '.join(parts)} tell it: write them into one column {column}, like A01."
    elif like:
        hint = f"'{like[0]}' may be it: 'datasets: rename: {lookalikes.pair(like[0], column)}' takes it."
    else:
        hint = plugins.suggest(column, filter(None, known.values()))
        hint += f" Or name theirs: 'datasets: rename: {{theirs: {column}}}'."
    return UserError(f"{path}: there is no column '{column}'. {hint}")
