"""Read grey images: TIFF, BMP or PNG, 8 or 16 bits; one per file, or the planes of a crop.

Microscopes and viewers wrap the same grey image in different ways: a palette that is a grey ramp, or three equal colour
channels. Both give the grey values back. Whatever has no single right reading (colour, stacks, inverted or signed values) is
refused rather than guessed. What is read and what is refused stands in `imaging.tiff` and `imaging.png`.

A header is not believed (`imaging.promises`): no more memory is taken than an image of 1 GiB needs.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from phenorep.errors import UserError
from phenorep.imaging import planes, png, tiff


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
    return _open(path, pixels=False).shape


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
    stored = _open(path, pixels=True)
    image = _told(path, planes.grey, stored)
    if image.shape != stored.shape[:2] or image.dtype.itemsize * 8 != stored.shape[2]:
        raise ImageError(path, f"The pixels are {image.shape} {image.dtype}, the header says {stored.shape}.")
    return np.ascontiguousarray(image, image.dtype.newbyteorder("="))


def read_planes(path: str | Path, channels: Sequence[str]) -> np.ndarray:
    """Grey values of a crop that has several channels in one file: pages, planes, or colours of a picture.

    Parameters
    ----------
    channels
        Names of the channels in the order of the planes. For one, equal colours are grey.

    Returns
    -------
    numpy.ndarray
        Array (channels, height, width) of type uint8 or uint16, as stored: not scaled.

    Raises
    ------
    ImageError
        As `read` does, and if the file has another number of planes, calls them otherwise, or has some in other files.
    """
    stored = _open(path, pixels=True, several=True)
    values = _told(path, planes.named, stored, channels)
    return np.ascontiguousarray(values, values.dtype.newbyteorder("="))


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


def _open(path: str | Path, pixels: bool, several: bool = False) -> planes.Stored:
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
    if start.startswith(tiff.STARTS):
        return _told(path, tiff.read, path, length, pixels, several)
    if start.startswith((png.PNG, png.BMP)):
        return _told(path, png.read, path, length, pixels)
    raise ImageError(path, f"Expected a TIFF, BMP or PNG image; the file starts with {start!r}.")


def _told(path: str | Path, function, *arguments):
    """The function's result; what is wrong with the file as an `ImageError`."""
    try:
        return function(*arguments)
    except planes.Refused as error:
        raise ImageError(path, str(error)) from error
    except MemoryError as error:
        raise ImageError(path, "The memory is not enough to decode the image.") from error
    except Exception as error:  # damaged files make the decoders raise nearly anything
        raise ImageError(path, f"The image is damaged ({type(error).__name__}: {error}).") from error
