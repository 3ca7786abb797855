"""Contracts of the files that pass between steps: checked when they are written and when they are read.

Tables are parquet files. Columns are named in the Cytomining convention: ``Metadata_*`` carry the experiment, ``Label_*``
are targets, ``Split_*`` are splits, ``{block}_{index:04d}`` are features (a block is the output of one encoder). Facts about
a whole table stand in the file's own metadata (`about`); there a file of zero rows also says why a step did not run.

Files carry checksums of their own, since disks and copies damage what lies on them: pages of a table and its footer, the
plain facts of a JSON file, a table of scores by what stands in its details. A file without them is taken as it is.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from phenorep import checksums
from phenorep.checksums import Damaged
from phenorep.errors import UserError
from phenorep.writing import replacing

# Columns that identify rows; each kind of table must have them. Plates, wells and sites are text.
FIELD = ("Metadata_Plate", "Metadata_Well", "Metadata_Site")
REQUIRED = {
    "fields": (*FIELD, "Problem"),
    "nuclei": (*FIELD, "Nucleus", "Location_Center_X", "Location_Center_Y", "AreaShape_Area", "Touches_Border"),
    "measurements": (*FIELD, "Field", "Nucleus"),
    "field_quality": (*FIELD, "Problem", "Count_Nuclei"),
    "samples": (*FIELD, "Sample"),
    "embeddings": (*FIELD, "Sample"),
    "abnormality": (*FIELD, "Sample", "abnormality"),
    "profiles": (),
    "details": (),
}
SCORE_COLUMNS = (
    *("dataset", "samples", "method", "trained_on", "seed", "epoch", "profile", "evaluation", "subset", "settings"),
    *("control", "leak", "unit", "validity", "metric", "value", "ci_low", "ci_high", "n", "units", "chance"),
)
# Columns of scores that hold text; the others hold numbers.
SCORE_TEXT = SCORE_COLUMNS[: SCORE_COLUMNS.index("metric") + 1]
TRAINING_COLUMNS = ("epoch", "loss", "learning_rate", "images_per_second", "waiting_share", "peak_memory_mb")
RESERVED = ("Metadata_", "Label_", "Split_", "Prediction_", "FileName_", "PathName_", "FileSize_", "FileTime_")

_FEATURE = re.compile(r"^(?P<block>.+)_\d{4,}$")
_ABOUT = b"phenorep"
# What pyarrow, and what reads its text, raise on a damaged file.
_DAMAGE = (OSError, ValueError, KeyError, TypeError, pa.ArrowException)


def feature_columns(columns: Iterable[str]) -> list[str]:
    """Names of the feature columns among `columns`, in their order."""
    return [name for name in columns if not name.startswith(RESERVED) and _FEATURE.match(name)]


def feature_blocks(columns: Iterable[str]) -> dict[str, list[str]]:
    """Feature columns by block: {block: its columns in order}."""
    blocks: dict[str, list[str]] = {}
    for name in feature_columns(columns):
        blocks.setdefault(_FEATURE.match(name)["block"], []).append(name)
    return blocks


def feature_names(block: str, count: int) -> list[str]:
    """Column names of a block of `count` features."""
    return [f"{block}_{index:04d}" for index in range(count)]


def channels_of(columns: Iterable[str]) -> list[str]:
    """Channel names of a fields table, in the table's order."""
    return [name.removeprefix("FileName_") for name in columns if name.startswith("FileName_")]


def check_table(columns: Iterable[str], kind: str, path: str | Path) -> None:
    """Raise `UserError` if a table of the given kind lacks required columns or has a column twice."""
    columns = list(columns)
    missing = [name for name in REQUIRED[kind] if name not in columns]
    if missing:
        raise UserError(f"{path}: a {kind} table needs the column(s) {', '.join(missing)}; it has {', '.join(columns)}.")
    twice = sorted(name for name, count in Counter(columns).items() if count > 1)
    if twice:
        raise UserError(f"{path}: column(s) {', '.join(twice)} stand in the table twice.")


def check_features(table: pd.DataFrame, path: str | Path) -> None:
    """Raise `ValueError` if a feature is not a finite number: NaN is never passed on in silence."""
    columns = feature_columns(table.columns)
    if columns:
        bad = ~np.isfinite(table[columns].to_numpy(dtype=np.float64)).all(axis=0)
        if bad.any():
            names = [name for name, is_bad in zip(columns, bad, strict=True) if is_bad]
            raise ValueError(f"{path}: {len(names)} feature column(s) hold NaN or infinity, the first is {names[0]}.")


def write_table(table: pd.DataFrame, path: str | Path, kind: str, about: dict | None = None) -> None:
    """Write a table of the given kind as one row group, whole or not at all.

    Parameters
    ----------
    table
        One row per field, nucleus, sample, ... with the columns that `REQUIRED` names for `kind`.
    about
        Facts about the whole table, kept as JSON in the file's metadata.
    """
    with table_writer(path, kind, about) as write:
        write(table)


@contextmanager
def table_writer(path: str | Path, kind: str, about: dict | None = None):
    """Yield a function that appends one table as one row group; at least one table must be written."""
    writer, rows = None, 0

    with replacing(path) as temporary:

        def write(table: pd.DataFrame) -> None:
            nonlocal writer, rows
            check_table(table.columns, kind, path)
            check_features(table, path)
            arrow = pa.Table.from_pandas(table, preserve_index=False)
            if writer is None:
                metadata = {**(arrow.schema.metadata or {}), _ABOUT: json.dumps(about or {}, sort_keys=True).encode()}
                writer = pq.ParquetWriter(temporary, arrow.schema.with_metadata(metadata), write_page_checksum=True)
            writer.write_table(arrow.cast(writer.schema.with_metadata(arrow.schema.metadata)))
            rows += len(arrow)

        try:
            yield write
            if writer is not None:
                check = checksums.of_footer(writer.schema, writer.schema.metadata, rows)
                writer.add_key_value_metadata({checksums.FOOTER: check})
        finally:
            if writer is not None:
                writer.close()


def open_table(path: str | Path) -> pq.ParquetFile:
    """A table, opened to be read in parts; its footer is checked now, its pages when they are read.

    Raises
    ------
    Damaged
        If the file is missing, damaged or no table.
    """
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        stated = _stated(file)
        rows = sum(file.metadata.row_group(number).num_rows for number in range(file.num_row_groups))
        if checksums.FOOTER in stated:
            # Names and facts stand there twice: a reader may take either.
            schema = file.schema_arrow
            columns = set(schema.names)  # each look at `names` makes a list of thousands
            leaves = [file.schema.column(number).path for number in range(len(file.schema.names))]
            names = list(dict.fromkeys(leaf if leaf in columns else leaf.split(".")[0] for leaf in leaves))
            found = {checksums.of_footer(schema, metadata, rows) for metadata in (stated, schema.metadata)}
            if found != {stated[checksums.FOOTER]} or names != schema.names:
                raise ValueError("its footer is not what was written")
        return file
    except _DAMAGE as error:
        raise Damaged(path, "a table", error) from error


def _stated(file: pq.ParquetFile) -> dict[bytes, bytes]:
    """What stands in a table's own metadata."""
    return file.metadata.metadata or {}


def read_table(path: str | Path, kind: str, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a table and check it; `columns` limits what is loaded.

    Raises
    ------
    UserError
        If the file is missing, damaged or lacks a column of its kind; the message says what to remove.
    """
    with open_table(path) as file:
        table, ran = _read(file, path, columns), "not_run" not in _facts(file, path)
    if ran and columns is None:
        check_table(table.columns, kind, path)
    return table


def _read(file: pq.ParquetFile, path: str | Path, columns: list[str] | None) -> pd.DataFrame:
    """All rows of an opened table; `columns` limits what is loaded, and says in which order it comes."""
    try:
        if columns is None:
            return file.read().to_pandas()
        missing = set(columns) - set(file.schema_arrow.names)
        if missing:  # pyarrow would pass over them
            raise ValueError(f"it has no column {min(missing)}")
        return file.read(columns=columns).select(columns).to_pandas()
    except _DAMAGE as error:
        raise Damaged(path, "a table", error) from error


def row_groups(path: str | Path, columns: list[str] | None = None) -> Iterator[pd.DataFrame]:
    """The row groups of a table, one after another: plates, of embeddings. `columns` limits what is loaded."""
    with open_table(path) as file:
        for group in range(file.num_row_groups):
            yield row_group(file, group, path, columns)


def row_group(file: pq.ParquetFile, group: int, path: str | Path, columns: list[str] | None = None) -> pd.DataFrame:
    """One row group of a table that `open_table` has opened; `columns` limits what is loaded."""
    try:
        return file.read_row_group(group, columns=columns).to_pandas()
    except _DAMAGE as error:
        raise Damaged(path, "a table", error) from error


def read_rows(path: str | Path, kind: str, rows: np.ndarray) -> pd.DataFrame:
    """Some rows of a table, by their numbers in ascending order; no more than a row group is held beside them."""
    check_table(columns_of(path), kind, path)
    found, start = [], 0
    for part in row_groups(path):
        found.append(part.iloc[rows[(rows >= start) & (rows < start + len(part))] - start])
        start += len(part)
    return pd.concat(found, ignore_index=True)


def columns_of(path: str | Path) -> list[str]:
    """Column names of a table, without reading its rows."""
    with open_table(path) as file:
        return file.schema_arrow.names


def about(path: str | Path) -> dict:
    """The facts that were written beside a table's rows."""
    with open_table(path) as file:
        return _facts(file, path)


def _facts(file: pq.ParquetFile, path: str | Path) -> dict:
    """What `about` gives, of a table that is open."""
    try:
        return json.loads(_stated(file).get(_ABOUT, b"{}"))
    except ValueError as error:
        raise Damaged(path, "a table", error) from error


def write_not_run(path: str | Path, reason: str) -> None:
    """Write a record that the step which makes this table did not run: a valid table of zero rows."""
    schema = pa.schema([], metadata={_ABOUT: json.dumps({"not_run": reason}).encode()})
    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema, write_page_checksum=True) as writer:
        writer.write_table(schema.empty_table())
        writer.add_key_value_metadata({checksums.FOOTER: checksums.of_footer(schema, schema.metadata, 0)})


def not_run(path: str | Path) -> str | None:
    """The reason why the step that wrote this table did not run; None if it did."""
    return about(path).get("not_run")


def write_json(value: dict, path: str | Path) -> None:
    """Write plain values as JSON; equal values give equal files."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def write_facts(facts: dict, path: str | Path) -> None:
    """Write plain values as JSON with a checksum, for `read_facts`."""
    write_json({**facts, "crc32": checksums.of_facts(facts)}, path)


def read_facts(path: str | Path) -> dict:
    """Read what `write_facts` wrote; `Damaged` if it is not that."""
    try:
        facts = json.loads(Path(path).read_text())
        stated = facts.pop("crc32", None)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise Damaged(path, "facts", error) from error
    if stated not in (None, checksums.of_facts(facts)):
        raise Damaged(path, "facts", "they are not what was written")
    return facts


def write_csv(table: pd.DataFrame, path: str | Path) -> None:
    """Write a CSV with enough digits to compare, few enough not to show rounding of the last bit."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.8g", lineterminator="\n")


def write_scores(scores: pd.DataFrame, path: str | Path) -> None:
    """Write tidy scores; columns and finite values are checked."""
    if list(scores.columns) != list(SCORE_COLUMNS):
        raise ValueError(f"{path}: scores need exactly the columns {SCORE_COLUMNS}, got {tuple(scores.columns)}.")
    if not np.isfinite(scores["value"].to_numpy(dtype=float)).all():
        raise ValueError(f"{path}: a score is NaN or infinite; leave the row out and say why in the details.")
    write_csv(scores, path)


def read_scores(path: str | Path) -> pd.DataFrame:
    """Read tidy scores; empty cells of text columns stay empty text.

    Raises
    ------
    Damaged
        If it is no table of scores, or not a whole one.
    """
    text = dict.fromkeys(SCORE_TEXT, str)
    try:
        if not Path(path).read_bytes().endswith(b"\n"):
            raise ValueError("it is empty or cut off")
        numbers = {name: [""] for name in SCORE_COLUMNS if name not in text}
        table = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=numbers)
        if list(table.columns) != list(SCORE_COLUMNS):
            raise ValueError(f"it has the columns {', '.join(map(str, table.columns))}")
        if not np.isfinite(table["value"].to_numpy(dtype=float)).all():
            raise ValueError("a score is no number")
    except (OSError, ValueError) as error:
        raise Damaged(path, "a table of scores", error) from error
    return table


def scores_check(path: str | Path) -> dict[str, str]:
    """Checksum of a table of scores, to stand among the facts of its details."""
    return {"scores_crc32": checksums.of_bytes(Path(path).read_bytes())}


def check_scores(path: str | Path, details: str | Path) -> None:
    """Raise `Damaged` unless a table of scores is the one beside which its details were written.

    Details that state no checksum are of scores that did not run, of which there is none.
    """
    facts = about(details)
    if "not_run" in facts:
        if len(read_scores(path)):
            raise Damaged(path, "a table of scores", f"it has rows, but {details} says that the evaluation did not run")
        return
    stated = facts.get("scores_crc32")
    if stated is not None and {"scores_crc32": stated} != scores_check(path):
        raise Damaged(path, "a table of scores", "it is not what was written")
