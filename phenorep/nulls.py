"""Nulls of scores that are relative to negative controls: what control wells would get if some of them were called treated.

Of the control wells alone, some play treated wells, in groups of two. The profile is made anew with these labels,
cross-fitted as the score itself is, and scored in the same way. A null above chance is an effect of the chain, not of
treatments. Labels that are shuffled after a profile was fitted cannot show this: the fit has seen the true ones.

The wells that play are laid out as the replicates are (`phenorep.layouts`): replicates at one position of all plates
are alike by that position, which is then part of the null.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from phenorep import layouts
from phenorep.cross_fitting import FEWEST_CONTROLS, Chain, CrossFit, well_names
from phenorep.errors import NotRun
from phenorep.evaluations import BELOW, NOT_MEASURED, NOT_VALID, VALID, Score

# With fewer wells that play treated ones a null says next to nothing.
FEWEST_PLAYED = 8
GROUP = 2
# A null is above chance if its mean is by more than this, and by more than so many standard errors over draws.
EXCESS, ERRORS = 0.03, 3.0
# With fewer draws the standard error is not known well: the t distribution tells how many of them are as sure.
DRAWS = 20
_TAIL = 0.0013498980316301035  # of the normal distribution above `ERRORS`


@dataclass(frozen=True)
class Null:
    """Values of each metric over draws, and what chance is in each; the reason where there are none.

    ``played`` holds, for each plate that takes part, how many wells play treated ones and how many stay controls, (P, 2).
    """

    values: dict[str, np.ndarray] = field(default_factory=dict)
    chances: dict[str, np.ndarray] = field(default_factory=dict)
    reason: str = ""
    note: str = ""  # what is not part of the null
    played: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    # {share: metric}: shares of items that are significant by another metric. Their chance is the most that noise gets, so
    # that a null below it is right; and what they count is not valid where the other metric is not.
    shares: dict[str, str] = field(default_factory=dict)

    def validity(self, metric: str) -> str:
        """What the null says of a metric's score, one of `evaluations.VALIDITIES`."""
        if len(self.values.get(metric, ())) < 2:
            return NOT_MEASURED
        if metric in self.shares and self.validity(self.shares[metric]) == NOT_VALID:
            return NOT_VALID
        excess = self.values[metric] - self.chances[metric]
        error = excess.std(ddof=1) / np.sqrt(len(excess))
        if abs(excess.mean()) <= max(EXCESS, _errors(len(excess)) * error):
            return VALID
        if excess.mean() > 0:
            return NOT_VALID
        return VALID if metric in self.shares else BELOW

    def scores(self, metric: str, settings: str = "") -> list[Score]:
        """Mean and 2.5th to 97.5th percentile over draws; none where the null was not measured."""
        if self.validity(metric) == NOT_MEASURED:
            return []
        values = self.values[metric]
        low, high = np.quantile(values, (0.025, 0.975))
        about = {"chance": float(self.chances[metric].mean()), "validity": self.validity(metric)}
        return [Score(metric, float(values.mean()), float(low), float(high), len(values), settings, "null", **about)]

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
    shares: dict[str, str] | None = None,
) -> Null:
    """The null of an evaluation.

    Parameters
    ----------
    chain
        Makes the profiles.
    table
        (N rows) wells that the evaluation compares, treated ones and controls.
    negative
        (N,) bool: which are controls.
    score
        From the controls' table, in which some play treated wells (``Metadata_Control`` positive, a treatment for each
        group), which rows are controls still (bool), and their profiles, to value and chance of each metric.
    draws
        How often wells are drawn to play.
    seed
        Of the draws.
    shares
        See `Null`.
    """
    controls = table[negative].reset_index(drop=True)
    plates, names = controls["Metadata_Plate"].to_numpy(dtype=str), well_names(controls)
    layout = layouts.of_replicates(table[~negative])
    results_of: dict[str, list[tuple[float, float]]] = {}
    for draw in range(draws):
        groups = layouts.draw(layout, controls, FEWEST_CONTROLS, GROUP, FEWEST_PLAYED, [seed, draw])
        playing = {name: f"null {number}" for number, group in enumerate(groups) for name in group}
        if len(playing) < FEWEST_PLAYED:
            return Null(
                reason=f"null not measurable: of {len(controls)} negative-control wells {len(playing)} can be called "
                f"treated, with {FEWEST_CONTROLS} left on each plate; {FEWEST_PLAYED} are needed."
            )
        labelled, real = _labelled(controls, names, playing), ~np.isin(names, list(playing))
        try:
            results = score(labelled, real, CrossFit(chain, labelled, real, seed, chain.controls, playing))
        except NotRun as error:
            return Null(reason=f"null not measurable: {error}")
        for metric, result in results.items():
            if np.isfinite(result).all():
                results_of.setdefault(metric, []).append(result)
    values, chances = ({m: np.array([pair[k] for pair in pairs]) for m, pairs in results_of.items()} for k in (0, 1))
    played = [((~real & (plates == plate)).sum(), (real & (plates == plate)).sum()) for plate in np.unique(plates)]
    played = np.array([pair for pair in played if min(pair) > 0]).reshape(-1, 2)
    note = "" if layouts.shows_positions(layout, controls) else "effects of positions on wells are not part of the null."
    return Null(values, chances, note=note, played=played, shares=shares or {})


def _errors(draws: int) -> float:
    """How many standard errors are as sure as `ERRORS` of a normal distribution."""
    from scipy.special import stdtrit

    return ERRORS if draws >= DRAWS else float(stdtrit(draws - 1, 1 - _TAIL))


def _labelled(controls: pd.DataFrame, names: np.ndarray, playing: dict[str, str]) -> pd.DataFrame:
    treatment = np.array([playing.get(name, "") for name in names])
    plays = treatment != ""
    columns = {"Metadata_Treatment": treatment, "Metadata_Control": np.where(plays, "positive", "negative")}
    for column in {"Metadata_Compound", "Metadata_Perturbation"} & set(controls.columns):
        columns[column] = np.where(plays, treatment, controls[column].astype(str))
    return controls.assign(**columns)
