"""A table whose features lie in one array, which steps change in place: a million cells are not held twice."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from phenorep import contracts
from phenorep.checksums import Damaged
from phenorep.errors import NotRun

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

    @classmethod
    def of(cls, table: pd.DataFrame) -> "Rows":
        """The rows of a table."""
        columns = contracts.feature_columns(table.columns)
        return cls(table.drop(columns=columns), columns, table[columns].to_numpy())

    @classmethod
    def read(cls, path: str | Path, dtype: type | None) -> "Rows":
        """The rows of a table of kind "embeddings", without a second copy of its features.

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
        metadata = contracts.read_table(path, "embeddings", [name for name in names if name not in set(columns)])
        try:
            with contracts.open_table(path) as file:
                stored = [file.schema_arrow.field(name).type.to_pandas_dtype() for name in columns]
                values = np.empty((len(columns), len(metadata)), dtype or np.result_type(*stored, np.float32))
                start = 0
                for group in range(file.num_row_groups):
                    stop = start + file.metadata.row_group(group).num_rows
                    step = max(1, _VALUES_AT_ONCE // max(1, stop - start))
                    for first in range(0, len(columns), step):
                        part = file.read_row_group(group, columns[first : first + step], use_threads=False)
                        for number, column in enumerate(part.columns, first):
                            values[number, start:stop] = column.to_numpy()
                    start = stop
        except (OSError, pa.ArrowException) as error:
            raise Damaged(path, "a table", error) from error
        return cls(metadata, columns, values.T)

    def __len__(self) -> int:
        return len(self.metadata)

    def frame(self, rows: slice = slice(None)) -> pd.DataFrame:
        """The table, or some of its rows; features are not copied, so it lasts until the next step."""
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
                write(self.frame(slice(start, start + _ROWS_PER_GROUP)))
