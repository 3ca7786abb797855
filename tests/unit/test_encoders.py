import json
import struct

import numpy as np
import pytest
import torch

from phenorep import encoders, records
from phenorep.errors import NotRun, UserError


def facts(**other):
    made = {"recipe": "random", "config": {"backbone": "resnet10t"}, "channels": ["DNA", "Actin"], "input_size": [24, 24]}
    return {**made, "scaling": "plate", "features": 512, "epoch": 0, **other}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    return encoders.backbone("resnet10t", 2)


@pytest.fixture
def path(tmp_path, network):
    encoders.save(tmp_path / "encoder.safetensors", network, facts())
    return tmp_path / "encoder.safetensors"


def test_plate_scaling_takes_each_sample_by_its_own_plate():
    images = torch.tensor([10, 30], dtype=torch.int32).reshape(2, 1, 1, 1).expand(2, 3, 4, 4).to(torch.uint16)
    means, stds = torch.tensor([[10.0] * 3, [20.0] * 3]), torch.tensor([[5.0] * 3, [5.0, 2.0, 0.0]])
    scaled = encoders.scale(images, "plate", means, stds)
    assert scaled.dtype == torch.float32
    assert scaled[0].unique().tolist() == [0]
    assert scaled[1, :2, 0, 0].tolist() == [2, 5]
    assert torch.isfinite(scaled).all()


@pytest.mark.parametrize(
    ("dtype", "top", "expected"), [("uint8", None, 255), ("uint16", None, 65535), ("uint16", 4095, 4095)]
)
def test_range_scaling_divides_by_the_cameras_range(dtype, top, expected):
    images = torch.from_numpy(np.full((1, 1, 2, 2), 51, dtype=dtype))
    scaled = encoders.scale(images, "range", torch.zeros(1, 1), torch.ones(1, 1), top)
    assert scaled.unique().item() == pytest.approx(51 / expected)


@pytest.mark.parametrize("clip", [100, "100"])
def test_clipped_scaling_sets_brighter_pixels_to_one(clip):
    images = torch.tensor([0, 25, 100, 101, 60000], dtype=torch.int32).reshape(1, 1, 1, 5).to(torch.uint16)
    scaled = encoders.scale(images, {"clip": clip}, torch.zeros(1, 1), torch.ones(1, 1), 4095)
    assert scaled.flatten().tolist() == [0, 0.25, 1, 1, 1]


@pytest.mark.parametrize("scaling", [{"clip": 0}, {"clip": "bright"}, {"clip": None}, {"clip": 5, "mean": 1}, {}])
def test_wrong_clip_is_named(scaling):
    with pytest.raises(ValueError, match="scaling"):
        encoders.check_scaling(scaling)


def test_mistyped_backbone_is_named_with_its_nearest_spelling():
    with pytest.raises(UserError, match=r"'resnet81'.*Did you mean"):
        encoders.backbone("resnet81", 3)


@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize(("name", "size"), [("resnet10t", (32, 48)), ("vit_tiny_patch16_224", (32, 40))])
def test_backbones_read_any_channels_and_wide_images(name, size, channels):
    network = encoders.backbone(name, channels, (32, 32)).eval()
    with torch.inference_mode():
        assert network(torch.rand(2, channels, *size)).shape == (2, network.num_features)


def test_file_gives_back_metadata_and_network(path, network):
    encoder = encoders.Encoder.load(path)
    assert encoder.metadata == facts()
    images = torch.randint(0, 4095, (3, 2, 24, 24)).to(torch.uint16)
    means, stds = torch.full((3, 2), 2000.0), torch.full((3, 2), 900.0)
    with torch.inference_mode():
        network = network.eval().to(memory_format=torch.channels_last)  # another layout rounds otherwise
        expected = network(encoders.scale(images, "plate", means, stds))
    assert torch.equal(encoder.embed(images, means, stds), expected)


def test_loading_leaves_the_random_state_alone(path):
    before = torch.get_rng_state()
    encoders.Encoder.load(path)
    assert torch.equal(torch.get_rng_state(), before)


def test_equal_encoders_are_equal_files(tmp_path, path, network):
    encoders.save(tmp_path / "again.safetensors", network, dict(reversed(facts().items())))
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_gradients_flow_through_forward(path):
    encoder = encoders.Encoder.load(path)
    encoder(torch.rand(2, 2, 24, 24)).sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_record_of_an_encoder_that_was_not_made(tmp_path):
    records.write(tmp_path / "encoder.safetensors", "no network", "weights")
    assert encoders.metadata(tmp_path / "encoder.safetensors") == {"not_run": "no network"}
    with pytest.raises(NotRun, match="no network"):
        encoders.Encoder.load(tmp_path / "encoder.safetensors")


@pytest.mark.parametrize("content", [b"", b"\xff" * 20, struct.pack("<Q", 2) + b"{}"])
def test_damaged_file_is_named(tmp_path, content):
    (tmp_path / "encoder.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"encoder\.safetensors: cannot be read"):
        encoders.metadata(tmp_path / "encoder.safetensors")


def test_missing_metadata_are_named(tmp_path, network):
    encoders.save(tmp_path / "encoder.safetensors", network, {"recipe": "random", "config": {}})
    with pytest.raises(UserError, match="channels, input_size, scaling"):
        encoders.Encoder.load(tmp_path / "encoder.safetensors")


@pytest.mark.parametrize(
    ("name", "channels", "message"), [("resnet10t", 3, "shape"), ("vit_tiny_patch16_224", 2, "no weights")]
)
def test_weights_of_another_build_are_refused(path, name, channels, message):
    with pytest.raises(UserError, match=message):
        encoders.load_weights(encoders.backbone(name, channels), path, "this method")


def test_channels_must_have_the_encoders_names_and_order(path):
    encoder = encoders.Encoder.load(path)
    assert encoder.positions(["DNA", "Actin"]) == [0, 1]
    for channels in (["Actin", "DNA"], ["DNA"], ["DNA", "Actin", "ER"], ["Hoechst", "Actin"]):
        with pytest.raises(UserError, match="the encoder reads DNA, Actin"):
            encoder.positions(channels)


def test_channels_that_take_the_places_of_the_encoders(path):
    encoder = encoders.Encoder.load(path)
    assert encoder.positions(["ER", "Phalloidin", "Hoechst"], use=["Hoechst", "Phalloidin"]) == [2, 1]
    with pytest.raises(UserError, match="the encoder reads"):
        encoder.positions(["ER", "Phalloidin", "Hoechst"], use=["Hoechst"])


def test_encoder_of_some_channels_finds_them_by_name(tmp_path, network):
    chosen = facts(config={"backbone": "resnet10t", "channels": ["DNA", "Actin"]})
    encoders.save(tmp_path / "encoder.safetensors", network, chosen)
    assert encoders.Encoder.load(tmp_path / "encoder.safetensors").positions(["Actin", "ER", "DNA"]) == [2, 0]


def test_metadata_are_plain_json_in_the_header(path):
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])
    assert json.loads(header["__metadata__"]["channels"]) == ["DNA", "Actin"]
