"""What each section of the page shows: its figures drawn, its tables filled; what could not be drawn is written down."""

import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from phenorep import plugins
from phenorep.errors import NotRun, UserError
from phenorep.report import (
    abnormality,
    answers,
    artefacts,
    beside,
    cleaned,
    curves,
    epochs,
    figures,
    images,
    maps,
    origins,
    published,
    tables,
)
from phenorep.report.drawing import Figure
from phenorep.report.tables import Measures
from phenorep.report.verdict import Verdict


@dataclass
class Making:
    """A page that is being made.

    ``folder`` takes its figures, ``link`` gives the address of a file as the page links it, ``undrawn`` gathers what could
    not be shown and why, ``kept`` the maps that were drawn, for those that can be explored.
    """

    plan: dict
    scores: pd.DataFrame
    folder: Path
    link: origins.Link
    undrawn: list[dict] = field(default_factory=list)
    kept: list = field(default_factory=list)

    def drawn(self, what: str, step: Callable[[], Iterable[Figure | None]], sources: Iterable[str] = ()) -> list[Figure]:
        """The figures of a step; where its files cannot be used, the reason goes to the list of what is missing.

        Parameters
        ----------
        sources
            What its figures were made from, where they do not say so themselves.
        """
        found = []
        try:
            for figure in step():
                if figure is not None:
                    found.append(figure if figure.sources else replace(figure, sources=tuple(sources)))
        except (UserError, NotRun, OSError) as error:
            self.missing(what, error)
        return found

    def missing(self, what: str, reason: object) -> None:
        """Note that a part of the page could not be made."""
        self.undrawn.append({"what": what, "reason": str(reason)})


def study(making: Making, name: str, found: Measures, verdicts: list[Verdict]) -> dict:
    """What the page shows of a study: what it measured, and the verdicts on what is judged of that."""
    plan, folder = making.plan, making.folder
    block, scores = plan["studies"][name], making.scores
    judged = found.judged
    controls = [method for method in block["methods"] if tables.is_control(plan["config"], method)]
    along = epochs.summarise(block, scores, plan)
    lengths = epochs.lengths(plan)
    known, own = None, [plan["files"]["scores"]]
    if block.get("published"):
        known = published.compare(name, block, [*judged, *found.curves], along, plan["studies"])
    with_paper = [*own, str(published.FOLDER / f"{block.get('published')}.csv")]
    # A figure of the last three, and one that an evaluation declares, says itself which file it shows.
    steps: list[tuple[str, Callable[[], Iterable[Figure]], list[str]]] = [
        ("scores", lambda: figures.scores(name, judged, folder), own),
        ("scores along training", lambda: figures.epochs(name, _along(making, block, controls), lengths, folder), own),
        ("curves", lambda: curves.draw(name, found, folder), own),
        ("published", lambda: beside.draw(name, known, folder) if known else (), with_paper),
        ("maps", lambda: maps.maps(name, block, plan, verdicts, folder, kept=making.kept), []),
        ("confusion", lambda: figures.confusion(name, block, plan, verdicts, folder), []),
        ("doses", lambda: figures.doses(name, block, plan, verdicts, folder), []),
    ]
    steps += [(what, step, []) for what, step in _declared(making, name, verdicts)]
    return {
        "name": name,
        "study": block,
        "simulated": answers.is_simulated(plan, block),
        "verdicts": verdicts,
        "measures": judged,
        "behind": found.behind,
        "curves": curves.tables(found),
        "controls": controls,
        "along": _by_measure(along),
        "mean_of": (block.get("saved_epochs") or {}).get("mean"),
        "published": known,
        "files": origins.score_files(block, plan, making.link),
        "encoders": origins.encoders(block, plan, making.link),
        "figures": [figure for what, step, from_ in steps for figure in making.drawn(f"{name}: {what}", step, from_)],
    }


def _declared(making: Making, name: str, verdicts: list[Verdict]) -> Iterator[tuple[str, Callable[[], Iterable[Figure]]]]:
    """The figures that a study's evaluations declare (``FIGURES``): what each shows, and how it is drawn."""
    plan, block = making.plan, making.plan["studies"][name]
    for evaluation in block["evaluations"]:
        use = tables.use_of(plan["config"], "evaluations", evaluation)
        declared = plugins.constants("evaluations", use) if use in plugins.names("evaluations") else {}
        for figure in declared.get("FIGURES", ()):
            maker = importlib.import_module(f"phenorep.report.{figure}")
            yield (
                f"{evaluation}: {figure}",
                lambda draw=maker.draw, e=evaluation: draw(name, block, e, plan, verdicts, making.folder),
            )


def _along(making: Making, block: dict, controls: list[str]) -> pd.DataFrame:
    rows = tables.study_rows(making.scores, block)
    return tables.summarise(tables.curve_ends(rows, making.plan["config"]), controls)


def _by_measure(along: pd.DataFrame) -> list[dict]:
    """Best and mean epochs, one table per evaluation and metric."""
    if not len(along):
        return []
    return [
        {"title": f"{evaluation}: {metric}", "rows": part.to_dict("records")}
        for (evaluation, metric), part in along.groupby(["evaluation", "metric"], sort=False)
    ]


def abnormal_images(making: Making) -> list[dict]:
    """What the page shows of each file of abnormalities."""
    parts = []
    for entry in abnormality.usable(making.plan):
        try:
            found = abnormality.read(entry)
        except UserError as error:
            making.missing(f"abnormal images of {entry['dataset']}, {entry['samples']}", error)
            continue
        what, step = f"abnormal images: {found.title}", lambda f=found: artefacts.draw(f, making.plan, making.folder)
        drawn = making.drawn(what, step, [entry["path"]])
        parts.append({**abnormality.summarise(found, making.folder), "figures": drawn})
    return parts


def left_out(making: Making, judged: dict[str, list]) -> list[dict]:
    """What the page shows of each sample set from which abnormal images were left out."""
    parts = []
    for view in making.plan.get("cleaned") or []:
        title = f"{view['dataset']}, {view['samples']}"
        counted = None
        try:
            counted = cleaned.counts(making.plan, view, making.folder)
        except UserError as error:
            making.missing(f"left out of {title}", error)
        scores = cleaned.scores(view, making.plan["studies"], judged)
        what, step = f"without what was left out of {title}", lambda v=view, s=scores: cleaned.draw(v, s, making.folder)
        drawn = making.drawn(what, step, [making.plan["files"]["scores"]])
        rows = scores.to_dict("records")
        parts.append({"view": view, "title": title, "counts": counted, "scores": rows, "figures": drawn})
    return parts


def shared_figures(making: Making, spent: pd.DataFrame) -> list[Figure]:
    """Figures that belong to data sets or to the whole run."""
    files, folder = making.plan["files"], making.folder
    steps: list[tuple[str, Callable[[], Iterable[Figure | None]]]] = []
    for dataset, samples in sorted({(entry["dataset"], entry["samples"]) for entry in files.get("samples", [])}):
        own = [e for e in files["samples"] if (e["dataset"], e["samples"]) == (dataset, samples)]
        steps.append((f"samples of {dataset}", lambda d=dataset, s=samples, own=own: [images.montage(d, s, own, folder)]))
    for dataset in sorted({entry["dataset"] for entry in files.get("illumination", [])}):
        own = [entry for entry in files["illumination"] if entry["dataset"] == dataset]
        steps.append((f"illumination of {dataset}", lambda d=dataset, own=own: [images.illumination(d, own, folder)]))
    steps.append(("training", lambda: figures.training(files.get("training", []), folder)))
    found = [figure for what, step in steps for figure in making.drawn(what, step)]
    return found + making.drawn("cost", lambda: figures.costs(spent, folder), [files["costs"]] if files.get("costs") else [])
