"""Checkpoints of a training that may be killed at any moment.

A checkpoint is no declared output: Snakemake deletes those before it runs a job again. Encoders of saved epochs are kept
beside it until the training ends.
"""

import random
import shutil
import zipfile
from pathlib import Path

import numpy as np
import torch

from phenorep.contracts import replacing


def random_states(generator: torch.Generator) -> dict:
    """All random states of this process, in plain types and tensors."""
    name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002 (recipes' libraries may draw from it)
    states = {
        "torch": torch.get_rng_state(),
        "augmentation": generator.get_state(),
        "numpy": (name, keys.tolist(), position, has_gauss, cached),
        "python": random.getstate(),
    }
    if generator.device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(generator.device)
    return states


def restore_random_states(states: dict, generator: torch.Generator) -> None:
    """Set the random states that `random_states` returned."""
    torch.set_rng_state(states["torch"].cpu())
    generator.set_state(states["augmentation"].cpu())
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))  # noqa: NPY002
    random.setstate(states["python"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"].cpu(), generator.device)


class Checkpoint:
    """The state of one training in one file, and the saved epochs beside it.

    Parameters
    ----------
    path
        Where the state is kept.
    fingerprint
        What the state belongs to: configuration, samples, seed. A file with another one is not taken up.
    """

    def __init__(self, path: str | Path, fingerprint: str):
        self.path = Path(path)
        self.fingerprint = fingerprint
        self.epochs = self.path.with_name(f"{self.path.stem}_epochs")

    def load(self) -> dict | None:
        """The state to go on from; None where there is none, or where it is of another training."""
        if not self.path.is_file():
            return None
        try:
            # The file is a zip archive, whose checksums torch does not compare.
            with zipfile.ZipFile(self.path) as archive:
                if damaged := archive.testzip():
                    raise ValueError(f"{damaged} is not what was written")
            state = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever a damaged file makes torch raise, the remedy is to begin again
            print(f"checkpoint {self.path} cannot be read ({type(error).__name__}): training begins again")
            return None
        if state.get("fingerprint") != self.fingerprint:
            print(f"checkpoint {self.path} is of another configuration or of other samples: training begins again")
            return None
        print(f"checkpoint {self.path}: training goes on at epoch {state['epoch']}, step {state['step']}")
        return state

    def save(self, state: dict) -> None:
        """Write the state, whole or not at all."""
        with replacing(self.path) as temporary:
            torch.save({**state, "fingerprint": self.fingerprint}, temporary)

    def epoch_path(self, epoch: int) -> Path:
        """Where the encoder of a saved epoch is kept while training."""
        return self.epochs / f"{epoch}.safetensors"

    def deliver_epochs(self, epochs: list[int], target: str | Path) -> None:
        """Copy the encoders of saved epochs into the declared directory."""
        target = Path(target)
        target.mkdir(parents=True, exist_ok=True)
        for epoch in epochs:
            shutil.copyfile(self.epoch_path(epoch), target / f"{epoch}.safetensors")

    def clear(self) -> None:
        """Remove the state and the saved epochs: all outputs are written."""
        self.path.unlink(missing_ok=True)
        shutil.rmtree(self.epochs, ignore_errors=True)
