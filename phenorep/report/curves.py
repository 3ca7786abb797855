"""Scores that are a curve, along the number of labels for instance: drawn, and in tables as papers print them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep.report import conditions, drawing
from phenorep.report.drawing import FAINT, INK, Figure
from phenorep.report.tables import Measure, Measures
from phenorep.report.verdict import label

ACROSS = 4  # panels in a row
APART = 0.018  # by which points of different lines are moved, in powers of e: intervals would hide each other
MARKS = ("o", "s", "^", "D", "v")  # of controls, which have no colour; and of lines when colours begin again


def name_of(row: dict) -> str:
    """A representation as legends and tables call it, with what its encoders were trained without."""
    return ", ".join(text for text in (label(row), row.get("variant", "")) if text)


def panels(measures: list[Measure]) -> dict[tuple[str, str, str], str]:
    """What is drawn in a panel of its own, (evaluation, subset, settings but one), and what it is called.

    A panel is called by the values of its settings, ``knn``; by its evaluation where it has none.
    """
    found = {}
    for measure in measures:
        rest = " ".join(conditions.parts(measure.at[0]).values())
        texts = [text for text in (measure.subset, rest) if text]
        found[measure.evaluation, measure.subset, measure.at[0]] = " ".join(texts) or measure.evaluation
    names = list(found.values())
    return {key: f"{key[0]} {text}" if names.count(text) > 1 else text for key, text in found.items()}


def _sorted(found: Measures) -> Iterator[tuple[str, list[str], list[Measure]]]:
    """Curves along the same key: the key, metrics (the judged ones first) and points; what has no place is left out."""
    points = [measure for measure in found.curves if np.isfinite(measure.at[1])]
    for key in dict.fromkeys(measure.curve for measure in points):
        own = [measure for measure in points if measure.curve == key]
        judged = [measure.metric for measure in found.judged if measure.curve == key]
        yield key, list(dict.fromkeys([*judged, *(measure.metric for measure in own)])), own


def tables(found: Measures) -> list[dict]:
    """Representations by panel and metric at the end of the curves, then one table along each.

    Returns
    -------
    list of dict
        ``title``; ``heads``: [(text, columns it spans)] or empty; ``columns``: texts; ``rows``: dicts with ``method,
        profile, variant, control`` and ``cells``, None or dicts of ``value, low, high, best`` (whether it is the highest
        of those that are no controls), with limits of the judged metric only; ``profiles``: whether there are any;
        ``inner``: whether it is one along a curve.
    """
    made = []
    for key, metrics, points in _sorted(found):
        names = panels(points)
        last = {(m.metric, m.evaluation, m.subset, m.settings) for m in [*found.judged, *found.behind] if m.curve == key}
        at_end = [m for m in points if (m.metric, m.evaluation, m.subset, m.settings) in last]
        columns = {}
        for place, name in names.items():
            for metric in metrics:
                own = [m for m in at_end if m.metric == metric and (m.evaluation, m.subset, m.at[0]) == place]
                columns |= {(f"{name}, {key} = {m.at[1]:g}", metric): m for m in own}
        heads = [text for text, _ in columns]
        made.append(
            {
                "title": f"Scores at the largest value of {key}",
                "heads": [(text, heads.count(text)) for text in dict.fromkeys(heads)],
                "columns": [metric for _, metric in columns],
                **_rows(list(columns.values()), metrics[0]),
                "inner": False,
            }
        )
        for place, name in names.items():
            own = [m for m in points if m.metric == metrics[0] and (m.evaluation, m.subset, m.at[0]) == place]
            own = sorted(own, key=lambda measure: -measure.at[1])
            if len(own) > 1:
                title, columns = f"{name}: {metrics[0]} by {key}", [f"{measure.at[1]:g}" for measure in own]
                made.append({"title": title, "heads": [], "columns": columns, **_rows(own, metrics[0]), "inner": True})
    return made


def _rows(measures: list[Measure], judged: str) -> dict:
    """A row for each representation, a cell for each measure; controls last, else in the order of the first measures."""
    kept = ("method", "profile", "variant", "control")
    found: dict[tuple, dict] = {}
    cells = []
    for measure in measures:
        rows = measure.rows.to_dict("records")
        best = next((row["value"] for row in rows if not row["control"]), None)
        cells.append({})
        for row in rows:
            key = tuple(row.get(name, "") for name in kept)
            found.setdefault(key, dict(zip(kept, key, strict=True)))
            ends = {name: row[name] if measure.metric == judged else np.nan for name in ("low", "high")}
            cells[-1][key] = {"value": row["value"], **ends, "best": row["value"] == best and not row["control"]}
    ordered = sorted(found, key=lambda key: bool(key[3]))
    rows = [found[key] | {"cells": [cell.get(key) for cell in cells]} for key in ordered]
    return {"rows": rows, "profiles": any(row["profile"] != "none" for row in rows)}


def draw(name: str, found: Measures, folder: Path) -> Iterator[Figure]:
    """One figure per metric: a panel for each classifier (or what else settings tell apart), a line per representation."""
    for key, metrics, points in _sorted(found):
        names = panels(points)
        rows = pd.concat([_points(measure, names) for measure in points], ignore_index=True)
        order = rows.sort_values("control", kind="stable")[["name", "control"]].drop_duplicates()
        styles = _styles(order)
        for metric in metrics:
            part = rows[rows["metric"] == metric]
            shown = [text for text in names.values() if text in set(part["panel"])]
            if part.groupby("panel")[key].nunique().max() < 2:
                continue
            figure = _draw(part, shown, key, metric, styles)
            caption = (
                f"{metric} along {key}: one panel for each way to classify, one line for each representation; means over "
                "seeds, with the mean of the seeds' 95 % intervals (moved apart sideways, to be seen). Hollow marks on "
                "broken lines are controls; the grey band spans all scores with shuffled labels. Only the largest value of "
                f"{key} is judged."
            )
            columns = ["evaluation", "panel", "subset", "settings", "metric", key, "method", "profile", "variant", "value"]
            columns += ["low", "high", "spread", "seeds", "n", "shuffled", "shuffled_low", "shuffled_high", "control"]
            title = f"{metric} by {key}"
            yield drawing.save(folder, f"curve_{name}_{key}_{metric}", title, caption, figure, part[columns])


def _points(measure: Measure, names: dict) -> pd.DataFrame:
    rest, place = measure.at
    rows = measure.rows.assign(variant=measure.rows.get("variant", ""))
    facts = {name: getattr(measure, name) for name in ("evaluation", "subset", "settings", "metric")}
    panel = names[measure.evaluation, measure.subset, rest]
    called = [name_of(row) for row in rows.to_dict("records")]
    return rows.assign(**facts, panel=panel, **{measure.curve: place}, name=called)


def _styles(order: pd.DataFrame) -> dict[str, dict]:
    """How each representation is drawn: colours for those to be chosen from, marks alone for controls."""
    found = {}
    for index, name in enumerate(order.loc[~order["control"], "name"]):
        again, place = divmod(index, len(drawing.PALETTE))
        mark = MARKS[again % len(MARKS)]
        found[name] = {"color": drawing.PALETTE[place], "marker": mark, "ls": "-." if again else "-", "ms": 4}
    for index, name in enumerate(order.loc[order["control"], "name"]):
        mark = MARKS[index % len(MARKS)]
        found[name] = {"color": INK, "marker": mark, "ls": (0, (3, 2)), "ms": 4, "markerfacecolor": "none", "lw": 0.8}
    return found


def _draw(rows: pd.DataFrame, shown: list[str], key: str, metric: str, styles: dict[str, dict]):
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    across = min(ACROSS, len(shown))
    down = -(-len(shown) // across)
    present = [name for name in styles if name in set(rows["name"])]
    legend_rows = -(-(len(present) + 1) // 4)
    figure = drawing.canvas(max(4.5, 0.8 + 2.1 * across), 2.4 * down + 0.3 + 0.2 * legend_rows)
    grid = np.ravel(figure.subplots(down, across, squeeze=False, sharey=True))
    for name, axes in zip(shown, grid, strict=False):
        _panel(axes, rows[rows["panel"] == name], key, {name: styles[name] for name in present})
        axes.set_title(drawing.shown(name), loc="left")
    for axes in grid[len(shown) :]:
        axes.remove()
    for axes in grid[: len(shown)]:
        axes.set_xlabel(drawing.shown(key))
    for axes in grid[: len(shown) : across]:
        axes.set_ylabel(drawing.shown(metric))
    marks = {drawing.shown(name): Line2D([], [], **({"lw": 1.3} | styles[name])) for name in present}
    if rows["shuffled"].notna().any():
        marks["shuffled labels"] = Patch(color=FAINT, alpha=0.3, lw=0)
    layout = {"loc": "outside lower center", "ncols": min(4, len(marks)), "fontsize": 8, "handletextpad": 0.4}
    figure.legend(list(marks.values()), list(marks), **layout)
    return figure


def _panel(axes, rows: pd.DataFrame, key: str, styles: dict[str, dict]) -> None:
    from matplotlib.ticker import NullFormatter, NullLocator

    for index, (name, style) in enumerate(styles.items()):
        line = rows[rows["name"] == name].sort_values(key)
        places = line[key] * np.exp((index - (len(styles) - 1) / 2) * APART)
        ends = line["low"].notna() & line["high"].notna()
        axes.vlines(places[ends], line.loc[ends, "low"], line.loc[ends, "high"], color=style["color"], lw=0.8, alpha=0.6)
        axes.plot(places, line["value"], **({"lw": 1.3} | style))
    shuffled = rows.groupby(key)["shuffled"].agg(["min", "max"]).dropna()
    if len(shuffled):
        axes.fill_between(shuffled.index, shuffled["min"], shuffled["max"], color=FAINT, alpha=0.3, lw=0)
    ticks = sorted(rows[key].unique())
    if (rows[key] > 0).all():
        axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y")
