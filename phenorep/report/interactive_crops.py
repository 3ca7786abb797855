"""Pictures for the marks of a map: a few samples of each well or treatment, side by side in one picture."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import contracts
from phenorep.errors import UserError
from phenorep.report import colours, tables
from phenorep.store import Samples
from phenorep.treatments import treatments

# Columns that can say which samples a mark stands for; those count that have one value in each row of the map.
IDENTITY = ("Metadata_Treatment", "Metadata_Compound", *contracts.FIELD)
# Pixels of a crop's longer side: it is shown at twice that, where a cell is still told from another.
SIDE = 48
BLOCK = 8  # JPEG works on squares of this side: no crop shares one with its neighbour
QUALITY = 85
# What one map's pictures may take, as text in the page: with them it stays below 5 MB, which a phone can hold.
MOST_BYTES = 4_000_000
MOST_CROPS = 3000
MOST_EACH = 4


@dataclass(frozen=True)
class Crops:
    """Crops in rows of one picture.

    ``source``: the picture as a data address. ``cell``: (height, width) of a place in it, ``shown``: of a crop, which lies
    in its upper left. ``columns``: places in a row. ``owners``: number of each crop's mark, ``where``: what it shows.
    """

    source: str
    cell: tuple[int, int]
    shown: tuple[int, int]
    columns: int
    owners: list[int]
    where: list[str]
    channels: list[str]


def make(metadata: pd.DataFrame, paths: dict[str, str], seed: int = 0) -> Crops | None:
    """Crops of the samples that the rows of a map are made of, drawn with a fixed seed; None where no row has any.

    Parameters
    ----------
    metadata
        (N rows) ``Metadata_*`` of the marks, and ``Sample`` where each is one sample.
    paths
        Tables of the samples by plate.

    Raises
    ------
    UserError
        If the samples cannot be read.
    """
    usable = {plate: path for plate, path in paths.items() if tables.not_run(path) is None}
    each = int(np.clip(MOST_CROPS // max(1, len(metadata)), 1, MOST_EACH))
    chosen = choose(metadata, usable, 1 if "Sample" in metadata else each, seed)
    if not len(chosen):
        return None
    chosen = chosen.sort_values(["turn", "mark"], kind="stable").head(MOST_CROPS).reset_index(drop=True)
    pictures, channels = _pictures(chosen, usable)
    while True:
        made = _sheet(pictures, chosen, channels)
        if len(made.source) <= MOST_BYTES or len(pictures) <= 1:
            return made
        # Marks keep their first crop the longest: the last turns go first.
        count = max(1, int(len(pictures) * min(0.9, MOST_BYTES / len(made.source))))
        pictures, chosen = pictures[:count], chosen.iloc[:count]


def choose(metadata: pd.DataFrame, paths: dict[str, str], each: int, seed: int) -> pd.DataFrame:
    """Which samples stand for which mark: ``mark, turn, plate, row, where``; a plate's table is in memory at a time."""
    names = _names(metadata)
    if not names:
        return pd.DataFrame(columns=["mark", "turn", "plate", "row", "where"])
    marks = {key: number for number, key in reversed(list(enumerate(_keys(metadata, names))))}
    best = pd.DataFrame()
    for number, (plate, path) in enumerate(paths.items()):
        table = _identities(path, names)
        if table.empty:
            continue
        draw = np.random.default_rng([seed, number]).random(len(table))
        owners = pd.Series([marks.get(key, -1) for key in _keys(table, names)])
        found = pd.DataFrame({"mark": owners, "draw": draw, "plate": plate, "row": np.arange(len(table))})
        found["where"] = [f"{well}, site {site}" for well, site in table[list(contracts.FIELD[1:])].to_numpy()]
        best = pd.concat([best, found[found["mark"] >= 0]]).sort_values("draw", kind="stable")
        best = best.groupby("mark", sort=False).head(each)
    if best.empty:
        return pd.DataFrame(columns=["mark", "turn", "plate", "row", "where"])
    best = best.sort_values(["mark", "draw"], kind="stable")
    best = best.assign(turn=best.groupby("mark").cumcount(), where=best["plate"].astype(str) + ", " + best["where"])
    return best[["mark", "turn", "plate", "row", "where"]].reset_index(drop=True)


def _names(metadata: pd.DataFrame) -> list[str]:
    """Columns that samples and marks have in common, and that have one value in each row."""
    if "Sample" in metadata:
        return ["Sample"]
    own = [name for name in IDENTITY if name in metadata]
    own = [name for name in own if not metadata[name].map(lambda value: isinstance(value, list | np.ndarray)).any()]
    if {"Metadata_Plate", "Metadata_Well"} <= set(own):  # what is in a well goes without saying
        return [name for name in own if name in contracts.FIELD]
    return [name for name in own if name != "Metadata_Compound" or "Metadata_Treatment" not in own]


def _identities(path: str, names: list[str]) -> pd.DataFrame:
    """What identifies a plate's samples; no row where it lacks a column."""
    wanted = {*names, *contracts.FIELD}
    if "Metadata_Treatment" in names:
        wanted |= {f"Metadata_{name}" for name in ("Perturbation", "Compound", "Concentration", "Dose")}
    known = contracts.columns_of(path)
    table = contracts.read_table(path, "samples", [name for name in known if name in wanted])
    if "Metadata_Treatment" in names and "Metadata_Treatment" not in table:
        try:
            table["Metadata_Treatment"] = treatments(table)
        except UserError:
            return table.iloc[:0]
    return table if set(names) <= set(table) else table.iloc[:0]


def _keys(table: pd.DataFrame, names: list[str]) -> list[tuple[str, ...]]:
    parts = [table[name].astype(object).where(table[name].notna(), "").astype(str) for name in names]
    return list(zip(*parts, strict=True))


def _pictures(chosen: pd.DataFrame, paths: dict[str, str]) -> tuple[np.ndarray, list[str]]:
    """Crops (n, h, w, 3) of 8 bits, in the colours of their channels, and the channels; one plate is open at a time."""
    found, channels = {}, []
    for plate, rows in chosen.groupby("plate", sort=False):
        path = paths[plate]
        store = Samples.open([path], [str(Path(path).with_suffix(".json"))])
        channels = list(store.channels)
        numbers = rows["row"].to_numpy()
        low, high = colours.bounds(store)
        for index, number in zip(rows.index, numbers, strict=True):
            image = colours.scaled(store.read([number])[0], low, high)  # one by one: samples may be whole fields
            found[index] = picture(image, channels, SIDE)
    return np.stack([found[index] for index in chosen.index]), channels


def picture(image: np.ndarray, channels: list[str], side: int) -> np.ndarray:
    """A sample (C, H, W), from 0 to 1, as (h, w, 3) of 8 bits; its longer side is at most `side`."""
    from PIL import Image

    mixed = Image.fromarray(np.round(255 * colours.mixed(image, channels)).astype(np.uint8))
    scale = min(1, side / max(mixed.size))
    size = tuple(max(1, round(length * scale)) for length in mixed.size)
    return np.asarray(mixed.resize(size, Image.Resampling.BOX))


def _sheet(pictures: np.ndarray, chosen: pd.DataFrame, channels: list[str]) -> Crops:
    height, width = pictures.shape[1:3]
    cell = tuple(-(-side // BLOCK) * BLOCK for side in (height, width))
    columns = max(1, int(np.ceil(np.sqrt(len(pictures) * cell[0] / cell[1]))))
    rows = -(-len(pictures) // columns)
    sheet = np.zeros((rows * cell[0], columns * cell[1], 3), np.uint8)
    for number, one in enumerate(pictures):
        row, column = divmod(number, columns)
        # The edge goes on to the end of the place: a black frame would ring into the crop.
        padded = np.pad(one, [(0, cell[0] - height), (0, cell[1] - width), (0, 0)], mode="edge")
        sheet[row * cell[0] : (row + 1) * cell[0], column * cell[1] : (column + 1) * cell[1]] = padded
    source = f"data:image/jpeg;base64,{base64.b64encode(jpeg(sheet)).decode()}"
    owners = chosen["mark"].astype(int).tolist()
    return Crops(source, cell, (height, width), columns, owners, chosen["where"].tolist(), channels)


def jpeg(pixels: np.ndarray) -> bytes:
    """A picture (h, w, 3) as JPEG: a third of a PNG's size, for images that are noise in part."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=QUALITY, subsampling=0)
    return file.getvalue()
