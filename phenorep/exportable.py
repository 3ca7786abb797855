"""Tables of embeddings and profiles as they are exported: which columns are what, and what the rows are called."""

import re
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from phenorep import contracts, h5ad, levels
from phenorep.checksums import Damaged
from phenorep.errors import UserError

JOINT = "|"  # between the values of a set, of which AnnData's tables know none
_VALUES_AT_ONCE = 2**23  # that are read beside those of a row group


@dataclass(frozen=True)
class Exportable:
    """A table of embeddings or profiles that can be exported."""

    path: Path
    file: pq.ParquetFile
    about: dict
    features: list[str]

    @classmethod
    def open(cls, path: str | Path) -> "Exportable":
        """Open a table.

        Raises
        ------
        UserError
            If it is missing, no table of embeddings or profiles, or a record that a step did not run.
        """
        path = Path(path)
        if not path.is_file():
            raise UserError(f"{path}: there is no such file. Name a table of embeddings or profiles below results/.")
        if path.suffix != ".parquet":
            raise UserError(f"{path}: is no table of embeddings or profiles: those end in .parquet.")
        file, about = contracts.open_table(path), contracts.about(path)
        if reason := about.get("not_run"):
            raise UserError(f"{path}: holds nothing to export, since its step did not run: {reason}")
        features = contracts.feature_columns(file.schema_arrow.names)
        if not features or not file.metadata.num_rows:
            shown = ", ".join(file.schema_arrow.names[:8]) or "none"
            raise UserError(
                f"{path}: has no features to export ({file.metadata.num_rows} rows; its columns: {shown}, ...). Tables of "
                "embeddings and profiles have them: results/{dataset}/embeddings/... and results/{dataset}/profiles/..."
            )
        return cls(path, file, about, features)

    @contextmanager
    def reading(self):
        """Say that it is this file which is damaged, not the one that is written."""
        try:
            yield
        except (OSError, ValueError) as error:
            raise Damaged(self.path, "a table", error) from error

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.file.metadata.num_rows

    @property
    def dtype(self) -> np.dtype:
        """float64 if a feature is, otherwise float32."""
        schema = self.file.schema_arrow
        kinds = {schema.field(name).type.to_pandas_dtype() for name in self.features}
        return np.result_type(np.float32, *kinds)

    def column(self, name: str) -> pa.ChunkedArray:
        """One column; sets of values as text."""
        with self.reading():
            values = self.file.read([name]).column(0)
        if not is_list(values):
            return values
        return pa.chunked_array([pa.array([_joined(one) for one in values.to_pylist()], pa.string())])

    def described(self) -> list[str]:
        """Columns that are neither features nor predictions in numbers."""
        taken = {*self.features, *(name for names in self.predictions().values() for name in names)}
        return [name for name in self.file.schema_arrow.names if name not in taken]

    def predictions(self) -> dict[str, list[str]]:
        """Columns ``Prediction_{target}_{index}`` in numbers, by ``Prediction_{target}``."""
        found: dict[str, list[str]] = {}
        for field in self.file.schema_arrow:
            match = re.fullmatch(r"(Prediction_.+)_\d+", field.name)
            if match and (pa.types.is_floating(field.type) or pa.types.is_integer(field.type)):
                found.setdefault(match[1], []).append(field.name)
        return found

    def names(self) -> tuple[list[str], str]:
        """A name for each row, and the column that it is, or ``_index``: the sample, or what the rows were aggregated by."""
        columns = self.file.schema_arrow.names
        if "Sample" in columns:
            keys = ["Sample"]
        else:
            parts = self.about.get("level", "").split("_")
            keys = list(dict.fromkeys(key for part in parts for key in levels.KEYS.get(part, ())))
        if not keys or not set(keys) <= set(columns):
            return [str(number) for number in range(self.rows)], "_index"
        texts = [self.column(key).cast(pa.string()).fill_null("") for key in keys]
        names = texts[0] if len(texts) == 1 else pc.binary_join_element_wise(*texts, "/")
        found = names.to_pylist()
        own = h5ad.unique(found)
        return own, keys[0] if keys == ["Sample"] and own == found else "_index"

    def fill(self, dataset: h5py.Dataset, columns: Sequence[str], places: np.ndarray | None = None) -> None:
        """Copy columns of numbers into an array (rows, columns), each row to its place; no more than a row group is held."""
        start = 0
        for group in range(self.file.num_row_groups):
            block = np.empty((self.file.metadata.row_group(group).num_rows, len(columns)), dataset.dtype)
            step = max(1, _VALUES_AT_ONCE // max(1, len(block)))
            for first in range(0, len(columns), step):
                with self.reading():
                    part = self.file.read_row_group(group, list(columns[first : first + step]), use_threads=False)
                for number, values in enumerate(part.columns, first):
                    block[:, number] = values.to_numpy()
            chosen = slice(start, start + len(block))
            if places is None:
                dataset[chosen] = block
            else:
                _put(dataset, block, places[chosen])
            start = chosen.stop


def is_list(column: pa.ChunkedArray | pa.Field) -> bool:
    """Whether a column holds sets of values, as aggregation leaves them."""
    return pa.types.is_list(column.type) or pa.types.is_large_list(column.type)


def _put(dataset: h5py.Dataset, block: np.ndarray, places: np.ndarray) -> None:
    """Write rows to their places, those that follow one another at once: HDF5 is slow with single rows."""
    order = np.argsort(places)
    for part in np.split(order, np.flatnonzero(np.diff(places[order]) != 1) + 1):
        first = places[part[0]]
        dataset[first : first + len(part)] = block[part]


def _joined(values: list | None) -> str | None:
    if values is None:
        return None
    return JOINT.join(f"{value:.10g}" if isinstance(value, float) else str(value) for value in values if value is not None)
