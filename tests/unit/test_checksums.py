"""Files that were damaged are refused by whoever reads them; the message names the file and the remedy."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from phenorep import contracts, encoders, records
from phenorep.checkpoints import Checkpoint
from phenorep.checksums import Damaged
from phenorep.errors import UserError
from phenorep.imaging import illumination
from phenorep.preprocessing import settings
from phenorep.store import Samples
from tests.unit import made_samples


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def table(rows: int = 30) -> pd.DataFrame:
    wells = [f"A{number % 12 + 1:02d}" for number in range(rows)]
    columns = {"Metadata_Plate": "p", "Metadata_Well": wells, "Metadata_Site": "1", "Metadata_MoA": ["x", "y"] * (rows // 2)}
    samples = [f"p/{number}" for number in range(rows)]
    return pd.DataFrame(columns).assign(Sample=samples, a_0000=np.arange(rows, dtype=np.float32), listed=[["u", "v"]] * rows)


def test_every_byte_of_a_table_counts(tmp_path):
    """Whatever byte is flipped: the table is refused, or what is read is what was written."""
    path = tmp_path / "x.parquet"
    contracts.write_table(table(), path, "embeddings", {"channels": ["DNA"]})
    content, whole = path.read_bytes(), contracts.read_table(path, "embeddings")
    refusals = []
    for place in range(0, len(content), 7):
        path.write_bytes(flipped(content, place))
        try:
            found, about = contracts.read_table(path, "embeddings"), contracts.about(path)
        except Damaged as error:
            refusals.append(str(error))
            continue
        assert found.to_json() == whole.to_json(), place
        assert about == {"channels": ["DNA"]}, place
    assert all(text.startswith(str(path)) and "Remove the file and run again" in text for text in refusals)
    assert len(refusals) > len(content) / 14, "most of a table says something"


@pytest.mark.parametrize("length", [0, 3, 100, -20])
def test_a_table_that_is_cut_off(tmp_path, length):
    path = tmp_path / "x.parquet"
    contracts.write_table(table(), path, "embeddings")
    path.write_bytes(path.read_bytes()[:length])
    for read in (contracts.about, contracts.columns_of, contracts.not_run, lambda p: contracts.read_table(p, "embeddings")):
        with pytest.raises(Damaged, match=r"x\.parquet.*Remove the file and run again"):
            read(path)


def test_a_table_of_another_programme_is_read_as_it_is(tmp_path):
    table().to_parquet(tmp_path / "x.parquet", index=False)
    assert len(contracts.read_table(tmp_path / "x.parquet", "embeddings")) == 30


def test_kinds_of_columns_survive(tmp_path):
    kinds = pd.DataFrame(
        {
            "Metadata_Plate": pd.Categorical(["p", "q"]),
            "count": pd.array([1, None], dtype="Int64"),
            "nothing": [None, None],
            "when": pd.to_datetime(["2020-01-01", "2021-01-01"]),
            "nested": [{"a": 1}, {"a": 2}],
        }
    )
    for part in (kinds, kinds.iloc[:0]):
        contracts.write_table(part, tmp_path / "x.parquet", "profiles", {"ü": "é"})
        assert len(contracts.read_table(tmp_path / "x.parquet", "profiles")) == len(part)


def test_facts(tmp_path):
    path = tmp_path / "x.json"
    contracts.write_facts({"mean": [1.5], "of": None}, path)
    assert contracts.read_facts(path) == {"mean": [1.5], "of": None}
    path.write_text(path.read_text().replace("1.5", "1.6"))
    with pytest.raises(Damaged, match="not what was written"):
        contracts.read_facts(path)
    for text in ("", '{"mean": [1', "[1]"):
        path.write_text(text)
        with pytest.raises(Damaged, match=r"x\.json"):
            contracts.read_facts(path)


def scores(value: float = 0.5, rows: int = 3) -> pd.DataFrame:
    row = dict.fromkeys(contracts.SCORE_COLUMNS, "a") | {"value": value, "ci_low": 0.1, "ci_high": 0.9, "n": 3}
    return pd.DataFrame([row] * rows)


@pytest.mark.parametrize("spoil", [lambda t: "", lambda t: t[:-4], lambda t: t.replace("0.5", "x"), lambda t: t[5:]])
def test_scores_that_are_no_table_of_scores(tmp_path, spoil):
    path = tmp_path / "s.csv"
    contracts.write_scores(scores(), path)
    path.write_text(spoil(path.read_text()))
    with pytest.raises(Damaged, match=r"s\.csv.*Remove the file"):
        contracts.read_scores(path)


@pytest.mark.parametrize("spoil", [lambda t: t.replace("0.5", "0.6", 1), lambda t: t[: t.rstrip().rfind("\n") + 1]])
def test_scores_are_those_beside_which_the_details_were_written(tmp_path, spoil):
    path, details = tmp_path / "s.csv", tmp_path / "s.parquet"
    contracts.write_scores(scores(), path)
    contracts.write_table(pd.DataFrame({"part": ["item"]}), details, "details", contracts.scores_check(path))
    contracts.check_scores(path, details)
    path.write_text(spoil(path.read_text()))
    contracts.read_scores(path)  # a digit, or a whole row: it still is a table of scores
    with pytest.raises(Damaged, match="not what was written"):
        contracts.check_scores(path, details)


def test_scores_beside_a_record_that_the_evaluation_did_not_run(tmp_path):
    path, details = tmp_path / "s.csv", tmp_path / "s.parquet"
    contracts.write_not_run(details, "no labels")
    records.write(path, "no labels", "scores")
    contracts.check_scores(path, details)
    contracts.write_scores(scores(), path)
    with pytest.raises(Damaged, match="did not run"):
        contracts.check_scores(path, details)


def test_illumination_functions(tmp_path):
    path = tmp_path / "p.npz"
    illumination.write({"DNA": np.ones((32, 32), np.float32)}, 1, settings({}), "native", path)
    content = path.read_bytes()
    for spoilt in (b"", content[:200], flipped(content, content.index(b"\x80?") + 1)):
        path.write_bytes(spoilt)
        with pytest.raises(UserError, match=r"p\.npz.*Remove it and run again"):
            illumination.load(path, ["DNA"])


def test_weights(tmp_path):
    path = tmp_path / "encoder.safetensors"
    network = torch.nn.Linear(4, 2)
    encoders.save(path, network, {"recipe": "random"})
    encoders.load_weights(torch.nn.Linear(4, 2), path, "it")
    assert encoders.metadata(path) == {"recipe": "random"}
    content = path.read_bytes()
    for place in (20, len(content) // 2, len(content) - 1):
        path.write_bytes(flipped(content, place))
        with pytest.raises(UserError, match=r"encoder\.safetensors.*Remove the file and run again"):
            encoders.load_weights(torch.nn.Linear(4, 2), path, "it")


def test_weights_of_another_programme_are_taken_as_they_are(tmp_path):
    from safetensors.torch import save_file

    network = torch.nn.Linear(4, 2)
    save_file(network.state_dict(), tmp_path / "w.safetensors", {"recipe": '"random"'})
    encoders.load_weights(torch.nn.Linear(4, 2), tmp_path / "w.safetensors", "it")


def test_checkpoint(tmp_path, capsys):
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", "mine")
    checkpoint.save({"weights": torch.ones(1000), "epoch": 1, "step": 0})
    assert checkpoint.load()["epoch"] == 1
    content = checkpoint.path.read_bytes()
    checkpoint.path.write_bytes(flipped(content, content.index(b"\x80?\x00\x00\x80?")))
    assert checkpoint.load() is None
    assert "training begins again" in capsys.readouterr().out


def with_sums(files: dict) -> Samples:
    for table_path, path in zip(files["tables"], files["statistics"], strict=True):
        with open(path) as file:
            facts = json.load(file)
        images = np.load(table_path.replace(".parquet", ".npy"))
        contracts.write_facts({**facts, "sums": images.sum(axis=(0, 2, 3), dtype=np.int64).tolist()}, path)
    return Samples.open(files["tables"], files["statistics"])


def test_samples(tmp_path):
    files = made_samples.write(tmp_path, plates=3)
    Samples.open(files["tables"], files["statistics"]).check()  # samples without sums are taken as they are
    with_sums(files).check(threads=2)
    path = tmp_path / "P2.npy"
    path.write_bytes(flipped(path.read_bytes(), 5000))
    with pytest.raises(UserError, match=r"P2\.npy.*remove it and run again"):
        Samples.open(files["tables"], files["statistics"]).check(threads=2)


def damage(path, row: int) -> None:
    """Flip a bit of one sample in an array."""
    array = np.load(path, mmap_mode="r+")
    array[row, 0, 3, 3] ^= 1
    array.flush()


def test_who_reads_some_samples_meets_the_damage_of_these_alone(tmp_path):
    files = made_samples.write(tmp_path, plates=2, count=12)
    whole = Samples.open(*files.values()).read(np.arange(24))
    damage(tmp_path / "P2.npy", 5)
    samples = Samples.open(*files.values(), verify=True)
    sound = np.delete(np.arange(24), 17)[::-1]
    assert (samples.read(sound) == whole[sound]).all()
    assert samples.read([]).shape == (0, 2, 24, 24)
    with pytest.raises(UserError, match=r"P2\.npy: .*1 of 3 .*P2/A03/1/5.*remove it and run again"):
        samples.read([20, 17, 2])
    Samples.open(*files.values()).read([17])  # who reads all has compared the sums before


def test_samples_without_checksums_are_taken_as_they_are(tmp_path):
    files = made_samples.write(tmp_path, plates=2, count=12)
    table = contracts.read_table(files["tables"][0], "samples").drop(columns="Checksum")
    contracts.write_table(table, files["tables"][0], "samples")
    for plate in ("P1", "P2"):
        damage(tmp_path / f"{plate}.npy", 0)
    samples = Samples.open(*files.values(), verify=True)
    samples.read([0, 1, 13])
    with pytest.raises(UserError, match=r"P2\.npy"):
        samples.read([0, 12])


def test_an_evaluation_checks_what_it_reads(tmp_path):
    from phenorep import evaluations, pretrain

    files = made_samples.write(tmp_path / "samples", plates=2, count=12)
    with_sums(files)
    pretrain.make(**made_samples.pretrain_arguments(tmp_path, files, "pixel_statistics", {}))
    row = dict.fromkeys(("dataset", "samples", "method", "epoch", "profile", "evaluation"), "a") | {"seed": 0}

    def evaluate() -> list[str]:
        evaluations.make(
            {"use": "invariance", "keys": {"samples": 9}},
            files,
            str(tmp_path / "encoder.safetensors"),
            row,
            {"device": "cpu"},
            tmp_path / "s.csv",
            tmp_path / "d.parquet",
        )
        details = contracts.read_table(tmp_path / "d.parquet", "details")
        return details.loc[details["part"] == "item", "item"].tolist()

    drawn = evaluate()
    for table, array in zip(files["tables"], ("P1.npy", "P2.npy"), strict=True):
        names = contracts.read_table(table, "samples")["Sample"]
        for place in np.flatnonzero(~names.isin(drawn)):
            damage(tmp_path / "samples" / array, place)
    assert evaluate() == drawn, "what it does not read is of no account"
    place = np.flatnonzero(names.isin(drawn))[0]
    damage(tmp_path / "samples" / array, place)
    with pytest.raises(UserError, match=rf"P2\.npy.*{names[place]}.*remove it and run again"):
        evaluate()
