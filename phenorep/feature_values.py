"""Read the features of a table that somebody else wrote: columns of numbers, and columns of lists of numbers.

Embeddings are often saved as one column of lists, so a list of numbers in each row is as many features. Whatever else a
table holds is told apart, so that the log can say what was left out: a column that looks like numbers is probably meant.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from phenorep import column_kinds, loaddata, notes, tablefiles
from phenorep.column_kinds import Kind
from phenorep.errors import UserError

_CELLS_AT_ONCE = 16_000_000  # 128 MB as float64
# A list of more is an image, not what an encoder makes of it: the largest published embeddings have some thousands.
LONGEST = 65_536
_LISTS_LOOKED_AT, _TEXTS_LOOKED_AT = 16, 1000  # rows from which the kind of a column of parquet is told
_EXACT = 2**53  # a float64 holds all whole numbers up to this one


@dataclass(frozen=True)
class Columns:
    """The columns of a table that may hold features, by its own names and in its order.

    Attributes
    ----------
    lengths
        Of each column that holds features, how many numbers its lists have; None: it holds plain numbers.
    others
        What each of the other columns holds, see `column_kinds`.
    """

    lengths: dict[str, int | None]
    others: dict[str, Kind]

    def names(self) -> list[str]:
        """A name for each feature; the third of the lists in a column ``emb`` is ``emb[2]``."""
        names: list[str] = []
        for name, length in self.lengths.items():
            names += [name] if length is None else [f"{name}[{place}]" for place in range(length)]
        return names

    def without(self, left_out: list[str]) -> "Columns":
        """The same but for some columns of features."""
        kept = {name: length for name, length in self.lengths.items() if name not in left_out}
        return Columns(kept, self.others)


def columns(path: str, names: list[str]) -> Columns:
    """Tell columns of numbers and of lists of numbers from others; empty cells are neither.

    Raises
    ------
    UserError
        If the table cannot be read.
    """
    tell = _told_of_parquet if loaddata.is_parquet(Path(path)) else _told_of_text
    try:
        with tablefiles.decoding():
            told = tell(path, names) if names else {}
    except (OSError, ValueError) as error:
        raise loaddata.unreadable(path, "table", error) from error
    others = {name: kind for name, kind in told.items() if isinstance(kind, Kind)}
    return Columns({name: length for name, length in told.items() if name not in others}, others)


def values(path: str, chosen: Columns) -> Iterator[np.ndarray]:
    """The features of all rows in order: pieces (n, F), NaN where a cell or an element of a list is empty.

    They are of type float32 if all columns of a parquet table are, otherwise float64.

    Raises
    ------
    UserError
        If the table cannot be read, or a row has no list, or one of another length than the first.
    """
    pieces = _pieces_of_parquet if loaddata.is_parquet(Path(path)) else _pieces_of_text
    try:
        with tablefiles.decoding():
            yield from pieces(path, chosen)
    except (OSError, ValueError) as error:
        raise loaddata.unreadable(path, "table", error) from error


def check_lists(path: str, chosen: Columns) -> None:
    """Raise `UserError` if lists of a column are of several lengths or missing, without a look at what they hold."""
    long = [name for name, length in chosen.lengths.items() if length is not None]
    if not long:
        return
    try:
        with tablefiles.decoding(), pq.ParquetFile(path) as file:
            start = 0
            for batch in file.iter_batches(batch_size=_rows_at_once(len(chosen.names())), columns=long):
                for name in long:
                    _check_lengths(path, name, _stored(batch.column(name)), chosen.lengths[name], start)
                start += batch.num_rows
    except (OSError, ValueError) as error:
        raise loaddata.unreadable(path, "table", error) from error


def numbers_rows(path: str, name: str) -> bool:
    """Whether a column counts the rows, from 0 or from 1."""
    numbers = np.concatenate([piece[:, 0] for piece in values(path, Columns({name: None}, {}))])
    return len(numbers) > 1 and numbers[0] in (0, 1) and bool((np.diff(numbers) == 1).all())


def _rows_at_once(count: int) -> int:
    return max(1, _CELLS_AT_ONCE // max(1, count))


# -- tables of text ----------------------------------------------------------------------------------------------------


def _told_of_text(path: str, names: list[str]) -> dict[str, Kind | None]:
    """None for each column that holds numbers and nothing else, for others what they hold."""
    told: dict[str, Kind | None] = dict.fromkeys(names)
    numbers: set[str] = set()  # columns of which a number was seen
    for piece in _read(path, names):
        for name in [name for name in names if told[name] is None]:
            # True and False are an answer, no measurement.
            if is_bool_dtype(piece[name]):
                told[name] = column_kinds.TRUTH
            elif not is_numeric_dtype(piece[name]):
                told[name] = column_kinds.of_text(piece[name], name in numbers)
            elif name not in numbers and piece[name].notna().any():
                numbers.add(name)
    return told


def _pieces_of_text(path: str, chosen: Columns) -> Iterator[np.ndarray]:
    names = list(chosen.lengths)
    for piece in _read(path, names):
        for name in names:
            if piece[name].dtype.kind in "iu":
                _say_rounded(path, name, piece[name].min(), piece[name].max())
        yield piece[names].to_numpy(np.float64)


def _read(path: str, names: list[str]) -> Iterator[pd.DataFrame]:
    # Types are found anew for each piece, so a piece is never pieced together by pandas itself (low_memory). All columns are
    # read, or a row that has too many cells would not be noticed.
    for piece in tablefiles.pieces(path, _rows_at_once(len(names))):
        yield piece[names]


# -- parquet -----------------------------------------------------------------------------------------------------------


def _told_of_parquet(path: str, names: list[str]) -> dict[str, Kind | int | None]:
    """The same, and for each column that holds lists of numbers the length of the first."""
    told: dict[str, Kind | int | None] = {}
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow  # made anew at each look
        for name in names:
            kind = _stored_type(schema.field(name).type)
            told[name] = column_kinds.of_type(kind)
            if told[name] is None and column_kinds.is_list(kind):
                told[name] = _length(_first_rows(file, name, _LISTS_LOOKED_AT))
            elif told[name] is None and not column_kinds.is_number(kind):
                cells = _first_rows(file, name, _TEXTS_LOOKED_AT).to_pandas()
                # Rows are numbered as if a header were row 1, as `loaddata.read` does.
                told[name] = column_kinds.of_text(cells.set_axis(cells.index + 2))
    return told


def _first_rows(file: pq.ParquetFile, name: str, count: int) -> pa.Array:
    batch = next(file.iter_batches(batch_size=count, columns=[name]), None)
    return pa.array([]) if batch is None else _stored(batch.column(name))


def _length(lists: pa.Array) -> Kind | int:
    some = lists.drop_null()
    if not len(some):
        return Kind(f"lists, but none in its first {len(lists)} rows", "Take out the rows without.", refused=True)
    length = len(some[0])
    if not 0 < length <= LONGEST:
        return Kind(f"lists of {length} numbers", f"A list must have 1 to {LONGEST}: is it an image?", refused=True)
    return length


def _pieces_of_parquet(path: str, chosen: Columns) -> Iterator[np.ndarray]:
    count, start = len(chosen.names()), 0
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        types = [_stored_type(schema.field(name).type) for name in chosen.lengths]
        types = [kind.value_type if column_kinds.is_list(kind) else kind for kind in types]
        kind = np.float32 if all(each in (pa.float32(), pa.float16()) for each in types) else np.float64
        for batch in file.iter_batches(batch_size=_rows_at_once(count), columns=list(chosen.lengths)):
            yield _matrix(path, batch, chosen, start, kind)
            start += batch.num_rows


def _matrix(path: str, batch: pa.RecordBatch, chosen: Columns, start: int, kind: type) -> np.ndarray:
    """The features (n, F) of some rows, of which `start` are before them."""
    n, parts = batch.num_rows, []
    for name, length in chosen.lengths.items():
        column = _stored(batch.column(name))
        if length is not None:
            column = _flat(path, name, column, length, start)
        parts.append(_numbers(path, name, column).reshape(n, length or 1))
    if len(parts) == 1:
        return parts[0].astype(kind, copy=False)
    # Column by column, as they come: to fill rows of many columns takes twice as long.
    matrix = np.empty((sum(part.shape[1] for part in parts), n), kind)
    return np.concatenate([part.T for part in parts], out=matrix).T


def _flat(path: str, name: str, lists: pa.Array, length: int, start: int) -> pa.Array:
    """All numbers of lists that must be of one length."""
    _check_lengths(path, name, lists, length, start)
    return lists.flatten()


def _check_lengths(path: str, name: str, lists: pa.Array, length: int, start: int) -> None:
    lengths = pc.fill_null(pc.list_value_length(lists), -1).to_numpy(zero_copy_only=False)
    if len(wrong := np.flatnonzero(lengths != length)):
        row, other = start + int(wrong[0]) + 2, int(lengths[wrong[0]])
        what = "no list" if other < 0 else f"a list of {other} numbers"
        raise UserError(
            f"{path}: row {row} has {what} in column '{name}', where the first has {length}: they would be other features. "
            f"Give all rows lists of one length, or take such rows out; if the column is no feature, name it in "
            f"'datasets: rename:', like {{{name}: Metadata_{name}}}."
        )


def _numbers(path: str, name: str, column: pa.Array) -> np.ndarray:
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    if pa.types.is_integer(column.type) and column.type.bit_width == 64 and column.null_count < len(column):
        ends = pc.min_max(column).as_py()
        _say_rounded(path, name, ends["min"], ends["max"])
    return column.to_numpy(zero_copy_only=False)


def _stored(column: pa.Array) -> pa.Array:
    """A column without what others made of its type: tensors of one shape are lists."""
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    return column.dictionary_decode() if isinstance(column, pa.DictionaryArray) else column


def _stored_type(kind: pa.DataType) -> pa.DataType:
    kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _say_rounded(path: str, name: str, smallest: int, largest: int) -> None:
    if max(-int(smallest), int(largest)) > _EXACT:
        notes.warn(
            f"{path}: column '{name}' holds whole numbers above 2^53, which are rounded as features: are they identifiers? "
            f"Then name it in 'datasets: rename:', like {{{name}: Metadata_{name}}}."
        )
