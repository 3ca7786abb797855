"""Batches of raw samples: several sample sets as one, read ahead by a thread straight from the memory maps."""

import queue
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from phenorep import encoders, folds, plugins, selection
from phenorep.errors import UserError
from phenorep.order import by_name
from phenorep.treatments import treatments


@dataclass
class Source:
    """A sample set, or some of its rows."""

    name: str  # dataset/samples, for messages
    samples: object  # phenorep.store.Samples, or what reads like it
    rows: np.ndarray  # (n,) rows that are used
    labels: np.ndarray  # (n,) text; "" where there is no label
    where: str | None = None
    label_column: str | None = None
    held_out: dict | None = None  # what it was made without, see `folds.held_out`

    @classmethod
    def choose(
        cls, name: str, samples, where: str | None = None, labels: str | None = None, hold_out: dict | None = None
    ) -> "Source":
        """The rows that fulfil the query `where`, labelled by the column `labels`, without those of the fold `hold_out`.

        ``Metadata_Treatment`` need not be a column: it is then made of perturbation, or of compound and concentration.

        Raises
        ------
        UserError
            If the query, the column or the fold does not fit the table, or no row is left.
        """
        table, left_out, facts = samples.table, np.zeros(len(samples.table), dtype=bool), None
        if hold_out is not None:
            # Of the whole table: encoders that are trained on other rows of it leave out the same values.
            place = f"train: {name}: hold_out"
            left_out, facts = folds.held_out(table, folds.parse(hold_out, place), place)
        if labels == "Metadata_Treatment" and labels not in table:
            table = table.assign(Metadata_Treatment=treatments(table))
        rows = selection.rows(table, where, f"train: {name}: where") if where else np.arange(len(table))
        rows = rows[~left_out[rows]]
        if len(rows) == 0:
            raise UserError(f"train: {name}: no samples." if facts is None else f"{place}: it holds out all samples.")
        values = np.full(len(rows), "", dtype=object)
        if labels is not None:
            if labels not in table:
                raise UserError(
                    f"train: {name}: labels: there is no column '{labels}'. {plugins.suggest(labels, table.columns)}"
                )
            column = table[labels].iloc[rows]
            values = np.where(column.isna(), "", column.astype(str)).astype(object)
        return cls(name, samples, rows, values, where, labels, facts)

    def labelled(self) -> "Source":
        """The same without the rows that have no label; says how many these are.

        Raises
        ------
        UserError
            If no row has a label.
        """
        kept = self.labels != ""
        if not kept.any():
            raise UserError(f"train: {self.name}: none of the {len(kept)} samples has a value of {self.label_column}.")
        if not kept.all():
            print(f"{self.name}: {np.sum(~kept)} of {len(kept)} samples have no {self.label_column} and are left out")
        return replace(self, rows=self.rows[kept], labels=self.labels[kept])

    def in_order(self) -> "Source":
        """The same in the order of the samples' names: what is drawn by row does not depend on the order of the table."""
        places = by_name(self.samples.table.iloc[self.rows])
        return replace(self, rows=self.rows[places], labels=self.labels[places])

    def about(self) -> dict:
        """What an encoder's file says of a sample set that it was trained on."""
        labelled = self.labels != ""
        table = self.samples.table.iloc[self.rows[labelled]]
        facts = {"samples": self.name, "labels": self.label_column, "where": self.where, "count": len(self.rows)}
        facts["sums"] = self.samples.sums_of_plates()
        facts["shown"] = {self.label_column: sorted(set(self.labels[labelled]))} if labelled.any() else {}
        facts["wells"] = sorted(set(table["Metadata_Plate"] + "/" + table["Metadata_Well"])) if labelled.any() else []
        if labelled.any() and "Metadata_Compound" in table:
            facts["compounds"] = sorted(set(table["Metadata_Compound"]) - {""})
        return facts if self.held_out is None else {**facts, "held_out": self.held_out}


@dataclass
class RawBatch:
    """Samples as stored, with what is needed to scale them."""

    images: torch.Tensor  # (B, C, H, W) integers
    labels: torch.Tensor  # (B,) int64
    rows: torch.Tensor  # (B,) int64
    means: torch.Tensor  # (B, C)
    stds: torch.Tensor  # (B, C)
    maxima: list[tuple[slice, float | None]]  # largest intensity, for each run of samples that share it
    companions: "RawBatch | None" = None  # other samples that the recipe wants beside these, each of them once
    matches: torch.Tensor | None = None  # (B,) int64, the place of each sample's companion among `companions`

    def to(self, device: torch.device) -> "RawBatch":
        """The batch on a device."""
        move = {name: getattr(self, name) for name in ("images", "labels", "rows", "means", "stds")}
        if self.matches is not None:
            move["matches"] = self.matches
        pinned = {name: tensor.pin_memory() if device.type == "cuda" else tensor for name, tensor in move.items()}
        companions = None if self.companions is None else self.companions.to(device)
        moved = {name: tensor.to(device, non_blocking=True) for name, tensor in pinned.items()}
        return RawBatch(**moved, maxima=self.maxima, companions=companions)

    def scaled(self, scaling: str | dict) -> torch.Tensor:
        """(B, C, H, W) float32; see `encoders.scale`."""
        parts = [encoders.scale(self.images[run], scaling, self.means[run], self.stds[run], top) for run, top in self.maxima]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def scaled_companions(self, scaling: str | dict) -> torch.Tensor | None:
        """(B, C, H, W) float32: the companion of each sample; None without."""
        return None if self.companions is None else self.companions.scaled(scaling)[self.matches]


class Sources:
    """Several sample sets of the same channels and size as one.

    Parameters
    ----------
    sources
        At least one.
    channels
        Channels that are used, in this order; None: all.

    Raises
    ------
    UserError
        If channels, size or type differ (both sets are named), or a wanted channel is missing.
    """

    def __init__(self, sources: list[Source], channels: tuple[str, ...] | None = None):
        self.sources = sources
        first = sources[0]
        for other in sources[1:]:
            for what in ("channels", "size", "dtype"):
                mine, theirs = getattr(first.samples, what), getattr(other.samples, what)
                if (list(mine) != list(theirs)) if what != "dtype" else (np.dtype(mine) != np.dtype(theirs)):
                    raise UserError(
                        f"train: sample sets must agree to be trained on together: {first.name} has {what} {mine}, "
                        f"{other.name} has {theirs}. Cut both with the same settings."
                    )
        have = list(first.samples.channels)
        missing = [name for name in channels or () if name not in have]
        if missing:
            raise UserError(f"channels: {first.name} has no channel '{missing[0]}'. {plugins.suggest(missing[0], have)}")
        self.channels = list(channels or have)
        self._planes = [have.index(name) for name in self.channels]
        self.size = tuple(int(length) for length in first.samples.size[1:])
        self._starts = np.cumsum([0] + [len(source.rows) for source in sources])
        names = np.concatenate([source.labels for source in sources])
        self.classes = sorted(set(names) - {""})
        code = {name: number for number, name in enumerate(self.classes)} | {"": -1}
        self.labels = np.array([code[name] for name in names], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def dark(self) -> dict[str, list[str]]:
        """Channels without signal, of one grey level on a whole plate: ``{channel: its plates}`` of the chosen rows."""
        found: dict[str, list[str]] = {}
        for source in self.sources:
            stds = np.asarray(source.samples.stds)[:, self._planes]
            for plate in np.unique(source.samples.plate_index[source.rows]):
                row = np.flatnonzero(source.samples.plate_index == plate)[0]
                name = f"{source.name}/{source.samples.table['Metadata_Plate'].iloc[row]}"
                for channel in np.flatnonzero(stds[plate] <= 0):
                    found.setdefault(self.channels[channel], []).append(name)
        return found

    def plates(self) -> int:
        """Number of plates that the chosen rows are of."""
        return sum(len(np.unique(source.samples.plate_index[source.rows])) for source in self.sources)

    def read(self, rows: np.ndarray, companions: np.ndarray | None = None) -> RawBatch:
        """Samples by their numbers among all, in that order except that each source's samples stand together.

        Parameters
        ----------
        rows
            (B,) numbers.
        companions
            (B,) numbers of the samples that belong to them, which may repeat.
        """
        rows = np.asarray(rows, dtype=np.int64)
        owner = np.searchsorted(self._starts, rows, side="right") - 1
        order = np.argsort(owner, kind="stable")
        rows = rows[order]
        beside = {}
        if companions is not None:
            # In ascending order each source's samples stand together already: the places below stay right.
            once, matches = np.unique(np.asarray(companions, dtype=np.int64)[order], return_inverse=True)
            beside = {"companions": self.read(once), "matches": torch.from_numpy(matches)}
        images, means, stds, maxima, done = [], [], [], [], 0
        for number, source in enumerate(self.sources):
            own = source.rows[rows[np.sort(owner) == number] - self._starts[number]]
            if len(own):
                images.append(source.samples.read(own)[:, self._planes])
                plates = source.samples.plate_index[own]
                means.append(source.samples.means[plates][:, self._planes])
                stds.append(source.samples.stds[plates][:, self._planes])
                maxima.append((slice(done, done + len(own)), source.samples.intensity_max))
                done += len(own)
        return RawBatch(
            images=torch.from_numpy(np.ascontiguousarray(np.concatenate(images))),
            labels=torch.from_numpy(self.labels[rows]),
            rows=torch.from_numpy(rows),
            means=torch.from_numpy(np.concatenate(means).astype(np.float32)),
            stds=torch.from_numpy(np.concatenate(stds).astype(np.float32)),
            maxima=maxima,
            **beside,
        )


class ReadAhead:
    """Batches of `sources`, read by a thread while the device computes; `companions` go with them, batch by batch.

    `waited` is the time in seconds for which the consumer had nothing to do. One thread is enough: raw samples are copied
    from a memory map, nothing is decoded.
    """

    def __init__(
        self,
        sources: Sources,
        batches: Iterable[np.ndarray],
        depth: int = 3,
        companions: Iterable[np.ndarray] | None = None,
    ):
        self.waited = 0.0
        self._queue: queue.Queue = queue.Queue(maxsize=depth)
        self._stop = threading.Event()
        wanted = [(rows,) for rows in batches] if companions is None else list(zip(batches, companions, strict=True))
        self._thread = threading.Thread(target=self._fill, args=(sources, wanted), daemon=True)
        self._thread.start()

    def _fill(self, sources: Sources, wanted: list[tuple[np.ndarray, ...]]) -> None:
        try:
            for rows in wanted:
                if not self._put(sources.read(*rows)):
                    return
            self._put(None)
        except BaseException as error:  # handed to the consumer, which raises it
            self._put(error)

    def _put(self, item: object) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def __iter__(self) -> Iterator[RawBatch]:
        try:
            while True:
                start = time.perf_counter()
                item = self._queue.get()
                self.waited += time.perf_counter() - start
                if item is None:
                    return
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            self._stop.set()
            self._thread.join()
