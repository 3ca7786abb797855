"""The columns of a user's table that name images: one per channel, and what looks like one and is none."""

import re
from collections.abc import Sequence

import pandas as pd

from phenorep import contracts, lookalikes, notes
from phenorep.errors import UserError
from phenorep.wording import WORDS_FOR_NONE

_NOT_IMAGES = (".npy", ".npz", ".mat", ".h5", ".csv", ".txt", ".xml", ".cppipe")
# Columns that say which channel a row is of, behind Metadata_, in small letters without anything between them.
_CHANNELS = frozenset(
    {
        *(f"{what}{end}" for what in ("channel", "wavelength", "wave") for end in ("", "id", "name", "number", "index")),
        *("stain", "dye", "fluorophore", "fluorochrome", "emissionwavelength"),
    }
)
_OTHERS = re.compile(r"(?:Image_)?(FileName|PathName|URL)[_ .-]?(.+)", re.IGNORECASE)


def images(columns: Sequence[str]) -> list[str]:
    """Channels of images, in the table's order: without illumination functions of channels that are there."""
    channels = contracts.channels_of(columns)
    return [name for name in channels if name not in _functions(channels)]


def _functions(channels: Sequence[str]) -> list[str]:
    """Illumination functions, which CellProfiler names beside the images: IllumDNA beside OrigDNA or DNA."""
    plain = {re.sub("^orig_?", "", name.lower()) for name in channels}
    found = [(name, re.fullmatch("illum(?:ination)?_?(.+)", name.lower())) for name in channels]
    return [name for name, match in found if match and match[1] in plain]


def check(table: pd.DataFrame, channels: Sequence[str], chosen: bool, path: str) -> None:
    """Say which columns name images and are not taken, and refuse what would be read as channels and is none.

    Parameters
    ----------
    table
        Text columns; its index numbers the rows of the file.
    channels
        Those that are used.
    chosen
        Whether the user named them: what is left out is then meant.
    path
        The file, for messages.

    Raises
    ------
    UserError
        If channels differ in case alone, stand in rows, or their columns hold something else than names of images.
    """
    _check_twins(channels, path)
    _check_rows(table, channels, path)
    for channel in channels:
        _check_names(table[f"FileName_{channel}"], channel, path)
        if f"PathName_{channel}" in table:
            _check_empty(table[f"PathName_{channel}"], path)
    if not chosen:
        _tell_others(list(table), path)


def _check_twins(channels: Sequence[str], path: str) -> None:
    seen: dict[str, str] = {}
    for name in channels:
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise UserError(
                f"{path}: the channels {other} and {name} differ only in case. Put their images into one column, or choose "
                f"one by 'datasets: channels: [{name}, ...]'."
            )


def _check_rows(table: pd.DataFrame, channels: Sequence[str], path: str) -> None:
    """Raise `UserError` if the rows of a well are of several channels: they would be taken for fields."""
    for name in table:
        plain = re.sub("[^a-z0-9]", "", name.lower().removeprefix("metadata"))
        if plain not in _CHANNELS:
            continue
        counts = table.groupby(["Metadata_Plate", "Metadata_Well"], sort=False)[name].nunique()
        if (counts > 1).any():
            plate, well = counts.idxmax()
            rows = table[(table["Metadata_Plate"] == plate) & (table["Metadata_Well"] == well)]
            some = ", ".join(dict.fromkeys(rows[name]))
            raise UserError(
                f"{path}: plate {plate}, well {well} has rows of several channels, by {name}: {some}. A row is a field, "
                f"with a column for each channel. In Python: `table.pivot(index=[PLATE, WELL, SITE], columns={name!r}, "
                f"values='FileName_{channels[0]}').add_prefix('FileName_').reset_index()`. If {name} tells something else, "
                f"'datasets: rename: {lookalikes.pair(name, 'Metadata_Other')}' takes it so."
            )


def _check_names(column: pd.Series, channel: str, path: str) -> None:
    _check_empty(column, path)
    odd = column[column.str.lower().str.endswith(_NOT_IMAGES)]
    if len(odd):
        raise UserError(
            f"{path}: row {odd.index[0]}: {column.name} is {odd.iloc[0]!r}: no image. Leave {channel} out by naming the "
            "channels of images, 'datasets: channels: [DNA, ...]'."
        )


def _check_empty(column: pd.Series, path: str) -> None:
    odd = column[column.str.lower().isin(WORDS_FOR_NONE)]
    if len(odd):
        raise UserError(
            f"{path}: row {odd.index[0]}: {column.name} is {odd.iloc[0]!r}, which would be the name of a file. Leave the "
            "cell empty where there is none."
        )


def _tell_others(columns: list[str], path: str) -> None:
    channels = contracts.channels_of(columns)
    if functions := _functions(channels):
        notes.say(
            f"{path}: {', '.join(f'FileName_{name}' for name in functions)} name illumination functions, by their names: no "
            f"channels. 'datasets: channels: [{functions[0]}, ...]' takes them as such."
        )
    plain = {name.casefold() for name in channels}
    others: dict[str, str] = {}
    for name in columns:
        match = _OTHERS.fullmatch(name)
        if match and match[2].casefold() not in plain and not re.match("illum", match[2], re.IGNORECASE):
            others.setdefault(match[2].casefold(), name)
    if not others:
        return
    first = next(iter(others.values()))
    match = _OTHERS.fullmatch(first)
    name = re.sub(r"[^A-Za-z0-9._+-]+", "_", match[2])
    take = f"'datasets: rename: {lookalikes.pair(first, f'FileName_{name}')}' takes it"
    need = f"Add the column FileName_{name}" if match[1].lower() == "pathname" else take
    notes.warn(f"{path}: {', '.join(others.values())} look like names of images and are no channels. {need}.")
