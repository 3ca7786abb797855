"""Figures made of pixels: what an encoder saw, and what the illumination correction took away."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep.report import drawing, tables
from phenorep.report.drawing import Figure

PLATES_SHOWN = 8
GROUPS_SHOWN = 8
TILES = 3  # samples of a group
TILE_PIXELS = 56
STRETCH = (1.0, 99.7)  # percentiles that become black and white
STRETCH_SAMPLES = 100  # of a plate, to find them
MAP_PIXELS = 48


def evenly(items: list, count: int) -> list:
    """At most `count` items, spread evenly over the list."""
    return [items[int(index)] for index in np.linspace(0, len(items) - 1, min(count, len(items)))] if items else []


def sample_paths(plan: dict, dataset: str, samples: str) -> dict[str, str]:
    """Tables of a sample set by plate: those of the run, or where another run would have left them."""
    own = [e for e in plan["files"].get("samples", []) if (e["dataset"], e["samples"]) == (dataset, samples)]
    plates = plan["datasets"].get(dataset, {}).get("plates", [])
    found = {str(plate): f"results/{dataset}/samples/{samples}/{plate}.parquet" for plate in plates}
    found = {plate: path for plate, path in found.items() if Path(path).is_file()}
    return found | {str(entry["plate"]): entry["path"] for entry in own}


def montage(dataset: str, samples: str, files: list[dict], folder: Path) -> Figure | None:
    """A few random samples of each control and mechanism, channel by channel; None if there is nothing to show."""
    from phenorep.store import Samples

    usable = [entry for entry in files if tables.not_run(entry["path"]) is None]
    usable = evenly([entry for entry in usable if len(tables.read(entry["path"], "samples", ["Sample"]))], PLATES_SHOWN)
    if not usable:
        return None
    paths = [entry["path"] for entry in usable]
    store = Samples.open(paths, [str(Path(path).with_suffix(".json")) for path in paths])
    generator = np.random.default_rng(0)
    groups = sample_groups(store.table)
    chosen = {group: np.sort(generator.choice(rows, min(TILES, len(rows)), replace=False)) for group, rows in groups.items()}
    limits = _limits(store, np.concatenate(list(chosen.values())), generator)
    channels = list(store.channels)
    step = max(1, -(-max(store.size[1:]) // TILE_PIXELS))
    height, width = (-(-side // step) for side in store.size[1:])
    tall, wide = height + 2, width + 2  # two pixels between tiles
    canvas = np.full((len(chosen) * tall, len(channels) * (TILES * wide + 6)), np.nan, dtype=np.float32)
    for row, indices in enumerate(chosen.values()):
        for place, (index, sample) in enumerate(zip(indices, store.read(indices), strict=True)):
            low, high = limits[int(store.plate_index[index])]
            for channel in range(len(channels)):
                tile = (sample[channel].astype(np.float32) - low[channel]) / max(high[channel] - low[channel], 1)
                left = channel * (TILES * wide + 6) + place * wide
                # 64 grey levels look the same and take half the space.
                small = np.round(np.clip(_shrink(tile, step), 0, 1) * 63) / 63
                canvas[row * tall : row * tall + height, left : left + width] = small[:height, :width]
    figure = _montage_drawing(canvas, list(chosen), channels, tall, TILES * wide + 6)
    shown = pd.DataFrame({"group": group, "row": int(index)} for group, indices in chosen.items() for index in indices)
    text = [name for name in store.table if name.startswith("Metadata_") or name == "Sample"]
    data = pd.concat([shown, store.table.iloc[shown["row"]][text].reset_index(drop=True)], axis=1).drop(columns="row")
    scale = f"shrunk {step} times" if step > 1 else "at full size"
    size = " × ".join(str(side) for side in store.size[1:])
    caption = (
        f"{TILES} random samples of {size} pixels per group, drawn with a fixed seed from "
        f"{_plates(len(usable), len(files))}; channels side by side, {scale}. Contrast runs from "
        f"percentile {STRETCH[0]:g} to {STRETCH[1]:g} of a plate's samples: compare brightness within a plate."
    )
    title = f"Samples: {dataset}, {samples}"
    return drawing.save(folder, f"samples_{dataset}_{samples}", title, caption, figure, data, paths)


def sample_groups(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Row numbers by group: controls, then mechanisms (compounds or perturbations where none is known); evenly thinned."""
    empty = pd.Series("", index=table.index)
    control = table.get("Metadata_Control", empty).fillna("").astype(str)
    named = empty
    for column in ("Metadata_MoA", "Metadata_Compound", "Metadata_Perturbation"):
        if column in table:
            named = named.where(named != "", table[column].fillna("").astype(str))
    labels = named.where(control == "", control + " control").to_numpy()
    names = sorted(set(labels) - {""})
    first = [name for name in ("negative control", "positive control") if name in names]
    rest = [name for name in names if name not in first]
    kept = [*first, *evenly(rest, GROUPS_SHOWN - len(first))]
    return {name: np.flatnonzero(labels == name) for name in kept} or {"all": np.arange(len(table))}


def _limits(store, wanted: np.ndarray, generator: np.random.Generator) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Black and white of each channel, by plate."""
    limits = {}
    for plate in np.unique(store.plate_index[wanted]):
        rows = np.flatnonzero(store.plate_index == plate)
        some = np.sort(generator.choice(rows, min(STRETCH_SAMPLES, len(rows)), replace=False))
        low, high = np.percentile(store.read(some), STRETCH, axis=(0, 2, 3))
        limits[int(plate)] = (low, high)
    return limits


def _shrink(image: np.ndarray, step: int) -> np.ndarray:
    """Mean over blocks of `step` pixels; the edge is repeated where the last block is cut."""
    padded = np.pad(image, [(0, -side % step) for side in image.shape], mode="edge")
    height, width = padded.shape
    return padded.reshape(height // step, step, width // step, step).mean(axis=(1, 3))


def _montage_drawing(canvas: np.ndarray, groups: list[str], channels: list[str], tall: int, wide: int):
    width = 6.2
    figure = drawing.canvas(width + 1.4, width * canvas.shape[0] / canvas.shape[1] + 0.4)
    axes = figure.subplots()
    axes.imshow(np.ma.masked_invalid(canvas), cmap="gray", vmin=0, vmax=1, interpolation="none")
    axes.set_yticks([(row + 0.5) * tall for row in range(len(groups))], [drawing.shown(group) for group in groups])
    centres = [(column + 0.5) * wide - 3 for column in range(len(channels))]
    axes.set_xticks(centres, [drawing.shown(channel) for channel in channels])
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def illumination(dataset: str, files: list[dict], folder: Path) -> Figure | None:
    """The illumination function of each plate and channel as a small map, with its range; None if there is none."""
    usable = [entry for entry in files if tables.not_run(entry["path"]) is None]
    loaded, sources = {}, []
    for entry in evenly(usable, PLATES_SHOWN):
        sources.append(entry["path"])
        arrays = tables.arrays(entry["path"])
        loaded[entry["plate"]] = {name: arrays[name] for name in channels_of(arrays)}
    channels = list(dict.fromkeys(name for functions in loaded.values() for name in functions))
    if not channels:
        return None
    highest = max(float(function.max()) for functions in loaded.values() for function in functions.values())
    figure = drawing.canvas(0.9 + 1.5 * len(channels), 0.3 + 1.3 * len(loaded))
    grid = figure.subplots(len(loaded), len(channels), squeeze=False)
    facts = []
    for row, (plate, functions) in enumerate(loaded.items()):
        for column, channel in enumerate(channels):
            axes = grid[row, column]
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            if channel not in functions:
                continue
            function = functions[channel]
            low, high = float(function.min()), float(function.max())
            small = _shrink(function, max(1, -(-max(function.shape) // MAP_PIXELS)))
            axes.imshow(small, cmap="viridis", vmin=1, vmax=max(highest, 1.01), interpolation="none")
            axes.set_xlabel(f"{low:.2f} to {high:.2f}", size=8, labelpad=1)
            facts.append({"plate": plate, "channel": channel, "lowest": low, "highest": high, "shape": f"{function.shape}"})
            if row == 0:
                axes.set_title(drawing.shown(channel))
            if column == 0:
                axes.set_ylabel(drawing.shown(plate), size=8)
    caption = (
        f"What each image was divided by, for {_plates(len(loaded), len(files))}: one function per plate and channel, with "
        f"its lowest and highest value below. All share one colour scale, from 1 (dark blue) to {highest:.2f} (yellow)."
    )
    data = pd.DataFrame(facts)
    title = f"Illumination: {dataset}"
    return drawing.save(folder, f"illumination_{dataset}", title, caption, figure, data, sources)


def channels_of(arrays: dict[str, np.ndarray]) -> list[str]:
    """Channels of illumination functions in their order, which the file's facts tell."""
    names = [name for name, array in arrays.items() if array.ndim == 2]
    order = json.loads(str(arrays["about"])).get("channels", []) if "about" in arrays else []
    return sorted(names, key=lambda name: order.index(name) if name in order else len(order))


def _plates(shown: int, total: int) -> str:
    if shown == total:
        return "the only plate" if total == 1 else f"all {total} plates"
    return f"{shown} of {total} plates, evenly spread"
