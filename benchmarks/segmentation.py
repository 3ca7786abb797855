"""How well nuclei are found, by threshold and declumping: what the defaults of ``preprocess: nuclei:`` are chosen by.

``python -m benchmarks.segmentation [--data FOLDER] [--fields 60] [--diameter 10 80] [--contrast 4]`` searches, as the native
engine does

- BBBC039 (real, with masks): F1 of objects at an intersection over union of 0.5 and of 0.7, and its mean over 0.5 to
  0.95 [0]; true nuclei that are missed (no object above 0.5), split (two objects lie in one) or merged (one holds two);
- a screen that phenorep draws (with masks): the same;
- BBBC005 (drawn by others, with numbers of cells): the error of counts at each blur;
- BBBC013 (real, without truth): nuclei of a field, and the share of them that touch the border.

Each once with the nuclei that touch the image's border and once without them; the truth keeps them. Specks of less than 50
pixels in the masks of BBBC039 count for `counts.csv` but not as objects. Intervals are of 95 %, over fields. Prints a table
for each set, and writes them.

[0] Caicedo et al. 2019, Nucleus segmentation across imaging experiments, doi:10.1038/s41592-019-0612-7
"""

import argparse
import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage

from phenorep import contracts, fields, plugins, preprocessing, statistics
from phenorep.datasets import bbbc005, bbbc013, simulated
from phenorep.imaging import agreement, holes, illumination, intensity, readers
from phenorep.imaging.segmentation import find_nuclei

ROOT = Path(__file__).resolve().parent.parent
THRESHOLDS = ("otsu", "minimum_cross_entropy")
# declump and, where another, divide
DECLUMPS = {
    "shape": {"declump": "shape"},
    "intensity": {"declump": "intensity"},
    "shape, divide intensity": {"declump": "shape", "divide": "intensity"},
    "intensity, divide shape": {"declump": "intensity", "divide": "shape"},
    "none": {"declump": "none"},
}
IOUS = np.arange(0.5, 0.96, 0.05)
SPECK = 50  # pixels
SCREEN = {"wells_per_treatment": 1, "sites": 2, "batch_effect": 2, "cell_variety": 1.5}


@dataclass(frozen=True)
class Field:
    """A field to search: its image (H, W) from 0 to 1 and what is true of it."""

    image: np.ndarray
    labels: np.ndarray | None = None  # (H, W): true nuclei
    count: int | None = None
    group: str = "all"  # counts are compared within it


# -- the sets ----------------------------------------------------------------------------------------------------------


def of_bbbc039(data: Path, folder: Path, limit: int) -> Iterator[Field]:  # noqa: ARG001
    """Fields of many plates and places: their light is left as it is."""
    counts = pd.read_csv(data / "bbbc039" / "counts.csv").sort_values("file")[:limit]
    for name, count in counts.itertuples(index=False):
        mask = np.array(Image.open(data / "bbbc039" / "masks" / name.replace(".tif", ".png")))[..., :3]
        raw = readers.read(data / "bbbc039" / "images" / name)
        yield Field(intensity.scaled(raw, np.ones(raw.shape, np.float32)), _objects(mask @ [65536, 256, 1]), count)


def of_bbbc005(data: Path, folder: Path, limit: int) -> Iterator[Field]:
    """Fields of known blur and number of cells."""
    config = plugins.configure(bbbc005.Config, {"path": str(data / "bbbc005" / "images")}, "bbbc005")
    for row, image in _corrected(bbbc005, config, bbbc005.PLATE, folder, limit):
        yield Field(image, count=row["Label_Count"], group=f"blur {row['Label_Blur']:2d}")


def of_bbbc013(data: Path, folder: Path, limit: int) -> Iterator[Field]:
    """Fields of which nothing is known."""
    config = plugins.configure(bbbc013.Config, {"path": str(data / "bbbc013")}, "bbbc013")
    for _, image in _corrected(bbbc013, config, bbbc013.PLATE, folder, limit):
        yield Field(image)


def of_simulated(data: Path, folder: Path, limit: int) -> Iterator[Field]:  # noqa: ARG001
    """Fields without artefacts of a screen as the demonstration has it."""
    config = plugins.configure(simulated.Config, SCREEN, "simulated")
    plate = simulated.plates(config)[0]
    simulated.download(config, plate, folder / plate)
    for row, image in _corrected(simulated, config, plate, folder, limit):
        if row["Label_Artefact"] == "":
            name = f"{plate}_{row['Metadata_Well']}_s{row['Metadata_Site']}.png"
            labels = np.array(Image.open(folder / plate / "truth" / "masks" / name)).astype(np.int64)
            yield Field(image, labels, int(np.count_nonzero(np.bincount(labels.ravel())[1:])))


SETS = {"bbbc039": of_bbbc039, "simulated": of_simulated, "bbbc005": of_bbbc005, "bbbc013": of_bbbc013}


def _objects(colours: np.ndarray) -> np.ndarray:
    """Connected regions of equal colour as labels, without specks."""
    labels, last = np.zeros(colours.shape, np.int64), 0
    for colour in np.unique(colours[colours > 0]):
        parts, count = ndimage.label(colours == colour)
        labels += np.where(parts, parts + last, 0)
        last += count
    return np.where(np.bincount(labels.ravel())[labels] >= SPECK, labels, 0)


def _corrected(dataset, config, plate: str, folder: Path, limit: int) -> Iterator[tuple[dict, np.ndarray]]:
    """Rows of a dataset's fields table and their nuclear images, corrected by functions of all its fields."""
    chosen = preprocessing.settings({})
    table = folder / "fields.parquet"
    fields.make(dataset, config, plate, folder, "stop", table)
    illumination.make(table, preprocessing.stage(chosen, "illumination"), 1, folder / "functions.npz")
    channel = chosen.nuclei_settings.nuclear(contracts.channels_of(contracts.columns_of(table)))
    function = illumination.load(folder / "functions.npz", [channel])[0]
    rows = contracts.read_table(table, "fields").to_dict("records")
    for row in rows[:: max(1, len(rows) // limit)][:limit]:
        yield row, intensity.scaled(readers.read_field(row, [channel])[0], function)


# -- what is measured --------------------------------------------------------------------------------------------------


def without_border(labels: np.ndarray) -> np.ndarray:
    """Labels without those at the image's border."""
    return np.where(np.isin(labels, holes.at_border(labels)), 0, labels)


def divided(labels: np.ndarray, truth: np.ndarray) -> tuple[int, int]:
    """True nuclei in which two or more objects lie, and those that share an object that holds two or more of them.

    An object lies in a nucleus with more than half of its area, and holds a nucleus with more than half of the nucleus's.
    """
    together = np.zeros((labels.max() + 1, truth.max() + 1), np.int64)
    np.add.at(together, (labels.ravel(), truth.ravel()), 1)
    areas, true_areas = together.sum(1)[1:, None], together.sum(0)[None, 1:]
    inside, held = 2 * together[1:, 1:] > np.maximum(areas, 1), 2 * together[1:, 1:] > np.maximum(true_areas, 1)
    holding = held.sum(1)
    return int((inside.sum(0) > 1).sum()), int(holding[holding > 1].sum())


def measure(searched: list[tuple[Field, np.ndarray]]) -> dict[str, float]:
    """Figures of a way to find nuclei, over all fields that it searched."""
    row = {"nuclei": float(np.mean([_number(labels) for _, labels in searched]))}
    touching = sum(int(np.count_nonzero(holes.at_border(labels))) for _, labels in searched)
    row["at border"] = touching / max(row["nuclei"] * len(searched), 1)
    masked = [(field.labels, labels) for field, labels in searched if field.labels is not None]
    if masked:
        matches = [agreement.Matches.of(*pair) for pair in masked]
        true = sum(match.counts[0] for match in matches)
        parts = np.sum([divided(labels, truth) for truth, labels in masked], axis=0)
        row |= {f"F1 {iou}": agreement.f1(matches, iou) for iou in (0.5, 0.7)}
        # Fields are independent, nuclei of a field are not.
        without = [agreement.f1(matches[:place] + matches[place + 1 :], 0.7) for place in range(len(matches))]
        low, high = statistics.jackknife_interval(row["F1 0.7"], np.array(without), len(matches))
        row |= {"F1 0.7 low": low, "F1 0.7 high": high}
        row |= {"F1 mean": np.mean([agreement.f1(matches, iou) for iou in IOUS])}
        row["missed"] = 1 - sum(int(match.matched(0.5).sum()) for match in matches) / true
        row |= {"split": parts[0] / true, "merged": parts[1] / true}
    groups: dict[str, list[tuple[int, int]]] = {}
    for field, labels in searched:
        if field.count is not None:
            groups.setdefault(field.group, []).append((_number(labels), field.count))
    for group, pairs in sorted(groups.items()):
        counted, true = np.transpose(pairs)
        low, high = statistics.mean_interval(np.abs(counted - true).astype(float))
        row |= {f"error, {group}": np.abs(counted - true).mean(), f"error low, {group}": max(low, 0.0)}
        row |= {f"error high, {group}": high, f"bias, {group}": (counted - true).mean()}
    return row


def _number(labels: np.ndarray) -> int:
    return int(np.count_nonzero(np.bincount(labels.ravel())[1:]))


def compare(searched: list[Field], keys: dict) -> pd.DataFrame:
    """A row for each threshold, declumping and treatment of the border; `keys` are the same for all of them."""
    rows = []
    for threshold, (name, declump) in itertools.product(THRESHOLDS, DECLUMPS.items()):
        chosen = preprocessing.settings(
            {"nuclei": {"border": "keep", "threshold": threshold, **declump, **keys}}
        ).nuclei_settings
        kept = [(field, find_nuclei(field.image, chosen)) for field in searched]
        for border, pairs in (("keep", kept), ("drop", [(field, without_border(labels)) for field, labels in kept])):
            rows.append({"threshold": threshold, "declump": name, "border": border, **measure(pairs)})
    return pd.DataFrame(rows)


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of the image sets")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--fields", type=int, default=60, help="at most so many of each set")
    parser.add_argument("--diameter", type=int, nargs=2, help="smallest and largest in pixels; default: the configuration's")
    parser.add_argument("--contrast", type=float, help="minimum_contrast; default: the configuration's")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "output")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    given = {"diameter": arguments.diameter, "minimum_contrast": arguments.contrast}
    keys = {key: value for key, value in given.items() if value is not None}
    for name in arguments.sets:
        with tempfile.TemporaryDirectory() as folder:
            searched = list(SETS[name](arguments.data, Path(folder), arguments.fields))
        table = compare(searched, keys)
        print(f"{name}: {len(searched)} fields\n{table.round(3).to_string(index=False)}\n", flush=True)
        table.to_csv(arguments.output / f"segmentation_{name}.csv", index=False)


if __name__ == "__main__":
    main()
