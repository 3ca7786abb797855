"""The run that faults strike: made once without any, copied for each case, and compared with it afterwards."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from phenorep import locks
from tests.e2e.conftest import TINY_SCREEN, Project

HOOK = Path(__file__).parent / "hook"
FIRST, SECOND = "Week1_22101", "Week2_22201"  # the plates
_OF = "screen/{0}/cells/simclr/seed0"
_ENCODER, _EMBEDDED, _PROFILES, _SCORED = map(_OF.format, ("encoders", "embeddings", "profiles", "scores"))
SCORES = "results/scores/faults.csv"
# What the job of each stage leaves: of plates, the job of the second, while the first must be left in peace.
OUTPUTS = {
    "download": (f"resources/screen/{SECOND}",),
    "fields": (f"results/screen/fields/{SECOND}.parquet",),
    "illumination": (f"results/screen/illumination/{SECOND}.npz",),
    "nuclei": tuple(f"results/screen/{name}" for name in (
        f"masks/{SECOND}.npz", f"nuclei/{SECOND}.parquet", f"field_quality/{SECOND}.parquet"
    )),
    "samples": tuple(f"results/screen/samples/cells/{SECOND}.{kind}" for kind in ("npy", "parquet", "json")),
    "pretrain": tuple(f"results/{_ENCODER}/{name}" for name in ("encoder.safetensors", "training.csv", "epochs")),
    "embed": (f"results/{_EMBEDDED}/final.parquet",),
    "normalise": tuple(f"results/{_PROFILES}/final/tvn.{kind}" for kind in ("parquet", "npz")),
    "evaluate": tuple(f"results/{_SCORED}/final/tvn/moa_matching.{kind}" for kind in ("csv", "parquet")),
    "scores": (SCORES,),
    "answers": ("results/answers/faults.csv",),
    "report": ("reports/faults/index.html", "reports/faults"),  # one job makes all of the folder
}  # fmt: skip
LOGS = {
    "download": f"logs/screen/download/{SECOND}.log",
    **{stage: f"logs/screen/{stage}/{SECOND}.log" for stage in ("fields", "illumination", "nuclei")},
    "samples": f"logs/screen/samples/cells/{SECOND}.log",
    "pretrain": f"logs/{_ENCODER}.log",
    "embed": f"logs/{_EMBEDDED}/final.log",
    "normalise": f"logs/{_PROFILES}/final/tvn.log",
    "evaluate": f"logs/{_SCORED}/final/tvn/moa_matching.log",
    "scores": "logs/scores/faults.log",
    "answers": "logs/answers/faults.log",
    "report": "logs/report/faults.log",
}
STAGES = tuple(OUTPUTS)
_PATIENCE = 900  # seconds for whatever is waited for
_TEMPORARY = re.compile(r"^\..+\.\d+(\.\w+)?$")


class Broken(Exception):
    """A case has not kept its promise."""


def faults_config() -> dict:
    """Every stage once, and a network that is trained in seconds."""
    return {
        "name": "faults",
        "datasets": {"screen": {"use": "simulated", **TINY_SCREEN}},
        "samples": {"cells": {"use": "nuclei", "size": 32}},
        "methods": {"simclr": {"backbone": "resnet10t", "epochs": 2, "batch_size": 64, "projector": [64, 32]}},
        "profiles": {"tvn": [{"tvn": {}}, {"aggregate": {"by": "treatment", "with": "median"}}]},
        "evaluations": {"moa_matching": {}},
        "studies": {
            "faults": {
                **{"dataset": "screen", "samples": "cells", "methods": ["simclr"]},
                **{"profiles": ["tvn"], "evaluations": ["moa_matching"]},
            }
        },
        "compute": {"device": "cpu", "checkpoint_minutes": 0},
    }


class Bench:
    """A folder with the undisturbed run, and copies of it in which things go wrong.

    Parameters
    ----------
    folder
        Where all of it lies; an undisturbed run that is there is used again.
    config, target
        What is run; the defaults are every stage and all there is.
    """

    def __init__(self, folder: str | Path, config: dict | None = None, target: Iterable[str] = ()):
        self.folder = Path(folder).resolve()
        self.config = config or faults_config()
        self.undisturbed = self.folder / "undisturbed"
        self.seconds = 0.0  # that the undisturbed run took
        self._made = 0
        done = self.folder / "done.json"
        if done.is_file():
            self.seconds = json.loads(done.read_text())["seconds"]
            return
        shutil.rmtree(self.undisturbed, ignore_errors=True)
        self.undisturbed.mkdir(parents=True)
        start = time.monotonic()
        Project(self.undisturbed).finish(self.config, *(["--", *target] if target else []))
        self.seconds = time.monotonic() - start
        done.write_text(json.dumps({"seconds": self.seconds}))

    def copy(self, *without: str, at: Path | None = None) -> "Work":
        """A copy of the finished run, without what some stages have left; times of files are kept."""
        self._made += 1
        folder = at or self.folder / f"work{self._made}"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.undisturbed, folder, symlinks=True, dirs_exist_ok=True)
        work = Work(folder, self)
        for stage in without:
            work.remove(*OUTPUTS[stage])
        return work

    def empty(self) -> "Work":
        """A copy of the project in which nothing has run."""
        work = self.copy()
        for part in ("results", "resources", "logs", ".snakemake", "reports/faults"):
            shutil.rmtree(work.folder / part)
        return work


class Work:
    """A copy of the run in which a fault strikes."""

    def __init__(self, folder: Path, bench: Bench):
        self.folder, self.bench = folder, bench
        self.said = ""  # what the last command printed
        self.lost = 0.0  # seconds that the job had worked when it was struck

    # -- running ---------------------------------------------------------------------------------------------------

    def command(self, targets: Iterable[str], config: dict | None = None) -> list[str]:
        """Snakemake's command line; options may stand among the targets."""
        project = Project.__new__(Project)
        project.folder = self.folder
        options = [target for target in targets if target.startswith("--")]
        files = [target for target in targets if not target.startswith("--")]
        return project.command(config or self.bench.config, *options, *(["--", *files] if files else []))

    def environment(self, **more: str) -> dict:
        """Environment of a command that imports the copy, not the project under test."""
        return {**{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}, **more}

    def start(self, *targets: str, fault: dict | None = None, mark: str = "struck") -> subprocess.Popen:
        """Start the command in a process group of its own, which `fault` (see the hook) will strike."""
        more = {}
        if fault:
            (self.folder / mark).unlink(missing_ok=True)
            plan = json.dumps({**fault, "mark": str(self.folder / mark)})
            more = {"PYTHONPATH": str(HOOK), "PHENOREP_FAULT": plan}
        with open(self.folder / "said.txt", "w") as said:
            return subprocess.Popen(
                self.command(targets), cwd=self.folder, env=self.environment(**more), stdout=said, stderr=said,
                start_new_session=True,
            )  # fmt: skip

    def ended(self, process: subprocess.Popen) -> int:
        """Wait for a command; its exit status."""
        try:
            status = process.wait(_PATIENCE)
        finally:
            kill(process)
        self.said = (self.folder / "said.txt").read_text()
        return status

    def run(self, *targets: str, fault: dict | None = None) -> int:
        """The command, to its end; its exit status."""
        return self.ended(self.start(*targets, fault=fault))

    def again(self, *targets: str) -> None:
        """The same command again, as `make` gives it; it must end well.

        Raises
        ------
        Broken
            If it does not.
        """
        released = self.release()
        if released.returncode:
            raise Broken(f"the lock was not released: {released.stdout}{released.stderr}")
        if self.run(*targets):
            raise Broken(f"the same command does not go on:\n{self.said[-3000:]}")

    def release(self) -> subprocess.CompletedProcess:
        """Release the lock of a killed run, as `make` does first of all."""
        command = [sys.executable, "-m", "phenorep.locks"]
        return subprocess.run(command, cwd=self.folder, env=self.environment(), capture_output=True, text=True)

    def until(self, process: subprocess.Popen, mark: str = "struck") -> None:
        """Wait until the fault has struck; `lost` is then for how long the job had worked."""
        deadline = time.monotonic() + _PATIENCE
        while not (self.folder / mark).exists():
            if process.poll() is not None or time.monotonic() > deadline:
                kill(process)
                raise Broken(f"the fault did not strike:\n{(self.folder / 'said.txt').read_text()[-3000:]}")
            time.sleep(0.02)

    def worked(self, stage: str) -> None:
        """Note for how long the stage's job has worked: its work is lost."""
        log = self.folder / LOGS[stage]
        self.lost = max(0.0, time.time() - log.stat().st_ctime) if log.exists() else 0.0

    # -- looking ---------------------------------------------------------------------------------------------------

    def remove(self, *paths: str) -> None:
        """Remove files and folders."""
        for path in map(self.folder.joinpath, paths):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def files(self) -> dict[str, tuple]:
        """All results: path to what would change if the file were written anew."""
        found = {}
        for top in ("results", "resources", "reports/faults"):
            for path in (self.folder / top).rglob("*"):
                name = str(path.relative_to(self.folder))
                if path.is_file() and not name.startswith("results/benchmarks") and path.name != ".snakemake_timestamp":
                    state = path.stat()
                    found[name] = (state.st_ino, state.st_mtime_ns, state.st_size)
        return found

    def check_left_alone(self, before: dict[str, tuple], but: Iterable[str] = ()) -> None:
        """Raise `Broken` if a file that was whole was made again."""
        now = self.files()
        changed = [name for name in before if now.get(name) != before[name] and not name.startswith(tuple(but))]
        if changed:
            raise Broken(f"{len(changed)} whole results were made again, the first is {changed[0]}")

    def check_same(self, *paths: str) -> None:
        """Raise `Broken` if results differ from those of the undisturbed run, or a half-written file is left."""
        for path in paths:
            mine, theirs = self.folder / path, self.bench.undisturbed / path
            names = [p.relative_to(theirs) for p in theirs.rglob("*") if p.is_file()] if theirs.is_dir() else [Path()]
            for name in names:
                if name.name == ".snakemake_timestamp":
                    continue
                if not (mine / name).is_file():
                    raise Broken(f"{path}/{name} is missing")
                if _content(mine / name) != _content(theirs / name):
                    raise Broken(f"{path}/{name} differs from the undisturbed run's")
        left = [name for name in self.files() if _TEMPORARY.match(Path(name).name)]
        if left:
            raise Broken(f"{len(left)} half-written files are left behind, the first is {left[0]}")

    def check_said(self, *words: str) -> None:
        """Raise `Broken` unless the last command's output holds these words, and no traceback."""
        missing = [word for word in words if word not in self.said]
        if missing:
            raise Broken(f"the message lacks {missing[0]!r}:\n{self.said[-3000:]}")
        if "Traceback" in self.said:
            raise Broken(f"a traceback is shown:\n{self.said[-3000:]}")

    def message(self) -> str:
        """What phenorep said of the failure, in one line."""
        found = re.findall(r"^phenorep: (.+)$", self.said, re.MULTILINE)
        return found[-1] if found else ""

    def clear(self) -> None:
        """Remove the copy."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _content(path: Path) -> bytes:
    """What must be the same in two runs: of the table of a training, all but how fast this was."""
    if path.name != "training.csv":
        return path.read_bytes()
    return pd.read_csv(path)[["epoch", "loss", "learning_rate"]].to_csv().encode()


def kill(process: subprocess.Popen) -> None:
    """SIGKILL to a command and all of its jobs; returns when none is left."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def jobs_in(folder: Path) -> dict[int, str]:
    """Processes of jobs that work in a folder."""
    return locks.working_in(folder.resolve(), locks.is_job)
