"""The probability that a sample's image is abnormal, for every sample of a dataset, learnt from few labels.

A classifier is fitted to the embeddings of the labelled samples. Its output is made a probability by Platt's sigmoid [0],
which is fitted to what it says of labelled samples that it did not see (samples of one well stay together). That probability
holds for the share of abnormal images among the labels; it is moved by Bayes' rule to the share in the screen, where that
is stated or estimated from the screen itself [1]. Labelled samples get what was said of them while they were held out.

How well that holds was tried on drawn embeddings (8 to 512 dimensions, 200 labels of which half are abnormal, a screen of
which 5 % are). Over 20 such screens, in steps of a tenth with 100 samples or more, what is said is at most 0.15 above what
is, with linear and with knn. It is up to 0.25 (knn) or 0.3 (linear) below where abnormal samples are of several kinds or lie
far off. A single fit varies more, and fewer labels make it worse.

[0] Platt 1999, Probabilistic outputs for support vector machines; scikit-learn's CalibratedClassifierCV
[1] Saerens, Latinne, Decaestecker 2002, Adjusting the outputs of a classifier to new a priori probabilities,
    doi:10.1162/089976602753284446
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from phenorep import blas, contracts, plugins
from phenorep.errors import NotRun, UserError
from phenorep.order import by_name
from phenorep.quality import annotations
from phenorep.quality.annotations import ABNORMAL, NORMAL, QUALITY
from phenorep.rows import features

BINS = 10  # of the calibration table
_REMEDY = "Mark more images on the page of `snakemake annotate` and name the exported file under 'annotations:'."


@dataclass(frozen=True)
class Config:
    """The configuration's block `abnormality`."""

    method: str  # whose embeddings are read; one with published weights needs no training
    samples: str = ""  # the sample set; "": the one that a sample set leaves abnormal ones out of, or the first study's
    train: str = ""  # dataset/samples whose labels are learnt from, if this dataset has none
    seed: int = 0  # of the method, and of what is drawn here
    # forest for image_quality and other few, uneven features; knn (25 neighbours or more, the nearer the weightier) where no
    # plane divides the kinds
    classifier: Literal["linear", "knn", "forest"] = "linear"
    # Share of abnormal images in the screen: labels (as among these, right if they were drawn at random), a number, or
    # estimate, which needs a classifier that tells the kinds well apart
    prevalence: str = "labels"
    folds: int = 5  # of wells, to say of labelled samples what was learnt without them; more for few labels
    max_labels: int = 2000  # as many of each kind are drawn, where there are more: the fit takes seconds

    def __post_init__(self):
        if self.folds < 2:
            raise ValueError(f"folds must be 2 or more, not {self.folds}")
        if self.max_labels < 10:
            raise ValueError(f"max_labels must be 10 or more, not {self.max_labels}")
        if self.prevalence not in ("labels", "estimate"):
            self.share()

    def share(self) -> float:
        """The stated prevalence."""
        try:
            value = float(self.prevalence)
        except ValueError:
            value = 0
        if not 0 < value < 1:
            raise ValueError(f"prevalence must be labels, estimate or a share between 0 and 1, not {self.prevalence!r}")
        return value


@blas.single_thread()
def make(inputs, settings: dict, output: str | Path) -> None:
    """Write the abnormality of each sample, one row group for each plate.

    Parameters
    ----------
    inputs
        Paths of the `embeddings` and, where there are any, of their `annotations`; of `train_embeddings` and
        `train_annotations`, if labels of another sample set are learnt from.
    settings
        Keys of `Config`.
    output
        A table of the kind ``abnormality``: metadata, `Sample`, `Label_Quality` (of samples whose labels were learnt from)
        and `abnormality`. Its facts say how it was made and how well it is calibrated.

    Raises
    ------
    NotRun
        If the embeddings were not made, or no sample has a label.
    UserError
        If labels are all of one kind, or too few to hold any out.
    """
    config = plugins.configure(Config, settings, "abnormality")
    elsewhere = inputs.get("train_embeddings")
    source = elsewhere or inputs.get("embeddings")
    for path in (inputs.get("embeddings"), source):
        if reason := contracts.not_run(path):
            raise NotRun(reason)
    known = _labelled(source, inputs.get("train_annotations" if elsewhere else "annotations"), config)
    abnormal = (known[QUALITY] == ABNORMAL).to_numpy()
    values = features(known)
    wells = (known["Metadata_Plate"] + "/" + known["Metadata_Well"]).to_numpy()
    held_out = _held_out(values, abnormal, wells, config)
    model = _fit(values, abnormal, wells, config)
    rows = contracts.row_groups(inputs.get("embeddings"))
    found = np.concatenate([model.predict_proba(features(table))[:, 1] for table in rows])
    balance = float(abnormal.mean())
    prevalence, how = _prevalence(config, found, balance, known.attrs["prevalence"])
    facts = _facts(held_out, abnormal) | {
        "method": config.method,
        "classifier": config.classifier,
        "counts": {NORMAL: int((~abnormal).sum()), ABNORMAL: int(abnormal.sum())},
        "labels_from": str(inputs.get("train_annotations" if elsewhere else "annotations") or source),
        "prevalence": prevalence,
        "prevalence_how": how,
        "encoder": contracts.about(inputs.get("embeddings")).get("encoder"),
    }
    own = dict(zip(known["Sample"], moved(held_out, balance, prevalence), strict=True)) if not elsewhere else {}
    labels = dict(zip(known["Sample"], known[QUALITY], strict=True)) if not elsewhere else {}
    likely = _write(inputs.get("embeddings"), moved(found, balance, prevalence), own, labels, facts, output)
    print(
        f"{len(found)} samples, {likely} of them more likely abnormal than not; learnt from "
        f"{facts['counts'][NORMAL]} normal and {facts['counts'][ABNORMAL]} abnormal ones; held out: AUC {facts['auc']:.3f}, "
        f"Brier score {facts['brier']:.3f}; prevalence {prevalence:.3f} ({how})"
    )


def moved(probability: np.ndarray, before: float, after: float) -> np.ndarray:
    """Probabilities of a class of prevalence `before`, where it is `after`: (N,)."""
    share = np.clip(probability, 1e-12, 1 - 1e-12)
    odds = share / (1 - share) * (after / (1 - after)) / (before / (1 - before))
    return odds / (1 + odds)


def estimated_prevalence(probability: np.ndarray, before: float, rounds: int = 500) -> float:
    """The share of a class among rows whose probabilities hold for the share `before`, by expectation maximisation [1]."""
    share, probability = before, np.sort(probability)  # their mean is not to be rounded by the order of the rows
    for _ in range(rounds):
        new = float(moved(probability, before, share).mean())
        # A class that is hardly there is not to vanish: odds of 0 could not be moved any more.
        new = min(max(new, 1e-6), 1 - 1e-6)
        if abs(new - share) < 1e-9:
            break
        share = new
    return share


def calibration(probability: np.ndarray, abnormal: np.ndarray) -> list[dict]:
    """What was predicted and what is, in `BINS` equal steps of probability; steps without samples are left out."""
    step = np.minimum((probability * BINS).astype(int), BINS - 1)
    return [
        {
            "low": number / BINS,
            "high": (number + 1) / BINS,
            "count": int((step == number).sum()),
            "predicted": float(probability[step == number].mean()),
            "observed": float(abnormal[step == number].mean()),
        }
        for number in np.unique(step).tolist()
    ]


def _labelled(path: str | Path, marked: str | None, config: Config) -> pd.DataFrame:
    """The labelled samples with their features; of each kind no more than `max_labels`, drawn."""
    columns = [name for name in contracts.columns_of(path) if name in (*contracts.FIELD, "Sample", QUALITY)]
    table = contracts.read_table(path, "embeddings", columns)
    if marked:
        table = annotations.join(table, marked)
    labels = table[QUALITY] if QUALITY in table else pd.Series("", index=table.index)
    if not labels.isin([NORMAL, ABNORMAL]).any():
        raise NotRun(f"no sample is labelled normal or abnormal. {_REMEDY}")
    place, generator, chosen = marked or path, np.random.default_rng(config.seed), []
    # Drawn, and divided into folds, by name: the order of the table decides nothing.
    ordered = by_name(table)
    for kind in (NORMAL, ABNORMAL):
        rows = ordered[(labels == kind).to_numpy()[ordered]]
        if len(rows) < 2:
            raise UserError(
                f"{place}: {len(rows)} samples are labelled {kind}: at least two of each kind are needed to learn from. "
                f"{_REMEDY}"
            )
        chosen.append(generator.choice(rows, config.max_labels, replace=False) if len(rows) > config.max_labels else rows)
    rows = np.sort(np.concatenate(chosen))
    counts = labels.value_counts()
    known = contracts.read_rows(path, "embeddings", rows).assign(**{QUALITY: labels.iloc[rows].to_numpy()})
    known = known.iloc[by_name(known)].reset_index(drop=True)
    known.attrs["prevalence"] = float(counts[ABNORMAL] / (counts[NORMAL] + counts[ABNORMAL]))
    return known


def _fit(values: np.ndarray, abnormal: np.ndarray, wells: np.ndarray, config: Config):
    """A calibrated classifier; what it is calibrated on was held out by wells."""
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.calibration import CalibratedClassifierCV

    from phenorep.quality import classifiers

    class Estimator(ClassifierMixin, BaseEstimator):
        """Our classifiers as scikit-learn calls them."""

        def fit(self, values, abnormal):
            self.classes_ = np.array([False, True])
            if config.classifier == "knn":
                self.model_ = classifiers.fit_by_rank(values, abnormal)
            else:
                keys = classifiers.ClassifierConfig()
                self.model_ = classifiers.fit(config.classifier, values, abnormal, keys, config.seed)
            return self

        def decision_function(self, values):
            # A sigmoid of the log odds: what is sure already stays sure. Votes of trees may be all or none.
            share = np.clip(self.model_.probabilities(values), 1e-4, 1 - 1e-4)
            return np.log(share / (1 - share))

        def predict(self, values):
            return self.decision_function(values) >= 0

    splits = _splits(abnormal, wells, config)
    return CalibratedClassifierCV(Estimator(), cv=splits, ensemble=False).fit(values, abnormal)


def _held_out(values: np.ndarray, abnormal: np.ndarray, wells: np.ndarray, config: Config) -> np.ndarray:
    """What a classifier that is fitted and calibrated without them says of labelled samples, (n,)."""
    found = np.empty(len(abnormal))
    for train, test in _splits(abnormal, wells, config):
        found[test] = _fit(values[train], abnormal[train], wells[train], config).predict_proba(values[test])[:, 1]
    return found


def _splits(abnormal: np.ndarray, wells: np.ndarray, config: Config) -> list[tuple[np.ndarray, np.ndarray]]:
    """Folds of whole wells with both kinds in each training part; of single samples, if there are too few wells."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    several = min(len(set(wells[abnormal])), len(set(wells[~abnormal])))
    for folds in range(min(config.folds, several), 1, -1):
        drawn = StratifiedGroupKFold(folds, shuffle=True, random_state=config.seed).split(wells, abnormal, wells)
        splits = [(train, test) for train, test in drawn if len(test)]
        if all(min(np.bincount(abnormal[train].astype(int), minlength=2)) >= 1 for train, _ in splits):
            return splits
    folds = max(2, min(config.folds, int(abnormal.sum()), int((~abnormal).sum())))
    if min(abnormal.sum(), (~abnormal).sum()) < 2:
        everything = np.arange(len(abnormal))
        return [(everything, everything)]  # a fold's own calibration, of a handful of labels
    return list(StratifiedKFold(folds, shuffle=True, random_state=config.seed).split(wells, abnormal))


def _prevalence(config: Config, found: np.ndarray, balance: float, among_labels: float) -> tuple[float, str]:
    """The share of abnormal images in the screen, and where it is from."""
    if config.prevalence == "labels":
        return among_labels, "as among the labels"
    if config.prevalence == "estimate":
        return estimated_prevalence(found, balance), "estimated from the screen"
    return config.share(), "stated"


def _facts(probability: np.ndarray, abnormal: np.ndarray) -> dict:
    from sklearn.metrics import roc_auc_score

    return {
        "auc": float(roc_auc_score(abnormal, probability)),
        "brier": float(((probability - abnormal) ** 2).mean()),
        "accuracy": float(((probability >= 0.5) == abnormal).mean()),
        "calibration": calibration(probability, abnormal),
    }


def _write(path, probability: np.ndarray, own: dict, labels: dict, facts: dict, output: str | Path) -> int:
    """Write the table; returns the number of samples that are more likely abnormal than not."""
    columns = [name for name in contracts.columns_of(path) if name.startswith("Metadata_")] + ["Sample"]
    start = likely = 0
    with contracts.table_writer(output, "abnormality", facts) as write:
        for table in contracts.row_groups(path, columns):
            given = pd.Series(probability[start : start + len(table)], index=table.index)
            held_out = table["Sample"].map(own).astype(float)
            start += len(table)
            label = table["Sample"].map(labels).astype(object).fillna("")
            values = held_out.fillna(given)
            likely += int((values >= 0.5).sum())
            write(table.assign(**{QUALITY: label, "abnormality": values}))
    return likely
