"""What a study published beside what is measured here; the format of the files stands in `phenorep.published`."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import plugins, statistics
from phenorep.errors import UserError
from phenorep.report import drawing
from phenorep.report.drawing import FAINT, INK, Figure
from phenorep.report.tables import Measure
from phenorep.report.verdict import label

FOLDER = plugins.ROOT / "published"
COLUMNS = (
    *("source", "table", "type", "row", "weak_label", "single_cell", "reference"),
    *("metric", "statistic", "value", "n", "method", "profile"),
)
STATISTICS = ("stated", "best", "mean")
FINAL = ("value", "low", "high", "leak", "trained_on", "control")


@dataclass(frozen=True)
class Beside:
    """Published figures with their measured counterparts, in the paper's order, and what the paper lacks.

    ``rows`` and ``others`` hold dicts: ``name, weak_label, reference, tables, metric, statistic, value, low, high, n``,
    ``method, profile, variant`` (published; None where the paper has no such figure), ``final, final_low, final_high,
    final_n`` (measured at the end of training), ``same, same_low, same_high, how`` (measured by the published statistic,
    where epochs were saved), ``difference`` (points), ``words``, ``leak``, ``trained_on``, ``control``.
    """

    sources: list[str]
    evaluations: list[str]
    rows: list[dict]
    others: list[dict] = field(default_factory=list)


def read(name: str, folder: str | Path = FOLDER) -> pd.DataFrame:
    """A study's published figures, checked: one row per figure.

    Raises
    ------
    UserError
        If there is no such file, or it is not in the format of `phenorep.published`.
    """
    path = Path(folder) / f"{name}.csv"
    if not path.is_file():
        known = plugins.suggest(name, [file.stem for file in Path(folder).glob("*.csv")])
        raise UserError(f"published: {name}: there is no file {path}. {known} Or take the key 'published' out of the study.")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if list(table.columns) != list(COLUMNS):
        raise UserError(f"{path}: expected the columns {', '.join(COLUMNS)}, found {', '.join(table.columns)}.")
    numbers = {column: pd.to_numeric(table[column], errors="coerce") for column in ("value", "n")}
    faults = (
        (~numbers["value"].between(0, 1), "value", "a share from 0 to 1"),
        (~((numbers["n"] >= 1) & (numbers["n"] % 1 == 0)), "n", "a number of treatments, 1 or more"),
        (~table["statistic"].isin(STATISTICS), "statistic", f"one of {', '.join(STATISTICS)}"),
        (table["metric"] == "", "metric", "the name of a metric"),
        (table["row"] == "", "row", "the paper's name of the row"),
        ((table["method"] == "") != (table["profile"] == ""), "profile", "filled where 'method' is, and only there"),
        (table.duplicated(["table", "row", "weak_label", "metric", "statistic"]), "row", "once in its table and statistic"),
    )
    for wrong, column, wanted in faults:
        if wrong.any():
            place = int(np.flatnonzero(wrong)[0])
            found = table[column].iloc[place]
            raise UserError(f"{path}, line {place + 2}: {column}: found {found!r}, expected {wanted}. Mend the line.")
    return table.assign(value=numbers["value"], n=numbers["n"].astype(int))


def compare(name: str, study: dict, measures: list[Measure], along: pd.DataFrame, studies: dict[str, dict]) -> Beside:
    """Each published figure of a study beside its measured counterpart.

    Parameters
    ----------
    name
        Of the study.
    measures
        What the study measured at the end of training.
    along
        Best and mean epochs, as from `epochs.summarise`.
    studies
        All studies of the run: another one may hold the counterpart.
    """
    table = read(study["published"], FOLDER)
    found = _measured(study, measures, set(table["metric"]))
    rows = [_row(merged, name, study, found, along, studies) for merged in _merged(table)]
    others = _others(table, found)
    evaluations = list(dict.fromkeys(measure.evaluation for measure, _ in found.values()))
    return Beside(list(dict.fromkeys(table["source"])), evaluations, rows, others)


def _measured(study: dict, measures: list[Measure], metrics: set[str]) -> dict[tuple, tuple[Measure, dict]]:
    """Final scores by (metric, method, profile, what was held out): of the study's first evaluation that has the metric."""
    order = {evaluation: place for place, evaluation in enumerate(study["evaluations"])}
    own = [measure for measure in measures if measure.metric in metrics and not measure.subset]
    first: dict[str, str] = {}
    for measure in sorted(own, key=lambda measure: order[measure.evaluation]):
        first.setdefault(measure.metric, measure.evaluation)
    return {
        (measure.metric, row["method"], row["profile"], row.get("variant", "")): (measure, row)
        for measure in own
        if measure.evaluation == first[measure.metric] and not measure.settings
        for row in measure.rows.to_dict("records")
    }


def _merged(table: pd.DataFrame) -> Iterator[dict]:
    """Published figures, those that stand in several tables once."""
    names = table["method"].where(table["method"] != "", table["row"] + "/" + table["weak_label"])
    keys = [names, table["profile"], table["statistic"], table["metric"], table["value"], table["n"]]
    for _, same in table.groupby(keys, sort=False):
        yield same.iloc[0].to_dict() | {"tables": ", ".join(dict.fromkeys(same["table"]))}


def _row(published: dict, name: str, study: dict, found: dict, along: pd.DataFrame, studies: dict) -> dict:
    low, high = statistics.wilson(round(published["value"] * published["n"]), published["n"])
    kept = ("weak_label", "reference", "tables", "metric", "statistic", "value", "n", "method", "profile")
    row = {"name": published["row"], **{key: published[key] for key in kept}, "low": low, "high": high, "variant": ""}
    pair = published["method"], published["profile"]
    measure, final = found.get((published["metric"], *pair, ""), (None, None))
    if final is None:
        return row | _blank(_why_not(pair, name, study, studies))
    row |= _final(final)
    row |= _same_statistic(published["statistic"], pair, measure, along)
    value = row["same"] if row["same"] is not None else row["final"]
    words = "inside" if low <= value <= high else "above" if value > high else "below"
    return row | {"difference": 100 * (value - published["value"]), "words": f"{words} the published interval"}


def _final(final: dict) -> dict:
    value, low, high, *rest = (final[key] for key in FINAL)
    measured = {"final": value, "final_low": low, "final_high": high, "final_n": final["n"]}
    return measured | dict(zip(FINAL[3:], rest, strict=True))


def _blank(words: str) -> dict:
    empty = ("final", "final_low", "final_high", "final_n", "same", "same_low", "same_high", "difference")
    return dict.fromkeys(empty) | {"how": "", "words": words, "leak": None, "trained_on": None, "control": False}


def _why_not(pair: tuple[str, str], name: str, study: dict, studies: dict) -> str:
    """Why a published figure has no counterpart here."""
    method, profile = pair
    if not method:
        return "no such method here"
    if method in study.get("skip", {}):
        return f"skipped: {study['skip'][method]}"
    if method in study["methods"] and profile in study["profiles"]:
        return "no score; see what did not run"
    for other, block in studies.items():
        beside = other != name and block.get("published") == study["published"]
        if beside and method in block["methods"] and profile in block["profiles"]:
            return f"see study {other}"
    return "not in this study"


def _same_statistic(statistic: str, pair: tuple[str, str], measure: Measure, along: pd.DataFrame) -> dict:
    """The measured value by the published statistic: the best epoch with its interval, the mean with its range."""
    nothing = {"same": None, "same_low": None, "same_high": None, "how": ""}
    if statistic == "stated" or not len(along):
        return nothing
    keys = {"evaluation": measure.evaluation, "metric": measure.metric, "subset": "", "settings": ""}
    keys |= {"method": pair[0], "profile": pair[1]}
    rows = along[np.logical_and.reduce([along[key] == value for key, value in keys.items()])]
    if not len(rows):
        return nothing
    row = rows.iloc[0]
    if statistic == "best":
        how = f"best of {row['scored']:.0f} epochs: {row['best_epoch']}"
        return {"same": row["best"], "same_low": row["best_low"], "same_high": row["best_high"], "how": how}
    if not np.isfinite(row["mean"]):
        return nothing
    how = f"mean of {row['epochs']:.0f} epochs"
    return {"same": row["mean"], "same_low": row["lowest"], "same_high": row["highest"], "how": how}


def _others(table: pd.DataFrame, found: dict) -> list[dict]:
    """Measured values without a published one: methods that the paper lacks, and metrics it lacks of those it has."""
    figures = set(zip(table["metric"], table["method"], table["profile"], strict=True))
    pairs = set(zip(table["method"], table["profile"], strict=True))
    profiles = {profile for _, profile in pairs}
    named = {(method, variant) for _, method, profile, variant in found if profile in profiles}
    rows = []
    for (metric, method, profile, variant), (_, final) in found.items():
        published = not variant and method in set(table["method"])
        # Other profiles of a method stand among the scores: here they would drown what is compared.
        wanted = (method, profile) in pairs if published else profile in profiles or (method, variant) not in named
        if wanted and not (published and (metric, method, profile) in figures):
            empty = dict.fromkeys(("value", "low", "high", "n"))
            texts = {"weak_label": "", "reference": "", "tables": "", "metric": metric, "statistic": "stated"}
            place = {"method": method, "profile": profile, "variant": variant}
            rows.append({"name": label(final), **texts, **empty, **place, **_blank(""), **_final(final)})
    # The metrics of a method beside each other, as in the paper's rows.
    order = {key: place for place, key in enumerate(dict.fromkeys(map(_place, rows)))}
    return sorted(rows, key=lambda row: order[_place(row)])


def draw(name: str, beside: Beside, folder: Path) -> Iterator[Figure]:
    """Published and measured values, one panel per metric."""
    rows = [*beside.rows, *beside.others]
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    places = {key: place for place, key in enumerate(dict.fromkeys(map(_place, rows)))}
    figure = drawing.canvas(3.0 + 2.6 * len(metrics), 0.9 + 0.24 * len(places))
    panels = np.ravel(figure.subplots(1, len(metrics), squeeze=False, sharey=True))
    blue = drawing.PALETTE[0]
    for axes, metric in zip(panels, metrics, strict=True):
        for row in rows:
            if row["metric"] == metric:
                place = places[_place(row)]
                kind = "final" if row["same"] is None else "same"
                _dot(axes, place - 0.15, row["value"], row["low"], row["high"], INK, "none")
                ends = row[f"{kind}_low"], row[f"{kind}_high"]
                _dot(axes, place + 0.15, row[kind], *ends, blue, "none" if row["control"] else blue)
        axes.set_title(drawing.shown(metric), loc="left")
        axes.grid(axis="x")
    if beside.others:
        for axes in panels:
            axes.axhline(len(places) - len(set(map(_place, beside.others))) - 0.5, color=FAINT, lw=0.8)
    panels[0].set_yticks(range(len(places)), list(places))
    panels[0].set_ylim(len(places) - 0.5, -0.5)
    marks = {"published": _mark(INK, "none"), "measured": _mark(blue, blue), "measured, control": _mark(blue, "none")}
    figure.legend(list(marks.values()), list(marks), loc="outside lower center", ncols=3, fontsize=8, handletextpad=0.3)
    caption = (
        "Published values (hollow) and measured ones (blue; controls hollow), with 95 % intervals; those of published "
        "values are computed here. Where the paper gives the best epoch or a mean over epochs, and epochs were saved, the "
        "measured value is of that kind (of a mean the line is the range over epochs); else it is that of the last epoch. "
        "Below the line: measured, not in the paper."
    )
    data = pd.DataFrame(rows)
    yield drawing.save(folder, f"published_{name}", "Measured beside published", caption, figure, data)


def _place(row: dict) -> str:
    weak_label = row["weak_label"] if row["weak_label"] != "None" else ""
    statistic = row["statistic"] if row["statistic"] != "stated" else ""
    return ", ".join(text for text in (row["name"], row["variant"], weak_label, statistic) if text)


def _dot(axes, place: float, value: float | None, low: float | None, high: float | None, colour: str, face: str) -> None:
    if value is None or not np.isfinite(value):
        return
    if low is not None and np.isfinite(low) and np.isfinite(high):
        axes.plot([low, high], [place, place], color=colour, lw=1.1, alpha=0.8)
    axes.plot(value, place, "o", color=colour, markerfacecolor=face, ms=4.5)


def _mark(colour: str, face: str):
    from matplotlib.lines import Line2D

    return Line2D([], [], ls="none", marker="o", ms=5, color=colour, markerfacecolor=face)
