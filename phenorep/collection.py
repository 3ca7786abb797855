"""What published image sets have in common: a part of them may be used, tables lie beside images, names tell sites."""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from phenorep.errors import UserError


def check_limit(limit: dict | None, known: tuple[str, ...]) -> None:
    """Raise `ValueError` unless a dataset's key `limit` is a number of 1 or more for some of the `known` things."""
    for key in limit or {}:
        if key not in known:
            raise ValueError(f"limit: unknown key '{key}'; known {'are' if len(known) > 1 else 'is'} {' and '.join(known)}")
        if not str(limit[key]).isdecimal() or int(limit[key]) < 1:
            raise ValueError(f"limit: {key} must be a whole number of at least 1, not {limit[key]!r}")


def at_most(limit: dict | None, key: str) -> int | None:
    """The limit of that name; None without one."""
    return int(limit[key]) if key in (limit or {}) else None  # it may be text, from --config


def first_fields(table: pd.DataFrame, by: list[str], count: int | None) -> pd.DataFrame:
    """At most `count` fields, from each treatment (the columns `by`) in turn: none has a second before each has its first.

    Controls come first in each turn: without them a plate cannot be compared with others. None takes all fields.
    """
    if count is None:
        return table
    table = table.sort_values(["Metadata_Site", "Metadata_Well"])
    turns = pd.DataFrame({"turn": table.groupby(by).cumcount(), "treated": table["Metadata_Control"] == ""})
    return table.loc[turns.sort_values(["turn", "treated"], kind="stable").index[:count]]


def table_in(root: Path, name: str, dataset: str) -> Path:
    """A published table in a folder, perhaps compressed.

    Raises
    ------
    UserError
        If it is not there.
    """
    for path in (root / name, root / f"{name}.gz"):
        if path.is_file():
            return path
    raise UserError(
        f"{root}: neither {name} nor {name}.gz is there. Put it there, or leave 'datasets: {dataset}: path:' out to "
        "download it."
    )


def unpacked(find: Callable[[Path, str], Path | None], own: str, resources: Path, archive: str, name: str) -> Path:
    """Folder of an archive's images: in the user's `own` folder if they lie there, else where the archive was unpacked.

    Parameters
    ----------
    find
        Called with a root and the archive: the folder of its images there, None without one.
    own
        Folder of the key `path`; may be empty.
    name
        The folder that the archive should hold, for the message.

    Raises
    ------
    UserError
        If there is none.
    """
    folder = find(Path(own), archive) if own else None
    folder = folder or find(resources / archive, archive)
    if folder is None:
        raise UserError(
            f"{resources / archive}: there is no folder {name} in it, expected from the archive. Remove it and run again."
        )
    return folder


def sites(table: pd.DataFrame, names: dict[str, str], wells: str, pattern: re.Pattern, path: Path) -> pd.Series:
    """Sites, from the file names; these also tell whether each column holds the channel and well that it should.

    Parameters
    ----------
    names
        {column of file names: the wavelength's number in them}.
    wells
        Column of wells.
    pattern
        Finds well, site and wavelength in a file's name.
    path
        The table, for messages.

    Raises
    ------
    UserError
        If names are of another well or wavelength than their row and column, or the columns are of different sites.
    """
    found = {}
    for column, number in names.items():
        parts = table[column].str.extract(pattern)
        wrong = (parts[0] != table[wells]) | (parts[2] != number)
        if wrong.any():
            raise UserError(
                f"{path}: {wrong.sum()} file names of {column} are not of their well and wavelength w{number}, the first is "
                f"{table.loc[wrong, column].iloc[0]!r}. Take the file as published."
            )
        found[column] = parts[1]
    first = next(iter(found))
    for column, own in found.items():
        if not own.equals(found[first]):
            raise UserError(f"{path}: {column} is of other sites than {first} in some rows. Take the file as published.")
    return found[first]
