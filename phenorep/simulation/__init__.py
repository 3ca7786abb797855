"""A simulated screen: who stands in which well, what a compound does to a cell, and how a microscope sees it.

`layout` and `phenotypes` are light (numpy only): a plan needs no image. `screen` draws a plate.
"""

import hashlib

import numpy as np


def generator(seed: int, *names: object) -> np.random.Generator:
    """A random generator that depends on the seed and on names alone, not on what was drawn before.

    Parameters
    ----------
    seed
        Seed of the whole screen.
    names
        What the random numbers are for: ``("plate", "Week1_22101")``.
    """
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return np.random.default_rng(np.random.SeedSequence([seed, *np.frombuffer(digest, dtype="<u4").tolist()]))
