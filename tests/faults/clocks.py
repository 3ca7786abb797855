"""Times of files that tell nothing: clocks that differ, trees that were copied. Scores stay; no training is repeated."""

import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.faults.bench import OUTPUTS, SCORES, SECOND, Bench, Work
from tests.faults.case import Case

DAY = 86_400.0
NOTHING = "nothing is made again"
SAME = "some tables are made again, no training; same results"


def _touch(work: Work, moved: Callable[[Path, float], float]) -> None:
    """Change the times of all results."""
    for top in ("results", "resources"):
        for path in (work.folder / top).rglob("*"):
            if path.is_file():
                os.utime(path, (moved(path, path.stat().st_mtime),) * 2)


def left_alone(bench: Bench, moved: Callable[[Path, float], float]) -> Work:
    """All times are moved alike: nothing is to be done."""
    work = bench.copy()
    _touch(work, moved)
    before = work.files()
    work.again(SCORES)
    work.check_left_alone(before)
    work.check_said("Nothing to be done")
    return work


def same_scores(bench: Bench, moved: Callable[[Path, float], float]) -> Work:
    """Times are moved apart: what is made again ends as it was, without training, and once is enough."""
    work = bench.copy()
    _touch(work, moved)
    before = {name: state for name, state in work.files().items() if name.startswith("results/screen/encoders")}
    started = time.monotonic()
    work.again(SCORES)
    work.lost = time.monotonic() - started
    work.check_left_alone(before)
    work.check_same(SCORES, *OUTPUTS["embed"])
    work.again(SCORES)
    work.check_said("Nothing to be done")
    return work


def copied(bench: Bench) -> Work:
    """The folder is copied without its times, in no order."""
    work = bench.copy()
    tree = work.folder.with_name(work.folder.name + "_copied")
    shutil.copytree(work.folder, tree, copy_function=shutil.copyfile)
    shutil.rmtree(work.folder)
    tree.rename(work.folder)
    before = {name: state for name, state in work.files().items() if name.startswith("results/screen/encoders")}
    started = time.monotonic()
    work.again(SCORES)
    work.lost = time.monotonic() - started
    work.check_left_alone(before)
    work.check_same(SCORES)
    return work


def one_in_the_future(bench: Bench) -> Work:
    """One file is of tomorrow: what follows from it is made again, and ends as it was."""
    work = bench.copy()
    path = work.folder / f"results/screen/samples/cells/{SECOND}.npy"
    os.utime(path, (time.time() + DAY,) * 2)
    before = {name: state for name, state in work.files().items() if name.startswith("results/screen/encoders")}
    started = time.monotonic()
    work.again(SCORES)
    work.lost = time.monotonic() - started
    work.check_left_alone(before)
    work.check_same(SCORES, *OUTPUTS["embed"])
    return work


def cases(seed: int, times: int) -> Iterator[Case]:
    """All cases of this sort."""
    generator = random.Random(seed)
    yield Case("all files of tomorrow", "all", lambda bench: left_alone(bench, lambda _, was: was + DAY), NOTHING)
    yield Case("all files of 1980", "all", lambda bench: left_alone(bench, lambda _, was: was - 40 * 365 * DAY), NOTHING)
    yield Case("copied with times", "all", lambda bench: left_alone(bench, lambda _, was: was), NOTHING)
    yield Case("copied without times", "all", copied, SAME)
    skewed = lambda _, was: was + generator.uniform(-5, 5)  # noqa: E731
    yield Case("clocks of files apart by seconds", "all", lambda bench: same_scores(bench, skewed), SAME)
    yield Case("samples of tomorrow", "embed", one_in_the_future, SAME)
