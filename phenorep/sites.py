"""The rows of one well in a user's table: fields, time points or planes. A field is one image per channel."""

import re

import pandas as pd

from phenorep import notes
from phenorep.errors import UserError
from phenorep.fields import check_name
from phenorep.lookalikes import pair
from phenorep.order import natural
from phenorep.wording import listed

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
_TIMES = (
    *("timepoint", "timepointid", "time", "timeid", "timeindex", "timenumber", "t", "tp", "tindex", "frame", "frameid"),
    *("framenumber", "elapsedtime", "elapsed", "elapsedhours", "timelapse", "hourspost", "hpi"),
    *(f"{unit}{s}" for unit in ("day", "hour", "hr", "minute") for s in ("", "s")),
    *(f"{what}{unit}" for what in ("time", "elapsedtime") for unit in ("h", "hr", "hrs", "hours", "min", "s", "days")),
)
_PLANES = (
    *("plane", "planeid", "planeindex", "planenumber", "z", "zid", "zindex", "znumber", "zplane", "zslice", "slice"),
    *("zstack", "stack", "zpos", "zposition", "zlevel", "zstep", "zheight", "zum", "focalplane", "depth"),
)
_KINDS = {
    "time": ("time point", _TIMES),
    "plane": ("plane", _PLANES),
}


def candidates(columns: list[str], names: tuple[str, ...] = _SITES) -> list[str]:
    """Columns that may say which field a row is, or what else `names` tell, the likeliest first.

    Fields are those behind ``Metadata_`` only; a time point or plane is one under any name, since it would pass for a field.
    """
    taken = [name for name in columns if "Metadata_" in name or names != _SITES]
    taken.sort(key=lambda name: name.startswith("Metadata_"))  # the last of several of one name is used
    plain = {re.sub(r"[^a-z0-9]", "", name.removeprefix("Metadata_").lower()): name for name in taken}
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
            others = [name for name in table if name.startswith("Metadata_") and _varying(table, [name])]
            differ = f" Rows of a well differ in {listed(others)}." if others else ""
            notes.say(
                f"{path}: there is no column {SITE}: the fields of a well are numbered in the order of their images' names."
                f"{differ} Another column can tell them: 'datasets: rename: {{theirs: {SITE}}}'."
            )
        return table.assign(**{SITE: _counted(table, channels)})
    if site != SITE:
        notes.say(f"{path}: there is no column {SITE}: {site} is taken for it, as it tells the rows of a well apart.")
    for row, name in table[site].drop_duplicates().items():
        if name:  # a row may lack its site
            check_name(name, "site", f"{path}: row {row}: {site}")
    twice = table[table.duplicated(group, keep=False)]
    if len(twice) and (twice[site] == "").all():
        rows = listed(twice.index.tolist())
        raise UserError(
            f"{path}: rows {rows} have no {site}, and other rows of their wells neither. Number the fields there."
        )
    twice = twice[twice[site] != ""]
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
    _tell_lacking(table, fits, f"{path}: {key}", f"{what} {wanted} in {values.name}")
    return table[fits]


def _tell_lacking(table: pd.DataFrame, fits: pd.Series, where: str, what: str) -> None:
    """Warn of wells, or of fields in them, that have images and none at what was chosen."""
    group = [*WELL, *([SITE] if SITE in table else [])]
    lacking = table[group].drop_duplicates().merge(table.loc[fits, group].drop_duplicates(), how="left", indicator=True)
    lacking = lacking.loc[lacking["_merge"] == "left_only", group]
    if lacking.empty:
        return
    kept = set(table.loc[fits, WELL].itertuples(index=False, name=None))
    wells = [well for well in dict.fromkeys(lacking[WELL].itertuples(index=False, name=None)) if well not in kept]
    names = [" ".join(well) for well in wells]
    if len(group) > len(WELL):
        partly = [row for row in lacking.itertuples(index=False, name=None) if row[:2] in kept]
        names += [f"{plate} {well} site {site}" for plate, well, site in partly]
    notes.warn(f"{where}: left out, since they have no {what}: {listed(names)}.")


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
        f"tells, rename it: 'datasets: rename: {pair(column, 'Metadata_Other')}'."
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
