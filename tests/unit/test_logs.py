"""What a job prints lands in its log; errors reach the terminal in a form for their reader."""

import os
import subprocess
import sys

from tests.conftest import ROOT

PROGRAM = """
import os, sys
from phenorep import logs
from phenorep.errors import UserError
with logs.to("folder/job.log"):
    print("working")
    os.system("echo from a child")
    {body}
"""


def run(tmp_path, body: str) -> tuple[subprocess.CompletedProcess, str]:
    program = PROGRAM.format(body=body)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    return result, (tmp_path / "folder" / "job.log").read_text()


def test_output_of_the_job_and_its_children_goes_to_the_log(tmp_path):
    result, log = run(tmp_path, "pass")
    assert result.returncode == 0
    assert result.stdout == ""
    assert "working" in log
    assert "from a child" in log


def test_user_error_is_a_message_without_traceback(tmp_path):
    result, log = run(tmp_path, "raise UserError('wells.csv: no column Well')")
    assert result.returncode == 1
    assert result.stderr == "phenorep: wells.csv: no column Well\n"
    assert "wells.csv: no column Well" in log
    assert "Traceback" not in log


def test_other_errors_leave_their_traceback_in_the_log(tmp_path):
    result, log = run(tmp_path, "1 / 0")
    assert result.returncode == 1
    assert "ZeroDivisionError" in result.stderr
    assert "folder/job.log" in result.stderr
    assert "Traceback" in log


def test_a_job_of_slurm_says_which_it_is_before_all_else(tmp_path, monkeypatch):
    """Snakemake passes over Slurm's log where the job's own is empty, as that of a killed job may be."""
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    _, log = run(tmp_path, "os.kill(os.getpid(), 9)")
    assert log.startswith("Slurm job 17 on ")
