"""Factor analysis: features become the few hidden factors that make them vary together among negative controls.

Each block is a model of its own: x = mean + factors . loadings + noise, where every feature has its own noise variance,
fitted by maximum likelihood on the negative controls (50 factors in [0]); a row becomes the factors' expected values given
its features. Features that do not vary are left out. No more factors are fitted than there are varying features, or rows
less one; the profile's facts say how many, and whether the fit has converged. Sign and order of factors mean nothing: each
sign is set so that the factor's largest loading is positive.

[0] Ljosa et al. 2013, Comparison of methods for image-based profiling of cellular morphological responses to small-molecule
    treatment, doi:10.1177/1087057113503553
[1] scikit-learn, sklearn.decomposition.FactorAnalysis
"""

import warnings
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
    """On which rows the factors are fitted, and how many."""

    fit: Literal["negative", "all"] = "negative"  # all: factors of all variation; for screens without negative controls
    factors: int = 50  # per block; as in [0]
    max_iterations: int = 1000  # of expectation maximisation
    tolerance: float = 0.01  # gain in log likelihood below which the fit has converged; scikit-learn's

    def __post_init__(self):
        if self.factors < 1 or self.max_iterations < 1:
            raise ValueError("factors and max_iterations must be 1 or more")
        if not self.tolerance > 0:
            raise ValueError(f"tolerance must be above 0, not {self.tolerance}")


def fit(config: Config, table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Fit every block by itself.

    Returns
    -------
    dict
        For each block ``{block}/center`` (F,), ``{block}/matrix`` (F, K): centred features times it are the factors,
        ``{block}/loadings`` (K, F), ``{block}/noise`` (F,) variances, ``{block}/converged``; ``rows`` fitted on.

    Raises
    ------
    NotRun
        If a block is constant among these rows, as that of a collapsed encoder.
    UserError
        If there is no negative control, or one row alone.
    """
    return fit_blocks(table, config.fit, partial(analyse, config), "no factor to find")


def transform(config: Config, fitted: dict, table: pd.DataFrame) -> pd.DataFrame:  # noqa: ARG001
    """Replace each block by its factors, ``{block}_0000`` first."""
    values, names = [], []
    for block, columns in contracts.feature_blocks(table.columns).items():
        values.append((features(table, columns) - fitted[f"{block}/center"]) @ fitted[f"{block}/matrix"])
        names += contracts.feature_names(block, values[-1].shape[1])
    return with_features(table, np.concatenate(values, axis=1), names)


def carry(config: Config, fitted: dict, floor: np.ndarray, columns: list[str]) -> np.ndarray:  # noqa: ARG001
    """The floor (K,) of the factors."""
    lowest, parts = dict(zip(columns, floor, strict=True)), []
    for block, names in contracts.feature_blocks(columns).items():
        parts.append(constancy.mixed(np.array([lowest[name] for name in names]), fitted[f"{block}/matrix"]))
    return np.concatenate(parts)


def facts(fitted: dict) -> dict:
    """Rows fitted on; factors, features and convergence of each block."""
    blocks = {name.removesuffix("/matrix"): value.shape for name, value in fitted.items() if name.endswith("/matrix")}
    return {
        "rows": int(fitted["rows"]),
        "factors": {block: shape[1] for block, shape in blocks.items()},
        "features": {block: shape[0] for block, shape in blocks.items()},
        "converged": {block: bool(fitted[f"{block}/converged"]) for block in blocks},
    }


def analyse(config: Config, values: np.ndarray, floor: np.ndarray | None = None) -> dict[str, np.ndarray] | None:
    """Factor analysis of (N, F) values with the floor (F,): see `fit`; None if they do not vary."""
    from sklearn.decomposition import FactorAnalysis
    from sklearn.exceptions import ConvergenceWarning

    n, count = values.shape
    center, deviation = values.mean(axis=0), deviations(values)
    lowest = constancy.RELATIVE * np.maximum(values.max(axis=0), -values.min(axis=0))
    varying = np.flatnonzero(deviation > (lowest if floor is None else np.maximum(floor, lowest)))
    if not len(varying):
        return None
    # The likelihood does not mind the features' units, the arithmetic does.
    if len(varying) < count:
        values = values[:, varying]
    rows = _condensed(values, center[varying], deviation[varying])
    factors = min(config.factors, len(varying), n - 1)
    # The likelihood, and with it the tolerance, counts rows.
    tolerance = config.tolerance * len(rows) / n
    model = FactorAnalysis(factors, tol=tolerance, max_iter=config.max_iterations, svd_method="lapack")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(rows)
    loadings = model.components_
    loadings = loadings * np.sign(loadings[np.arange(factors), np.abs(loadings).argmax(axis=1)])[:, None]
    weighted = loadings / model.noise_variance_
    expected = weighted.T @ np.linalg.inv(np.eye(factors) + weighted @ loadings.T)
    matrix, spread, noise = np.zeros((count, factors)), np.zeros((factors, count)), np.zeros(count)
    matrix[varying] = expected / deviation[varying, None]
    spread[:, varying] = loadings * deviation[varying]
    noise[varying] = model.noise_variance_ * deviation[varying] ** 2
    converged = not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    return {"center": center, "matrix": matrix, "loadings": spread, "noise": noise, "converged": np.array(converged)}


def _condensed(values: np.ndarray, center: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """At most 2 F rows with the mean 0 and the covariance of (N, F) values, standardised: all that the likelihood needs."""
    n, count = values.shape
    if n <= 2 * count:
        return (values - center) / scale
    covariance = gram(values, center, scale) / n
    root = np.linalg.cholesky(covariance + np.finfo(float).eps * np.eye(count)).T * np.sqrt(count)
    return np.concatenate([root, -root])
