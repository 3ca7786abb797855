"""Masks of a plate's nuclei: one label image per field, compressed, in one file."""

import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from phenorep import contracts
from phenorep.errors import UserError


@contextmanager
def writer(path: str | Path) -> Iterator[Callable[[int, np.ndarray], None]]:
    """Write label images one by one: yields a function of a field's row in the fields table and its labels.

    Labels are (H, W) integers: 0 is background, nucleus k of the field's nuclei is k. The file is there only when all are.
    """
    with contracts.replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as file:

        def add(field: int, labels: np.ndarray) -> None:
            kind = np.uint16 if not labels.size or labels.max() <= np.iinfo(np.uint16).max else np.uint32
            array = io.BytesIO()
            np.lib.format.write_array(array, np.ascontiguousarray(labels, kind), allow_pickle=False)
            # A ZipInfo has a fixed time: equal masks are equal files.
            entry = zipfile.ZipInfo(f"{field}.npy")
            file.writestr(entry, array.getbuffer(), zipfile.ZIP_DEFLATED, compresslevel=1)

        yield add


def read(path: str | Path, field: int) -> np.ndarray:
    """The labels (H, W) of a field, by its row in the fields table.

    Raises
    ------
    UserError
        If the file cannot be read, or has no labels of that field.
    """
    try:
        with np.load(path) as file:
            if str(field) in file:
                return file[str(field)]
    except (OSError, ValueError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path}: cannot be read as masks ({error}). Remove it and run again.") from error
    raise UserError(
        f"{path}: there are no masks of field {field}. A CellProfiler pipeline of your own must save its label images: see "
        "'preprocess: pipeline' in README."
    )
