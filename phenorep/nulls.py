"""Nulls of scores that are relative to negative controls: what control wells would get if some of them were called treated.

Of the control wells alone, some play treated wells, in groups of two. The profile is made anew with these labels,
cross-fitted as the score itself is, and scored in the same way. A null above chance is an effect of the chain, not of
treatments. Labels that are shuffled after a profile was fitted cannot show this: the fit has seen the true ones.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from phenorep.cross_fitting import FEWEST_CONTROLS, Chain, CrossFit, well_names
from phenorep.errors import NotRun
from phenorep.evaluations import BELOW, NOT_MEASURED, NOT_VALID, VALID, Score

# With fewer wells that play treated ones a null says next to nothing.
FEWEST_PLAYED = 8
GROUP = 2
# A null is above chance if its mean is by more than this, and by more than so many standard errors over draws.
EXCESS, ERRORS = 0.03, 3.0


@dataclass(frozen=True)
class Null:
    """Values of each metric over draws, and what chance is in each; the reason where there are none.

    ``played`` holds, for each plate that takes part, how many wells play treated ones and how many stay controls, (P, 2).
    """

    values: dict[str, np.ndarray] = field(default_factory=dict)
    chances: dict[str, np.ndarray] = field(default_factory=dict)
    reason: str = ""
    played: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))

    def validity(self, metric: str) -> str:
        """What the null says of a metric's score, one of `evaluations.VALIDITIES`."""
        if len(self.values.get(metric, ())) < 2:
            return NOT_MEASURED
        excess = self.values[metric] - self.chances[metric]
        error = excess.std(ddof=1) / np.sqrt(len(excess))
        if abs(excess.mean()) <= max(EXCESS, ERRORS * error):
            return VALID
        return NOT_VALID if excess.mean() > 0 else BELOW

    def scores(self, metric: str, settings: str = "") -> list[Score]:
        """Mean and 2.5th to 97.5th percentile over draws; none where the null was not measured."""
        if self.validity(metric) == NOT_MEASURED:
            return []
        values = self.values[metric]
        low, high = np.quantile(values, (0.025, 0.975))
        summary = Score(metric, float(values.mean()), float(low), float(high), len(values), settings, "null")
        return [Score(**{**vars(summary), "chance": float(self.chances[metric].mean()), "validity": self.validity(metric)})]

    def details(self, settings: str = "") -> pd.DataFrame:
        """Rows of the part ``null``: each draw's value and chance."""
        parts = [
            pd.DataFrame({"part": "null", "metric": metric, "settings": settings, "draw": np.arange(len(values))}).assign(
                value=values, chance=self.chances[metric]
            )
            for metric, values in self.values.items()
        ]
        if not parts:
            return pd.DataFrame()
        return pd.concat(parts, ignore_index=True)


def measure(
    chain: Chain,
    table: pd.DataFrame,
    negative: np.ndarray,
    score: Callable[[pd.DataFrame, np.ndarray, CrossFit], dict[str, tuple[float, float]]],
    draws: int,
    seed: int,
    within_plates: bool = False,
) -> Null:
    """The null of an evaluation.

    Parameters
    ----------
    chain
        Makes the profiles.
    table
        (N rows) wells, at least all controls that the evaluation compares with.
    negative
        (N,) bool: which these are.
    score
        From the controls' table, in which some play treated wells (``Metadata_Control`` positive, a treatment for each
        group), which rows are controls still (bool), and their profiles, to value and chance of each metric.
    draws
        How often wells are drawn to play.
    seed
        Of the draws.
    within_plates
        Whether a group's wells are of one plate, as replicates of this screen are.
    """
    controls = table[negative].reset_index(drop=True)
    plates, names = controls["Metadata_Plate"].to_numpy(dtype=str), well_names(controls)
    quotas = _quotas({plate: int((plates == plate).sum()) for plate in np.unique(plates)}, within_plates)
    if sum(quotas.values()) < FEWEST_PLAYED:
        return Null(
            reason=f"null not measurable: of {len(controls)} negative-control wells {sum(quotas.values())} can be called "
            f"treated, with {FEWEST_CONTROLS} left on each plate; {FEWEST_PLAYED} are needed."
        )
    results_of: dict[str, list[tuple[float, float]]] = {}
    for draw in range(draws):
        playing = _playing(quotas, plates, names, within_plates, [seed, draw])
        labelled, real = _labelled(controls, names, playing), ~np.isin(names, playing)
        try:
            fits = CrossFit(chain, labelled, real, seed, chain.controls, frozenset(playing))
            results = score(labelled, real, fits)
        except NotRun as error:
            return Null(
                reason=f"null not measurable: with some controls called treated, the profile cannot be made: {error}"
            )
        for metric, result in results.items():
            if np.isfinite(result).all():
                results_of.setdefault(metric, []).append(result)
    values, chances = ({m: np.array([pair[k] for pair in pairs]) for m, pairs in results_of.items()} for k in (0, 1))
    played = [(quota, (plates == plate).sum() - quota) for plate, quota in quotas.items() if quota]
    return Null(values, chances, played=np.array(played))


def _quotas(counts: dict[str, int], within_plates: bool) -> dict[str, int]:
    """How many wells of each plate play: a third of all, half where that is few; three real ones are left on a plate."""
    total = sum(count for count in counts.values() if count >= FEWEST_CONTROLS)
    wanted = total // 3 if total // 3 >= FEWEST_PLAYED else total // 2
    step = GROUP if within_plates else 1
    quotas = dict.fromkeys(sorted(counts), 0)
    for _ in range(wanted // GROUP * GROUP // step):
        plate = max(quotas, key=lambda name: counts[name] - quotas[name])  # the first of equal ones
        if counts[plate] - quotas[plate] - step < FEWEST_CONTROLS:
            break
        quotas[plate] += step
    if sum(quotas.values()) % GROUP:
        quotas[max(quotas, key=quotas.get)] -= 1
    return quotas


def _playing(quotas: dict[str, int], plates, names, within_plates: bool, seed: list[int]) -> list[str]:
    """Names of the wells that play, those of a group next to each other."""
    chosen = []
    for plate, quota in quotas.items():
        generator = np.random.default_rng([*seed, zlib.crc32(plate.encode())])
        chosen += generator.permutation(np.sort(names[plates == plate]))[:quota].tolist()
    if within_plates:
        return chosen
    half = len(chosen) // GROUP  # wells are listed plate by plate: partners half a list away are of different plates
    return [name for pair in zip(chosen[:half], chosen[half:], strict=True) for name in pair]


def _labelled(controls: pd.DataFrame, names: np.ndarray, playing: list[str]) -> pd.DataFrame:
    place = pd.Index(playing).get_indexer(names)
    treatment = np.where(place >= 0, np.char.add("null ", (place // GROUP).astype(str)), "")
    columns = {"Metadata_Treatment": treatment, "Metadata_Control": np.where(place >= 0, "positive", "negative")}
    for column in {"Metadata_Compound", "Metadata_Perturbation"} & set(controls.columns):
        columns[column] = np.where(place >= 0, treatment, controls[column].astype(str))
    return controls.assign(**columns)
