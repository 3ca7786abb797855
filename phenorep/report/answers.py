"""The top of the page: for each task the representation to use, its score, how sure that is, and what to do next.

Answers are a table of their own (`make`), one row for each measure that is judged; the page shows that table.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import contracts
from phenorep.checksums import Damaged
from phenorep.evaluations import BELOW, NOT_MEASURED
from phenorep.report import tables, verdict
from phenorep.report.tables import Measures
from phenorep.report.verdict import Verdict, label, number

_TEXT = ("study", "task", "evaluation", "metric", "settings", "subset", "verdict", "method", "profile")
_NUMBERS = ("value", "ci_low", "ci_high")
COLUMNS = (
    *(*_TEXT, *_NUMBERS, "bound", "bound_value", "null", "null_low", "null_high"),
    *("unit", "units", "reason"),
)
_TEXT = (*_TEXT, "bound", "unit", "reason")
# With fewer plates than this, nothing says how other plates would differ.
FEWEST_PLATES = 5
OTHERS_SHOWN = 3
BETWEEN = "; "  # the reason, and each of the cautions


@dataclass(frozen=True)
class Answer:
    """One row of the page: a study's task, which is one of its evaluations, judged by its first measure.

    ``row`` is that measure's row of the table, ``use`` names the representation, ``why`` is the reason; ``cautions`` are
    what speaks against trusting it; ``others`` says what the other measures of the evaluation found.
    """

    dataset: str
    samples: str
    simulated: bool
    row: dict
    use: str
    score: str
    null: str
    why: str
    cautions: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def is_simulated(plan: dict, study: dict) -> bool:
    """Whether a study's images were drawn, not taken."""
    return bool(plan["datasets"].get(study["dataset"], {}).get("about", {}).get("simulated"))


def real_first(plan: dict) -> dict[str, dict]:
    """Studies by name, those on simulated images last."""
    studies = plan["studies"]
    return dict(sorted(studies.items(), key=lambda item: is_simulated(plan, item[1])))


def judge(plan: dict, scores: pd.DataFrame) -> dict[str, tuple[Measures, list[Verdict]]]:
    """What each study measured, and the verdicts on what is judged of it: on all studies together.

    Measures are in the order of the study's evaluations, whose author names first what matters most, and of their metrics.
    """
    measured = {name: tables.measures(name, study, scores, plan) for name, study in real_first(plan).items()}
    for name, found in measured.items():
        found.judged.sort(key=_order(plan, plan["studies"][name]))
    verdicts = iter(verdict.judge_all([measure for found in measured.values() for measure in found.judged]))
    return {name: (found, [next(verdicts) for _ in found.judged]) for name, found in measured.items()}


def _order(plan: dict, study: dict):
    def place(measure) -> tuple[int, int]:
        metrics = list(tables.constants(plan["config"], "evaluations", measure.evaluation).get("METRICS", {}))
        metric = metrics.index(measure.metric) if measure.metric in metrics else len(metrics)
        return study["evaluations"].index(measure.evaluation), metric

    return place


def make(plan: dict, output: str | Path) -> None:
    """Judge a run's scores and write the answers: one row for each judged measure, the first of an evaluation first.

    Parameters
    ----------
    plan
        As of `phenorep.report.make`; of its files, scores and details are read.

    Raises
    ------
    UserError
        If the scores cannot be read.
    """
    judged = judge(plan, contracts.read_scores(plan["files"]["scores"]))
    rows = [_row(plan, name, item, verdicts) for name, (_, verdicts) in judged.items() for item in verdicts]
    rows += [row for name in judged for row in _unscored(plan, name, {r["evaluation"] for r in rows if r["study"] == name})]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    contracts.write_csv(table.astype({"units": "Int64"}), output)


def read(path: str | Path) -> pd.DataFrame:
    """Read what `make` wrote.

    Raises
    ------
    Damaged
        If it is not a whole table of answers.
    """
    try:
        if not Path(path).read_bytes().endswith(b"\n"):
            raise ValueError("it is empty or cut off")
        numbers = {name: [""] for name in COLUMNS if name not in _TEXT}
        table = pd.read_csv(path, dtype=dict.fromkeys(_TEXT, str), keep_default_na=False, na_values=numbers)
        if list(table.columns) != list(COLUMNS):
            raise ValueError(f"it has the columns {', '.join(map(str, table.columns))}, not {', '.join(COLUMNS)}")
        strange = sorted(set(table["verdict"]) - set(verdict.WORDS))
        if strange:
            raise ValueError(f"{strange[0]!r} is not a verdict; these are {', '.join(verdict.WORDS)}")
        table.astype(dict.fromkeys(numbers, float))
    except (OSError, ValueError) as error:
        raise Damaged(path, "a table of answers", error) from error
    return table


def _row(plan: dict, name: str, item: Verdict, verdicts: list[Verdict]) -> dict:
    measure, best = item.measure, item.best
    declared = tables.constants(plan["config"], "evaluations", measure.evaluation)
    row = {"study": name, "task": declared.get("TASK") or measure.evaluation, "verdict": item.status}
    row |= {key: getattr(measure, key) for key in ("evaluation", "metric", "settings", "subset")}
    row |= dict.fromkeys(("method", "profile", "bound", "unit"), "")
    if best is not None:
        names = dict(zip(("value", "low", "high"), _NUMBERS, strict=True))
        names |= {key: key for key in ("method", "profile", "null", "null_low", "null_high", "unit", "units")}
        row |= {column: best[key] for key, column in names.items()}
    if item.bound is not None:
        row |= {"bound": label(item.bound), "bound_value": item.bound["value"]}
    reason = item.reason.rstrip(".").replace(BETWEEN, ", ")
    return row | {"reason": BETWEEN.join([reason, *_cautions(item, _plates(plan, name, item, verdicts))])}


def _plates(plan: dict, name: str, item: Verdict, verdicts: list[Verdict]) -> int:
    """On how many plates a measure was scored: those of the control wells, if it is relative to them; else of the data."""
    part = item.measure.evaluation, item.measure.subset
    alike = [v.measure for v in verdicts if (v.measure.evaluation, v.measure.subset) == part]
    wells = [well for measure in alike for reference in measure.references.values() for well in reference.index]
    if wells and item.best is not None and item.best["validity"]:
        return len({well.rsplit("/", 1)[0] for well in wells})
    return len(plan["datasets"].get(plan["studies"][name]["dataset"], {}).get("plates", []))


def _unscored(plan: dict, name: str, scored: set[str]) -> list[dict]:
    """A row for each task of a study of which nothing was scored, with the reason."""
    rows = []
    for evaluation in plan["studies"][name]["evaluations"]:
        if evaluation in scored:
            continue
        declared = tables.constants(plan["config"], "evaluations", evaluation)
        row = dict.fromkeys(_TEXT, "") | {"study": name, "evaluation": evaluation, "verdict": verdict.NO_RESULT}
        row |= {"task": declared.get("TASK") or evaluation, "metric": next(iter(declared.get("METRICS", {})), "")}
        rows.append(row | {"reason": _why_not(plan, name, evaluation).rstrip(".").replace(BETWEEN, ", ")})
    return rows


def _why_not(plan: dict, name: str, evaluation: str) -> str:
    study, files = plan["studies"][name], plan["files"].get("details", [])
    reasons = [tables.not_run(entry["path"]) for entry in tables.entries(files, study, evaluation=evaluation)]
    unfit = [e["reason"] for e in plan.get("not_applicable", []) if (e["study"], e["evaluation"]) == (name, evaluation)]
    return next(filter(None, [*reasons, *unfit]), "Nothing was scored.")


def _cautions(item: Verdict, plates: int) -> list[str]:
    """What speaks against trusting an answer, or bounds what it says."""
    if item.best is None:
        return []
    texts = []
    if item.status in (verdict.CLEAR, verdict.TIED):
        seen = verdict.labels_seen(item.best)
        if seen != "none":
            texts.append("training labels not known" if seen == "not known" else f"its training labels showed the {seen}")
        if verdict.is_outdated(item.best):
            texts.append("trained before its samples were made anew")
        if item.best["seeds"] == 1 and item.best["seeded"] and item.best["trained_on"] != "elsewhere":
            texts.append("one seed")
    if item.status in (verdict.CLEAR, verdict.TIED) and item.same_method:
        texts.append(f"its profile is not told apart from {', '.join(item.same_method)}")
    texts += [text.rstrip(".").replace(BETWEEN, ", ") for text in item.left_out]
    if item.best["validity"] in (NOT_MEASURED, BELOW):
        texts.append("its null is below chance" if item.best["validity"] == BELOW else NOT_MEASURED)
    if 0 < plates < FEWEST_PLATES and item.status in (verdict.CLEAR, verdict.TIED, verdict.NOT_INFORMATIVE):
        texts.append("for this plate alone" if plates == 1 else f"for these {plates} plates alone")
    return texts


def shown(plan: dict, table: pd.DataFrame) -> list[Answer]:
    """The answers as the page shows them, one for each evaluation of a study that scored anything."""
    found = []
    for name, study in real_first(plan).items():
        for evaluation in study["evaluations"]:
            rows = table[(table["study"] == name) & (table["evaluation"] == evaluation)].to_dict("records")
            if rows:
                found.append(_answer(plan, study, rows[0], rows[1:]))
    return found


def _answer(plan: dict, study: dict, row: dict, rest: list[dict]) -> Answer:
    why, *cautions = row["reason"].split(BETWEEN)
    if why.startswith(("Above", "All ", "Only controls", "Nothing")):  # other sentences begin with a name
        why = why[0].lower() + why[1:]
    return Answer(
        **{key: study[key] for key in ("dataset", "samples")},
        simulated=is_simulated(plan, study),
        row=row,
        use=use(row),
        score=number(*(row[key] for key in _NUMBERS)) if np.isfinite(row["value"]) else "–",
        null=f"{row['null']:.3f} ({row['null_low']:.3f} to {row['null_high']:.3f})" if np.isfinite(row["null"]) else "",
        why=why,
        cautions=tuple(cautions),
        others=_others(row, rest),
    )


def use(row: dict) -> str:
    """What to use, in words."""
    return {
        verdict.CLEAR: label(row),
        verdict.TIED: f"{label(row)}, or one tied with it",
        verdict.NOT_INFORMATIVE: f"none: not shown to beat {'the controls' if row['bound'] else 'chance'}",
        verdict.SATURATED: "any of them",
        verdict.INVALID: "none: the score cannot be trusted",
        verdict.NO_RESULT: "–",
    }[row["verdict"]]


def title(row: dict) -> str:
    """The measure's name."""
    extra = [text for text in (row["subset"], row["settings"]) if text]
    return f"{row['metric']} ({', '.join(extra)})" if extra else row["metric"]


def _others(first: dict, rest: list[dict]) -> tuple[str, ...]:
    """What the other measures say: that they agree, or which one says something else."""
    same = [row for row in rest if (row["verdict"], use(row)) == (first["verdict"], use(first))]
    names = [title(row) for row in same]
    more = f" and {len(names) - OTHERS_SHOWN} more" if len(names) > OTHERS_SHOWN else ""
    texts = [f"the same by {', '.join(names[:OTHERS_SHOWN])}{more}"] if same else []
    differing = [row for row in rest if not any(row is other for other in same)]
    texts += [f"by {title(row)}: {row['verdict']}{_named(row)}" for row in differing[:OTHERS_SHOWN]]
    if len(differing) > OTHERS_SHOWN:
        texts.append(f"{len(differing) - OTHERS_SHOWN} more measures differ")
    return tuple(texts)


def _named(row: dict) -> str:
    return f", {label(row)}" if row["verdict"] in (verdict.CLEAR, verdict.TIED) else ""


def advice(answers: Iterable[Answer]) -> str:
    """What to do next, in one line."""
    answers = list(answers)
    if not answers:
        return "Nothing was scored: see below what did not run, and why."
    if all(answer.simulated for answer in answers):
        return (
            "All of this is on simulated images: it shows that the run works, not which representation suits your cells. "
            "Put your own plates under “datasets” in a configuration, and run that."
        )
    real = [answer.row for answer in answers if not answer.simulated]
    clear, tied, empty = (
        list(dict.fromkeys(row["task"] for row in real if row["verdict"] in wanted))
        for wanted in (
            (verdict.CLEAR,),
            (verdict.TIED,),
            (verdict.NOT_INFORMATIVE, verdict.SATURATED, verdict.INVALID),
        )
    )
    texts = []
    if tied:
        texts.append(f"To decide what is tied ({'; '.join(tied)}), add replicates or plates first, then seeds.")
    if empty:
        texts.append(f"Do not choose by what gave no answer ({'; '.join(empty)}): look at plates and controls first.")
    if clear and not texts:
        texts.append("Use what is named, and try it once on plates that this run has not seen.")
    return " ".join(texts) or "Nothing could be judged: see below what did not run, and why."
