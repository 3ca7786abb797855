"""The page: answers first, then what they rest on."""

import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import pandas as pd

from phenorep import __version__, contracts, costs
from phenorep.errors import NotRun, UserError
from phenorep.report import (
    answers,
    drawing,
    engines,
    gaps,
    interactive,
    looked_at,
    origins,
    plates,
    provenance,
    sections,
    templates,
)
from phenorep.report.sections import Making

ROWS_SHOWN = 200


def make(
    plan: dict,
    output: str,
    folder: str,
    config: str | None = None,
    plates_folder: str | None = None,
    maps_folder: str | None = None,
    configfiles: Iterable[str] = (),
) -> None:
    """Write the page, its figures, and the pages beside it; see `phenorep.report.make`."""
    link = partial(templates.link, page=output)
    making = Making(plan, contracts.read_scores(plan["files"]["scores"]), _emptied(folder), link)
    given = answers.shown(plan, answers.read(plan["files"]["answers"]))
    spent = _costs(plan["files"].get("costs"))
    environment = templates.environment()
    with drawing.style():
        studies = [sections.study(making, name, *judged) for name, judged in answers.judge(plan, making.scores).items()]
        abnormal = sections.abnormal_images(making)
        left = sections.left_out(making, {part["name"]: part["measures"] for part in studies})
        pictures = sections.shared_figures(making, spent)
        seen = _made(making, "samples on the first screen", lambda: looked_at.shown(plan))
        beside = _beside(making, environment, output, plates_folder, maps_folder)
    found = gaps.left_out(plan["files"])
    contracts.write_csv(found, making.folder / "left_out.csv")
    resolved = provenance.config(plan)
    pieces, places = origins.config_lines(resolved)
    context = {
        "plan": plan,
        "studies": studies,
        "answers": given,
        "looked_at": seen,
        "advice": answers.advice(given),
        "judged": sum(len(part["verdicts"]) for part in studies),
        "abnormal": abnormal,
        "cleaned": left,
        "pictures": pictures,
        **beside,
        "left_out": found.head(ROWS_SHOWN).to_dict("records"),
        "left_out_count": len(found),
        "cost_totals": _cost_totals(spent),
        **_gaps(plan, making.undrawn),
        **_provenance(plan),
        "pieces": pieces,
        "command": origins.command(configfiles),
        "origins": {
            "root": link("."),
            "command": origins.command(configfiles),
            "config": places,
            "encoders": {part["name"]: part["encoders"] for part in studies},
        },
        "folder": link(making.folder),
        "config_link": link(config) if config else "",
        "paths": {key: plan["files"][key] for key in ("scores", "answers", "costs") if plan["files"].get(key)},
        "link": link,
        "shown_path": partial(os.path.relpath, start="."),
    }
    text = environment.get_template("index.html.j2").render(**context)
    for path, content in ((output, text), (config, resolved)):
        if path:
            with contracts.replacing(path) as temporary:
                temporary.write_text(content, encoding="utf-8")


def _emptied(folder: str | Path) -> Path:
    """The folder of figures, without those of an earlier page."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for old in [*folder.glob("*.svg"), *folder.glob("*.csv")]:
        old.unlink()
    return folder


def _beside(making: Making, environment, output: str, plates_folder: str | None, maps_folder: str | None) -> dict:
    """Pages of plates and maps that can be explored, and which figure such a map belongs to."""
    home, near = Path(output).name, Path(output).parent
    folders = [Path(given or near / name) for given, name in ((plates_folder, "plates"), (maps_folder, "maps"))]
    for folder in folders:  # declared outputs, which must be there even if they stay empty
        folder.mkdir(parents=True, exist_ok=True)
    made = _made(making, "pages of plates", lambda: plates.make(making.plan, folders[0], environment, home))
    explored = _made(
        making, "interactive maps", lambda: interactive.make(making.plan, making.kept, folders[1], environment, home)
    )
    return {
        "plates": made,
        "plate_pages": {(entry["dataset"], str(entry["plate"])): entry["href"] for entry in made},
        "overview": templates.link(folders[0] / "index.html", output) if made else "",
        "explored": {entry["figure"]: entry["href"] for entry in explored if entry["figure"]},
    }


def _made(making: Making, what: str, step: Callable[[], list[dict]]) -> list[dict]:
    try:
        return step()
    except (UserError, NotRun, OSError) as error:
        making.missing(what, error)
        return []


def _gaps(plan: dict, undrawn: list[dict]) -> dict:
    files = plan["files"]
    return {
        "not_run": gaps.not_run(files),
        "missing": gaps.missing(files),
        "dark": gaps.dark_channels(files),
        "undrawn": undrawn,
        "features": gaps.features(files),
        "notes": gaps.notes(files.get("details", [])),
        "reading": gaps.read_with_notes(files),
    }


def _provenance(plan: dict) -> dict:
    files = plan["files"]
    return {
        "datasets": provenance.datasets(plan),
        "engine": engines.used(files),
        "engines": engines.compared(files),
        "steps": provenance.profile_steps(plan),
        "measured": provenance.measured_steps(files),
        "encoders": provenance.encoders(files),
        "versions": {"phenorep": plan.get("version", __version__), **provenance.versions()},
        "commit": provenance.commit(),
    }


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
