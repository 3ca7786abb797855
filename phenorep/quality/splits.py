"""Which labelled samples are learnt from and which are tested, where images are told normal or abnormal with few labels.

The test part is drawn once, from the names of the samples alone: it is the same for every method, classifier and number of
labels, so that these are compared on the same samples. Only the labels that are learnt from are drawn again and again; a
smaller number of labels is part of the larger ones of the same draw. Samples of one group (a well) never stand in both
parts: an artefact covers a field, and its cells are nearly copies of each other.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from phenorep.errors import NotRun, UserError
from phenorep.evaluations import plain
from phenorep.quality import exchanges
from phenorep.quality.annotations import ABNORMAL, NORMAL, QUALITY

SPLIT = "Split_Quality"
_REMEDY = "Mark images on the page of `snakemake annotate` and name the exported file under 'annotations:'."
_ATTEMPTS = 20  # draws of groups, of which the first that gives the numbers asked for is taken
_TEST, _DRAW, _SHUFFLE, _FOLDS = range(4)  # each kind of drawing has random numbers of its own


@dataclass(frozen=True)
class LabelConfig:
    """Keys of what is learnt from and tested; defaults as in the study hcs_qc, which has one draw and no groups."""

    labels: tuple[int, ...] = (350, 100, 50, 25, 10)  # numbers of labels to learn from; []: all there are, as one number
    test: int = 130  # samples that are tested; has no effect with a column Split_Quality or labels of another sample set
    draws: int = 10  # of the labels that are learnt from; few labels make the result depend on which ones they are
    balance: bool = True  # as many normal as abnormal ones in both parts; false: in the proportion that the labels have
    groups: str = "Metadata_Well"  # samples that must not stand in both parts; "": each for itself, as in the study
    # samples: over all test samples. batch_mean: the mean over batches of 32, as some training libraries print it; a last
    # small batch weighs as much as a full one. It is there to compare with figures that were made so.
    average: Literal["samples", "batch_mean"] = "samples"
    permutations: int = 3  # of labels among groups, for the shuffled control; each is one more fit
    # Values of hyperparameters to choose from, one key after another, by cross-validation within the labels that are learnt
    # from: {learning_rate: [0.0001, 0.001, 0.01], weight_decay: [0, 0.01]}. null: none is searched.
    search: dict | None = None
    folds: int = 3  # of the search, of whole groups

    def __post_init__(self):
        if any(count < 2 for count in self.labels):
            raise ValueError("labels must be numbers of 2 or more: one of each class is the least")
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("labels must name each number once")
        for name, low in (("test", 2), ("draws", 1), ("permutations", 1), ("folds", 2)):
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be {low} or more, not {getattr(self, name)}")


@dataclass(frozen=True)
class Labelled:
    """The n labelled samples of a sample set, in the order of their names."""

    table: pd.DataFrame  # (n,)
    rows: np.ndarray  # (n,) their numbers in the table they were taken from
    abnormal: np.ndarray  # (n,) bool
    groups: np.ndarray  # (n,) text
    fields: np.ndarray  # (n,) text: plate, well and site

    def counts(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Number of normal and of abnormal samples among some, (2,)."""
        return np.bincount(self.abnormal[rows].astype(int), minlength=2)


@dataclass(frozen=True)
class Design:
    """What is learnt from and what is tested."""

    config: LabelConfig
    seed: int
    known: Labelled  # what may be learnt from is among these
    pool: np.ndarray  # (p,) numbers within `known`
    judged: Labelled  # what is tested is among these
    test: np.ndarray  # (t,) numbers within `judged`
    counts: tuple[int, ...]  # numbers of labels that are learnt from, the largest first
    stated: list[str]  # what had to be done otherwise than asked

    def drawn(self, count: int, draw: int) -> np.ndarray:
        """Numbers within `known` of the samples of one draw: (count,)."""
        return self._take(self.known.abnormal, count, draw, np.random.default_rng([self.seed, _DRAW, draw]))

    def shuffled(self, count: int, permutation: int) -> tuple[np.ndarray, np.ndarray]:
        """Samples drawn by labels that were shuffled, and these labels: (count,) numbers within `known`, (count,) bool.

        Labels change places among groups where each group has one label, else among fields, else among samples.
        """
        generator = np.random.default_rng([self.seed, _SHUFFLE, permutation])
        labels = self.known.abnormal.copy()
        for units in (self.known.groups[self.pool], self.known.fields[self.pool], np.arange(len(self.pool))):
            _, first, codes = np.unique(units, return_index=True, return_inverse=True)
            own = labels[self.pool][first]
            if (own[codes] == labels[self.pool]).all():
                labels[self.pool] = own[generator.permutation(len(own))][codes]
                break
        rows = self._take(labels, count, permutation, generator)
        return rows, labels[rows]

    def _take(self, labels: np.ndarray, count: int, draw: int, generator: np.random.Generator) -> np.ndarray:
        order = generator.permutation(self.pool)
        kinds = [order[~labels[order]], order[labels[order]]]
        abnormal = _shares(count, np.array([len(kind) for kind in kinds]), self.config.balance, draw)
        # Shuffled labels may leave fewer of a class than are asked for: the other one fills up.
        abnormal = min(max(abnormal, count - len(kinds[0])), len(kinds[1]))
        return np.concatenate([kinds[0][: count - abnormal], kinds[1][:abnormal]])


def labelled(table: pd.DataFrame, groups: str, rows: np.ndarray | None = None) -> Labelled:
    """The labelled samples of a table.

    Parameters
    ----------
    table
        With `Sample`, the columns that name a field and, if there are labels, `Label_Quality`: normal, abnormal or empty.
    groups
        A column; a well or site is one of its plate. Empty: each sample for itself.
    rows
        Row numbers that count; None: all.

    Raises
    ------
    NotRun
        If no sample has a label, all labels are of one class, or the column of groups is missing.
    UserError
        If a label is another word.
    """
    if QUALITY not in table:
        raise NotRun(f"The samples have no labels (column {QUALITY}). {_REMEDY}")
    if groups and groups not in table:
        raise NotRun(f"groups: the samples have no column {groups}. Name another one, or set groups: '' for none.")
    rows = np.arange(len(table)) if rows is None else np.asarray(rows)
    rows = rows[plain(table, QUALITY)[rows] != ""]
    rows = rows[np.argsort(table["Sample"].iloc[rows].to_numpy(dtype=str), kind="stable")]
    table = table.iloc[rows].reset_index(drop=True)
    labels = plain(table, QUALITY).astype(str)
    if unknown := sorted(set(labels) - {NORMAL, ABNORMAL}):
        raise UserError(
            f"{QUALITY} holds '{unknown[0]}'; it can be {NORMAL}, {ABNORMAL} or empty. Change it in the dataset's table or "
            "the file of annotations."
        )
    if len(set(labels)) < 2:
        found = f"all {len(labels)} labelled samples are {labels[0]}" if len(labels) else "no sample is labelled"
        raise NotRun(f"Samples of both kinds, {NORMAL} and {ABNORMAL}, are needed; {found}. {_REMEDY}")
    fields = _joined(table, ("Metadata_Plate", "Metadata_Well", "Metadata_Site"))
    places = {"": ("Sample",), "Metadata_Well": ("Metadata_Plate", "Metadata_Well")}
    named = fields if groups == "Metadata_Site" else _joined(table, places.get(groups, (groups,)))
    return Labelled(table, rows, labels == ABNORMAL, named, fields)


def design(config: LabelConfig, judged: Labelled, known: Labelled | None, seed: int) -> Design:
    """Divide labelled samples into what may be learnt from and what is tested.

    Parameters
    ----------
    judged
        Labelled samples of the set that is evaluated.
    known
        Those of another set, from which alone is learnt; then all of `judged` are tested. None: `judged` is divided, by the
        column `Split_Quality` (train, test; others are not used) where there is one.

    Raises
    ------
    NotRun
        If groups are such that a class cannot be in both parts.
    UserError
        If `Split_Quality` leaves a part without one of the classes.
    """
    stated: list[str] = []
    everything = np.arange(len(judged.abnormal))
    if known is not None:
        pool, test = np.arange(len(known.abnormal)), everything
    elif SPLIT in judged.table:
        pool, test = _as_stated(judged, stated)
    else:
        pool, test = _divided(config, judged, seed, stated)
    # No order by name: batches over which metrics may be averaged need samples of both classes.
    test = np.random.default_rng([seed, _TEST, 1]).permutation(test)
    known = known or judged
    most = _most(known.counts(pool), config.balance)
    counts = sorted({min(count, most) for count in config.labels or (most,)}, reverse=True)
    if fewer := [count for count in config.labels if count > most]:
        kind = "as many of each class" if config.balance else "in the proportion of both classes"
        stated.append(f"labels: {', '.join(map(str, fewer))} asked for; there are {most} to learn from, {kind}.")
    return Design(config, seed, known, pool, judged, test, tuple(counts), stated)


def searched(config: Any, keys: tuple[str, ...], design: Design, count: int, score: Callable) -> Any:
    """The configuration with hyperparameters chosen for a number of labels, on the labels of the first draw alone.

    Parameters
    ----------
    config
        With `search`, of which `keys` count here: one after another, the best value of each is kept for the next.
    score
        Called as ``score(config, train, held_out)`` with numbers within ``design.known``; higher is better. Of equal values
        the one that stands, or the first, is kept.
    """
    parts = list(_folds(design, design.drawn(count, 0)))
    if not parts:
        return config
    for key, values in (config.search or {}).items():
        if key not in keys:
            continue
        own = getattr(config, key)
        options = [config] + [replace(config, **{key: type(own)(value)}) for value in values if type(own)(value) != own]
        means = [np.mean([score(option, *part) for part in parts]) for option in options]
        config = options[int(np.argmax(means))]
    return config


def check_search(config: Any, keys: tuple[str, ...]) -> None:
    """Raise `ValueError` unless `search` names keys that can be searched, with values that they can have."""
    for key, values in (config.search or {}).items():
        if key not in keys:
            raise ValueError(f"search: '{key}' cannot be searched; known are {', '.join(keys)}")
        if not isinstance(values, list | tuple) or not values:
            raise ValueError(f"search: {key} must be a list of values")
        for value in values:
            replace(config, search=None, **{key: type(getattr(config, key))(value)})


def _folds(design: Design, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Whole groups of some samples, dealt out: what is learnt from, and what is held out; both have both classes."""
    names, codes = np.unique(design.known.groups[rows], return_inverse=True)
    count = min(design.config.folds, len(names))
    fold = (np.random.default_rng([design.seed, _FOLDS]).permutation(len(names)) % count)[codes]
    for number in range(count):
        parts = rows[fold != number], rows[fold == number]
        if all(design.known.counts(part).min() > 0 for part in parts):
            yield parts


def _joined(table: pd.DataFrame, columns: tuple[str, ...]) -> np.ndarray:
    parts = [plain(table, column) for column in columns if column in table]
    return np.array(["/".join(map(str, row)) for row in zip(*parts, strict=True)], dtype=str)


def _as_stated(judged: Labelled, stated: list[str]) -> tuple[np.ndarray, np.ndarray]:
    split = plain(judged.table, SPLIT)
    pool, test = (np.flatnonzero(split == part) for part in ("train", "test"))
    for name, part in (("train", pool), ("test", test)):
        normal, abnormal = judged.counts(part)
        if not (normal and abnormal):
            raise UserError(
                f"{SPLIT} says '{name}' for {normal} {NORMAL} and {abnormal} {ABNORMAL} labelled samples; both kinds are "
                "needed. Change the column, or leave it out: the samples are divided then."
            )
    if both := set(judged.groups[pool]) & set(judged.groups[test]):
        stated.append(f"{len(both)} groups stand in both parts of {SPLIT}.")
    return pool, test


def _divided(config: LabelConfig, judged: Labelled, seed: int, stated: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Draw whole groups until they hold their share of each class; of these groups' samples, draw those that are tested."""
    totals = judged.counts()
    wanted = _wanted(config, totals)
    # From more groups than would do, where there are more labels than asked for: artefacts differ from field to field.
    share = min(0.5, config.test / (config.test + _learnt(config)))
    held = np.maximum(wanted, np.floor(totals * share).astype(int))
    names, codes = np.unique(judged.groups, return_inverse=True)
    each = np.stack([np.bincount(codes[judged.abnormal == kind], minlength=len(names)) for kind in (False, True)], axis=1)
    generator = np.random.default_rng([seed, _TEST])
    chosen = _drawn_groups(config, each, wanted, held, generator, stated)
    have = each[chosen].sum(axis=0)
    if (have == 0).any():
        kind = (NORMAL, ABNORMAL)[int(np.argmin(have))]
        raise NotRun(
            f"groups: {config.groups}: the labelled samples that are {kind} lie in so few groups that they cannot be both "
            f"learnt from and tested ({len(names)} groups in all). {_REMEDY} Or set 'groups' to a smaller unit, such as "
            "Metadata_Site."
        )
    tested = np.minimum(have, wanted)
    if config.balance:
        tested[:] = tested.min()
    test = []
    for kind, number in zip((False, True), tested, strict=True):
        test.append(generator.permutation(np.flatnonzero(chosen[codes] & (judged.abnormal == kind)))[:number])
    if tested.sum() < config.test:
        stated.append(f"test: {config.test} asked for; {tested.sum()} can be tested with enough left to learn from.")
    return np.flatnonzero(~chosen[codes]), np.concatenate(test)


def _drawn_groups(config: LabelConfig, each: np.ndarray, wanted, held, generator, stated: list[str]) -> np.ndarray:
    """Groups whose samples may be tested, (G,) bool: drawn at random, then exchanged until enough is left to learn from."""
    totals = each.sum(axis=0)
    shares = np.full(2, 0.5) if config.balance else totals / totals.sum()
    learnt = np.minimum(np.ceil(shares * _learnt(config) - 1e-9).astype(int), totals - wanted)
    best, least = None, 0
    for _ in range(_ATTEMPTS):
        chosen, have = np.zeros(len(each), bool), np.zeros(2, int)
        # Groups are large and small: a group that would leave too little to learn from is passed over.
        left = np.maximum(1, (totals - held) // 2)
        for group in generator.permutation(len(each)):
            helps = ((each[group] > 0) & (have < held)).any()
            if helps and (totals - have - each[group] >= left).all():
                chosen[group], have = True, have + each[group]
        if (have == 0).any():
            return chosen
        moved, lacking = exchanges.exchanged(each, chosen, learnt, wanted)
        if best is None or lacking < least:
            best, least, count = moved, lacking, int((moved != chosen).sum())
        if not least:
            break
    if count:
        stated.append(
            f"{count} groups ({config.groups or 'samples'}) were moved between what is learnt from and what is tested."
        )
    return best


def _wanted(config: LabelConfig, totals: np.ndarray) -> np.ndarray:
    """How many normal and abnormal samples to test, (2,): where there are too few, in proportion to what is learnt from."""
    shares = np.full(2, 0.5) if config.balance else totals / totals.sum()
    enough = min(1.0, float((totals / (shares * (config.test + _learnt(config)))).min()))
    return np.maximum(1, np.floor(shares * config.test * enough + 1e-9)).astype(int)


def _learnt(config: LabelConfig) -> int:
    return max(config.labels, default=config.test)


def _most(totals: np.ndarray, balance: bool) -> int:
    return int(2 * totals.min() if balance else totals.sum())


def _shares(count: int, totals: np.ndarray, balance: bool, draw: int) -> int:
    """How many of `count` labels are abnormal; the odd one of a balanced number goes to each class in turn."""
    if balance:
        return count // 2 + (count % 2) * (draw % 2)
    return int(np.clip(round(count * totals[1] / totals.sum()), 1, count - 1))
