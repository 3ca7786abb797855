"""Samples of a plate: cut out of its corrected images once, or looked up in another sample set's array (a view).

Samples lie in one uncompressed array per plate as raw integers, which training reads through a memory map: no file per cell,
no decoding, no scaling that could not be undone.
"""

import json
import logging
import math
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import contracts, parallel, preprocessing, sampling
from phenorep.errors import UserError
from phenorep.imaging import crops, illumination
from phenorep.sampling import PARENT, WINDOW


def make(samples: dict, preprocess: dict, inputs, outputs, threads: int) -> None:
    """Cut the samples of a plate out of its images and store them.

    A sample is the raw image divided by the illumination function, cut (and resized where the sample set says so), rounded
    and clipped to the raw type.

    Parameters
    ----------
    samples
        The sample set's block: ``use`` (a plug-in), ``keys`` and, if only some samples are wanted, ``where``.
    preprocess
        The configuration's block, as `preprocessing.stage` gives it.
    inputs
        Paths of the plate's `fields`, `illumination`, `nuclei` and `quality`, as attributes.
    outputs
        Paths of the `array` (N, C, H, W), the `table` (N rows) and the `statistics`, as attributes.
    threads
        Number of processes; the result does not depend on it.

    Raises
    ------
    ImageError
        For an image that cannot be decoded; under ``on_bad_image: exclude`` its field is left out instead.
    UserError
        If no sample is left.
    """
    on_bad_image = preprocessing.settings(preprocess).on_bad_image
    place = f"samples: {Path(outputs.table).parent.name}"
    fields = contracts.read_table(inputs.fields, "fields")
    channels = contracts.channels_of(fields.columns)
    table, rows, size, keys = sampling.cuts(samples, fields, inputs, place)
    functions = illumination.load(inputs.illumination, channels)
    dtype = np.dtype(f"<u{int(rows[0]['BitDepth']) // 8}")
    with contracts.replacing(outputs.array) as temporary:
        while True:
            left = set(table["Field"])
            rows = [row for row in rows if row["Field"] in left]
            problems, sums = _write(temporary, table, rows, channels, functions, size, dtype, on_bad_image, threads)
            if not problems:
                break
            # Images that were sound a step ago: rare enough to begin again without them.
            table = table[~table["Field"].isin(problems)].reset_index(drop=True)
            if table.empty:
                raise UserError(f"{inputs.fields}: none of the plate's fields can be decoded. Replace its images.")
        facts = {
            "channels": channels,
            "dtype": dtype.name,
            "intensity_max": contracts.about(inputs.fields).get("intensity_max"),
            "shape": [len(channels), *size],
            "illumination": str(inputs.illumination),
            "of": None,
        }
        _finish(table, facts, sums, samples | {"keys": keys}, outputs)


def make_view(samples: dict, inputs, outputs) -> None:
    """Write a sample set whose samples are windows of another set's, or some of them as they are.

    Parameters
    ----------
    samples
        The sample set's block: ``use`` (a plug-in; None takes whole samples), ``keys`` and ``where``.
    inputs
        Paths of the parent's `table` and `statistics`, and of the `array` that holds its samples, as attributes.
    outputs
        Paths of the `table` and the `statistics`, as attributes.
    """
    place = f"samples: {Path(outputs.table).parent.name}"
    parent = contracts.read_table(inputs.table, "samples")
    facts = read_statistics(inputs.statistics)
    table, size = sampling.view(samples, parent, facts, place)

    array = _open_array(inputs.array)
    sums = Sums(len(array[0]))
    for index, window in zip(table["Parent"], table[list(PARENT)].to_numpy(), strict=True):
        sums.add(_window(array[index], window, size)[None])
    facts = facts | {"shape": [facts["shape"][0], *size], "of": str(inputs.array)}
    _finish(table, facts, sums, samples, outputs)


class Sums:
    """Exact sums of raw integers per channel: the statistics do not depend on the order of the samples."""

    def __init__(self, channels: int):
        self.count = 0
        self.first, self.second = [0] * channels, [0] * channels

    def add(self, block: np.ndarray) -> None:
        """Add samples (n, C, H, W) of type uint8 or uint16."""
        self.count += block[:, 0].size
        for channel in range(block.shape[1]):
            histogram = np.bincount(block[:, channel].ravel())
            values = np.arange(len(histogram))
            self.first[channel] += int(histogram @ values)
            self.second[channel] += int(histogram @ values**2)

    def merge(self, other: "Sums") -> None:
        """Add what another one has summed up."""
        self.count += other.count
        self.first = [a + b for a, b in zip(self.first, other.first, strict=True)]
        self.second = [a + b for a, b in zip(self.second, other.second, strict=True)]

    def mean(self) -> list[float]:
        """Mean of each channel's pixels."""
        return [first / self.count for first in self.first]

    def std(self) -> list[float]:
        """Standard deviation of each channel's pixels."""
        pairs = zip(self.first, self.second, strict=True)
        return [math.sqrt(self.count * second - first**2) / self.count for first, second in pairs]


def read_statistics(path: str | Path) -> dict:
    """What stands beside a plate's samples: channels, dtype, shape, mean, std, ..."""
    try:
        return json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}). Remove the file and run again.") from error


def _write(path, table, rows, channels, functions, size, dtype, on_bad_image, threads) -> tuple[dict[int, str], Sums]:
    """Write the array; returns the fields that could not be decoded, and the sums over all samples."""
    header = {"descr": dtype.str, "fortran_order": False, "shape": (len(table), len(channels), *size)}
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        offset = file.tell()
    groups = table.groupby("Field", sort=False).indices
    items = [(row, int(groups[row["Field"]][0]), table.loc[groups[row["Field"]], list(WINDOW)].to_numpy()) for row in rows]
    shared = (path, offset, channels, functions, size, dtype, on_bad_image)
    problems, sums = {}, Sums(len(channels))
    for row, (problem, part) in zip(rows, parallel.in_order(_write_field, items, threads, shared), strict=True):
        if problem:
            logging.getLogger(__name__).warning("left out: %s", problem)
            problems[row["Field"]] = problem
        else:
            sums.merge(part)
    return problems, sums


def _write_field(path, offset, channels, functions, size, dtype, on_bad_image, item):
    """Write the samples of one field to their place in the array."""
    row, start, windows = item
    field = illumination.read_or_problem(row, channels, on_bad_image)
    if isinstance(field, str):
        return field, None
    field = illumination.apply(field, functions)
    if (windows[:, 2:] == size).all():
        field = illumination.to_raw(field, dtype)
    block = np.stack([_window(field, window, size, dtype) for window in windows])
    # Not through a memory map: a full disk would then kill the process without a word.
    with open(path, "r+b") as file:
        file.seek(offset + start * block[0].nbytes)
        block.tofile(file)
    sums = Sums(len(channels))
    sums.add(block)
    return "", sums


def _window(image: np.ndarray, window: np.ndarray, size: tuple[int, int], dtype: np.dtype | None = None) -> np.ndarray:
    """A window of an image (C, H, W), resized where it is not of the given size, as raw integers."""
    dtype = image.dtype if dtype is None else dtype
    piece = crops.cut(image, *(int(value) for value in window))
    if piece.shape[1:] != size:
        piece = crops.resize(piece, size)
    return piece if piece.dtype == dtype else illumination.to_raw(piece, dtype)


def _open_array(path: str | Path) -> np.ndarray:
    """A plate's samples (N, C, H, W), memory-mapped."""
    try:
        # As a plain array: slices of the memmap class cost ten times as much.
        return np.load(path, mmap_mode="r").view(np.ndarray)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as an array of samples ({error}). Remove it and run again.") from error


def _finish(table: pd.DataFrame, facts: dict, sums: Sums, samples: dict, outputs) -> None:
    facts = facts | {"count": len(table), "mean": sums.mean(), "std": sums.std()}
    about = {"illumination": facts["illumination"], "strategy": samples}
    contracts.write_table(table, outputs.table, "samples", about)
    contracts.write_json(facts, outputs.statistics)


class Samples:
    """The samples of several plates, read at random.

    Attributes
    ----------
    table
        All plates' samples tables, one after another: N rows.
    channels, size, dtype, intensity_max
        Channel names; (C, H, W); type of the raw integers; largest value of the camera, None if it fills the type.
    plate_index
        (N,) int: number of each sample's plate.
    means, stds
        (P, C): statistics of each plate's samples.
    """

    def __init__(self, table: pd.DataFrame, plate_index: np.ndarray, arrays: list[Path], facts: list[dict]):
        self.table, self.plate_index = table, plate_index
        self.channels: list[str] = facts[0]["channels"]
        self.size: tuple[int, int, int] = tuple(facts[0]["shape"])
        self.dtype = np.dtype(facts[0]["dtype"])
        self.intensity_max: int | None = facts[0]["intensity_max"]
        self.means = np.array([entry["mean"] for entry in facts])
        self.stds = np.array([entry["std"] for entry in facts])
        self._paths = arrays
        self._opened: dict[int, np.ndarray] = {}
        first = np.flatnonzero(np.diff(plate_index, prepend=-1))
        self._rows = np.arange(len(table)) - first[np.searchsorted(plate_index[first], plate_index)]
        self._windows = None
        if "Parent" in table:
            self._rows = table["Parent"].to_numpy()
            self._windows = table[list(PARENT)].to_numpy()

    @classmethod
    def open(cls, parquets: list[str | Path], jsons: list[str | Path]) -> "Samples":
        """Open the samples of some plates; an array lies beside its table, or where a view's statistics say.

        Raises
        ------
        UserError
            If the plates differ in channels, size or type.
        """
        facts = [read_statistics(path) for path in jsons]
        for path, entry in zip(jsons, facts, strict=True):
            for key in ("channels", "shape", "dtype", "intensity_max"):
                if entry[key] != facts[0][key]:
                    raise UserError(
                        f"{path}: {key} is {entry[key]}, but {facts[0][key]} in {jsons[0]}. Plates of one sample set must "
                        "agree: mend the dataset's table or leave a plate out."
                    )
        tables = [contracts.read_table(path, "samples") for path in parquets]
        arrays = [Path(entry["of"] or Path(path).with_suffix(".npy")) for path, entry in zip(parquets, facts, strict=True)]
        plate_index = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
        return cls(pd.concat(tables, ignore_index=True), plate_index, arrays, facts)

    def __len__(self) -> int:
        return len(self.table)

    def __getstate__(self) -> dict:  # a worker process opens the arrays itself
        return self.__dict__ | {"_opened": {}}

    def read(self, indices) -> np.ndarray:
        """Raw integers (B, C, H, W) of the samples at `indices`, in their order."""
        indices = np.asarray(indices, np.int64)
        plates, rows = self.plate_index[indices], self._rows[indices]
        batch = np.empty((len(indices), *self.size), self.dtype)
        # In the order in which they lie on the disk.
        for position in np.lexsort((rows, plates)):
            image = self._array(plates[position])[rows[position]]
            if self._windows is not None:
                image = _window(image, self._windows[indices[position]], self.size[1:])
            batch[position] = image
        return batch

    def _array(self, plate: int) -> np.ndarray:
        if plate not in self._opened:
            self._opened[plate] = _open_array(self._paths[plate])
        return self._opened[plate]
