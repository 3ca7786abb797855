"""Features computed elsewhere, from a table of wells to the report, through Snakemake."""

import numpy as np
import pandas as pd
import pytest
import yaml

from phenorep import contracts
from tests.workflow.conftest import Workflow, job_counts

CONFIG = """
name: check
datasets:
  profiles:
    use: features
    table: wells.csv
    rename: {Metadata_moa: Metadata_MoA}            # their column: ours
    negative_control: {Metadata_Compound: DMSO}
    batch_from: {column: Metadata_Plate, pattern: "^[^_]+"}
profiles:
  raw: [{aggregate: {by: [treatment, plate], with: mean}}, {aggregate: {by: treatment, with: median}}]
  tvn:
    - tvn: {fit: negative}
    - aggregate: {by: [treatment, plate], with: mean}
    - aggregate: {by: treatment, with: median}
evaluations: {moa_matching: {}}
studies: {check: {dataset: profiles, profiles: [raw, tvn], evaluations: [moa_matching]}}
"""
JOBS = {"check": 1, "import_features": 1, "normalise": 2, "evaluate": 2, "scores": 1, "answers": 1, "costs": 1, "page": 1}


def wells() -> pd.DataFrame:
    """Two batches of other compounds, six mechanisms in both; the two leading features are noise of the wells alone."""
    rng = np.random.default_rng(0)
    rows = []
    for week in ("Week1", "Week2"):
        for number in range(48):
            compound = number // 4 - 3  # three compounds' worth of wells are controls
            row = {"Metadata_Plate": f"{week}_1", "Metadata_Well": f"{'ABCD'[number // 12]}{number % 12 + 1}"}
            row |= {"Metadata_Compound": "DMSO" if compound < 0 else f"{week} compound {compound}"}
            row["Metadata_moa"] = "" if compound < 0 else f"mechanism {compound % 6}"
            effect = np.zeros(6)
            if compound >= 0:
                effect[compound % 6] = 4
            noise = rng.normal(0, 1, 6)
            values = [*rng.normal(0, 100, 2), *(effect + noise)]
            rows.append(
                row
                | {f"Cells_{index}": value for index, value in enumerate(values)}
                | {"Constant": 1.5, "Image_Group_Index": len(rows)}
            )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workflow = Workflow(tmp_path_factory.mktemp("features"))
    wells().to_csv(workflow.folder / "wells.csv", index=False)
    result = workflow.snakemake(config=yaml.safe_load(CONFIG))
    assert result.returncode == 0, result.stdout + result.stderr
    return workflow, job_counts(result.stdout + result.stderr)


def test_only_what_needs_no_images_is_done(run):
    workflow, jobs = run
    assert jobs == JOBS
    assert {path.name for path in (workflow.folder / "results" / "profiles").iterdir()} == {
        "embeddings",
        "profiles",
        "scores",
    }


def test_mechanisms_are_found_across_batches_once_the_wells_noise_is_whitened(run):
    scores = contracts.read_scores(run[0].folder / "results" / "scores" / "check.csv")
    scores = scores[scores["control"] == "none"].set_index(["profile", "metric"])["value"]
    assert scores["tvn", "nsc"] > 0.9
    assert scores["tvn", "nscb"] > 0.9
    assert scores["raw", "nscb"] < 0.6


def test_costs_and_page_of_a_run_without_images(run):
    folder = run[0].folder
    costs = pd.read_csv(folder / "results" / "costs" / "check.csv")
    assert sorted(costs["rule"]) == ["check", "evaluate", "evaluate", "import_features", "normalise", "normalise"]
    page = (folder / "reports" / "check" / "index.html").read_text()
    assert "none: features computed elsewhere" in page
    assert '<b class="leak">not known</b>' in page  # what the labels showed that the features' encoder was trained on
    assert "Constant" in page
    assert '<td class="text">Image_Group_Index</td>' in page
    assert "bookkeeping by the column&#39;s name, and no features (1): Image_Group_Index" in page
    for absent in ("montage", "Illumination", "real images", "Missing from this page"):
        assert absent not in page, absent


def test_nothing_is_left_to_do_and_a_changed_table_is_taken_over(run):
    workflow, _ = run
    again = workflow.snakemake("--dry-run", config=yaml.safe_load(CONFIG))
    assert "Nothing to be done" in again.stdout + again.stderr
    wells().iloc[:-1].to_csv(workflow.folder / "wells.csv", index=False)
    assert workflow.jobs(yaml.safe_load(CONFIG)) == {name: count for name, count in JOBS.items() if name != "check"}
