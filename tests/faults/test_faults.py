"""The short form of the campaign: the cheapest cases that tell most, without torch. `make faults` runs all of it."""

import json

import pytest

from tests.e2e.conftest import Project
from tests.faults import damaged, disks, killed
from tests.faults.bench import OUTPUTS, SECOND, Bench, faults_config
from tests.faults.case import Skipped


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    """One plate, from nothing to its samples."""
    folder = tmp_path_factory.mktemp("faults")
    (folder / "undisturbed").mkdir()
    project = Project(folder / "undisturbed")
    # The check of the configuration starts torch, and is not what is tried here.
    check = project.folder / "results/check.json"
    check.parent.mkdir()
    check.write_text("{}\n")
    project.finish(faults_config(), "--", OUTPUTS["samples"][0])
    (folder / "done.json").write_text(json.dumps({"seconds": 0}))
    return Bench(folder)


def test_killed_between_two_of_its_files(bench):
    """The masks of the nuclei stand in their place, the field quality does not yet."""
    killed.in_stage(bench, "nuclei").clear()


def test_damaged_file(bench):
    damaged.damaged(bench, f"results/screen/fields/{SECOND}.parquet", "illumination", ("flipped",)).clear()


def test_full_disk(bench):
    try:
        disks.full(bench, "samples").clear()
    except Skipped as reason:
        pytest.skip(str(reason))
