"""Maps of profiles: what lies beside what, and whether the plate or the batch explains it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import contracts
from phenorep.report import drawing, tables
from phenorep.report.drawing import FAINT, Figure
from phenorep.report.verdict import Verdict, ranked

MAPS_SHOWN = 4
FEWEST_ROWS = 8
MOST_ROWS = 3000
# Beyond this, marks are drawn as one picture inside the figure.
MOST_MARKS = 500
COLUMNS = {"mechanism": ("Metadata_MoA", "Metadata_Compound", "Metadata_Perturbation"), "plate": ("Metadata_Plate",)}
COLUMNS |= {"batch": ("Metadata_Batch",)}
STANDING_IN = {"Metadata_Compound": "compound", "Metadata_Perturbation": "perturbation"}
NAMES_SHOWN = 12
# What a mark stands for, the preferred first; a treatment's profile has no plate of its own to be coloured by.
LEVELS = ("well", "plate", "treatment")


@dataclass(frozen=True)
class Map:
    """What was drawn: whose map it is, and what its marks stand for.

    ``entry``: the wildcards of the file of profiles and its path. ``level``: what a mark is a profile of. ``places`` (N, 2):
    where the marks lie. ``metadata``: their N rows, values as the file has them.
    """

    study: str
    entry: dict
    level: str
    figure: Figure
    places: np.ndarray = field(repr=False)
    metadata: pd.DataFrame = field(repr=False)


def maps(
    name: str, study: dict, plan: dict, verdicts: list[Verdict], folder: Path, kept: list[Map] | None = None
) -> Iterator[Figure]:
    """UMAP of a study's best representations, coloured by mechanism, plate and batch.

    Parameters
    ----------
    kept
        Takes what was drawn, for the maps that answer to the reader (`phenorep.report.interactive`).

    References
    ----------
    McInnes et al. 2018, UMAP: uniform manifold approximation and projection for dimension reduction.
    """
    methods = [method for method, _ in ranked(verdicts)]
    methods += [method for method in study["methods"] if method not in methods]
    shown = 0
    for method in methods:
        if shown == MAPS_SHOWN:
            return
        found = _profiles(study, plan, method)
        if found is None:
            continue
        entry, table, level = found
        features = contracts.feature_columns(table.columns)
        if len(table) < FEWEST_ROWS or not features:
            continue
        shown += 1
        thinned = len(table) > MOST_ROWS
        if thinned:
            table = table.sample(MOST_ROWS, random_state=0).reset_index(drop=True)
        places = umap(table[features].to_numpy(dtype=np.float32))
        groups = {title: _group(table, columns) for title, columns in COLUMNS.items()}
        groups = {title: names for title, names in groups.items() if names is not None}
        metadata = table[[column for column in table if column.startswith("Metadata_")]].map(as_text)
        data = pd.concat([pd.DataFrame(places, columns=["umap_1", "umap_2"]), metadata], axis=1)
        caption = (
            f"{method} × {entry['profile']}, seed {entry['seed']}. Each mark is the profile of a {level}"
            f"{f' ({MOST_ROWS} drawn at random)' if thinned else ''}; UMAP by cosine distance, a fixed random state. Near "
            "marks are alike; distances between far groups and the sizes of groups mean nothing. Grey marks are negative "
            "controls, or have no such name."
        )
        title = f"Map: {method} × {entry['profile']}"
        stem = f"map_{name}_{method}_{entry['profile']}"
        figure = drawing.save(folder, stem, title, caption, _draw(places, groups), data, [entry["path"]])
        if kept is not None:
            own = [column for column in table if column.startswith("Metadata_") or column == "Sample"]
            kept.append(Map(name, entry, level, figure, places, table[own]))
        yield figure


def _profiles(study: dict, plan: dict, method: str) -> tuple[dict, pd.DataFrame, str] | None:
    """The method's profiles of the preferred level, with the entry of their file."""
    best = None
    for entry in tables.entries(plan["files"].get("profiles", []), study, method=method):
        if tables.not_run(entry["path"]) is None:
            level = str(contracts.about(entry["path"]).get("level", ""))
            rank = LEVELS.index(level) if level in LEVELS else len(LEVELS)
            if best is None or rank < best[0]:
                best = (rank, entry, level or "group")
    if best is None:
        return None
    table = tables.read(best[1]["path"], "profiles")
    return None if table is None else (best[1], table.reset_index(drop=True), best[2])


def as_text(value: object) -> str:
    """A cell of metadata as text; the sorted set of values that aggregating left is joined."""
    if isinstance(value, np.ndarray | list | tuple):
        return ", ".join(str(item) for item in value)
    return "" if value is None or value is pd.NA or value != value else str(value)  # NaN differs from itself


def _group(table: pd.DataFrame, columns: tuple[str, ...]) -> pd.Series | None:
    column = next((name for name in columns if name in table), None)
    if column is None:
        return None
    names = table[column].map(as_text)
    if column in COLUMNS["mechanism"] and "Metadata_Control" in table:
        names = names.where(table["Metadata_Control"].map(as_text) != "negative", "")
    return names if names.nunique() > 1 else None


def umap(features: np.ndarray) -> np.ndarray:
    """Places (N, 2) of rows (N, F): near where the rows' directions are alike."""
    from umap import UMAP

    # Started at random: the spectral start fails on few rows, and varies with the machine's linear algebra.
    reducer = UMAP(n_neighbors=min(15, len(features) - 1), metric="cosine", random_state=0, n_jobs=1, init="random")
    return reducer.fit_transform(features)


def _draw(places: np.ndarray, groups: dict[str, pd.Series]):
    panels = groups or {"": pd.Series("", index=range(len(places)))}
    lines = max(min(len(set(names) - {""}), NAMES_SHOWN) / _columns(names) for names in panels.values())
    figure = drawing.canvas(0.4 + 2.9 * len(panels), 3.1 + 0.18 * np.ceil(lines))
    size = float(np.clip(2000 / len(places), 3, 22))
    for (title, names), axes in zip(panels.items(), np.ravel([figure.subplots(1, len(panels))]), strict=True):
        palette = drawing.colours(sorted(set(names)))
        order = np.argsort(names.to_numpy() != "", kind="stable")  # grey below the colours
        colours = [palette[names.iloc[index]] for index in order]
        axes.scatter(*places[order].T, c=colours, s=size, lw=0, alpha=0.8, rasterized=len(places) > MOST_MARKS)
        # Where no mechanism is known, the compounds stand for it, and are called what they are.
        axes.set(xticks=[], yticks=[], title=STANDING_IN.get(names.name, title))
        axes.spines[:].set_visible(True)
        axes.spines[:].set_color(FAINT)
        named = [text for text in palette if text]
        marks = [axes.scatter([], [], color=palette[text], s=16, lw=0) for text in named[:NAMES_SHOWN]]
        labels = [drawing.shown(text) for text in named[:NAMES_SHOWN]]
        if len(named) > NAMES_SHOWN:
            marks, labels = marks[:-1], labels[:-1]
            marks.append(axes.scatter([], [], color="none", s=16))
            labels.append(f"and {len(named) - len(labels)} more")
        if marks:
            place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.02)}
            axes.legend(marks, labels, **place, fontsize=8, ncols=_columns(names), handletextpad=0.2)
    return figure


def _columns(names: pd.Series) -> int:
    """Columns of a legend: a wide one would squeeze its panel."""
    return 2 if names.map(drawing.shown).str.len().max() <= 14 else 1
