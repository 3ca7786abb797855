"""A table whose features lie in one array, which steps change in place: a million cells are not held twice."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from phenorep import constancy, contracts
from phenorep.checksums import Damaged
from phenorep.errors import NotRun
from phenorep.order import by_name

# Rows that are changed at once, values that are read at once: bounds the memory taken by what lies between.
ROWS_AT_ONCE = 16_384
_VALUES_AT_ONCE = 2**23
# Rows of a row group when written: tables below it are written as one.
_ROWS_PER_GROUP = 131_072


@dataclass
class Rows:
    """Metadata and features of N rows."""

    metadata: pd.DataFrame  # and all else that is no feature
    columns: list[str]  # names of the features
    values: np.ndarray  # (N, F); each feature's values lie together, as pandas keeps them
    floor: np.ndarray | None = None  # (F,) deviation at or below which a feature is rounding; None: nothing is carried on

    @classmethod
    def of(cls, table: pd.DataFrame) -> "Rows":
        """The rows of a table."""
        columns = contracts.feature_columns(table.columns)
        return cls(table.drop(columns=columns), columns, table[columns].to_numpy())

    @classmethod
    def read(cls, path: str | Path, dtype: type | None) -> "Rows":
        """The rows of a table of kind "embeddings", by plate, well, site and sample, without a second copy of its features.

        Parameters
        ----------
        dtype
            Of the features; None: as they are stored.

        Raises
        ------
        NotRun
            If it is a "not run" record.
        UserError
            If the file is damaged or lacks a column of its kind.
        """
        reason = contracts.not_run(path)
        if reason is not None:
            raise NotRun(reason)
        names = contracts.columns_of(path)
        contracts.check_table(names, "embeddings", path)
        columns = contracts.feature_columns(names)
        features = set(columns)
        metadata = contracts.read_table(path, "embeddings", [name for name in names if name not in features])
        metadata, place = _ordered(metadata)
        try:
            with contracts.open_table(path) as file:
                schema = file.schema_arrow  # made anew at each look
                stored = [schema.field(name).type.to_pandas_dtype() for name in columns]
                values = np.empty((len(columns), len(metadata)), dtype or np.result_type(*stored, np.float32))
                start = 0
                for group in range(file.num_row_groups):
                    stop = start + file.metadata.row_group(group).num_rows
                    rows = slice(start, stop) if place is None else place[start:stop]
                    step = max(1, _VALUES_AT_ONCE // max(1, stop - start))
                    for first in range(0, len(columns), step):
                        part = file.read_row_group(group, columns[first : first + step], use_threads=False)
                        for number, column in enumerate(part.columns, first):
                            values[number, rows] = column.to_numpy()
                    start = stop
        except (OSError, pa.ArrowException) as error:
            raise Damaged(path, "a table", error) from error
        return cls(metadata, columns, values.T)

    def __len__(self) -> int:
        return len(self.metadata)

    def entered(self) -> "Rows":
        """The rows as steps take them: with the floor of each feature, and without features that are the same in all rows.

        A block of which no feature varies stays, each feature at one value: a step says what it cannot do with it. The
        array of the features is used again.
        """
        constant, floor = constancy.constant(self.values)
        whole = Rows(self.metadata, self.columns, self.values, floor)
        kept, position = ~constant, {name: number for number, name in enumerate(self.columns)}
        for columns in contracts.feature_blocks(self.columns).values():
            numbers = [position[name] for name in columns]
            if constant[numbers].all():
                kept[numbers] = True
        return whole.only(kept).levelled(constant[kept])

    def only(self, kept: np.ndarray, floor: np.ndarray | None = None) -> "Rows":
        """The rows with those features alone that are `kept`, (F,) bool; their values move up in the same array.

        Parameters
        ----------
        floor
            (F,) of the features that are kept; None: the one that they have.
        """
        numbers, by_feature = np.flatnonzero(kept), self.values.T
        if floor is None and self.floor is not None:
            floor = self.floor[numbers]
        if len(numbers) < len(kept) and not by_feature.flags.writeable:
            by_feature = by_feature[numbers]
        elif len(numbers) < len(kept):
            for place, number in enumerate(numbers):
                by_feature[place] = by_feature[number]
        return Rows(self.metadata, [self.columns[number] for number in numbers], by_feature[: len(numbers)].T, floor)

    def levelled(self, constant: np.ndarray) -> "Rows":
        """The rows with features that are `constant`, (F,) bool, but for rounding, at exactly one value."""
        for number in np.flatnonzero(constant):
            if not self.values.flags.writeable:
                self.values = self.values.copy(order="F")
            value = np.float32(self.values[:, number].mean(dtype=np.float64)) if len(self) else 0.0
            self.values[:, number] = value if abs(value) > self.floor[number] else 0.0
        return self

    def frame(self, rows: slice = slice(None)) -> pd.DataFrame:
        """The table, or some of its rows, for a step, to which the floor goes along (see `phenorep.profiles.floor`).

        Features are not copied, so the table lasts until the next step.
        """
        table = self._table(rows)
        if self.floor is not None:
            table.attrs["floor"] = constancy.Floor(self.columns, self.floor)
        return table

    def _table(self, rows: slice) -> pd.DataFrame:
        metadata = self.metadata.iloc[rows]
        values = pd.DataFrame(self.values[rows], columns=self.columns, index=metadata.index, copy=False)
        return pd.concat([metadata, values], axis=1)

    def taken(self, chosen: np.ndarray) -> "Rows":
        """Some of the rows, (N,) bool."""
        values = self.values.T[:, chosen].T  # each feature's values lie together here too
        return replace(self, metadata=self.metadata[chosen].reset_index(drop=True), values=values)

    def room(self, count: int) -> np.ndarray:
        """An array for (N, count) new features: that of the old ones where they fit in."""
        if self.values.dtype == np.float64 and self.values.flags.writeable and count <= len(self.columns):
            return self.values[:, :count]
        return np.empty((count, len(self))).T

    def changed(self, step, config, fitted: dict, at_once: int | None = ROWS_AT_ONCE) -> "Rows":
        """What a step makes of the rows.

        Parameters
        ----------
        step
            The step's module; if it has ``BY_ROW = True`` it is given `at_once` rows at a time (None: all), and the old
            features are overwritten.
        """
        after = self._transformed(step, config, fitted, at_once)
        if self.floor is None:
            return after
        if hasattr(step, "carry"):
            after.floor = step.carry(config, fitted, self.floor, self.columns)
        else:
            after.floor = constancy.carried(self.floor, self.columns, after.columns, after.values)
        return after

    def _transformed(self, step, config, fitted: dict, at_once: int | None) -> "Rows":
        if not getattr(step, "BY_ROW", False):
            return Rows.of(step.transform(config, fitted, self.frame()))
        room, columns, at_once = None, [], at_once or max(1, len(self))
        for start in range(0, max(1, len(self)), at_once):
            rows = slice(start, start + at_once)
            part = Rows.of(step.transform(config, fitted, self.frame(rows)))
            if room is None:
                room, columns = self.room(len(part.columns)), part.columns
            room[rows] = part.values
        return Rows(self.metadata, columns, room)

    def write(self, path: str | Path, about: dict) -> None:
        """Write the rows as a table of kind "profiles"; where they are many, as several row groups."""
        with contracts.table_writer(path, "profiles", about) as write:
            for start in range(0, len(self), _ROWS_PER_GROUP):
                write(self._table(slice(start, start + _ROWS_PER_GROUP)))


def _ordered(metadata: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray | None]:
    """The rows in the order of their names, and the place (N,) that each had come to; None: they were in order.

    Sums of the same rows in another order differ in the last digit.
    """
    order = by_name(metadata)
    if (order == np.arange(len(order))).all():
        return metadata, None
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return metadata.iloc[order].reset_index(drop=True), place


def features(table: pd.DataFrame, columns: list[str] | None = None) -> np.ndarray:
    """The feature columns as (N, F) float64; not to be written to, they may be the table's own."""
    return table[contracts.feature_columns(table.columns) if columns is None else columns].to_numpy(dtype=np.float64)
