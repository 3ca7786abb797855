"""The page: verdicts first, then what they rest on."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import __version__, contracts, costs, plugins
from phenorep.errors import NotRun, UserError
from phenorep.report import (
    abnormality,
    artefacts,
    attention,
    beside,
    cleaned,
    curves,
    drawing,
    engines,
    epochs,
    figures,
    gaps,
    images,
    maps,
    provenance,
    published,
    tables,
    verdict,
)
from phenorep.report.drawing import Figure

TEMPLATES = plugins.ROOT.parent / "reports" / "templates"
ROWS_SHOWN = 200


def make(plan: dict, output: str, folder: str, config: str | None = None) -> None:
    """Write the page and its figures; see `phenorep.report.make`."""
    scores = contracts.read_scores(plan["files"]["scores"])
    spent = _costs(plan["files"].get("costs"))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for old in [*folder.glob("*.svg"), *folder.glob("*.csv")]:
        old.unlink()
    undrawn: list[dict] = []
    with drawing.style():
        studies = [_study(name, study, scores, plan, folder, undrawn) for name, study in plan["studies"].items()]
        abnormal = _abnormal(plan, folder, undrawn)
        left = _cleaned(plan, {part["name"]: part["measures"] for part in studies}, folder, undrawn)
        pictures = _shared_figures(plan, spent, folder, undrawn)
    left_out = gaps.left_out(plan["files"])
    contracts.write_csv(left_out, folder / "left_out.csv")
    page = (
        _environment()
        .get_template("index.html.j2")
        .render(
            plan=plan,
            studies=studies,
            abnormal=abnormal,
            cleaned=left,
            pictures=pictures,
            simulated=[name for name, dataset in plan["datasets"].items() if dataset.get("about", {}).get("simulated")],
            not_run=gaps.not_run(plan["files"]),
            missing=gaps.missing(plan["files"]),
            dark=gaps.dark_channels(plan["files"]),
            undrawn=undrawn,
            left_out=left_out.head(ROWS_SHOWN).to_dict("records"),
            left_out_count=len(left_out),
            features=gaps.features(plan["files"]),
            notes=gaps.notes(plan["files"].get("details", [])),
            cost_totals=_cost_totals(spent),
            datasets=provenance.datasets(plan),
            engine=engines.used(plan["files"]),
            engines=engines.compared(plan["files"]),
            steps=provenance.profile_steps(plan),
            measured=provenance.measured_steps(plan["files"]),
            encoders=provenance.encoders(plan["files"]),
            config=provenance.config(plan),
            versions={"phenorep": plan.get("version", __version__), **provenance.versions()},
            commit=provenance.commit(),
            folder=os.path.relpath(folder, Path(output).parent or "."),
            paths={key: plan["files"][key] for key in ("scores", "costs") if plan["files"].get(key)},
            link=lambda path: os.path.relpath(path, Path(output).parent or "."),
        )
    )
    for path, text in ((output, page), (config, provenance.config(plan))):
        if path:
            with contracts.replacing(path) as temporary:
                temporary.write_text(text, encoding="utf-8")


def _environment():
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # Escaping is never left to a file's suffix: names of compounds and plates come from anywhere.
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": number, "label": verdict.label, "place": place, "seen": verdict.labels_seen}
    environment.filters["kind"] = lambda pictures, kind: [p for p in pictures if p.name.startswith(kind)]
    return environment


def number(value: object, digits: int = 3) -> str:
    """A number as the tables show it; a dash where there is none."""
    return f"{value:.{digits}f}" if isinstance(value, int | float | np.number) and np.isfinite(value) else "–"


def place(text: str) -> str:
    """An identifier for a part of the page."""
    return "".join(letter if letter.isalnum() else "-" for letter in str(text))


def _study(name: str, study: dict, scores: pd.DataFrame, plan: dict, folder: Path, undrawn: list[dict]) -> dict:
    found = tables.measures(name, study, scores, plan)
    judged = found.judged
    verdicts = [verdict.judge(measure) for measure in judged]
    controls = [method for method in study["methods"] if tables.is_control(plan["config"], method)]
    along = epochs.summarise(study, scores, plan)
    lengths = epochs.lengths(plan)
    known = None
    if study.get("published"):
        known = published.compare(name, study, [*judged, *found.curves], along, plan["studies"])
    steps: list[tuple[str, Callable[[], Iterable[Figure]]]] = [
        ("scores", lambda: figures.scores(name, judged, folder)),
        ("scores along training", lambda: figures.epochs(name, _along(study, scores, controls, plan), lengths, folder)),
        ("curves", lambda: curves.draw(name, found, folder)),
        ("published", lambda: beside.draw(name, known, folder) if known else ()),
        ("maps", lambda: maps.maps(name, study, plan, verdicts, folder)),
        ("confusion", lambda: figures.confusion(name, study, plan, verdicts, folder)),
        ("doses", lambda: figures.doses(name, study, plan, verdicts, folder)),
        ("attention", lambda: attention.attention(name, study, plan, verdicts, folder)),
    ]
    return {
        "name": name,
        "study": study,
        "verdicts": verdicts,
        "summary": _summary(verdicts),
        "measures": judged,
        "behind": found.behind,
        "curves": curves.tables(found),
        "controls": controls,
        "along": _by_measure(along),
        "mean_of": (study.get("saved_epochs") or {}).get("mean"),
        "published": known,
        "figures": [figure for what, step in steps for figure in _drawn(f"{name}: {what}", step, undrawn)],
    }


def _along(study: dict, scores: pd.DataFrame, controls: list[str], plan: dict) -> pd.DataFrame:
    return tables.summarise(tables.curve_ends(tables.study_rows(scores, study), plan["config"]), controls)


def _by_measure(along: pd.DataFrame) -> list[dict]:
    """Best and mean epochs, one table per evaluation and metric."""
    if not len(along):
        return []
    return [
        {"title": f"{evaluation}: {metric}", "rows": part.to_dict("records")}
        for (evaluation, metric), part in along.groupby(["evaluation", "metric"], sort=False)
    ]


def _summary(verdicts: list) -> str:
    """The study in one line: which representation won how many measures."""
    if not verdicts:
        return "Nothing was scored."
    texts = []
    for representation in dict.fromkeys(verdict.label(v.best) for v in verdicts if v.status == verdict.WINNER):
        won = [v for v in verdicts if v.status == verdict.WINNER and verdict.label(v.best) == representation]
        texts.append(f"{representation} wins {', '.join(f'{v.measure.evaluation} {v.measure.title}' for v in won)}")
    for status in (verdict.NO_WINNER, verdict.NOT_INFORMATIVE, verdict.SATURATED, verdict.NO_RESULT):
        count = sum(v.status == status for v in verdicts)
        if count:
            texts.append(f"{status}: {count} of {len(verdicts)}")
    return "; ".join(texts) + "."


def _abnormal(plan: dict, folder: Path, undrawn: list[dict]) -> list[dict]:
    """What the page shows of each file of abnormalities."""
    parts = []
    for entry in abnormality.usable(plan):
        try:
            found = abnormality.read(entry)
        except UserError as error:
            undrawn.append({"what": f"abnormal images of {entry['dataset']}, {entry['samples']}", "reason": str(error)})
            continue
        drawn = _drawn(f"abnormal images: {found.title}", lambda f=found: artefacts.draw(f, plan, folder), undrawn)
        parts.append({**abnormality.summarise(found, folder), "figures": drawn})
    return parts


def _cleaned(plan: dict, judged: dict[str, list], folder: Path, undrawn: list[dict]) -> list[dict]:
    """What the page shows of each sample set from which abnormal images were left out."""
    parts = []
    for view in plan.get("cleaned") or []:
        title = f"{view['dataset']}, {view['samples']}"
        counted = None
        try:
            counted = cleaned.counts(plan, view, folder)
        except UserError as error:
            undrawn.append({"what": f"left out of {title}", "reason": str(error)})
        scores = cleaned.scores(view, plan["studies"], judged)
        drawn = _drawn(f"without what was left out of {title}", lambda v=view, s=scores: cleaned.draw(v, s, folder), undrawn)
        rows = scores.to_dict("records")
        parts.append({"view": view, "title": title, "counts": counted, "scores": rows, "figures": drawn})
    return parts


def _shared_figures(plan: dict, spent: pd.DataFrame, folder: Path, undrawn: list[dict]) -> list[Figure]:
    """Figures that belong to data sets or to the whole run."""
    files = plan["files"]
    steps: list[tuple[str, Callable[[], Iterable[Figure | None]]]] = []
    for dataset, samples in sorted({(entry["dataset"], entry["samples"]) for entry in files.get("samples", [])}):
        own = [e for e in files["samples"] if (e["dataset"], e["samples"]) == (dataset, samples)]
        steps.append((f"samples of {dataset}", lambda d=dataset, s=samples, own=own: [images.montage(d, s, own, folder)]))
    for dataset in sorted({entry["dataset"] for entry in files.get("illumination", [])}):
        own = [entry for entry in files["illumination"] if entry["dataset"] == dataset]
        steps.append((f"illumination of {dataset}", lambda d=dataset, own=own: [images.illumination(d, own, folder)]))
    steps.append(("training", lambda: figures.training(files.get("training", []), folder)))
    steps.append(("cost", lambda: figures.costs(spent, folder)))
    return [figure for what, step in steps for figure in _drawn(what, step, undrawn)]


def _drawn(what: str, step: Callable[[], Iterable[Figure | None]], undrawn: list[dict]) -> list[Figure]:
    """The figures of a step; where its files cannot be used, the reason goes to the list of what is missing."""
    found = []
    try:
        for figure in step():
            if figure is not None:
                found.append(figure)
    except (UserError, NotRun, OSError) as error:
        undrawn.append({"what": what, "reason": str(error)})
    return found


def _costs(path: str | None) -> pd.DataFrame:
    if not path or not Path(path).is_file():
        return pd.DataFrame()
    return costs.read(path)


def _cost_totals(spent: pd.DataFrame) -> list[dict]:
    """Jobs, seconds and peak memory by rule."""
    if not len(spent) or not {"rule", "seconds"} <= set(spent.columns):
        return []
    groups = spent.groupby("rule", sort=False)
    totals = groups["seconds"].agg(jobs="count", seconds="sum", longest="max")
    if "max_rss_mb" in spent:
        totals["memory"] = groups["max_rss_mb"].max()
    return totals.reset_index().to_dict("records")
