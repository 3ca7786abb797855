"""Weak labels: what is known of an image without looking at it, by which images are paired for training."""

from collections.abc import Sequence

import numpy as np

from phenorep.errors import NotRun

# The columns of which one must be there; a treatment is put together from perturbation, or compound and concentration.
LEVELS = {
    "treatment": ("Metadata_Treatment", "Metadata_Perturbation", "Metadata_Compound"),
    "compound": ("Metadata_Compound",),
    "moa": ("Metadata_MoA",),
}


def check(weak_label: str) -> None:
    """Raise `ValueError` unless this is ``none``, one of `LEVELS` or a column of metadata."""
    if weak_label not in ("none", *LEVELS) and not weak_label.startswith("Metadata_"):
        raise ValueError(f"weak_label must be none, {', '.join(LEVELS)} or a column Metadata_*, not {weak_label!r}")


def column(weak_label: str, columns: Sequence[str], samples: str) -> str | None:
    """The column that a weak label means; None for ``none``.

    Parameters
    ----------
    columns
        Of the sample set's table.
    samples
        The sample set, for messages.

    Raises
    ------
    NotRun
        If the dataset has no such metadata.
    """
    if weak_label == "none":
        return None
    needed = LEVELS.get(weak_label)
    if needed is None:
        return weak_label
    if not set(needed) & set(columns):
        raise NotRun(f"weak_label: {weak_label} needs the column {needed[-1]}, which {samples} does not have")
    return needed[0]


def balanced(labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Rows of an epoch, drawn with replacement so that each label is seen equally often.

    Parameters
    ----------
    labels
        (N,) int64, at least 0, in any order.

    Returns
    -------
    numpy.ndarray
        (N,) rows.
    """
    shares = 1.0 / np.bincount(labels)[labels]
    return generator.choice(len(labels), size=len(labels), p=shares / shares.sum())


def partners(order: np.ndarray, labels: np.ndarray, generator: np.random.Generator, itself: bool = False) -> np.ndarray:
    """A random row of the same label for each row of `order`.

    Parameters
    ----------
    order
        (n,) rows.
    labels
        (N,) int64, at least 0, of all rows, in any order.
    itself
        Whether a row may be drawn for itself; the only one of its label always is.

    Returns
    -------
    numpy.ndarray
        (n,) rows.
    """
    members = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    place = np.empty(len(labels), dtype=np.int64)  # of each row among the members of its label
    place[members] = np.arange(len(labels)) - starts[labels[members]]
    size = sizes[labels[order]]
    if itself:
        chosen = generator.integers(0, size)
    else:
        # A step of 1 to size - 1 on the ring of members never comes back; the step of 1 on a ring of one does.
        chosen = (place[order] + generator.integers(1, np.maximum(size, 2))) % size
    return members[starts[labels[order]] + chosen]
