"""Are like wells found before unlike ones? Mean average precision of ranked lists, with permutation tests.

``map_activity``: each well of a treatment ranks the treatment's other wells and the negative controls of its own plate by
cosine similarity; the average precision is high where the treatment's wells come first. The mean over a treatment's wells is
its mean average precision (mAP), the score the mean over treatments. ``share_active`` is the share of treatments whose mAP
is above chance: q < `threshold`.

``map_consistency``: each treated well ranks the wells of other compounds; relevant are those of the same mechanism. The mAP
is the mean over a mechanism's wells, the score the mean over mechanisms, and ``share_consistent`` as above. Wells of the
same compound are not in the lists: they would be found for being replicates.

Wells, not treatments, are read: a treatment's profile has no replicates to be found, nor controls to be told from.

Tests are copairs': a well's random lists have as many relevant and other wells as its own, a group's null value is the mean
over its wells' lists, p is the share of `null_size` draws above the mAP (plus 1 in both counts), q is after Benjamini and
Hochberg. Draws are seeded by the lengths of the list: copairs keeps them in the user's folder, where a second run would find
those of another. Of equally similar wells (to 12 decimals) those that are not relevant come first, so that a collapsed
encoder's profiles are worth little; copairs ranks them last, and would give such profiles 1.

Wells of one compound are not independent, as the tests of consistency take them to be: where many wells stand for few
compounds, p is too small, and the score with shuffled mechanisms shows by how much.

Left out, listed and not counted: treatments of one well, wells on plates without negative controls, mechanisms of one
compound, wells without mechanism. Compounds are perturbations where the table has no compounds.

[0] Kalinin et al. 2025, A versatile information retrieval framework for evaluating profile strength and similarity,
    doi:10.1038/s41467-025-60306-2
[1] cytomining/copairs
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from phenorep import statistics
from phenorep.errors import NotRun
from phenorep.evaluations import Inputs, Score, plain, reasons, shuffled
from phenorep.profiles import features
from phenorep.profiles.aggregate import treatments

TASK = "find replicates and like treatments again"
NEEDS = ("profiles",)
REQUIRES = ("Metadata_Plate", "Metadata_Well")
LEVEL = "well"
METRICS = {
    "map_activity": {
        "range": [0, 1],
        "better": "higher",
        "reference": "Kalinin et al. 2025, doi:10.1038/s41467-025-60306-2",
    },
    "share_active": {
        "range": [0, 1],
        "better": "higher",
        "reference": "Kalinin et al. 2025, doi:10.1038/s41467-025-60306-2",
    },
    "map_consistency": {
        "range": [0, 1],
        "better": "higher",
        "reference": "Kalinin et al. 2025, doi:10.1038/s41467-025-60306-2",
    },
    "share_consistent": {
        "range": [0, 1],
        "better": "higher",
        "reference": "Kalinin et al. 2025, doi:10.1038/s41467-025-60306-2",
    },
}
# The share of significant groups that goes with each mean average precision.
_SHARES = {"map_activity": "share_active", "map_consistency": "share_consistent"}
# Elements of random lists drawn at once: bounds the memory taken where lists are long.
_DRAWN_AT_ONCE = 4_000_000
# Wells up to which all similarities are kept, 8 bytes a pair, for all shuffles of the labels.
_ALL_PAIRS = 8192


@dataclass(frozen=True)
class Config:
    """Against which controls, and how chance is found."""

    controls: Literal["plate", "all"] = "plate"  # all: also those of other plates; for plates with one or two
    null_size: int = 10000  # random lists per test: no p is below 1 / (null_size + 1)
    threshold: float = 0.05  # of q
    permutations: int = 10  # of labels, for the shuffled control

    def __post_init__(self):
        if self.null_size < 100 or self.permutations < 1:
            raise ValueError("null_size must be 100 or more, permutations 1 or more")
        if not 0 < self.threshold < 1:
            raise ValueError(f"threshold must be between 0 and 1, not {self.threshold}")


def evaluate(config: Config, inputs: Inputs, seed: int) -> tuple[list[Score], pd.DataFrame]:
    """Rank wells.

    Returns
    -------
    scores
        Mean average precisions with bootstrap intervals over treatments or mechanisms, shares with Wilson intervals; each
        also with labels shuffled: treatments and controls among the wells of a plate, mechanisms among compounds.
    details
        Parts ``item`` (of each treatment or mechanism ``value``, of which the metric is the mean, ``p``, ``q``, and how many
        ``wells`` ranked), ``left_out`` and ``reason``.

    Raises
    ------
    NotRun
        If there is nothing to retrieve for either score.
    """
    table = inputs.profiles.sort_values(["Metadata_Plate", "Metadata_Well"], kind="stable", ignore_index=True)
    values = features(table)
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    unit = np.divide(values, norms, out=np.zeros_like(values), where=norms > 0)
    similarity = similarities(unit)
    scores, parts, stated, nulls = [], [], [], {}
    for metric, task in (("map_activity", Activity(config, table)), ("map_consistency", Consistency(table))):
        stated += task.stated
        precisions = average_precisions(similarity, task.lists(task.labels))
        parts.append(task.left_out(precisions).assign(part="left_out", metric=metric, settings=""))
        if precisions.empty:
            stated.append(f"{metric}: {task.nothing}")
            continue
        tested = significance(precisions, config.null_size, seed, nulls)
        value, share = tested["value"].to_numpy(), (tested["q"] < config.threshold).to_numpy(dtype=float)
        low, high = statistics.percentiles(statistics.counts(len(value), np.random.default_rng(seed)) @ value / len(value))
        scores.append(Score(metric, float(value.mean()), low, high, len(value)))
        low, high = statistics.wilson(int(share.sum()), len(share))
        scores.append(Score(_SHARES[metric], float(share.mean()), low, high, len(share)))
        scores += _chance(config, metric, similarity, task, len(value), seed, nulls)
        parts += [tested.assign(part="item", metric=metric, settings="")]
        parts += [tested.assign(part="item", metric=_SHARES[metric], settings="", value=share)]
    if not scores:
        raise NotRun(f"nothing can be retrieved. {' '.join(stated)}")
    details = pd.concat([part for part in [*parts, reasons(stated)] if len(part)], ignore_index=True)
    first = ["part", "metric", "settings", "item", "value", "p", "q", "wells"]
    return scores, details[[*first, *(column for column in details if column not in first)]]


class Activity:
    """A treatment's wells against the negative controls.

    `labels` (N,) are the numbers of treatments, -1 for negative controls, -2 for wells that are neither.
    """

    nothing = "no treatment has two wells, one of them with negative controls to compare to (Metadata_Control)."

    def __init__(self, config: Config, table: pd.DataFrame):
        negative = _negative(table)
        names = treatments(table).to_numpy(dtype=object)
        used = negative | (names != "")
        self.names, self.labels = np.full(0, ""), np.full(len(table), -2)
        treated = used & ~negative
        self.names, self.labels[treated] = np.unique(names[treated].astype(str), return_inverse=True)
        self.labels[negative] = -1
        self.plates = plain(table, "Metadata_Plate").astype(str)
        # Where all controls serve, all wells are as on one plate.
        plate = config.controls == "plate"
        self.controlled = np.unique(self.plates, return_inverse=True)[1] if plate else np.zeros(len(table), int)
        bare = sorted(set(self.plates[treated]) - set(self.plates[negative])) if config.controls == "plate" else []
        self.stated = [f"map_activity: no negative control on {len(bare)} plates, {', '.join(bare[:5])}."] if bare else []

    def lists(self, labels: np.ndarray) -> Iterator[tuple]:
        """Name, ranking wells, relevant wells (these may be among them) and other wells."""
        for number, name in enumerate(self.names):
            relevant = np.flatnonzero(labels == number)
            for plate in np.unique(self.controlled[relevant]):
                others = np.flatnonzero((labels == -1) & (self.controlled == plate))
                yield name, relevant[self.controlled[relevant] == plate], relevant, others

    def shuffled(self, generator: np.random.Generator) -> np.ndarray:
        """Labels drawn anew among the wells of each plate that have one."""
        labels = self.labels.copy()
        for plate in np.unique(self.plates):
            rows = np.flatnonzero((self.plates == plate) & (labels > -2))
            labels[rows] = labels[generator.permutation(rows)]
        return labels

    def left_out(self, precisions: pd.DataFrame) -> pd.DataFrame:
        """Treatments without a list, and why."""
        wells = pd.Series(np.bincount(self.labels[self.labels >= 0], minlength=len(self.names)), self.names)
        names = sorted(set(self.names) - set(precisions["item"]))
        why = ["one well only: no replicate to find" if wells[name] < 2 else "no negative control" for name in names]
        return pd.DataFrame({"item": pd.Series(names, dtype=object), "reason": pd.Series(why, dtype=object)})


class Consistency:
    """Wells of one mechanism's other compounds against wells of other mechanisms; `labels` (C,) number each compound's."""

    nothing = "no mechanism (Metadata_MoA) has two compounds, with another mechanism to tell it from."

    def __init__(self, table: pd.DataFrame):
        column = "Metadata_Compound" if "Metadata_Compound" in table else "Metadata_Perturbation"
        known = {name: plain(table, name).astype(str) for name in (column, "Metadata_MoA") if name in table}
        self.names, self.labels, self.compounds = np.full(0, ""), np.zeros(0, int), np.full(len(table), -1)
        self.stated = []
        if len(known) < 2:
            self.stated = [f"map_consistency: the dataset has no {'Metadata_MoA' if column in known else column}."]
            return
        negative = _negative(table)
        used = ~negative & (known[column] != "") & (known["Metadata_MoA"] != "")
        # A compound with two mechanisms is two: its wells of one do not make those of the other relevant.
        pairs = np.char.add(np.char.add(known[column][used], "\n"), known["Metadata_MoA"][used])
        _, first, self.compounds[used] = np.unique(pairs, return_index=True, return_inverse=True)
        self.names, self.labels = np.unique(known["Metadata_MoA"][used][first], return_inverse=True)
        self.compound_names = known[column][used][first]
        lacking = int((~negative & (known[column] != "") & (known["Metadata_MoA"] == "")).sum())
        if lacking:
            self.stated = [f"map_consistency: {lacking} wells without a mechanism (Metadata_MoA) are left out."]

    def lists(self, labels: np.ndarray) -> Iterator[tuple]:
        """Name, ranking wells, relevant wells and other wells."""
        for compound, mechanism in enumerate(labels):
            own = self.compound_names == self.compound_names[compound]
            rows = np.flatnonzero(self.compounds == compound)
            parts = (np.flatnonzero(chosen & ~own) for chosen in (labels == mechanism, labels != mechanism))
            yield self.names[mechanism], rows, *(np.flatnonzero(np.isin(self.compounds, part)) for part in parts)

    def shuffled(self, generator: np.random.Generator) -> np.ndarray:
        """Mechanisms drawn anew among compounds."""
        return generator.permutation(self.labels)

    def left_out(self, precisions: pd.DataFrame) -> pd.DataFrame:
        """Mechanisms without a list."""
        names = pd.Series(sorted(set(self.names) - set(precisions["item"])), dtype=object)
        return pd.DataFrame({"item": names, "reason": "one compound only, or no other mechanism to tell it from"})


def _negative(table: pd.DataFrame) -> np.ndarray:
    # Without controls consistency can still be told: their absence is no error here.
    if "Metadata_Control" not in table:
        return np.zeros(len(table), bool)
    return plain(table, "Metadata_Control") == "negative"


def similarities(unit: np.ndarray) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A function from row numbers (R,) and (S,) to their cosine similarities (R, S), to 12 decimals: ties are ties.

    Parameters
    ----------
    unit
        (N, F) rows of length 1, or of zeros: these are similar to none (0).
    """
    if len(unit) > _ALL_PAIRS:
        return lambda rows, others: np.round(unit[rows] @ unit[others].T, 12)
    pairs = np.round(unit @ unit.T, 12)
    return lambda rows, others: pairs[np.ix_(rows, others)]


def average_precisions(similarity: Callable, lists: Iterator[tuple]) -> pd.DataFrame:
    """Average precision of each well's list.

    Parameters
    ----------
    similarity
        As from `similarities`.
    lists
        Name of the group, row numbers of the wells that rank, of those relevant and of the others. A well is not in its own
        list; without a relevant or another one it has none.

    Returns
    -------
    DataFrame
        ``item`` (the group), ``value``, ``relevant`` and ``total``: how many wells stand in the list.
    """
    found = []
    for name, rows, relevant, others in lists:
        if not len(others):
            continue
        first, second = similarity(rows, relevant), similarity(rows, others)
        for number, row in enumerate(rows):
            kept = relevant != row
            if kept.any():
                found.append((name, precision(first[number, kept], second[number]), kept.sum(), kept.sum() + len(others)))
    return pd.DataFrame(found, columns=["item", "value", "relevant", "total"])


def precision(relevant: np.ndarray, others: np.ndarray) -> float:
    """Average precision of similarities (R,) among similarities (O,); of equal ones the others come first."""
    places = np.arange(1, len(relevant) + 1)
    ahead = len(others) - np.searchsorted(np.sort(others), np.sort(relevant)[::-1], side="left")
    return float((places / (places + ahead)).mean())


def significance(precisions: pd.DataFrame, size: int, seed: int, nulls: dict) -> pd.DataFrame:
    """Mean average precision of each group with p and q, as copairs has them.

    Parameters
    ----------
    precisions
        As from `average_precisions`.
    size
        Number of random lists.
    nulls
        Random lists drawn before, by size, ``relevant`` and ``total``; new ones are added.

    Returns
    -------
    DataFrame
        ``item``, ``value``, ``wells`` (number of lists), ``p`` and ``q``, sorted by item.
    """
    from copairs.map import apply_fdr_correction

    rows = []
    lengths = precisions[["relevant", "total"]].to_numpy()
    for name, group in precisions.groupby("item", sort=True).indices.items():
        value = precisions["value"].iloc[group].mean()
        null = np.zeros(size)
        for (relevant, total), count in zip(*np.unique(lengths[group], axis=0, return_counts=True), strict=True):
            null += _null(size, relevant, total, seed, nulls) * (count / len(group))
        rows.append((name, value, len(group), ((null > value).sum() + 1) / (size + 1)))
    tested = pd.DataFrame(rows, columns=["item", "value", "wells", "p_value"])
    tested = apply_fdr_correction(tested)
    return tested.rename(columns={"p_value": "p", "corrected_p_value": "q"})[["item", "value", "wells", "p", "q"]]


def _null(size: int, relevant: int, total: int, seed: int, nulls: dict) -> np.ndarray:
    """Average precision of random lists, (size,)."""
    from copairs.compute import random_ap

    key = (size, int(relevant), int(total))
    if key not in nulls:
        seeds = np.random.SeedSequence([seed, *key])
        step = max(1, _DRAWN_AT_ONCE // key[2])
        starts = range(0, size, step)
        drawn = zip(starts, seeds.spawn(len(starts)), strict=True)
        nulls[key] = np.concatenate([random_ap(min(step, size - start), *key[1:], part) for start, part in drawn])
    return nulls[key]


def _chance(config: Config, metric: str, similarity: Callable, task, n: int, seed: int, nulls: dict) -> list[Score]:
    """Both scores with labels shuffled; a tenth of the random lists serves for the share."""
    generator = np.random.default_rng(seed)
    size = max(100, config.null_size // 10)
    means, shares = [], []
    for _ in range(config.permutations):
        precisions = average_precisions(similarity, task.lists(task.shuffled(generator)))
        if len(precisions):
            tested = significance(precisions, size, seed, nulls)
            means.append(tested["value"].mean())
            shares.append((tested["q"] < config.threshold).mean())
    return shuffled(metric, means, n) + shuffled(_SHARES[metric], shares, n)
