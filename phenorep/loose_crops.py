"""Crops that were cut elsewhere, one file each or many in an array, as a sample set in the store's format."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import contracts, cutting, notes
from phenorep.errors import UserError
from phenorep.imaging import intensity, planes, readers
from phenorep.order import natural

IMAGES = (".tif", ".tiff", ".png", ".bmp")
ARRAYS = (".npy",)
_OTHERS = (".jpg", ".jpeg", ".jp2", ".gif", ".webp", ".npz", ".czi", ".nd2", ".lif", ".h5")  # may hold crops; not read


@dataclass(frozen=True)
class CropPlate:
    """The crops that are scaled together: those of one folder, or of one array of many."""

    name: str
    files: list[Path]
    many: bool  # one array (N, C, H, W)

    def crops(self, channels: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
        """Name and pixels (channels, H, W) of each crop, whose planes have these names."""
        for path in self.files:
            if self.many:
                array = _array(path)
                for number, crop in enumerate(array):
                    yield f"{path.as_posix()}/{number + 1}", _planes(crop, len(channels), path)
            else:
                yield path.as_posix(), read(path, channels)


def found(places: Sequence[str | Path]) -> list[CropPlate]:
    """The crops below folders, or those that are named one by one; plates in the order of their names.

    Raises
    ------
    UserError
        If a place is not there, or holds no image.
    """
    files: list[Path] = []
    for place in map(Path, places):
        if not place.exists():
            raise UserError(f"{place}: there is no such file or folder. Name crops, their folder, or a table of fields.")
        below = _files(place)
        own = [path for path in below if path.suffix.lower() in (*IMAGES, *ARRAYS)]
        if not own:
            kinds = ", ".join((*IMAGES, *ARRAYS))
            raise UserError(f"{place}: holds no image ({kinds}). Name crops, their folder, or a table of fields.")
        if others := [path for path in below if path.suffix.lower() in _OTHERS]:
            notes.say(f"{place}: {len(others)} images are left out, of kinds that are not read; the first is {others[0]}.")
        files += own
    files = list(dict.fromkeys(files))
    arrays = [path for path in files if path.suffix.lower() in ARRAYS and _array(path).ndim == 4]
    folders: dict[str, list[Path]] = {}
    for path in files:
        if path not in arrays:
            folders.setdefault(path.parent.as_posix(), []).append(path)
    plates = [CropPlate(name, own, False) for name, own in folders.items()]
    return plates + [CropPlate(path.with_suffix("").as_posix(), [path], True) for path in arrays]


def _files(place: Path) -> list[Path]:
    """The files of a folder, in the order of their names; a file itself."""
    below = [place] if place.is_file() else sorted(place.rglob("*"), key=lambda path: natural(path.as_posix()))
    return [path for path in below if path.is_file()]


def store(plate: CropPlate, channels: Sequence[str], intensity_max: int | None, outputs) -> None:
    """Write the crops as a plate's samples: `array`, `table` and `statistics`, as `phenorep.store` does.

    Parameters
    ----------
    channels
        Names of the crops' planes in their order.
    intensity_max
        Largest grey value of the camera; None: that of the crops' type.

    Raises
    ------
    UserError
        If a crop cannot be read, differs from the first in size or type, or has pixels above `intensity_max`.
    """
    count = len(_array(plate.files[0])) if plate.many else len(plate.files)
    if not count:
        raise UserError(f"{plate.files[0]}: the array holds no crop.")
    names, sums, first = [], cutting.Sums(len(channels)), None
    with contracts.replacing(outputs.array) as temporary, open(temporary, "wb") as file:
        for name, crop in plate.crops(channels):
            if first is None:
                first = crop
                header = {"descr": crop.dtype.str, "fortran_order": False, "shape": (count, *crop.shape)}
                np.lib.format.write_array_header_1_0(file, header)
            if crop.shape != first.shape or crop.dtype != first.dtype:
                raise UserError(
                    f"{name}: is {_words(crop)}, but {names[0]} is {_words(first)}. Cut all crops of a folder with one size."
                )
            intensity.check_range(crop, intensity_max, name)
            crop.tofile(file)
            sums.add(crop[None])
            names.append(name)
    largest = int(np.iinfo(first.dtype).max)
    if intensity_max is not None and intensity_max > largest:
        raise UserError(f"--intensity-max {intensity_max}: the crops of {plate.name} are {first.dtype}: {largest} at most.")
    facts = {
        "dataset": None,
        "channels": list(channels),
        "dtype": first.dtype.name,
        "intensity_max": intensity_max or largest,
        "pixel_size_um": None,
        "shape": list(first.shape),
        "fields": None,
        "illumination": None,
        "masks": None,
        "of": None,
    }
    table = pd.DataFrame({"Metadata_Plate": plate.name, "Metadata_Well": "", "Metadata_Site": "", "Sample": names})
    contracts.write_table(table, outputs.table, "samples", facts)
    measured = {"count": count, "mean": sums.mean(), "std": sums.std(), "sums": sums.first}
    contracts.write_facts(facts | measured, outputs.statistics)


def read(path: Path, channels: Sequence[str]) -> np.ndarray:
    """Pixels (channels, H, W) of the crop in a file, whose planes have these names.

    Raises
    ------
    UserError
        If the file cannot be read, in one way only, as these channels of grey values.
    """
    if path.suffix.lower() in ARRAYS:
        return _planes(np.array(_array(path)), len(channels), path)
    try:
        return readers.read_planes(path, channels)
    except readers.ImageError as error:
        raise UserError(f"{path}: cannot be used as a crop. {error.problem} Replace the file or take it away.") from error


def _array(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: cannot be read as an array ({error}). Replace the file or take it away.") from error


def _planes(pixels: np.ndarray, channels: int, path: Path) -> np.ndarray:
    """Pixels (channels, H, W) in the machine's byte order."""
    if pixels.dtype.kind != "u" or pixels.dtype.itemsize > 2:
        raise UserError(
            f"{path}: the pixels are {pixels.dtype}, expected uint8 or uint16: grey values as the camera gave them."
        )
    if pixels.ndim == 2:
        pixels = pixels[None]
    elif pixels.ndim == 3 and len(pixels) != channels and pixels.shape[2] == channels:
        pixels = np.moveaxis(pixels, 2, 0)
    if pixels.ndim != 3 or len(pixels) != channels:
        raise UserError(
            f"{path}: its shape is {pixels.shape}, but --channels names {channels}. Name the planes of the crops in their "
            "order, each once. Of images with one channel each, the command `table` makes a table of fields."
        )
    try:
        planes.check_offset(pixels)
    except planes.Refused as error:
        raise UserError(f"{path}: cannot be used as a crop. {error} Replace the file or take it away.") from error
    return np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))


def _words(crop: np.ndarray) -> str:
    return f"{crop.shape[1]} x {crop.shape[2]} pixels of {crop.dtype}"
