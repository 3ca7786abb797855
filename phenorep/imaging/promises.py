"""What an image's header promises, checked before a decoder believes it.

Decoders take the memory that a header asks for, so a file of a few bytes can ask for all there is. tifffile moreover reads
the values of all tags as it opens a file, and a file with holes costs nothing on the disk.
"""

import struct
from pathlib import Path
from typing import NamedTuple

from phenorep.imaging.planes import Refused

LARGEST = 2**30  # bytes of an image as decoded: 23 000 x 23 000 pixels of 16 bits
# Pages that are looked at; a file that holds more is no image of one plane.
PAGES = 1000
_TAGS = 4096
# Values of one tag beyond which it is no list of an image's strips or tiles; of bytes there may be more: private notes.
_VALUES, _BYTES = 2**20, 2**26
_OF_BYTES = (1, 2, 6, 7)
# Compressions whose decoder is told how much to write: none, LZW, deflate, PackBits, LZMA, Zstandard.
_TOLD = frozenset({1, 5, 8, 32946, 32773, 34925, 34926, 50000})
_JPEG, _JPEG2000 = frozenset({7, 33007, 34892}), frozenset({33003, 33004, 33005, 34712})
_START = 1 << 16  # bytes of a strip in which its own header is looked for


def check_size(height: int, width: int, *bytes_per_pixel: int) -> None:
    """Raise `Refused` unless an image of that size can be one."""
    size = int(height) * int(width)
    for count in bytes_per_pixel:
        size *= int(count)
    if height < 1 or width < 1:
        raise Refused(f"The header says {height} x {width} pixels, expected at least one.")
    if size > LARGEST:
        raise Refused(
            f"The header says {height} x {width} pixels, {size} bytes; an image may have {LARGEST}. If that is its size, "
            "cut it into tiles."
        )


def check_tags(path: Path, length: int) -> None:
    """Raise `Refused` if a TIFF of `length` bytes has more pages, tags or values than images need."""
    with open(path, "rb") as file:
        start = file.read(16)
        order, big = "<" if start[:1] == b"I" else ">", b"+" in start[2:4]
        place, count, entry = (order + kind for kind in (("Q", "Q", "HHQQ") if big else ("I", "H", "HHII")))
        seen: set[int] = set()
        try:
            (page,) = struct.unpack_from(place, start, 8 if big else 4)
            while page and page not in seen:
                seen.add(page)
                if len(seen) > PAGES:
                    raise Refused(f"The file holds more than {PAGES} images, expected one.")
                file.seek(page)
                (number,) = struct.unpack(count, file.read(struct.calcsize(count)))
                if number > _TAGS:
                    raise Refused(f"A page has {number} tags, expected some twenty.")
                for tag, kind, values, _ in struct.iter_unpack(entry, file.read(number * struct.calcsize(entry))):
                    if values > min(length, _BYTES if kind in _OF_BYTES else _VALUES):
                        raise Refused(f"The tag {tag} is said to have {values} values, more than an image needs.")
                (page,) = struct.unpack(place, file.read(struct.calcsize(place)))
        except (struct.error, OSError, OverflowError) as error:
            raise Refused(f"The file is truncated: a page's tags are not in its {length} bytes.") from error


def check_compression(page) -> None:
    """Raise `Refused` if it is not known how much a page (of tifffile) may be when decoded."""
    if page.compression not in _TOLD | _JPEG | _JPEG2000:
        name = getattr(page.compression, "name", page.compression)
        raise Refused(f"The compression {name} is not read: save the image with LZW, deflate or without compression.")


def check_strips(path: Path, page) -> None:
    """Raise `Refused` if what is compressed in a page (of tifffile) has a larger size of its own."""
    if page.compression in _TOLD:
        return
    with open(path, "rb") as file:
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
            file.seek(offset)
            start = file.read(min(count, _START))
            frame = _of_jpeg(start) if page.compression in _JPEG else _of_jpeg2000(start)
            if frame is None:
                raise Refused("The image is damaged (a compressed strip has no header).")
            check_size(frame.height, frame.width, frame.planes, 1 if frame.bits <= 8 else 2)
            # Values that do not fit would be cut without a word.
            if frame.signed or frame.bits > page.bitspersample:
                kind = f"{'signed' if frame.signed else 'unsigned'} values of {frame.bits} bits"
                raise Refused(f"A compressed strip has {kind}, the page says {page.bitspersample} unsigned bits.")


class _Frame(NamedTuple):
    """What the header of a compressed strip or tile states."""

    height: int
    width: int
    planes: int
    bits: int
    signed: bool = False


def _of_jpeg(start: bytes) -> _Frame | None:
    """What the first frame's header of a JPEG states."""
    place = 2
    while place + 10 <= len(start) and start[place] == 0xFF:
        marker = start[place + 1]
        if marker == 0xFF:  # filling
            place += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            bits, height, width, planes = struct.unpack_from(">BHHB", start, place + 4)
            return _Frame(height, width, max(1, planes), bits)
        else:
            place += 2 if 0xD0 <= marker <= 0xD8 else 2 + struct.unpack_from(">H", start, place + 2)[0]
    return None


def _of_jpeg2000(start: bytes) -> _Frame | None:
    """The same of a JPEG 2000: its codestream may be wrapped."""
    place = start.find(b"\xff\x4f\xff\x51")
    if place < 0 or place + 43 > len(start):
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", start, place + 8)
    planes, depth = struct.unpack_from(">HB", start, place + 40)
    return _Frame(max(0, bottom - top), max(0, right - left), max(1, planes), (depth & 127) + 1, depth > 127)
