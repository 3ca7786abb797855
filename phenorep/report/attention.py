"""Figures of attention: the samples that a transformer was shown, and where its class token looked."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep.errors import UserError
from phenorep.report import drawing, images, tables
from phenorep.report.drawing import Figure
from phenorep.report.verdict import Verdict, ranked
from phenorep.treatments import treatments

METHODS_SHOWN = 4
TILE_PIXELS = 96
GAP = 3  # pixels between tiles
BRIGHTEST = 99.0  # percentile of a map's patches that has the brightest colour
FLATTEST = 2.0  # times even attention: no map's brightest colour is less
LEVELS = 63  # steps of a colour scale: more look the same and take more space
WIDEST, TALLEST = 7.0, 8.5  # inches


def draw(name: str, study: dict, evaluation: str, plan: dict, verdicts: list[Verdict], folder: Path) -> Iterator[Figure]:
    """Maps (part ``attention`` of an evaluation's details) of its best methods that have any, one figure for each subset."""
    best = [method for method, _ in ranked([v for v in verdicts if v.measure.evaluation == evaluation])]
    methods = [*dict.fromkeys(best), *(method for method in study["methods"] if method not in best)]
    drawn = 0
    for method in methods:
        found = _maps(plan["files"].get("details", []), study, evaluation, method)
        if found is None or drawn == METHODS_SHOWN:
            continue
        drawn += 1
        entry, maps = found
        for subset, part in maps.groupby(maps["subset"].fillna("").astype(str) if "subset" in maps else lambda _: ""):
            yield _figure(name, study, plan, entry, part, " ".join(text for text in (method, subset) if text), folder)


def _maps(files: list[dict], study: dict, evaluation: str, method: str) -> tuple[dict, pd.DataFrame] | None:
    """The maps of a method's first seed that has any, with the entry of their file."""
    for entry in tables.entries(files, study, evaluation=evaluation, method=method):
        table = tables.read(entry["path"], "details")
        if table is not None and "part" in table and (table["part"] == "attention").any():
            return entry, table[table["part"] == "attention"].reset_index(drop=True)
    return None


def _figure(name: str, study: dict, plan: dict, entry: dict, maps: pd.DataFrame, what: str, folder: Path) -> Figure:
    samples = [
        e for e in plan["files"].get("samples", []) if all(e.get(key) == study[key] for key in ("dataset", "samples"))
    ]
    maps = maps.assign(together=["\t".join(channels) for channels in maps["channels"]])
    shown = list(maps.groupby(["item", "together"], sort=False))
    pixels = {item: _sample(samples, part["plate"].iloc[0], item) for (item, _), part in shown}
    step = max(1, -(-max(max(image.shape[1:]) for image, _, _ in pixels.values()) // TILE_PIXELS))
    planes = max(len(part["channels"].iloc[0]) for _, part in shown)
    heads = int(maps["head"].max()) + 1
    tiles, labels, facts = [], [], []
    for (item, together), part in shown:
        image, channels, about = pixels[item]
        seen = together.split("\t")
        greys = [_grey(image[channels.index(channel)], step) for channel in seen]
        grids = [_grid(row) for row in part.sort_values("head").itertuples()]
        patch = part[["patch_height", "patch_width"]].iloc[0].to_numpy(dtype=float)
        heat = [_heat(grid, patch / step, greys[0].shape[:2]) for grid in [np.mean(grids, axis=0), *grids]]
        tiles.append([*greys, *[None] * (planes - len(greys)), *heat])
        labels.append(_label(about, seen if planes == 1 else []))
        sides = {"rows": grids[0].shape[0], "columns": grids[0].shape[1], "even": 1 / grids[0].size}
        for head, grid in [("mean", np.mean(grids, axis=0)), *enumerate(grids, start=1)]:
            facts.append({"Sample": item, **about, "channels": " ".join(seen), "head": head, **sides, "highest": grid.max()})
    first = shown[0][1]["channels"].iloc[0]
    names = ["sample"] if planes == 1 else [drawing.shown(channel) for channel in first]
    names += ["mean", *(f"head {head + 1}" for head in range(heads))]
    figure = _draw(tiles, labels, names)
    sides = sorted({(int(row.rows), int(row.columns)) for row in maps.itertuples()})
    grid = ", ".join(f"{down} × {across}" for down, across in sides)
    caption = (
        f"{entry['method']}, seed {entry['seed']}. Where the class token, whose output is the embedding, looks in the last "
        f"layer: the sample{'' if planes == 1 else ' by channel'}, the mean over heads, and each head, in {grid} patches. "
        f"Each map has its own scale, from no attention (dark) to the {BRIGHTEST:g}th percentile of its patches (yellow), "
        f"which is at least {FLATTEST:g} times even attention; each picture has its own contrast. Samples were drawn with a "
        "fixed seed, of different treatments where there are several."
    )
    file = f"attention_{name}_{entry['evaluation']}_{what}"
    return drawing.save(folder, file, f"Attention: {what}", caption, figure, pd.DataFrame(facts), [entry["path"]])


def _sample(files: list[dict], plate: str, item: str) -> tuple[np.ndarray, list[str], dict]:
    """Pixels (C, H, W) of a sample, its channels and metadata.

    Raises
    ------
    UserError
        If the sample is not in the files: they were made again since.
    """
    from phenorep.store import Samples

    for entry in files:
        if str(entry["plate"]) == plate and tables.not_run(entry["path"]) is None:
            store = Samples.open([entry["path"]], [str(Path(entry["path"]).with_suffix(".json"))])
            places = np.flatnonzero(store.table["Sample"].astype(str) == item)
            if len(places):
                row = store.table.iloc[int(places[0])]
                about = {key: row[key] for key in store.table if key.startswith("Metadata_")}
                return store.read(places[:1])[0], list(store.channels), about
    raise UserError(f"attention: the sample {item} of plate {plate} is not among the samples. Run the evaluation again.")


def _grey(image: np.ndarray, step: int) -> np.ndarray:
    """A channel (H, W) as colours (h, w, 3), stretched as the montage of samples is, by its own pixels."""
    low, high = np.percentile(image, images.STRETCH)
    small = images._shrink((image.astype(np.float32) - low) / max(high - low, 1), step)
    return np.repeat(np.round(np.clip(small, 0, 1) * LEVELS)[..., None] / LEVELS, 3, axis=2)


def _grid(row) -> np.ndarray:
    return np.asarray(row.attention, dtype=np.float64).reshape(int(row.rows), int(row.columns))


def _heat(grid: np.ndarray, patch: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map, whose patches have a size in pixels of the picture, as colours (h, w, 3) of the same part of the sample."""
    from matplotlib import colormaps

    # The patch in which each pixel's middle lies; the last patches may reach beyond the sample.
    places = [
        np.minimum(((np.arange(pixels) + 0.5) / length).astype(int), count - 1)
        for pixels, length, count in zip(size, patch, grid.shape, strict=True)
    ]
    # Noise in an even map is not to look like structure.
    values = grid[np.ix_(*places)] / max(np.percentile(grid, BRIGHTEST), FLATTEST * grid.mean())
    return colormaps["viridis"](np.round(np.clip(values, 0, 1) * LEVELS) / LEVELS)[..., :3]


def _label(about: dict, channels: list[str]) -> str:
    """What a row shows: treatment or control, and the channel if each is shown alone."""
    table = pd.DataFrame([about])
    name = treatments(table).iloc[0] if {"Metadata_Perturbation", "Metadata_Compound"} & set(about) else ""
    control = about.get("Metadata_Control") or ""
    name = name or (f"{control} control" if control else about.get("Metadata_Well", ""))
    return "\n".join(drawing.shown(text) for text in [name, *channels])


def _draw(tiles: list[list[np.ndarray | None]], labels: list[str], names: list[str]):
    """All tiles as one picture, with gaps that show the page."""
    height, width = tiles[0][0].shape[:2]
    tall, wide = height + GAP, width + GAP
    canvas = np.zeros((len(tiles) * tall - GAP, len(names) * wide - GAP, 4), dtype=np.float32)
    for row, line in enumerate(tiles):
        for column, tile in enumerate(line):
            if tile is not None:
                place = (slice(row * tall, row * tall + height), slice(column * wide, column * wide + width))
                canvas[place] = np.dstack([tile[:height, :width], np.ones(tile.shape[:2])])
    scale = min(WIDEST / canvas.shape[1], TALLEST / canvas.shape[0], 1 / TILE_PIXELS)
    figure = drawing.canvas(canvas.shape[1] * scale + 1.6, canvas.shape[0] * scale + 0.4)
    figure.get_layout_engine().set(w_pad=0.12)  # the page's letters may be wider than those that were measured here
    axes = figure.subplots()
    axes.imshow(canvas, interpolation="none")
    axes.set_yticks([row * tall + height / 2 for row in range(len(tiles))], labels, size=8)
    axes.set_xticks([column * wide + width / 2 for column in range(len(names))], names, size=8)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure
