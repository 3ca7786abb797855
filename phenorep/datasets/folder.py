"""Anybody's plates, from the folder that the microscope left: no table in between.

A layout in ``phenorep/microscopes/`` says what files and folders mean; `phenorep table` shows what it finds. A field of view
is one image per channel: where there are several time points or planes, `time` and `plane` choose one, and each further one
is a dataset of its own. Fields that lack a channel are bad images (`preprocess: on_bad_image`). What the wells hold stands
in a plate map. Smallest block::

    mine: {use: folder, folder: /data/screen, channels: {w1: DNA, w2: Actin}, plate_map: wells.csv}
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from phenorep import contracts, experiment, fieldlist, loaddata, microscopes, notes, overlooked, plugins
from phenorep.errors import UserError
from phenorep.experiment import Imaged
from phenorep.image_folders import ImageFolder, listing, selection
from phenorep.order import natural

FINDS = "microscopes"  # folder of files that are found by name: part of what this file does


@dataclass(frozen=True, kw_only=True)
class Config(Imaged, ImageFolder):
    """Further keys stand in phenorep: image_folders.py (where the images lie, which are used), experiment.py (the wells)."""

    def __post_init__(self):
        Imaged.__post_init__(self)
        ImageFolder.__post_init__(self)


def plates(config: Config) -> list[str]:
    """Names of the plates, sorted; reads names of files, and the first lines of indexes."""
    return sorted(fieldlist.plates(listing(config), selection(config)).values(), key=natural)


def about(config: Config) -> dict:
    """Facts about the whole dataset; what is not configured is taken from the first plate."""
    files, chosen = listing(config), selection(config)
    first = next(iter(fieldlist.plates(files, chosen)))
    found = fieldlist.read(files, chosen, first)
    return {
        "channels": list(fieldlist.channels(files, chosen, found.images).values()),
        "pixel_size_um": found.pixel_size_um,
        "intensity_max": config.intensity_max,
        "citation": None,
        "licence": None,
        "simulated": False,
    }


def archives(config: Config, plate: str | None = None) -> list[str]:  # noqa: ARG001
    """No download: the images are read where they lie."""
    return []


def sources(config: Config) -> list[str]:
    """The plate map, and what the microscope wrote beside its images."""
    files = listing(config)
    own = microscopes.layout(files, config.layout).tables(files)
    return [*([config.plate_map] if config.plate_map else []), *(str(files.root / path) for path in own)]


def check(config: Config) -> None:
    """Read the plate map and the names of all files, raise what is wrong and say what is read in which way."""
    for plate in plates(config):
        fields(config, plate, Path())


def fields(config: Config, plate: str, resources: Path) -> pd.DataFrame:  # noqa: ARG001
    """One row per field of a plate: its metadata and images.

    A well that the plate map names and the folder does not has one row without images, whose `Problem` says so.

    Raises
    ------
    UserError
        If folder, plate map and keys do not fit together; the message says where.
    """
    files, chosen = listing(config), selection(config)
    names = fieldlist.plates(files, chosen)
    theirs = {ours: name for name, ours in names.items()}
    if plate not in theirs:
        raise UserError(f"{config.folder}: there is no plate '{plate}'. {plugins.suggest(plate, theirs)}")
    if config.plate_map:
        loaddata.check_renamed({"plate_map": config.plate_map}, config.rename)
        overlooked.tell({"plate_map": config.plate_map}, config, there=contracts.FIELD)
    found = fieldlist.read(files, chosen, theirs[plate])
    for text in fieldlist.remarks(found):
        notes.say(f"{config.folder}: {text}")
    channels = fieldlist.channels(files, chosen, found.images)
    if not config.channels:
        first = fieldlist.read(files, chosen, next(iter(names)))
        expected = list(fieldlist.channels(files, chosen, first.images).values())
        fieldlist.check_same(list(channels.values()), expected, plate, config.folder)
    table = fieldlist.table(files, found.images, plate, channels, chosen)
    # A plate map may describe more plates than are used.
    every = [*theirs, *(name for name in fieldlist.found(files, chosen) if name not in theirs)]
    table = experiment.of_plate(experiment.describe(config, table, config.folder, every), plate)
    images = [f"{kind}_{channel}" for channel in channels.values() for kind in ("FileName", "PathName")]
    rest = [name for name in table if name not in (*contracts.FIELD, *images, "Problem")]
    return table[[*contracts.FIELD, *rest, *images, "Problem"]].copy()
