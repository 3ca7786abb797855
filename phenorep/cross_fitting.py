"""Cross-fitting: a control well is scored only by profiles that were not fitted on it.

Steps such as whitening are fitted on the negative controls. A score that measures the distance from these same wells finds
them near each other because they were fitted, whatever the treated wells do. So the control wells of each plate are dealt
into folds. For each fold the profile is made anew with the fold's wells relabelled as treated ones: a step that asks for
negative controls cannot see them, and a step that fits all rows treats them as it treats the others. A treated well is
compared with a control in the profile that hid this control, and in no other: profiles of two fits differ in rotation, sign
and number of features.

Profiles are made from the embeddings by the steps of `phenorep.profiles`, and are not written. Where steps are linear in the
rows of a well and the wells' means follow, the means are transformed instead of the rows.

[0] Chernozhukov et al. 2018, Double/debiased machine learning for treatment and structural parameters,
    doi:10.1111/ectj.12097
"""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import profiles
from phenorep.errors import NotRun, UserError
from phenorep.rows import Rows
from phenorep.treatments import single
from phenorep.wording import listed

FOLDS = 5
# With fewer, a fold leaves less than two wells to fit on.
FEWEST_CONTROLS = 3
# Columns by which a step could know a control for what it is.
_IDENTITY = ("Metadata_Compound", "Metadata_Perturbation", "Metadata_Treatment")
# Columns that say where a row is, which steps may need.
_PLACES = ("Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Batch")
_LEVELS = ("field", "well")


def well_names(table: pd.DataFrame) -> np.ndarray:
    """``plate/well`` of each row, (N,)."""
    return (table["Metadata_Plate"].astype(str) + "/" + table["Metadata_Well"].astype(str)).to_numpy(dtype=str)


@dataclass
class _Part:
    """Rows, and the number of the well of each."""

    rows: Rows
    wells: np.ndarray  # (N,)

    def taken(self, chosen: np.ndarray) -> "_Part":
        """Those of some rows, (N,) bool."""
        return self if chosen.all() else _Part(self.rows.taken(chosen), self.wells[chosen])

    def relabelled(self, treated: np.ndarray, named: np.ndarray, telling: dict[str, object]) -> Rows:
        """The rows with some wells, (W,) bool, as treated ones of the treatment that `named` (W,) says.

        Columns that are `telling` a control by what they hold get a value that treated rows have.
        """
        marked = treated[self.wells]
        if not marked.any():
            return self.rows
        metadata = self.rows.metadata.copy(deep=False)
        labels = {"Metadata_Control": "", **telling, **dict.fromkeys(_IDENTITY, named[self.wells[marked]])}
        for column in labels.keys() & set(metadata.columns):
            changed = metadata[column].to_numpy(dtype=object, copy=True)
            changed[marked] = labels[column]
            metadata[column] = pd.Series(changed, index=metadata.index).infer_objects()
        return replace(self.rows, metadata=metadata)


class Chain:
    """The steps of a profile, ready to be fitted again with other control wells.

    Parameters
    ----------
    rows
        Embeddings.
    steps
        As of `profiles.make`. No step: the rows are profiles of wells already, which nothing refits.

    Attributes
    ----------
    controls
        Names, ``plate/well``, of the negative-control wells.
    """

    def __init__(self, rows: Rows, steps: list):
        self._steps = [profiles.configured(step) for step in steps]
        self._names, wells = np.unique(well_names(rows.metadata), return_inverse=True)
        self._rows, self._means = _Part(rows, wells), None
        negative = np.zeros(len(rows), bool)
        if "Metadata_Control" in rows.metadata:
            single(rows.metadata, "Metadata_Control")
            negative = (rows.metadata["Metadata_Control"] == "negative").to_numpy(dtype=bool)
        self._telling = _telling(rows.metadata, negative)
        self.controls = set(self._names[np.unique(wells[negative])].tolist())
        self._leading = self._count_leading(steps)
        # Rows of treated wells serve no fit: their means are all that is needed of them.
        self._fitted_alone = all(getattr(config, "fit", "") == "negative" for *_, config in self._steps[: self._leading])
        if self._leading is not None:
            _, module, config = self._steps[self._leading]
            means = rows.changed(module, config, {})
            self._means = _Part(means, np.searchsorted(self._names, well_names(means.metadata)))
            if self._fitted_alone:
                self._rows = self._rows.taken(negative & (self._leading > 0))
        for part in filter(None, (self._rows, self._means)):
            part.rows.values.flags.writeable = False  # a step may overwrite what it is given

    @classmethod
    def read(cls, embeddings: str | Path, steps: list) -> "Chain":
        """The chain of a table of embeddings.

        Raises
        ------
        NotRun
            If it is a "not run" record.
        """
        return cls(Rows.read(embeddings, None).entered(), steps)

    @classmethod
    def of(cls, table: pd.DataFrame) -> "Chain":
        """The chain of profiles that no step has fitted."""
        return cls(Rows.of(table), [])

    def profiles(self, treated: Iterable[str], kept: set[str] | None = None) -> Rows:
        """Profiles of wells, made anew.

        Parameters
        ----------
        treated
            Control wells, ``plate/well``, that pass for treated ones: each of a treatment by itself, or {well: treatment}.
        kept
            The only wells that there are; None: all.

        Raises
        ------
        NotRun, UserError
            If a step cannot be done with the controls that are left.
        """
        passing, named = np.isin(self._names, list(treated)), self._names.astype(object)
        if isinstance(treated, dict):
            named = np.array([treated.get(name, name) for name in self._names], dtype=object)
        there = np.ones(len(self._names), bool) if kept is None else np.isin(self._names, list(kept))
        if self._means is None:
            rows = self._rows.taken(there[self._rows.wells]).relabelled(passing, named, self._telling)
            return self._through(rows, self._steps)
        means = self._means.taken(there[self._means.wells]).relabelled(passing, named, self._telling)
        if self._leading:
            there = there & ~passing if self._fitted_alone else there
            rows = self._rows.taken(there[self._rows.wells]).relabelled(passing, named, self._telling)
        for number, (_, module, config) in enumerate(self._steps[: self._leading]):
            fitted = module.fit(config, rows.frame())
            if number + 1 < self._leading:
                rows = rows.changed(module, config, fitted)
            means = means.changed(module, config, fitted)
        return self._through(means, self._steps[self._leading + 1 :])

    def _count_leading(self, steps: list) -> int | None:
        """How many linear steps come before a mean over rows of a well or field; None if others do, or none follows."""
        for number, (_, module, config) in enumerate(self._steps):
            if hasattr(module, "SETS_LEVEL"):
                # What is aggregated before anything is fitted is the same for all folds, however it is aggregated.
                usable = number == 0 or module.is_mean(config)
                return number if usable and profiles.level([steps[number]]) in _LEVELS else None
            if not getattr(module, "LINEAR", False):
                return None
        return None

    @staticmethod
    def _through(rows: Rows, steps: list) -> Rows:
        for _, module, config in steps:
            rows = rows.changed(module, config, module.fit(config, rows.frame()))
        return rows


@dataclass(frozen=True)
class Space:
    """Profiles of wells as one fold's fit makes them."""

    values: np.ndarray  # (N, F) of the wells of the `CrossFit`
    floor: np.ndarray | None  # (F,) below which a feature's variation is rounding
    hidden: np.ndarray  # (N,) bool: controls that this fit has not seen
    fitted: np.ndarray  # (N,) bool: controls of scored plates that it has


class CrossFit:
    """The wells of a table in the spaces of all folds, one space at a time.

    Parameters
    ----------
    chain
        Makes the profiles.
    table
        (N rows) the wells that are compared, with their labels.
    negative
        (N,) bool: controls.
    seed
        Of the dealing.
    kept
        See `Chain.profiles`.
    passing
        Further control wells, ``plate/well``, that pass for treated ones in each fold, and of which treatment.

    Attributes
    ----------
    fold
        (N,) number of the fold that hides a control; -1 for other wells and for controls of plates that have too few.
    few
        Plates with one or two controls, or none, and how many they have.
    """

    def __init__(
        self,
        chain: Chain,
        table: pd.DataFrame,
        negative: np.ndarray,
        seed: int,
        kept: set[str] | None = None,
        passing: dict[str, str] | None = None,
    ):
        self._chain, self._kept, self._passing = chain, kept, passing or {}
        self.names, self.negative = well_names(table), negative
        self.plates = table["Metadata_Plate"].to_numpy(dtype=str)
        counts = {plate: int(negative[self.plates == plate].sum()) for plate in np.unique(self.plates)}
        self.few = {plate: count for plate, count in counts.items() if count < FEWEST_CONTROLS}
        usable = [count for count in counts.values() if count >= FEWEST_CONTROLS]
        self.folds = min(FOLDS, *usable) if usable else 0
        self.fold = np.full(len(table), -1)
        for plate in counts.keys() - self.few.keys():
            rows = np.flatnonzero(negative & (self.plates == plate))
            rows = rows[np.argsort(self.names[rows], kind="stable")]
            generator = np.random.default_rng([seed, zlib.crc32(plate.encode())])
            self.fold[generator.permutation(rows)] = np.arange(len(rows)) % self.folds

    def spaces(self) -> Iterator[Space]:
        """The profiles in which each fold is hidden; the memory of one is used at a time."""
        for number in range(self.folds):
            hidden = self.fold == number
            try:
                treated = {name: name for name in self.names[hidden].tolist()} | self._passing
                rows = self._chain.profiles(treated, self._kept)
            except UserError as error:
                raise NotRun(f"with some of the controls hidden no profile can be made: {error}") from error
            places = pd.Index(well_names(rows.metadata)).get_indexer(self.names)
            if (places < 0).any():
                raise NotRun(
                    f"with some of the controls hidden the profile's steps leave out {int((places < 0).sum())} wells, "
                    f"{self.names[places < 0][0]} among them. A step must not choose wells by what other wells are."
                )
            values = rows.values[places].astype(np.float64)
            yield Space(values, rows.floor, hidden, (self.fold >= 0) & ~hidden)


def _telling(metadata: pd.DataFrame, negative: np.ndarray) -> dict[str, object]:
    """Columns by whose values a step could know a control, and the value that most other rows have.

    Their values of controls and of other rows have none in common.
    """
    columns = {}
    if negative.all() or not negative.any():
        return columns
    for column in metadata:
        if not column.startswith(("Metadata_", "Label_")) or column in (*_PLACES, *_IDENTITY, "Metadata_Control"):
            continue
        if isinstance(metadata[column].iloc[0], list | np.ndarray):
            continue
        text = metadata[column].astype(str).to_numpy(dtype=str)
        if not set(text[negative]) & set(text[~negative]):
            values, counts = np.unique(text[~negative], return_counts=True)
            columns[column] = metadata[column].iloc[np.flatnonzero(text == values[counts.argmax()])[0]]
    return columns


def few_text(few: dict[str, int]) -> list[str]:
    """What is said of plates that have too few controls."""
    if not few:
        return []
    shown = listed((f"{plate} ({count})" for plate, count in few.items()), 5)
    return [
        f"{len(few)} plate(s) with fewer than {FEWEST_CONTROLS} negative-control wells are not scored: {shown}. A "
        "control is scored by a fit on the others, which needs two."
    ]
