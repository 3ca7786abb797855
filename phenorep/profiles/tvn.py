"""Typical variation normalisation: what varies among negative controls is no effect, so it is whitened away.

By default the features of each block are centred on the negative controls (not scaled), rotated to the controls' principal
components (PCA, not ZCA), and every component whose eigenvalue exceeds 1e-10 of the largest is divided by its standard
deviation (epsilon 0), all in float64. Components below the cut-off are dropped: with fewer controls than features no more
than (number of controls - 1) are left, and the profile's facts say how many. Results are sensitive to these choices.

[0] Ando, McLean, Berndl 2017, Improving phenotypic measurements in high-content imaging screens, doi:10.1101/161422
[1] Cross-Zamirski et al. 2022, Self-supervised learning of phenotypic representations from cell images with weak labels,
    arXiv:2209.07819: one block per channel, whitened before the blocks are put side by side
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd

from phenorep import constancy, contracts
from phenorep.profiles import deviations, features, fit_blocks, gram, with_features

BY_ROW = True
LINEAR = True


@dataclass(frozen=True)
class Config:
    """Whose variation is removed, and how."""

    fit: Literal["negative", "all"] = "negative"  # all: whitens all variation; for screens without negative controls
    rotation: Literal["pca", "zca"] = "pca"  # zca: turned back, so that features keep their meaning
    center: bool = True  # false: if the rows are centred already, plate by plate
    scale: bool = False  # true: standardise first, for features of different units
    epsilon: float = 0.0  # added to eigenvalues, as a share of the largest: tames weak components of few controls
    cutoff: float = 1e-10  # share of the largest eigenvalue at or below which a component is dropped
    components: int | None = None  # keep at most so many per block

    def __post_init__(self):
        if self.epsilon < 0:
            raise ValueError(f"epsilon must be 0 or more, not {self.epsilon}")
        if not 0 <= self.cutoff < 1:
            raise ValueError(f"cutoff must be from 0 to below 1, not {self.cutoff}")
        if self.components is not None and self.components < 1:
            raise ValueError(f"components must be 1 or more, not {self.components}")


def fit(config: Config, table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Fit every block by itself.

    Returns
    -------
    dict
        For each block: ``{block}/center`` and ``{block}/scale`` (F,), ``{block}/matrix`` (F, K), ``{block}/eigenvalues``
        (K,) in descending order; ``rows``: how many rows were fitted on.

    Raises
    ------
    NotRun
        If a block is constant among these rows, as that of a collapsed encoder.
    UserError
        If there is no negative control, or one row alone.
    """
    return fit_blocks(table, config.fit, partial(whiten, config), "nothing to whiten")


def transform(config: Config, fitted: dict, table: pd.DataFrame) -> pd.DataFrame:  # noqa: ARG001
    """Replace each block by its whitened components, ``{block}_0000`` first."""
    values, names = [], []
    for block, columns in contracts.feature_blocks(table.columns).items():
        centred = (features(table, columns) - fitted[f"{block}/center"]) / fitted[f"{block}/scale"]
        values.append(centred @ fitted[f"{block}/matrix"])
        names += contracts.feature_names(block, values[-1].shape[1])
    return with_features(table, np.concatenate(values, axis=1), names)


def carry(config: Config, fitted: dict, floor: np.ndarray, columns: list[str]) -> np.ndarray:  # noqa: ARG001
    """The floor (K,) of the components."""
    lowest, parts = dict(zip(columns, floor, strict=True)), []
    for block, names in contracts.feature_blocks(columns).items():
        scaled = np.array([lowest[name] for name in names]) / fitted[f"{block}/scale"]
        parts.append(constancy.mixed(scaled, fitted[f"{block}/matrix"]))
    return np.concatenate(parts)


def facts(fitted: dict) -> dict:
    """How many rows were fitted on, and how many components of how many features are left in each block."""
    shapes = {name.removesuffix("/matrix"): value.shape for name, value in fitted.items() if name.endswith("/matrix")}
    kept = {block: len(fitted[f"{block}/eigenvalues"]) for block in shapes}
    return {
        "rows": int(fitted["rows"]),
        "components": kept,
        "features": {block: shape[0] for block, shape in shapes.items()},
    }


def whiten(config: Config, values: np.ndarray, floor: np.ndarray | None = None) -> dict[str, np.ndarray] | None:
    """Whitening of (N, F) values with the floor (F,): see `fit`; None if they do not vary."""
    n, count = values.shape
    center = values.mean(axis=0) if config.center else np.zeros(count)
    deviation = deviations(values, ddof=1)
    lowest = constancy.RELATIVE * np.abs(values.mean(axis=0))
    constant = deviation <= (lowest if floor is None else np.maximum(floor, lowest))
    scale = np.where(constant, 1.0, deviation) if config.scale else np.ones(count)
    if config.center and constant.all():
        return None
    freedom = n - 1 if config.center else n
    if n <= count:  # fewer rows than features: the same vectors from the smaller matrix
        values = (values - center) / scale
        eigenvalues, left = np.linalg.eigh(values @ values.T / freedom)
        vectors = values.T @ left
        vectors /= np.maximum(np.linalg.norm(vectors, axis=0), np.finfo(float).tiny)
    else:
        eigenvalues, vectors = np.linalg.eigh(gram(values, center, scale) / freedom)
    eigenvalues, vectors = eigenvalues[::-1], vectors[:, ::-1]
    if not eigenvalues[0] > 0:
        return None
    kept = np.flatnonzero(eigenvalues > config.cutoff * eigenvalues[0])[: config.components]
    eigenvalues, vectors = eigenvalues[kept], vectors[:, kept]
    # The sign of an eigenvector is arbitrary: let its largest entry be positive.
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(len(kept))])
    matrix = vectors / np.sqrt(eigenvalues + config.epsilon * eigenvalues[0])
    if config.rotation == "zca":
        matrix = matrix @ vectors.T
    return {"center": center, "scale": scale, "matrix": matrix, "eigenvalues": eigenvalues}
