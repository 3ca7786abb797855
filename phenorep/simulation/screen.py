"""Draw the plates of a simulated screen, and write the truth beside the images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from phenorep.simulation import cells, fibres, generator, layout, phenotypes
from phenorep.simulation.optics import ARTEFACTS, Optics, expose, optics

if TYPE_CHECKING:
    from phenorep.datasets.simulated import Config


def draw_plate(config: Config, plate: str, target: Path) -> None:
    """Draw all fields of a plate into a folder.

    Images lie in `target`, the truth in ``target/truth``: ``fields.csv`` (Metadata_Well, Metadata_Site, Label_Artefact,
    Label_Quality, Label_Count), ``nuclei.csv`` (Metadata_Well, Metadata_Site, Nucleus, Location_Center_X, Location_Center_Y:
    pixels), ``vignette.npz`` (per channel (H, W) float32, mean 1) and ``masks/{plate}_{well}_s{site}.png`` (uint16: 0
    background, else the number of the nucleus).

    The result depends on the configuration and the name of the plate alone.
    """
    import tifffile
    from PIL import Image

    truth = target / "truth"
    (truth / "masks").mkdir(parents=True, exist_ok=True)
    plate_optics = optics(config, plate)
    fields, centres = [], []
    artefacts = artefacts_of(config, plate)
    for well in layout.wells(config, plate).itertuples():
        for site in map(str, range(1, config.sites + 1)):
            name = well.Metadata_Well
            artefact = artefacts.get((name, site), "")
            images, nuclei = draw_field(config, plate_optics, well, site, artefact)
            for channel, image in enumerate(images):
                tifffile.imwrite(target / layout.file_name(plate, name, site, channel), image, metadata=None)
            Image.fromarray(nuclei.mask).save(truth / "masks" / f"{plate}_{name}_s{site}.png")
            fields.append((name, site, artefact, "abnormal" if artefact else "normal", len(nuclei.centres)))
            centres += [(name, site, number, x, y) for number, (y, x) in enumerate(nuclei.centres, start=1)]
    labels = ["Metadata_Well", "Metadata_Site"]
    table = pd.DataFrame(fields, columns=[*labels, "Label_Artefact", "Label_Quality", "Label_Count"])
    table.to_csv(truth / "fields.csv", index=False, lineterminator="\n")
    table = pd.DataFrame(centres, columns=[*labels, "Nucleus", "Location_Center_X", "Location_Center_Y"])
    table.to_csv(truth / "nuclei.csv", index=False, float_format="%.3f", lineterminator="\n")
    np.savez_compressed(truth / "vignette.npz", **dict(zip(layout.CHANNELS, plate_optics.vignette, strict=True)))


def artefacts_of(config: Config, plate: str) -> dict[tuple[str, str], str]:
    """The fields of a plate that carry an artefact: (well, site) -> artefact; kinds take turns."""
    places = [(w, str(s)) for w in layout.wells(config, plate)["Metadata_Well"] for s in range(1, config.sites + 1)]
    rng = generator(config.seed, "artefacts", plate)
    chosen = rng.permutation(len(places))[: round(config.artefact_share * len(places))]
    first = rng.integers(len(ARTEFACTS))
    return {places[place]: ARTEFACTS[(first + turn) % len(ARTEFACTS)] for turn, place in enumerate(chosen)}


def draw_field(config: Config, plate_optics: Optics, well, site: str, artefact: str) -> tuple[np.ndarray, cells.Nuclei]:
    """Draw one field.

    Parameters
    ----------
    well
        A row of `layout.wells`.

    Returns
    -------
    images
        (C, H, W) uint16.
    nuclei
        The truth: mask and centres of the nuclei.
    """
    plate, name = well.Metadata_Plate, well.Metadata_Well
    rng = generator(config.seed, "field", plate, name, site)
    mean = phenotypes.control()
    mean = mean + phenotypes.drift(config, "batch", well.Metadata_Batch) + phenotypes.drift(config, "plate", plate)
    mean = mean + phenotypes.drift(config, "well", plate, name)
    effect = np.zeros(len(mean))
    if well.Metadata_MoA:
        strength = phenotypes.dose_strength(well.Metadata_Concentration, config.concentrations)
        effect = strength * phenotypes.compound_effect(config, well.Metadata_MoA, well.Metadata_Compound)
    expected = 0.0 if artefact == "empty" else config.cells * phenotypes.of(mean + effect, "density")
    spacing = 0.80 * phenotypes.of(mean + effect, "cell_radius")
    y, x = cells.place(expected, config.size, spacing, rng)
    traits = phenotypes.cells_of(mean, effect, config.cell_variety, len(y), rng)
    population = cells.populate(y, x, traits, rng)
    nuclei = cells.nuclei(population, config.size, rng)
    body = cells.bodies(population, config.size, rng)
    signal = np.stack([nuclei.image, *fibres.stains(population, body, nuclei.image, rng)])
    return expose(signal, plate_optics, artefact, rng), nuclei
