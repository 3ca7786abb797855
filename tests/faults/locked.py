"""Two runs in one folder, and locks that somebody may hold."""

import subprocess
from collections.abc import Iterator

from tests.faults.bench import OUTPUTS, Bench, Broken, Work, kill
from tests.faults.case import Case
from tests.faults.killed import MOMENTS


def two_at_once(bench: Bench) -> Work:
    """A second run, under its own name too, is refused while the first works; the first is not disturbed."""
    work = bench.copy("normalise")
    target = OUTPUTS["normalise"][0]
    first = work.start(target, fault={**MOMENTS["normalise"], "action": "pause"})
    work.until(first)
    for name in (bench.config["name"], "another"):
        config = {**bench.config, "name": name}
        second = _with(work, config, target)
        if not second.returncode or "cannot be locked" not in second.stdout + second.stderr:
            raise Broken(f"a second run was not refused:\n{second.stdout[-2000:]}{second.stderr[-2000:]}")
    released = work.release()
    if not released.returncode or f"process {first.pid}" not in released.stderr:
        raise Broken(f"`make` does not say which process works there:\n{released.stdout}{released.stderr}")
    kill(first)
    work.again(target)
    work.check_same(*OUTPUTS["normalise"])
    return work


def another_machine(bench: Bench) -> Work:
    """The lock is of a run on another machine, which may be alive: refused, and the remedy that is named works."""
    work = bench.copy("normalise")
    target = OUTPUTS["normalise"][0]
    process = work.start(target, fault={**MOMENTS["normalise"], "action": "pause"})
    work.until(process)
    work.worked("normalise")
    kill(process)
    log = max((work.folder / ".snakemake/log").glob("*.snakemake.log"))
    lines = log.read_text().splitlines()
    log.write_text("\n".join("  Host: node7" if line.startswith("  Host:") else line for line in lines))
    released = work.release()
    if not released.returncode or "node7" not in released.stderr or "--unlock" not in released.stderr:
        raise Broken(f"the lock of another machine: {released.stdout}{released.stderr}")
    if work.run("--unlock"):
        raise Broken(work.said)
    if work.run(target):
        raise Broken(work.said)
    work.check_same(*OUTPUTS["normalise"])
    return work


def _with(work: Work, config: dict, target: str) -> subprocess.CompletedProcess:
    """Snakemake with another configuration."""
    command = work.command([target], config)
    return subprocess.run(command, cwd=work.folder, env=work.environment(), capture_output=True, text=True)


def cases(seed: int, times: int) -> Iterator[Case]:
    """All cases of this sort."""
    refused = "refused, and why; the first run is not disturbed"
    yield Case("two runs at once", "normalise", two_at_once, refused)
    yield Case("locked by another machine", "normalise", another_machine, "refused, remedy named; then same results")
