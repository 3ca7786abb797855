"""The command line ends with a message, not with a traceback."""

import yaml

from phenorep import cli, profiles
from tests.conftest import ROOT


def test_plan_lists_every_score_of_the_demonstration(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert cli.main(["plan", "config.yaml"]) == 0
    listed = capsys.readouterr().out.split()
    assert all(path.startswith("results/simulated/scores/cells/") for path in listed)
    assert len(listed) == len(set(listed)) > 10


def test_wrong_configuration_is_a_message(capsys, tmp_path):
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["methods"]["simclr"]["epoch"] = 3
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(config))
    assert cli.main(["plan", str(tmp_path / "wrong.yaml")]) == 1
    assert capsys.readouterr().err.startswith("phenorep: methods: simclr: unknown key 'epoch'. Did you mean 'epochs'?")


def test_missing_file_is_a_message(capsys, tmp_path):
    assert cli.main(["plan", str(tmp_path / "absent.yaml")]) == 1
    assert "absent.yaml" in capsys.readouterr().err


def test_normalise_hands_its_files_to_the_library(monkeypatch):
    given = []
    monkeypatch.setattr(profiles, "apply", lambda *paths: given.append(paths))
    assert cli.main(["normalise", "a.parquet", "b.npz", "c.parquet"]) == 0
    assert given == [("a.parquet", "b.npz", "c.parquet")]
