r"""SimCLR on crops of cells, fed from the memory map and from image files: images per second, waiting, memory.

``python -m benchmarks.loading`` compares both on a CPU with a few batches, in some minutes. On one GPU, with the study's
batch::

    python -m benchmarks.loading --device cuda --precision bf16-mixed --workers 14 --batch 128 --steps 100

It draws crops of 128x128 pixels, three channels, and trains a ResNet18 with the recipe `simclr` on them, each way in a
process of its own:

- phenorep: raw 16-bit samples from the memory map, both views of the whole batch augmented on the device;
- files, as solo-learn [1] feeds it: workers of a DataLoader open one 8-bit RGB image file (PNG) after another by Pillow, and
  torchvision makes both views of each image, transform by transform, before they are batched.

Network, loss, optimiser, precision, batch and the loop's own step are the same, and so are the changes: quarter turns,
flips, transposition, shift and magnification; Pillow's are of 8 bits and leave black what lies outside an image. The data
part alone is measured too, up to the finished views on the device. Of two epochs the second counts. Of each image there are
two views. Waiting is the share of time without a batch; the last column is how many times as fast phenorep is.

[1] vturrisi/solo-learn, solo/data/pretrain_dataloader.py
"""

import os
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from benchmarks import feeding
from phenorep.augment import Augmentation

CHANNELS, MAXIMUM = ["DNA", "Actin", "Tubulin"], 4095


def draw(folder: Path, count: int, size: int, distinct: int = 64) -> None:
    """Write `count` crops as a sample set and as PNG files; more than `distinct` are shifted copies."""
    from PIL import Image

    generator = np.random.default_rng(0)
    samples = np.lib.format.open_memmap(folder / "P1.npy", "w+", np.uint16, (count, len(CHANNELS), size, size))
    y, x = np.mgrid[:size, :size] - size / 2
    for index in range(count):
        if index < distinct:
            width = generator.uniform(0.08, 0.25, (len(CHANNELS), 2, 1, 1)) * size
            cell = 200 + 3000 * np.exp(-((x / width[:, 0]) ** 2) - (y / width[:, 1]) ** 2)
            samples[index] = generator.normal(cell, 30).clip(0, MAXIMUM)
        else:
            samples[index] = np.roll(samples[index % distinct], index // distinct, axis=2)
        Image.fromarray((samples[index] >> 4).astype(np.uint8).transpose(1, 2, 0)).save(folder / f"{index}.png")
    samples.flush()
    feeding.describe(folder, CHANNELS, MAXIMUM, {})


def method(asked: SimpleNamespace) -> dict:
    """The recipe's block of the configuration."""
    keys = {"backbone": asked.backbone, "batch_size": asked.batch, "epochs": 2, "warmup_epochs": 0}
    return {"use": "simclr", "keys": keys | {"precision": asked.precision}}


# -- jobs, each in a process of its own -------------------------------------------------------------------------------------


def phenorep_training(asked: SimpleNamespace, folder: Path) -> dict:
    """The training loop as the rule `pretrain` runs it."""
    return feeding.train(method(asked), asked, folder)


def phenorep_data(asked: SimpleNamespace, folder: Path) -> dict:
    """The views of an epoch, without a network."""
    import torch

    from phenorep import devices
    from phenorep.batches import ReadAhead
    from phenorep.training import split

    with devices.repeatable(asked.threads):
        recipe, sources = feeding.prepared(method(asked), folder)
        device, generator = torch.device(asked.device), np.random.default_rng(0)
        recipe.generator = torch.Generator(device)
        for _ in range(2):
            batches = split(recipe.order(sources.labels, generator), asked.batch)
            start = time.perf_counter()
            for raw in ReadAhead(sources, batches):
                images = raw.to(device).scaled(recipe.scaling)
                for _ in range(2):
                    recipe.views(images)
            feeding.finish(device)
            seconds = time.perf_counter() - start
    return {"images_s": len(batches) * asked.batch / seconds}


def files_training(asked: SimpleNamespace, folder: Path) -> dict:
    """The loop's step on views from workers."""
    from phenorep.recipes import Batch

    def batch_of(raw: list, device, progress: float) -> Batch:
        views = on_device(raw, device)
        nothing = views[0].new_empty(0)
        return Batch(views, nothing, nothing, nothing, nothing, progress)

    recipe, sources = feeding.prepared(method(asked), folder)
    recipe.views = lambda views: views.pop()
    return feeding.train_fed(recipe, sources, loader_of(asked, folder), batch_of, asked, folder)


def files_data(asked: SimpleNamespace, folder: Path) -> dict:
    """The views of an epoch from workers, moved to the device."""
    import torch

    device = torch.device(asked.device)
    return feeding.loaded(loader_of(asked, folder), lambda views: on_device(views, device), asked)


class Pictures:
    """Two views of each PNG file, made one by one by torchvision from Pillow images: a data set of a DataLoader."""

    def __init__(self, folder: Path, count: int):
        from PIL.Image import Transpose
        from torchvision import transforms

        usual = Augmentation()
        turns = (None, Transpose.ROTATE_90, Transpose.ROTATE_180, Transpose.ROTATE_270)
        steps = [transforms.RandomHorizontalFlip(), transforms.RandomVerticalFlip()]
        steps += [transforms.RandomApply([Turned(Transpose.TRANSPOSE)])]
        steps += [transforms.RandomChoice([Turned(turn) for turn in turns])]
        bilinear = transforms.InterpolationMode.BILINEAR
        steps += [transforms.RandomAffine(0, (usual.shift, usual.shift), usual.scale, interpolation=bilinear)]
        steps += [transforms.ToTensor(), transforms.Normalize([0.2] * 3, [0.2] * 3)]
        self.folder, self.count, self.change = folder, count, transforms.Compose(steps)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> list:
        from PIL import Image

        with Image.open(self.folder / f"{index}.png") as file:
            image = file.convert("RGB")
        return [self.change(image) for _ in range(2)]


class Turned:
    """A turn or flip of a Pillow image; None leaves it."""

    def __init__(self, turn):
        self.turn = turn

    def __call__(self, image):
        return image if self.turn is None else image.transpose(self.turn)


def loader_of(asked: SimpleNamespace, folder: Path):
    """A DataLoader of an epoch's views."""
    return feeding.loader_of(Pictures(folder, asked.steps * asked.batch), asked, shuffle=True)


def on_device(views: list, device) -> list:
    """Both views of a batch, (B, 3, size, size) each."""
    return [view.to(device, non_blocking=True) for view in views]


JOBS = (phenorep_training, phenorep_data, files_training, files_data)


# -- the table --------------------------------------------------------------------------------------------------------------


def compare(asked: dict, folder: Path) -> pd.DataFrame:
    """One row for each way to feed the step, with and without the network."""
    found = []
    for part in ("data", "training"):
        for feed in ("phenorep", "files"):
            row = {"part": part, "fed_by": feed} | feeding.apart("loading", f"{feed}_{part}", asked, folder)
            found.append(row)
            print({name: round(value, 3) if isinstance(value, float) else value for name, value in row.items()}, flush=True)
    table = pd.DataFrame(found)
    ours = table[table["fed_by"] == "phenorep"].set_index("part")["images_s"]
    return table.assign(phenorep_times_as_fast=ours[table["part"]].to_numpy() / table["images_s"])


def main() -> None:
    """Run as a program."""
    parser = feeding.options(__doc__, backbone="resnet18", batch=32, steps=8)  # 128 images in the study's batches
    parser.add_argument("--size", type=int, default=128, help="height and width in pixels")
    arguments = parser.parse_args()
    if arguments.job:
        feeding.run(arguments.job, JOBS)
        return
    arguments.output.mkdir(parents=True, exist_ok=True)
    asked = {name: value for name, value in vars(arguments).items() if name not in ("output", "job")}
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}, {asked}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder), arguments.steps * arguments.batch, arguments.size)
        table = compare(asked, Path(folder))
    print(f"{table.round(3).to_string(index=False)}\nload average {os.getloadavg()[0]:.1f}")
    table.to_csv(arguments.output / "loading.csv", index=False)


if __name__ == "__main__":
    main()
