"""From the images that a microscope left to fields of view: one row per field, one column per channel."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import pandas as pd

from phenorep import contracts, plugins
from phenorep.errors import UserError
from phenorep.fields import check_name
from phenorep.microscopes import Acquisition, Image, Listing, layout
from phenorep.order import natural
from phenorep.wording import listed


@dataclass(frozen=True)
class Selection:
    """Which of a folder's images are used, and under which names."""

    layout: str = "auto"  # a file of phenorep/microscopes
    plates: Mapping[str, str] | None = None  # {as the microscope calls it: ours}: these and no others; None or {}: all
    channels: Mapping[str, str] | None = None  # the same for channels, by name or code (w1), in the order of the result
    time: int | None = None  # which time point; None: there is one
    plane: int | None = None  # which plane; None: there is one


def found(listing: Listing, selection: Selection) -> list[str]:
    """Names of all plates of a folder, as the microscope has them."""
    module = layout(listing, selection.layout)
    names = module.plates(listing) if hasattr(module, "plates") else {image.plate for image in module.read(listing).images}
    return sorted(names, key=natural)


def plates(listing: Listing, selection: Selection) -> dict[str, str]:
    """The plates that are used: {name as the microscope has it: ours}.

    Raises
    ------
    UserError
        If a selected plate is not there, two would have one name, or a name cannot be part of a file's.
    """
    known = found(listing, selection)
    chosen = dict(selection.plates or {name: name for name in known})
    for name, ours in chosen.items():
        if name not in known:
            raise UserError(f"{listing.root}: plates: there is no plate '{name}'. {plugins.suggest(name, known)}")
        remedy = f"Give plates other names: 'plates: {{\"{name}\": NEW_NAME, ...}}' (--plates '{name}=NEW_NAME,...')."
        check_name(ours, "plate", str(listing.root), remedy)
    _differ(chosen, "plates", listing)
    return chosen


def read(listing: Listing, selection: Selection, plate: str) -> Acquisition:
    """What the folder holds of one plate, in all channels, at the selected time point and plane.

    Raises
    ------
    UserError
        If there are several time points or planes and none is selected, an image is there twice, or a channel or well has
        no usable name.
    """
    all_of_it = layout(listing, selection.layout).read(listing, plate)
    images = [image for image in all_of_it.images if image.plate == plate]
    seen: dict[tuple, Image] = {}
    for image in images:
        key = (image.well, image.site, image.code, image.time, image.plane)
        if key in seen:
            raise UserError(
                f"{listing.root}: plate {plate}, well {image.well}, site {image.site}, channel {image.channel} has two "
                f"images: {seen[key].path} and {image.path}. Keep one of them, or name the folder that holds only one."
            )
        seen[key] = image
    images = _at(images, "time", "time point", selection.time, plate, listing)
    images = _at(images, "plane", "plane", selection.plane, plate, listing)
    return replace(all_of_it, images=images)


def _at(images: list[Image], key: str, what: str, wanted: int | None, plate: str, listing: Listing) -> list[Image]:
    numbers = sorted({getattr(image, key) for image in images})
    if wanted is None and len(numbers) > 1:
        known = listed([f"{n} (projection, or a single plane)" if key == "plane" and not n else n for n in numbers])
        raise UserError(
            f"{listing.root}: plate {plate} has {len(numbers)} {what}s: {known}. A field is one image per channel: choose "
            f"one {what} by '{key}: {numbers[0]}' (--{key} {numbers[0]}); for more of them, give each a dataset of its own."
        )
    if wanted is not None and wanted not in numbers:
        raise UserError(
            f"{listing.root}: {key}: plate {plate} has no {what} {wanted}; it has {listed(numbers)}. Choose another one, or "
            "leave the plate out by naming the others in 'plates:' (--plates)."
        )
    return [image for image in images if wanted is None or getattr(image, key) == wanted]


def channels(listing: Listing, selection: Selection, images: list[Image]) -> dict[str, str]:
    """The channels of a plate's images: {name or code: ours}, as selected, otherwise all in the order of their codes."""
    known = {image.code: image.channel for image in sorted(images, key=lambda image: natural(image.code))}
    pairs = listed([name if name == code else f"{name} ({code})" for code, name in known.items()])
    remedy = "Name the channels to use by 'channels: {w1: DNA, ...}' (--channels w1=DNA,...)."
    if any("," in name for name in known.values()):
        remedy += " On the command line a name with a comma is in quotes: --channels '\"DAPI, 405\"=DNA,w2=Actin'."
    where = f"{listing.root}: channels: plate {images[0].plate}"
    chosen = dict(selection.channels or {name: _spelt(name) for name in known.values()})
    for name, ours in chosen.items():
        fitting = [code for code in known if name in (code, known[code])]
        if not fitting:
            raise UserError(
                f"{where} has no channel '{name}'; it has {pairs}. {remedy} All plates must have them: leave others out by "
                "'plates:' (--plates)."
            )
        if len(fitting) > 1:
            raise UserError(f"{where} has {len(fitting)} channels called '{name}': {', '.join(fitting)}. {remedy}")
        check_name(ours, "channel", str(listing.root), remedy)
    _differ(chosen, "channels", listing)
    return chosen


def check_same(channels: list[str], first: list[str], plate: str, where: str) -> None:
    """Raise `UserError` if a plate has other channels than the first plate."""
    if channels != first:
        raise UserError(
            f"{where}: plate {plate} has the channels {', '.join(channels)}, the first plate {', '.join(first)}. Name those "
            "that all have by 'channels: {w1: DNA, ...}' (--channels w1=DNA,...), or leave plates out by 'plates:' "
            "(--plates)."
        )


def _spelt(name: str) -> str:
    """A channel's name with "_" for what cannot be in a file's: Texas Red is Texas_Red."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", name).strip("_")


def _differ(names: Mapping[str, str], key: str, listing: Listing) -> None:
    for ours in names.values():
        same = [other for other in names if names[other] == ours]
        if len(same) > 1:
            raise UserError(
                f"{listing.root}: {key}: {' and '.join(same)} would both be '{ours}'. Give each its own name by "
                f"'{key}:' (--{key})."
            )
        twins = [name for name in names.values() if name.casefold() == ours.casefold()]
        if len(twins) > 1:
            raise UserError(
                f"{listing.root}: {key}: {' and '.join(twins)} differ only in case. Name the files of what is the same in "
                f"one way, or give each its own name by '{key}:' (--{key})."
            )


def table(listing: Listing, images: list[Image], plate: str, names: Mapping[str, str], selection: Selection) -> pd.DataFrame:
    """One row per field of a plate.

    Parameters
    ----------
    images
        The plate's images at one time point and plane.
    plate
        Our name of the plate.
    names
        {name or code of a channel: ours}, as of `channels`.

    Returns
    -------
    DataFrame
        `Metadata_Plate`, `Metadata_Well`, `Metadata_Site`; `Metadata_Time` and `Metadata_Plane` where one was selected; per
        channel ``PathName_`` and ``FileName_``, which is empty where the field has no image of it. All columns are text.
    """
    rows: dict[tuple[str, str], dict[str, str]] = {}
    columns = [f"{kind}_{channel}" for channel in names.values() for kind in ("PathName", "FileName")]
    for image in sorted(images, key=lambda image: (natural(image.well), natural(image.site))):
        row = rows.get((image.well, image.site))
        if row is None:
            site = check_name(image.site, "site", image.path or str(listing.root))
            row = dict(zip(contracts.FIELD, (plate, image.well, site), strict=True))
            row |= {
                f"Metadata_{key.title()}": str(getattr(image, key))
                for key in ("time", "plane")
                if getattr(selection, key) is not None
            }
            rows[image.well, image.site] = row | dict.fromkeys(columns, "")
            row = rows[image.well, image.site]
        channel = names.get(image.channel) or names.get(image.code)
        if channel and image.path:
            path = listing.root / PurePosixPath(image.path)
            row[f"PathName_{channel}"], row[f"FileName_{channel}"] = str(path.parent), path.name
    return pd.DataFrame(list(rows.values()))


def remarks(acquisition: Acquisition) -> list[str]:
    """What the user should know of what was read: what was left out, then what the layout notes."""
    left_out = [f"Left out: {count} {what}" for what, count in acquisition.passed_over.items() if count]
    return [*left_out, *acquisition.notes]


def gaps(fields: pd.DataFrame) -> list[str]:
    """The images that fields lack: ``plate P1, well B02, site 1: DNA``."""
    found = []
    for channel in contracts.channels_of(fields.columns):
        lacking = fields.loc[fields[f"FileName_{channel}"] == "", list(contracts.FIELD)]
        found += [f"plate {p}, well {w}, site {s}: {channel}" for p, w, s in lacking.itertuples(index=False)]
    return found


def empty(fields: pd.DataFrame) -> list[str]:
    """The images of fields that have no bytes, or are links to nothing."""
    files = [
        os.path.join(folder, name)
        for channel in contracts.channels_of(fields.columns)
        for folder, name in zip(fields[f"PathName_{channel}"], fields[f"FileName_{channel}"], strict=True)
        if name
    ]
    return [path for path in files if not os.path.exists(path) or not os.path.getsize(path)]
