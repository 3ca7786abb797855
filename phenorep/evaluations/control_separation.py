"""Can positive-control (or all treated) wells be told from negative-control wells?

Profiles are cross-fitted (see `phenorep.cross_fitting`): a well is compared with a control in a profile that was not fitted
on this control, and its plate's reference is made of the controls that the profile was fitted on.

``auc``: area under the ROC curve of a linear discriminant with a shrunken covariance, on wells it has not seen. It learns
from the fitted controls and the treated wells. With several plates that hold both kinds each plate is left out in turn, and
only wells of the same plate are compared. On a single plate every pair of a treated and a hidden control well is compared by
a discriminant that has seen neither (drawn pairs, if there are more than `max_pairs`). The score is the share of pairs that
are ranked right, ties counting half.

``auc_distance``: the same comparison, within plates, without a classifier: by the Euclidean distance of a well to the
centroid of its plate's fitted controls.

Each has its null (see `phenorep.nulls`). Plates with fewer than three negative-control wells are left out, and named.

[0] Ledoit and Wolf 2004, A well-conditioned estimator for large-dimensional covariance matrices,
    doi:10.1016/S0047-259X(03)00096-4
[1] Airola et al. 2011, An experimental comparison of cross-validation techniques for estimating the area under the ROC
    curve, doi:10.1016/j.csda.2010.11.018 (leave-pair-out)
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd

from phenorep import constancy, nulls, statistics
from phenorep.cross_fitting import FEWEST_CONTROLS, Chain, CrossFit, Space, well_names
from phenorep.errors import NotRun
from phenorep.evaluations import Inputs, Score, plain, reasons
from phenorep.treatments import negatives

TASK = "tell treated wells from negative controls"
NEEDS = ("profiles", "chain")
REQUIRES = ("Metadata_Plate", "Metadata_Well", "Metadata_Control")
LEVEL = "well"
UNIT = "compound"
METRICS = {
    "auc": {"range": [0, 1], "better": "higher", "reference": "Ledoit and Wolf 2004, doi:10.1016/S0047-259X(03)00096-4"},
    "auc_distance": {"range": [0, 1], "better": "higher", "reference": "Hanley and McNeil 1982, Radiology 143:29"},
}
# Keys of earlier versions, and what took their place.
REPLACED = {"permutations": "null_draws"}
CHANCE = 0.5
# Draws of the null from which a variance can be told; by how much overlapping training sets raise the variance at least.
_ENOUGH_DRAWS, _OVERLAP = 10, 2.0


@dataclass(frozen=True)
class Config:
    """Which wells are compared, and how much is computed."""

    positive: Literal["positive", "treated"] = "positive"  # treated: every well that is no negative control
    max_pairs: int = 300  # on a single plate: more left-out pairs cost time and narrow nothing
    null_draws: int = 20  # of control wells that play treated ones; each makes the profile anew, fold by fold

    def __post_init__(self):
        for key, least in (("max_pairs", 1), ("null_draws", 2)):
            if getattr(self, key) < least:
                raise ValueError(f"{key} must be {least} or more, not {getattr(self, key)}")


class Ranked:
    """How often each of N wells was on the right side of a compared pair, (N,), and in how many pairs it was, (N,)."""

    def __init__(self, count: int):
        self.won, self.pairs = np.zeros(count), np.zeros(count)

    def add(self, treated: np.ndarray, controls: np.ndarray, won: np.ndarray, wanted: np.ndarray | bool = True) -> None:
        """Count pairs (p, n) of wells with these numbers: won is 1, 0.5 where they are equal, or 0; only those `wanted`."""
        wanted = np.broadcast_to(wanted, won.shape)
        for wells, axis in ((treated, 1), (controls, 0)):
            self.won[wells] += (won * wanted).sum(axis=axis)
            self.pairs[wells] += wanted.sum(axis=axis)

    def value(self, treated: np.ndarray) -> float:
        """The area under the ROC curve, from the treated wells, (N,) bool; NaN if no pair counts."""
        return float(self.won[treated].sum() / self.pairs[treated].sum()) if self.pairs.any() else float("nan")


def evaluate(config: Config, inputs: Inputs, seed: int) -> tuple[list[Score], pd.DataFrame]:
    """Compare wells.

    Returns
    -------
    scores
        ``auc`` and ``auc_distance`` with intervals over treated units (compounds, where all treated wells are compared, else
        wells) and control wells; each also as its null.
    details
        Parts ``item`` (each treated well; value is the share of control wells that it was ranked above), ``reference`` (each
        control well; value is the score without it), ``null`` and ``reason``.

    Raises
    ------
    NotRun
        If no plate has a treated well and three negative controls.
    UserError
        If no well is a negative control.
    """
    table, positive, stated = _wells(config, inputs.profiles)
    chain = inputs.chain or Chain.of(inputs.profiles)
    ranked = rank(table, ~positive, CrossFit(chain, table, ~positive, seed), seed, config.max_pairs)
    # A fifth of the pairs serves for each draw.
    drawn = partial(_drawn, seed=seed, max_pairs=-(-config.max_pairs // 5))
    null = nulls.measure(chain, table, ~positive, drawn, config.null_draws, seed)
    stated += [text for text in (null.reason, null.note) if text]
    unit, units = _units(config, table[positive])
    plates, names = plain(table, "Metadata_Plate"), well_names(table)
    scores, parts = [], [null.details()]
    for metric, result in ranked.items():
        if not result.pairs.any():
            stated.append("auc needs at least two positive wells: one to leave out, one to learn from.")
            continue
        placed, controls = positive & (result.pairs > 0), pd.Series(plates[~positive & (result.pairs > 0)]).value_counts()
        low, high = statistics.auc_interval(
            result.won[placed] / result.pairs[placed],
            result.pairs[placed],
            units[placed[positive]],
            plates[placed],
            controls.to_dict(),
            _inflation(null) if metric == "auc" else 1.0,
        )
        about = {"unit": unit, "units": len(set(units)), "chance": CHANCE, "validity": null.validity(metric)}
        scores.append(Score(metric, result.value(positive), low, high, len(table), **about))
        scores += null.scores(metric)
        parts += _details(metric, names, positive, units, result)
    return scores, pd.concat([*(part for part in parts if len(part)), reasons(stated)], ignore_index=True)


def rank(table: pd.DataFrame, negative: np.ndarray, fits: CrossFit, seed: int, max_pairs: int) -> dict[str, Ranked]:
    """Compare each treated well with each control of its plate, in the space that hid the control.

    Parameters
    ----------
    table
        (N rows) treated and control wells.
    negative
        (N,) bool: controls.
    fits
        Their profiles.
    seed
        Of the pairs that are drawn on a single plate.
    """
    plates, positive = plain(table, "Metadata_Plate"), ~negative
    ranked = {name: Ranked(len(table)) for name in METRICS}
    on_plate = {plate: np.flatnonzero(plates == plate) for plate in sorted(set(plates))}
    wanted = _wanted(positive, seed, max_pairs) if len(on_plate) == 1 else None
    for space in fits.spaces():
        for plate, rows in on_plate.items():
            treated, hidden = rows[positive[rows]], rows[space.hidden[rows]]
            if not len(hidden):
                continue
            distance = _distances(space.values[rows], space.fitted[rows])
            won = statistics.wins(distance[positive[rows]], distance[space.hidden[rows]])
            ranked["auc_distance"].add(treated, hidden, won)
            if positive.sum() < 2:
                continue
            if wanted is None:
                others = (space.fitted | positive) & (plates != plate)
                # Ratings by different discriminants have different scales: only wells of one plate are compared.
                rated = space.values[rows] @ discriminant(space.values[others], positive[others], space.floor)
                won = statistics.wins(rated[positive[rows]], rated[space.hidden[rows]])
                ranked["auc"].add(treated, hidden, won)
            else:
                chosen = wanted[:, space.hidden[negative]]
                ranked["auc"].add(treated, hidden, _pair_by_pair(space, positive, chosen), chosen)
    return ranked


def _wanted(positive: np.ndarray, seed: int, max_pairs: int) -> np.ndarray:
    """Which pairs of treated and control wells of a single plate are compared, (p, n) bool."""
    shape = positive.sum(), (~positive).sum()
    wanted = np.zeros(np.prod(shape), bool)
    wanted[np.random.default_rng(seed).permutation(wanted.size)[:max_pairs]] = True
    return wanted.reshape(shape)


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


def _wells(config: Config, table: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """The wells to compare, which of them are treated, and what is left out."""
    table = table.sort_values(["Metadata_Plate", "Metadata_Well"], kind="stable", ignore_index=True)
    negative = negatives(table, ", or leave this evaluation out of the study")
    control = plain(table, "Metadata_Control")
    positive = control == "positive" if config.positive == "positive" else ~negative & _holds_something(table)
    plates = plain(table, "Metadata_Plate")
    usable, stated = [], []
    for plate in sorted(set(plates)):
        counts = positive[plates == plate].sum(), negative[plates == plate].sum()
        if counts[0] >= 1 and counts[1] >= FEWEST_CONTROLS:
            usable.append(plate)
        else:
            wells = f"{counts[0]} {config.positive} and {counts[1]} negative-control wells"
            stated.append(f"plate {plate} is left out: it has {wells}; 1 and {FEWEST_CONTROLS} are needed.")
    if not usable:
        remedy = "Mark positive controls in the dataset's Metadata_Control, or set 'positive: treated'."
        helps = config.positive == "positive" and not positive.any()
        raise NotRun(" ".join(["no plate has wells to compare:", *stated[:3], *([remedy] if helps else [])]))
    kept = np.isin(plates.astype(str), usable) & (positive | negative)
    return table[kept].reset_index(drop=True), positive[kept], stated


def _holds_something(table: pd.DataFrame) -> np.ndarray:
    """Which wells hold a compound or another perturbation: an empty well is neither treated nor a control."""
    columns = [name for name in ("Metadata_Compound", "Metadata_Perturbation") if name in table]
    if not columns:
        return np.ones(len(table), dtype=bool)
    return np.any([plain(table, name) != "" for name in columns], axis=0)


def _units(config: Config, treated: pd.DataFrame) -> tuple[str, np.ndarray]:
    """What is independent among the treated wells, and its name for each of them."""
    if config.positive == "treated":
        for column in ("Metadata_Compound", "Metadata_Perturbation"):
            # A well that names none of the one holds the other.
            if column in treated and (values := plain(treated, column).astype(str)).all():
                return "compound", values
    return "well", well_names(treated)


def _inflation(null: nulls.Null) -> float:
    """Factor of the variance of comparisons by discriminants that were learnt from overlapping wells.

    It is 1 + folds * tested / learnt from, which is 2 for many folds, or what the draws of the null vary by more than areas
    that nothing was learnt for, if that is more.

    References
    ----------
    Nadeau and Bengio 2003, Inference for the generalization error, doi:10.1023/A:1024068626366
    """
    if len(null.values.get("auc", ())) < _ENOUGH_DRAWS:
        return _OVERLAP
    positives, negatives = null.played.T
    pairs = positives * negatives
    expected = statistics.auc_variance(CHANCE, positives, negatives, pairs / pairs.sum())
    return max(_OVERLAP, float(null.values["auc"].var(ddof=1)) / expected)


def _drawn(table: pd.DataFrame, negative: np.ndarray, fits: CrossFit, seed: int, max_pairs: int) -> dict[str, tuple]:
    """Value and chance of each metric, for the null."""
    ranked = rank(table, negative, fits, seed, max_pairs)
    return {name: (result.value(~negative), CHANCE) for name, result in ranked.items()}


def _distances(values: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """Euclidean distance (n,) of each of a plate's wells (n, F) to the centroid of those that are fitted controls."""
    return np.linalg.norm(values - values[fitted].mean(axis=0), axis=1)


def _pair_by_pair(space: Space, positive: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Pairs (p, h) of treated and hidden wells ranked right, each by a discriminant that has seen neither."""
    won, hidden = np.zeros(wanted.shape), np.flatnonzero(space.hidden)
    for number in np.flatnonzero(wanted.any(axis=1)):
        left_out = np.flatnonzero(positive)[number]
        rows = space.fitted | positive
        rows[left_out] = False  # the hidden wells are not learnt from either
        direction = discriminant(space.values[rows], positive[rows], space.floor)
        rated = (space.values[left_out] - space.values[hidden]) @ direction
        won[number] = (rated > 0) + 0.5 * (rated == 0)
    return won


def _details(metric: str, names: np.ndarray, positive: np.ndarray, units: np.ndarray, ranked: Ranked) -> list[pd.DataFrame]:
    placed, compared = positive & (ranked.pairs > 0), ~positive & (ranked.pairs > 0)
    won, pairs = ranked.won[positive].sum(), ranked.pairs[positive].sum()
    shared = {"metric": metric, "settings": ""}
    items = {"item": names[placed], "value": ranked.won[placed] / ranked.pairs[placed], "weight": ranked.pairs[placed]}
    items |= {"unit": units[placed[positive]]}
    left = pairs - ranked.pairs[compared]
    without = np.divide(won - ranked.won[compared], left, out=np.full(len(left), np.nan), where=left > 0)
    reference = pd.DataFrame({"part": "reference", **shared, "item": names[compared], "value": without})
    return [pd.DataFrame({"part": "item", **shared, **items}), reference[left > 0]]
