"""Trainings that are killed in the middle, for tests of what goes on from a checkpoint."""

import numpy as np
import pytest
import torch

from phenorep import pretrain, training
from tests.unit import made_samples


class Killed(Exception):
    """What ends the training."""


def kill(monkeypatch, arguments: dict, steps: int) -> None:
    """Train by `pretrain.make` until so many steps are taken; random states are then those of a new process."""
    taken, take_step = [], training.Training._take_step

    def killed_after(self, *given):
        if len(taken) == steps:
            raise Killed
        taken.append(self.step)
        return take_step(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(training.Training, "_take_step", killed_after)
        with pytest.raises(Killed):
            pretrain.make(**arguments)
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002


def check_that_it_goes_on(monkeypatch, folder, files: dict, use: str, keys: dict, steps: int) -> None:
    """One training without a break and one that is killed after so many steps must end with the same encoder.

    They are left in the folders ``undisturbed`` and ``killed``; there is a checkpoint after each step.
    """
    compute = {"device": "cpu", "checkpoint_minutes": 0}
    undisturbed, broken = (
        made_samples.pretrain_arguments(folder / name, files, use, keys, compute=compute)
        for name in ("undisturbed", "killed")
    )
    pretrain.make(**undisturbed)
    kill(monkeypatch, broken, steps)
    pretrain.make(**broken)
    contents = [(folder / name / "encoder.safetensors").read_bytes() for name in ("undisturbed", "killed")]
    assert contents[0] == contents[1]
