"""Where a number comes from: its files, its lines of the configuration, its command."""

from phenorep import plugins
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


def test_an_encoder_is_found_where_it_was_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    declared = {"beside": {"COMBINES": "members"}}
    monkeypatch.setattr(plugins, "constants", lambda kind, name: declared.get(name, {}))
    config = {"methods": {"own": {"use": "own"}, "taken": {"from": "other/cells/own"}, "both": {"use": "beside"}}}
    config["methods"]["both"]["keys"] = {"members": ["own", "taken"]}
    for dataset in ("made", "other"):
        path = tmp_path / f"results/{dataset}/encoders/cells/own/seed0/encoder.safetensors"
        path.parent.mkdir(parents=True)
        path.touch()
    study = {"dataset": "made", "samples": "cells", "methods": ["own", "taken", "both", "none"], "seeds": [0, 1]}
    found = origins.encoders(study, {"config": config}, str)
    assert {name: [file["path"].split("/")[1] for file in files] for name, files in found.items()} == {
        "own": ["made"],
        "taken": ["other"],
        "both": ["made", "other"],
    }


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
