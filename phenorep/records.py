"""Records of steps that could not run: every declared output exists, is valid, holds zero rows and says why."""

import json
import struct
from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from phenorep import contracts
from phenorep.errors import NotRun


@contextmanager
def kept_in(outputs: Iterable[str]):
    """Turn a `NotRun` raised inside the block into "not run" records in all `outputs`."""
    try:
        yield
    except NotRun as reason:
        print(f"not run: {reason}")
        for path in outputs:
            write(path, str(reason))


def write(path: str | Path, reason: str) -> None:
    """Write a "not run" record in the format that the name of `path` asks for; a name without suffix is a directory."""
    path = Path(path)
    if path.suffix == ".safetensors":
        header = json.dumps({"__metadata__": {"not_run": reason}}).encode()
        with contracts.replacing(path) as temporary:
            temporary.write_bytes(struct.pack("<Q", len(header)) + header)
    elif path.suffix == ".npz":
        with contracts.replacing(path) as temporary:
            np.savez(temporary, not_run=np.array(reason))
    elif path.suffix:
        contracts.write_not_run(path, reason)
    else:
        path.mkdir(parents=True, exist_ok=True)
