"""Somebody's own plates through `datasets/table.py`, with images that cannot be used."""

import pandas as pd
import pytest
import tifffile

from phenorep import contracts, plugins
from phenorep.datasets import simulated
from tests.e2e.conftest import TINY_SCREEN, Project

CHANNELS = ("DNA", "Actin", "Tubulin")


def bad_files(project: Project) -> list[str]:
    """Names of the missing, the cut and the smaller image."""
    table = pd.read_csv(project.folder / "plates.csv")
    return [table.loc[row, f"FileName_{channel}"] for row, channel in enumerate(CHANNELS)]


@pytest.fixture
def own(tmp_path, config) -> tuple[Project, dict]:
    """A project whose plates are a table of images: one of them missing, one cut off, one of another size."""
    project = Project(tmp_path)
    screen = plugins.configure(simulated.Config, TINY_SCREEN, "datasets: screen")
    plate = simulated.plates(screen)[0]
    simulated.download(screen, plate, tmp_path / plate)
    table = simulated.fields(screen, plate, tmp_path)
    columns = [name for name in table if name.startswith(("Metadata_", "FileName_"))]
    table = table[columns].assign(**{f"PathName_{channel}": plate for channel in CHANNELS})
    table.to_csv(tmp_path / "plates.csv", index=False)

    images = tmp_path / plate
    (images / table.loc[0, "FileName_DNA"]).unlink()
    cut = images / table.loc[1, "FileName_Actin"]
    cut.write_bytes(cut.read_bytes()[:2000])
    tifffile.imwrite(images / table.loc[2, "FileName_Tubulin"], tifffile.imread(images / table.loc[3, "FileName_DNA"])[:50])

    config["name"] = "own"
    config["datasets"] = {"own": {"use": "table", "table": "plates.csv"}}
    config["methods"] = {"pixel_statistics": {}}
    config["studies"] = {"own": config["studies"]["tiny"] | {"dataset": "own", "methods": ["pixel_statistics"]}}
    config["studies"]["own"].update(profiles=["wells"], evaluations=["control_separation"])
    del config["studies"]["own"]["saved_epochs"]
    return project, config


def test_bad_images_stop_the_run_with_a_list_and_the_remedy(own):
    project, config = own
    result = project.run(config, "--until", "fields")
    output = result.stdout + result.stderr
    assert result.returncode != 0
    for name in bad_files(project):
        assert name in output
    assert "on_bad_image: exclude" in output
    assert "Traceback" not in output


def test_excluded_images_are_listed_in_the_report_and_the_rest_is_scored(own):
    project, config = own
    config["preprocess"] = {"on_bad_image": "exclude"}
    project.finish(config)
    scores = contracts.read_scores(project.folder / "results/scores/own.csv")
    assert set(scores.evaluation) == {"control_separation"}
    page = (project.folder / "reports/own/index.html").read_text()
    for name in bad_files(project):
        assert name in page
