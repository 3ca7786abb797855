"""What rows and columns of a table of features are taken for: said alike when it is planned and when it is read."""

import pandas as pd

from phenorep import bookkeeping, column_kinds, contracts, notes
from phenorep.errors import UserError
from phenorep.feature_values import Columns
from phenorep.wording import listed

_FEW = 2  # features: a representation has more
SHOWN = 20  # names in a note; the facts have all
_REPEATS = range(2, 5)  # rows of a well, if each has as many, that are rather repeated measurements than cells
_TAKING = (
    "'features: [NAME, ...]' of the dataset takes some of them as features, also by patterns (NAME*), 'features: all' all."
)


def tell(source: str, table: pd.DataFrame, chosen: Columns, set_aside: list[str]) -> None:
    """Say what rows and columns are taken for.

    Parameters
    ----------
    source
        The file.
    table
        (N rows) what each row is of.
    chosen
        Its features, and what other columns hold.
    set_aside
        Columns that are left out as bookkeeping.

    Raises
    ------
    UserError
        If there is no feature.
    """
    if not chosen.lengths:
        raise UserError(_without_features(source, chosen, set_aside))
    _tell_rows(source, table, [*chosen.lengths, *chosen.others, *set_aside])
    _tell_columns(source, chosen, set_aside)


def log(source: str, table: pd.DataFrame, chosen: Columns) -> None:
    """Print what needs no answer, and therefore is in the job's log alone."""
    print(f"{len(table)} rows, which are {rows(table)}, on {table['Metadata_Plate'].nunique()} plates")
    if chosen.others:
        print(f"{source}: other columns that are no features ({len(chosen.others)}): {_by_kind(chosen.others)}")


def tell_few(source: str, kept: list[str], chosen: Columns) -> None:
    """Warn if so few features are kept that others are probably missing."""
    if len(kept) > _FEW:
        return
    number, features = ("one", "feature") if len(kept) == 1 else ("two", "features")
    others = f" Its other columns hold {_by_kind(chosen.others)}." if chosen.others else ""
    notes.warn(
        f"{source}: the study rests on the {number} {features} {listed(kept, SHOWN)}: is the rest of the table "
        f"missing?{others}"
    )


def rows(table: pd.DataFrame) -> str:
    """What the rows of a table are: wells, fields or cells."""
    place = [name for name in contracts.FIELD if name in table]
    return "cells" if table.duplicated(place).any() else "fields" if "Metadata_Site" in table else "wells"


def _without_features(source: str, chosen: Columns, set_aside: list[str]) -> str:
    if set_aside:
        return (
            f"{source}: there is no feature: its columns of numbers are bookkeeping by their names: "
            f"{listed(set_aside, SHOWN)}. {_TAKING}"
        )
    others = _by_kind(chosen.others) or "no other column"
    remedies = "".join(f" {text}" for text in dict.fromkeys(kind.remedy for kind in chosen.others.values()) if text)
    return (
        f"{source}: there is no feature: no column of numbers or of lists of numbers but Metadata_*, Label_*, Split_* and "
        f"those that 'datasets: rename:' names. It has {others}.{remedies}"
    )


def _tell_rows(source: str, table: pd.DataFrame, names: list[str]) -> None:
    """Say what rows are taken for, where nothing but their number says it."""
    kind = rows(table)
    sited = "Metadata_Site" in table and (table["Metadata_Site"] != "").any()
    if kind != "cells" or sited or any(map(bookkeeping.numbers_objects, [*names, *table])):
        return
    counts = table.groupby(["Metadata_Plate", "Metadata_Well"], sort=False).size()
    text = f"{source}: its {len(table)} rows are of {len(counts)} wells and are taken as cells"
    remedy = "If they are fields, name the column that numbers them in 'datasets: rename:', like {theirs: Metadata_Site}."
    if counts.nunique() == 1 and counts.iloc[0] in _REPEATS:
        notes.warn(f"{text}, though each well has {counts.iloc[0]}: are they fields or repeated measurements? {remedy}")
    else:
        notes.say(f"{text}. {remedy}")


def _tell_columns(source: str, chosen: Columns, set_aside: list[str]) -> None:
    """Say which columns are no features, and warn of those that look as if they were meant as such."""
    if set_aside:
        notes.say(
            f"{source}: bookkeeping by the column's name, and no features ({len(set_aside)}): "
            f"{listed(set_aside, SHOWN)}. {_TAKING}"
        )
    meant = {name: kind for name, kind in chosen.others.items() if kind.remedy and not bookkeeping.is_bookkeeping(name)}
    # Identifiers are often saved as text, features seldom.
    if sum(kind is column_kinds.AS_TEXT for kind in meant.values()) <= len(chosen.lengths):
        meant = {name: kind for name, kind in meant.items() if kind is not column_kinds.AS_TEXT}
    for remedy in dict.fromkeys(kind.remedy for kind in meant.values()):
        alike = {name: kind for name, kind in meant.items() if kind.remedy == remedy}
        notes.warn(f"{source}: no features, though they may be meant as such: {_by_kind(alike)}. {remedy}")


def _by_kind(others: dict[str, column_kinds.Kind]) -> str:
    """Names of columns by what they hold: ``text (a, b); dates (c)``."""
    by_kind: dict[str, list[str]] = {}
    for name, kind in others.items():
        by_kind.setdefault(kind.word, []).append(name)
    return "; ".join(f"{word}: {listed(names, SHOWN)}" for word, names in by_kind.items())
