"""Figures of abnormal images: where on the plates they are, what they look like, and whether their probabilities hold."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import statistics
from phenorep.errors import UserError
from phenorep.layouts import well_place
from phenorep.report import abnormality, colours, drawing, images, tables
from phenorep.report.abnormality import GALLERY, Found
from phenorep.report.drawing import FAINT, Figure

ACROSS = 3  # plates in a row
WELL_PIXELS = 12  # of a well's picture, at least; its sites share it
WELL_GAP = 2
TILES = 8  # images of the gallery in a row
TILE_PIXELS = 56
TILE_INCHES, GAP_INCHES = 0.84, 0.05
TEXT_INCHES = 0.36  # under each image
HEAD_INCHES = 0.26  # over each group
STEPS = 31  # of a colour: more look the same and take more space
# From normal to abnormal: both ends are seen on a light and on a dark page.
RAMP = ("#5b83bd", "#b0578d", "#ff9a1f")


def draw(found: Found, plan: dict, folder: Path) -> Iterator[Figure]:
    """The figures of one file of abnormalities."""
    yield plate_maps(found, folder)
    yield trust(found, folder)
    yield gallery(found, plan, folder)


def plate_maps(found: Found, folder: Path) -> Figure:
    """Wells as a grid, sites within a well, in the colour of their mean probability; the worst plates."""
    plates = found.plates().head(abnormality.PLATES_SHOWN)
    fields = found.fields.rename(columns=lambda name: name.removeprefix("Metadata_").lower())
    sites = _in_order(fields["site"].unique())
    across = int(np.ceil(np.sqrt(len(sites))))
    sides = -(-len(sites) // across), across
    shown = fields[fields["plate"].isin(plates["plate"])]
    places = _well_places(list(shown["well"].unique()))
    rows, columns = (sorted({place[axis] for place in places.values()}) for axis in (0, 1))
    rows, columns = range(rows[0], rows[-1] + 1), range(columns[0], columns[-1] + 1)
    named = all(well_place(well) is not None for well in places)
    across = min(ACROSS, len(plates))
    down = -(-len(plates) // across)
    width = float(np.clip(0.5 + 0.22 * len(columns), 1.7, 2.5))
    height = 0.5 + min(width - 0.3, 0.3 * len(columns)) * len(rows) / len(columns)
    figure = drawing.canvas(width * across, height * down)
    grid = np.ravel(figure.subplots(down, across, squeeze=False))
    for plate, axes in zip(plates.itertuples(), grid, strict=False):
        own = shown[shown["plate"] == plate.plate]
        axes.imshow(_plate(own, places, sites, sides, rows, columns), interpolation="none", aspect="equal")
        _plate_axes(axes, rows, columns, named)
        axes.set_title(f"{drawing.shown(plate.plate, 16)}: {plate.mean:.3f}", loc="left", size=8)
    for axes in grid[len(plates) :]:
        axes.remove()
    total = fields["plate"].nunique()
    which = (
        f"the {len(plates)} of {total} plates with the highest mean" if total > len(plates) else "all plates, worst first"
    )
    caption = (
        f"Mean probability of being abnormal of the images of each field, from 0 (blue) to 1 (orange): {which}, each "
        "named with its mean over images. A square is a well"
        + (f", its parts are its sites in reading order ({', '.join(sites[:9])})" if len(sites) > 1 else "")
        + ". What is left open has no images."
        + ("" if named else " The names of wells tell no place: they stand in the order of their names.")
    )
    name = f"artefacts_{found.name}"
    return drawing.save(folder, name, f"Where abnormal images lie: {found.title}", caption, figure, fields)


def _in_order(names: np.ndarray) -> list[str]:
    """Sites as people count them: 2 before 10."""
    return sorted(names, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))


def _well_places(wells: list[str]) -> dict[str, tuple[int, int]]:
    """Row and column of each well; by the order of the names where one of them tells none."""
    places = {well: well_place(well) for well in wells}
    if all(place is not None for place in places.values()):
        return places
    side = int(np.ceil(np.sqrt(len(wells))))
    return {well: divmod(number, side) for number, well in enumerate(sorted(wells))}


def _plate(fields: pd.DataFrame, places: dict, sites: list[str], sides: tuple[int, int], rows: range, columns: range):
    """A plate as colours (H, W, 4); clear where there is nothing."""
    from matplotlib.colors import LinearSegmentedColormap

    tall, wide = (max(1, WELL_PIXELS // side) for side in sides)
    down, across = tall * sides[0] + WELL_GAP, wide * sides[1] + WELL_GAP
    values = np.full((len(rows) * down - WELL_GAP, len(columns) * across - WELL_GAP), np.nan)
    order = {site: divmod(number, sides[1]) for number, site in enumerate(sites)}
    for well, site, mean in fields[["well", "site", "mean"]].itertuples(index=False):
        (row, column), (lower, right) = places[well], order[site]
        top = (row - rows[0]) * down + lower * tall
        left = (column - columns[0]) * across + right * wide
        values[top : top + tall, left : left + wide] = mean
    steps = np.round(np.clip(np.nan_to_num(values), 0, 1) * STEPS) / STEPS
    colours = LinearSegmentedColormap.from_list("abnormal", RAMP)(steps)
    colours[np.isnan(values)] = 0
    return colours


def _plate_axes(axes, rows: range, columns: range, named: bool) -> None:
    axes.tick_params(length=0, labelsize=7)
    axes.spines[:].set_visible(False)
    if not named:
        axes.set(xticks=[], yticks=[])
        return
    height, width = axes.images[0].get_array().shape[:2]
    for axis, places, size, name in (("y", rows, height, _letters), ("x", columns, width, lambda c: f"{c + 1}")):
        pitch = (size + WELL_GAP) / len(places)
        step = max(1, -(-len(places) // 8))
        ticks = [(index * pitch + (pitch - WELL_GAP) / 2 - 0.5, name(place)) for index, place in enumerate(places)][::step]
        getattr(axes, f"set_{axis}ticks")([at for at, _ in ticks], [text for _, text in ticks])


def _letters(row: int) -> str:
    return (chr(ord("A") + row // 26 - 1) if row >= 26 else "") + chr(ord("A") + row % 26)


def trust(found: Found, folder: Path) -> Figure:
    """Predicted against observed shares out of fold, and how many images have which probability."""
    bins = [row for row in found.about.get("calibration") or [] if row["count"]]
    figure = drawing.canvas(6.6, 2.9)
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color=FAINT, lw=0.8, ls=(0, (3, 2)))
    facts = []
    for row in bins:
        low, high = statistics.wilson(round(row["observed"] * row["count"]), int(row["count"]))
        left.vlines(row["predicted"], low, high, color=drawing.PALETTE[0], lw=1)
        left.plot(row["predicted"], row["observed"], "o", color=drawing.PALETTE[0], ms=4)
        facts.append({"what": "calibration", **row, "observed_low": low, "observed_high": high})
    left.set(xlabel="predicted share abnormal", ylabel="observed share abnormal", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    left.set_title("calibration, out of fold" if bins else "calibration: not known", loc="left")
    left.set_aspect("equal")
    histogram = found.histogram
    right.bar(
        histogram["low"], histogram["samples"], histogram["high"] - histogram["low"], align="edge", color=drawing.PALETTE[0]
    )
    right.set_yscale("log")
    # Powers as plain numbers: formulas are switched off, since names are no formulas.
    right.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    right.yaxis.set_minor_formatter(lambda value, _: "")
    right.set_ylim(0.8, max(10, 2 * histogram["samples"].max()))
    right.set(xlabel="probability of being abnormal", ylabel="images", xlim=(0, 1))
    right.set_title("all images", loc="left")
    for axes in (left, right):
        axes.grid(axis="y")
    caption = (
        "Left: labelled images by the probability that they had while they were held out (whole wells, where there are "
        "enough of them), against the share that is labelled abnormal, with its 95 % interval; on the broken line "
        "probabilities are right for the share of abnormal ones among the labels. "
        "Right: all images by probability, moved to the prevalence; the axis is logarithmic."
    )
    data = pd.concat([pd.DataFrame(facts), histogram.assign(what="histogram")], ignore_index=True)
    return drawing.save(folder, f"calibration_{found.name}", f"Calibration: {found.title}", caption, figure, data)


def gallery(found: Found, plan: dict, folder: Path) -> Figure:
    """The most abnormal images, those between, and the most normal ones."""
    shown, where = found.shown, {key: found.entry[key] for key in ("dataset", "samples")}
    pictures, channels = _pictures(shown, where, plan)
    side = next(iter(pictures.values())).shape[:2]
    scale = side[1] / TILE_INCHES  # pixels per inch
    gap, text, head = (round(inches * scale) for inches in (GAP_INCHES, TEXT_INCHES, HEAD_INCHES))
    pitch, line = side[1] + gap, side[0] + text + gap
    groups = {group: shown[shown["group"] == group] for group in GALLERY}
    groups = {group: part for group, part in groups.items() if len(part)}
    lines = sum(-(-len(part) // TILES) for part in groups.values())
    canvas = np.zeros((lines * line + len(groups) * head, min(TILES, len(shown)) * pitch, 4), dtype=np.float32)
    figure = drawing.canvas(canvas.shape[1] / scale + 0.1, canvas.shape[0] / scale + 0.1)
    axes = figure.subplots()
    top = 0
    for group, part in groups.items():
        axes.text(0, top + head - gap, group, size=9, weight="bold", va="bottom")
        top += head
        for number, row in enumerate(part.itertuples()):
            down, across = divmod(number, TILES)
            y, x = top + down * line, across * pitch
            canvas[y : y + side[0], x : x + side[1]] = np.dstack([pictures[row.Index], np.ones(side)])
            axes.text(x, y + side[0] + gap / 2, _words(row), size=6.5, va="top", linespacing=1.05)
        top += -(-len(part) // TILES) * line
    axes.imshow(canvas, interpolation="none")
    axes.set_axis_off()
    labelled = int((shown["Label_Quality"].fillna("") != "").sum()) if "Label_Quality" in shown else 0
    legend = colours.words(channels)
    caption = (
        "Images with their probability of being abnormal, plate, well and site; at most one of each field in a group. "
        f"Channels: {legend}. Contrast is the same for all images of a plate: from percentile {images.STRETCH[0]:g} to "
        f"{images.STRETCH[1]:g} of a random part of them."
        + (f" {labelled} of the {len(shown)} were labelled, and are marked with *." if labelled else "")
    )
    title = f"What abnormal images look like: {found.title}"
    return drawing.save(folder, f"gallery_{found.name}", title, caption, figure, shown)


def _words(row) -> str:
    labelled = getattr(row, "Label_Quality", "") or ""
    plate = drawing.shown(row.Metadata_Plate, 14)
    return f"{row.abnormality:.3f}{' *' if labelled else ''}\n{plate}\n{row.Metadata_Well}, site {row.Metadata_Site}"


def _pictures(shown: pd.DataFrame, where: dict, plan: dict) -> tuple[dict[int, np.ndarray], list[str]]:
    """Pictures (h, w, 3) of the images, by row of `shown`, and the channels; one plate is open at a time.

    Raises
    ------
    UserError
        If an image is not among the samples: they were made again since.
    """
    from phenorep.store import Samples

    paths = images.sample_paths(plan, **where)
    found, channels = {}, []
    generator = np.random.default_rng(0)
    for plate, rows in shown.groupby("Metadata_Plate"):
        path = paths.get(plate)
        if path is None or tables.not_run(path) is not None:
            raise UserError(f"abnormality: the samples of plate {plate} of {where['dataset']} are missing. Run again.")
        store = Samples.open([path], [str(Path(path).with_suffix(".json"))])
        channels = list(store.channels)
        number = pd.Series(np.arange(len(store)), index=store.table["Sample"].astype(str))
        places = number.reindex(rows["Sample"].astype(str))
        if places.isna().any():
            gone = places.index[places.isna()][0]
            raise UserError(f"abnormality: {gone} is not among the samples of plate {plate}. Remove the file and run again.")
        indices = places.to_numpy(dtype=np.int64)
        low, high = images._limits(store, indices, generator)[0]
        for index, image in zip(rows.index, store.read(indices), strict=True):
            scaled = (image - low[:, None, None]) / np.maximum(high - low, 1)[:, None, None]
            found[index] = _coloured(scaled, channels)
    return found, channels


def _coloured(image: np.ndarray, channels: list[str]) -> np.ndarray:
    """Channels (C, H, W), from 0 to 1, added up in their colours and shrunk: (h, w, 3)."""
    step = max(1, -(-max(image.shape[1:]) // TILE_PIXELS))
    planes = [images._shrink(np.clip(plane, 0, 1).astype(np.float32), step) for plane in image]
    return np.round(colours.mixed(np.stack(planes), channels) * STEPS) / STEPS
