"""The fields table of a plate: its fields of view, checked against the headers of their images."""

import logging
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from phenorep import contracts, datasets, notes
from phenorep.errors import UserError
from phenorep.imaging import readers
from phenorep.wording import listed

SHOWN = 20  # bad images that a message lists
_WELL = re.compile(r"([A-Za-z]{1,2})(?: ?[-_] ?| ?)0*([1-9]\d?)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


def well_name(text: str, where: str) -> str:
    """A well's name as letters and at least two digits: ``a1``, ``A - 1`` and ``A-001`` are ``A01``.

    Parameters
    ----------
    text
        The name as found.
    where
        File and column, for the message.
    """
    match = _WELL.fullmatch(text.strip())
    if not match:
        raise UserError(f"{where}: {text!r} is no well; expected a row's letter(s) and a column's number, such as A01.")
    return f"{match[1].upper()}{int(match[2]):02d}"


def check_name(text: str, what: str, where: str, remedy: str = "Change it in that file.") -> str:
    """Return a plate's, site's or channel's name if it can be part of a file name; raise `UserError` if not."""
    if not _NAME.fullmatch(text) or ".." in text:
        raise UserError(
            f"{where}: {text!r} cannot be the name of a {what}, since it becomes part of file names. Allowed are up to 100 "
            f"of A-Z, a-z, 0-9, '_', '-', '+' and single '.', starting with a letter or digit. {remedy}"
        )
    return text


def make(module, config, plate: str, resources: str | Path, on_bad_image: str, output: str | Path) -> None:
    """Write the fields table of a plate.

    Parameters
    ----------
    module
        A plug-in of `phenorep.datasets`. The table that its ``fields()`` returns may have a column `Problem` for fields of
        which it knows that they cannot be used.
    config
        The plug-in's `Config`.
    plate
        One of the plug-in's plates.
    resources
        Folder of the dataset's downloaded files: resources/{dataset}.
    on_bad_image
        "stop": raise an error that lists all bad images. "exclude": keep their fields with the reason in `Problem`.
    output
        The parquet file.

    Raises
    ------
    UserError
        For bad images under "stop", or if no field of the plate can be used.
    """
    if on_bad_image not in ("stop", "exclude"):
        raise UserError(f"preprocess: on_bad_image: '{on_bad_image}' is neither 'stop' nor 'exclude'.")
    with notes.kept() as said:
        with datasets.named(Path(resources).name):
            about = module.about(config)
            table = module.fields(config, plate, Path(resources))
        table = with_headers(table, about, plate)
    bad = table.loc[table["Problem"] != ""]
    if len(bad) and on_bad_image == "stop":
        more = [f"... and {len(bad) - SHOWN} more"] if len(bad) > SHOWN else []
        lines = "\n".join(f"  {line}" for line in [*bad["Problem"].iloc[:SHOWN], *more])
        raise UserError(
            f"Plate {plate}: {len(bad)} of {len(table)} fields cannot be used:\n{lines}\n"
            "Mend the files or the table that names them, or leave them out with 'preprocess: on_bad_image: exclude'."
        )
    if len(bad) == len(table):
        reason = f" The first: {bad['Problem'].iloc[0]}" if len(bad) else ""
        raise UserError(
            f"Plate {plate}: none of its {len(table)} fields can be used.{reason} Mend it, or leave the plate out."
        )
    for problem in bad["Problem"]:
        logging.getLogger(__name__).warning("Plate %s: a field is left out. %s", plate, problem)
    contracts.write_table(table, output, "fields", {"dataset": Path(resources).name, **about, "notes": said})


def with_headers(table: pd.DataFrame, about: dict, plate: str) -> pd.DataFrame:
    """Add what the images' headers tell: size and time of each file, `Height`, `Width`, `BitDepth` and `Problem`.

    A field whose image is missing, damaged, or of another size or bit depth than most images of the plate has the reason in
    `Problem`, and the plate's size and bit depth.
    """
    channels = list(about["channels"])
    if contracts.channels_of(table.columns) != channels:
        raise ValueError(f"plate {plate}: columns for {contracts.channels_of(table.columns)}, channels are {channels}")
    twice = table.loc[table.duplicated(list(contracts.FIELD), keep=False), list(contracts.FIELD)]
    if len(twice):
        well, site = twice.iloc[0, 1:]
        raise UserError(f"Plate {plate}: well {well}, site {site} stands in the table of fields twice; number the sites.")
    table = table.reset_index(drop=True).copy()
    given = table["Problem"] if "Problem" in table else [""] * len(table)
    problems = [[text] if text else [] for text in given]
    files = _files(table, channels)
    _check_shared(table, files)

    shapes: dict[tuple[int, str], tuple[int, int, int]] = {}
    for channel in channels:
        facts = [(0, 0)] * len(table)
        for row, path in enumerate(files[channel]):
            if problems[row] and path is None:
                continue  # the field's own problem says it all
            try:
                if path is None:
                    raise UserError(f"{_label(table, row)}: there is no image of channel {channel}.")
                shapes[row, channel] = readers.header(path)
                facts[row] = (path.stat().st_size, path.stat().st_mtime_ns)
            except readers.ImageError as error:
                problems[row].append(f"{error.path}: {error.problem}")
            except UserError as error:
                problems[row].append(str(error))
        table[f"FileSize_{channel}"] = [size for size, _ in facts]
        table[f"FileTime_{channel}"] = [time for _, time in facts]

    # Of all images of the plate: a camera does not change its size or depth from well to well.
    usual = Counter(shapes.values()).most_common(1)[0][0] if shapes else (0, 0, 0)
    for (row, channel), shape in shapes.items():
        if shape != usual:
            problems[row].append(
                f"{files[channel][row]}: The image is {_words(shape)}, most of the plate are {_words(usual)}."
            )
    _check_range(about.get("intensity_max"), usual[2], plate)
    table["Height"], table["Width"], table["BitDepth"] = usual
    table["Problem"] = [" ".join(texts) for texts in problems]
    return table


def check_shared(table: pd.DataFrame, channels: Sequence[str]) -> None:
    """Check what the names of a plate's images tell; none is opened.

    Parameters
    ----------
    table
        A row per field, as the plug-in's ``fields()`` returns it.
    channels
        Those of its columns `FileName_*` and `PathName_*`.

    Raises
    ------
    UserError
        If a file is named for two channels or two fields.
    """
    _check_shared(table, _files(table, channels))


def _files(table: pd.DataFrame, channels: Sequence[str]) -> dict[str, list[Path | None]]:
    """The image of each field by channel; None where it has none."""
    return {
        channel: [
            Path(folder) / name if isinstance(name, str) and name else None
            for folder, name in zip(table[f"PathName_{channel}"], table[f"FileName_{channel}"], strict=True)
        ]
        for channel in channels
    }


def _check_shared(table: pd.DataFrame, files: dict[str, list[Path | None]]) -> None:
    """Raise `UserError` if a file is named for two channels or two fields: each image shows one thing."""
    uses: dict[str, list[tuple[int, str]]] = {}
    for channel, paths in files.items():
        for row, path in enumerate(paths):
            if path is not None:
                uses.setdefault(os.path.normpath(path), []).append((row, channel))
    shared = next((path for path, named in uses.items() if len(named) > 1), None)
    if shared is None:
        return
    rows = list(dict.fromkeys(row for row, _ in uses[shared]))
    names = list(dict.fromkeys(channel for _, channel in uses[shared]))
    if len(rows) == 1:
        raise UserError(
            f"{shared}: is named for the channels {' and '.join(names)} of {_label(table, rows[0])}. Name each channel's "
            "own image, or leave one of them out."
        )
    raise UserError(
        f"{shared}: is named for {len(rows)} fields of view, in {' and '.join(names)}: "
        f"{listed((_label(table, row) for row in rows), 3, '; ')}. Name each field's own image, or leave rows out."
    )


def _label(table: pd.DataFrame, row: int) -> str:
    plate, well, site = table.loc[row, list(contracts.FIELD)]
    return f"plate {plate}, well {well}, site {site}"


def _words(shape: tuple[int, int, int]) -> str:
    height, width, bits = shape
    return f"{height} x {width} pixels of {bits} bits"


def _check_range(intensity_max: int | None, bits: int, plate: str) -> None:
    if bits and intensity_max and intensity_max >= 2**bits:
        raise UserError(
            f"Plate {plate}: its images have {bits} bits, but the dataset's 'intensity_max: {intensity_max}' needs more."
        )
