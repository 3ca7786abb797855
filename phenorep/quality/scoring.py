"""How well normal and abnormal samples are told apart: accuracy, F1 and AUC, each a weighted average for the two classes.

For two classes the AUC of each is the same. Accuracy and F1 take a probability above one half as abnormal; AUC is made of
the probabilities, so that where they are cut does not matter.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from phenorep import statistics
from phenorep.evaluations import Score, reasons, shuffled
from phenorep.quality.annotations import ABNORMAL, ARTEFACT, NORMAL
from phenorep.quality.splits import Design

NAMES = ("accuracy", "f1", "auc")
BATCH = 32  # of the study hcs_qc, for averages over batches
_AT_ONCE = 2**21  # weights of samples that are held together


@dataclass(frozen=True)
class Result:
    """What classifiers say of the test samples, for one setting."""

    settings: str
    probabilities: np.ndarray  # (D, t) of being abnormal: D draws of the labels that were learnt from
    control: np.ndarray  # (P, t) the same where those labels were shuffled
    chosen: dict[str, float]  # hyperparameters that were searched


def summarise(design: Design, results: list[Result], stated: list[str]) -> tuple[list[Score], pd.DataFrame]:
    """Scores with intervals and controls, and their details.

    Returns
    -------
    scores
        Means over draws; intervals over both groups of test samples and draws of labels.
    details
        Part ``item``: of each test sample, the share of draws in which it was told rightly, whose mean by ``weight`` is the
        accuracy. ``prediction``: ``truth``, mean ``probability`` and, where known, ``artefact``.
        ``confusion``: counts over all draws. ``draw``: each draw's value. ``chosen``: hyperparameters that were searched.
        ``reason``.
    """
    truth = design.judged.abnormal[design.test]
    batch = BATCH if design.config.average == "batch_mean" else None
    groups = design.judged.groups[design.test]
    independent = {"unit": unit(design.config.groups), "units": len(set(groups))}
    found, parts = [], []
    for result in results:
        values = metrics(truth, result.probabilities, batch)
        control = metrics(truth, result.control, batch)
        limits = intervals(truth, result.probabilities, groups, batch)
        for name in NAMES:
            if np.isfinite(values[name]).any():
                score = Score(
                    name, float(np.nanmean(values[name])), *limits[name], len(truth), result.settings, **independent
                )
                found += [score, *shuffled(name, list(control[name]), len(truth), result.settings)]
        parts += _details(design, result, values)
    parts.append(reasons([*design.stated, *stated]))
    details = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
    return found, details[["part", *(column for column in details if column != "part")]]


def metrics(truth: np.ndarray, probabilities: np.ndarray, batch: int | None = None) -> dict[str, np.ndarray]:
    """Accuracy, F1 and AUC of each of D predictions, {name: (D,)}; NaN where a metric is not defined.

    Parameters
    ----------
    truth
        (t,) bool; true is abnormal.
    probabilities
        (D, t) of being abnormal.
    batch
        Take the mean over consecutive batches of so many samples, leaving out those where a metric is not defined; None:
        over all samples.
    """
    return {name: values[0] for name, values in _weighted(truth, probabilities, np.ones((1, len(truth))), batch).items()}


def unit(groups: str) -> str:
    """The name of what is independent, from the column of groups: Metadata_Well is a well, no column a sample."""
    return groups.removeprefix("Metadata_").lower() or "sample"


def intervals(
    truth: np.ndarray, probabilities: np.ndarray, groups: np.ndarray, batch: int | None = None
) -> dict[str, tuple[float, float]]:
    """95 % intervals of the means over draws, {name: (low, high)}: over groups (t,) of samples, and over draws (D,).

    Accuracy is a share; F1 and AUC are jackknifed over groups.
    """
    names, codes = np.unique(groups, return_inverse=True)
    each = metrics(truth, probabilities, batch)
    more = {name: _between(values) for name, values in each.items()}
    right = ((probabilities > 0.5) == truth).mean(axis=0)
    found = {"accuracy": statistics.share_interval(right, groups, _weights(len(truth), batch), more=more["accuracy"])}
    left_out = _without(truth, probabilities, codes, batch)
    both = [len(set(codes[truth == kind])) for kind in (False, True)]
    # An AUC rests on the rarer class: of all wrong pairs, each of its groups has many.
    independent = {"f1": len(names), "auc": min(len(names), 4 * both[0] * both[1] / sum(both))}
    for name, items in independent.items():
        value = float(_nan_mean(each[name][None])[0])
        found[name] = statistics.jackknife_interval(value, left_out[name], items, more[name])
    return found


def _without(truth, probabilities, codes: np.ndarray, batch: int | None) -> dict[str, np.ndarray]:
    """Means over draws without each of the groups, {name: (U,)}."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in NAMES}
    groups = np.arange(codes.max() + 1)
    step = max(1, _AT_ONCE // len(truth))
    for start in range(0, len(groups), step):
        kept = (groups[start : start + step, None] != codes).astype(float)
        for name, values in _weighted(truth, probabilities, kept, batch).items():
            found[name].append(_nan_mean(values))
    return {name: np.concatenate(values) for name, values in found.items()}


def _between(values: np.ndarray) -> tuple[float, float]:
    """Variance of the mean of draws, and its degrees of freedom; none from a single draw."""
    values = values[np.isfinite(values)]
    return (float(values.var(ddof=1) / len(values)), len(values) - 1) if len(values) > 1 else (0.0, np.inf)


def _weights(count: int, batch: int | None) -> np.ndarray:
    """Weight of each sample in the accuracy, (t,): a batch has the same as any other."""
    number = np.arange(count) // (batch or count)
    sizes = np.bincount(number)
    return 1 / (len(sizes) * sizes[number])


def _nan_mean(values: np.ndarray) -> np.ndarray:
    """Mean over draws of (B, D) values, leaving out those that are not defined, (B,)."""
    return _divided(np.nan_to_num(values).sum(axis=1), np.isfinite(values).sum(axis=1))


def _weighted(truth: np.ndarray, probabilities: np.ndarray, weights: np.ndarray, batch: int | None) -> dict[str, np.ndarray]:
    """{name: (B, D)} for B weightings (B, t) of the samples."""
    if batch is None:
        return {
            "accuracy": _accuracy(truth, probabilities, weights),
            "f1": _f1(truth, probabilities, weights),
            "auc": _auc(truth, probabilities, weights),
        }
    slices = [slice(start, start + batch) for start in range(0, len(truth), batch)]
    parts = [_weighted(truth[rows], probabilities[:, rows], weights[:, rows], None) for rows in slices]
    return {name: _mean([part[name] for part in parts]) for name in NAMES}


def _mean(values: list[np.ndarray]) -> np.ndarray:
    stacked = np.stack(values)
    return _divided(np.nan_to_num(stacked).sum(axis=0), np.isfinite(stacked).sum(axis=0))


def _divided(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(np.broadcast(above, below).shape, np.nan), where=below > 0)


def _accuracy(truth: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    right = ((probabilities > 0.5) == truth).astype(float)
    return _divided(weights @ right.T, weights.sum(axis=1, keepdims=True))


def _f1(truth: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean of both classes' F1, weighted by their numbers; a class that is neither there nor predicted has none."""
    total = 0.0
    for kind in (False, True):
        predicted, own = (probabilities > 0.5) == kind, truth == kind
        both = weights @ (predicted & own).T.astype(float)
        there = (weights @ own.astype(float))[:, None]
        score = _divided(2 * both, weights @ predicted.T.astype(float) + there)
        total = total + there * np.nan_to_num(score)
    return _divided(total, weights.sum(axis=1, keepdims=True))


def _auc(truth: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of pairs of an abnormal and a normal sample of which the abnormal one is rated higher; ties count half."""
    found = np.empty((len(weights), len(probabilities)))
    for number, rated in enumerate(probabilities):
        order = np.argsort(rated, kind="stable")
        first = np.flatnonzero(np.diff(rated[order], prepend=-np.inf))  # of each run of equal values
        positive, negative = (
            np.add.reduceat(weights[:, order] * (truth[order] == kind), first, axis=1) for kind in (True, False)
        )
        lower = np.cumsum(negative, axis=1) - negative / 2
        found[:, number] = _divided((positive * lower).sum(axis=1), positive.sum(axis=1) * negative.sum(axis=1))
    return found


def _details(design: Design, result: Result, values: dict[str, np.ndarray]) -> list[pd.DataFrame]:
    rows, table = design.test, design.judged.table
    truth, probability = design.judged.abnormal[rows], result.probabilities
    predicted = probability > 0.5
    wells = (table["Metadata_Plate"].astype(str) + "/" + table["Metadata_Well"].astype(str)).to_numpy()[rows]
    items = pd.DataFrame({"item": table["Sample"].astype(str).to_numpy()[rows], "well": wells, "settings": result.settings})
    parts = []
    weight = _weights(len(truth), BATCH if design.config.average == "batch_mean" else None)
    right = {"value": (predicted == truth).mean(axis=0), "weight": weight, "unit": design.judged.groups[rows]}
    parts.append(items.assign(part="item", metric="accuracy", **right))
    names = {False: NORMAL, True: ABNORMAL}
    parts.append(
        items.assign(part="prediction", truth=np.where(truth, ABNORMAL, NORMAL), probability=probability.mean(axis=0))
    )
    if ARTEFACT in table:
        kinds = table[ARTEFACT].iloc[rows]
        parts[-1]["artefact"] = kinds.where(kinds.notna(), "").astype(str).to_numpy()
    pairs = [(own, said) for own in (False, True) for said in (False, True)]
    counts = [int(((truth == own) & (predicted == said)).sum()) for own, said in pairs]
    confusion = {"truth": [names[own] for own, _ in pairs], "predicted": [names[said] for _, said in pairs], "count": counts}
    shared = {"metric": "accuracy", "settings": result.settings}
    parts.append(pd.DataFrame(confusion).assign(part="confusion", **shared))
    for name, each in values.items():
        drawn = {"draw": np.arange(len(each)), "value": each, "metric": name, "settings": result.settings}
        parts.append(pd.DataFrame(drawn).dropna().assign(part="draw"))
    chosen = {
        "part": "chosen",
        "settings": result.settings,
        "key": list(result.chosen),
        "value": list(result.chosen.values()),
    }
    return [*parts, pd.DataFrame(chosen)]
