"""Augmentation of a batch: one batched resampling beside torchvision image by image and kornia, all on the same device.

``python -m benchmarks.augmentation [--count 256 --channels 3 --size 128] [--device cuda]`` runs, in turns on one batch,

- phenorep: `augment` with its defaults, parameters of each sample in one resampling of the batch;
- torchvision (v2): the same changes by its own transforms, one image after another, as a DataLoader applies them;
- kornia: its batched transforms with parameters of each sample, one after another ("not installed" where it is not).

It does so for turns and flips alone, which move pixels, and with shift and magnification, which interpolate (bilinear
everywhere). What lies outside an image is its mirror image in phenorep and kornia, and 0 in torchvision, which has nothing
else. kornia gets no transposition: with flips and quarter turns it reaches the same eight orientations.

Times are medians of ``--rounds`` batches after one that is not counted; the last column is each one's over phenorep's.
"""

import argparse
import importlib.util
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch

from phenorep.augment import Augmentation, augment

ROOT = Path(__file__).resolve().parent.parent
SHIFT, SCALE = Augmentation().shift, Augmentation().scale
CHANGES = {"turns": Augmentation(shift=0, scale=(1, 1)), "turns, shift, scale": Augmentation()}

Change = Callable[[torch.Tensor], torch.Tensor]


def of_phenorep(moved: bool, device: str) -> Change:
    """The whole batch in one resampling."""
    settings, generator = CHANGES["turns, shift, scale" if moved else "turns"], torch.Generator(device).manual_seed(0)
    return lambda images: augment(images, settings, generator)


def of_torchvision(moved: bool, device: str) -> Change:  # noqa: ARG001 (it works where the images are)
    """Image by image."""
    from torchvision.transforms import InterpolationMode, v2

    steps = [v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()]
    steps += [v2.RandomApply([v2.Lambda(lambda image: image.transpose(-1, -2))], p=0.5)]
    steps += [v2.RandomChoice([v2.Lambda(lambda image, turns=turns: image.rot90(turns, (-2, -1))) for turns in range(4)])]
    if moved:
        steps += [v2.RandomAffine(0, (SHIFT, SHIFT), SCALE, interpolation=InterpolationMode.BILINEAR)]
    change = v2.Compose(steps)
    return lambda images: torch.stack([change(image) for image in images])


def of_kornia(moved: bool, device: str) -> Change | None:
    """The whole batch, one change after another; None where it is not installed."""
    if importlib.util.find_spec("kornia") is None:
        return None
    from kornia import augmentation

    steps = [augmentation.RandomHorizontalFlip(), augmentation.RandomVerticalFlip()]
    steps += [augmentation.RandomRotation90((0, 3), p=1.0)]
    if moved:
        steps += [augmentation.RandomAffine(0, (SHIFT, SHIFT), SCALE, padding_mode="reflection", p=1.0)]
    return augmentation.AugmentationSequential(*steps).to(device)


WAYS = {"phenorep": of_phenorep, "torchvision": of_torchvision, "kornia": of_kornia}


def seconds(change: Change, images: torch.Tensor) -> float:
    """Of one batch."""
    start = time.perf_counter()
    change(images)
    if images.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def compare(images: torch.Tensor, rounds: int) -> pd.DataFrame:
    """One row for each library and kind of change."""
    found = []
    for kind in CHANGES:
        ways = {name: make(kind != "turns", images.device.type) for name, make in WAYS.items()}
        taken = {name: [] for name in ways}
        for number in range(rounds + 1):
            # In turns, so that other programs on the machine disturb all alike.
            for name, change in ways.items():
                if change is not None and (took := seconds(change, images)) and number:
                    taken[name].append(took)
        ours = statistics.median(taken["phenorep"])
        for name, times in taken.items():
            row = {"changes": kind, "library": name, "note": "" if times else "not installed"}
            if times:
                median = statistics.median(times)
                row |= {"ms": 1000 * median, "ms_least": 1000 * min(times), "images_s": len(images) / median}
                row["times_phenorep"] = median / ours
            found.append(row)
    return pd.DataFrame(found)


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=256, help="images of a batch")
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--size", type=int, default=128, help="height and width in pixels")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of torch")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "output")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    images = torch.rand(arguments.count, arguments.channels, arguments.size, arguments.size).to(arguments.device)
    print(f"{os.cpu_count()} cores, {arguments.threads} threads, load average {os.getloadavg()[0]:.1f}", flush=True)
    table = compare(images, arguments.rounds)
    print(f"{tuple(images.shape)} on {arguments.device}\n{table.round(2).to_string(index=False, na_rep='')}")
    table.to_csv(arguments.output / "augmentation.csv", index=False)


if __name__ == "__main__":
    main()
