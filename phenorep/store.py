"""Samples of a plate: cut out of its corrected images once, or looked up in another sample set's array (a view).

Samples lie in one uncompressed array per plate as raw integers, which training reads through a memory map: no file per cell,
no decoding, no scaling that could not be undone.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import blas, checksums, contracts, cutting, preprocessing, sampling
from phenorep.errors import UserError
from phenorep.imaging import crops, illumination
from phenorep.sampling import PARENT


@blas.single_thread()
def make(samples: dict, preprocess: dict, inputs, outputs, threads: int) -> None:
    """Cut the samples of a plate out of its images and store them.

    A sample is the raw image divided by the illumination function, cut (other nuclei masked and the window resized where the
    sample set says so), rounded and clipped to the raw type.

    Parameters
    ----------
    samples
        The sample set's block: ``use`` (a plug-in), ``keys`` and, if only some samples are wanted, ``where``.
    preprocess
        The configuration's block, as `preprocessing.stage` gives it.
    inputs
        Paths of the plate's `fields`, `illumination`, `nuclei`, `quality` and, where neighbours are masked, `masks`, as
        attributes.
    outputs
        Paths of the `array` (N, C, H, W), the `table` (N rows) and the `statistics`, as attributes. The last two state all
        that is needed to make a sample again: the fields table, whose row is the sample's `Field`, the illumination
        functions, the masks, the window, type and largest intensity.
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
    about = contracts.about(inputs.fields)
    channels = contracts.channels_of(fields.columns)
    table, rows, size, keys = sampling.cuts(samples, fields, inputs, about, place)
    dtype = np.dtype(f"<u{int(rows[0]['BitDepth']) // 8}")
    how = cutting.Cutting(
        channels=channels,
        functions=illumination.load(inputs.illumination, channels),
        masks=str(inputs.masks) if keys.get("neighbours") == "mask" else None,
        size=size,
        dtype=dtype,
        on_bad_image=on_bad_image,
    )
    with contracts.replacing(outputs.array) as temporary:
        while True:
            left = set(table["Field"])
            rows = [row for row in rows if row["Field"] in left]
            problems, sums, checks = cutting.write(temporary, table, rows, how, threads)
            if not problems:
                break
            # Images that were sound a step ago: rare enough to begin again without them.
            table = table[~table["Field"].isin(problems)].reset_index(drop=True)
            if table.empty:
                raise UserError(f"{inputs.fields}: none of the plate's fields can be decoded. Replace its images.")
        facts = {
            "dataset": about.get("dataset"),
            "channels": channels,
            "dtype": dtype.name,
            # A dataset that states nothing is taken at its files' word: all of their range may be used.
            "intensity_max": about.get("intensity_max") or int(np.iinfo(dtype).max),
            "pixel_size_um": about.get("pixel_size_um"),  # of the images; a sample's is this by its window over its shape
            "shape": [len(channels), *size],
            "fields": str(inputs.fields),
            "illumination": str(inputs.illumination),
            "masks": how.masks,
            "of": None,
            # How it was done: an encoder's file states it, and other images are treated alike.
            "preparation": {
                "samples": [_block(samples, keys)],
                "on_bad_image": on_bad_image,
                "illumination": illumination.about(inputs.illumination).get("settings"),
                **_search(inputs.nuclei),
            },
        }
        _finish(table, checks, facts, sums, outputs)


@blas.single_thread()
def make_view(samples: dict, inputs, outputs) -> None:
    """Write a sample set whose samples are windows of another set's, or some of them as they are.

    Parameters
    ----------
    samples
        The sample set's block: ``use`` (a plug-in; None takes whole samples), ``keys`` and ``where``.
    inputs
        Paths of the parent's `table` and `statistics`, of the `array` that holds its samples and, where samples are left out
        by it, of their `abnormality`, as attributes.
    outputs
        Paths of the `table` and the `statistics`, as attributes.
    """
    place = f"samples: {Path(outputs.table).parent.name}"
    parent = contracts.read_table(inputs.table, "samples").drop(columns=checksums.COLUMN, errors="ignore")
    facts = read_statistics(inputs.statistics)
    if given := getattr(inputs, "abnormality", None):
        parent = with_abnormality(parent, given, Path(outputs.table).stem)
    table, size, keys = sampling.view(samples, parent, facts, place)

    array = _open_array(inputs.array)
    sums, checks = cutting.Sums(len(array[0])), np.zeros(len(table), np.uint32)
    for row, (index, window) in enumerate(zip(table["Parent"], table[list(PARENT)].to_numpy(), strict=True)):
        sample = _window(array[index], window, size)[None]
        sums.add(sample)
        checks[row] = checksums.of_samples(sample)[0]
    facts = facts | {"shape": [facts["shape"][0], *size], "of": str(inputs.array)}
    if made := facts.get("preparation"):
        facts["preparation"] = made | {"samples": [*made["samples"], _block(samples, keys)]}
    _finish(table, checks, facts, sums, outputs)


def with_abnormality(table: pd.DataFrame, path: str | Path, plate: str) -> pd.DataFrame:
    """A plate's samples with the column `abnormality`.

    Raises
    ------
    UserError
        If it was not computed, or not of these samples.
    """
    if reason := contracts.not_run(path):
        raise UserError(f"{path}: the abnormality of samples was not computed: {reason}")
    known = contracts.read_table(path, "abnormality", ["Metadata_Plate", "Sample", "abnormality"])
    known = known[known["Metadata_Plate"] == plate].set_index("Sample")["abnormality"]
    values = known.reindex(table["Sample"]).to_numpy()
    if np.isnan(values).any():
        raise UserError(
            f"{path}: has no abnormality of {np.isnan(values).sum()} samples of plate {plate}. Remove it and run again."
        )
    return table.assign(abnormality=values)


def read_statistics(path: str | Path) -> dict:
    """What stands beside a plate's samples: channels, dtype, shape, mean, std, ..."""
    return contracts.read_facts(path)


def _window(image: np.ndarray, window: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A window of raw samples (C, H, W), resized where it is not of the given size."""
    return cutting.fitted(crops.cut(image, *window.tolist()), size, image.dtype)


def _open_array(path: str | Path) -> np.ndarray:
    """A plate's samples (N, C, H, W), memory-mapped."""
    try:
        # As a plain array: slices of the memmap class cost ten times as much.
        return np.load(path, mmap_mode="r").view(np.ndarray)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as an array of samples ({error}). Remove it and run again.") from error


def _block(samples: dict, keys: dict) -> dict:
    """How samples are cut out of their images, with all keys of the strategy."""
    return {"use": samples["use"], "keys": keys} | ({"where": samples["where"]} if samples.get("where") else {})


def _search(nuclei: str | Path) -> dict:
    """How nuclei were found."""
    about = contracts.about(nuclei)
    return {"engine": about.get("engine"), "pipeline": about.get("pipeline"), "nuclei": about.get("settings")}


def _finish(table: pd.DataFrame, checks: np.ndarray, facts: dict, sums: cutting.Sums, outputs) -> None:
    # The exact sums of all samples are the array's checksum (see `Samples.check`): whoever reads it all needs no other. Who
    # reads some samples compares these by their own.
    table = table.assign(**{checksums.COLUMN: checks})
    facts = facts | {"count": len(table), "mean": sums.mean(), "std": sums.std(), "sums": sums.first}
    measured = ("count", "mean", "std", "sums")
    about = {key: value for key, value in facts.items() if key not in measured}
    contracts.write_table(table, outputs.table, "samples", about)
    contracts.write_facts(facts, outputs.statistics)


class Samples:
    """The samples of several plates, read at random.

    Attributes
    ----------
    table
        All plates' samples tables, one after another: N rows.
    facts
        What stands beside each plate's samples.
    channels, size, dtype, intensity_max
        Channel names; (C, H, W); type of the raw integers; largest value of the camera.
    plate_index
        (N,) int: number of each sample's plate.
    means, stds
        (P, C): statistics of each plate's samples.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        plate_index: np.ndarray,
        arrays: list[Path],
        facts: list[dict],
        checks: np.ndarray | None = None,
    ):
        self.table, self.plate_index, self.facts = table, plate_index, facts
        self.channels: list[str] = facts[0]["channels"]
        self.size: tuple[int, int, int] = tuple(facts[0]["shape"])
        self.dtype = np.dtype(facts[0]["dtype"])
        self.intensity_max: int = facts[0]["intensity_max"]
        self.means = np.array([entry["mean"] for entry in facts])
        self.stds = np.array([entry["std"] for entry in facts])
        self._sums = [entry.get("sums") for entry in facts]
        self._checks = checks  # (N,) int64, -1 where there is none
        self._paths = arrays
        self._opened: dict[int, np.ndarray] = {}
        first = np.flatnonzero(np.diff(plate_index, prepend=-1))
        self._rows = np.arange(len(table)) - first[np.searchsorted(plate_index[first], plate_index)]
        self._windows = None
        if "Parent" in table:
            self._rows = table["Parent"].to_numpy()
            self._windows = table[list(PARENT)].to_numpy()

    @classmethod
    def open(cls, parquets: list[str | Path], jsons: list[str | Path], verify: bool = False) -> "Samples":
        """Open the samples of some plates; an array lies beside its table, or where a view's statistics say.

        Parameters
        ----------
        parquets, jsons
            Tables and statistics, one of each for each plate.
        verify
            Compare each sample that is read with its checksum: for whoever reads some of them. It takes about 1 ms per MB.

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
        # Not among the table's columns: these go on into embeddings and conditions, where a checksum says nothing.
        checks = np.concatenate([_take_checks(table) for table in tables])
        return cls(pd.concat(tables, ignore_index=True), plate_index, arrays, facts, checks if verify else None)

    def __len__(self) -> int:
        return len(self.table)

    def __getstate__(self) -> dict:  # a worker process opens the arrays itself
        return self.__dict__ | {"_opened": {}}

    def read(self, indices) -> np.ndarray:
        """Raw integers (B, C, H, W) of the samples at `indices`, in their order.

        Raises
        ------
        UserError
            If an array cannot be read or, opened with ``verify``, holds other samples than were written there. Samples
            without a checksum, of an older version, are taken as they are.
        """
        indices = np.asarray(indices, np.int64)
        plates, rows = self.plate_index[indices], self._rows[indices]
        batch = np.empty((len(indices), *self.size), self.dtype)
        # In the order in which they lie on the disk.
        for position in np.lexsort((rows, plates)):
            image = self._array(plates[position])[rows[position]]
            if self._windows is not None:
                image = _window(image, self._windows[indices[position]], self.size[1:])
            batch[position] = image
        if self._checks is not None:
            self._compare(indices, batch)
        return batch

    def _compare(self, indices: np.ndarray, batch: np.ndarray) -> None:
        """Refuse samples that are not what their checksums say."""
        stated, read = self._checks[indices], checksums.of_samples(batch)
        damaged = indices[(stated >= 0) & (stated != read)]
        if len(damaged):
            first = damaged[0]
            raise UserError(
                f"{self._paths[self.plate_index[first]]}: holds other samples than were written there: {len(damaged)} of "
                f"{len(indices)} read have another checksum, the first is {self.table['Sample'].iloc[first]}. The file is "
                "damaged: remove it and run again."
            )

    def check(self, threads: int = 1) -> None:
        """Read all samples once, and compare their sums with those that were written down when they were cut.

        A flipped bit changes a sum, and so does a lost page. About 2 GB/s for each thread, once they are in memory.

        Raises
        ------
        UserError
            If they differ. Samples without sums, of another programme, are taken as they are.
        """
        with ThreadPoolExecutor(threads) as pool:
            sums = pool.map(self._sum, range(len(self._paths)))
            for path, wanted, found in zip(self._paths, self._sums, sums, strict=True):
                if wanted is not None and found != wanted:
                    raise UserError(
                        f"{path}: holds other samples than were written there: the sums of its channels are {found}, they "
                        f"were {wanted}. The file is damaged: remove it and run again."
                    )

    def sums_of_plates(self) -> dict[str, list[int]]:
        """The exact sums of each plate's samples (C,), as written when they were cut, of plates that have them."""
        names = self.table["Metadata_Plate"].to_numpy(dtype=str)[np.flatnonzero(np.diff(self.plate_index, prepend=-1))]
        return dict(sorted((name, sums) for name, sums in zip(names.tolist(), self._sums, strict=True) if sums is not None))

    def _sum(self, plate: int) -> list[int]:
        """Sum of all samples of a plate, for each channel."""
        if self._sums[plate] is None:
            return []
        return sum((_channel_sums(block) for block in self._blocks(plate)), start=np.zeros(self.size[0], np.uint64)).tolist()

    def _blocks(self, plate: int, count: int = 256) -> Iterator[np.ndarray]:
        """A plate's samples, some at a time: as they lie there, or as a view sees them."""
        if self._windows is None:
            array = self._array(plate)
            yield from (array[start : start + count] for start in range(0, len(array), count))
            return
        rows = np.flatnonzero(self.plate_index == plate)
        yield from (self.read(rows[start : start + count]) for start in range(0, len(rows), count))

    def _array(self, plate: int) -> np.ndarray:
        if plate not in self._opened:
            self._opened[plate] = _open_array(self._paths[plate])
        return self._opened[plate]


def _take_checks(table: pd.DataFrame) -> np.ndarray:
    """Take the samples' checksums out of their table, (n,) int64; -1 in a table of an older version, which has none."""
    if checksums.COLUMN not in table:
        return np.full(len(table), -1)
    return table.pop(checksums.COLUMN).to_numpy(np.int64)


def _channel_sums(block: np.ndarray) -> np.ndarray:
    """Sums (C,) of samples (n, C, H, W)."""
    return block.reshape(*block.shape[:2], -1).sum(axis=(0, 2), dtype=np.uint64)
