"""A real run of the whole workflow on a tiny simulated screen, in a copy of the project that the tests may edit."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from phenorep import definitions

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "workflow", "phenorep", "profiles", "envs", "reports/captions", "reports/templates", "studies")


class Project:
    """A copy of the project in which Snakemake runs."""

    traces: Path | None = None  # where jobs write down which functions they call

    def __init__(self, folder: Path, parts: tuple[str, ...] = PARTS):
        self.folder = folder
        for part in parts:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            (folder / part).parent.mkdir(parents=True, exist_ok=True)
            copy(ROOT / part, folder / part)

    def command(self, config: dict, *arguments: str) -> list[str]:
        """Snakemake's command line; the configuration is written into the folder."""
        path = self.folder / f"{config['name']}.yaml"
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        return [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", str(path), *arguments]

    def environment(self) -> dict:
        """Environment without the path of the project under test: the copy must be what is imported."""
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        if self.traces is not None:
            environment |= {"PYTHONPATH": str(Path(__file__).parent / "tracing"), "PHENOREP_TRACE": str(self.traces)}
        return environment

    def run(self, config: dict, *arguments: str) -> subprocess.CompletedProcess:
        """Run Snakemake to its end."""
        command = self.command(config, *arguments)
        environment = self.environment()
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=900)

    def finish(self, config: dict, *arguments: str) -> str:
        """Run Snakemake, which must succeed."""
        result = self.run(config, *arguments)
        assert result.returncode == 0, result.stdout + result.stderr + self.logs()
        return result.stdout + result.stderr

    def planned(self, config: dict) -> dict[str, int]:
        """Numbers of jobs per rule that another run would do, without those that only collect."""
        output = self.finish(config, "--dry-run")
        table = output.split("Job stats:", 1)[-1].split("total", 1)[0] if "Job stats:" in output else ""
        found = {name: int(count) for name, count in re.findall(r"^(\w+)\s+(\d+)\s*$", table, re.MULTILINE)}
        collecting = ("all", "scores", "answers", "costs", "page", "check", "recipe")
        return {name: count for name, count in found.items() if name not in collecting}

    def logs(self) -> str:
        """The ends of all logs, for the message of a failed test."""
        texts = ((path, path.read_text()[-1500:]) for path in sorted(self.folder.glob("logs/**/*.log")))
        return "\n".join(f"--- {path}\n{text}" for path, text in texts if "rror" in text)


def tiny_config() -> dict:
    """Every stage once, on a screen that is drawn in seconds."""
    return {
        "name": "tiny",
        "datasets": {"screen": {"use": "simulated", **TINY_SCREEN}},
        "samples": {"cells": {"use": "nuclei", "size": 32}},
        "methods": {
            "pixel_statistics": {},
            # Enough epochs for a test to kill it between two of them.
            "simclr": {"backbone": "resnet10t", "epochs": 6, "batch_size": 32, "save_epochs": [1]},
            "both": {"use": "concat", "members": ["simclr", "pixel_statistics"]},
            "absent": {"use": "pretrained", "backbone": "resnet18", "weights": "download"},
        },
        "profiles": {
            "tvn": [{"tvn": {}}, {"aggregate": {"by": "treatment", "with": "median"}}],
            "wells": [{"plate_zscore": {}}, {"aggregate": {"by": "well", "with": "mean"}}],
        },
        "evaluations": {"moa_matching": {}, "control_separation": {}, "invariance": {}},
        "studies": {
            "tiny": {
                "dataset": "screen",
                "samples": "cells",
                "methods": ["pixel_statistics", "simclr", "both", "absent"],
                "profiles": ["tvn", "wells"],
                "evaluations": ["moa_matching", "control_separation", "invariance"],
                "saved_epochs": {"methods": ["simclr"], "profiles": ["tvn"], "evaluations": ["moa_matching"]},
            }
        },
    }


# Two plates of 13 wells, drawn in seconds.
TINY_SCREEN = {
    **{"batches": 2, "plates_per_batch": 1, "mechanisms": 3, "compounds_per_mechanism": 2, "wells_per_treatment": 1},
    **{"positive_wells": 1, "sites": 2, "size": 128, "cells": 7, "artefact_share": 0.1},
}


@pytest.fixture
def config() -> dict:
    """The configuration of the finished run, for a test to change."""
    return tiny_config()


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Project:
    """A project in which the tiny configuration has run to its end. Tests must leave its results as they are."""
    project = Project(tmp_path_factory.mktemp("finished"))
    project.traces = project.folder / "traces"
    project.traces.mkdir()
    project.finish(tiny_config())
    project.traces = None
    return project


@pytest.fixture
def called(finished) -> dict[str, set[tuple[Path, str | None]]]:
    """Definitions of the library that the finished run's jobs called, by the name of their script."""
    jobs: dict[str, set[tuple[Path, str | None]]] = {}
    for path in (finished.folder / "traces").iterdir():
        program, *lines = path.read_text().splitlines()
        if not (job := re.fullmatch(r"tmp\w+\.(\w+)\.py", Path(program).name)):
            continue  # snakemake itself
        for file, line in (text.rsplit(":", 1) for text in lines):
            place = Path(file).relative_to(finished.folder / "phenorep")
            jobs.setdefault(job[1], set()).update(_defined_at(definitions.PACKAGE / place, int(line)))
    return jobs


def _defined_at(path: Path, line: int) -> set[tuple[Path, str | None]]:
    """The definitions to which a line of a file belongs."""
    for statement, names in definitions.split(definitions.tree(path)):
        first = min([statement.lineno, *(node.lineno for node in getattr(statement, "decorator_list", []))])
        if first <= line <= statement.end_lineno:
            return {(path, name) for name in names if name is not None}
    return set()
