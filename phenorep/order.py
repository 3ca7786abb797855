"""The order in which rows are read and drawn: by their names, so that no result depends on how a table lists them."""

import re

import numpy as np
import pandas as pd

# What names a sample, the coarsest first; columns that a table does not have are passed over.
NAMES = ("Metadata_Plate", "Metadata_Well", "Metadata_Site", "Sample")


def natural(text: str) -> list:
    """A key that sorts numbers in text by value, and before letters: w2 before w10."""
    return [(not part.isdecimal(), int(part) if part.isdecimal() else part) for part in re.split(r"(\d+)", text) if part]


def by_name(table: pd.DataFrame) -> np.ndarray:
    """Row numbers (N,), sorted by plate, well, site and sample as text; of equal names in the table's order."""
    keys = [pd.factorize(table[name].fillna("").astype(str), sort=True)[0] for name in NAMES if name in table]
    return np.lexsort(keys[::-1]) if keys else np.arange(len(table))
