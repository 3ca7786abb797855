"""Which representation to use for a task, and whether the run can tell at all.

A representation wins a measure if it lies above the controls and above the best representation of every other method. Both
are bounds: a measure on which a control does as well as the best says nothing about representations, and neither does one on
which all of them reach the end of the scale. Then, or where two methods cannot be told apart, there is no winner.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from phenorep import statistics
from phenorep.report.tables import Measure

# Nearer to the end of the scale than this, scores differ by a handful of wells at most.
CEILING = 0.01 + 1e-9
# Fewer units than this cannot be resampled to any purpose.
FEWEST_UNITS = 5

WINNER = "winner"
NO_WINNER = "no winner"
NOT_INFORMATIVE = "not informative"
SATURATED = "saturated"
NO_RESULT = "no result"


@dataclass(frozen=True)
class Comparison:
    """The best representation against another.

    ``difference`` is positive where the first is better, whatever the metric's direction; ``separated`` is None where
    nothing tells how sure the difference is.
    """

    first: str
    other: str
    difference: float
    low: float
    high: float
    basis: str
    separated: bool | None

    @property
    def text(self) -> str:
        """Difference, interval and where it comes from, in words."""
        interval = f" [{self.low:+.3f}, {self.high:+.3f}]" if np.isfinite(self.low) else ""
        return f"{self.first} against {self.other}: {self.difference:+.3f}{interval}, {self.basis}"


@dataclass(frozen=True)
class Verdict:
    """The verdict on one measure: ``status``, the best representation (a row of the measure, or None) and the reasons.

    ``ties`` names the representations of other methods that cannot be told apart from the best, ``bound`` is the best of the
    controls (a row), where there is one; ``alone`` says that no other method was scored.
    """

    measure: Measure
    status: str
    best: dict | None
    reason: str
    comparisons: tuple[Comparison, ...] = ()
    notes: tuple[str, ...] = ()
    ties: tuple[str, ...] = ()
    bound: dict | None = None
    alone: bool = False


def label(row: dict) -> str:
    """Method and profile of a representation."""
    return row["method"] if row["profile"] == "none" else f"{row['method']} × {row['profile']}"


def labels_seen(row: dict) -> str:
    """What training labels showed the encoder of what is scored: ``none``, ``compound``, ``well`` or ``not known``."""
    if row["leak"] == "unknown" or row["trained_on"] == "elsewhere":
        return "not known"
    return row["leak"] or "none"


def number(value: float, low: float = np.nan, high: float = np.nan) -> str:
    """A value with its interval."""
    return f"{value:.3f} [{low:.3f}, {high:.3f}]" if np.isfinite(low) and np.isfinite(high) else f"{value:.3f}"


def judge(measure: Measure) -> Verdict:
    """The verdict on one measure."""
    rows = measure.rows.to_dict("records")
    candidates = [row for row in rows if not row["control"]]
    controls = [row for row in rows if row["control"]]
    if not candidates:
        reason = "Only controls were scored." if controls else "Nothing was scored."
        return Verdict(measure, NO_RESULT, None, reason)
    best = candidates[0]
    rest = [row for row in candidates if row["method"] != best["method"]]
    same = [row for row in candidates[1:] if row["method"] == best["method"]]
    comparisons = [compare(measure, best, group[0]) for group in (rest, controls, same) if group]
    notes = _notes(best, candidates)

    status, reason = _bounds(measure, best, candidates, controls)
    ties: tuple[str, ...] = ()
    if status is None:
        ties = tuple(label(row) for row in _best_of_each_method(rest) if not compare(measure, best, row).separated)
        if ties:
            status = NO_WINNER
            reason = f"{label(best)} scores highest, but cannot be told apart from {', '.join(ties)}."
        else:
            status = WINNER
            reason = "Above the controls" if controls else "No control was scored"
            reason += " and above every other method." if rest else "; no other method was scored."
    if status == WINNER and same and not compare(measure, best, same[0]).separated:
        notes.append(f"The profile matters less: {label(same[0])} cannot be told apart from it.")
    bound = controls[0] if controls else None
    return Verdict(measure, status, best, reason, tuple(comparisons), tuple(notes), ties, bound, alone=not rest)


def _bounds(measure: Measure, best: dict, candidates: list[dict], controls: list[dict]) -> tuple[str | None, str]:
    """Whether the controls or the scale itself leave room for a verdict."""
    end = measure.limits[1 if measure.higher else 0]
    if end is not None and all(abs(row["value"] - end) <= CEILING for row in [*candidates, *controls]):
        return (
            SATURATED,
            f"Everything scored lies within {CEILING:.2g} of the end of the scale ({end:g}): too easy to tell them apart.",
        )
    bound = _worst_end(best, measure.higher)
    if controls and _not_worse(controls[0]["value"], bound, measure.higher):
        text = f"The control {label(controls[0])} ({controls[0]['value']:.3f}) "
        text += "lies within the interval of the best" if np.isfinite(best["low"]) else "is as good as the best"
        return NOT_INFORMATIVE, f"{text}, {label(best)}: learning is not shown to help here."
    limit = best["shuffled_high"] if measure.higher else best["shuffled_low"]
    shuffled = limit if np.isfinite(limit) else best["shuffled"]
    if np.isfinite(shuffled) and _not_worse(shuffled, bound, measure.higher):
        return NOT_INFORMATIVE, f"{label(best)} is not above its own score with shuffled labels ({best['shuffled']:.3f})."
    return None, ""


def _worst_end(row: dict, higher: bool) -> float:
    limit = row["low"] if higher else row["high"]
    return limit if np.isfinite(limit) else row["value"]


def _not_worse(value: float, bound: float, higher: bool) -> bool:
    return value >= bound if higher else value <= bound


def _best_of_each_method(rows: list[dict]) -> list[dict]:
    best: dict[str, dict] = {}
    for row in rows:
        best.setdefault(row["method"], row)
    return list(best.values())


def _notes(best: dict, candidates: list[dict]) -> list[str]:
    notes = []
    seen = labels_seen(best)
    if seen != "none":
        clean = next((row for row in candidates if labels_seen(row) == "none"), None)
        text = f"The training labels of {best['method']} showed it the {seen} of what is scored here."
        if seen == "not known":
            text = f"What labels the encoder of {best['method']} was trained on is not known: it was made elsewhere."
        notes.append(f"{text} Best without that: {label(clean)}, {clean['value']:.3f}." if clean else text)
    if best["seeds"] == 1:
        notes.append("One seed: how much another training run would differ is not known.")
    return notes


def compare(measure: Measure, first: dict, other: dict) -> Comparison:
    """Compare two representations: by paired bootstrap where results of single units are known, else by their intervals."""
    names = label(first), label(other)
    pairs = [measure.units.get((row["method"], row["profile"])) for row in (first, other)]
    if all(units is not None for units in pairs):
        both = pd.concat(pairs, axis=1, join="inner").dropna().sort_index()
        if len(both) >= FEWEST_UNITS:
            values = both.to_numpy(dtype=float)
            if not measure.higher:
                values = -values
            found = statistics.paired_bootstrap(values[:, 0], values[:, 1], seed=0)
            basis = f"paired bootstrap over {len(both)} {measure.unit}"
            return Comparison(*names, found["difference"], found["low"], found["high"], basis, found["low"] > 0)
    difference = (first["value"] - other["value"]) * (1 if measure.higher else -1)
    missing = f"no results of single {measure.unit} to pair"
    if all(np.isfinite(row[end]) for row in (first, other) for end in ("low", "high")):
        apart = first["low"] > other["high"] if measure.higher else first["high"] < other["low"]
        basis = f"the intervals {'do not ' if apart else ''}overlap ({missing})"
        return Comparison(*names, difference, np.nan, np.nan, basis, apart)
    return Comparison(*names, difference, np.nan, np.nan, f"no interval is known ({missing})", None)


def ranked(verdicts: list[Verdict], controls: bool = True) -> list[tuple[str, str]]:
    """Representations (method, profile) worth showing, the most telling first: each method once, by its best measure."""
    found: dict[str, tuple[str, str]] = {}
    informative = sorted(verdicts, key=lambda verdict: verdict.status not in (WINNER, NO_WINNER))
    for wanted in (False, True) if controls else (False,):
        for verdict in informative:
            for row in verdict.measure.rows[verdict.measure.rows["control"] == wanted].itertuples():
                found.setdefault(row.method, (row.method, row.profile))
    return list(found.values())
