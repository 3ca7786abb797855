"""Runs that are killed: all of it in every stage and at any moment, or one job, or one worker of a job."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress

from tests.faults.bench import OUTPUTS, SCORES, SECOND, Bench, Broken, Work, jobs_in, kill
from tests.faults.case import Case

# Moments at which a job has done its work and not yet left it: what is written lies beside its place, or some of several
# files stand in theirs.
MOMENTS = {
    "download": {"event": "open", "path": rf"resources/screen/{SECOND}/.*B0[3-9].*\.tif$"},
    "fields": {"event": "os.rename", "path": rf"fields/{SECOND}\.parquet$"},
    "illumination": {"event": "os.rename", "path": rf"illumination/{SECOND}\.npz$"},
    "nuclei": {"event": "os.rename", "path": rf"field_quality/{SECOND}\.parquet$"},
    "samples": {"event": "os.rename", "path": rf"samples/cells/{SECOND}\.parquet$"},
    "pretrain": {"event": "os.rename", "path": r"seed0/training\.csv$"},
    "embed": {"event": "os.rename", "path": r"final\.parquet$"},
    "normalise": {"event": "os.rename", "path": r"tvn\.npz$"},
    "evaluate": {"event": "os.rename", "path": r"moa_matching\.parquet$"},
    "scores": {"event": "os.rename", "path": r"scores/faults\.csv$"},
    "answers": {"event": "os.rename", "path": r"answers/faults\.csv$"},
    "report": {"event": "os.rename", "path": r"faults/index\.html$"},
}


def in_stage(bench: Bench, stage: str) -> Work:
    """Kill Snakemake and its jobs while the stage's job has written, but not left, its files."""
    work = bench.copy(stage)
    before = work.files()
    targets = (OUTPUTS[stage][0],)
    process = work.start(*targets, fault={**MOMENTS[stage], "action": "pause"})
    work.until(process)
    work.worked(stage)
    kill(process)
    work.again(*targets)
    work.check_left_alone(before)
    work.check_same(*(path for path in OUTPUTS[stage] if stage != "report"))
    return work


def one_job(bench: Bench, stage: str) -> Work:
    """A job is ended by SIGKILL, as for want of memory: Snakemake stops, says which job, and goes on when asked again."""
    work = bench.copy(stage)
    before = work.files()
    targets = (OUTPUTS[stage][0],)
    if not work.run(*targets, fault={**MOMENTS[stage], "action": "kill"}):
        raise Broken("the run ends well although its job was killed")
    work.worked(stage)
    work.check_said(f"Error in rule {stage}", "SIGKILL")
    work.again(*targets)
    work.check_left_alone(before)
    work.check_same(*OUTPUTS[stage])
    return work


def worker_of_a_job(bench: Bench, stage: str) -> Work:
    """One of the processes of a job is killed: the job must not wait for it for ever."""
    work = bench.copy(stage)
    before = work.files()
    fault = {"event": "open", "path": rf"resources/screen/{SECOND}/.*\.tif$", "action": "kill"}
    if not work.run(OUTPUTS[stage][0], fault=fault):
        raise Broken("the run ends well although a process of its job was killed")
    work.worked(stage)
    work.check_said("memory")
    work.again(OUTPUTS[stage][0])
    work.check_left_alone(before)
    work.check_same(*OUTPUTS[stage])
    return work


def checkpoint(bench: Bench) -> Work:
    """Killed while a checkpoint is written: training goes on from the one before."""
    work = bench.copy("pretrain")
    target = OUTPUTS["pretrain"][0]
    process = work.start(target, fault={"event": "open", "path": r"\.checkpoint\.\d+\.pt$", "action": "pause"})
    work.until(process)
    kill(process)
    work.release()
    process = work.start(target, fault={"event": "os.rename", "path": r"seed0/checkpoint\.pt$", "action": "pause"})
    work.until(process)
    work.worked("pretrain")
    kill(process)
    work.again(target)
    work.check_same(*OUTPUTS["pretrain"])
    return work


def at_random(bench: Bench, times: int, seed: int) -> Work:
    """One run from the start, killed so many times at random moments; each time it goes on."""
    generator = random.Random(seed)
    work = bench.empty()
    started = time.monotonic()
    for _ in range(times):
        process = work.start(SCORES)
        with suppress(subprocess.TimeoutExpired):  # it still runs: that is what is wanted
            process.wait(generator.uniform(0.0, 3.0 * bench.seconds / times))
        kill(process)
        if process.returncode not in (0, -signal.SIGKILL):
            raise Broken(f"the run failed by itself:\n{(work.folder / 'said.txt').read_text()[-3000:]}")
        if left := jobs_in(work.folder):
            raise Broken(f"jobs outlive the killed group: {left}")
        if process.returncode == 0:
            break
        if (released := work.release()).returncode:
            raise Broken(released.stderr)
    work.again(SCORES)
    work.lost = time.monotonic() - started - bench.seconds
    work.check_same(SCORES)
    return work


def orphan(bench: Bench) -> Work:
    """Snakemake alone is killed: its job goes on, is waited for, and the next run does not spoil its files."""
    work = bench.copy("samples")
    target = OUTPUTS["samples"][0]
    process = work.start(target, fault={**MOMENTS["samples"], "action": "pause"})
    work.until(process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    jobs = jobs_in(work.folder)
    if not jobs:
        raise Broken("the job died with its Snakemake")
    for number in jobs:
        os.kill(number, signal.SIGKILL)
    kill(process)
    work.again(target)
    work.check_same(*OUTPUTS["samples"])
    return work


def cases(seed: int, times: int) -> Iterator[Case]:
    """All cases of this sort."""
    for stage in MOMENTS:
        yield Case(f"killed in {stage}", stage, lambda bench, stage=stage: in_stage(bench, stage))
    yield Case("killed while a checkpoint is written", "pretrain", checkpoint)
    for stage in ("fields", "pretrain", "normalise"):
        yield Case(f"job of {stage} killed for memory", stage, lambda bench, stage=stage: one_job(bench, stage))
    for stage in ("illumination", "nuclei", "samples"):
        yield Case(f"worker of {stage} killed", stage, lambda bench, stage=stage: worker_of_a_job(bench, stage))
    yield Case("Snakemake alone killed", "samples", orphan)
    yield Case(f"killed {times} times at random", "all", lambda bench: at_random(bench, times, seed))
