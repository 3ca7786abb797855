"""The figures of one plate's page: what was where, how much of it, how good it was, and what it looks like."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import contracts
from phenorep.errors import NotRun, UserError
from phenorep.quality import choosing
from phenorep.report import colours, images, interactive_crops, plates_wells, tables
from phenorep.report import plates_drawing as draw
from phenorep.report.plates_wells import Plate

MAP_PIXELS = 120  # of an illumination function's longer side
SATURATED = 0.001  # share of saturated pixels that has the brightest colour, at least: a few such pixels are no harm
CROPS = 24  # samples that are shown: two rows on a wide page
CROP_PIXELS, CROP_SIDE = 112, 112  # of a sample's longer side, as it is kept and as it is shown


@dataclass(frozen=True)
class Figure:
    """A figure of a plate: its panels, which flow with the page, and the names of its files."""

    name: str
    title: str
    caption: str
    panels: list[draw.Panel]
    file: str
    data: str


def figures(plate: Plate, folder: Path) -> tuple[list[Figure], list[str]]:
    """The figures of a plate, each written as SVG with its data as CSV, and why others could not be drawn."""
    drawn: list[Figure] = []
    problems: dict[str, None] = {}  # one for several figures is told once
    for step in (_tables, _brightness, _quality, illumination, samples):
        try:
            drawn.extend(step(plate, folder))
        except (UserError, NotRun, OSError) as error:
            problems[str(error)] = None
    return drawn, list(problems)


def _tables(plate: Plate, folder: Path) -> Iterator[Figure]:
    where = draw.layout(list(plate.wells.index))
    place = "" if where.named else " The names of wells tell no place: they stand in the order of their names."
    yield _save(folder, "layout", "What the wells hold", f"As the plate map says.{place}", _contents(plate, where), plate)
    if plate.columns["counts"]:
        yield _save(folder, "counts", "How many samples", _COUNTS, list(_numbers(plate, where, "counts")), plate)
    if len(plate.left_out):
        yield _save(folder, "left_out", "Fields of view left out", _LEFT_OUT, [_left_out(plate, where)], plate)


def _brightness(plate: Plate, folder: Path) -> Iterator[Figure]:
    problem = None
    try:
        intensity_of = plates_wells.measure(plate)
    except (UserError, OSError) as error:
        intensity_of, problem = "", error
    yield from _kind(plate, folder, "intensity", "Brightness", _intensity_words(intensity_of))
    if problem:
        raise problem


def _quality(plate: Plate, folder: Path) -> Iterator[Figure]:
    yield from _kind(plate, folder, "quality", "Quality of the images", _quality_words())
    yield from _kind(plate, folder, "abnormal", "Abnormal images", _ABNORMAL)


def _kind(plate: Plate, folder: Path, kind: str, title: str, caption: str) -> Iterator[Figure]:
    if plate.columns[kind]:
        where = draw.layout(list(plate.wells.index))
        yield _save(folder, kind, title, caption, list(_numbers(plate, where, kind)), plate)


_COUNTS = (
    "Samples of each well, by sample set, and the nuclei that were found in its fields. Colours run over the wells of this "
    "plate; the ends of the scale are their 2nd and 98th percentiles."
)
_LEFT_OUT = (
    "Share of each well's fields of view that were left out, from none (blue) to all (orange): images that cannot be read, "
    "are missing or failed a check. The table names the reasons."
)
_ABNORMAL = "Mean probability of being abnormal of each well's samples, from 0 (blue) to 1 (orange)."


def _intensity_words(intensity_of: str) -> str:
    words = "What changes from the middle to the edge of a plate, or along its rows, is no effect of a compound."
    if intensity_of:
        words += (
            f" Samples: the mean intensity of up to {plates_wells.MEASURED} samples ({intensity_of}) of each well, evenly "
            "over its samples, after illumination correction."
        )
    return f"{words} {plates_wells.QUALITY['Background'].capitalize()}; its mean over the fields of a well."


def _quality_words() -> str:
    focus, saturation = plates_wells.QUALITY["Focus"], plates_wells.QUALITY["Saturation"]
    return f"Means over the fields of each well. {focus.capitalize()}; {saturation}."


def _contents(plate: Plate, where: draw.Layout) -> list[draw.Panel]:
    wells = plate.wells
    control = wells.get("control", pd.Series("", index=wells.index))
    kinds = control.where((control != "") | (wells["treatment"] == ""), "treated")
    panels = [draw.names(where, "control and treatment", kinds, draw.CONTROLS)]
    for name in ("mechanism", "compound", "perturbation", "cell line"):
        if name in wells and wells[name].nunique() > 1 and len(panels) < 3:
            panels.append(draw.names(where, name, wells[name].where(control != "negative", "")))
    for name in ("concentration", "dose"):
        if name in wells and wells[name].nunique() > 1:
            amounts = pd.to_numeric(wells[name], errors="coerce")
            # Doses are multiples of one another: each step of a series gets a step of the scale.
            found = sorted(amounts.dropna().unique())
            steps = draw.colours(np.linspace(0, 1, max(2, len(found))))[: len(found)]
            palette = {f"{amount:g}": colour for amount, colour in zip(found, steps, strict=True)} | {"": draw.FAINT}
            texts = amounts.map(lambda amount: "" if np.isnan(amount) else f"{amount:g}")
            panels.append(draw.names(where, "concentration (µM)" if name == "concentration" else name, texts, palette))
            break
    return panels


def _numbers(plate: Plate, where: draw.Layout, kind: str) -> Iterator[draw.Panel]:
    for column, title in plate.columns[kind].items():
        span = SATURATED if "_Saturation_" in column else 0.0
        yield draw.ramp(where, title, plate.wells[column], (0.0, 1.0) if kind == "abnormal" else None, span=span)


def _left_out(plate: Plate, where: draw.Layout) -> draw.Panel:
    return draw.ramp(where, "share of fields left out", plate.wells["left_out"] / plate.wells["fields"], (0.0, 1.0), 2)


def _save(folder: Path, name: str, title: str, caption: str, panels: list[draw.Panel], plate: Plate) -> Figure:
    columns = list(plate.columns.get(name, ()))
    if name == "layout":
        columns = [column for column in plate.wells if column in (*plates_wells.CONTENT.values(), "treatment")]
    if name == "left_out":
        columns = ["fields", "left_out"]
    return _write(folder, name, title, caption, panels, plate.wells[columns].rename_axis("well").reset_index())


def _write(folder: Path, name: str, title: str, caption: str, panels: list[draw.Panel], data: pd.DataFrame) -> Figure:
    with contracts.replacing(folder / f"{name}.svg") as temporary:
        temporary.write_text(draw.together(panels), encoding="utf-8")
    contracts.write_csv(data, folder / f"{name}.csv")
    return Figure(name, title, caption, panels, f"{name}.svg", f"{name}.csv")


def illumination(plate: Plate, folder: Path) -> Iterator[Figure]:
    """The illumination function of each channel, with its range."""
    if not plate.illumination or tables.not_run(plate.illumination) is not None:
        return
    facts, panels = [], []
    arrays = tables.arrays(plate.illumination)
    about = json.loads(str(arrays["about"])) if "about" in arrays else {}
    for channel in images.channels_of(arrays):
        function = arrays[channel]
        low, high = float(function.min()), float(function.max())
        small = images._shrink(function, max(1, -(-max(function.shape) // MAP_PIXELS)))
        panels.append(draw.picture(channel, small, low, high))
        facts.append({"channel": channel, "lowest": low, "highest": high, "shape": f"{function.shape}"})
    made = ", ".join(f"{key} {value}" for key, value in (about.get("settings") or {}).items() if value is not None)
    caption = (
        "What the plate's images were divided by, channel by channel; each has a scale of its own, from its lowest (dark) "
        "to its highest value (yellow)."
        + (f" Made by {about['engine']}" if about.get("engine") else "")
        + (f" ({made})." if made and about.get("engine") else "." if about.get("engine") else "")
    )
    yield _write(folder, "illumination", "Illumination functions", caption, panels, pd.DataFrame(facts))


def samples(plate: Plate, folder: Path) -> Iterator[Figure]:
    """Some samples of the plate, evenly over its wells and drawn with a fixed seed."""
    from phenorep.store import Samples

    for name, path in plate.samples.items():
        store = Samples.open([path], [str(Path(path).with_suffix(".json"))])
        if not len(store):
            continue
        rows = np.sort(choosing.spread(store.table, np.ones(len(store), bool), CROPS, 0))
        low, high = colours.bounds(store)
        panels, channels = [], list(store.channels)
        for row in rows:
            image = colours.scaled(store.read([row])[0], low, high)
            pixels = interactive_crops.picture(image, channels, CROP_PIXELS)
            scale = CROP_SIDE / max(pixels.shape[:2])
            well, site = (str(store.table[column].iloc[row]) for column in (plates_wells.WELL, plates_wells.SITE))
            treatment = str(plate.wells["treatment"].get(well, ""))
            size = (pixels.shape[1] * scale, pixels.shape[0] * scale)
            panels.append(draw.crop(interactive_crops.jpeg(pixels), size, [f"{well}, site {site}", treatment]))
        text = [column for column in store.table if column.startswith("Metadata_") or column == "Sample"]
        size = " × ".join(str(side) for side in store.size[1:])
        caption = (
            f"{len(rows)} of {len(store):,} samples ({name}, {size} pixels), evenly over the wells, drawn with a fixed "
            f"seed. {colours.words(channels)}; contrast is the same for all samples of the plate."
        )
        yield _write(folder, "samples", "What the samples look like", caption, panels, store.table.iloc[rows][text])
        return  # one sample set is enough
