"""What benchmarks of training share: drawn samples, and the loop's own step fed by phenorep or by a DataLoader."""

import argparse
import os
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from benchmarks import jobs
from phenorep import contracts


def options(description: str, **defaults) -> argparse.ArgumentParser:
    """The options that these benchmarks share; `defaults` are of the backbone, of the batch and of the steps of an epoch."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default=defaults["backbone"])
    parser.add_argument("--batch", type=int, default=defaults["batch"])
    parser.add_argument("--steps", type=int, default=defaults["steps"], help="of an epoch; two are run")
    parser.add_argument("--precision", default="32-true", choices=["32-true", "bf16-mixed"])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--workers", type=int, default=2, help="of the DataLoader")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of torch")
    parser.add_argument("--output", type=Path, default=jobs.OUTPUT)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    return parser


def apart(benchmark: str, job: str, asked: dict, folder: Path, **other) -> dict:
    """What a job of ``benchmarks.{benchmark}`` finds in a process of its own; `other` stands over what was `asked`."""
    found = jobs.apart(f"benchmarks.{benchmark}", job, {**asked, **other}, str(folder))
    return {name: value for name, value in found.items() if name not in ("work_s", "cpu_s", "rss_mb")}


def run(call: str, functions: Sequence[Callable]) -> None:
    """Run one of some functions of what was asked and the folder, in this process; see `jobs.run`."""

    def started(function: Callable) -> Callable:
        return lambda asked, folder: function(SimpleNamespace(**asked), Path(folder))

    jobs.run(call, {function.__name__: started(function) for function in functions})


def describe(folder: Path, channels: list[str], maximum: int, columns: dict) -> None:
    """Write the table and the statistics of the samples in ``P1.npy`` (N, C, H, W), each of a well of its own.

    Parameters
    ----------
    maximum
        Largest intensity of the camera.
    columns
        Further columns of the table.
    """
    samples = np.load(folder / "P1.npy", mmap_mode="r")
    names = [str(index) for index in range(len(samples))]
    table = pd.DataFrame({"Metadata_Plate": "P1", "Metadata_Well": names, "Metadata_Site": "1", **columns, "Sample": names})
    some = np.asarray(samples[:16], dtype=np.float64)
    about = {"channels": channels, "dtype": samples.dtype.name, "intensity_max": maximum, "shape": list(samples.shape[1:])}
    about |= {"count": len(samples), "of": None, "illumination": ""}
    about |= {"mean": some.mean(axis=(0, 2, 3)).tolist(), "std": some.std(axis=(0, 2, 3)).tolist()}
    contracts.write_table(table, folder / "P1.parquet", "samples", about)
    contracts.write_json(about, folder / "P1.json")


def source(folder: Path) -> dict:
    """The sample set as `pretrain` is told of it."""
    files = {"tables": [str(folder / "P1.parquet")], "statistics": [str(folder / "P1.json")]}
    return {"samples": "drawn/samples", "where": None, "labels": None, **files}


def prepared(method: dict, folder: Path) -> tuple:
    """The recipe and the samples, as `pretrain.run` makes them."""
    from phenorep import pretrain

    config, recipe_class, sources = pretrain.prepare(method, [source(folder)])
    return pretrain.build(recipe_class, config, sources, 0), sources


def train(method: dict, asked: SimpleNamespace, folder: Path) -> dict:
    """The training loop as the rule `pretrain` runs it; its own record of the last epoch."""
    from phenorep import pretrain

    outputs = [str(folder / name) for name in ("encoder.safetensors", "training.csv", "epochs")]
    pretrain.make(method, [source(folder)], None, 0, {"device": asked.device}, asked.threads, outputs)
    last = pd.read_csv(outputs[1]).iloc[-1]
    return {"images_s": last["images_per_second"], "waiting": last["waiting_share"], "peak_mb": last["peak_memory_mb"]}


def train_fed(recipe, sources, loader, batch_of: Callable, asked: SimpleNamespace, folder: Path) -> dict:
    """The loop's step on views from the workers of a DataLoader: as `train`, with `worker_mb`, the largest worker's memory.

    Parameters
    ----------
    batch_of
        Called as ``batch_of(raw, device, progress)`` with what the loader gives; returns the recipe's `Batch`.
    """
    from phenorep import devices
    from phenorep.checkpoints import Checkpoint
    from phenorep.training import Training

    class Fed(Training):
        """Batches are views already."""

        def _batch(self, raw, progress: float):
            return batch_of(raw, self.fabric.device, progress)

    with devices.repeatable(asked.threads):
        fabric = devices.fabric(devices.configure({"device": asked.device}), recipe.config.precision)
        training = Fed(recipe, sources, fabric, 0, Checkpoint(folder / "none.pt", ""), lambda *_: None)
        recipe.train()
        for _ in range(recipe.config.epochs):
            start, waited = time.perf_counter(), 0.0
            views = iter(loader)
            for _ in range(len(loader)):
                began = time.perf_counter()
                raw = next(views)
                waited += time.perf_counter() - began
                training._take_step(raw, len(loader))
            finish(fabric.device)
            seconds = time.perf_counter() - start
        found = {"images_s": len(loader) * asked.batch / seconds, "waiting": waited / seconds}
        found["peak_mb"] = training._peak_memory()
    del views, loader
    return found | {"worker_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024}


def loaded(loader, move: Callable, asked: SimpleNamespace) -> dict:
    """Two epochs of a DataLoader's views, moved to the device by `move`, of which the second counts."""
    import torch

    for _ in range(2):
        start = time.perf_counter()
        for views in loader:
            move(views)
        finish(torch.device(asked.device))
        seconds = time.perf_counter() - start
    return {"images_s": len(loader) * asked.batch / seconds}


def loader_of(dataset, asked: SimpleNamespace, **keys):
    """A DataLoader with the workers that were asked for."""
    from torch.utils.data import DataLoader

    workers = {"num_workers": asked.workers, "persistent_workers": asked.workers > 0}
    return DataLoader(dataset, asked.batch, drop_last=True, pin_memory=asked.device == "cuda", **workers, **keys)


def finish(device) -> None:
    """Wait for the device."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize()
