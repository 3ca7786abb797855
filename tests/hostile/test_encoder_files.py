"""Encoder files and weights that are not what they should be: no code of theirs is run, no network of theirs is believed."""

import json
import os
import pickle
import struct

import pytest
import torch

from phenorep import encoderfiles, encoders, weights
from phenorep.errors import UserError

FACTS = {
    "recipe": "random",
    "config": {"backbone": "test_vit"},
    "channels": ["DNA"],
    "input_size": [32, 32],
    "scaling": "plate",
    "features": 64,
}


def written(path, header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def stating(**facts):
    return {"__metadata__": {key: json.dumps(value) for key, value in (FACTS | facts).items()}}


@pytest.fixture(scope="module")
def network():
    return encoders.backbone("test_vit", 1, (32, 32))


@pytest.fixture
def path(tmp_path, network):
    encoders.save(tmp_path / "encoder.safetensors", network, FACTS | {"features": network.num_features})
    return tmp_path / "encoder.safetensors"


@pytest.mark.parametrize(
    "header",
    [b"", b"[]", b"5", b"null", b'{"__metadata__": [1]}', b'{"__metadata__": null}', b'{"__metadata__": {"a": 5}}',
     b"[" * 100_000,
     b'{"__metadata__": {"a": "\xff"}}', b'{"__metadata__": {"recipe": "{oops"}}', b'{"__metadata__": {"recipe": ""}}',
     b'{"__metadata__": {"a": "' + b"9" * 5000 + b'"}}', b'{"__metadata__": {"a": "' + b"[" * 100_000 + b'"}}'],
)  # fmt: skip
def test_headers_that_are_none(tmp_path, header):
    with pytest.raises(UserError, match="cannot be read as an encoder"):
        encoders.metadata(written(tmp_path / "e.safetensors", header))


@pytest.mark.parametrize("length", [3, 2**40, 2**63, 2**64 - 1])
def test_a_length_that_lies(tmp_path, length):
    with pytest.raises(UserError, match="cannot be read as an encoder"):
        encoders.metadata(written(tmp_path / "e.safetensors", stating(), length=length))


def test_a_header_that_is_as_long_as_a_plate(tmp_path):
    path = written(tmp_path / "e.safetensors", b"{", length=1 << 30)
    os.truncate(path, (1 << 30) + 8)
    with pytest.raises(UserError, match=f"at most {encoderfiles.HEADER}"):
        encoders.metadata(path)


@pytest.mark.parametrize(
    "change",
    [{"data_offsets": [-4, 8]}, {"data_offsets": [0, 16]}, {"data_offsets": [0.5, 1]}, {"shape": [2**40, 2**40]},
     {"shape": "a"}, {"dtype": "X"}, {"dtype": "F64"}],
)  # fmt: skip
def test_weights_that_lie(path, change):
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    del header["__metadata__"][encoders._CHECK]
    header[next(key for key in header if key != "__metadata__")] |= change
    written(path, header, content[8 + length :])
    with pytest.raises(UserError, match="weights"):
        encoders.Encoder.load(path)
    with pytest.raises(UserError, match="weights"):
        weights.load(encoders.backbone("test_vit", 1, (32, 32)), path, "test_vit")


def test_truncated_weights(path):
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"encoder\.safetensors"):
        encoders.Encoder.load(path)


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        *(({"recipe": name}, "recipe") for name in
          ("../check", "__init__", "os", "a/b", "", "random.__class__", 5, None, ["random"])),
        *(({"config": {"backbone": name}}, "backbone") for name in
          ("hf-hub:timm/resnet18", "hf_hub:x/y", "local-dir:made", "../resnet18", "made.pth", "", "hf-hub:resnet18")),
        ({"config": {"backbone": "resnet10t.made"}}, "builds no network"),
        ({"config": []}, "config"), ({"config": None}, "config"), ({"config": {"x": 1}}, "config"),
        ({"channels": "DNA"}, "channels"), ({"channels": []}, "channels"), ({"channels": [5]}, "channels"),
        ({"channels": ["DNA"] * 100_000}, "channels"), ({"channels": 5}, "channels"),
        ({"input_size": [2**30, 2**30]}, "input_size"), ({"input_size": "a"}, "input_size"),
        ({"input_size": [-1, 5]}, "input_size"),
        ({"input_size": [True, 5]}, "input_size"), ({"features": "x"}, "features"), ({"features": -5}, "features"),
        ({"scaling": "bad"}, "scaling"), ({"scaling": {"clip": "a"}}, "scaling"), ({"scaling": 5}, "scaling"),
    ],
)  # fmt: skip
def test_facts_that_lie(tmp_path, monkeypatch, facts, says):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=says) as refused:
        encoders.Encoder.load(written(tmp_path / "e.safetensors", stating(**facts)))
    assert len(str(refused.value)) < 1500
    assert os.listdir(tmp_path) == ["e.safetensors"]


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch made",)


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.bin", "w.safetensors"])
def test_no_pickle_is_run(tmp_path, monkeypatch, network, name):
    monkeypatch.chdir(tmp_path)
    for content in (pickle.dumps(Evil()), pickle.dumps({"model": Evil()})):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match="weights"):
            weights.load(network, name, "test_vit")
    torch.save({"state_dict": Evil()}, tmp_path / name)
    with pytest.raises(UserError, match="weights"):
        weights.load(network, name, "test_vit")
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("content", [torch.zeros(3), [1, 2], {1: torch.zeros(3)}, {}, {"state_dict": {5: 5}}, "text"])
def test_checkpoints_without_a_network(tmp_path, network, content):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(UserError, match="has no weights"):
        weights.load(network, tmp_path / "w.pth", "test_vit")
