"""Jobs that share a machine's GPUs, as real processes; the GPUs are names that the environment makes visible."""

import subprocess
import sys
from pathlib import Path

import pytest

from phenorep import gpus

ROOT = Path(__file__).resolve().parents[2]
JOB = """
import os, sys
from pathlib import Path
from phenorep import gpus
print(gpus.take(int(sys.argv[2]), Path(sys.argv[1])) or "nothing to choose", "|", os.environ.get(gpus.VISIBLE), flush=True)
sys.stdin.read()
"""


class Jobs:
    """Processes that take GPUs and hold them until they are ended."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.processes: list[subprocess.Popen] = []

    def start(self, names: str, count: int = 1, **environment: str) -> tuple[str, str]:
        """What a job says when it has chosen, and what it sees."""
        process = subprocess.Popen(
            [sys.executable, "-c", JOB, str(self.folder), str(count)],
            env={"PYTHONPATH": str(ROOT), gpus.VISIBLE: names, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        told, _, seen = process.stdout.readline().strip().partition(" | ")
        return told, seen

    def kill(self, index: int) -> None:
        self.processes[index].kill()
        self.processes[index].wait()


@pytest.fixture
def jobs(tmp_path):
    made = Jobs(tmp_path)
    yield made
    for process in made.processes:
        process.kill()
        process.communicate()


def test_each_job_takes_a_gpu_of_its_own_and_a_killed_one_gives_it_back(jobs):
    assert jobs.start("0,1") == ("GPU 0 of 0, 1", "0")
    assert jobs.start("0,1") == ("GPU 1 of 0, 1", "1")
    jobs.kill(0)
    assert jobs.start("0,1") == ("GPU 0 of 0, 1", "0")


def test_more_jobs_than_gpus_share_evenly_and_say_so(jobs):
    told, seen = zip(*(jobs.start("0,1") for _ in range(5)), strict=True)
    assert seen == ("0", "1", "0", "1", "0")
    assert "all are taken" not in told[1]
    assert (
        told[2]
        == "GPU 0 of 0, 1, which 1 more job uses: all are taken. For one job each, run `snakemake --resources gpu=2`."
    )
    assert "which 2 more jobs use" in told[4]


def test_a_job_of_several_gpus_takes_different_ones(jobs):
    assert jobs.start("0,1,2,3")[1] == "0"
    assert jobs.start("0,1,2,3", count=2)[1] == "1,2"
    # The one that nobody uses, and of the others the first.
    assert jobs.start("0,1,2,3", count=2)[1] == "0,3"


def test_what_a_cluster_names_is_taken_as_it_is(jobs):
    # Two jobs of a cluster may each count their own GPU as the first.
    assert jobs.start("0", SLURM_JOB_ID="7") == ("nothing to choose", "0")
    assert jobs.start("0", SLURM_JOB_ID="8") == ("nothing to choose", "0")
    # A job of several GPUs in which Snakemake itself runs: these are shared among its jobs, and no others count.
    assert [jobs.start("0,1", SLURM_JOB_ID="9")[1] for _ in range(2)] == ["0", "1"]
    assert jobs.start("0,1", SLURM_JOB_ID="10") == ("GPU 0 of 0, 1", "0")
    assert jobs.start("GPU-a/1,GPU-b/2")[1] == "GPU-a/1"


def test_what_a_job_starts_computes_on_what_it_chose(monkeypatch, tmp_path, jobs):
    monkeypatch.setenv(gpus.VISIBLE, "0,1,2")
    monkeypatch.setenv(gpus.CHOSEN, "")
    monkeypatch.delenv(gpus.CHOSEN)
    monkeypatch.setattr(gpus, "_locks", [])
    assert gpus.take(2, tmp_path) == "GPU 0, 1 of 0, 1, 2"
    assert gpus.take(1, tmp_path) == ""  # a second call: of an evaluation, or of a process that trains
    assert len(gpus.held()) == 2
    # A process that is given the locks keeps the GPUs when this one has ended.
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=gpus.held())
    for descriptor in gpus.held():
        gpus.os.close(descriptor)
    assert jobs.start("0,1,2")[1] == "2"
    child.communicate(b"\n")
    assert jobs.start("0,1,2")[1] == "0"


def test_without_the_environment_the_machine_is_asked(monkeypatch, tmp_path):
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    monkeypatch.setattr(gpus, "DEVICES", tmp_path)
    assert gpus.visible() == []
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert gpus.visible() == ["0", "1"]
    assert gpus.take(2, tmp_path) == ""  # all there are: nothing to choose
