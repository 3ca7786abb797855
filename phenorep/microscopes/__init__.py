"""One file per way in which microscopes lay out their images: what plate, well, site and channel a file shows.

Such a file holds three functions. ``recognises(listing)`` says whether a folder looks like this layout. ``tables(listing)``
names the files that it reads beside the images. ``read(listing, plate)`` returns an `Acquisition` and opens no image; where
a plate is given, others may be missing from it. A layout that can name its plates without reading all that describes them
has a fourth, ``plates(listing)``.
"""

import importlib
import os
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import NamedTuple

from phenorep import locations, plugins
from phenorep.errors import UserError

IMAGES = frozenset({".tif", ".tiff", ".png", ".bmp"})
_TABLES = frozenset({".htd", ".xml"})


class Image(NamedTuple):
    """One image file and what it shows."""

    plate: str
    well: str
    site: str
    code: str  # the channel as the files call it: w1
    channel: str  # its name, where the microscope states one; else the code
    time: int
    plane: int  # 0: a single plane, or the projection of several
    path: str  # from the folder, with slashes; "": the microscope lists it, and it is not there


@dataclass(frozen=True)
class Listing:
    """The files below a folder."""

    root: Path
    files: tuple[str, ...]  # from the root, with slashes, in order
    pattern: str = ""  # the user's regular expression, for the layout that needs one

    @cached_property
    def images(self) -> list[str]:
        """Files with the extension of an image."""
        return [name for name in self.files if _extension(name) in IMAGES]

    def has(self, path: str) -> bool:
        """Whether there is such a file; hidden ones, which are not listed, are there too."""
        return path in self._known or (self.root / path).is_file()

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.files)

    def with_extension(self, extension: str) -> list[str]:
        """Files with this extension."""
        return [name for name in self.files if _extension(name) == extension]

    def name_of(self, folder: str) -> str:
        """Name of a folder that is given from the root; of the root itself for ``.`` or nothing."""
        return PurePosixPath(folder).name or self.root.resolve().name


@dataclass(frozen=True)
class Acquisition:
    """What a folder of images holds."""

    images: list[Image]
    passed_over: Counter = field(default_factory=Counter)  # {what: number of image files that are no data}
    pixel_size_um: float | None = None
    notes: tuple[str, ...] = ()  # what the user should know, as sentences


def names() -> list[str]:
    """Names of all layouts."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))


def layout(listing: Listing, name: str = "auto") -> ModuleType:
    """The module of a layout; `auto` is `pattern` where there is one, else the layout that recognises the folder.

    Raises
    ------
    UserError
        If there is no layout of that name, or not exactly one that recognises the folder.
    """
    if name != "auto":
        if name not in names():
            raise UserError(f"layout: there is no layout '{name}'. {plugins.suggest(name, ['auto', *names()])}")
        return module_of(name)
    if listing.pattern:  # a choice already, whatever the names look like
        return module_of("pattern")
    fitting = [name for name in names() if module_of(name).recognises(listing)]
    if len(fitting) == 1:
        return module_of(fitting[0])
    if fitting:
        raise UserError(
            f"{listing.root}: the folder looks like {' and like '.join(fitting)}. Choose by 'layout:' (--layout), or name "
            "the folder of one of them."
        )
    raise UserError(
        f"{listing.root}: none of the layouts {', '.join(names())} is recognised; the first of its {len(listing.images)} "
        f"images is {listing.images[0]}. Say what names mean by 'pattern:' (--pattern), a regular expression such as "
        r"'(?P<plate>[^/]+)/(?P<well>[A-P]\d\d)_s(?P<site>\d+)_(?P<channel>\w+)\.tif'."
    )


def module_of(name: str) -> ModuleType:
    """Import a layout."""
    return importlib.import_module(f"{__name__}.{name}")


def scan(folder: str | Path, pattern: str = "") -> Listing:
    """List the images and the microscope's tables below a folder.

    Hidden files and folders are left out. Links to folders are followed, each folder is entered once: a loop ends.

    Raises
    ------
    UserError
        If there is no such folder, it cannot be read, or it has no images.
    """
    root = Path(folder)
    if not root.is_dir():
        remedy = "Name the folder as this machine calls it, or copy it to a disk of this machine."
        root = Path(locations.path(str(folder), "the folder of images", remedy))
    if not root.is_dir():
        what = "this is a file, no folder" if root.is_file() else "there is no such folder"
        raise UserError(f"{folder}: {what}. Name the folder of the images; relative paths start at the working directory.")
    found: list[str] = []
    entered: set[tuple[int, int]] = set()
    waiting, links = [(str(root), "")], []
    while waiting or links:
        # Links last: what can be reached without one is listed by its own path.
        path, prefix = waiting.pop() if waiting else links.pop()
        status = os.stat(path)
        if (status.st_dev, status.st_ino) in entered:
            continue
        entered.add((status.st_dev, status.st_ino))
        try:
            entries = list(os.scandir(path))
        except OSError as error:
            raise UserError(f"{path}: the folder cannot be read ({error.strerror}). Change its permissions.") from error
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():  # false for a link that leads nowhere
                (links if entry.is_symlink() else waiting).append((entry.path, f"{prefix}{entry.name}/"))
            elif _extension(entry.name) in IMAGES | _TABLES:
                found.append(prefix + entry.name)
    listing = Listing(root, tuple(sorted(found)), pattern)
    if not listing.images:
        kinds = ", ".join(sorted(IMAGES))
        raise UserError(f"{folder}: there is no image ({kinds}) in this folder or below it. Name the folder of the images.")
    return listing


def _extension(name: str) -> str:
    return f".{name.rpartition('.')[2]}".lower()  # os.path's own function takes longer than all else on a large folder


def row_letters(number: int) -> str:
    """Name of a plate's row by its number from 1: 1 is A, 27 is AA."""
    letters = ""
    while number > 0:
        number, letter = divmod(number - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return letters
