"""Samples cut out of a plate's fields, field by field, into one array."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import checksums, masks, parallel
from phenorep.errors import UserError
from phenorep.imaging import crops, illumination
from phenorep.sampling import WINDOW


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


@dataclass(frozen=True)
class Cutting:
    """How samples are cut out of a field."""

    channels: list[str]
    functions: np.ndarray  # (C, H, W) illumination functions
    masks: str | None  # file of the nuclei's masks; None: neighbours stay
    size: tuple[int, int]  # height and width of a sample
    dtype: np.dtype  # of the raw images and the samples
    on_bad_image: str

    def cut(self, image: np.ndarray, field: int, windows: np.ndarray, nuclei: np.ndarray | None) -> np.ndarray:
        """Samples (n, C, h, w) of a field, out of its corrected image (C, H, W).

        They lie at `windows` (n, 4) around their own `nuclei` (n,), which are None where neighbours stay.
        """
        windows = windows.tolist()
        pieces = [crops.cut(image, *window) for window in windows]
        if self.masks is not None:
            labels = self._labels(field, nuclei.max())
            around = (crops.cut(labels[None], *window)[0] for window in windows)
            pieces = [crops.without_others(*each) for each in zip(pieces, around, nuclei.tolist(), strict=True)]
        return np.stack([fitted(piece, self.size, self.dtype) for piece in pieces])

    def _labels(self, field: int, last: int) -> np.ndarray:
        """Label image of a field, in which there must be a nucleus `last`."""
        labels, shape = masks.read(self.masks, field), self.functions.shape[1:]
        if labels.shape != shape or labels.max() < last:
            raise UserError(
                f"{self.masks}: the masks of field {field} are {labels.shape} with nuclei up to {labels.max()}, but the "
                f"field is {shape} and the table of nuclei has its nucleus {last}. One step makes both files: remove them "
                "and run again."
            )
        return labels


def write(
    path: str | Path, table: pd.DataFrame, rows: list[dict], how: Cutting, threads: int
) -> tuple[dict[int, str], Sums, np.ndarray]:
    """Write the array.

    Returns
    -------
    problems
        The fields that could not be decoded, with the reason.
    sums
        Over all samples.
    checks
        Checksum of each sample, (N,) uint32; 0 in fields that could not be decoded.
    """
    shape = (len(table), len(how.channels), *how.size)
    header = {"descr": how.dtype.str, "fortran_order": False, "shape": shape}
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        offset = file.tell()
    groups = table.groupby("Field", sort=False).indices
    windows = table[list(WINDOW)].to_numpy()
    nuclei = table["Nucleus"].to_numpy() if how.masks else None
    items = []
    for row in rows:
        group = groups[row["Field"]]
        items.append((row, int(group[0]), windows[group], nuclei[group] if how.masks else None))
    problems, sums, checks = {}, Sums(len(how.channels)), np.zeros(len(table), np.uint32)
    results = parallel.in_order(_write_field, items, threads, (path, offset, how))
    for row, (problem, part, part_checks) in zip(rows, results, strict=True):
        if problem:
            logging.getLogger(__name__).warning("left out: %s", problem)
            problems[row["Field"]] = problem
        else:
            sums.merge(part)
            checks[groups[row["Field"]]] = part_checks
    return problems, sums, checks


def _write_field(path, offset: int, how: Cutting, item) -> tuple[str, Sums | None, np.ndarray | None]:
    """Write the samples of one field to their place in the array; also sum them up, and take the checksum of each."""
    row, start, windows, nuclei = item
    image = illumination.read_or_problem(row, how.channels, how.on_bad_image)
    if isinstance(image, str):
        return image, None, None
    image = illumination.apply(image, how.functions)
    if (windows[:, 2:] == how.size).all():
        image = illumination.to_raw(image, how.dtype)
    block = how.cut(image, row["Field"], windows, nuclei)
    # Not through a memory map: a full disk would then kill the process without a word.
    with open(path, "r+b") as file:
        file.seek(offset + start * block[0].nbytes)
        block.tofile(file)
    sums = Sums(len(block[0]))
    sums.add(block)
    return "", sums, checksums.of_samples(block)


def fitted(piece: np.ndarray, size: tuple[int, int], dtype: np.dtype) -> np.ndarray:
    """An image (C, H, W), resized where it is not of the given size, as raw integers."""
    if piece.shape[1:] != size:
        piece = crops.resize(piece, size)
    return piece if piece.dtype == dtype else illumination.to_raw(piece, dtype)
