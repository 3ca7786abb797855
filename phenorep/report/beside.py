"""Figures of published values beside measured ones."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep.report import drawing
from phenorep.report.drawing import FAINT, INK, Figure
from phenorep.report.published import Beside, place_of

ACROSS = 3  # panels in a row
BLUE = drawing.PALETTE[0]


def draw(name: str, beside: Beside, folder: Path) -> Iterator[Figure]:
    """Published and measured values: one panel per metric, or a figure per metric with a panel for each table's settings."""
    if beside.groups:
        yield from _by_settings(name, beside, folder)
        return
    rows = [*beside.rows, *beside.others]
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    places = {key: place for place, key in enumerate(dict.fromkeys(map(place_of, rows)))}
    figure = drawing.canvas(3.0 + 2.6 * len(metrics), 0.9 + 0.24 * len(places))
    panels = np.ravel(figure.subplots(1, len(metrics), squeeze=False, sharey=True))
    for axes, metric in zip(panels, metrics, strict=True):
        for row in rows:
            if row["metric"] == metric:
                place = places[place_of(row)]
                kind = "final" if row["same"] is None else "same"
                dot(axes, place - 0.15, row["value"], row["low"], row["high"], INK, "none")
                ends = row[f"{kind}_low"], row[f"{kind}_high"]
                dot(axes, place + 0.15, row[kind], *ends, BLUE, "none" if row["control"] else BLUE)
        axes.set_title(drawing.shown(metric), loc="left")
        axes.grid(axis="x")
    if beside.others:
        for axes in panels:
            axes.axhline(len(places) - len(set(map(place_of, beside.others))) - 0.5, color=FAINT, lw=0.8)
    panels[0].set_yticks(range(len(places)), list(places))
    panels[0].set_ylim(len(places) - 0.5, -0.5)
    _legend(figure)
    caption = (
        "Published values (hollow) and measured ones (blue; controls hollow), with 95 % intervals; those of published "
        "values are computed here. Where the paper gives the best epoch or a mean over epochs, and epochs were saved, the "
        "measured value is of that kind (of a mean the line is the range over epochs); else it is that of the last epoch. "
        "Below the line: measured, not in the paper."
    )
    data = pd.DataFrame(rows)
    yield drawing.save(folder, f"published_{name}", "Measured beside published", caption, figure, data)


def _by_settings(name: str, beside: Beside, folder: Path) -> Iterator[Figure]:
    groups = [group for group in beside.groups if group["measured"]]
    for metric in dict.fromkeys(metric for group in groups for metric in group["metrics"]):
        shown = [(group["title"], [line for line in group["lines"] if metric in line["cells"]]) for group in groups]
        shown = [(title, lines) for title, lines in shown if lines]
        across = min(ACROSS, len(shown))
        down = -(-len(shown) // across)
        names = dict.fromkeys(line["name"] for _, lines in shown for line in lines)
        places = {text: place for place, text in enumerate(names)}
        figure = drawing.canvas(2.2 + 2.2 * across, down * (0.6 + 0.22 * len(places)) + 0.4)
        grid = np.ravel(figure.subplots(down, across, squeeze=False, sharey=True, sharex=True))
        for (title, lines), axes in zip(shown, grid, strict=False):
            for line in lines:
                row, place = line["cells"][metric], places[line["name"]]
                dot(axes, place - 0.15, row["value"], row["low"], row["high"], INK, "none")
                ends = row["final_low"], row["final_high"]
                dot(axes, place + 0.15, row["final"], *ends, BLUE, "none" if row["control"] else BLUE)
            axes.set_title(drawing.shown(title.replace(": ", "\n", 1), 56), loc="left", size=8)
            axes.grid(axis="x")
        for axes in grid[len(shown) :]:
            axes.remove()
        for axes in grid[max(0, len(shown) - across) : len(shown)]:  # those with nothing below
            axes.tick_params(labelbottom=True)
        grid[0].set_yticks(range(len(places)), [drawing.shown(text) for text in places])
        grid[0].set_ylim(len(places) - 0.5, -0.5)
        _legend(figure)
        caption = (
            f"Published {metric} (hollow) and measured {metric} (blue; controls hollow), with 95 % intervals; those of "
            "published values are computed here. Tables of which nothing is measured in this study are left out."
        )
        rows = [line["cells"][metric] | {"group": title} for title, lines in shown for line in lines]
        title = f"Measured beside published: {metric}"
        yield drawing.save(folder, f"published_{name}_{metric}", title, caption, figure, pd.DataFrame(rows))


def _legend(figure) -> None:
    marks = {"published": mark(INK, "none"), "measured": mark(BLUE, BLUE), "measured, control": mark(BLUE, "none")}
    figure.legend(list(marks.values()), list(marks), loc="outside lower center", ncols=3, fontsize=8, handletextpad=0.3)


def dot(axes, place: float, value: float | None, low: float | None, high: float | None, colour: str, face: str) -> None:
    """A value with its interval; nothing where there is none."""
    if value is None or not np.isfinite(value):
        return
    if low is not None and np.isfinite(low) and np.isfinite(high):
        axes.plot([low, high], [place, place], color=colour, lw=1.1, alpha=0.8)
    axes.plot(value, place, "o", color=colour, markerfacecolor=face, ms=4.5)


def mark(colour: str, face: str):
    """A dot for a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], ls="none", marker="o", ms=5, color=colour, markerfacecolor=face)
