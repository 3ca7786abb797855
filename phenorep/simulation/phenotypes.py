"""What a cell looks like, in numbers: the control cell, its variety, and what each mechanism of action changes.

Every parameter lives on a scale on which effects add up: the logarithm of a size or level, the logit of a share. A compound
moves the parameters along the direction of its mechanism, with some deviations of its own; every cell answers more or less.
The directions follow the textbook signs of drugs of these classes in adherent human cells; their sizes are chosen so that
structure tells mechanisms apart better than mean intensity does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phenorep.simulation import generator

if TYPE_CHECKING:
    from phenorep.datasets.simulated import Config

# name: (value of a control cell, scale, spread between cells on that scale)
PARAMETERS = {
    "density": (1.0, "log", 0.0),  # cells per field, relative to the control
    "nucleus_radius": (12.2, "log", 0.11),  # pixels
    "nucleus_aspect": (1.38, "log", 0.16),
    "nucleus_lobes": (0.04, "log", 0.45),  # depth of dents, share of the radius
    "nucleus_level": (1.0, "log", 0.16),
    "chromatin_contrast": (0.13, "log", 0.30),
    "chromatin_coarseness": (0.35, "logit", 0.80),  # share of the coarse texture
    "nucleoli": (0.30, "log", 0.35),  # how dark they are
    "binucleate": (0.03, "logit", 0.0),  # share of cells
    "mitotic": (0.05, "logit", 0.0),  # share of cells
    "mitotic_monopolar": (0.03, "logit", 0.0),  # share of mitoses whose chromosomes lie in a ring
    "cell_radius": (33.0, "log", 0.16),  # pixels
    "cell_aspect": (1.30, "log", 0.20),
    "cell_corners": (0.50, "log", 0.30),  # height of the corners, share of the radius
    "cell_ruffle": (0.03, "log", 0.40),  # roughness of the edge, share of the radius
    "cell_alignment": (0.10, "logit", 0.0),  # how much neighbours share an axis
    "actin_diffuse": (1.0, "log", 0.20),
    "actin_cortex": (0.55, "log", 0.30),
    "actin_fibres": (16.0, "log", 0.40),  # stress fibres in a cell
    "actin_disorder": (0.22, "log", 0.40),  # radians around the axis of the cell
    "actin_puncta": (2.0, "log", 0.60),  # bright clumps in a cell
    "tubulin_diffuse": (0.75, "log", 0.20),
    "tubulin_filaments": (90.0, "log", 0.20),  # microtubules in a cell
    "tubulin_length": (40.0, "log", 0.20),  # pixels
    "tubulin_bend": (0.09, "log", 0.30),  # radians per pixel
    "tubulin_bundling": (0.10, "logit", 0.60),  # share of microtubules that run in a few bundles
    "vacuoles": (0.6, "log", 0.70),  # dark vesicles in a cell
}
NAMES = tuple(PARAMETERS)
_INDEX = {name: index for index, name in enumerate(NAMES)}

# Effect of a saturating dose, on each parameter's own scale.
MECHANISMS = {
    "Microtubule stabilisers": {
        "tubulin_bundling": 3.25,
        "tubulin_bend": -0.62,
        "nucleus_lobes": 0.88,
        "binucleate": 1.25,
        "cell_radius": 0.1,
        "mitotic": 0.5,
        "density": -0.25,
    },
    "Actin disruptors": {
        "actin_fibres": -1.88,
        "actin_puncta": 2.12,
        "actin_cortex": -0.5,
        "cell_radius": -0.2,
        "cell_corners": 0.44,
        "cell_ruffle": 0.62,
        "binucleate": 1.0,
    },
    "Aurora kinase inhibitors": {
        "nucleus_radius": 0.3,
        "nucleus_lobes": 1.12,
        "binucleate": 2.0,
        "cell_radius": 0.2,
        "chromatin_contrast": 0.19,
        "mitotic": -1.25,
        "density": -0.38,
    },
    "Microtubule destabilisers": {
        "tubulin_length": -1.0,
        "tubulin_filaments": -0.62,
        "tubulin_diffuse": 0.25,
        "tubulin_bend": 0.62,
        "nucleus_lobes": 0.75,
        "mitotic": 1.25,
        "cell_radius": -0.1,
        "actin_fibres": 0.38,
    },
    "DNA damage": {
        "nucleus_radius": 0.28,
        "nucleus_aspect": -0.15,
        "chromatin_contrast": -0.56,
        "nucleoli": 0.69,
        "cell_radius": 0.18,
        "mitotic": -1.5,
        "density": -0.44,
        "actin_fibres": 0.38,
    },
    "Rho kinase inhibitors": {
        "cell_aspect": 0.56,
        "cell_corners": 0.56,
        "cell_alignment": 3.0,
        "actin_fibres": -0.88,
        "actin_disorder": -0.62,
        "actin_cortex": 0.19,
        "nucleus_aspect": 0.18,
    },
    "Protein synthesis inhibitors": {
        "nucleoli": -1.38,
        "nucleus_radius": -0.12,
        "chromatin_coarseness": 1.5,
        "chromatin_contrast": 0.44,
        "cell_radius": -0.12,
        "actin_puncta": 0.62,
        "mitotic": -1.0,
        "density": -0.31,
    },
    "Lysosomal amines": {
        "vacuoles": 3.8,
        "tubulin_bend": 0.44,
        "chromatin_contrast": 0.15,
        "cell_corners": -0.38,
        "actin_diffuse": 0.12,
    },
    "Eg5 inhibitors": {
        "mitotic": 2.0,
        "mitotic_monopolar": 5.62,
        "nucleus_lobes": 0.62,
        "tubulin_diffuse": 0.15,
        "density": -0.19,
    },
    "Histone deacetylase inhibitors": {
        "chromatin_coarseness": -2.0,
        "chromatin_contrast": -0.31,
        "nucleus_aspect": 0.2,
        "cell_radius": 0.22,
        "actin_fibres": 0.75,
        "actin_disorder": -0.5,
        "tubulin_length": 0.25,
        "mitotic": -0.88,
        "density": -0.25,
    },
}

# How far batches, plates and wells shift the mean cell by chance, in units of the spread between cells.
_DRIFT = {"batch": 0.30, "plate": 0.15, "well": 0.10}
_FIELD_SPREAD = 0.25  # stands for the spread of parameters that are no cell's own, as shares of cells


def control() -> np.ndarray:
    """Parameters of the control cell on their additive scales, in the order of `NAMES`: (P,) float64."""
    return np.array([np.log(value if scale == "log" else value / (1 - value)) for value, scale, _ in PARAMETERS.values()])


def dose_strength(concentration: float, concentrations: tuple[float, ...]) -> float:
    """Share of the full effect at a concentration: a Hill curve whose middle lies at the lowest concentration.

    Rises strictly with the concentration, from 0.5 at the lowest towards 1.
    """
    return concentration / (concentration + min(concentrations))


def compound_effect(config: Config, mechanism: str, compound: str) -> np.ndarray:
    """Shift of the parameters at full dose: (P,). Compounds of one mechanism are similar, not identical."""
    rng = generator(config.seed, "compound", compound)
    direction = np.zeros(len(NAMES))
    for name, shift in MECHANISMS[mechanism].items():
        direction[_INDEX[name]] = shift
    own_mix = np.exp(rng.normal(0, 0.25, len(NAMES)))
    side_effect = rng.normal(0, 0.05, len(NAMES))
    potency = np.exp(rng.normal(0, 0.12))
    return config.effect * potency * (direction * own_mix + side_effect)


def drift(config: Config, level: str, *names: str) -> np.ndarray:
    """Shift of the parameters of everything in one batch, plate or well, for reasons that are no treatment: (P,)."""
    rng = generator(config.seed, "drift", level, *names)
    spread = np.array([spread or _FIELD_SPREAD for _, _, spread in PARAMETERS.values()])
    return config.batch_effect * _DRIFT[level] * spread * rng.normal(0, 1, len(NAMES))


def cells_of(
    mean: np.ndarray, effect: np.ndarray, variety: float, count: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Draw cells: parameter name -> (count,) float64 in natural units.

    Parameters
    ----------
    mean
        Untreated parameters here, on their additive scales: (P,).
    effect
        Shift by the treatment: (P,); each cell shows its own share of it.
    variety
        1 is the natural variety between cells, 0 makes them equal.
    """
    spread = np.array([spread for _, _, spread in PARAMETERS.values()])
    answer = np.clip(1 + 0.45 * variety * rng.normal(0, 1, (count, 1)), 0, 2)
    cells = mean + answer * effect + variety * spread * rng.normal(0, 1, (count, len(NAMES)))
    return {name: natural(name, cells[:, index]) for name, index in _INDEX.items()}


def natural(name: str, value: np.ndarray) -> np.ndarray:
    """A parameter in its natural unit, from its additive scale."""
    return np.exp(value) if PARAMETERS[name][1] == "log" else 1 / (1 + np.exp(-value))


def of(parameters: np.ndarray, name: str) -> float:
    """One parameter of a vector on additive scales, in its natural unit."""
    return float(natural(name, parameters[_INDEX[name]]))
