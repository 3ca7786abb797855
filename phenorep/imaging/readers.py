"""Read one grey image per file: TIFF, BMP or PNG, 8 or 16 bits.

Microscopes and viewers wrap the same grey image in different ways: a palette that is a grey ramp, or three equal colour
channels. Both give the grey values back. Whatever has no single right reading (colour, stacks, inverted or signed values) is
refused rather than guessed.

A header is not believed (`imaging.promises`): no more memory is taken than an image of 1 GiB needs.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from phenorep.errors import UserError
from phenorep.imaging import promises

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # little and big endian, classic and BigTIFF
_PNG = b"\x89PNG\r\n\x1a\n"
_BMP = b"BM"


class ImageError(UserError):
    """An image file that cannot be used.

    Parameters
    ----------
    path
        The file.
    problem
        What was found and what was expected, as a sentence.
    """

    def __init__(self, path: str | Path, problem: str):
        super().__init__(
            f"{path}: {problem} Replace the file, or leave its field out with 'preprocess: on_bad_image: exclude'."
        )
        self.path = str(path)
        self.problem = problem

    def __reduce__(self):  # the default would call the class with the message alone when a worker process sends it back
        return type(self), (self.path, self.problem)


def header(path: str | Path) -> tuple[int, int, int]:
    """Size and bit depth of an image, from its header alone.

    Returns
    -------
    tuple of int
        Height and width in pixels, and bits per pixel of the array that `read` returns: 8 or 16.

    Raises
    ------
    ImageError
        If the file is missing, empty, of another kind, or shorter than its header promises.
    """
    return _open(path, pixels=False)[0]


def read(path: str | Path) -> np.ndarray:
    """Grey values of an image.

    Returns
    -------
    numpy.ndarray
        Array (height, width) of type uint8 or uint16, as stored: not scaled.

    Raises
    ------
    ImageError
        As `header` does, and if the pixels cannot be decoded or are in colour.
    """
    shape, image = _open(path, pixels=True)
    if image.shape != shape[:2] or image.dtype.itemsize * 8 != shape[2]:
        raise ImageError(path, f"The pixels are {image.shape} {image.dtype}, the header says {shape}.")
    return np.ascontiguousarray(image, image.dtype.newbyteorder("="))


def read_field(row, channels: Sequence[str]) -> np.ndarray:
    """All channels of one field.

    Parameters
    ----------
    row
        A row of the fields table: a mapping with ``FileName_{channel}``, ``PathName_{channel}``, ``Height``, ``Width`` and
        ``BitDepth``.
    channels
        Channel names, in the order of the result.

    Returns
    -------
    numpy.ndarray
        Array (channels, height, width) of type uint8 or uint16.

    Raises
    ------
    ImageError
        If an image cannot be read or does not match the table: it was replaced after the table was written.
    """
    expected = (int(row["Height"]), int(row["Width"]))
    dtype = np.dtype(f"uint{int(row['BitDepth'])}")
    field = np.empty((len(channels), *expected), dtype)
    for index, channel in enumerate(channels):
        path = Path(row[f"PathName_{channel}"]) / row[f"FileName_{channel}"]
        image = read(path)
        if image.shape != expected or image.dtype != dtype:
            raise ImageError(path, f"The image is {image.shape} {image.dtype}, the fields table says {expected} {dtype}.")
        field[index] = image
    return field


def _open(path: str | Path, pixels: bool) -> tuple[tuple[int, int, int], np.ndarray | None]:
    path = Path(path)
    try:
        # A pipe would keep whoever opens it waiting for somebody who writes to it.
        kind = os.stat(path).st_mode
        if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
            raise ImageError(path, "This is a pipe or a device, expected a file.")
        with open(path, "rb") as file:
            start = file.read(8)
            length = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        raise ImageError(path, "There is no such file.") from None
    except OSError as error:
        raise ImageError(path, f"The file cannot be opened ({error.strerror}).") from error
    except ValueError as error:  # a name that cannot be one, with a NUL in it
        raise ImageError(path, f"The file cannot be opened ({error}).") from error
    if not length:
        raise ImageError(path, "The file is empty.")
    if start.startswith(_TIFF):
        reader = _open_tiff
    elif start.startswith((_PNG, _BMP)):
        reader = _open_with_pillow
    else:
        raise ImageError(path, f"Expected a TIFF, BMP or PNG image; the file starts with {start!r}.")
    try:
        return reader(path, length, pixels)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(path, "The memory is not enough to decode the image.") from error
    except Exception as error:  # damaged files make the decoders raise nearly anything
        raise ImageError(path, f"The image is damaged ({type(error).__name__}: {error}).") from error


def _believed(path: Path, check, *arguments) -> None:
    """Make an `ImageError` of what is wrong with a header's promises."""
    try:
        check(*arguments)
    except ValueError as error:
        raise ImageError(path, str(error)) from error


def _open_tiff(path: Path, length: int, pixels: bool):
    import tifffile

    _believed(path, promises.check_tags, path, length)
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        pages = sum(not other.is_reduced for other in tiff.pages) if len(tiff.pages) > 1 else 1
        stacked = page.tags.get("UIC2tag")  # a MetaMorph stack is one page whose planes follow each other
        planes = max(pages, stacked.count if stacked else 1, page.imagedepth)
        if planes > 1:
            raise ImageError(
                path, f"The file holds {planes} images, expected one: save each channel or plane as its own file."
            )
        if page.dtype not in (np.uint8, np.uint16):
            raise ImageError(path, f"The pixels are {page.dtype}, expected uint8 or uint16.")
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
            raise ImageError(path, "The grey values are stored inverted (0 is white): save the image with 0 as black.")
        end = max(offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False))
        if page.compression == tifffile.COMPRESSION.NONE:
            bits = page.imagelength * page.imagewidth * page.samplesperpixel * page.bitspersample
            end = max(end, min(page.dataoffsets) + bits // 8)  # where the byte counts are false
        if end > length:
            raise ImageError(path, f"The file is truncated: it has {length} bytes, its header promises at least {end}.")
        for height, width in ((page.imagelength, page.imagewidth), (page.tilelength or 1, page.tilewidth or 1)):
            _believed(path, promises.check_size, height, width, page.samplesperpixel, page.dtype.itemsize)
        shape = (page.imagelength, page.imagewidth, page.dtype.itemsize * 8)
        _believed(path, promises.check_compression, page)
        ramp = _ramp(path, page.colormap.T) if page.photometric == tifffile.PHOTOMETRIC.PALETTE else None
        if not pixels:
            return shape, None
        _believed(path, promises.check_strips, path, page)
        image = page.asarray()
    if ramp is not None:
        image = ramp[image]
    elif image.ndim == 3 and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
        image = np.moveaxis(image, 0, -1)
    return shape, _grey(path, image)


def _open_with_pillow(path: Path, length: int, pixels: bool):
    from PIL import Image

    with open(path, "rb") as file:
        start = file.read(26)
        file.seek(max(0, length - 1024))
        end = file.read()
    if start.startswith(_PNG):
        bits, colour = start[24], start[25]
        if b"IEND" not in end:
            raise ImageError(path, "The file is truncated: the end mark of a PNG image is missing.")
        if bits < 8 or (bits == 16 and colour != 0):  # Pillow would quietly bring colour of 16 bits down to 8
            raise ImageError(
                path, f"The PNG image has {bits} bits per channel, expected grey of 8 or 16, or equal colours of 8."
            )
    if Image.MAX_IMAGE_PIXELS is not None:  # Pillow's own limit refuses fields of 15 000 x 15 000 pixels
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, promises.LARGEST)
    with Image.open(path) as image:
        _believed(path, promises.check_size, image.height, image.width, {"I;16": 2}.get(image.mode, len(image.mode)))
        codec, _, offset, arguments = image.tile[0]
        if codec == "raw" and offset + arguments[1] * image.height > length:
            needed = offset + arguments[1] * image.height
            raise ImageError(path, f"The file is truncated: it has {length} bytes, its header promises at least {needed}.")
        if image.mode not in ("L", "P", "LA", "RGB", "RGBA", "I;16"):
            raise ImageError(path, f"The pixels are of kind '{image.mode}', expected grey of 8 or 16 bits.")
        shape = (image.height, image.width, 16 if image.mode == "I;16" else 8)
        ramp = None
        if image.mode == "P":
            ramp = _ramp(path, np.array(image.getpalette("RGB"), np.uint16).reshape(-1, 3))
        if not pixels:
            return shape, None
        array = np.asarray(image)
    if ramp is not None:
        return shape, ramp[array]
    if image.mode in ("LA", "RGBA"):  # opacity carries no intensity
        array = array[..., :-1]
    return shape, _grey(path, array)


def _ramp(path: Path, palette: np.ndarray) -> np.ndarray:
    """Grey value (uint8) of each index of a palette: an array (colours, 3) in 0..255, or in 0..65535 as TIFF has it."""
    if len(palette) > 256 or (palette != palette[:, :1]).any():
        raise ImageError(path, "The image has a palette of colours: save it as grey values.")
    ramp = np.zeros(256, np.uint8)
    # Some writers fill the 16 bits of a TIFF palette only to 255.
    ramp[: len(palette)] = palette[:, 0] >> (8 if palette.max() > 255 else 0)
    return ramp


def _grey(path: Path, image: np.ndarray) -> np.ndarray:
    """One plane of an image whose colour channels (last axis), if it has any, are equal."""
    if image.ndim == 2:
        return image
    if image.ndim != 3 or (image[..., :3] != image[..., :1]).any():
        raise ImageError(path, "The image is in colour: save each channel as its own grey image.")
    return image[..., 0]
