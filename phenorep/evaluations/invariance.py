"""Does an encoder know a cell again when it is turned?

Each of N samples is turned by quarter turns or mirrored (one way drawn for each; a microscope has no up and down). The
metric ``retrieval`` is the share of turned copies whose nearest embedding by cosine, among the N originals, is their own
original; of equal ones the first counts.

[0] Lenc and Vedaldi 2015, Understanding image representations by measuring their equivariance and equivalence,
    arXiv:1411.5908
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from phenorep import statistics
from phenorep.errors import NotRun
from phenorep.evaluations import Inputs, Score, reasons, shuffled
from phenorep.order import by_name

TASK = "know a cell again when it is turned"
NEEDS = ("encoder", "samples")
REQUIRES = ()
LEVEL = None
UNIT = "well"
METRICS = {
    "retrieval": {"range": [0, 1], "better": "higher", "reference": "Lenc and Vedaldi 2015, arXiv:1411.5908"},
}


@dataclass(frozen=True)
class Config:
    """How many samples are turned."""

    samples: int = 500  # more make it harder: each copy is searched among all of them
    batch_size: int = 64  # fewer if the device runs out of memory
    permutations: int = 20  # of copies, for the shuffled control

    def __post_init__(self):
        if self.samples < 2 or self.batch_size < 1 or self.permutations < 1:
            raise ValueError("samples must be 2 or more, batch_size and permutations 1 or more")


def evaluate(config: Config, inputs: Inputs, seed: int) -> tuple[list[Score], pd.DataFrame]:
    """Find turned samples again.

    Returns
    -------
    scores
        ``retrieval`` with an interval over wells (over samples, where these have none); also with copies shuffled.
    details
        Part ``item``: each sample, how it was turned, and value 1 if it was found.

    Raises
    ------
    NotRun
        If there are fewer than two samples, or the encoder was not made.
    """
    rows = inputs.rows(inputs.samples.table)
    if len(rows) < 2:
        raise NotRun(f"invariance needs at least two samples to search among; there are {len(rows)}.")
    generator = np.random.default_rng(seed)
    rows = rows[by_name(inputs.samples.table.iloc[rows])]
    rows = rows[np.sort(generator.permutation(len(rows))[: config.samples])]
    height, width = inputs.samples.size[1:]
    # A quarter turn of an oblong image has another shape.
    ways = [(turns, mirror) for turns in ((0, 1, 2, 3) if height == width else (0, 2)) for mirror in (False, True)][1:]
    drawn = generator.integers(len(ways), size=len(rows))
    originals, copies = _embed(config, inputs, rows, [ways[number] for number in drawn])
    similarity = np.round(_unit(copies) @ _unit(originals).T, 6)
    found = similarity.argmax(axis=1)
    right = found == np.arange(len(rows))
    unit, units = _units(inputs.samples.table.iloc[rows])
    low, high = statistics.share_interval(right, units)
    scores = [Score("retrieval", float(right.mean()), low, high, len(right), unit=unit, units=len(set(units)))]
    draws = [float((found == generator.permutation(len(rows))).mean()) for _ in range(config.permutations)]
    scores += shuffled("retrieval", draws, len(rows))
    items = pd.DataFrame(
        {
            "part": "item",
            "metric": "retrieval",
            "settings": "",
            "item": inputs.samples.table["Sample"].iloc[rows].astype(str).to_numpy(),
            "unit": units,
            "quarter_turns": [ways[number][0] for number in drawn],
            "mirrored": [ways[number][1] for number in drawn],
            "value": right.astype(float),
        }
    )
    return scores, pd.concat([items, reasons([])], ignore_index=True)


def _units(table: pd.DataFrame) -> tuple[str, np.ndarray]:
    """What is independent, and its name for each sample, (N,): cells of one well look alike."""
    if {"Metadata_Plate", "Metadata_Well"} <= set(table.columns):
        return UNIT, (table["Metadata_Plate"].astype(str) + "/" + table["Metadata_Well"].astype(str)).to_numpy()
    return "sample", table["Sample"].astype(str).to_numpy()


def turn(image: np.ndarray, quarter_turns: int, mirror: bool) -> np.ndarray:
    """A (C, H, W) image turned, then mirrored left to right if `mirror`: pixel values stay what they are."""
    turned = np.rot90(image, quarter_turns, axes=(1, 2))
    return turned[:, :, ::-1] if mirror else turned


def _unit(values: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    return np.divide(values, norms, out=np.zeros_like(values), where=norms > 0)


def _embed(config: Config, inputs: Inputs, rows: np.ndarray, ways: list[tuple]) -> tuple[np.ndarray, np.ndarray]:
    import torch

    from phenorep import devices
    from phenorep.encoders import Encoder

    settings = devices.configure(inputs.compute, devices=1)
    device = devices.accelerator(settings)
    encoder = Encoder.load(inputs.encoder, device)
    samples = inputs.samples
    planes = encoder.positions(list(samples.channels), inputs.channels, "samples")
    plates = np.asarray(samples.plate_index)[rows]
    found = {"originals": [], "copies": []}
    for first in range(0, len(rows), config.batch_size):
        part = slice(first, first + config.batch_size)
        images = samples.read(rows[part])[:, planes]
        turned = np.stack([turn(image, *way) for image, way in zip(images, ways[part], strict=True)])
        means, stds = (
            torch.as_tensor(np.asarray(values)[plates[part]][:, planes], dtype=torch.float32, device=device)
            for values in (samples.means, samples.stds)
        )
        for name, batch in (("originals", images), ("copies", turned)):
            batch = torch.from_numpy(np.ascontiguousarray(batch)).to(device)
            with devices.repeatable(settings.threads):
                features = encoder.embed(batch, means, stds, samples.intensity_max)
            found[name].append(features.cpu().numpy().astype(np.float64))
    return np.concatenate(found["originals"]), np.concatenate(found["copies"])
