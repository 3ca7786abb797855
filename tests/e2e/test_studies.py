"""The published studies in small: the real configuration from made-up archives to the report."""

import subprocess
import sys

import pandas as pd
import yaml

from phenorep import contracts
from tests.e2e.conftest import Project
from tests.unit import made_bbbc022, made_mirror

PLATES = ["Week1_22123", "Week2_24121"]


def test_ws_dino_from_archives_to_its_tables(tmp_path):
    """Two of its rows on two plates, for time: an encoder that learns from compounds, and measurements of single cells."""
    project = Project(tmp_path)
    mirror = made_mirror.make_mirror(tmp_path / "mirror", PLATES)
    fewer = {
        "datasets": {"bbbc021": {"path": str(mirror), "limit": {"plates": 2}}},
        "studies": {
            "ws_dino": {"methods": ["ws_dino_dna"], "profiles": ["tvn"], "evaluations": ["moa_matching_as_published"]},
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


def test_hcs_qc_from_archives_and_annotations_to_its_tables(tmp_path):
    """One of its rows on one plate of each data set, for time."""
    project = Project(tmp_path)
    plates = {"bbbc022": ["20585"], "bbbc021": PLATES[:1]}
    made_bbbc022.make_mirror(tmp_path / "bbbc022", plates["bbbc022"])
    made_mirror.make_mirror(tmp_path / "bbbc021", plates["bbbc021"])
    marked = made_bbbc022.annotations(plates["bbbc022"])
    marked.to_csv(tmp_path / "bbbc022.csv", index=False)
    # Nothing differs between these; what counts is that every one is tested.
    cells = [f"{PLATES[0]}/{well}/{site}/{n}" for well in made_mirror.WELLS for site in range(1, 5) for n in range(1, 7)]
    other = pd.DataFrame({"Sample": cells, "Label_Quality": ["abnormal" if cell[-1] > "3" else "normal" for cell in cells]})
    other.to_csv(tmp_path / "bbbc021.csv", index=False)
    few = {"labels": [20], "test": 20, "draws": 1, "permutations": 1}
    fewer = {
        "datasets": {name: {"path": name, "limit": {"plates": 1, "fields": 100}} for name in plates},
        "annotations": {"bbbc022/cells": "bbbc022.csv", "bbbc021/cells": "bbbc021.csv"},
        "evaluations": {
            "quality_classification": few,
            "quality_fine_tuning": few | {"epochs": 2},
            "shifted_classification": few | {"classifiers": ["linear"]},
            "shifted_fine_tuning": few | {"epochs": 1},
        },
        "studies": {
            "hcs_qc": {"methods": ["simclr"]},
            "hcs_qc_bbbc021": {"methods": ["simclr_bbbc022"]},
        },
    }
    (tmp_path / "fewer.yaml").write_text(yaml.safe_dump(fewer))
    files = ["studies/hcs_qc.yaml", "studies/small/hcs_qc.yaml", "fewer.yaml"]
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", *files]
    result = subprocess.run(command, cwd=tmp_path, env=project.environment(), capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stdout + result.stderr + project.logs()

    samples = contracts.read_table(tmp_path / "results/bbbc022/samples/cells/20585.parquet", "samples")
    assert set(samples["Sample"]) == set(marked["Sample"])  # every label has its cell
    scores = contracts.read_scores(tmp_path / "results/scores/hcs_qc_small.csv")
    kept = scores[(scores.control == "none") & (scores.metric == "accuracy")]
    found = set(zip(kept.dataset, kept.method, kept.evaluation, kept.settings, strict=True))
    frozen = {f"classifier={name}, labels=20" for name in ("knn", "linear", "forest")}
    assert found >= {("bbbc022", "simclr", "quality_classification", text) for text in frozen}
    assert ("bbbc022", "simclr", "quality_fine_tuning", "classifier=fine_tuned, labels=20") in found
    shifted = kept[kept.dataset == "bbbc021"]
    assert set(shifted.evaluation) == {"shifted_classification", "shifted_fine_tuning"}
    assert set(shifted.n) == {len(other)}
    assert set(shifted.trained_on) == {"bbbc022/cells"}
    # Blurred discs are told from sharp ones.
    seen = kept[(kept.dataset == "bbbc022") & (kept.settings == "classifier=forest, labels=20")]
    assert seen.value.item() > 0.85
    page = (tmp_path / "reports/hcs_qc_small/index.html").read_text()
    assert "Measured beside published" in page


def test_all_that_the_manual_switches_off_runs_in_small(tmp_path):
    """Other ways to learn, encoders side by side, labels of single images and a view by what was learnt from them.

    All but the page, for time: other runs make one.
    """
    project, table = Project(tmp_path), "results/scores/simulated_small.csv"
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--cores",
        "2",
        "--configfile",
        "studies/small/simulated.yaml",
        "--",
        table,
    ]
    result = subprocess.run(command, cwd=tmp_path, env=project.environment(), capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stdout + result.stderr + project.logs()

    scores = contracts.read_scores(tmp_path / table)
    found = set(zip(scores.samples, scores.method, scores.evaluation, strict=True))
    assert found == {
        *(("cells", method, "moa_matching") for method in ("barlow_twins_and_pixels", "ws_dino")),
        *(("cells", method, "quality_classification") for method in ("image_quality", "barlow_twins", "swav")),
        ("cells", "swav", "quality_fine_tuning"),
        ("clean", "pixel_statistics", "moa_matching"),
    }
    assert set(scores.loc[scores.method == "ws_dino", "leak"]) == {"well"}
    files = [tmp_path / "results/simulated/samples" / name / "Week1_22101.parquet" for name in ("cells", "clean")]
    whole, clean = (set(contracts.read_table(path, "samples")["Sample"]) for path in files)
    assert clean < whole
