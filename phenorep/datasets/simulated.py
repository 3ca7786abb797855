"""A simulated screen of cells with DNA, actin and tubulin stains, drawn from a seed: the demonstration and the tests.

Its truth is known (nuclei, illumination, artefacts, mechanisms), its difficulty is a matter of configuration. It is laid out
like BBBC021 [0]: every compound is tested in one batch, on all plates of that batch, at several concentrations; the
compounds of one mechanism are spread over two batches. What a mechanism does to cells follows the textbook; that a method
does well here says nothing about how it does on real cells.

[0] Caie et al. 2010, High-content phenotypic profiling of drug response signatures across distinct cancer cells, Molecular
    Cancer Therapeutics 9(6), doi:10.1158/1535-7163.MCT-09-1148
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from phenorep.errors import UserError
from phenorep.extents import Extent
from phenorep.simulation import layout
from phenorep.simulation.phenotypes import MECHANISMS


@dataclass(frozen=True)
class Config:
    """What the simulated screen consists of, and how hard it is."""

    batches: int = 3  # weeks; a mechanism needs two
    plates_per_batch: int = 2  # replicates of every treatment of a batch
    mechanisms: int = 8  # the first so many of those that are known (10); fewer are easier to tell apart
    compounds_per_mechanism: int = 3  # more give firmer scores, and larger plates
    concentrations: tuple[float, ...] = (1.0, 10.0)  # micromolar; effects rise with it, from half at the lowest
    wells_per_treatment: int = 2  # replicates of a treatment on each plate of its batch
    negative_wells: int = 6  # wells with DMSO on each plate
    positive_wells: int = 2  # wells with the reference compound on each plate
    sites: int = 3  # fields of view in a well
    size: int = 320  # pixels along each side of a field; 0.65 micrometres each
    cells: float = 26.0  # mean number of cells in an untreated field; scale it with the area of the field
    effect: float = 1.0  # scale of all effects of compounds; lower is harder
    cell_variety: float = 1.0  # spread between cells of one treatment; higher is harder
    batch_effect: float = 1.0  # scale of all differences between batches, plates and wells; higher is harder
    artefact_share: float = 0.06  # share of fields that are out of focus, saturated, dirty, glowing, noisy or empty
    seed: int = 0  # another seed is another screen: other compounds, plates and cells

    def __post_init__(self) -> None:
        """Check ranges."""
        _at_least(2, self, "batches", "compounds_per_mechanism")
        _at_least(1, self, "plates_per_batch", "wells_per_treatment", "sites")
        _at_least(0, self, "negative_wells", "positive_wells", "effect", "cell_variety", "batch_effect", "seed")
        _at_least(64, self, "size")
        if not 2 <= self.mechanisms <= len(MECHANISMS):
            raise ValueError(f"mechanisms must lie between 2 and {len(MECHANISMS)}, not {self.mechanisms}")
        if not self.cells > 0:
            raise ValueError(f"cells must be above 0, not {self.cells}")
        if not 0 <= self.artefact_share <= 1:
            raise ValueError(f"artefact_share must lie between 0 and 1, not {self.artefact_share}")
        if (
            not self.concentrations
            or min(self.concentrations) <= 0
            or len(set(self.concentrations)) < len(self.concentrations)
        ):
            raise ValueError(f"concentrations must be different numbers above 0, not {list(self.concentrations)}")
        if layout.largest_plate(self) > 384:
            raise ValueError(
                f"wells_per_treatment must be lower: a plate would need {layout.largest_plate(self)} wells, the largest has "
                "384; or raise batches, or lower compounds_per_mechanism"
            )


def _at_least(lowest: float, config: Config, *keys: str) -> None:
    for key in keys:
        if not getattr(config, key) >= lowest:
            raise ValueError(f"{key} must be at least {lowest}, not {getattr(config, key)}")


def about(config: Config) -> dict:  # noqa: ARG001 (every dataset's function of this name takes its configuration)
    """Facts about the images."""
    return {
        "channels": list(layout.CHANNELS),
        "pixel_size_um": 0.65,
        "intensity_max": 4095,
        "citation": "drawn by phenorep",
        "licence": "MIT",
        "simulated": True,
    }


def plates(config: Config) -> list[str]:
    """Names of the plates."""
    return layout.plates(config)


def extent(config: Config) -> Extent:
    """How much there is: wells as laid out, images as drawn (uncompressed, with headers of 208 bytes)."""
    fields = sum(len(layout.wells(config, plate)) for plate in plates(config)) * config.sites
    drawn = fields * len(layout.CHANNELS) * (2 * config.size**2 + 208)
    basis = {"cells": "key 'cells', of untreated fields"}
    return Extent(fields, (config.size, config.size), 2, config.cells, unpacked=drawn, basis=basis)


def archives(config: Config, plate: str | None = None) -> list[str]:
    """Drawing jobs: one per plate, of the plate's name."""
    return layout.plates(config) if plate is None else [plate]


def download(config: Config, archive: str, target: Path) -> None:
    """Draw a plate into the folder `target`: images, and the truth in ``truth/`` (see `phenorep.simulation.screen`)."""
    from phenorep.simulation import screen

    screen.draw_plate(config, archive, Path(target))


def sources(config: Config) -> list[str]:  # noqa: ARG001
    """No table is read where it lies."""
    return []


def fields(config: Config, plate: str, resources: Path) -> pd.DataFrame:
    """One row per field of view of a plate.

    Returns
    -------
    DataFrame
        Metadata_Plate, Metadata_Well, Metadata_Site, Metadata_Batch, Metadata_Compound, Metadata_Concentration,
        Metadata_MoA, Metadata_Control; FileName_ and PathName_ of each channel; Label_Artefact (empty: none),
        Label_Quality (normal, abnormal), Label_Count (nuclei).

    Raises
    ------
    UserError
        If the plate was not drawn, or with another layout.
    """
    folder = Path(resources) / plate
    path = folder / "truth" / "fields.csv"
    wells = layout.wells(config, plate)
    sites = pd.DataFrame({"Metadata_Site": [str(site) for site in range(1, config.sites + 1)]})
    table = wells.merge(sites, how="cross")
    key = ["Metadata_Well", "Metadata_Site"]
    if not path.is_file():
        raise UserError(f"{path} is missing: the plate was not drawn, or not to its end. Remove {folder} and run again.")
    truth = pd.read_csv(path, dtype=dict.fromkeys([*key, "Label_Artefact", "Label_Quality"], str), keep_default_na=False)
    if len(truth) != len(table) or set(map(tuple, truth[key].to_numpy())) != set(map(tuple, table[key].to_numpy())):
        raise UserError(
            f"{path} lists {len(truth)} fields, the configuration of the dataset gives {len(table)}, or others: the "
            f"images were drawn with another configuration. Remove {folder} and run again."
        )
    for channel, name in enumerate(layout.CHANNELS):
        table[f"FileName_{name}"] = [
            layout.file_name(plate, well, site, channel) for well, site in zip(*(table[k] for k in key), strict=True)
        ]
        table[f"PathName_{name}"] = str(folder)
    order = ["Metadata_Plate", "Metadata_Well", "Metadata_Site"]
    table = table[[*order, *(name for name in table if name not in order)]]
    return table.merge(truth, on=key, how="left", validate="one_to_one")
