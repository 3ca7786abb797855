"""Channels without signal, of one grey level on a whole plate."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from phenorep import encoders, pretrain
from tests.unit import made_samples

KEYS = {"backbone": "resnet10t", "epochs": 1, "batch_size": 8, "warmup_epochs": 0, "projector": [16]}


def darken(files: dict, channels: list[int], plates: int) -> dict:
    """The sample set with some channels of one grey level on its first plates."""
    for path in files["statistics"][:plates]:
        facts = json.loads(Path(path).read_text())
        facts["std"] = [0.0 if number in channels else value for number, value in enumerate(facts["std"])]
        Path(path).write_text(json.dumps(facts))
    return files


@pytest.mark.parametrize(("channels", "plates"), [([1], 2), ([0, 1], 1)])
def test_a_channel_without_signal_is_told(tmp_path, capsys, channels, plates):
    files = darken(made_samples.write(tmp_path / "dark"), channels, plates)
    pretrain.make(**made_samples.pretrain_arguments(tmp_path, files, "simclr", KEYS))
    told = capsys.readouterr().out
    assert f"WARNING: the channel Actin is of one grey level on {plates} plates" in told
    assert ("the channel DNA is" in told) == (0 in channels)
    assert load_file(tmp_path / "encoder.safetensors")


def test_without_any_signal_nothing_is_trained(tmp_path):
    files = darken(made_samples.write(tmp_path / "dark"), [1], 2)
    pretrain.make(**made_samples.pretrain_arguments(tmp_path, files, "simclr", {**KEYS, "channels": ["Actin"]}))
    assert "one grey level in Actin" in encoders.metadata(tmp_path / "encoder.safetensors")["not_run"]
