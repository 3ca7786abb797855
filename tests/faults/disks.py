"""Disks that are full, or can only be read, where the next stage writes."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.bench import OUTPUTS, STAGES, Bench, Broken, Work
from tests.faults.case import Case, Skipped

_PAGE = 4096
REFUSED = "refused, file and remedy named; then goes on, same results"


def _mount(*arguments: object) -> None:
    if shutil.which("mount") is None:
        raise Skipped("there is no program 'mount'")
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise Skipped(f"disks cannot be mounted here ({done.stderr.strip()}); try: unshare -rm python -m tests.faults")


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True)


@contextmanager
def small_disk(folder: Path, room: int):
    """Put a folder on a disk of its own, on which `room` bytes are left; yields a function that makes more room."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder.with_name(folder.name + ".kept")
    folder.rename(kept)
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", "size=1g", "none", folder)
    try:
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        filler = folder / ".filler"
        used = shutil.disk_usage(folder).used
        _mount("-o", f"remount,size={used + room + 8 * _PAGE}", folder)
        with open(filler, "wb") as file:
            file.write(b"x" * (shutil.disk_usage(folder).free - room) if shutil.disk_usage(folder).free > room else b"")

        def more() -> None:
            filler.unlink()
            _mount("-o", "remount,size=1g", folder)

        yield more
    finally:
        _unmount(folder)
        shutil.rmtree(kept)


@contextmanager
def read_only(folder: Path):
    """Let a folder be read only; yields a function that ends this."""
    _mount("--bind", folder, folder)
    try:
        _mount("-o", "remount,ro,bind", folder)
        yield lambda: _unmount(folder)
    finally:
        _unmount(folder)


def _disk(work: Work, stage: str) -> Path:
    """The folder that is put on a disk of its own."""
    parts = Path(OUTPUTS[stage][0]).parts
    return work.folder.joinpath(*parts[: 2 if stage == "report" else 1])


def full(bench: Bench, stage: str) -> Work:
    """Half of what the stage writes finds room."""
    work = bench.copy(stage)
    target = OUTPUTS[stage][0]
    sizes = [p.stat().st_size for name in OUTPUTS[stage] for p in _files(bench.undisturbed / name)]
    with small_disk(_disk(work, stage), sum(sizes) // 2 // _PAGE * _PAGE) as more:
        before = work.files()
        if not work.run(target):
            raise Broken("the run ends well on a full disk")
        work.worked(stage)
        work.check_said("the disk is full", "Make room", Path(target).parts[0] if stage != "report" else "reports/faults")
        more()
        work.again(target)
        work.check_left_alone({name: state for name, state in before.items() if ".filler" not in name})
        work.check_same(*(path for path in OUTPUTS[stage] if stage != "report"))
    return work


def only_read(bench: Bench, stage: str) -> Work:
    """The results' folder can only be read."""
    work = bench.copy(stage)
    target = OUTPUTS[stage][0]
    with read_only(_disk(work, stage)) as end:
        if not work.run(target):
            raise Broken("the run ends well although nothing can be written")
        work.worked(stage)
        # Snakemake itself meets it, and says so in its own way.
        if "Read-only file system" not in work.said or target not in work.said:
            raise Broken(f"it is not said what cannot be written:\n{work.said[-2000:]}")
        end()
        work.again(target)
        work.check_same(*OUTPUTS[stage])
    return work


def _files(path: Path) -> list[Path]:
    return [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]


def cases(seed: int, times: int) -> Iterator[Case]:
    """All cases of this sort."""
    for stage in STAGES:
        yield Case(f"disk full in {stage}", stage, lambda bench, stage=stage: full(bench, stage), REFUSED)
    yield Case(
        "results can only be read",
        "normalise",
        lambda bench: only_read(bench, "normalise"),
        REFUSED.replace("remedy", "reason"),
    )
