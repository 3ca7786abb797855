"""Correlation alignment: each batch's negative controls get the covariance of the pooled ones, and all its rows go along.

With m_b and C_b the mean and the covariance of the negative controls of batch b, C the covariance of all negative controls
within their batches, m their mean, and r = epsilon * trace(C) / (number of features), a row x of batch b becomes

    (x - m_b) (C_b + r I)^(-1/2) (C + r I)^(1/2) + m

for each block by itself; with ``center: false`` the batch keeps its mean, m_b instead of m. The ridge r is needed: a batch
with fewer controls than features has no inverse covariance. Directions in which controls vary less than r hardly change.
With epsilon 1 and standardised or whitened features this is the ridge of 1 of [0]. [1] puts this behind whitening (the step
`tvn`), so does [2], with a ridge of 0.5 and batches centred on their controls first.

Rows of a batch that was not there when the step was fitted are aligned by their own controls to the covariance that was.

[0] Sun, Feng, Saenko 2016, Return of frustratingly easy domain adaptation, arXiv:1511.05547
[1] Ando, McLean, Berndl 2017, Improving phenotypic measurements in high-content imaging screens, doi:10.1101/161422
[2] Celik et al. 2024, Building, benchmarking, and exploring perturbative maps of transcriptional and morphological data,
    doi:10.1371/journal.pcbi.1012463; recursionpharma/EFAAR_benchmarking
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from phenorep import constancy, contracts
from phenorep.errors import NotRun, UserError
from phenorep.profiles import FIT_REMEDY, features, floor, members, negatives, with_features

BY_ROW = True
LINEAR = True


@dataclass(frozen=True)
class Config:
    """What is aligned, and how strongly."""

    fit: Literal["negative", "all"] = "negative"  # all: only where every batch holds the same treatments
    by: str = "Metadata_Batch"  # Metadata_Plate: where each plate has controls enough
    epsilon: float = 1.0  # ridge, as a share of the mean variance; less aligns more and trusts few controls more
    center: bool = True  # false: batches keep their means; if an earlier step has moved these already

    def __post_init__(self):
        if not self.epsilon > 0:
            raise ValueError(
                f"epsilon must be above 0, not {self.epsilon}: a batch with fewer controls than features needs a ridge"
            )


def fit(config: Config, table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Fit every block by itself.

    Returns
    -------
    dict
        ``batches`` (B,), ``rows`` (B,) fitted on; for each block ``{block}/centers`` (B, F), ``{block}/matrices`` (B, F, F),
        ``{block}/mean`` (F,), ``{block}/covariance`` (F, F) of the pooled rows, ``{block}/ridge``.

    Raises
    ------
    NotRun
        If there is one batch alone, or a block is constant within all batches.
    UserError
        If there is no batch column, or a batch has fewer than two rows to fit on.
    """
    batch, chosen = members(table, config.by), _chosen(config, table)
    names = sorted(set(batch))
    if len(names) < 2:
        raise NotRun(f"all rows are of one batch ({config.by}: {', '.join(names)}): there is nothing to align.")
    rows = [_rows(config, batch, chosen, name) for name in names]
    fitted = {"batches": np.array(names, dtype=str), "rows": np.array([len(found) for found in rows])}
    for block, columns in contracts.feature_blocks(table.columns).items():
        values = features(table, columns)
        moments = [_moments(values[found]) for found in rows]
        pooled = _pooled(moments)
        if (np.diag(pooled["covariance"]) <= floor(table, columns) ** 2).all():
            raise NotRun(f"the features of '{block}' are the same in all rows fitted on of each batch: nothing to align.")
        pooled["ridge"] = np.array(config.epsilon * np.trace(pooled["covariance"]) / len(columns))
        centers, matrices = _alignments(moments, pooled)
        found = pooled | {"centers": centers, "matrices": matrices}
        fitted |= {f"{block}/{name}": value for name, value in found.items()}
    return fitted


def transform(config: Config, fitted: dict, table: pd.DataFrame) -> pd.DataFrame:
    """Align every row by its batch; a batch that was not fitted, by its own controls."""
    batch = members(table, config.by)
    known = {name: number for number, name in enumerate(fitted["batches"].tolist())}
    new = sorted(set(batch) - known.keys())
    chosen = _chosen(config, table) if new else None
    own = [_rows(config, batch, chosen, name) for name in new]
    changed = []
    for block, columns in contracts.feature_blocks(table.columns).items():
        pooled = {name: fitted[f"{block}/{name}"] for name in ("mean", "covariance", "ridge")}
        centers, matrices = fitted[f"{block}/centers"], fitted[f"{block}/matrices"]
        values = features(table, columns).copy()  # pandas lends its own array, which must not be written to
        if new:
            found = _alignments([_moments(values[rows]) for rows in own], pooled)
            centers, matrices = (np.concatenate(pair) for pair in zip((centers, matrices), found, strict=True))
        for number, name in enumerate([*known, *new]):
            rows = np.flatnonzero(batch == name)
            if len(rows):
                target = pooled["mean"] if config.center else centers[number]
                values[rows] = (values[rows] - centers[number]) @ matrices[number] + target
        changed.append(values)
    return with_features(table, np.concatenate(changed, axis=1), contracts.feature_columns(table.columns))


def carry(config: Config, fitted: dict, floor: np.ndarray, columns: list[str]) -> np.ndarray:  # noqa: ARG001
    """The floor (F,) in the batch where it is largest."""
    lowest, parts = dict(zip(columns, floor, strict=True)), []
    for block, names in contracts.feature_blocks(columns).items():
        before = np.array([lowest[name] for name in names])
        parts.append(np.max([constancy.mixed(before, matrix) for matrix in fitted[f"{block}/matrices"]], axis=0))
    return np.concatenate(parts)


def facts(fitted: dict) -> dict:
    """How many batches were aligned, on how many rows, and which have no more rows than a block has features."""
    counts = {name.removesuffix("/mean"): len(value) for name, value in fitted.items() if name.endswith("/mean")}
    few = fitted["rows"] <= max(counts.values())
    return {
        "batches": len(fitted["batches"]),
        "rows": dict(zip(fitted["batches"].tolist(), fitted["rows"].tolist(), strict=True)),
        "features": counts,
        "batches_with_singular_covariance": fitted["batches"][few].tolist(),
    }


def _chosen(config: Config, table: pd.DataFrame) -> np.ndarray:
    return negatives(table, FIT_REMEDY) if config.fit == "negative" else np.ones(len(table), bool)


def _rows(config: Config, batch: np.ndarray, chosen: np.ndarray, name: str) -> np.ndarray:
    found = np.flatnonzero(chosen & (batch == name))
    if len(found) < 2:
        kind = "negative-control rows (Metadata_Control)" if config.fit == "negative" else "rows"
        raise UserError(
            f"batch {name} ({config.by}) has {len(found)} {kind}, at least 2 are needed. Mark its negative-control wells in "
            "the dataset, name a coarser column with 'by', or put this step before the aggregation."
        )
    return found


def _moments(values: np.ndarray) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Number, sum (F,), mean (F,) and covariance (F, F) of a batch's rows (N, F)."""
    return len(values), values.sum(axis=0), values.mean(axis=0), np.atleast_2d(np.cov(values.T))


def _pooled(moments: list[tuple]) -> dict[str, np.ndarray]:
    """Mean of all rows (F,) and their covariance within batches (F, F)."""
    rows = sum(n for n, *_ in moments)
    covariance = sum((n - 1) * covariance for n, _, _, covariance in moments) / (rows - len(moments))
    return {"mean": sum(total for _, total, *_ in moments) / rows, "covariance": covariance}


def _alignments(moments: list[tuple], pooled: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Centre (B, F) and matrix (B, F, F) of each batch."""
    target = _power(pooled["covariance"], pooled["ridge"], 0.5)
    matrices = [_power(covariance, pooled["ridge"], -0.5) @ target for *_, covariance in moments]
    return np.stack([mean for _, _, mean, _ in moments]), np.stack(matrices)


def _power(covariance: np.ndarray, ridge: np.ndarray, exponent: float) -> np.ndarray:
    """(C + ridge I) to a power, (F, F), by its eigenvalues; rounding can leave some of C just below 0."""
    eigenvalues, vectors = np.linalg.eigh(covariance)
    return vectors * (np.maximum(eigenvalues, 0) + ridge) ** exponent @ vectors.T
