"""Who stands in which well: batches, plates, compounds, controls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from phenorep.simulation import generator
from phenorep.simulation.phenotypes import MECHANISMS

if TYPE_CHECKING:
    from phenorep.datasets.simulated import Config

CHANNELS = ("DNA", "Actin", "Tubulin")
REFERENCE = "SIM-REF"  # the positive control: a known compound of the first mechanism, on every plate
# Rows and columns used of a plate format; the outermost wells stay empty as long as the inner ones suffice.
_FORMATS = (("BCDEFG", range(2, 12)), ("ABCDEFGH", range(1, 13)), ("ABCDEFGHIJKLMNOP", range(1, 25)))


@dataclass(frozen=True)
class Compound:
    """A compound of the screen."""

    name: str
    mechanism: str
    batch: str


def batch_of(plate: str) -> str:
    """The batch in which a plate was made."""
    return plate.split("_")[0]


def plates(config: Config) -> list[str]:
    """Names of all plates: ``Week1_22101``."""
    return [
        f"Week{batch + 1}_{22100 + 100 * batch + plate + 1}"
        for batch in range(config.batches)
        for plate in range(config.plates_per_batch)
    ]


def compounds(config: Config) -> list[Compound]:
    """All compounds, each in one batch; those of a mechanism are shared out over two neighbouring batches."""
    number = config.compounds_per_mechanism
    first_half = (number + 1) // 2
    return [
        Compound(
            name=f"SIM-{100 * (m + 1) + k + 1}",
            mechanism=mechanism,
            batch=f"Week{(m + (k >= first_half)) % config.batches + 1}",
        )
        for m, mechanism in enumerate(list(MECHANISMS)[: config.mechanisms])
        for k in range(number)
    ]


def wells(config: Config, plate: str) -> pd.DataFrame:
    """The wells of a plate, in the order of their names.

    Wells are assigned by chance, so that a position says nothing about a treatment.

    Returns
    -------
    DataFrame
        Metadata_Plate, Metadata_Well, Metadata_Batch, Metadata_Compound, Metadata_Concentration (micromolar),
        Metadata_MoA, Metadata_Control.
    """
    batch = batch_of(plate)
    here = [
        (c.name, concentration, c.mechanism, "")
        for c in compounds(config)
        if c.batch == batch
        for concentration in config.concentrations
    ]
    contents = [treatment for treatment in here for _ in range(config.wells_per_treatment)]
    contents += [("DMSO", float("nan"), "", "negative")] * config.negative_wells
    contents += [(REFERENCE, max(config.concentrations), next(iter(MECHANISMS)), "positive")] * config.positive_wells
    places = _places(len(contents))
    order = generator(config.seed, "layout", plate).permutation(len(places))[: len(contents)]
    rows = [(plate, places[place], batch, *content) for place, content in zip(order, contents, strict=True)]
    names = ("Plate", "Well", "Batch", "Compound", "Concentration", "MoA", "Control")
    table = pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in names])
    return table.sort_values("Metadata_Well", ignore_index=True)


def _places(count: int) -> list[str]:
    for rows, columns in _FORMATS:
        if len(rows) * len(columns) >= count:
            return [f"{row}{column:02d}" for row in rows for column in columns]
    raise ValueError(f"a plate needs {count} wells; the largest has 384")


def largest_plate(config: Config) -> int:
    """Wells in use on the fullest plate."""
    batches = [compound.batch for compound in compounds(config)]
    treatments = max(batches.count(name) for name in set(batches)) * len(config.concentrations)
    return treatments * config.wells_per_treatment + config.negative_wells + config.positive_wells


def file_name(plate: str, well: str, site: str, channel: int) -> str:
    """Name of an image, as a microscope with wavelengths w1, w2, ... leaves it."""
    return f"{plate}_{well}_s{site}_w{channel + 1}.tif"
