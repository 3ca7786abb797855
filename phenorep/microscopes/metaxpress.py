"""ImageXpress microscopes (MetaXpress), as their database keeps images and as they are exported.

A file is ``{plate}_{well}_s{site}_w{wavelength}.tif``; the database adds a GUID after the wavelength. `_s` and `_w` are
left out where there is one site or one wavelength. ``_thumb`` files are thumbnails. Time points and Z steps are folders,
``TimePoint_N`` and ``ZStep_N``; files beside the Z steps, or in ``ZStep_0``, are projections. An ``.HTD`` file may stand
beside the images or above them and name the wavelengths [0].

[0] https://docs.openmicroscopy.org/bio-formats/latest/formats/metaxpress.html
"""

import csv
import re
from collections import Counter
from pathlib import PurePosixPath
from typing import NamedTuple

from phenorep.errors import UserError
from phenorep.microscopes import Acquisition, Image, Listing, listed

# The GUID's length is fixed, so that a wavelength's digits and those that the GUID starts with are told apart.
_NAME = re.compile(
    r"(?:(?P<plate>.+)_)?(?P<well>(?:[A-P]|A[A-F])\d{2})"
    r"(?:_s(?P<site>\d+))?(?:_w(?P<wave>\d+))?(?:_z(?P<plane>\d+))?(?:_t(?P<time>\d+))?(?P<thumbnail>_thumb)?"
    r"(?P<guid>[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12})?\.(?:tiff?|png)",
    re.IGNORECASE,
)
_STEP = re.compile(r"(TimePoint|ZStep)_(\d+)", re.IGNORECASE)


class _Measurement(NamedTuple):
    """What was taken in one go: a folder above time points and Z steps, and the plate's name in its files."""

    folder: str
    prefix: str


def recognises(listing: Listing) -> bool:
    """Whether some image's name has a well and a site, a wavelength or a GUID."""
    matches = (_NAME.fullmatch(name.rpartition("/")[2]) for name in listing.images)
    return any(match and (match["site"] or match["wave"] or match["guid"]) for match in matches)


def tables(listing: Listing) -> list[str]:
    """The HTD files."""
    return listing.with_extension(".htd")


def read(listing: Listing, plate: str | None = None) -> Acquisition:  # noqa: ARG001 (names are read at once)
    """What the names of files and folders say, and the wavelengths' names where an HTD file states them.

    Raises
    ------
    UserError
        If no name fits, or two folders cannot be told apart as plates.
    """
    found, passed_over = [], Counter()
    places = {folder: _steps(folder) for folder in {path.rpartition("/")[0] for path in listing.images}}
    for path in listing.images:
        folder, _, name = path.rpartition("/")
        match = _NAME.fullmatch(name)
        if match is None or match["thumbnail"]:
            passed_over["images of other names" if match is None else "thumbnails"] += 1
            continue
        place, steps = places[folder]
        found.append((path, match, _Measurement(place, match["plate"] or ""), steps))
    if not found:
        raise UserError(
            f"{listing.root}: no image is called PLATE_WELL_sSITE_wCHANNEL.tif, as MetaXpress does; the first is "
            f"{listing.images[0]}. Choose another 'layout:' (--layout), or describe the names by 'pattern:' (--pattern)."
        )
    measurements = sorted({measurement for _, _, measurement, _ in found})
    plates, notes = _plate_names(listing, measurements)
    stated = tables(listing)
    waves = {measurement: _wave_names(listing, stated, measurement) for measurement in measurements}
    images = []
    for path, match, measurement, steps in found:
        code = f"w{int(match['wave'] or 1)}"
        images.append(
            Image(
                plates[measurement],
                match["well"].upper(),
                str(int(match["site"] or 1)),
                code,
                waves[measurement].get(code, code),
                int(match["time"] or steps.get("timepoint", 1)),
                int(match["plane"] or steps.get("zstep", 0)),
                path,
            )
        )
    return Acquisition(images, passed_over, notes=notes)


def _steps(folder: str) -> tuple[str, dict[str, str]]:
    """The measurement's folder, and the numbers of time point and Z step that the folders below it name."""
    parts, steps = folder.split("/"), {}
    while parts and (match := _STEP.fullmatch(parts[-1])):
        steps[match[1].lower()] = match[2]
        parts.pop()
    return "/".join(parts), steps


def _plate_names(listing: Listing, measurements: list[_Measurement]) -> tuple[dict[_Measurement, str], tuple[str, ...]]:
    """A plate's name for each measurement: that of its files, or its folder's where several folders share the former."""
    uses = Counter(measurement.prefix for measurement in measurements)
    names, notes = {}, []
    for measurement in measurements:
        folder = listing.name_of(measurement.folder)
        if measurement.prefix and uses[measurement.prefix] == 1:
            names[measurement] = measurement.prefix
        elif measurement.prefix and folder.isdigit():  # the number that the database gives to a measurement
            names[measurement] = f"{measurement.prefix}_{folder}"
        else:
            names[measurement] = folder
    for prefix, number in uses.items():
        if prefix and number > 1:
            own = listed(names[measurement] for measurement in measurements if measurement.prefix == prefix)
            notes.append(f"{number} folders hold images of the name {prefix}: each is a plate of its own ({own}).")
    twice = [name for name, number in Counter(names.values()).items() if number > 1]
    if twice:
        folders = listed(m.folder or str(listing.root) for m in measurements if names[m] == twice[0])
        raise UserError(
            f"{listing.root}: different images would be plate '{twice[0]}': those of {folders}. Name one of these folders, "
            "or describe all names by 'pattern:' (--pattern), with a group 'plate'."
        )
    return names, tuple(notes)


def _wave_names(listing: Listing, stated: list[str], measurement: _Measurement) -> dict[str, str]:
    """Names of the wavelengths by code, from the measurement's own of the HTD files; empty where it has none."""
    own = [path for path in stated if _steps(path.rpartition("/")[0])[0] == measurement.folder]
    # One folder may hold several plates: the file of the plate's own name before any other.
    for path in sorted(own, key=lambda path: (PurePosixPath(path).stem != measurement.prefix, path)):
        with open(listing.root / path, encoding="latin-1", newline="") as file:
            rows = [row for row in csv.reader(file, skipinitialspace=True) if len(row) > 1]
        names = {f"w{int(row[0][8:])}": row[1].strip() for row in rows if re.fullmatch(r"WaveName\d+", row[0])}
        if any(names.values()):
            return {code: name for code, name in names.items() if name}
    return {}
