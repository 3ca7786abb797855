"""Dry runs of the workflow on configurations written by the tests."""

import copy
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
# A small configuration: one method, one profile, one evaluation on a tiny simulated screen.
SCREEN = {
    "name": "tiny",
    "datasets": {"screen": {"use": "simulated", "batches": 2, "plates_per_batch": 1}},
    "samples": {"cells": {"use": "nuclei", "size": 32}},
    "methods": {"random": {"backbone": "resnet10t"}},
    "profiles": {"raw": [{"aggregate": {"by": "treatment", "with": "median"}}]},
    "evaluations": {"moa_matching": {}},
    "studies": {
        "tiny": {
            "dataset": "screen",
            "samples": "cells",
            "methods": ["random"],
            "profiles": ["raw"],
            "evaluations": ["moa_matching"],
        }
    },
}


class Workflow:
    """Runs Snakemake on this repository's Snakefile in a folder of its own."""

    def __init__(self, folder: Path):
        self.folder = folder

    def snakemake(self, *arguments: str, config: dict | None = None) -> subprocess.CompletedProcess:
        """Run Snakemake; `config` is written to a file and given as the configuration."""
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]
        command += ["--directory", str(self.folder), "--workflow-profile", str(ROOT / "profiles" / "default")]
        if config is not None:
            path = self.folder / "config.test.yaml"
            path.write_text(yaml.safe_dump(config, sort_keys=False))
            command += ["--configfile", str(path)]
        return subprocess.run([*command, *arguments], cwd=self.folder, capture_output=True, text=True, timeout=600)

    def jobs(self, config: dict, *arguments: str) -> dict[str, int]:
        """Plan a run and return the number of jobs per rule, `all` and the total left out."""
        result = self.snakemake("--dry-run", *arguments, config=config)
        assert result.returncode == 0, result.stdout + result.stderr
        found = job_counts(result.stdout + result.stderr)
        assert found.pop("recipe", 0) == found.get("pretrain", 0), "each encoder has a file of what decides its weights"
        return found

    def refusal(self, config: dict, *arguments: str) -> str:
        """Plan a run that must fail, and return what it says."""
        result = self.snakemake("--dry-run", *arguments, config=config)
        assert result.returncode != 0, "this configuration should have been refused"
        return result.stdout + result.stderr


def job_counts(output: str) -> dict[str, int]:
    """Job numbers per rule from Snakemake's table."""
    table = output.split("Job stats:", 1)[-1].split("total", 1)[0]
    found = {name: int(count) for name, count in re.findall(r"^(\w+)\s+(\d+)\s*$", table, re.MULTILINE)}
    found.pop("all", None)
    return found


def busy_screen() -> dict:
    """`SCREEN` with references of every kind: encoders from elsewhere, images left out, labels of another dataset."""
    config = copy.deepcopy(SCREEN)
    config["datasets"]["other"] = {"use": "simulated", "batches": 2, "plates_per_batch": 2}
    tuned = {"use": "simclr", "backbone": "resnet10t", "init": "other/cells/simclr", "epochs": 4, "save_epochs": [2]}
    config["methods"] |= {"simclr": {"backbone": "resnet10t"}, "tuned": tuned, "borrowed": {"from": "other/cells/simclr"}}
    config["methods"] |= {"pixel_statistics": {}, "classical": {"use": "cellprofiler_features"}}
    config["methods"]["all"] = {"use": "concat", "members": ["tuned", "pixel_statistics", "classical"]}
    config["samples"]["sharp"] = {"of": "cells", "where": "abnormality < 0.5"}
    config["abnormality"] = {"method": "pixel_statistics"}
    config["evaluations"] |= {"invariance": {}, "quality": {"use": "quality_classification", "train": "other/cells"}}
    study = config["studies"]["tiny"]
    config["studies"]["second"] = study | {"methods": ["pixel_statistics"], "evaluations": ["quality"]}
    study.update(samples="sharp", methods=["borrowed", "all"], evaluations=["moa_matching", "invariance"], seeds=[1, 2])
    return config


@pytest.fixture
def workflow(tmp_path) -> Workflow:
    """The workflow in an empty folder."""
    return Workflow(tmp_path)


@pytest.fixture
def screen() -> dict:
    """`SCREEN`, for a test to change."""
    return copy.deepcopy(SCREEN)
