"""A small run on a real Slurm: what its jobs asked for, and what becomes of those that fail."""

import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from phenorep import contracts
from tests.cluster.conftest import ENCODER, PROFILES, RULES, SCORES


@pytest.fixture(scope="module")
def jobs(small):
    """{rule and wildcards: its jobs}."""
    run, _ = small
    found: dict[str, list[dict]] = {}
    for job in run.jobs():
        found.setdefault(job["job"], []).append(job)
    return found


def normalised(jobs: dict, profile: str) -> list[dict]:
    return jobs[f"rule_normalise profiles_imported_imported_0_final_{profile}"]


def test_all_jobs_end_well_but_those_that_were_made_to_fail(small, jobs):
    states = {job: [one["state"] for one in found] for job, found in jobs.items()}
    failed = {job for job, ended in states.items() if set(ended) != {"COMPLETED"}}
    wanted = {f"rule_normalise profiles_imported_imported_0_final_{profile}" for profile in ("hungry", "refused")}
    assert failed == wanted, small[1]
    rules = sorted(job.split()[0].removeprefix("rule_") for job in states)
    # `recipe` ran beside Snakemake.
    assert rules == ["evaluate", "normalise", "normalise", "normalise", "pretrain"]
    assert (small[0].project.folder / ENCODER).exists()


def test_what_computes_on_a_gpu_asks_slurm_for_it(jobs):
    asked = {job.split()[0].removeprefix("rule_"): (found[0]["gpus"], found[0]["partition"]) for job, found in jobs.items()}
    assert asked.pop("pretrain") == ("gres:gpu:1", "gpu")
    assert set(asked.values()) == {("", "cpu")}
    training = next(found[0] for job, found in jobs.items() if job.startswith("rule_pretrain"))
    assert (training["memory"], training["minutes"], training["cpus"]) == ("16000M", "2-00:00:00", "8")


def test_a_job_that_was_killed_for_its_memory_is_tried_with_more(small, jobs):
    first, second = normalised(jobs, "hungry")
    assert (first["memory"], second["memory"]) == ("850M", "1700M")
    assert (first["minutes"], second["minutes"]) == ("01:00:00", "02:00:00")
    assert (first["state"] != "COMPLETED", second["state"]) == (True, "COMPLETED")
    assert "exceeded memory limit" in small[1]  # Slurm's own log, which says why, is shown


def test_the_message_of_a_failed_job_is_shown_and_names_its_log(small, jobs):
    said = small[1]
    assert "wells.csv: the column Metadata_Flavour is missing" in said
    assert "Traceback" not in said
    assert len(normalised(jobs, "refused")) == 2
    logs = set(re.findall(r"\(log: (\S+/logs/slurm/rule_normalise/\S*refused/\d+\.log)\)", said))
    assert len(logs) == 2
    # Those of jobs that ended well are removed.
    kept = {str(path) for path in small[0].project.folder.glob("logs/slurm/rule_*/**/*.log")}
    assert logs <= kept
    assert not any("plain" in path for path in kept)


def test_scores_are_those_of_a_local_run(small, tmp_path):
    run, _ = small
    local = tmp_path / "local"
    shutil.copytree(run.project.folder, local, ignore=shutil.ignore_patterns(".snakemake", "scores", "logs"))
    shutil.rmtree(local / "results" / "profiles" / "profiles")
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "config.test.yaml"]
    command += ["--allowed-rules", *RULES, "--", SCORES]
    ended = subprocess.run(command, cwd=local, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (local / SCORES).read_bytes() == (run.project.folder / SCORES).read_bytes()
    # The second try of a killed job leaves what an undisturbed one does.
    plain, hungry = (
        contracts.read_table(run.project.folder / PROFILES.format(profile=name), "profiles") for name in ("plain", "hungry")
    )
    assert len(plain)
    pd.testing.assert_frame_equal(plain, hungry)
