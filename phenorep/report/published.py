"""What a study published beside what is measured here; the format of the files stands in `phenorep.published`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import plugins, rank_correlation, statistics
from phenorep.errors import UserError
from phenorep.report import conditions
from phenorep.report.tables import Measure
from phenorep.report.verdict import label

FOLDER = plugins.ROOT / "published"
COLUMNS = (
    *("source", "table", "type", "row", "weak_label", "single_cell", "reference"),
    *("metric", "settings", "statistic", "value", "n", "method", "profile"),
)
UNIQUE = ["table", "row", "weak_label", "metric", "settings", "statistic"]
STATISTICS = ("stated", "best", "mean")
# Where labelled samples are few, a figure is compared with that of the nearest number of labels, if it is so near.
LABELS, NEAR = "labels", 0.05
FEWEST_ORDERED = 3  # figures whose order is compared
FINAL = ("value", "low", "high", "leak", "trained_on", "control")


@dataclass(frozen=True)
class Beside:
    """Published figures with their measured counterparts, in the paper's order, and what the paper lacks.

    ``rows`` and ``others`` hold dicts: ``name, weak_label, reference, tables, metric, statistic, value, low, high, n``,
    ``method, profile, variant`` (published; None where the paper has no such figure), ``final, final_low, final_high,
    final_n`` (measured at the end of training), ``same, same_low, same_high, how`` (measured by the published statistic,
    where epochs were saved), ``difference`` (points), ``words``, ``leak``, ``trained_on``, ``control``. Where figures have
    settings, ``groups`` holds the same rows by table and settings: ``title, metrics, lines`` (dicts of ``name`` and
    ``cells``, {metric: row}), ``measured`` (whether any is), ``words`` (why others are not), ``figures`` (how many are
    published), ``numbers`` (of items), ``nearest`` (settings that were measured in place of the published ones), ``order``
    ({metric: rank correlation of published and measured, of how many}).
    """

    sources: list[str]
    evaluations: list[str]
    rows: list[dict]
    others: list[dict] = field(default_factory=list)
    groups: list[dict] = field(default_factory=list)


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
    table["settings"] = table["settings"].map(conditions.same)
    numbers = {column: pd.to_numeric(table[column], errors="coerce") for column in ("value", "n")}
    faults = (
        (~numbers["value"].between(0, 1), "value", "a share from 0 to 1"),
        (~((numbers["n"] >= 1) & (numbers["n"] % 1 == 0)), "n", "a number of items, 1 or more"),
        (~table["statistic"].isin(STATISTICS), "statistic", f"one of {', '.join(STATISTICS)}"),
        (table["metric"] == "", "metric", "the name of a metric"),
        (table["row"] == "", "row", "the paper's name of the row"),
        ((table["method"] == "") != (table["profile"] == ""), "profile", "filled where 'method' is, and only there"),
        (table.duplicated(UNIQUE), "row", "once in its table, settings and statistic"),
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
    found = _measured(study, measures, dict.fromkeys((row.metric, row.settings) for row in table.itertuples()))
    rows = [_row(merged, name, study, found, along, studies) for merged in _merged(table)]
    others = _others(table, found)
    evaluations = list(dict.fromkeys(measure.evaluation for measure, _ in found.values()))
    groups = _groups(rows, others) if (table["settings"] != "").any() else []
    return Beside(list(dict.fromkeys(table["source"])), evaluations, rows, others, groups)


def _measured(study: dict, measures: list[Measure], wanted: Iterable[tuple[str, str]]) -> dict[tuple, tuple[Measure, dict]]:
    """Final scores by (metric, settings, method, profile, what was held out) of the published metrics and settings.

    Where several evaluations have the same, it is the one that stands first in the study.
    """
    order = {evaluation: place for place, evaluation in enumerate(study["evaluations"])}
    own = {}
    for measure in sorted(measures, key=lambda measure: order[measure.evaluation]):
        key = measure.metric, conditions.same(measure.settings)
        if not measure.subset and own.setdefault(key, measure).evaluation == measure.evaluation:
            own[key] = measure
    own = {key: near for key in wanted if (near := _nearest(key, own)) is not None}
    return {
        (*key, row["method"], row["profile"], row.get("variant", "")): (measure, row)
        for key, measure in own.items()
        for row in measure.rows.to_dict("records")
    }


def _nearest(key: tuple[str, str], measures: dict[tuple, Measure]) -> Measure | None:
    """The measure of these metric and settings, else of the nearest number of labels, if that is within `NEAR` of it."""
    if key in measures:
        return measures[key]
    metric, settings = key
    rest, wanted = conditions.split(settings, LABELS)
    distances = {}
    for (other, text), measure in measures.items():
        others_rest, number = conditions.split(text, LABELS)
        if (other, others_rest) == (metric, rest) and abs(number - wanted) <= NEAR * wanted:
            distances[abs(number - wanted)] = measure
    return distances[min(distances)] if distances else None


def _merged(table: pd.DataFrame) -> Iterator[dict]:
    """Published figures, those that stand in several tables once."""
    names = table["method"].where(table["method"] != "", table["row"] + "/" + table["weak_label"])
    keys = [names, *(table[key] for key in ("profile", "statistic", "metric", "settings", "value", "n"))]
    keys.append(table["table"].where(table["settings"] != "", ""))  # by settings, each table is shown whole
    for _, same in table.groupby(keys, sort=False):
        yield same.iloc[0].to_dict() | {"tables": ", ".join(dict.fromkeys(same["table"]))}


def _row(published: dict, name: str, study: dict, found: dict, along: pd.DataFrame, studies: dict) -> dict:
    low, high = statistics.wilson(round(published["value"] * published["n"]), published["n"])
    kept = ("weak_label", "reference", "tables", "metric", "settings", "statistic", "value", "n", "method", "profile")
    row = {"name": published["row"], **{key: published[key] for key in kept}, "low": low, "high": high, "variant": ""}
    pair = published["method"], published["profile"]
    measure, final = found.get((published["metric"], published["settings"], *pair, ""), (None, None))
    if final is None:
        return row | _blank(_why_not(pair, name, study, studies))
    row |= _final(final) | {"nearest": measure.settings if conditions.same(measure.settings) != row["settings"] else ""}
    row |= _same_statistic(published["statistic"], pair, measure, along)
    value = row["same"] if row["same"] is not None else row["final"]
    words = f"{'inside' if low <= value <= high else 'above' if value > high else 'below'} the published interval"
    if row["nearest"]:
        words += f"; measured: {row['nearest']}, the nearest there is"
    return row | {"difference": 100 * (value - published["value"]), "words": words}


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
    if method in study["methods"] and profile in [*study["profiles"], "none"]:
        return "no score; see what did not run"
    for other, block in studies.items():
        beside = other != name and block.get("published") == study["published"]
        if beside and method in block["methods"] and profile in [*block["profiles"], "none"]:
            return f"see study {other}"
    return "not in this study"


def _same_statistic(statistic: str, pair: tuple[str, str], measure: Measure, along: pd.DataFrame) -> dict:
    """The measured value by the published statistic: the best epoch with its interval, the mean with its range."""
    nothing = {"same": None, "same_low": None, "same_high": None, "how": ""}
    if statistic == "stated" or not len(along):
        return nothing
    keys = {"evaluation": measure.evaluation, "metric": measure.metric, "subset": "", "settings": measure.settings}
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
    figures = {(row.metric, row.settings, row.method, row.profile) for row in table.itertuples() if row.method}
    pairs = set(zip(table["method"], table["profile"], strict=True))
    profiles = {profile for _, profile in pairs}
    named = {(method, variant) for _, _, method, profile, variant in found if profile in profiles}
    rows = []
    for (metric, settings, method, profile, variant), (_, final) in found.items():
        published = not variant and method in set(table["method"])
        # Other profiles of a method stand among the scores: here they would drown what is compared.
        wanted = (method, profile) in pairs if published else profile in profiles or (method, variant) not in named
        if wanted and not (published and (metric, settings, method, profile) in figures):
            empty = dict.fromkeys(("value", "low", "high", "n"))
            texts = {"weak_label": "", "reference": "", "tables": "", "metric": metric, "statistic": "stated"}
            place = {"settings": settings, "method": method, "profile": profile, "variant": variant}
            rows.append({"name": label(final), **texts, **empty, **place, **_blank(""), **_final(final)})
    # The metrics of a method beside each other, as in the paper's rows.
    order = {key: place for place, key in enumerate(dict.fromkeys(map(place_of, rows)))}
    return sorted(rows, key=lambda row: order[place_of(row)])


def place_of(row: dict) -> str:
    """What a published or measured row is called beside the others."""
    weak_label = row["weak_label"] if row["weak_label"] != "None" else ""
    statistic = row["statistic"] if row["statistic"] != "stated" else ""
    return ", ".join(text for text in (row["name"], row["variant"], weak_label, statistic) if text)


def _groups(rows: list[dict], others: list[dict]) -> list[dict]:
    """Rows by table and settings, a line for each name and a cell for each metric; see `Beside`."""
    groups: dict[tuple[str, str], dict] = {}
    for row in rows:
        lines = groups.setdefault((row["tables"], row["settings"]), {})
        lines.setdefault((place_of(row), row["method"], row["profile"]), {})[row["metric"]] = row
    measured = {key: any(row["final"] is not None for row in _cells(lines)) for key, lines in groups.items()}
    for row in others:
        own = [key for key in groups if key[1] == row["settings"]]
        lines = groups[next((key for key in own if measured[key]), own[0])]
        # A metric that the paper lacks of a method that it has stands with the others of that method.
        same = [key for key in lines if key[1:] == (row["method"], row["profile"]) and not row["variant"]]
        lines.setdefault(same[0] if same else (place_of(row), row["method"], row["profile"]), {})[row["metric"]] = row
    return [_group(*key, lines) for key, lines in groups.items()]


def _cells(lines: dict[tuple, dict[str, dict]]) -> list[dict]:
    return [row for line in lines.values() for row in line.values()]


def _group(tables: str, settings: str, lines: dict[tuple, dict[str, dict]]) -> dict:
    cells = _cells(lines)
    metrics = list(dict.fromkeys(row["metric"] for row in cells))
    numbers = {kind: sorted({int(row[kind]) for row in cells if row[kind] is not None}) for kind in ("n", "final_n")}
    order = {}
    for metric in metrics:
        own = [line[metric] for line in lines.values() if metric in line]
        both = np.array([(row["value"], row["final"]) for row in own if None not in (row["value"], row["final"])])
        if len(both) >= FEWEST_ORDERED:
            order[metric] = float(rank_correlation.spearman(both[:, 0], both[:, 1])), len(both)
    return {
        "title": ": ".join(text for text in (f"Table {tables}", settings) if text),
        "metrics": metrics,
        "lines": [{**next(iter(line.values())), "name": key[0], "cells": line} for key, line in lines.items()],
        "measured": any(row["final"] is not None for row in cells),
        "words": ", ".join(dict.fromkeys(row["words"] for row in cells if row["final"] is None)),
        "figures": sum(row["value"] is not None for row in cells),
        "numbers": {kind: ", ".join(map(str, found)) for kind, found in numbers.items()},
        "nearest": "; ".join(dict.fromkeys(row["nearest"] for row in cells if row.get("nearest"))),
        "order": order,
    }
