"""The command line ends with a message, not with a traceback."""

import subprocess
import sys
import tomllib

import pytest
import yaml

from phenorep import applying, cli, exporting, plugins, profiles
from phenorep.datasets import table
from phenorep.errors import NotRun, UserError
from tests.conftest import ROOT


def test_plan_lists_every_score_of_the_demonstration(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert cli.main(["plan", "config.yaml"]) == 0
    listed = capsys.readouterr().out.split()
    assert all(path.startswith("results/simulated/scores/") for path in listed)
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


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A plate as MetaXpress leaves it, below the working directory."""
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "my images" / "P1"
    place.mkdir(parents=True)
    for name in ("P1_B02_s1_w1", "P1_B02_s1_w2", "P1_B03_s1_w1", "P1_B03_s1_w2", "P1_B03_s1_w1_thumb"):
        (place / f"{name}.TIF").touch()
    return tmp_path


def test_table_lists_a_folder_and_leaves_a_plate_map_to_fill_in(folder, capsys):
    assert cli.main(["table", "my images", "--channels", "w2=DNA,w1"]) == 0
    said = capsys.readouterr().out
    for line in ("Plates: 1 (P1)", "Wells: 2; sites in a well: 1; fields: 2", "Channels: DNA, w1", "Left out: 1 thumbnails"):
        assert line in said
    assert (folder / "plates.csv").read_text().splitlines()[:2] == [
        "Metadata_Plate,Metadata_Well,Metadata_Site,PathName_DNA,FileName_DNA,PathName_w1,FileName_w1",
        "P1,B02,1,my images/P1,P1_B02_s1_w2.TIF,my images/P1,P1_B02_s1_w1.TIF",
    ]
    assert (folder / "wells.csv").read_text().splitlines() == [
        "Metadata_Plate,Metadata_Well,Metadata_Compound,Metadata_Concentration,Metadata_MoA,Metadata_Control",
        "P1,B02,,,,",
        "P1,B03,,,,",
    ]


def test_the_lines_that_table_prints_are_a_configuration(folder, capsys):
    assert cli.main(["table", "my images", "--output", "my plates.csv"]) == 0
    config = yaml.safe_load(capsys.readouterr().out.partition("For the configuration:\n")[2])
    assert config["preprocess"] == {"nuclei": {"channel": "THE_ONE_THAT_SHOWS_NUCLEI"}}
    (folder / "wells.csv").write_text("Metadata_Well,Metadata_Compound,Metadata_MoA\nB02,DMSO,\nB03,x,\n")
    _, keys = config["datasets"]["mine"].pop("use"), config["datasets"]["mine"]
    fields = table.fields(plugins.configure(table.Config, keys, "datasets: mine"), "P1", folder)
    assert fields["Metadata_Compound"].tolist() == ["DMSO", "x"]
    assert "Metadata_MoA" not in fields  # left empty


def test_a_plate_map_that_nobody_filled_in_is_a_message(folder):
    assert cli.main(["table", "my images"]) == 0
    config = plugins.configure(table.Config, {"table": "plates.csv", "plate_map": "wells.csv"}, "datasets: mine")
    with pytest.raises(UserError, match="or nothing in it"):
        table.fields(config, "P1", folder)


def test_table_overwrites_nothing(folder, capsys):
    (folder / "wells.csv").write_text("mine")
    assert cli.main(["table", "my images"]) == 0
    assert "wells.csv is there already and is kept" in capsys.readouterr().out
    assert (folder / "wells.csv").read_text() == "mine"
    (folder / "plates.csv").write_text("mine")
    assert cli.main(["table", "my images"]) == 1
    assert "plates.csv: the file is there already and is kept" in capsys.readouterr().err
    assert (folder / "plates.csv").read_text() == "mine"


def test_table_lists_what_is_missing(folder, capsys):
    (folder / "my images" / "P1" / "P1_B03_s1_w1.TIF").unlink()
    assert cli.main(["table", "my images"]) == 0
    said = capsys.readouterr().out
    assert "1 images are missing: plate P1, well B03, site 1: w1." in said
    assert "on_bad_image: exclude" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--plane", "max"], "--plane max: expected a number. Images are read as they are"),
        (["--time", "2"], "time: plate P1 has no time point 2; it has 1"),
        (["--channels", "w1=,w2"], "--channels w1=,w2: expected THEIRS=OURS"),
        (["--plates", "P2"], "there is no plate 'P2'. Known are: P1"),
        (["--layout", "harmony"], "there is no Index.idx.xml"),
        (["--pattern", "("], "phenorep table: pattern: '(' is no regular expression"),
    ],
)
def test_what_table_cannot_do_is_a_message_and_nothing_is_written(folder, capsys, options, message):
    assert cli.main(["table", "my images", *options]) == 1
    assert message in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["my images"]


def test_the_command_line_is_reached_by_the_name_of_the_package():
    command = [sys.executable, "-m", "phenorep", "table", "--help"]
    assert "--plate-map" in subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_embed_hands_its_options_to_the_library(monkeypatch, capsys):
    given = []
    monkeypatch.setattr(applying, "make", lambda options: given.append(options) or "Written: e.parquet")
    command = ["embed", "a.safetensors", "b.csv", "--output", "e.parquet", "--samples", "tiles:size=64", "--batch-size", "8"]
    assert cli.main(command) == 0
    expected = {"encoder": "a.safetensors", "images": ["b.csv"], "samples": "tiles:size=64", "batch_size": 8, "device": None}
    assert given[0] | expected == given[0]
    assert capsys.readouterr().out == "Written: e.parquet\n"


def test_export_keeps_its_command(monkeypatch):
    given = []
    monkeypatch.setattr(exporting, "export_all", lambda *arguments: given.append(arguments))
    assert cli.main(["export", "a b.parquet", "out.h5ad", "--layer", "tvn=c.parquet"]) == 0
    files, output, layers, command = given[0]
    assert (files, output, {name: str(path) for name, path in layers.items()}) == (
        ["a b.parquet"],
        "out.h5ad",
        {"tvn": "c.parquet"},
    )
    assert command == "phenorep export 'a b.parquet' out.h5ad --layer tvn=c.parquet"


@pytest.mark.parametrize("layers", [["tvn"], ["tvn="], ["=c.parquet"], ["x=a.parquet", "x=b.parquet"]])
def test_a_layer_needs_a_name_and_a_file(capsys, layers):
    options = [part for layer in layers for part in ("--layer", layer)]
    assert cli.main(["export", "a.parquet", "out.h5ad", *options]) == 1
    assert "expected NAME=FILE.parquet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        (NotRun("no weights"), 1, "phenorep: no weights"),
        (PermissionError(13, "Permission denied", "out.h5ad"), 1, "phenorep: out.h5ad: Permission denied."),
        (OSError(28, "No space left on device"), 1, "phenorep: No space left on device."),
        (KeyboardInterrupt(), 130, "phenorep: stopped"),
    ],
)
def test_what_the_machine_refuses_is_a_message(monkeypatch, capsys, raised, status, said):
    def fail(*_):
        raise raised

    monkeypatch.setattr(exporting, "export_all", fail)
    assert cli.main(["export", "a.parquet", "out.h5ad"]) == status
    assert capsys.readouterr().err.strip() == said


def test_a_mistake_of_our_own_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(exporting, "export_all", lambda *_: [][0])
    with pytest.raises(IndexError):
        cli.main(["export", "a.parquet", "out.h5ad"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.csv", "b.npz", "c.parquet"], "a.csv: expected a file that ends in .parquet"),
        (["b.npz", "a.parquet", "c.parquet"], "b.npz: expected a file that ends in .parquet"),
        (["a.parquet", "b.npz", "a.parquet"], "these are the embeddings"),
    ],
)
def test_normalise_refuses_files_in_the_wrong_place(capsys, arguments, message):
    assert cli.main(["normalise", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_what_is_no_configuration_is_a_message(capsys, tmp_path):
    for name, content in {"text": b"plates", "list": b"- a", "bytes": b"\xff\xfe\x00", "empty": b""}.items():
        (tmp_path / name).write_bytes(content)
        assert cli.main(["plan", str(tmp_path / name)]) == 1
        assert capsys.readouterr().err.startswith(f"phenorep: {tmp_path / name}: ")


def test_a_reader_that_has_seen_enough_is_no_mistake():
    command = f"set -o pipefail; {sys.executable} -m phenorep plan config.yaml | true"
    result = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("command", ["table", "plan", "normalise", "embed", "export"])
def test_every_command_says_what_it_does(capsys, command):
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert said.splitlines()[0].startswith(f"usage: phenorep {command}")
    assert max(map(len, said.splitlines())) <= 105


def test_the_script_of_the_package_is_the_command_line():
    with open(ROOT / "pyproject.toml", "rb") as file:
        assert tomllib.load(file)["project"]["scripts"] == {"phenorep": "phenorep.cli:main"}
