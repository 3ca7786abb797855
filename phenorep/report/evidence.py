"""What speaks for the best representation of a measure: tests against other methods, against controls and against chance."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from phenorep import statistics
from phenorep.permutation_tests import DRAWS, holm, interval_test, swap_test
from phenorep.report import items
from phenorep.report.tables import Measure

# A false "clear" anywhere on a page is at most so probable.
LEVEL = 0.05
# With fewer units no exchange of results reaches the level: intervals decide, which know how few there are.
FEWEST_UNITS = 6
SEED = 0

CLEAR = "clear"
TIED = "tied"
NOT_INFORMATIVE = "not informative"


@dataclass(frozen=True)
class Evidence:
    """P of the best representation, chosen among those of `methods` methods: the smaller, the surer it is better.

    ``others`` and ``controls`` hold p by method; ``chance`` is None where nothing says what noise would get. With
    ``lacking``, controls were scored of which none can be judged.
    """

    others: dict[str, float] = field(default_factory=dict)
    controls: dict[str, float] = field(default_factory=dict)
    chance: float | None = None
    lacking: bool = False

    @property
    def bounded(self) -> bool:
        """Whether there is anything that noise could be told by."""
        return not self.lacking and (bool(self.controls) or self.chance is not None)

    @property
    def above_bounds(self) -> float:
        """P against the controls and chance."""
        return max([*self.controls.values(), *([] if self.chance is None else [self.chance])]) if self.bounded else 1.0

    @property
    def clear(self) -> float:
        """P that it wins: a winner beats all others, so that no correction over methods is needed."""
        return max([self.above_bounds, *self.others.values()])

    @property
    def tied(self) -> float:
        """P that it is above the bounds, corrected over the methods from which it was chosen."""
        return min(1.0, (1 + len(self.others)) * self.above_bounds)


def decide(found: list[Evidence]) -> tuple[list[str], float]:
    """The verdict on each of all measures of a page, by Holm's correction over them.

    Returns
    -------
    tuple
        `CLEAR`, `TIED` or `NOT_INFORMATIVE` for each, and the level that a p of what is not clear would have had to reach:
        two methods with a larger p cannot be told apart.
    """
    clear = holm(one.clear for one in found) <= LEVEL
    tied = holm(one.tied for one in found) <= LEVEL
    level = LEVEL / max(1, len(found) - clear.sum())
    words = []
    for one, is_clear, is_tied in zip(found, clear, tied, strict=True):
        equal = any(p > level for p in one.others.values())
        words.append(CLEAR if is_clear else TIED if is_tied and equal else NOT_INFORMATIVE)
    return words, level


def ahead(first: np.ndarray, second: np.ndarray, matched: bool, draws: int = DRAWS) -> float:
    """P against the best profile of a method being no better than the best one of a second; 1 where it is not ahead.

    Parameters
    ----------
    first, second
        (U, P) and (U, Q) parts that units have in the score of each profile; higher is better.
    matched
        Whether the columns are the same profiles in the same order. If not, the best ones are compared, and p is corrected
        over the profiles from which the first was chosen.
    """
    sums = first.sum(axis=0), second.sum(axis=0)
    if not sums[0].max() > sums[1].max():
        return 1.0
    if matched:
        return swap_test(first, second, SEED, draws)
    best = (values[:, [total.argmax()]] for values, total in zip((first, second), sums, strict=True))
    return min(1.0, first.shape[1] * swap_test(*best, SEED, draws))


def above(value: float, worst: float, level: float, reach: float, chosen: int) -> float:
    """P against a value being no better than what noise gets; all in the direction in which higher is better.

    Parameters
    ----------
    value, worst
        The best value and its bound on the side of the level, of a 95 % interval.
    level, reach
        What noise gets, and the bound of that on the value's side; the same where it is known exactly.
    chosen
        Number of representations from which the best was chosen.
    """
    p = interval_test((value, worst, value), (level, level, reach))
    return 1.0 if not value > level or not math.isfinite(p) else min(1.0, chosen * p)


def gather(
    measure: Measure, best: list[dict], others: Iterable[list[dict]], controls: Iterable[list[dict]], lacking: bool = False
) -> Evidence:
    """The evidence for the best method, from its rows (the best first) and those of each other method and control."""
    others, controls = list(others), list(controls)
    chosen = len(best) + sum(map(len, others))
    return Evidence(
        {rows[0]["method"]: _against(measure, best, rows) for rows in others},
        {rows[0]["method"]: _against(measure, best, rows) for rows in controls},
        against_chance(measure, best[0], chosen),
        lacking,
    )


def against_bounds(measure: Measure, rows: list[dict], controls: Iterable[list[dict]], chosen: int) -> float:
    """P of one method against the controls and chance."""
    found = {group[0]["method"]: _against(measure, rows, group) for group in controls}
    return Evidence({}, found, against_chance(measure, rows[0], chosen)).above_bounds


def against_chance(measure: Measure, row: dict, chosen: int) -> float | None:
    """P of a row against what noise gets; None where nothing tells that."""
    sign = 1 if measure.higher else -1
    level, reach, _ = noise(row, measure.higher)
    if not math.isfinite(level):
        return None
    return above(sign * row["value"], sign * row["low" if measure.higher else "high"], sign * level, sign * reach, chosen)


def noise(row: dict, higher: bool) -> tuple[float, float, str]:
    """What noise gets, the bound of that on the better side, and where it is known from; NaN where it is not known.

    Chance where that is known, or the null (controls that played treated wells) where it is better than chance; the score
    with shuffled labels where that is better, or nothing else is known.
    """
    excess = row["null"] - row["null_chance"]
    excess = 0.0 if not math.isfinite(excess) else max(0.0, excess) if higher else min(0.0, excess)
    level = row["chance"] if math.isfinite(row["chance"]) else row["null_chance"]
    limit = row["shuffled_high" if higher else "shuffled_low"]
    limit = limit if math.isfinite(limit) else row["shuffled"]
    if math.isfinite(level):
        level += excess
        # Labels that are shuffled may get more than chance, where items are not independent.
        if not math.isfinite(limit) or (limit <= level if higher else limit >= level):
            return level, level, "what noise gets" if excess else "chance"
        level = max(level, row["shuffled"]) if higher else min(level, row["shuffled"])
        return level, limit, "its own score with shuffled labels"
    return row["shuffled"], limit, "its own score with shuffled labels"


def _with_controls(measure: Measure, shared: items.Common, first: list[dict], second: list[dict], sums: np.ndarray) -> float:
    """P of the best profiles of two methods that are compared with the same few controls; 0 where there are none.

    Controls that lie well for one method raise its results for all units: exchanging methods unit by unit does not see that.
    """
    one, other = sums[: len(first)].argmax(), len(first) + sums[len(first) :].argmax()
    rows = [*first, *second]
    pairs = [(rows[number]["method"], rows[number]["profile"]) for number in (one, other)]
    reference = items.common_reference(*(measure.references.get(pair) for pair in pairs))
    if not reference:
        return 0.0
    p = statistics.mean_test(shared.values[:, one] - shared.values[:, other], shared.units, shared.weights, **reference)
    return min(1.0, len(first) * p) if math.isfinite(p) else 1.0


def _against(measure: Measure, first: list[dict], second: list[dict]) -> float:
    """P of one method against another, from their rows, the best of each first."""
    matched = sorted(row["profile"] for row in first) == sorted(row["profile"] for row in second)
    if matched:
        first, second = (sorted(rows, key=lambda row: row["profile"]) for rows in (first, second))
    shared = items.common([measure.units.get((row["method"], row["profile"])) for row in [*first, *second]])
    if shared is not None and shared.count >= FEWEST_UNITS:
        sums = shared.sums if measure.higher else -shared.sums
        p = ahead(sums[:, : len(first)], sums[:, len(first) :], matched)
        return max(p, _with_controls(measure, shared, first, second, sums.sum(axis=0)))
    sign = 1 if measure.higher else -1
    best, other = (max(rows, key=lambda row: sign * row["value"]) for rows in (first, second))
    if not sign * best["value"] > sign * other["value"]:
        return 1.0
    ends = ("low", "high") if measure.higher else ("high", "low")
    p = interval_test(*((sign * row["value"], *(sign * row[end] for end in ends)) for row in (best, other)))
    return min(1.0, len(first) * p) if math.isfinite(p) else 1.0
