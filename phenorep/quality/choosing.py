"""Which samples are shown to the person who labels them: some of all plates and wells, or some of all kinds of images."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import constancy, contracts
from phenorep.errors import UserError
from phenorep.order import by_name

CLUSTERED = 20_000  # samples among which clusters are sought, at most: of a kind that is one in a thousand, some twenty
BATCH = 10_000  # rows of a table that are read at a time


def spread(table: pd.DataFrame, free: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Rows drawn at random and evenly: as many of each plate, of each well of a plate, of each field of a well.

    Parameters
    ----------
    table
        With the columns `Sample` and `contracts.FIELD`; their values, not the order of the rows, decide what is drawn.
    free
        (N,) bool: which rows may be drawn.

    Returns
    -------
    ndarray
        (min(count, free rows),) row numbers; plates take turns, so that any first part is spread as evenly as the whole.
    """
    ordered = by_name(table)
    order = np.random.default_rng(seed).permutation(ordered[free[ordered]])
    for depth in range(len(contracts.FIELD), 0, -1):
        # The first row of each field, then the second of each, ...; in that order the first of each well, then plate.
        columns = list(contracts.FIELD[:depth])
        group = table.groupby(columns, sort=False, dropna=False).ngroup().to_numpy()[order]
        turn = pd.Series(group).groupby(group, sort=False).cumcount().to_numpy()
        order = order[np.argsort(turn, kind="stable")]
    return order[:count]


def diverse(embeddings: str | Path, table: pd.DataFrame, free: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, int]:
    """Rows whose embeddings lie in the middles of `count` clusters (k-means): rare kinds of images come up too.

    Features are standardised, and every block of them weighs the same. Clusters are sought among `CLUSTERED` samples, drawn
    at random where there are more: the table is read in parts, so that millions of rows do not have to fit into memory.

    Parameters
    ----------
    embeddings
        Table of the samples' embeddings.
    table
        With the columns `Sample` and `contracts.FIELD`.
    free
        (N,) bool: which rows may be chosen.

    Returns
    -------
    rows
        (min(count, free rows),) row numbers in random order.
    clustered
        Number of samples among which clusters were sought.

    Raises
    ------
    UserError
        If the embeddings were not made, or not of these samples.

    References
    ----------
    Arthur and Vassilvitskii 2007, k-means++: the advantages of careful seeding.
    """
    generator = np.random.default_rng(seed)
    samples, features, blocks = _read(embeddings, generator)
    rows = pd.Index(table["Sample"]).get_indexer(samples)
    if (rows < 0).any():
        raise UserError(
            f"{embeddings}: its sample '{samples[np.argmax(rows < 0)]}' is not in the sample set. Remove the file and run "
            "again."
        )
    kept = free[rows]
    rows, features = rows[kept], features[kept]
    chosen = rows[_middles(_scaled(features, blocks), count, seed)] if len(rows) > count else rows
    left = free.copy()
    left[chosen] = False
    # Fewer clusters than wanted: equal features, or hardly any samples.
    chosen = np.concatenate([chosen, spread(table, left, count - len(chosen), seed)])
    return generator.permutation(chosen), len(rows)


def _read(path: str | Path, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Sample names (n,), sorted, features (n, F) float32 and the number of features in each block, of some rows."""
    if reason := contracts.not_run(path):
        raise UserError(
            f"annotate: sampling: diverse needs embeddings, but {path} was not made: {reason}. Name another method."
        )
    blocks = contracts.feature_blocks(contracts.columns_of(path))
    names = [name for block in blocks.values() for name in block]
    if not names:
        raise UserError(f"{path}: there is no feature in this table of embeddings. Remove it and run again.")
    with contracts.open_table(path) as file:
        total = file.metadata.num_rows
        named = by_name(contracts.read_table(path, "embeddings", ["Sample"]))
        wanted = np.sort(named[generator.choice(total, min(CLUSTERED, total), replace=False)])
        samples, features = [], np.empty((len(wanted), len(names)), np.float32)
        start = done = 0
        # A row group at a time: the reader of all of them keeps those that it has read.
        groups = ([group] for group in range(file.num_row_groups))
        batches = (batch for group in groups for batch in file.iter_batches(BATCH, group, ["Sample", *names]))
        for batch in batches:
            first, last = np.searchsorted(wanted, [start, start + len(batch)])
            part = batch.take(wanted[first:last] - start)
            samples.extend(part.column("Sample").to_pylist())
            for position, name in enumerate(names):
                features[done : done + len(part), position] = part.column(name).to_numpy(zero_copy_only=False)
            start, done = start + len(batch), done + len(part)
    # Which row comes first decides where clusters start.
    place = np.argsort(np.array(samples, dtype=str), kind="stable")
    return np.array(samples, dtype=object)[place], features[place], [len(block) for block in blocks.values()]


def _scaled(features: np.ndarray, blocks: list[int]) -> np.ndarray:
    """Features of mean 0 and deviation 1, divided by the root of their block's number of features, in place."""
    floor = constancy.floor(features)  # before centring, which leaves the rounding of what does not vary
    features -= features.mean(axis=0)
    deviation = features.std(axis=0)
    features /= np.where(deviation > floor, deviation, 1) * np.sqrt(np.repeat(blocks, blocks))
    return features


def _middles(features: np.ndarray, count: int, seed: int) -> np.ndarray:
    """For each cluster, the row that lies nearest to its centre."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    # One thread: sums of several come in another order on another machine, and other samples would be chosen.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer kinds of rows than clusters
        fitted = KMeans(count, n_init=1, max_iter=20, random_state=seed).fit(features)
    distance = np.linalg.norm(features - fitted.cluster_centers_[fitted.labels_], axis=1)
    order = np.lexsort((distance, fitted.labels_))
    return order[np.unique(fitted.labels_[order], return_index=True)[1]]
