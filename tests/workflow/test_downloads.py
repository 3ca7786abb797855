"""Published archives: what is fetched, and what is not fetched again."""

from tests.unit import made_mirror

PLATES = ["Week1_22123", "Week2_24121"]


def test_a_made_up_mirror_of_bbbc021_up_to_the_fields(workflow, tmp_path):
    mirror = made_mirror.make_mirror(tmp_path / "mirror", PLATES)
    dataset = {"path": str(mirror), "limit": {"plates": 2, "fields": 8}}
    config = {
        "name": "small",
        "datasets": {"bbbc021": dataset},
        "samples": {"fields": {"size": [32, 32]}},
        "methods": {"pixel_statistics": {}},
        "profiles": {"raw": [{"aggregate": {"by": "treatment", "with": "median"}}]},
        "evaluations": {"moa_matching": {}},
    }
    study = {"dataset": "bbbc021", "samples": "fields", "methods": ["pixel_statistics"]}
    config["studies"] = {"small": study | {"profiles": ["raw"], "evaluations": ["moa_matching"]}}

    result = workflow.snakemake("--until", "fields", config=config)
    assert result.returncode == 0, result.stdout + result.stderr
    for plate in PLATES:
        assert (tmp_path / "results" / "bbbc021" / "fields" / f"{plate}.parquet").is_file()
        assert len(list((tmp_path / "resources" / "bbbc021" / plate / plate).glob("*.tif"))) == 96

    # 800 MB a plate are not fetched again because more of its fields are used.
    dataset["limit"]["fields"] = 12
    assert workflow.jobs(config, "--until", "fields") == {"fields": 2}
    dataset["limit"]["plates"] = 3
    assert workflow.jobs(config, "--until", "fields") == {"download": 1, "fields": 3}
