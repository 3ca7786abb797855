"""The devices that a job computes on; nothing falls back in silence."""

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch

from phenorep import blas, gpus, plugins
from phenorep.errors import UserError


@dataclass(frozen=True)
class Compute:
    """The configuration block ``compute``: `device`, `devices` and `threads` decide rounding, and by that what is learnt."""

    device: Literal["auto", "cpu", "cuda"] = "auto"  # auto takes a GPU where there is one, and says so
    devices: int = 1  # GPUs (or processes, on cpu) that train one encoder together
    # Threads of torch on a CPU, however many cores Snakemake gives to the job: another number rounds sums in another way,
    # of which a training makes much, so a changed number trains anew. More where one training has many cores for itself.
    threads: int = 2
    batch_size: int = 256  # samples that are embedded at once; fewer where memory ends, the result is the same
    checkpoint_minutes: float = 10.0  # most that a killed training loses; each epoch's end is kept anyway

    def __post_init__(self):
        for name in ("devices", "threads", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if self.checkpoint_minutes < 0:
            raise ValueError("checkpoint_minutes must not be negative")


def configure(values: dict | None, **fixed) -> Compute:
    """The block ``compute`` (None: it is absent) with its defaults; raises `UserError` on a wrong key or value.

    Parameters
    ----------
    fixed
        Keys that the job decides, whatever the block says: embedding takes one device.
    """
    return plugins.configure(Compute, {**(values or {}), **fixed}, "compute")


def accelerator(compute: Compute) -> str:
    """``cpu`` or ``cuda``; of several GPUs this process sees from then on those that it is to use, and says which.

    Raises
    ------
    UserError
        If ``cuda`` is asked for, or more of it, than there is.
    """
    if compute.device == "cpu":
        return "cpu"
    taken = gpus.take(compute.devices)
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    chosen = compute.device
    if chosen == "auto":
        chosen = "cuda" if available else "cpu"
        print(f"compute: device: auto takes {torch.cuda.get_device_name() if available else 'the CPU (no GPU is visible)'}")
    if taken:
        print(f"compute: {taken}")
    if chosen == "cuda" and available < compute.devices:
        raise UserError(
            f"compute: device: cuda with devices: {compute.devices}, but torch {torch.__version__} sees {available} GPU(s). "
            "Set device: cpu, fewer devices, or install the driver and a CUDA build of torch."
        )
    return chosen


def fabric(compute: Compute, precision: str):
    """Lightning Fabric on the chosen devices, launched; its environment is given, so Slurm around it is not taken up."""
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import LightningEnvironment

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it matrix products on a GPU are not repeatable
    made = Fabric(
        accelerator=accelerator(compute),
        devices=compute.devices,
        strategy="ddp" if compute.devices > 1 else "auto",
        precision=precision,
        plugins=[LightningEnvironment()],
    )
    made.launch()
    return made


@contextmanager
def repeatable(threads: int):
    """Inside the block torch uses `threads` threads and, where it has them, algorithms that repeat bit by bit; numpy one."""
    before = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    filled = torch.utils.deterministic.fill_uninitialized_memory
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("warn")  # as use_deterministic_algorithms, which imports torch's compiler for it
    # Filling memory that is overwritten anyway finds mistakes in kernels; it costs time in each operation.
    torch.utils.deterministic.fill_uninitialized_memory = False
    try:
        with blas.single_thread():
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_deterministic_debug_mode(before[1])
        torch.utils.deterministic.fill_uninitialized_memory = filled
