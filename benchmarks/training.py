r"""The training step of `dino` with weak labels, fed by phenorep and by Pillow: images per second, waiting, memory.

``python -m benchmarks.training`` compares both on a CPU with a small network, in some minutes. On one H200 (it needs no
Snakemake; the first with a batch that fills the chip, the second with the study's)::

    python -m benchmarks.training --device cuda --backbone vit_small_patch8_224 --precision bf16-mixed --output-dim 65536 \
        --workers 14 --peak-tflops 989 --batch 128 --steps 20
    python -m benchmarks.training --device cuda --backbone vit_small_patch8_224 --precision bf16-mixed --output-dim 65536 \
        --workers 14 --peak-tflops 989 --batch 16 --steps 100

It draws fields of 512x640 pixels, one channel, 16 bits, eight fields to a compound, and runs, each in a process of its own,

- phenorep: raw fields from the memory map, crops and flips of the whole batch on the device;
- Pillow, as DINO's released code feeds it: workers of a DataLoader read 16-bit TIFF files, make them 8-bit images and cut
  each view with torchvision's RandomResizedCrop (bicubic) and flips, one by one. Its images have three equal planes as
  there, and once one plane, which spares it two thirds of the work. The network sees one plane in all cases.

Everything else is the same: network, views, loss, optimiser, precision, batch, and the loop's own step. The data part alone
is measured too, up to the finished views on the device. Of two epochs the second counts.

FLOPs are those of the student's and the teacher's networks and heads, forward and backward, counted by
torch.utils.flop_counter on two images with attention written out; ``--peak-tflops`` is the chip's dense peak in the
precision used (H200: 989 for bfloat16), of which the share is stated. Waiting is the loop's: the share of time without a
batch.
"""

import os
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from benchmarks import feeding

SIZE, MAXIMUM, PER_COMPOUND = (512, 640), 10_000, 8


def draw(folder: Path, count: int, distinct: int = 16) -> None:
    """Write `count` fields as a sample set and as TIFF files; more than `distinct` are shifted copies."""
    import tifffile

    generator = np.random.default_rng(0)
    y, x = np.mgrid[-24:25, -24:25]
    images = []
    for _ in range(distinct):
        image = generator.normal(400, 20, SIZE)
        for top, left in zip(*(generator.integers(0, length - 49, 60) for length in SIZE), strict=True):
            width = generator.uniform(6, 12, 2)
            image[top : top + 49, left : left + 49] += 5000 * np.exp(-((x / width[0]) ** 2) - (y / width[1]) ** 2)
        images.append(image.clip(0, MAXIMUM).astype(np.uint16))
    samples = np.lib.format.open_memmap(folder / "P1.npy", "w+", np.uint16, (count, 1, *SIZE))
    for index in range(count):
        samples[index, 0] = np.roll(images[index % distinct], index // distinct, axis=1)
        tifffile.imwrite(folder / f"{index}.tif", samples[index, 0])
    samples.flush()
    compounds = [f"c{index // PER_COMPOUND}" for index in range(count)]
    feeding.describe(folder, ["DNA"], MAXIMUM, {"Metadata_Compound": compounds})


def method(asked: SimpleNamespace) -> dict:
    """The recipe's block of the configuration."""
    keys = {"backbone": asked.backbone, "batch_size": asked.batch, "epochs": 2, "warmup_epochs": 0}
    keys |= {"weak_label": "compound", "precision": asked.precision, "output_dim": asked.output_dim}
    keys |= {"global_size": asked.global_size, "local_size": asked.local_size, "local_crops": asked.local_crops}
    return {"use": "dino", "keys": keys | {"drop_path": 0.1 if asked.backbone.startswith("vit") else 0.0}}


def prepared(asked: SimpleNamespace, folder: Path) -> tuple:
    """The recipe and the samples, as `pretrain.run` makes them."""
    return feeding.prepared(method(asked), folder)


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
        recipe, sources = prepared(asked, folder)
        device, config, generator = torch.device(asked.device), recipe.config, np.random.default_rng(0)
        recipe.generator = torch.Generator(device)
        for _ in range(2):
            order = recipe.order(sources.labels, generator)
            companions = recipe.companions(order, sources.labels, generator)
            batches = [split(rows, asked.batch) for rows in (order, companions)]
            start = time.perf_counter()
            for raw in ReadAhead(sources, batches[0], companions=batches[1]):
                moved = raw.to(device)
                recipe.crops(moved.scaled(recipe.scaling), 2, config.global_size, config.global_scale)
                partner = moved.scaled_companions(recipe.scaling)
                recipe.crops(partner, config.local_crops, config.local_size, config.local_scale)
            feeding.finish(device)
            seconds = time.perf_counter() - start
    return {"images_s": len(batches[0]) * asked.batch / seconds}


def pillow_training(asked: SimpleNamespace, folder: Path) -> dict:
    """The loop's step on views from workers."""
    import torch

    from phenorep.recipes import Batch

    def batch_of(raw: list, device, progress: float) -> Batch:
        large, small = on_device(raw, device)
        nothing = torch.empty(0)
        return Batch(large, nothing, nothing, nothing, nothing, progress, small)

    recipe, sources = prepared(asked, folder)
    recipe.crops = lambda images, *_: images
    return feeding.train_fed(recipe, sources, loader_of(asked, folder, recipe, sources), batch_of, asked, folder)


def pillow_data(asked: SimpleNamespace, folder: Path) -> dict:
    """The views of an epoch from workers, moved to the device."""
    import torch

    recipe, sources = prepared(asked, folder)
    device = torch.device(asked.device)
    return feeding.loaded(loader_of(asked, folder, recipe, sources), lambda views: on_device(views, device), asked)


def flops(asked: SimpleNamespace, folder: Path) -> dict:
    """Floating-point operations of a training step, per image."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from phenorep.recipes import Batch

    recipe, _ = prepared(asked, folder)
    for module in recipe.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False  # fused kernels are not counted on every device
    recipe.crops = lambda images, *_: images
    sizes = ((2, asked.global_size), (asked.local_crops, asked.local_size))
    large, small = (torch.randn(2 * count, 1, size, size) for count, size in sizes)
    nothing = torch.empty(0)
    with FlopCounterMode(display=False) as counter:
        recipe.training_step(Batch(large, nothing, nothing, nothing, nothing, 0.0, small)).backward()
    return {"gflop": counter.get_total_flops() / 2e9}


class Pictures:
    """Views of TIFF files, cut one by one by torchvision from Pillow images: a data set of a DataLoader.

    Parameters
    ----------
    order, partners
        (n,) numbers of the files that give large and small crops.
    """

    def __init__(self, asked: SimpleNamespace, folder: Path, recipe, order: np.ndarray, partners: np.ndarray):
        from torchvision import transforms

        config = recipe.config

        def cut(size: int, area: tuple[float, float]):
            bicubic = transforms.InterpolationMode.BICUBIC
            steps = [transforms.RandomResizedCrop(size, area, config.crop_ratio, bicubic)]
            steps += [transforms.RandomHorizontalFlip(), transforms.RandomVerticalFlip(), transforms.ToTensor()]
            return transforms.Compose([*steps, transforms.Normalize([0.1] * asked.planes, [0.1] * asked.planes)])

        self.large, self.small = cut(config.global_size, config.global_scale), cut(config.local_size, config.local_scale)
        self.folder, self.planes, self.local_crops = folder, asked.planes, asked.local_crops
        self.order, self.partners = order, partners

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> list:
        image, partner = (self.read(rows[index]) for rows in (self.order, self.partners))
        return [self.large(image) for _ in range(2)] + [self.small(partner) for _ in range(self.local_crops)]

    def read(self, number: int):
        """An 8-bit image."""
        from PIL import Image

        with Image.open(self.folder / f"{number}.tif") as file:
            values = np.asarray(file)
        image = Image.fromarray((values.clip(0, MAXIMUM) * (255 / MAXIMUM)).astype(np.uint8))
        return image.convert("RGB") if self.planes == 3 else image


def loader_of(asked: SimpleNamespace, folder: Path, recipe, sources):
    """A DataLoader of an epoch's views, of the pairs that phenorep would draw."""
    generator = np.random.default_rng(0)
    order = recipe.order(sources.labels, generator)
    companions = recipe.companions(order, sources.labels, generator)
    return feeding.loader_of(Pictures(asked, folder, recipe, order, companions), asked)


def on_device(views: list, device) -> tuple:
    """Large and small crops of a batch, (views * B, 1, size, size) each."""
    import torch

    moved = [view.to(device, non_blocking=True)[:, :1] for view in views]
    return torch.cat(moved[:2]), torch.cat(moved[2:])


JOBS = (phenorep_training, phenorep_data, pillow_training, pillow_data, flops)


# -- the table --------------------------------------------------------------------------------------------------------------


def compare(asked: dict, folder: Path, peak: float | None) -> pd.DataFrame:
    """One row for each way to feed the step, with and without the network."""
    counted = feeding.apart("training", "flops", asked, folder)["gflop"]
    print(f"{counted:.1f} GFLOP per image", flush=True)
    found = []
    for part in ("data", "training"):
        for feed, planes in (("phenorep", 1), ("pillow", 3), ("pillow", 1)):
            row = {"part": part, "fed_by": feed, "planes": planes}
            row |= feeding.apart("training", f"{feed}_{part}", asked, folder, planes=planes)
            row["views_s"] = row["images_s"] * (2 + asked["local_crops"])
            if part == "training":
                row["tflop_s"] = row["images_s"] * counted / 1000
                row["share_of_peak"] = row["tflop_s"] / peak if peak else np.nan
            found.append(row)
            print({name: round(value, 3) if isinstance(value, float) else value for name, value in row.items()}, flush=True)
    table = pd.DataFrame(found)
    ours = table[table["fed_by"] == "phenorep"].set_index("part")["images_s"]
    return table.assign(phenorep_times_as_fast=ours[table["part"]].to_numpy() / table["images_s"])


def main() -> None:
    """Run as a program."""
    parser = feeding.options(__doc__, backbone="vit_tiny_patch16_224", batch=8, steps=4)
    parser.add_argument("--global-size", type=int, default=224)
    parser.add_argument("--local-size", type=int, default=96)
    parser.add_argument("--local-crops", type=int, default=8)
    parser.add_argument("--output-dim", type=int, default=4096, help="of the head; 65536 in the study")
    parser.add_argument("--peak-tflops", type=float, help="of the chip in the precision used")
    arguments = parser.parse_args()
    if arguments.job:
        feeding.run(arguments.job, JOBS)
        return
    arguments.output.mkdir(parents=True, exist_ok=True)
    asked = {name: value for name, value in vars(arguments).items() if name not in ("output", "job", "peak_tflops")}
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}, {asked}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder), arguments.steps * arguments.batch)
        table = compare(asked, Path(folder), arguments.peak_tflops)
    print(f"{table.round(3).to_string(index=False)}\nload average {os.getloadavg()[0]:.1f}")
    table.to_csv(arguments.output / "training.csv", index=False)


if __name__ == "__main__":
    main()
