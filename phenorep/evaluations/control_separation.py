"""Can positive-control (or all treated) wells be told from negative-control wells?

``auc``: area under the ROC curve of a linear discriminant with a shrunken covariance, on wells it has not seen. With several
plates that hold both kinds each plate is left out in turn, and only wells of the same plate are compared. On a single plate
every pair of one positive and one negative well is left out in turn (drawn pairs, if there are more than `max_pairs`), and
the score is the share of left-out pairs that are ranked right, ties counting half.

``auc_distance``: the same comparison, within plates, without a classifier: by the Euclidean distance of a well to the
centroid of its plate's negative controls; for a negative control itself, to the centroid of the others.

[0] Ledoit and Wolf 2004, A well-conditioned estimator for large-dimensional covariance matrices,
    doi:10.1016/S0047-259X(03)00096-4
[1] Airola et al. 2011, An experimental comparison of cross-validation techniques for estimating the area under the ROC
    curve, doi:10.1016/j.csda.2010.11.018 (leave-pair-out)
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from phenorep import constancy, statistics
from phenorep.errors import NotRun
from phenorep.evaluations import Inputs, Score, distances, plain, reasons, shuffled
from phenorep.profiles import features, negatives

TASK = "tell treated wells from negative controls"
NEEDS = ("profiles",)
REQUIRES = ("Metadata_Plate", "Metadata_Well", "Metadata_Control")
LEVEL = "well"
METRICS = {
    "auc": {"range": [0, 1], "better": "higher", "reference": "Ledoit and Wolf 2004, doi:10.1016/S0047-259X(03)00096-4"},
    "auc_distance": {"range": [0, 1], "better": "higher", "reference": "Hanley and McNeil 1982, Radiology 143:29"},
}


@dataclass(frozen=True)
class Config:
    """Which wells are compared, and how much is computed."""

    positive: Literal["positive", "treated"] = "positive"  # treated: every well that is no negative control
    max_pairs: int = 300  # on a single plate: more left-out pairs cost time and narrow nothing
    permutations: int = 10  # of labels within plates, for the shuffled control; a fifth of the pairs serves for each

    def __post_init__(self):
        if self.max_pairs < 1 or self.permutations < 1:
            raise ValueError("max_pairs and permutations must be 1 or more")


def evaluate(config: Config, inputs: Inputs, seed: int) -> tuple[list[Score], pd.DataFrame]:
    """Compare wells.

    Returns
    -------
    scores
        ``auc`` and ``auc_distance`` with bootstrap intervals over wells; each also with labels shuffled within plates.
    details
        Parts ``item`` (each positive well; value is the share of negative wells that it was ranked above) and ``reason``.

    Raises
    ------
    NotRun
        If no plate has a positive well and two negative ones.
    UserError
        If no well is a negative control.
    """
    table, labels, plates, stated = _wells(config, inputs.profiles)
    values, scores, items = features(table), [], []
    generator = np.random.default_rng(seed)
    drawn = [_permuted(labels, plates, generator) for _ in range(config.permutations)]
    names = table["Metadata_Plate"].to_numpy(dtype=object) + "/" + table["Metadata_Well"].to_numpy(dtype=object)
    for metric in METRICS:
        if metric == "auc" and labels.sum() < 2:
            stated.append("auc needs at least two positive wells: one to leave out, one to learn from.")
            continue

        def ranked(chosen, pairs, metric=metric):
            if metric == "auc_distance":
                return _by_distance(values, chosen, plates)
            return _by_discriminant(values, chosen, plates, pairs, seed)

        won, compared = ranked(labels, config.max_pairs)
        value, low, high = statistics.pair_auc(won, compared, seed)
        scores.append(Score(metric, value, low, high, len(labels)))
        scores += shuffled(metric, [_share(*ranked(chosen, -(-config.max_pairs // 5))) for chosen in drawn], len(labels))
        items.append(_items(metric, names[labels], won, compared))
    return scores, pd.concat([*items, reasons(stated)], ignore_index=True)


def discriminant(values: np.ndarray, labels: np.ndarray, floor: np.ndarray | None = None) -> np.ndarray:
    """Direction of a linear discriminant with a Ledoit-Wolf covariance, (F,): higher is more positive.

    Features are first brought to standard deviation 1 within the two kinds, so that shrinking treats them alike.

    Parameters
    ----------
    values
        (N, F) rows to learn from.
    labels
        (N,) bool, both kinds present.
    floor
        (F,) deviation at or below which a feature does not vary, see `phenorep.rows.Rows`; None: that of the values alone.
    """
    centres = values[labels].mean(axis=0), values[~labels].mean(axis=0)
    within = values - np.where(labels[:, None], *centres)
    tiny = np.maximum(constancy.RELATIVE * np.abs(values).max(axis=0), constancy.floor(values) if floor is None else floor)
    deviation = within.std(axis=0)
    # What does not vary within the kinds is scaled by its variation between them; what never varies has no say.
    deviation = np.where(deviation > tiny, deviation, values.std(axis=0))
    deviation = np.where(deviation > tiny, deviation, np.inf)
    within, difference = within / deviation, (centres[0] - centres[1]) / deviation
    n, count = within.shape
    # As many rows as wells, as many columns as features: the smaller of the two products holds all that is needed.
    product = within @ within.T if n <= count else within.T @ within
    mean, spread = np.trace(product) / n / count, (product**2).sum() / n**2
    noise = (((within**2).sum(axis=1) ** 2).sum() / n - spread) / (count * n)
    excess = spread / count - mean**2
    shrinkage = max(min(noise, excess) / excess, 1e-8) if excess > 0 else 1.0
    ridge = shrinkage * mean
    if shrinkage == 1 or mean == 0:
        return difference / deviation
    if n > count:
        covariance = (1 - shrinkage) * product / n
        covariance[np.diag_indices(count)] += ridge
        return np.linalg.solve(covariance, difference) / deviation
    product[np.diag_indices(n)] += n * ridge / (1 - shrinkage)
    return (difference - within.T @ np.linalg.solve(product, within @ difference)) / ridge / deviation


def _wells(config: Config, table: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, list[str]]:
    table = table.sort_values(["Metadata_Plate", "Metadata_Well"], kind="stable", ignore_index=True)
    negative = negatives(table, ", or leave this evaluation out of the study")
    control = plain(table, "Metadata_Control")
    positive = control == "positive" if config.positive == "positive" else ~negative & _holds_something(table)
    plates = plain(table, "Metadata_Plate")
    usable, stated = [], []
    for plate in sorted(set(plates)):
        counts = positive[plates == plate].sum(), negative[plates == plate].sum()
        if counts[0] >= 1 and counts[1] >= 2:
            usable.append(plate)
        else:
            wells = f"{counts[0]} {config.positive} and {counts[1]} negative-control wells"
            stated.append(f"plate {plate} is left out: it has {wells}; 1 and 2 are needed.")
    if not usable:
        remedy = "Mark positive controls in the dataset's Metadata_Control, or set 'positive: treated'."
        raise NotRun(" ".join(["no plate has wells to compare:", *stated[:3], *([] if positive.any() else [remedy])]))
    kept = np.isin(plates.astype(str), usable) & (positive | negative)
    return table[kept].reset_index(drop=True), positive[kept], plates[kept], stated


def _holds_something(table: pd.DataFrame) -> np.ndarray:
    """Which wells hold a compound or another perturbation: an empty well is neither treated nor a control."""
    known = [name for name in ("Metadata_Compound", "Metadata_Perturbation") if name in table]
    if not known:
        return np.ones(len(table), dtype=bool)
    return np.any([plain(table, name) != "" for name in known], axis=0)


def _permuted(labels: np.ndarray, plates: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    drawn = labels.copy()
    for plate in sorted(set(plates)):
        rows = plates == plate
        drawn[rows] = generator.permutation(labels[rows])
    return drawn


def _by_distance(values: np.ndarray, labels: np.ndarray, plates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = distances(values, ~labels, plates)
    return statistics.wins(found[labels], found[~labels]), plates[labels][:, None] == plates[~labels][None, :]


def _by_discriminant(values, labels, plates, max_pairs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    if len(set(plates)) > 1:
        found = np.empty(len(values))
        for plate in set(plates):
            rows = plates == plate
            found[rows] = values[rows] @ discriminant(values[~rows], labels[~rows])
        # Scores of different folds have different scales: only wells of one plate are compared.
        return statistics.wins(found[labels], found[~labels]), plates[labels][:, None] == plates[~labels][None, :]
    positive, negative = np.flatnonzero(labels), np.flatnonzero(~labels)
    won, compared = np.zeros((len(positive), len(negative))), np.zeros((len(positive), len(negative)), bool)
    pairs = np.random.default_rng(seed).permutation(won.size)[:max_pairs]
    for p, n in zip(*np.unravel_index(pairs, won.shape), strict=True):
        kept = np.ones(len(values), bool)
        kept[[positive[p], negative[n]]] = False
        direction = discriminant(values[kept], labels[kept])
        difference = (values[positive[p]] - values[negative[n]]) @ direction
        won[p, n], compared[p, n] = (difference > 0) + 0.5 * (difference == 0), True
    return won, compared


def _share(won: np.ndarray, compared: np.ndarray) -> float:
    return float(won[compared].mean())


def _items(metric: str, names: np.ndarray, won: np.ndarray, compared: np.ndarray) -> pd.DataFrame:
    n = compared.sum(axis=1)
    value = np.divide((won * compared).sum(axis=1), n, out=np.zeros(len(n)), where=n > 0)
    items = pd.DataFrame({"part": "item", "metric": metric, "settings": "", "item": names, "value": value, "pairs": n})
    return items[n > 0]
