"""Are like wells found before unlike ones? Mean average precision of ranked lists, with permutation tests.

``map_activity``: each well of a treatment ranks the treatment's other wells and the negative controls of its own plate by
cosine similarity; the average precision is high where the treatment's wells come first. The mean over a treatment's wells is
its mean average precision (mAP), the score the mean over treatments. ``share_active`` is the share of treatments whose mAP
is above chance: q < `threshold`. Profiles are cross-fitted (see `phenorep.cross_fitting`): a replicate's rank is the number
of controls ahead of it, each counted in the profile that was not fitted on this control. Both have their null
(`phenorep.nulls`), in which control wells play treated ones.

``map_consistency``: each treated well ranks the wells of other compounds; relevant are those of the same mechanism. The mAP
is the mean over a mechanism's wells, the score the mean over mechanisms, and ``share_consistent`` as above. Wells of the
same compound are not in the lists: they would be found for being replicates. No control is compared, so profiles are those
that were fitted on all of them.

Wells, not treatments, are read: a treatment's profile has no replicates to be found, nor controls to be told from.

Tests are those of `phenorep.average_precision`. Of equally similar wells (to 12 decimals) those that are not relevant come
first, so that a collapsed encoder's profiles are worth little; copairs ranks them last, and would give such profiles 1.

Wells of one compound are not independent, as the tests of consistency take them to be: where there are many wells of few
compounds, p is too small, and the score with shuffled mechanisms shows by how much. Intervals of the activity resample
compounds, and add what another choice of control wells would change.

Left out, listed and not counted: treatments of one well, wells on plates with fewer than three negative controls, mechanisms
of one compound, wells without mechanism. Compounds are perturbations where the table has no compounds.

[0] Kalinin et al. 2025, A versatile information retrieval framework for evaluating profile strength and similarity,
    doi:10.1038/s41467-025-60306-2
[1] cytomining/copairs
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd

from phenorep import average_precision, nulls, statistics
from phenorep.average_precision import significance, similarities
from phenorep.cross_fitting import Chain, CrossFit, few_text
from phenorep.errors import NotRun
from phenorep.evaluations import Inputs, Score, plain, reasons, shuffled
from phenorep.rows import features
from phenorep.treatments import treatments

TASK = "find replicates and like treatments again"
NEEDS = ("profiles", "chain")
REQUIRES = ("Metadata_Plate", "Metadata_Well")
LEVEL = "well"
UNIT = "compound"
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
# Comparisons of a replicate with a control that are counted at once: bounds the memory where lists are long.
_AT_ONCE = 2**22


@dataclass(frozen=True)
class Config:
    """Against which controls, and how chance is found."""

    controls: Literal["plate", "all"] = "plate"  # all: also those of other plates; for plates with one or two
    null_size: int = 10000  # random lists per test: no p is below 1 / (null_size + 1)
    threshold: float = 0.05  # of q
    permutations: int = 10  # of mechanisms among compounds, for the shuffled control of consistency
    null_draws: int = 20  # of control wells that play treated ones; each makes the profile anew, fold by fold

    def __post_init__(self):
        for key, least in (("null_size", 100), ("permutations", 1), ("null_draws", 2)):
            if getattr(self, key) < least:
                raise ValueError(f"{key} must be {least} or more, not {getattr(self, key)}")
        if not 0 < self.threshold < 1:
            raise ValueError(f"threshold must be between 0 and 1, not {self.threshold}")


def evaluate(config: Config, inputs: Inputs, seed: int) -> tuple[list[Score], pd.DataFrame]:
    """Rank wells.

    Returns
    -------
    scores
        Mean average precisions and shares, with intervals over compounds (of consistency: over mechanisms); those of the
        activity also as their null, those of the consistency with mechanisms shuffled among compounds.
    details
        Parts ``item`` (of each treatment or mechanism ``value``, of which the metric is the mean, ``p``, ``q``, and how many
        ``wells`` ranked), ``reference`` (each control well; the activity without it), ``null``, ``left_out`` and ``reason``.

    Raises
    ------
    NotRun
        If there is nothing to retrieve for either score.
    """
    table = inputs.profiles.sort_values(["Metadata_Plate", "Metadata_Well"], kind="stable", ignore_index=True)
    scores, parts, stated, drawn = [], [], [], {}
    for measured in (_activity, _consistency):
        more, details, reason = measured(config, inputs, table, seed, drawn)
        scores, parts, stated = scores + more, parts + details, stated + reason
    if not scores:
        raise NotRun(f"nothing can be retrieved. {' '.join(stated)}")
    details = pd.concat([part for part in [*parts, reasons(stated)] if len(part)], ignore_index=True)
    first = ["part", "metric", "settings", "item", "value", "p", "q", "wells", "unit"]
    return scores, details.reindex(columns=[*first, *(column for column in details if column not in first)])


def _activity(config: Config, inputs: Inputs, table: pd.DataFrame, seed: int, drawn: dict) -> tuple[list, list, list]:
    """Scores, details and reasons for treatments against controls."""
    metric, share = "map_activity", "share_active"
    if not {"Metadata_Treatment", "Metadata_Compound", "Metadata_Perturbation"} & set(table.columns):
        return [], [], [f"{metric}: the dataset has neither Metadata_Compound nor Metadata_Perturbation."]
    task, chain = Activity(config, table), inputs.chain or Chain.of(inputs.profiles)
    fits = CrossFit(chain, table, task.labels == -1, seed)
    few = {plate: count for plate, count in fits.few.items() if plate in task.treated_plates}
    # Where all controls serve, wells of such plates rank against those of others.
    stated = [f"{metric}: {text}" for text in few_text(few if config.controls == "plate" or not fits.folds else {})]
    try:
        precisions, without = task.precisions(fits)
    except NotRun as reason:
        return [], [], [*stated, f"{metric}: {reason}"]
    left = task.left_out(precisions).assign(part="left_out", metric=metric, settings="")
    if precisions.empty:
        return [], [left], [*stated, f"{metric}: {task.nothing}"]
    tested = significance(precisions, config.null_size, seed, drawn)
    tested["unit"] = tested["item"].map(task.compounds)
    chosen = task.labels == -1
    null = nulls.measure(
        chain,
        table[task.labels > -2].reset_index(drop=True),
        chosen[task.labels > -2],
        partial(_played, config, seed, drawn),
        config.null_draws,
        seed,
        {share: metric},
    )
    stated += [f"{metric}: {text}" for text in (null.reason, null.note) if text]
    value, active = tested["value"].to_numpy(), (tested["q"] < config.threshold).to_numpy(dtype=float)
    units = tested["unit"].to_numpy(dtype=str)
    shared = {"unit": "compound", "units": len(set(units))}
    strata = fits.plates[without.index.to_numpy()] if config.controls == "plate" else None
    intervals = {
        metric: statistics.mean_interval(value, units, reference=without["value"].to_numpy(), strata=strata, inside=True),
        share: statistics.share_interval(active, units),
    }
    scores, parts = [], [left]
    for name, values, chance in ((metric, value, float(tested["chance"].mean())), (share, active, config.threshold)):
        about = {**shared, "chance": chance, "validity": null.validity(name)}
        scores.append(Score(name, float(values.mean()), *intervals[name], len(values), **about))
        scores += null.scores(name)
        parts.append(tested.assign(part="item", metric=name, settings="", value=values))
    parts.append(without.assign(part="reference", metric=metric, settings="", item=fits.names[without.index.to_numpy()]))
    return scores, [*parts, null.details()], stated


def _played(config: Config, seed: int, drawn: dict, table: pd.DataFrame, negative: np.ndarray, fits: CrossFit) -> dict:  # noqa: ARG001
    """Value and chance of the activity of control wells, for the null; a tenth of the random lists serves."""
    precisions, _ = Activity(config, table).precisions(fits, reference=False)
    if precisions.empty:
        return {}
    tested = significance(precisions, max(100, config.null_size // 10), seed, drawn)
    active = float((tested["q"] < config.threshold).mean())
    return {"map_activity": (tested["value"].mean(), tested["chance"].mean()), "share_active": (active, config.threshold)}


def _consistency(config: Config, inputs: Inputs, table: pd.DataFrame, seed: int, drawn: dict) -> tuple[list, list, list]:  # noqa: ARG001
    """Scores, details and reasons for compounds of one mechanism against those of others."""
    metric, share = "map_consistency", "share_consistent"
    task, similarity = Consistency(table), similarities(features(table))
    precisions = average_precision.of_lists(similarity, task.lists(task.labels))
    left = task.left_out(precisions).assign(part="left_out", metric=metric, settings="")
    if precisions.empty:
        return [], [left], [*task.stated, f"{metric}: {task.nothing}"]
    tested = significance(precisions, config.null_size, seed, drawn)
    tested["unit"] = tested["item"]  # a mechanism's compounds are ranked against each other, so they are not independent
    generator, size = np.random.default_rng(seed), max(100, config.null_size // 10)
    draws = {metric: [], share: []}
    for _ in range(config.permutations):
        lists = average_precision.of_lists(similarity, task.lists(generator.permutation(task.labels)))
        if len(lists):
            control = significance(lists, size, seed, drawn)
            draws[metric].append(control["value"].mean())
            draws[share].append((control["q"] < config.threshold).mean())
    value, active = tested["value"].to_numpy(), (tested["q"] < config.threshold).to_numpy(dtype=float)
    scores, parts = [], [left]
    for name, values, interval, chance in (
        (metric, value, partial(statistics.mean_interval, inside=True), float("nan")),
        (share, active, statistics.share_interval, config.threshold),
    ):
        about = {"unit": "mechanism", "units": len(values), "chance": chance}
        scores.append(Score(name, float(values.mean()), *interval(values), len(values), **about))
        scores += shuffled(name, draws[name], len(values))
        parts.append(tested.assign(part="item", metric=name, settings="", value=values))
    return scores, parts, task.stated


class Activity:
    """A treatment's wells against the negative controls.

    `labels` (N,) are the numbers of treatments, -1 for negative controls, -2 for wells that are neither.
    """

    nothing = "no treatment has two wells, one of them on a plate with three negative controls (Metadata_Control)."

    def __init__(self, config: Config, table: pd.DataFrame):
        negative = _negative(table)
        names = treatments(table).to_numpy(dtype=object)
        treated = ~negative & (names != "")
        self.names, self.labels = np.full(0, ""), np.full(len(table), -2)
        self.names, self.labels[treated] = np.unique(names[treated].astype(str), return_inverse=True)
        self.labels[negative] = -1
        self.plates = plain(table, "Metadata_Plate").astype(str)
        self.treated_plates = set(self.plates[treated])
        # Where all controls serve, all wells are as on one plate.
        plate = config.controls == "plate"
        self.group = np.unique(self.plates, return_inverse=True)[1] if plate else np.zeros(len(table), int)
        self.compounds = self._compounds(table)

    def _compounds(self, table: pd.DataFrame) -> dict[str, str]:
        """Compound of each treatment; a treatment that names none is one by itself."""
        column = next((name for name in ("Metadata_Compound", "Metadata_Perturbation") if name in table), None)
        rows = np.flatnonzero(self.labels >= 0)
        values = plain(table, column)[rows] if column else np.full(len(rows), "")
        names = self.names[self.labels[rows]]
        return {name: str(value) or name for name, value in zip(names.tolist(), values, strict=True)}

    def precisions(self, fits: CrossFit, reference: bool = True) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Average precision of each well's list, and the mean over treatments without each of the controls.

        Returns
        -------
        precisions
            Columns of `average_precision.COLUMNS`.
        without
            ``value`` by number of the control's row; empty if `reference` is false.
        """
        lists = [part for part in self._lists(fits) if len(part[1]) and len(part[2]) > 1 and len(part[3])]
        ahead = [np.zeros((len(rows), len(relevant), len(others)), bool) for _, rows, relevant, others in lists]
        for space in fits.spaces() if lists else ():
            similarity = similarities(space.values)
            for (_, rows, relevant, others), counted in zip(lists, ahead, strict=True):
                columns = np.flatnonzero(space.hidden[others])
                replicates, controls = similarity(rows, relevant), similarity(rows, others[columns])
                counted[:, :, columns] = controls[:, None, :] >= replicates[:, :, None]
        rows_of, effect = [], {}
        wells = pd.Series([name for name, rows, *_ in lists for _ in rows], dtype=object).value_counts()
        for (name, rows, relevant, others), counted in zip(lists, ahead, strict=True):
            # A well is not in its own list.
            counted = counted[relevant[None, :] != rows[:, None]].reshape(len(rows), len(relevant) - 1, len(others))
            total = counted.sum(axis=2)
            values = average_precision.of_ahead(total)
            rows_of += [(name, value, len(relevant) - 1, len(relevant) - 1 + len(others)) for value in values]
            step = max(1, _AT_ONCE // counted[:, :, 0].size)
            for start in range(0, len(others) if reference else 0, step):
                part = others[start : start + step]
                without = total - np.moveaxis(counted[:, :, start : start + step], 2, 0)
                change = (average_precision.of_ahead(without) - values).sum(axis=1) / wells[name] / len(wells)
                for row, value in zip(part.tolist(), change.tolist(), strict=True):
                    effect[row] = effect.get(row, 0.0) + value
        precisions = pd.DataFrame(rows_of, columns=list(average_precision.COLUMNS))
        mean = precisions.groupby("item")["value"].mean().mean()
        return precisions, pd.DataFrame({"value": pd.Series(effect, dtype=float).sort_index() + mean})

    def _lists(self, fits: CrossFit) -> Iterator[tuple]:
        """Name, ranking wells, relevant wells (these are among them) and controls that are hidden in some fold."""
        for number, name in enumerate(self.names):
            relevant = np.flatnonzero(self.labels == number)
            for group in np.unique(self.group[relevant]):
                others = np.flatnonzero((fits.fold >= 0) & (self.group == group))
                yield name, relevant[self.group[relevant] == group], relevant, others

    def left_out(self, precisions: pd.DataFrame) -> pd.DataFrame:
        """Treatments without a list, and why."""
        wells = pd.Series(np.bincount(self.labels[self.labels >= 0], minlength=len(self.names)), self.names)
        names = sorted(set(self.names) - set(precisions["item"]))
        few = "fewer than three negative controls on its plates"
        why = ["one well only: no replicate to find" if wells[name] < 2 else few for name in names]
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

    def left_out(self, precisions: pd.DataFrame) -> pd.DataFrame:
        """Mechanisms without a list."""
        names = pd.Series(sorted(set(self.names) - set(precisions["item"])), dtype=object)
        return pd.DataFrame({"item": names, "reason": "one compound only, or no other mechanism to tell it from"})


def _negative(table: pd.DataFrame) -> np.ndarray:
    # Without controls consistency can still be told: their absence is no error here.
    if "Metadata_Control" not in table:
        return np.zeros(len(table), bool)
    return plain(table, "Metadata_Control") == "negative"
