"""Open a table of text that somebody else wrote: it is read as it stands, or refused, and never fills the memory by a trick.

A row with more cells than the header names is refused: pandas would take its first cells for names of rows, or leave the
last ones out, and everything would stand one column further on. Rows are numbered as a spreadsheet counts them, from 1;
line breaks within a cell do not count.
"""

import bz2
import csv
import gzip
import io
import itertools
import lzma
import re
import warnings
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from phenorep.errors import UserError

_OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_UNREAD = (".zst", ".tar", ".tgz", ".7z", ".rar", ".lz4", ".z")
# A compressed table may become this large in any case, and beyond that so many times as large: text repeats, but not more.
FREE, RATIO = 2**28, 200
_ROWS_AT_ONCE = 10_000


class _Bounded(io.RawIOBase):
    """A file that is decompressed as it is read, up to a limit."""

    def __init__(self, file, limit: int):
        self._file, self._left, self._limit = file, limit, limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        """Fill the buffer; raises `ValueError` beyond the limit."""
        found = self._file.read(len(buffer))
        self._left -= len(found)
        if self._left < 0:
            raise ValueError(f"decompressed it has more than {self._limit} bytes, {RATIO} times as many as the file")
        buffer[: len(found)] = found
        return len(found)


@contextmanager
def opened(path: str | Path) -> Iterator[io.BufferedIOBase]:
    """A table's bytes, decompressed.

    Raises
    ------
    ValueError
        If the compression is not known, the file damaged, or what it holds a multiple of what tables are compressed to. So
        do the reads.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in _UNREAD:
        raise ValueError(f"files of type {suffix} are not read; compress it as .gz")
    limit = max(FREE, RATIO * path.stat().st_size)
    with decoding():
        if suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                if len(archive.infolist()) != 1:
                    raise ValueError(f"the archive holds {len(archive.infolist())} files, expected one")
                with archive.open(archive.infolist()[0]) as file:
                    yield io.BufferedReader(_Bounded(file, limit), 1 << 20)
        elif suffix in _OPENERS:
            with _OPENERS[suffix](path) as file:
                yield io.BufferedReader(_Bounded(file, limit), 1 << 20)
        else:
            with open(path, "rb") as file:
                yield file


@contextmanager
def decoding():
    """Make a `ValueError` of whatever a decoder raises on a damaged file: each has its own, and there is MemoryError."""
    try:
        yield
    except (OSError, ValueError, UserError):
        raise
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}".rstrip(": ")) from error


_EXCELS = re.compile(
    r"\s*sep=(?P<sign>.?)[,;\t|\s]*", re.IGNORECASE
)  # the first line that Excel writes and takes for itself


class Header(NamedTuple):
    """Names of a table's columns as the file has them, "" where there is none; and the number of the row that holds them."""

    names: list[str]
    row: int

    @property
    def unique(self) -> list[str]:
        """The names, with pandas' own for columns that have none."""
        return [name or f"Unnamed: {place}" for place, name in enumerate(self.names)]


def header(path: str | Path, separator: str | None = None) -> Header:
    """The header of a table: its first row that holds anything but Excel's own line, ``sep=,``.

    Raises
    ------
    OSError, ValueError
        If it cannot be read.
    """
    separator = separator or separator_of(path)
    with opened(path) as file:
        rows = csv.reader(io.TextIOWrapper(file, "utf-8-sig", newline=""), delimiter=separator)
        for number, names in enumerate(rows, 1):
            if any(name.strip() for name in names) and not _EXCELS.fullmatch(separator.join(names)):
                return Header(names, number)
    raise ValueError("there is nothing in it")


def separator_of(path: str | Path) -> str:
    """What separates the cells: tabs in .tsv and .txt, commas elsewhere, but the other of the two if it makes more cells."""
    usual, other = ("\t", ",") if any(suffix in (".tsv", ".txt") for suffix in Path(path).suffixes) else (",", "\t")
    names = header(path, usual).names
    # A comma in a name is no sign of commas: tabs make more columns then.
    return other if any(other in name for name in names) and len(header(path, other).names) > len(names) else usual


def lines(path: str | Path, number: int) -> list[str]:
    """The first lines of a table, as they are."""
    with opened(path) as file:
        text = io.TextIOWrapper(file, "utf-8-sig", errors="replace")
        return [line.rstrip("\r\n") for line in itertools.islice(text, number)]


def read(path: str | Path, columns: Collection[int] | None = None) -> pd.DataFrame:
    """The cells of a table as text, which must have no row of more cells than the header.

    Parameters
    ----------
    columns
        Positions of the columns to read; None: all.

    Returns
    -------
    DataFrame
        Its columns are the positions, its index the numbers of the rows. Empty rows are among them.

    Raises
    ------
    OSError, ValueError
        If it cannot be read, or has such a row (which is not noticed where not all columns are read).
    """
    # Text throughout: a plate 0012 stays 0012, and a compound called NA stays NA.
    options = {"dtype": str, "keep_default_na": False, "usecols": None if columns is None else sorted(columns)}
    with _reader(path, by_position=True, **options) as (given, first):
        table = given.read()
    table.index = pd.RangeIndex(first, first + len(table))
    return table.fillna("")


def empty_rows(path: str | Path, rows: Collection[int]) -> list[int]:
    """Which of these rows hold nothing in any column."""
    options = {"dtype": str, "keep_default_na": False, "chunksize": _ROWS_AT_ONCE}
    wanted, empty = set(rows), []
    with _reader(path, by_position=True, **options) as (given, first):
        for piece in given:
            piece = piece[(piece.index + first).isin(wanted)]
            empty += (piece.index[_is_empty(piece)] + first).tolist()
    return empty


def pieces(path: str | Path, rows: int) -> Iterator[pd.DataFrame]:
    """A table by its own names, as pandas understands its cells: `rows` rows at a time, without the empty ones.

    The index numbers the rows, as of `read`.
    """
    with _reader(path, by_position=False, chunksize=rows) as (given, first):
        for piece in given:
            piece.index += first
            empty = _is_empty(piece)
            if empty.any():
                blank = [name for name in piece if piece.loc[empty, name].notna().any()]
                piece = piece[~empty].assign(**{name: _as_numbers(piece.loc[~empty, name]) for name in blank})
            yield piece


def _is_empty(table: pd.DataFrame) -> pd.Series:
    """Which rows hold nothing but blanks."""
    empty = _is_blank(table.iloc[:, 0])
    if empty.any():
        empty[empty] = table[empty].apply(_is_blank).all(axis=1)
    return empty


def _is_blank(column: pd.Series) -> pd.Series:
    return column.isna() if pd.api.types.is_numeric_dtype(column) else column.fillna("").astype(str).str.strip() == ""


def _as_numbers(column: pd.Series) -> pd.Series:
    """A column that blanks in an empty row made text."""
    try:
        return pd.to_numeric(column)
    except ValueError:
        return column


@contextmanager
def _reader(path: str | Path, by_position: bool, **options):
    """Yield pandas' reader of a table, and the number of the first row below its header."""
    separator = separator_of(path)
    top = header(path, separator)
    names = list(range(len(top.names))) if by_position else top.unique
    whole = {"encoding": "utf-8-sig", "index_col": False, "skip_blank_lines": False, "sep": separator, "names": names}
    # Types are found for a piece as a whole: pandas itself would piece it together (low_memory).
    whole |= {"header": top.row - 1, "iterator": True, "low_memory": False}
    with opened(path) as file, _strict(), pd.read_csv(file, **(whole | options)) as given:
        yield given, top.row + 1


@contextmanager
def _strict():
    """Make an error of pandas' warning that it leaves cells out."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            yield
        except pd.errors.ParserWarning as warning:
            raise ValueError(
                "a row has more cells than the header; a comma within a cell needs quotes around it"
            ) from warning
