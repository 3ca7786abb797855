"""Operetta and Opera Phenix (Harmony): a folder of images with an index that says what each of them shows.

The index is ``Index.idx.xml`` or ``Index.xml``, beside its images. Its namespace changes from version to version, and so
does the place of what describes a channel (name, size of a pixel in metres): with each image, or, later, once in ``Maps``.
"""

import os
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from xml.etree import ElementTree

from phenorep.errors import UserError
from phenorep.microscopes import Acquisition, Image, Listing, row_letters
from phenorep.wording import listed

INDEXES = ("index.idx.xml", "index.xml")  # in lower case, the better one first
_RECORDS = {"Plates": "Plate", "Maps": "Entry", "Images": "Image"}  # section -> what it lists
_WANTED = frozenset(
    "Name PlateID URL Row Col FieldID PlaneID TimepointID ChannelID ChannelName ImageResolutionX".split()  # noqa: SIM905
)
_NEEDED = ("URL", "Row", "Col", "FieldID", "ChannelID")


class _Index(NamedTuple):
    """The records of an index, each as {element: its text}."""

    plates: list[dict[str, str]]
    channels: dict[str, dict[str, str]]  # by ChannelID
    images: list[dict[str, str]]


def recognises(listing: Listing) -> bool:
    """Whether there is an index."""
    return bool(tables(listing))


def tables(listing: Listing) -> list[str]:
    """The indexes; of two in one folder, the better one."""
    best: dict[str, str] = {}
    for path in listing.with_extension(".xml"):
        folder, _, name = path.rpartition("/")
        if name.lower() in INDEXES:
            known = best.get(folder)
            best[folder] = path if known is None or name.lower() == INDEXES[0] else known
    return sorted(best.values())


def plates(listing: Listing) -> list[str]:
    """Names of the plates: the first lines of each index."""
    return list(
        dict.fromkeys(_plate(listing.root / path, _parse(listing.root / path, until="Plates")) for path in _known(listing))
    )


def read(listing: Listing, plate: str | None = None) -> Acquisition:
    """What the indexes say of their images; of those of one plate, where one is given.

    An image that an index lists and the folder lacks has no path.

    Raises
    ------
    UserError
        If there is no index, or one that is damaged, incomplete or has a DOCTYPE.
    """
    images, files, sizes, folders = [], set(), set(), set()
    for path in _known(listing):
        file, folder = listing.root / path, path.rpartition("/")[0]
        if plate not in (None, _plate(file, _parse(file, until="Plates"))):
            continue
        folders.add(folder)
        index = _parse(file)
        name = _plate(file, index)
        for record in index.images:
            described = index.channels.get(record.get("ChannelID", ""), {}) | record
            image = _image(file, name, folder, described)
            files.add(image.path)
            # Of what was out of focus, or not exported, the index may speak all the same.
            images.append(image if listing.has(image.path) else image._replace(path=""))
            sizes.add(described.get("ImageResolutionX", ""))
    apart = sum(path not in files and path.rpartition("/")[0] in folders for path in listing.images)
    size, notes = _pixel_size(listing, sizes - {""})
    return Acquisition(images, Counter({"images that stand in no index": apart}), size, notes)


def _pixel_size(listing: Listing, texts: set[str]) -> tuple[float | None, tuple[str, ...]]:
    """Micrometres per pixel if all images agree, else None and what to know about it."""
    try:
        sizes = sorted({round(float(text) * 1e6, 6) for text in texts})
    except ValueError:
        raise UserError(f"{listing.root}: ImageResolutionX: {listed(sorted(texts))}: expected numbers, in metres.") from None
    if len(sizes) > 1:
        return None, (f"Pixels of {listed(sizes)} micrometres stand side by side: give plates of one size at a time.",)
    return (sizes[0] if sizes else None), ()


def _known(listing: Listing) -> list[str]:
    found = tables(listing)
    if not found:
        raise UserError(
            f"{listing.root}: there is no Index.idx.xml or Index.xml, as Harmony writes it. Choose another 'layout:' "
            "(--layout), or export the measurement with its index."
        )
    return found


def _plate(file: Path, index: _Index) -> str:
    named = {record.get("Name") or record.get("PlateID") or "" for record in index.plates} - {""}
    if len(named) != 1:
        raise UserError(f"{file}: expected one plate with a Name or PlateID, found {listed(sorted(named)) or 'none'}.")
    return named.pop()


def _image(file: Path, plate: str, folder: str, record: dict[str, str]) -> Image:
    missing = [name for name in _NEEDED if not record.get(name)]
    url = record.get("URL", "").replace("\\", "/")
    if missing or not PurePosixPath(url).name or url.startswith("/") or ".." in PurePosixPath(url).parts or ":" in url:
        problem = f"lacks {', '.join(missing)}" if missing else f"has the URL {url!r}, expected a file beside the index"
        raise UserError(f"{file}: an image {problem} ({record.get('URL', 'no URL')}). Export the measurement again.")
    try:
        return Image(
            plate,
            f"{row_letters(int(record['Row']))}{int(record['Col']):02d}",
            str(int(record["FieldID"])),
            f"ch{int(record['ChannelID'])}",
            record.get("ChannelName") or f"ch{int(record['ChannelID'])}",
            int(record.get("TimepointID") or 1),
            int(record.get("PlaneID") or 1),
            f"{folder}/{url}" if folder else url,
        )
    except ValueError as error:
        raise UserError(f"{file}: image {url}: expected whole numbers ({error}). Export the measurement again.") from error


# -- the XML -----------------------------------------------------------------------------------------------------------


class _Collector:
    """Target of the parser: keeps the wanted texts of records, and nothing else of an index that may have 100 MB."""

    def __init__(self, file: Path):
        self.file, self.records = file, {section: [] for section in _RECORDS}
        self.depth, self.section, self.record, self.record_depth, self.text = 0, "", None, 0, None

    def doctype(self, *_) -> None:
        """Refuse what could expand without end; Harmony writes none."""
        raise UserError(f"{self.file}: the file has a DOCTYPE, which no index of Harmony has. Take the index as exported.")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        name = tag.rpartition("}")[2]
        if self.depth == 2:
            self.section = name
        elif self.record is None:
            if _RECORDS.get(self.section) == name:
                self.record, self.record_depth = dict(attributes), self.depth
        elif name in _WANTED and self.depth == self.record_depth + 1:
            self.text = []

    def data(self, text: str) -> None:
        if self.text is not None:
            self.text.append(text)

    def end(self, tag: str) -> None:
        if self.text is not None:
            self.record[tag.rpartition("}")[2]] = "".join(self.text).strip()
            self.text = None
        elif self.record is not None and self.depth == self.record_depth:
            self.records[self.section].append(self.record)
            self.record = None
        self.depth -= 1

    def index(self) -> _Index:
        channels: dict[str, dict[str, str]] = {}
        for entry in self.records["Maps"]:  # several maps may describe a channel, each in part
            channels.setdefault(entry.get("ChannelID", ""), {}).update(entry)
        return _Index(self.records["Plates"], channels, self.records["Images"])


def _parse(file: Path, until: str | None = None) -> _Index:
    """Read an index, or only its beginning: as soon as the section `until` has a record."""
    collector = _Collector(file)
    parser = ElementTree.XMLParser(target=collector)
    try:
        with open(file, "rb") as stream:
            while block := stream.read(1 << 16):
                parser.feed(block)
                if until and collector.records[until]:
                    return collector.index()
        parser.close()
    except ElementTree.ParseError as error:
        raise UserError(f"{file}: the index is damaged ({error}). Export the measurement again.") from error
    except OSError as error:
        raise UserError(f"{file}: the index cannot be read ({os.strerror(error.errno)}).") from error
    return collector.index()
