"""Records of steps that could not run: every declared output exists, is valid, holds zero rows and says why.

A CSV and a folder have no place for the reason: they are empty, and the file that belongs to them states it.
"""

import json
import struct
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import contracts
from phenorep.errors import NotRun


@contextmanager
def kept_in(outputs: Mapping[str | Path, str]):
    """Turn a `NotRun` raised inside the block into "not run" records in all outputs.

    Parameters
    ----------
    outputs
        The kind of each path, one of `WRITERS`.

    Raises
    ------
    ValueError
        If there is no such kind; before the block begins.
    """
    if unknown := set(outputs.values()) - set(WRITERS):
        raise ValueError(f"'{min(unknown)}' is no kind of output: it must be one of {', '.join(WRITERS)}.")
    try:
        yield
    except NotRun as reason:
        print(f"not run: {reason}")
        for path, kind in outputs.items():
            write(path, str(reason), kind)


def write(path: str | Path, reason: str, kind: str) -> None:
    """Write the record of one output; `kind` is one of `WRITERS`."""
    WRITERS[kind](path, reason)


def _write_scores(path: str | Path, _reason: str) -> None:
    contracts.write_csv(pd.DataFrame(columns=list(contracts.SCORE_COLUMNS)), path)


def _write_training(path: str | Path, _reason: str) -> None:
    contracts.write_csv(pd.DataFrame(columns=list(contracts.TRAINING_COLUMNS)), path)


def _write_weights(path: str | Path, reason: str) -> None:
    header = json.dumps({"__metadata__": {"not_run": reason}}).encode()
    with contracts.replacing(path) as temporary:
        temporary.write_bytes(struct.pack("<Q", len(header)) + header)


def _write_arrays(path: str | Path, reason: str) -> None:
    with contracts.replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, not_run=np.array(reason))  # given a name, it would append its own suffix


def _make_folder(path: str | Path, _reason: str) -> None:
    Path(path).mkdir(parents=True, exist_ok=True)


# Kinds of outputs: a table (parquet), tables of scores and of a training's course (csv), an encoder (safetensors), ...
WRITERS = {
    "table": contracts.write_not_run,
    "scores": _write_scores,
    "training": _write_training,
    "weights": _write_weights,
    "arrays": _write_arrays,
    "folder": _make_folder,
}
