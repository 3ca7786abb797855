"""Open a table of text that somebody else wrote: it is read as it stands, or refused, and never fills the memory by a trick.

A row with more cells than the header names is refused: pandas would take its first cells for names of rows, or leave the
last ones out, and everything would stand one column further on.
"""

import bz2
import csv
import gzip
import io
import lzma
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from phenorep.errors import UserError

_OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_UNREAD = (".zst", ".tar", ".tgz", ".7z", ".rar", ".lz4", ".z")
# A compressed table may become this large in any case, and beyond that so many times as large: text repeats, but not more.
FREE, RATIO = 2**28, 200


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


def header(path: str | Path, separator: str) -> list[str]:
    """Names of a table's columns, as `pandas.read_csv` has them, but that of two of one name both have it.

    Raises
    ------
    OSError, ValueError
        If it cannot be read.
    """
    with opened(path) as file:
        rows = csv.reader(io.TextIOWrapper(file, "utf-8-sig", newline=""), delimiter=separator)
        names = next((row for row in rows if row), [])
    if not names:
        raise ValueError("there is nothing in it")
    return [name or f"Unnamed: {number}" for number, name in enumerate(names)]


def read(path: str | Path, **options) -> pd.DataFrame:
    """What `pandas.read_csv` makes of a table, which must have no row of more cells than the header.

    Raises
    ------
    OSError, ValueError
        If it cannot be read, or has such a row (which is not noticed with `usecols`).
    """
    with opened(path) as file, _strict():
        return pd.read_csv(file, **_whole(options))


def pieces(path: str | Path, **options) -> Iterator[pd.DataFrame]:
    """The same, piece by piece: `chunksize` rows."""
    with opened(path) as file, _strict(), pd.read_csv(file, **_whole(options)) as found:
        yield from found


def _whole(options: dict) -> dict:
    return {"encoding": "utf-8-sig", "index_col": False, **options}


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
