"""The whole demonstration, planned for a cluster; this needs no Slurm."""

import re
import subprocess
import sys

from tests.conftest import ROOT


def test_all_rules_can_be_planned_where_the_number_of_cores_is_not_known(tmp_path):
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(tmp_path), "--workflow-profile", str(ROOT / "profiles" / "slurm")]
    command += ["--slurm-partition-config", str(ROOT / "profiles" / "slurm" / "partitions.yaml")]
    command += ["--configfile", str(ROOT / "config.yaml")]
    planned = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert planned.returncode == 0, planned.stdout + planned.stderr
    for rule in ("pretrain", "embed"):
        block = re.search(rf"^rule {rule}:\n((?: .*\n)+)", planned.stdout + planned.stderr, re.MULTILINE)[1]
        assert "nodes=1" in block
