"""What decides the weights: the configuration and the samples, not the threads of the job nor the order of the samples."""

import pytest
import torch

from phenorep import encoders, pretrain
from tests.unit import killed, made_samples

KEYS = {"backbone": "resnet10t", "epochs": 2, "batch_size": 8, "warmup_epochs": 1, "projector": [16], "learning_rate": 0.01}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return made_samples.write(tmp_path_factory.mktemp("samples"))


@pytest.fixture(scope="module")
def expected(tmp_path_factory, files):
    """The bytes of an encoder."""
    folder = tmp_path_factory.mktemp("expected")
    pretrain.make(**made_samples.pretrain_arguments(folder, files, "simclr", KEYS))
    return (folder / "encoder.safetensors").read_bytes()


def test_threads_of_the_job_change_no_byte(tmp_path, files, expected):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)  # as a job that is started with OMP_NUM_THREADS=1
        pretrain.make(**made_samples.pretrain_arguments(tmp_path, files, "simclr", KEYS, threads=3))
    finally:
        torch.set_num_threads(before)
    assert (tmp_path / "encoder.safetensors").read_bytes() == expected


def test_the_order_of_plates_and_samples_changes_no_byte(tmp_path, files, expected):
    others = made_samples.reordered(tmp_path / "samples", files)
    pretrain.make(**made_samples.pretrain_arguments(tmp_path, others, "simclr", KEYS))
    assert (tmp_path / "encoder.safetensors").read_bytes() == expected


def test_another_number_of_threads_is_another_training(tmp_path, files, monkeypatch, capsys):
    """Its sums are rounded in another way: the encoder says with how many it was made, and a checkpoint is of one number."""
    arguments = made_samples.pretrain_arguments(tmp_path, files, "simclr", KEYS)
    killed.kill(monkeypatch, arguments, 4)
    assert (tmp_path / "checkpoint.pt").is_file()
    pretrain.make(**arguments | {"compute": {"device": "cpu", "threads": 1}})
    assert "training begins again" in capsys.readouterr().out
    assert encoders.metadata(tmp_path / "encoder.safetensors")["computed_on"] == {"device": "cpu", "threads": 1}
    pretrain.make(**arguments)
    assert encoders.metadata(tmp_path / "encoder.safetensors")["computed_on"] == {"device": "cpu", "threads": 2}
