"""Figures drawn from tables: scores, confusion, dose, training and cost."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep.report import drawing, tables
from phenorep.report.drawing import FAINT, INK, Figure
from phenorep.report.tables import Measure
from phenorep.report.verdict import Verdict, label, ranked

REPRESENTATIONS_SHOWN = 4
COMPOUNDS_SHOWN = 6
METHODS_SHOWN = 24  # in a figure of scores: more are read in the table
TITLE_SHOWN = 32  # letters of a panel's title in one line


def scores(name: str, measures: list[Measure], folder: Path) -> Iterator[Figure]:
    """One figure per evaluation: each method's score by profile, with intervals and bounds."""
    for evaluation in dict.fromkeys(measure.evaluation for measure in measures):
        panels = [measure for measure in measures if measure.evaluation == evaluation]
        rows = pd.concat([m.rows.assign(metric=m.metric, subset=m.subset, settings=m.settings) for m in panels])
        named = rows.sort_values("control", kind="stable").drop_duplicates("method")
        methods, total = list(named["method"]), len(named)
        if total > METHODS_SHOWN:
            bounds = list(named.loc[named["control"], "method"])[: METHODS_SHOWN // 2]
            methods = [*named.loc[~named["control"], "method"][: METHODS_SHOWN - len(bounds)], *bounds]
        profiles = drawing.colours(sorted(rows["profile"].unique()))
        across = min(3, len(panels))
        down = -(-len(panels) // across)
        height = 0.55 + len(methods) * max(0.3, 0.16 * len(profiles))
        figure = drawing.canvas(max(4.5, 0.8 + 2.4 * across), height * down + 0.35)
        # One list of methods for all panels of a line: names beside each would leave no room for the scores.
        for measure, axes in zip(panels, np.ravel(figure.subplots(down, across, squeeze=False, sharey=True)), strict=False):
            _score_panel(axes, measure, methods, profiles)
        for axes in figure.axes[len(panels) :]:
            axes.remove()
        # What is scored without profiles has none to tell apart.
        names = {profile: "score" if profile == "none" else profile for profile in profiles}
        marks = {names[profile]: _mark(color=colour) for profile, colour in profiles.items()}
        marks |= {
            "control": _mark(color=INK, markerfacecolor="none"),
            "shuffled labels": _mark(color=FAINT, marker="|", ms=9),
        }
        _legend(figure, marks, loc="outside lower center", ncols=min(6, len(marks)))
        caption = (
            "Each method's score by profile: the mean over seeds, with the mean of the seeds' 95 % intervals. Hollow: "
            "control methods. Grey stroke: the same representation with shuffled labels."
            + (
                f" Of {total} methods the {len(methods)} best in the first panel, and controls; the data hold all."
                if len(methods) < total
                else ""
            )
        )
        columns = ["metric", "subset", "settings", "method", "profile", "value", "low", "high", "spread", "seeds", "n"]
        data = rows[[*columns, "leak", "shuffled", "control"]]
        yield drawing.save(folder, f"scores_{name}_{evaluation}", f"Scores: {evaluation}", caption, figure, data)


def _score_panel(axes, measure: Measure, methods: list[str], profiles: dict) -> None:
    step = 0.7 / max(1, len(profiles))
    order = {profile: index - (len(profiles) - 1) / 2 for index, profile in enumerate(profiles)}
    for row in measure.rows[measure.rows["method"].isin(methods)].itertuples():
        place = methods.index(row.method) + order[row.profile] * step
        colour = profiles[row.profile]
        if np.isfinite(row.low) and np.isfinite(row.high):
            axes.plot([row.low, row.high], [place, place], color=colour, lw=1.2, alpha=0.8)
        filled = "none" if row.control else colour
        axes.plot(row.value, place, "o", color=colour, markerfacecolor=filled, ms=5)
        if np.isfinite(row.shuffled):
            axes.plot(row.shuffled, place, "|", color=FAINT, ms=9)
    axes.set_yticks(range(len(methods)), [drawing.shown(method) for method in methods])
    axes.set_ylim(len(methods) - 0.5, -0.5)
    extra = ", ".join(text for text in (measure.subset, measure.settings) if text)
    title = measure.title if len(measure.title) <= TITLE_SHOWN else f"{measure.metric}\n{drawing.shown(extra, 40)}"
    axes.set_title(drawing.shown(title, 80), loc="left", size=9 if title == measure.title else 8)
    axes.grid(axis="x")


def _mark(**style):
    from matplotlib.lines import Line2D

    return Line2D([], [], **({"ls": "none", "marker": "o", "ms": 5} | style))


def _legend(figure, marks: dict, **where) -> None:
    if marks:
        names = [drawing.shown(name or "none given") for name in marks]
        figure.legend(list(marks.values()), names, **({"fontsize": 8, "handletextpad": 0.3, "columnspacing": 1.2} | where))


def epochs(name: str, rows: pd.DataFrame, lengths: dict[str, int], folder: Path) -> Iterator[Figure]:
    """Scores along training, for methods whose encoders were saved on the way.

    Parameters
    ----------
    rows
        Of `tables.summarise`.
    lengths
        Epochs of each method that is trained, as from `epochs.lengths`: where its final encoder stands.
    """
    # A line needs saved epochs: with some profiles only the last one may be scored.
    saved = (rows["epoch"] != "final").groupby([rows[key] for key in ("method", "profile", "evaluation")]).transform("any")
    rows = rows[saved & ((rows["epoch"] != "final") | rows["method"].isin(lengths))]
    ends = rows["method"].map(lambda method: str(lengths.get(method)))
    rows = rows.assign(epoch=rows["epoch"].where(rows["epoch"] != "final", ends).astype(int))
    for (evaluation, metric), part in rows.groupby(["evaluation", "metric"], sort=False):
        lines = part.groupby(["method", "profile", "epoch"], sort=False, as_index=False)["value"].mean()
        figure = drawing.canvas(6.5, 3.2)
        axes = figure.subplots()
        pairs = lines.groupby(["method", "profile"], sort=False)
        palette = drawing.colours(f"{method} × {profile}" for method, profile in pairs.groups)
        for (method, profile), line in pairs:
            line = line.sort_values("epoch")
            axes.plot(line["epoch"], line["value"], "o-", ms=3, lw=1.2, color=palette[f"{method} × {profile}"])
        axes.set(xlabel="epoch", ylabel=drawing.shown(metric))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(axis="y")
        _legend(figure, {pair: _mark(color=colour, ls="-") for pair, colour in palette.items()}, loc="outside right upper")
        caption = (
            "The score of the encoder as it was saved after each epoch: the mean over seeds, and over settings where there "
            "are several. The verdict reads the last epoch only; the best of many epochs is chosen by what it reports."
        )
        yield drawing.save(
            folder, f"epochs_{name}_{evaluation}_{metric}", f"Along training: {metric}", caption, figure, lines
        )


def _parts(plan: dict, study: dict, verdicts: list[Verdict], part: str, count: int) -> Iterator[tuple[dict, pd.DataFrame]]:
    """Rows of a kind from the details of each evaluation: its `count` best representations, one seed each."""
    for evaluation in study["evaluations"]:
        own = [verdict for verdict in verdicts if verdict.measure.evaluation == evaluation]
        entries = tables.entries(plan["files"].get("details", []), study, evaluation=evaluation)
        found = 0
        for method, profile in ranked(own):
            for entry in entries:
                if found < count and entry["method"] == method and entry["profile"] == profile:
                    table = tables.read(entry["path"], "details")
                    if table is not None and "part" in table and (table["part"] == part).any():
                        rows = table[table["part"] == part]
                        found += 1
                        yield entry, rows.dropna(axis="columns", how="all")
                        break


def confusion(name: str, study: dict, plan: dict, verdicts: list[Verdict], folder: Path) -> Iterator[Figure]:
    """Confusion matrices of the best representation of each evaluation that counts truth against prediction."""
    for entry, rows in _parts(plan, study, verdicts, "confusion", count=1):
        evaluation = entry["evaluation"]
        ends = {v.measure.settings for v in verdicts if v.measure.evaluation == evaluation and v.measure.curve}
        rows = rows[rows["settings"].isin(ends)] if ends and "settings" in rows else rows
        keys = [rows[key].fillna("").astype(str) for key in ("metric", "subset", "settings") if key in rows]
        for group, part in rows.groupby(keys) if keys else [((), rows)]:
            part = part.assign(truth=part["truth"].astype(str), predicted=part["predicted"].astype(str))
            counts = part.pivot_table(index="truth", columns="predicted", values="count", aggfunc="sum", fill_value=0)
            names = sorted({*counts.index, *counts.columns})
            counts = counts.reindex(index=names, columns=names, fill_value=0)
            shares = counts.div(counts.sum(axis=1).replace(0, 1), axis=0)
            size = 1.6 + 0.32 * len(names)
            figure = drawing.canvas(size + 1.2, size + 0.6)
            axes = figure.subplots()
            axes.pcolormesh(shares, cmap=_shades(), vmin=0, vmax=1, edgecolors=FAINT, linewidth=0.3)
            for row, column in zip(*np.nonzero(counts.to_numpy()), strict=True):
                colour = "white" if shares.iloc[row, column] > 0.5 else INK
                axes.text(
                    column + 0.5, row + 0.5, f"{counts.iloc[row, column]:g}", ha="center", va="center", color=colour, size=8
                )
            ticks = np.arange(len(names)) + 0.5
            axes.set_xticks(ticks, [drawing.shown(n) for n in names], rotation=45, ha="right")
            axes.set_yticks(ticks, [drawing.shown(n) for n in names])
            axes.set(xlabel="predicted", ylabel="truth", aspect="equal")
            axes.invert_yaxis()
            what = " ".join(text for text in group if text)
            title = f"Confusion: {evaluation} {what}".strip()
            caption = (
                f"{label(entry)}, seed {entry['seed']}: the best in the first measure of this evaluation. "
                "Counts by truth and prediction; colour is the share within a row."
            )
            file = f"confusion_{name}_{evaluation}_{what}"
            yield drawing.save(folder, file, title, caption, figure, part, [entry["path"]])


def _shades():
    """From clear to blue: an empty cell shows the page, light or dark."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    blue = drawing.PALETTE[0]
    return LinearSegmentedColormap.from_list("share", [to_rgba(blue, 0.0), to_rgba(blue, 1.0)])


def doses(name: str, study: dict, plan: dict, verdicts: list[Verdict], folder: Path) -> Iterator[Figure]:
    """Distance from the negative controls against dose, by compound, for the best representations."""
    for entry, rows in _parts(plan, study, verdicts, "curve", count=REPRESENTATIONS_SHOWN):
        rows = rows.assign(dose=rows["dose"].astype(float), compound=rows["compound"].astype(str))
        control = rows.get("control", pd.Series("", index=rows.index)).fillna("").astype(str)
        baseline = rows[control == "negative"]
        treated = rows[(control != "negative") & (rows["dose"] > 0)]
        compounds = sorted(treated["compound"].unique())[:COMPOUNDS_SHOWN]
        if not compounds:
            continue
        across = min(3, len(compounds))
        down = -(-len(compounds) // across)
        figure = drawing.canvas(0.6 + 2.2 * across, 0.7 + 1.9 * down)
        panels = np.ravel(figure.subplots(down, across, squeeze=False, sharey=True))
        ranks = (treated["dose"] % 1 == 0).all() and treated["dose"].max() <= 50
        for compound, axes in zip(compounds, panels, strict=False):
            curve = treated[treated["compound"] == compound].sort_values("dose")
            middle = curve.groupby("dose")["distance"].median()
            axes.plot(middle.index, middle, "-", color=drawing.PALETTE[0], lw=1.4)
            axes.plot(curve["dose"], curve["distance"], "o", color=drawing.PALETTE[0], ms=3, alpha=0.6)
            if len(baseline):
                axes.axhspan(baseline["distance"].min(), baseline["distance"].max(), color=FAINT, alpha=0.25, lw=0)
            axes.set_xscale("linear" if ranks else "log")
            axes.set_title(drawing.shown(compound), loc="left")
        for axes in panels[len(compounds) :]:
            axes.remove()
        figure.supxlabel("dose", size=9)
        figure.supylabel("distance from the negative controls", size=9)
        others = treated["compound"].nunique() - len(compounds)
        caption = (
            f"{entry['method']} × {entry['profile']}, seed {entry['seed']}. Each point is a well: the distance of its "
            "profile from the centre of its plate's negative controls; the line joins the medians. "
            + ("The grey band spans the negative-control wells. " if len(baseline) else "")
            + (f"{others} more compounds are in the data." if others else "")
        )
        title = f"Dose: {entry['method']} × {entry['profile']}"
        file = f"dose_{name}_{entry['method']}_{entry['profile']}"
        yield drawing.save(folder, file, title, caption.strip(), figure, rows, [entry["path"]])


def training(files: list[dict], folder: Path) -> Iterator[Figure]:
    """The loss along training, by method and seed, for each data set and sample set."""
    curves = []
    for entry in files:
        try:
            curve = pd.read_csv(entry["path"])
        except (OSError, ValueError):
            continue  # listed among what is missing
        if len(curve) and {"epoch", "loss"} <= set(curve.columns):
            names = {key: str(entry[key]) for key in ("dataset", "samples", "method", "seed")}
            curves.append(curve.assign(**names, path=entry["path"]))
    if not curves:
        return
    for (dataset, samples), part in pd.concat(curves).groupby(["dataset", "samples"], sort=False):
        methods = list(part["method"].unique())
        across = min(3, len(methods))
        down = -(-len(methods) // across)
        figure = drawing.canvas(max(3.2, 0.5 + 2.3 * across), 0.5 + 1.8 * down)
        panels = np.ravel(figure.subplots(down, across, squeeze=False))
        for method, axes in zip(methods, panels, strict=False):
            for index, (_, line) in enumerate(part[part["method"] == method].groupby("seed")):
                colour = drawing.PALETTE[index % len(drawing.PALETTE)]
                axes.plot(line["epoch"], line["loss"], "o-", ms=2.5, lw=1.2, color=colour)
            axes.set_title(drawing.shown(method), loc="left")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(axis="y")
        for axes in panels[len(methods) :]:
            axes.remove()
        figure.supxlabel("epoch", size=9)
        figure.supylabel("training loss", size=9)
        caption = "The mean loss of each epoch, one line per seed. Losses of different methods are not comparable."
        title = f"Training: {dataset}, {samples}"
        data, sources = part.drop(columns="path"), part["path"]
        yield drawing.save(folder, f"training_{dataset}_{samples}", title, caption, figure, data, sources)


def costs(table: pd.DataFrame, folder: Path) -> Iterator[Figure]:
    """Seconds by rule, split by method."""
    if not len(table) or not {"rule", "seconds"} <= set(table.columns):
        return
    methods = table.get("method", pd.Series("", index=table.index)).fillna("").astype(str)
    totals = table.assign(method=methods).pivot_table(
        index="rule", columns="method", values="seconds", aggfunc="sum", sort=False
    )
    totals = totals.fillna(0)
    palette = drawing.colours(totals.columns)
    figure = drawing.canvas(6.8, 0.9 + 0.3 * len(totals))
    axes = figure.subplots()
    left = np.zeros(len(totals))
    for method in totals.columns:
        axes.barh(range(len(totals)), totals[method], left=left, color=palette[method], height=0.65)
        left += totals[method].to_numpy()
    axes.set_yticks(range(len(totals)), [drawing.shown(rule) for rule in totals.index])
    axes.set_ylim(len(totals) - 0.5, -0.5)
    axes.set_xlabel("seconds, all jobs together")
    axes.grid(axis="x")
    marks = {method or "shared by all": _mark(color=colour, marker="s") for method, colour in palette.items()}
    _legend(figure, marks, loc="outside right upper")
    caption = (
        "Wall-clock seconds of all jobs of each rule, as Snakemake's benchmarks have them, by method; jobs that ran side "
        "by side are added up. Times depend on the machine and on what else ran on it."
    )
    yield drawing.save(folder, "costs", "Cost", caption, figure, table)
