"""The rows of one well in a user's table: fields, time points or planes. A field is one image per channel."""

import re

import pandas as pd

from phenorep import notes
from phenorep.errors import UserError
from phenorep.fields import check_name
from phenorep.microscopes import listed
from phenorep.order import natural

SITE, WELL = "Metadata_Site", ["Metadata_Plate", "Metadata_Well"]
# Columns that microscopes and CellProfiler call so, behind Metadata_, in small letters and without "_".
_SITES = (
    "fieldid",
    "field",
    "fieldindex",
    "fieldnumber",
    "fieldofview",
    "fov",
    "siteid",
    "sitenumber",
    "position",
    "series",
)
_KINDS = {
    "time": ("time point", ("timepoint", "timepointid", "time", "timeid", "timeindex", "t", "frame")),
    "plane": ("plane", ("plane", "planeid", "z", "zindex", "zplane", "zslice", "slice")),
}


def candidates(columns: list[str], names: tuple[str, ...] = _SITES) -> list[str]:
    """Columns that may say which field a row is, or what else `names` tell, the likeliest first."""
    plain = {re.sub("[_ ]", "", name.removeprefix("Metadata_")).lower(): name for name in columns if "Metadata_" in name}
    return [plain[name] for name in names if name in plain]


def numbered(
    table: pd.DataFrame, channels: list[str], path: str, time: int | str | None, plane: int | str | None
) -> pd.DataFrame:
    """The rows of a table at one time point and plane, with `Metadata_Site`.

    Parameters
    ----------
    table
        Text columns; its index numbers the rows of the file.
    channels
        Those that are used.
    path
        The file, for messages.
    time, plane
        Which are used; None: there is one in each field.

    Raises
    ------
    UserError
        If a field has several time points or planes and none is chosen, an image lies within a file of several, or rows
        cannot be told from each other.
    """
    _check_frames(table, channels, path)
    for key, wanted in (("time", time), ("plane", plane)):
        table = _chosen(table, key, wanted, path)
    site = SITE if SITE in table else _site(table)
    group = [*WELL, *([site] if site else [])]
    for key, wanted in (("time", time), ("plane", plane)):
        if wanted is None:
            _check_single(table, group, key, path)
    if site is None:
        if table.duplicated(WELL).any():
            notes.say(
                f"{path}: there is no column {SITE}: the fields of a well are numbered in the order of their images' names. "
                f"Another column can tell them: 'datasets: rename: {{theirs: {SITE}}}'."
            )
        return table.assign(**{SITE: _counted(table, channels)})
    if site != SITE:
        notes.say(f"{path}: there is no column {SITE}: {site} is taken for it, as it tells the rows of a well apart.")
    for row, name in table[site].drop_duplicates().items():
        if name:  # a row may lack its site
            check_name(name, "site", f"{path}: row {row}: {site}")
    twice = table[table.duplicated(group, keep=False) & (table[site] != "")]
    if len(twice):
        plate, well, name = twice.iloc[0][group]
        rows = twice.index[(twice[group] == twice.iloc[0][group]).all(axis=1)]
        raise UserError(
            f"{path}: rows {listed(rows.tolist())} are all of plate {plate}, well {well}, {site} {name}. Number the fields "
            f"of a well in {SITE}, or keep one row of each."
        )
    return table.assign(**{SITE: table[site]})


def _check_frames(table: pd.DataFrame, channels: list[str], path: str) -> None:
    """Raise `UserError` if a table names another image within a file than the first."""
    for kind in ("Frame", "Series"):
        for column in (name for c in channels for name in (f"{kind}_{c}", f"Image_{kind}_{c}") if name in table):
            number = pd.to_numeric(table[column].replace("", "0"), errors="coerce")
            if (number != 0).any():
                row = table.index[number != 0][0]
                raise UserError(
                    f"{path}: row {row}: {column} is {table.loc[row, column]!r}: an image within a file of several. Of a "
                    "file one image is read, the first (0): save each image as a file of its own."
                )


def _chosen(table: pd.DataFrame, key: str, wanted: int | str | None, path: str) -> pd.DataFrame:
    """The rows at the chosen time point or plane."""
    if wanted is None:
        return table
    what, names = _KINDS[key]
    columns = candidates(list(table), names)
    if not columns:
        shown = ", ".join(name for name in table if name.startswith("Metadata_"))
        raise UserError(f"{path}: {key}: there is no column of {what}s, such as Metadata_{key.title()}; there are {shown}.")
    values = table[_varying(table, columns) or columns[0]]
    fits = values.map({text: _equal(text, wanted) for text in set(values)}).astype(bool)
    for plate in dict.fromkeys(table["Metadata_Plate"]):
        own = table["Metadata_Plate"] == plate
        if not (fits & own).any():
            there = listed(sorted(set(values[own]), key=natural))
            raise UserError(
                f"{path}: {key}: plate {plate} has no {what} {wanted}; it has {there} in {values.name}. Choose another one, "
                "or leave the plate out by naming the others in 'plates:'."
            )
    return table[fits]


def _equal(text: str, wanted: int | str) -> bool:
    try:
        return float(text) == float(wanted)
    except ValueError:
        return text == str(wanted)


def _varying(table: pd.DataFrame, columns: list[str], group: list[str] | None = None) -> str | None:
    """The first column that has several values in one well, or in one of another group of rows."""
    groups = table.groupby(group or WELL, sort=False)
    return next((name for name in columns if (groups[name].nunique() > 1).any()), None)


def _site(table: pd.DataFrame) -> str | None:
    """The column that is taken for the site: it tells rows of a well apart, all of them if there is such a one."""
    columns = [name for name in candidates(list(table)) if _varying(table, [name])]
    whole = [name for name in columns if not table.duplicated([*WELL, name]).any()]
    return next(iter([*whole, *columns]), None)


def _check_single(table: pd.DataFrame, group: list[str], key: str, path: str) -> None:
    what, names = _KINDS[key]
    several = table[table.duplicated(group, keep=False)]
    column = _varying(several, candidates(list(table), names), group) if len(several) else None
    if column is None:
        return
    counts = several.groupby(group, sort=False)[column].nunique()
    rows = several[(several[group] == list(counts.idxmax())).all(axis=1)]
    where = f"{path}: plate {rows['Metadata_Plate'].iloc[0]}, well {rows['Metadata_Well'].iloc[0]}"
    numbers = sorted(set(rows[column]), key=natural)
    raise UserError(
        f"{where} has {len(numbers)} {what}s in {column}: {listed(numbers)}. A field is one image per channel: choose one "
        f"{what} by '{key}: {numbers[0]}'; for more of them, give each a dataset of its own. If that is not what the column "
        f"tells, rename it: 'datasets: rename: {{{column}: Metadata_Other}}'."
    )


def _counted(table: pd.DataFrame, channels: list[str]) -> pd.Series:
    """The number, as text, of each field in its well: the same fields get the same numbers in any order of the rows."""
    columns = [name for kind in ("PathName", "FileName") for name in (f"{kind}_{channel}" for channel in channels)]
    columns = [name for name in columns if name in table]
    files = [f"FileName_{channel}" for channel in channels]
    # Whatever images a field lacks, its first one says where it belongs.
    first = [next(filter(None, names), "") for names in zip(*(table[name] for name in files), strict=True)]
    rest = zip(*(table[name] for name in columns), strict=True)
    keys = [(natural(name), names) for name, names in zip(first, rest, strict=True)]
    sorted_rows = table.iloc[sorted(range(len(table)), key=keys.__getitem__)]
    return (sorted_rows.groupby(WELL).cumcount() + 1).astype(str)
