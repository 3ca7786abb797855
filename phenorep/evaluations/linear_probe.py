"""How much of a label can be read from the embeddings by a linear classifier?

Logistic regression on standardised features of single samples, by cross-validation with whole groups (plates, by default)
held out; balanced accuracy over all held-out samples. Samples without a label are not used. Samples of one well are alike,
and so are wells of one compound: what is independent are compounds, where labels have several of them, else wells.

[0] Alain and Bengio 2016, Understanding intermediate layers using linear classifier probes, arXiv:1610.01644
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from phenorep import constancy, statistics
from phenorep.errors import NotRun
from phenorep.evaluations import Inputs, Score, plain, reasons, shuffled
from phenorep.order import by_name
from phenorep.rows import features

TASK = "read the mechanism, or another label, from single cells"
NEEDS = ("embeddings",)
REQUIRES = ("Metadata_Plate", "Metadata_Well")
LEVEL = None
UNIT = "compound"
METRICS = {
    "balanced_accuracy": {"range": [0, 1], "better": "higher", "reference": "Alain and Bengio 2016, arXiv:1610.01644"},
}


@dataclass(frozen=True)
class Config:
    """What is read, and how the classifier is fitted."""

    target: str = "Metadata_MoA"  # column of labels; any Metadata_ or Label_ column of few values
    groups: str = (
        "Metadata_Plate"  # held out together; Metadata_Compound asks for compounds never seen; Metadata_Well if one plate
    )
    folds: int = 3  # at most; no more than there are groups
    max_samples: int = 2000  # drawn where there are more: the fit takes seconds, not minutes
    regularisation: float = 1.0  # strength of the penalty on the weights; more for many features and few samples
    permutations: int = 3  # of labels among wells, for the shuffled control

    def __post_init__(self):
        if self.folds < 2:
            raise ValueError(f"folds must be 2 or more, not {self.folds}")
        if self.max_samples < 10 or self.permutations < 1:
            raise ValueError("max_samples must be 10 or more, permutations 1 or more")
        if self.regularisation <= 0:
            raise ValueError(f"regularisation must be above 0, not {self.regularisation}")


def evaluate(config: Config, inputs: Inputs, seed: int) -> tuple[list[Score], pd.DataFrame]:
    """Predict held-out labels.

    Returns
    -------
    scores
        ``balanced_accuracy`` with an interval over compounds or wells; also with labels shuffled among wells.
    details
        Parts ``item`` (each sample; value 1 if its label was predicted), ``confusion`` and ``reason``.

    Raises
    ------
    NotRun
        If the target's column is missing, has one value alone or too many, or there is one group alone.
    """
    table, stated = _labelled(config, inputs.embeddings, seed)
    labels, groups = plain(table, config.target).astype(str), plain(table, config.groups).astype(str)
    wells = (plain(table, "Metadata_Plate") + "/" + plain(table, "Metadata_Well")).astype(str)
    values = features(table)
    folds = _folds(groups, config.folds, seed)
    predicted = _predict(values, labels, folds, config.regularisation)

    value = balanced_accuracy(labels, predicted)
    unit, units = _units(table, labels, wells)
    items = pd.DataFrame({"item": table["Sample"].astype(str).to_numpy(), "well": wells, "unit": units})
    items = items.assign(
        truth=labels, predicted=predicted, value=(labels == predicted).astype(float), weight=_weights(labels)
    )
    # Classes are fixed: a class that is read better than another does not add to the spread of units.
    low, high = statistics.share_interval(items["value"], units, items["weight"], strata=labels)
    scores = [Score("balanced_accuracy", value, low, high, len(labels), unit=unit, units=len(set(units)))]
    generator, draws = np.random.default_rng(seed), []
    for _ in range(config.permutations):
        drawn = _permuted(labels, wells, generator)
        draws.append(balanced_accuracy(drawn, _predict(values, drawn, folds, config.regularisation)))
    scores += shuffled("balanced_accuracy", draws, len(labels))
    return scores, _details(items, stated)


def balanced_accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Mean over classes of the share of their samples predicted rightly; (N,) text each."""
    _, codes = np.unique(labels, return_inverse=True)
    right = np.bincount(codes, weights=(labels == predicted).astype(float))
    return float((right / np.bincount(codes)).mean())


def _weights(labels: np.ndarray) -> np.ndarray:
    """Weight of each sample in the balanced accuracy, (N,): each class has the same in all."""
    _, codes = np.unique(labels, return_inverse=True)
    totals = np.bincount(codes)
    return 1 / (len(totals) * totals[codes])


def _units(table: pd.DataFrame, labels: np.ndarray, wells: np.ndarray) -> tuple[str, np.ndarray]:
    """What is independent, compound or well, and its name for each sample, (N,).

    Compounds count where a label has several: the label of a compound itself, or of its dose, is read well by well.
    """
    if "Metadata_Compound" not in table:
        return "well", wells
    compounds = plain(table, "Metadata_Compound").astype(str)
    named = compounds != ""
    if (pd.Series(compounds[named]).groupby(labels[named]).nunique() < 2).all():
        return "well", wells
    return UNIT, np.where(named, compounds, wells)


def _labelled(config: Config, table: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, list[str]]:
    for key in ("target", "groups"):
        column = getattr(config, key)
        if column not in table:
            raise NotRun(f"linear_probe: {key}: the embeddings have no column {column}.")
    labels = plain(table, config.target)
    # By name, not by row: neither the order of a table nor its samples without a label decide which are drawn.
    rows = np.flatnonzero(labels != "")
    rows = rows[by_name(table.iloc[rows])]
    stated = [f"{(labels == '').sum()} samples without {config.target} are not used."] if (labels == "").any() else []
    classes, groups = (table[getattr(config, key)].iloc[rows].nunique() for key in ("target", "groups"))
    if classes < 2:
        raise NotRun(f"linear_probe: target: {config.target} has {classes} value(s); at least 2 are needed.")
    if classes > max(50, len(rows) // 5):
        raise NotRun(
            f"linear_probe: target: {config.target} has {classes} values in {len(rows)} samples: too many to be classes."
        )
    if groups < 2:
        raise NotRun(
            f"linear_probe: groups: {config.groups} has {groups} value, at least 2 are needed to hold one out. "
            "Set 'groups: Metadata_Well' for a single plate."
        )
    if len(rows) > config.max_samples:
        stated.append(f"{config.max_samples} of {len(rows)} samples were drawn (max_samples).")
        rows = rows[np.sort(np.random.default_rng(seed).choice(len(rows), config.max_samples, replace=False))]
    return table.iloc[rows].reset_index(drop=True), stated


def _folds(groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Number of the fold in which each sample is held out; groups are dealt out in drawn order, so that folds are alike."""
    names, codes = np.unique(groups, return_inverse=True)
    places = np.random.default_rng(seed).permutation(len(names)) % min(folds, len(names))
    return places[codes]


def _predict(values: np.ndarray, labels: np.ndarray, folds: np.ndarray, regularisation: float) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression

    predicted, floor = np.empty(len(labels), dtype=labels.dtype), constancy.floor(values)
    for fold in np.unique(folds):
        held_out = folds == fold
        train, known = values[~held_out], labels[~held_out]
        if len(set(known)) < 2:
            predicted[held_out] = known[0]
            continue
        center, deviation = train.mean(axis=0), train.std(axis=0)
        lowest = np.maximum(floor, constancy.RELATIVE * np.abs(center))
        scale = np.where(deviation > lowest, deviation, np.inf)  # constant: no say
        model = LogisticRegression(C=1 / regularisation, class_weight="balanced", tol=1e-3, max_iter=200)
        with np.errstate(all="ignore"):
            model.fit((train - center) / scale, known)
        predicted[held_out] = model.predict((values[held_out] - center) / scale)
    return predicted


def _permuted(labels: np.ndarray, wells: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Labels shuffled among wells where a well has one label, else among samples."""
    _, first, codes = np.unique(wells, return_index=True, return_inverse=True)
    if (labels[first][codes] == labels).all():
        return labels[first][generator.permutation(len(first))][codes]
    return generator.permutation(labels)


def _details(items: pd.DataFrame, stated: list[str]) -> pd.DataFrame:
    confusion = items.groupby(["truth", "predicted"], as_index=False).size().rename(columns={"size": "count"})
    named = (("item", items), ("confusion", confusion))
    parts = [part.assign(part=name, metric="balanced_accuracy", settings="") for name, part in named]
    details = pd.concat([*parts, reasons(stated)], ignore_index=True)
    return details[["part", *(column for column in details if column != "part")]]
