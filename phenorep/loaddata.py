"""Read a user's tables as text: CSV, also compressed, or parquet, with the columns of CellProfiler's LoadData tables."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from phenorep import contracts, plugins
from phenorep.errors import UserError
from phenorep.fields import well_name

_KEPT = ("Metadata_", "Label_", "Split_", "FileName_", "PathName_")


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
    if not file.is_file():
        raise UserError(f"{path}: there is no such file. Change 'datasets: {key}:'; it starts at the working directory.")
    try:
        names = contracts.columns_of(file) if _is_parquet(file) else list(_read_csv(file, nrows=0).columns)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as a table ({error}); see 'datasets: {key}:'.") from error
    ours: dict[str, str] = {}
    for name in names:
        short = name.removeprefix("Image_")
        new = (rename or {}).get(name) or (short if short.startswith(_KEPT) else name)
        if new in ours.values():
            raise UserError(f"{path}: two of its columns would be '{new}', one is '{name}'. Change 'datasets: rename:'.")
        ours[name] = str(new)
    return ours


def read(path: str, key: str, rename: Mapping[str, str] | None = None, only: str | None = None) -> pd.DataFrame:
    """A table as text, under our column names; `only` is the one column to read."""
    ours = columns(path, key, rename)
    theirs = [name for name, new in ours.items() if only in (None, new)]
    if not theirs:
        raise _no_column(path, only, ours.values())
    file = Path(path)
    try:
        table = pd.read_parquet(file, columns=theirs) if _is_parquet(file) else _read_csv(file, usecols=theirs)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as a table ({error}); see 'datasets: {key}:'.") from error
    if table.empty:
        raise UserError(f"{path}: the table has no rows; see 'datasets: {key}:'.")
    return pd.DataFrame({ours[name]: _text(table[name]) for name in theirs})


def need(path: str, table: pd.DataFrame, wanted: Iterable[str]) -> None:
    """Raise `UserError` if a table lacks one of these columns."""
    for column in wanted:
        if column not in table:
            raise _no_column(path, column, table.columns)


def normalise_wells(table: pd.DataFrame, path: str) -> None:
    """Bring `Metadata_Well` into one form, in place: A01."""
    names = {text: well_name(text, f"{path}: Metadata_Well") for text in set(table["Metadata_Well"])}
    table["Metadata_Well"] = table["Metadata_Well"].map(names)


def _is_parquet(file: Path) -> bool:
    return file.suffix.lower() in (".parquet", ".pq")


def _read_csv(file: Path, **options) -> pd.DataFrame:
    separator = "\t" if any(suffix in (".tsv", ".txt") for suffix in file.suffixes) else ","
    # Text throughout: a plate 0012 stays 0012, and a compound called NA stays NA.
    return pd.read_csv(file, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig", **options)


def _text(column: pd.Series) -> pd.Series:
    """A column as text: missing is empty, and whole numbers (also those that gaps made fractions) have no point."""
    if pd.api.types.is_float_dtype(column):
        return column.map(
            lambda value: "" if pd.isna(value) else f"{value:.0f}" if value == round(value) else repr(float(value))
        )
    return column.astype("str").fillna("").str.strip()


def _no_column(path: str, column: str, known) -> UserError:
    hint = plugins.suggest(column, known)
    return UserError(
        f"{path}: there is no column '{column}'. {hint} Or name theirs: 'datasets: rename: {{theirs: {column}}}'."
    )
