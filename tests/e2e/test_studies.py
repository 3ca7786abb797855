"""The published studies in small: the real configuration from made-up archives to the report."""

import subprocess
import sys

import yaml

from phenorep import contracts
from tests.e2e.conftest import Project
from tests.unit import made_mirror

PLATES = ["Week1_22123", "Week2_24121"]


def test_ws_dino_from_archives_to_its_tables(tmp_path):
    """Two of its rows on two plates, for time: an encoder that learns from compounds, and measurements of single cells."""
    project = Project(tmp_path)
    mirror = made_mirror.make_mirror(tmp_path / "mirror", PLATES)
    fewer = {
        "datasets": {"bbbc021": {"path": str(mirror), "limit": {"plates": 2}}},
        "studies": {
            "ws_dino": {"methods": ["ws_dino_dna"], "profiles": ["tvn"], "evaluations": ["moa_matching"]},
            "ws_dino_cells": {"methods": ["classical"], "profiles": ["ljosa"]},
        },
    }
    fewer["studies"]["ws_dino"]["saved_epochs"] = {"methods": ["ws_dino_dna"]}
    (tmp_path / "fewer.yaml").write_text(yaml.safe_dump(fewer))
    files = ["studies/ws_dino.yaml", "studies/small/ws_dino.yaml", "fewer.yaml"]
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", *files]
    environment = project.environment()
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stdout + result.stderr + project.logs()

    scores = contracts.read_scores(tmp_path / "results/scores/ws_dino_small.csv")
    scores = scores[scores.control == "none"]
    along = scores[scores.method == "ws_dino_dna"]
    assert set(along.epoch) == {"1", "2", "final"}
    assert set(along.metric) == {"nsc"}  # the made-up plates hold the same treatments, so nscb has none to match
    # It was trained on the compounds that it is scored on.
    assert set(along.leak) == {"well"}
    assert "nsc" in set(scores[scores.method == "classical"].metric)
    page = (tmp_path / "reports/ws_dino_small/index.html").read_text()
    assert "Measured beside published" in page
