"""A stale lock is released; a lock that somebody may hold is not."""

import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

from phenorep import locks
from phenorep.errors import UserError

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(locks.__file__).parent.parent)}
SNAKEMAKE = ["/x/.venv/bin/python", "/x/.venv/bin/snakemake", "--cores", "2"]


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    """A working directory as a killed run leaves it."""
    folder = tmp_path / "work"
    (folder / ".snakemake" / "locks").mkdir(parents=True)
    (folder / ".snakemake" / "log").mkdir()
    for kind in ("input", "output"):
        (folder / ".snakemake" / "locks" / f"0.{kind}.lock").write_text("results/a.txt\n")
    write_log(folder, "2026-01-01T100000.5", platform.node())
    return folder


def write_log(folder: Path, started: str, host: str) -> None:
    text = f"SNAKEMAKE\n=========\n  Date: {started}\n  Host: {host}\n  User: me\n"
    (folder / ".snakemake" / "log" / f"{started}.snakemake.log").write_text(text)


def lock_files(folder: Path) -> list[Path]:
    return sorted((folder / ".snakemake").glob("locks/*.lock"))


def process(processes: Path, number: int, arguments: list[str], folder: Path) -> None:
    entry = processes / str(number)
    entry.mkdir(parents=True)
    (entry / "cmdline").write_bytes(b"".join(argument.encode() + b"\0" for argument in arguments))
    (entry / "cwd").symlink_to(folder)


def test_no_lock_nothing_done(tmp_path):
    assert locks.release(tmp_path) is False


def test_stale_lock_is_released(locked):
    assert locks.release(locked) is True
    assert not lock_files(locked)
    assert locks.release(locked) is False


@pytest.mark.parametrize(
    "arguments", [SNAKEMAKE, ["/x/.venv/bin/snakemake"], ["python", "-m", "snakemake", "--mode", "subprocess"]]
)
def test_live_run_keeps_the_lock(locked, tmp_path, arguments):
    process(tmp_path / "proc", 123, arguments, locked)
    with pytest.raises(UserError, match="process 123"):
        locks.release(locked, tmp_path / "proc")
    assert len(lock_files(locked)) == 2


@pytest.mark.parametrize(
    "arguments", [["python", "/x/.snakemake/scripts/tmp1.pretrain.py"], ["python", "-m", "phenorep.launch", "job.json"]]
)
def test_jobs_of_a_killed_run_are_waited_for(locked, tmp_path, arguments, monkeypatch, capsys):
    process(tmp_path / "proc", 123, arguments, locked)
    looks = []

    def sleep(seconds):
        looks.append(len(lock_files(locked)))
        if len(looks) == 3:
            (tmp_path / "proc" / "123" / "cmdline").unlink()

    monkeypatch.setattr(locks.time, "sleep", sleep)
    assert locks.release(locked, tmp_path / "proc") is True
    assert looks == [2, 2, 2], "the lock stays while the job works"
    assert capsys.readouterr().out.count("process 123") == 1


@pytest.mark.parametrize(
    "arguments",
    [["vim", "Snakefile"], ["grep", "-r", "snakemake"], ["python", "-m", "phenorep.locks"], ["make", "demo"], []],
)
def test_other_programs_hold_no_lock(locked, tmp_path, arguments):
    process(tmp_path / "proc", 123, arguments, locked)
    assert locks.release(locked, tmp_path / "proc") is True


def test_snakemake_elsewhere_holds_no_lock(locked, tmp_path):
    process(tmp_path / "proc", 123, SNAKEMAKE, tmp_path)
    process(tmp_path / "proc", 124, SNAKEMAKE, tmp_path / "deleted")
    assert locks.release(locked, tmp_path / "proc") is True


def test_unreadable_process_keeps_the_lock(locked, tmp_path, monkeypatch):
    process(tmp_path / "proc", 123, SNAKEMAKE, locked)

    def refuse(self, strict=False):
        if self.name == "cwd":
            raise PermissionError
        return Path(os.path.realpath(self))

    monkeypatch.setattr(Path, "resolve", refuse)
    with pytest.raises(UserError, match="123"):
        locks.release(locked, tmp_path / "proc")


def test_run_on_another_machine_keeps_the_lock(locked):
    write_log(locked, "2026-01-02T100000.5", "node7")
    with pytest.raises(UserError, match=r"node7.*--unlock"):
        locks.release(locked)
    assert len(lock_files(locked)) == 2


def test_log_that_is_newer_than_the_lock_is_not_its_run(locked):
    write_log(locked, "2999-01-02T100000.5", "node7")
    assert locks.release(locked) is True


def test_killed_snakemake(tmp_path):
    """A real run, killed while its job works: the lock is released when the job has ended, and the next run goes on."""
    (tmp_path / "Snakefile").write_text("rule one:\n    output: 'a.txt'\n    script: 'wait.py'\n")
    (tmp_path / "wait.py").write_text(
        "import time\nfrom pathlib import Path\nPath('started').touch()\n"
        "while not Path('go_on').exists():\n    time.sleep(0.05)\n"
    )
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--quiet"]
    run = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "started").exists() and time.monotonic() < deadline and run.poll() is None:
            time.sleep(0.1)
        with pytest.raises(UserError, match=str(run.pid)):
            locks.release(tmp_path)
        run.kill()
        run.wait()
        assert locks.working_in(tmp_path.resolve(), locks.is_job), "the script outlives its Snakemake"
        refused = subprocess.run([*command, "--rerun-incomplete"], cwd=tmp_path, capture_output=True, text=True)
        assert "lock" in refused.stderr, "without a release Snakemake refuses to run"
        release = subprocess.Popen([sys.executable, "-m", "phenorep.locks"], cwd=tmp_path, env=ENVIRONMENT, text=True)
        time.sleep(0.5)
        assert release.poll() is None, "it waits for the job"
    finally:
        (tmp_path / "go_on").touch()
        run.kill()
        run.wait()
    assert release.wait(timeout=30) == 0
    assert not lock_files(tmp_path)
    assert subprocess.run([*command, "--dry-run", "--rerun-incomplete"], cwd=tmp_path).returncode == 0
