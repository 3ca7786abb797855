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
from phenorep.microscopes import Acquisition, Image, Listing, row_letters
from phenorep.wording import listed

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


class _Described(NamedTuple):
    """What an HTD file says of a measurement."""

    path: str
    waves: dict[str, str]  # names of wavelengths by code
    wells: frozenset[str]  # those that were selected


def recognises(listing: Listing) -> bool:
    """Whether some image's name has a well and a site, a wavelength or a GUID."""
    matches = (_NAME.fullmatch(name.rpartition("/")[2]) for name in listing.images)
    return any(match and (match["site"] or match["wave"] or match["guid"]) for match in matches)


def tables(listing: Listing) -> list[str]:
    """The HTD files."""
    return listing.with_extension(".htd")


def read(listing: Listing, plate: str | None = None) -> Acquisition:  # noqa: ARG001 (names are read at once)
    """What the names of files and folders say, and what HTD files state: names of wavelengths, and wells.

    A field of a well that an HTD file lists and the folder lacks has images without a path.

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
    described = {measurement: _described(listing, stated, measurement) for measurement in measurements}
    images = {measurement: [] for measurement in measurements}
    for path, match, measurement, steps in found:
        code = f"w{int(match['wave'] or 1)}"
        images[measurement].append(
            Image(
                plates[measurement],
                match["well"].upper(),
                str(int(match["site"] or 1)),
                code,
                described[measurement].waves.get(code, code),
                int(match["time"] or steps.get("timepoint", 1)),
                int(match["plane"] or steps.get("zstep", 0)),
                path,
            )
        )
    found, notes = [], list(notes)
    for measurement, own in images.items():
        alone = sum(other.folder == measurement.folder for other in measurements) == 1
        its_own = alone or PurePosixPath(described[measurement].path).stem == measurement.prefix
        missing, more = _compared(own, described[measurement], its_own)
        found += own + missing
        notes += more
    return Acquisition(found, passed_over, notes=tuple(notes))


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


def _described(listing: Listing, stated: list[str], measurement: _Measurement) -> _Described:
    """What the measurement's own HTD file says; nothing where it has none."""
    own = [path for path in stated if _steps(path.rpartition("/")[0])[0] == measurement.folder]
    # One folder may hold several plates: the file of the plate's own name before any other.
    for path in sorted(own, key=lambda path: (PurePosixPath(path).stem != measurement.prefix, path)):
        with open(listing.root / path, encoding="latin-1", newline="") as file:
            rows = {row[0]: [text.strip() for text in row[1:]] for row in csv.reader(file, skipinitialspace=True) if row}
        waves = {f"w{int(key[8:])}": row[0] for key, row in rows.items() if re.fullmatch(r"WaveName\d+", key) and row}
        wells = {
            f"{row_letters(int(key[14:]))}{column:02d}"
            for key, row in rows.items()
            if re.fullmatch(r"WellsSelection\d{1,2}", key)
            for column, text in enumerate(row, start=1)
            if text.upper() == "TRUE"
        }
        if wells or any(waves.values()):
            return _Described(path, {code: name for code, name in waves.items() if name}, frozenset(wells))
    return _Described("", {}, frozenset())


def _compared(images: list[Image], described: _Described, own_name: bool) -> tuple[list[Image], list[str]]:
    """Images that a measurement's HTD file speaks of and that are not there, and what to know about it.

    Sites are taken from the files, since numbers of sites are counted in more than one way: each selected well has all.
    """
    if not own_name:  # the file of another plate of the folder names wavelengths, not this plate's wells
        return [], []
    plate, notes = images[0].plate, []
    kinds = {(image.code, image.channel, image.time, image.plane) for image in images}
    there = {(image.well, image.site) for image in images}
    sites = {site for _, site in there}
    missing = [
        Image(plate, well, site, *kind, "")
        for well in sorted(described.wells)
        for site in sorted(sites)
        if (well, site) not in there
        for kind in sorted(kinds)
    ]
    if described.wells and (more := sorted({well for well, _ in there} - described.wells)):
        notes.append(f"{described.path} does not list {len(more)} wells that have images: {listed(more)}.")
    if unseen := [f"{code} {name}" for code, name in described.waves.items() if code not in {kind[0] for kind in kinds}]:
        notes.append(f"{described.path} names {listed(unseen)}, which have no image here.")
    return missing, notes
