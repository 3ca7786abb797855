"""Which representation to use for a task, and whether the run can tell at all.

A representation wins a measure if it is above the controls, above what noise gets, and above every other method. Both bounds
count: a measure on which a control does as well as the best says nothing about representations. Where several are above the
bounds and cannot be told apart, they are tied. All measures of a page are judged together, so that a page of noise has no
winner (but with the probability `evidence.LEVEL`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from phenorep import scores, statistics
from phenorep.evaluations import BELOW, NOT_MEASURED, NOT_VALID
from phenorep.report import evidence, items
from phenorep.report.evidence import CLEAR, NOT_INFORMATIVE, TIED, Evidence
from phenorep.report.tables import Measure

# Nearer to the end of the scale than this, scores differ by a handful of wells at most.
CEILING = 0.01 + 1e-9
SATURATED = "saturated"
INVALID = NOT_VALID
NO_RESULT = "no result"
WORDS = (CLEAR, TIED, NOT_INFORMATIVE, SATURATED, INVALID, NO_RESULT)


@dataclass(frozen=True)
class Comparison:
    """The best representation against another: ``difference`` is positive where the first is better.

    ``p`` is None where none was computed; the interval is NaN where no single results can be paired.
    """

    first: str
    other: str
    difference: float
    low: float
    high: float
    basis: str
    p: float | None = None

    @property
    def text(self) -> str:
        """Difference, interval and where it comes from, in words."""
        interval = f" [{self.low:+.3f}, {self.high:+.3f}]" if np.isfinite(self.low) else ""
        p = "" if self.p is None else ", p < 0.001" if self.p < 0.001 else f", p {self.p:.3f}"
        return f"{self.first} against {self.other}: {self.difference:+.3f}{interval}{p}, {self.basis}"


@dataclass(frozen=True)
class Verdict:
    """The verdict on one measure: ``status`` (one of `WORDS`), the best representation (a row, or None) and the reason.

    ``ties`` names the representations of other methods that are above the controls too and cannot be told apart from the
    best, ``bound`` is the best of the controls (a row), where there is one. ``left_out`` says what could not be judged, and
    ``same_method`` names the profiles of the best method that cannot be told apart from the best.
    """

    measure: Measure
    status: str
    best: dict | None
    reason: str
    comparisons: tuple[Comparison, ...] = ()
    notes: tuple[str, ...] = ()
    ties: tuple[str, ...] = ()
    bound: dict | None = None
    left_out: tuple[str, ...] = ()
    same_method: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Case:
    """What is judged of one measure: rows of each method, the best first; methods in the order of their best."""

    measure: Measure
    candidates: list[list[dict]]
    controls: list[list[dict]]
    evidence: Evidence

    @property
    def best(self) -> dict:
        return self.candidates[0][0]

    @property
    def bound(self) -> dict | None:
        return self.controls[0][0] if self.controls else None


def label(row: dict) -> str:
    """Method and profile of a representation."""
    return row["method"] if row["profile"] == "none" else f"{row['method']} × {row['profile']}"


def labels_seen(row: dict) -> str:
    """What training labels showed the encoder of what is scored, one of `scores.LEAKS`; ``not known`` for unknown."""
    if row["leak"] == "unknown" or row["trained_on"] == "elsewhere":
        return "not known"
    return row["leak"] or "none"


def is_outdated(row: dict) -> bool:
    """Whether the encoder was trained on samples that were made anew since."""
    return scores.CHANGED in str(row["trained_on"])


def number(value: float, low: float = np.nan, high: float = np.nan) -> str:
    """A value with its interval."""
    return f"{value:.3f} [{low:.3f}, {high:.3f}]" if np.isfinite(low) and np.isfinite(high) else f"{value:.3f}"


def judge_all(measures: Iterable[Measure]) -> list[Verdict]:
    """The verdicts on all measures of a page, in their order; each depends on how many there are."""
    cases = [_case(measure) for measure in measures]
    open_ = [case for case in cases if isinstance(case, _Case)]
    words, level = evidence.decide([case.evidence for case in open_])
    decided = iter(zip(open_, words, strict=True))
    return [_judged(*next(decided), len(open_), level) if isinstance(case, _Case) else case for case in cases]


def _case(measure: Measure) -> _Case | Verdict:
    """What there is to judge; the verdict itself where nothing has to be compared for it."""
    rows = measure.rows.to_dict("records")
    usable = [row for row in rows if excluded(row) is None]
    candidates, controls = (_by_method([row for row in usable if row["control"] is flag]) for flag in (False, True))
    bound = controls[0][0] if controls else None
    if not candidates:
        left = [row for row in rows if not row["control"]]
        if left:
            reason = f"{label(left[0])} is the highest, but {excluded(left[0])}."
            others = [row for row in rows if row is not left[0]]
            return Verdict(measure, INVALID, left[0], reason, notes=tuple(_left_out(others)), bound=bound)
        return Verdict(measure, NO_RESULT, None, "Only controls were scored." if rows else "Nothing was scored.")
    end = measure.limits[1 if measure.higher else 0]
    if end is not None and all(abs(row["value"] - end) <= CEILING for row in usable):
        too = ", the controls too," if controls else ""
        reason = f"All{too} lie within {CEILING:.2g} of the end of the scale ({end:g}): too easy to tell them apart."
        notes = (*_left_out(rows), *_notes(candidates))
        return Verdict(measure, SATURATED, candidates[0][0], reason, notes=notes, bound=bound)
    lacking = not controls and any(row["control"] for row in rows)
    return _Case(measure, candidates, controls, evidence.gather(measure, candidates[0], candidates[1:], controls, lacking))


def excluded(row: dict) -> str | None:
    """Why a row can neither win nor bound others; None where it can."""
    if row["validity"] == NOT_VALID and not row["null"] > row["null_chance"]:
        return "what it counts is not valid: noise alone gets more than chance by the measure that it is a share of"
    if row["validity"] == NOT_VALID:
        return f"noise alone gets {row['null']:.3f} here, where chance is {row['null_chance']:.3f}"
    if row["leak"] == "control":
        return "its training labels told controls from treated wells"
    return None


def _by_method(rows: list[dict]) -> list[list[dict]]:
    found: dict[str, list[dict]] = {}
    for row in rows:
        found.setdefault(row["method"], []).append(row)
    return list(found.values())


def _judged(case: _Case, word: str, measures: int, level: float) -> Verdict:
    measure, best = case.measure, case.best
    told = {**case.evidence.others, **case.evidence.controls}
    equal = [rows for rows in case.candidates[1:] if word == TIED and told[rows[0]["method"]] > level]
    ties = [label(rows[0]) for rows in equal if _above_bounds(case, rows)]
    against = [rows[0] for rows in (*case.candidates[1:2], *case.controls[:1])]
    comparisons = [compare(measure, best, row, told[row["method"]]) for row in against]
    within = [compare(measure, best, row) for row in case.candidates[0][1:]]
    left_out = tuple(_left_out(measure.rows.to_dict("records")))
    notes = [*left_out, *_notes(case.candidates)]
    # Where nothing tells how sure a difference is, the profiles are not told apart either.
    equal_profiles = [row["profile"] for row, c in zip(case.candidates[0][1:], within, strict=True) if not c.low > 0]
    if word == CLEAR and equal_profiles:
        notes.append(f"The profile matters less: {within[0].other} cannot be told apart from it.")
    reason = _reason(case, word, measures)
    if word == TIED:
        reason = _tied(case, ties, [label(rows[0]) for rows in equal])
    comparisons = (*comparisons, *within[:1])
    ties, equal_profiles = tuple(ties), tuple(equal_profiles)
    return Verdict(measure, word, best, reason, comparisons, tuple(notes), ties, case.bound, left_out, equal_profiles)


def _above_bounds(case: _Case, rows: list[dict]) -> bool:
    """Whether another method is above the bounds as well."""
    p = evidence.against_bounds(case.measure, rows, case.controls, sum(map(len, case.candidates)))
    return len(case.candidates) * p <= evidence.LEVEL


def _bounds(case: _Case) -> str:
    """What the best is above: the controls and chance, with their values."""
    if case.bound is not None:
        return f"the controls (best: {label(case.bound)}, {case.bound['value']:.3f})"
    level, _, what = evidence.noise(case.best, case.measure.higher)
    return f"{what} ({level:.3f})"


def _tied(case: _Case, ties: list[str], equal: list[str]) -> str:
    if not ties:
        return f"Above {_bounds(case)}, but not shown to be better than {_listed(equal)}."
    are = "are" if len(ties) > 1 else "is"
    return f"Above {_bounds(case)}, and so {are} {_listed(ties)}, which cannot be told apart from it."


def _reason(case: _Case, word: str, measures: int) -> str:
    if word == CLEAR:
        others = " and above every other method" if case.evidence.others else ""
        absent = [*([] if others else ["no other method"]), *([] if case.bound is not None else ["no control"])]
        rivals = [row for row in case.measure.rows.to_dict("records") if row["method"] != case.best["method"]]
        scored = "could be judged" if any(map(excluded, rivals)) else "was scored"
        return f"Above {_bounds(case)}{others}{f'; {_listed(absent)} {scored}' if absent else ''}."
    found, start = case.evidence, f"{label(case.best)} is the highest, but"
    if found.lacking:
        return f"{start} its controls could not be judged."
    if not found.bounded:
        return f"{start} nothing bounds it: there are no controls, no level of chance and no shuffled labels."
    beaten_by = [rows[0] for rows in case.controls if found.controls[rows[0]["method"]] > evidence.LEVEL]
    if beaten_by:
        return f"{start} not shown to beat the control {label(beaten_by[0])} ({beaten_by[0]['value']:.3f})."
    if found.chance is not None and found.chance > evidence.LEVEL:
        level, _, what = evidence.noise(case.best, case.measure.higher)
        return f"{start} not shown to beat {what} ({level:.3f})."
    over = [f"{measures} measures"] if measures > 1 else []
    over += [f"{len(case.candidates)} methods"] if found.others else []
    return f"{start} not shown to beat {_bounds(case)} once the {' and '.join(over)} it was chosen from are counted."


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _left_out(rows: list[dict]) -> list[str]:
    found = ((row, excluded(row)) for row in rows)
    return [f"{label(row)}, {row['value']:.3f}, is not judged: {why}." for row, why in found if why]


def _notes(candidates: list[list[dict]]) -> list[str]:
    best, notes = candidates[0][0], []
    seen = labels_seen(best)
    if seen != "none":
        clean = next((rows[0] for rows in candidates if labels_seen(rows[0]) == "none"), None)
        text = f"The training labels of {best['method']} showed it the {seen} of what is scored here."
        if seen == "not known":
            text = f"What labels the encoder of {best['method']} was trained on is not known: it was made elsewhere."
        notes.append(f"{text} Best without that: {label(clean)}, {clean['value']:.3f}." if clean else text)
    if is_outdated(best):
        notes.append(
            f"The encoder of {best['method']} was trained before its samples were made anew. To train it again, remove its "
            "file."
        )
    if best["seeds"] == 1 and best["seeded"]:
        notes.append("One seed: how much another training run would differ is not known.")
    if best["validity"] == NOT_MEASURED:
        notes.append("Null not measurable: there are too few control wells to let some of them play treated wells.")
    if best["validity"] == BELOW:
        notes.append(f"Its null lies below chance ({best['null']:.3f}, chance {best['null_chance']:.3f}).")
    return notes


def compare(measure: Measure, first: dict, other: dict, p: float | None = None) -> Comparison:
    """The difference of two representations, with an interval over units where single results can be paired."""
    sign = 1 if measure.higher else -1
    shared = items.common([measure.units.get((row["method"], row["profile"])) for row in (first, other)])
    difference = sign * (first["value"] - other["value"])
    if shared is None or shared.count < 2:
        basis = "from their intervals" if np.isfinite([first["low"], other["low"]]).all() else "no interval is known"
        return Comparison(label(first), label(other), difference, np.nan, np.nan, basis, p)
    differences = sign * (shared.values[:, 0] - shared.values[:, 1])
    without = (measure.references.get((row["method"], row["profile"])) for row in (first, other))
    limits = statistics.mean_interval(differences, shared.units, shared.weights, **items.common_reference(*without))
    basis = f"over {shared.count} {measure.unit}"
    difference = float(np.average(differences, weights=shared.weights))
    return Comparison(label(first), label(other), difference, *limits, basis, p)


def ranked(verdicts: list[Verdict], controls: bool = True) -> list[tuple[str, str]]:
    """Representations (method, profile) worth showing, the most telling first: each method once, by its best measure."""
    found: dict[str, tuple[str, str]] = {}
    informative = sorted(verdicts, key=lambda verdict: verdict.status not in (CLEAR, TIED))
    for wanted in (False, True) if controls else (False,):
        for verdict in informative:
            for row in verdict.measure.rows[verdict.measure.rows["control"] == wanted].itertuples():
                found.setdefault(row.method, (row.method, row.profile))
    return list(found.values())
