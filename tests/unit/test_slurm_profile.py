"""What can be said of the profiles without a cluster; tests/cluster runs a Slurm."""

import re
from pathlib import Path

import pytest
import yaml
from snakemake.cli import get_argument_parser
from snakemake_executor_plugin_slurm.partitions import read_partition_file

ROOT = Path(__file__).resolve().parents[2]
PROFILES = ROOT / "profiles"
RULES = [path for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")) if path.name != "common.smk"]
GO_ON = {"download", "pretrain", "cellprofiler"}  # where they were killed: the same time again brings them further


@pytest.mark.parametrize("name", ["default", "slurm"])
def test_keys_of_a_profile_are_options_of_snakemake(name):
    text = (PROFILES / name / "profile.yaml").read_text()
    given = yaml.safe_load(text)
    # Lines that are only to be uncommented, too.
    given |= yaml.safe_load("\n".join(re.findall(r"^# ([a-z-]+: \w+)$", text, re.MULTILINE))) or {}
    known = {option.removeprefix("--") for action in get_argument_parser()._actions for option in action.option_strings}
    assert set(given) - known == set()
    assert name == "default" or "slurm-status-command" in given


def test_partitions_are_as_the_executor_reads_them():
    cpu, gpu = read_partition_file(PROFILES / "slurm" / "partitions.yaml")
    assert (cpu.limits.max_gpu, gpu.limits.max_gpu) == (0, 4)
    assert cpu.limits.max_runtime == gpu.limits.max_runtime == 3 * 24 * 60


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_jobs_that_are_tried_again_ask_for_more(path):
    for name, body in re.findall(r"^rule (\w+):\n((?:(?: .*)?\n)+)", path.read_text(), re.MULTILINE):
        assert re.search(r"mem_mb=memory\(\d+\)", body), name
        assert bool(re.search(r"runtime=minutes\(\d+\)", body)) == (name not in GO_ON), name
