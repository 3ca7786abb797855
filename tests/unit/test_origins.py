"""Where a number comes from: its files, its lines of the configuration, its command."""

from pathlib import Path

from phenorep import inventory
from phenorep.planning import Plan
from phenorep.report import origins


def test_lines_of_the_configuration_are_pointed_at():
    text = (
        "name: x\nmethods:\n  a:\n    use: b\n    keys:\n      - 1\n  c: {use: d}\n"
        "profiles:\n  raw:\n  - step: tvn\nstudies: {s: {}}\nlast: 1\n"
    )
    pieces, places = origins.config_lines(text)
    assert "".join(piece for _, piece in pieces) == text
    assert {name: place[1:] for name, place in places["methods"].items()} == {"a": [3, 6], "c": [7, 7]}
    assert {name: place[1:] for name, place in places["profiles"].items()} == {"raw": [9, 10]}
    found = dict(pieces)
    assert found[places["methods"]["c"][0]] == "  c: {use: d}\n"
    assert found[places["profiles"]["raw"][0]] == "  raw:\n  - step: tvn\n"


def test_commands_name_the_configuration_and_are_safe_to_paste(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert origins.command() == "snakemake --force --"
    given = [str(tmp_path / "my screens" / "a.yaml"), "/elsewhere/b.yaml"]
    assert origins.command(given) == "snakemake --configfile 'my screens/a.yaml' /elsewhere/b.yaml --force --"


def test_an_encoder_is_linked_where_it_was_made_and_with_the_seed_that_was_run(tmp_path, monkeypatch):
    """Of seeds 1 and 2, an unseeded method is run with seed 0 alone."""
    monkeypatch.chdir(tmp_path)
    network = {"use": "simclr", "backbone": "resnet10t"}
    members = ["simclr", "taken", "pixel_statistics"]
    both = {"use": "concat", "members": members}
    config = {
        "name": "x",
        "datasets": {"made": {"use": "simulated"}, "other": {"use": "simulated"}},
        "samples": {"cells": {"use": "nuclei", "size": 32}},
        "methods": {"simclr": network, "taken": {"from": "other/cells/simclr"}, "pixel_statistics": {}, "both": both},
        "evaluations": {"invariance": {}, "quality_classification": {}},
        "studies": {"s": {"dataset": "made", "samples": "cells", "seeds": [1, 2], "methods": [*members, "both"]}},
    }
    config["studies"]["s"]["evaluations"] = ["invariance", "quality_classification"]
    plan = Plan(config)
    trained = [f"{dataset}/simclr/seed{seed}" for dataset in ("made", "other") for seed in (1, 2)]
    for name in [*trained, "made/pixel_statistics/seed0"]:
        path = tmp_path / "results/{}/encoders/cells/{}/{}/encoder.safetensors".format(*name.split("/"))
        path.parent.mkdir(parents=True)
        path.touch()
    summary = inventory.summary(plan)
    linked = origins.encoders(summary["studies"]["s"], summary, str)
    names = {m: sorted("/".join(Path(f["path"]).parts[i] for i in (1, 4, 5)) for f in files) for m, files in linked.items()}
    assert names == {
        "simclr": trained[:2],
        "taken": trained[2:],
        "pixel_statistics": ["made/pixel_statistics/seed0"],
        "both": sorted([*trained, "made/pixel_statistics/seed0"]),
    }
    (tmp_path / "results/made/encoders/cells/pixel_statistics/seed0/encoder.safetensors").unlink()
    assert "pixel_statistics" not in origins.encoders(summary["studies"]["s"], summary, str), "a link leads somewhere"


def test_score_files_are_named_by_seed_and_only_where_they_are(tmp_path):
    where = {"dataset": "made", "samples": "cells", "method": "own", "epoch": "final", "profile": "raw", "evaluation": "e"}
    details = [where | {"seed": seed, "path": str(tmp_path / f"{seed}.parquet")} for seed in (0, 1, 2)]
    for name in ("0.csv", "0.parquet", "1.csv"):
        (tmp_path / name).touch()
    study = {"dataset": "made", "samples": "cells", "methods": ["own"], "profiles": ["raw"], "seeds": [0, 1, 2]}
    found = origins.score_files(study, {"files": {"details": details}}, lambda path: path.rsplit("/", 1)[-1])
    assert found == {
        ("e", "own", "raw"): [
            {"seed": 0, "scores": "0.csv", "details": "0.parquet"},
            {"seed": 1, "scores": "1.csv", "details": ""},
        ]
    }
