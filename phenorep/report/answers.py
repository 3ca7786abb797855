"""The top of the page: for each task the representation to use, its score, how sure that is, and what to do next."""

from dataclasses import dataclass

from phenorep.report import tables, verdict
from phenorep.report.verdict import Verdict, label, number

TIES_SHOWN = 2
OTHERS_SHOWN = 3
# Status of a verdict -> how sure the answer is, in a word.
WORDS = {
    verdict.WINNER: "clear",
    verdict.NO_WINNER: "open",
    verdict.NOT_INFORMATIVE: "not informative",
    verdict.SATURATED: "too easy",
    verdict.NO_RESULT: "no result",
}


@dataclass(frozen=True)
class Answer:
    """One row: a study's task, which is one of its evaluations, judged by its first measure.

    ``use`` names the representation, ``word`` how sure that is, ``why`` the reason; ``cautions`` are what speaks against
    trusting it; ``others`` says what the other measures of the evaluation found.
    """

    study: str
    dataset: str
    samples: str
    simulated: bool
    task: str
    verdict: Verdict
    use: str
    score: str
    word: str
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


def of_study(name: str, study: dict, verdicts: list[Verdict], plan: dict) -> list[Answer]:
    """The answers of a study, one for each of its evaluations that scored anything."""
    found = []
    for evaluation in study["evaluations"]:
        own = [item for item in verdicts if item.measure.evaluation == evaluation]
        if not own:
            continue
        declared = tables.constants(plan["config"], "evaluations", evaluation)
        order = list(declared.get("METRICS", {}))
        own.sort(key=lambda item: order.index(item.measure.metric) if item.measure.metric in order else len(order))
        first, *rest = own
        where = {"study": name, "dataset": study["dataset"], "samples": study["samples"]}
        found.append(
            Answer(
                **where,
                simulated=is_simulated(plan, study),
                task=declared.get("TASK") or evaluation,
                verdict=first,
                use=_use(first),
                score=number(*(first.best[key] for key in ("value", "low", "high"))) if first.best else "–",
                word=WORDS[first.status],
                why=_why(first),
                cautions=_cautions(first),
                others=_others(first, rest),
            )
        )
    return found


def _use(found: Verdict) -> str:
    if found.status in (verdict.WINNER, verdict.NO_WINNER):
        return label(found.best)
    if found.status == verdict.SATURATED:
        return "any of them"
    return "none is shown to help" if found.status == verdict.NOT_INFORMATIVE else "–"


def _why(found: Verdict) -> str:
    if found.status == verdict.WINNER:
        where = "above the controls" if found.bound else "no control was scored"
        others = "; the only method scored" if found.alone else " and above every other method"
        return f"{where}{others}" if found.bound or found.alone else f"above every other method; {where}"
    if found.status == verdict.NO_WINNER:
        return f"cannot be told apart from {_listed(found.ties, TIES_SHOWN)}"
    if found.status == verdict.NOT_INFORMATIVE:
        if found.bound and not found.reason.startswith(label(found.best)):
            control = f"{label(found.bound)}, {number(found.bound['value'])}"
            return f"{label(found.best)} is the highest that is no control, but not told apart from one ({control})"
        return f"{label(found.best)} is highest, but no better than with shuffled labels"
    if found.status == verdict.SATURATED:
        return f"all{', the controls too,' if found.bound else ''} reach the end of the scale"
    return found.reason


def _listed(names: tuple[str, ...], shown: int) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _cautions(found: Verdict) -> tuple[str, ...]:
    if found.best is None or found.status not in (verdict.WINNER, verdict.NO_WINNER):
        return ()
    texts = []
    seen = verdict.labels_seen(found.best)
    if seen != "none":
        texts.append("training labels not known" if seen == "not known" else f"its training labels showed the {seen}")
    if found.best["seeds"] == 1:
        texts.append("one seed")
    return tuple(texts)


def _others(first: Verdict, rest: list[Verdict]) -> tuple[str, ...]:
    """What the other measures say: that they agree, or which one says something else."""
    same = [item for item in rest if (item.status, _use(item)) == (first.status, _use(first))]
    texts = [f"the same by {_listed(tuple(item.measure.title for item in same), OTHERS_SHOWN)}"] if same else []
    differing = [item for item in rest if not any(item is one for one in same)]
    for item in differing[:OTHERS_SHOWN]:
        texts.append(f"by {item.measure.title}: {_use(item)} ({WORDS[item.status]})")
    if len(differing) > OTHERS_SHOWN:
        texts.append(f"{len(differing) - OTHERS_SHOWN} more measures differ")
    return tuple(texts)


def advice(answers: list[Answer]) -> str:
    """What to do next, in one line."""
    if not answers:
        return "Nothing was scored: see below what did not run, and why."
    if all(answer.simulated for answer in answers):
        return (
            "All of this is on simulated images: it shows that the run works, not which representation suits your cells. "
            "Put your own plates under “datasets” in a configuration, and run that."
        )
    real = [answer for answer in answers if not answer.simulated]
    clear, unsure, empty = (
        list(dict.fromkeys(answer.task for answer in real if answer.verdict.status in wanted))
        for wanted in ((verdict.WINNER,), (verdict.NO_WINNER,), (verdict.NOT_INFORMATIVE, verdict.SATURATED))
    )
    texts = []
    if unsure:
        texts.append(f"To decide what is open ({'; '.join(unsure)}), add replicates or plates first, then seeds.")
    if empty:
        texts.append(f"Do not choose by what is not informative ({'; '.join(empty)}): look at plates and controls first.")
    if clear and not texts:
        texts.append("Use what is named, and try it once on plates that this run has not seen.")
    return " ".join(texts) or "Nothing could be judged: see below what did not run, and why."
