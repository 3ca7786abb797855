import argparse

import pytest
import timm
import torch
import torchvision
from safetensors.torch import load_file, save_file

from phenorep import contracts, encoders, pretrain, weight_packages, weights
from phenorep.errors import UserError
from tests.unit import made_samples

CAFFE = {"order": "bgr", "maximum": 255, "mean": [103.939, 116.779, 123.68], "std": [1, 1, 1]}


@pytest.fixture
def files(tmp_path):
    return made_samples.write(tmp_path / "samples", plates=1, count=4, size=(64, 64))


def filled(name, path):
    network = weights.architecture(name)
    weights.load(network, path, name)
    return network.eval()


def test_torchvision_file(tmp_path):
    model = torchvision.models.resnet18(weights=None).eval()
    torch.save(model.state_dict(), tmp_path / "resnet18-f37072fd.pth")
    network = filled("torchvision/resnet18", tmp_path / "resnet18-f37072fd.pth")
    model.fc = torch.nn.Identity()
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(network(images), model(images))


def test_timm_file_serves_timm_and_torchvision_names(tmp_path):
    model = timm.create_model("resnet18", pretrained=False).eval()
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        expected = model.forward_head(model.forward_features(images), pre_logits=True)
        assert torch.equal(filled("resnet18", tmp_path / "model.safetensors")(images), expected)
        found = filled("torchvision/resnet18", tmp_path / "model.safetensors")(images)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("layout", ["teacher", "full", "state_dict", "model"])
def test_layouts_of_self_distilled_transformers(tmp_path, layout):
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0)
    names = {f"backbone.{name}": value for name, value in model.state_dict().items()}
    names["head.mlp.0.weight"] = torch.zeros(4, 192)
    other = {name: torch.zeros_like(value) for name, value in names.items()}
    wrapped = {f"module.{name}": value for name, value in names.items()}
    checkpoint = {
        "teacher": {"teacher": names, "student": other},
        "full": {
            "student": {f"module.{name}": value for name, value in other.items()},
            "teacher": wrapped,
            "optimizer": {"state": {}},
            "epoch": 400,
            "args": argparse.Namespace(arch="vit_tiny", patch_size=16),
        },
        "state_dict": {"state_dict": wrapped, "epoch": 3},
        "model": model.state_dict(),
    }[layout]
    torch.save(checkpoint, tmp_path / "checkpoint.pth")
    network = filled("vit_tiny_patch16_224", tmp_path / "checkpoint.pth")
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in model.state_dict().items())


def test_file_that_would_run_code_is_refused(tmp_path):
    torch.save({"state_dict": pytest.approx(1)}, tmp_path / "checkpoint.pth")
    with pytest.raises(UserError, match="cannot be read as weights"):
        filled("resnet18", tmp_path / "checkpoint.pth")


def test_weights_of_another_backbone_are_refused(tmp_path):
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(UserError, match=r"weights\.pth: .*the backbone torchvision/resnet50 needs"):
        filled("torchvision/resnet50", tmp_path / "weights.pth")
    with pytest.raises(UserError, match=r"holds weights|has no weights"):
        filled("torchvision/squeezenet1_1", tmp_path / "weights.pth")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"there is no file .*nothing\.pth"):
        filled("resnet18", tmp_path / "nothing.pth")


@pytest.mark.parametrize("name", ["vgg16", "squeezenet1_1", "densenet121", "convnext_tiny", "mobilenet_v3_small", "swin_t"])
def test_published_torchvision_layouts_fit(tmp_path, name):
    with torch.device("meta"):
        published = torchvision.models.get_model(name, weights=None).state_dict()
    published = {key: torch.zeros(value.shape, dtype=value.dtype) for key, value in published.items()}
    network = weights.architecture(f"torchvision/{name}")
    weights._fill(network, weights.unwrapped(published, set(network.state_dict())), "file", name)
    with torch.inference_mode():
        assert network.eval()(torch.rand(1, 3, 64, 64)).ndim == 2


def test_squeezenet_of_the_published_file(shared_data, tmp_path, files):
    path = shared_data / "weights" / "squeezenet1_1_imagenet_features.safetensors"
    keys = {"backbone": "torchvision/squeezenet1_1", "weights": str(path), "scaling": CAFFE}
    pretrain.make(**made_samples.pretrain_arguments(tmp_path, files, "pretrained", keys))
    encoder = encoders.Encoder.load(tmp_path / "encoder.safetensors")
    assert (encoder.features, encoder.scaling) == (1024, "range")
    model = torchvision.models.squeezenet1_1(weights=None).eval()
    missing, unexpected = model.load_state_dict(load_file(path), strict=False)
    assert missing == ["classifier.1.weight", "classifier.1.bias"]
    assert unexpected == []
    images = torch.randint(0, 4096, (2, 2, 64, 64)).to(torch.uint16)
    grey = images.float() / 4095 * 255
    expected = []
    for channel in range(2):
        planes = grey[:, channel : channel + 1].repeat(1, 3, 1, 1) - torch.tensor(CAFFE["mean"])[:, None, None]
        with torch.inference_mode():
            expected.append(model.features(planes).mean(dim=(2, 3)))
    found = encoder.embed(images, torch.zeros(2, 2), torch.ones(2, 2), 4095)
    torch.testing.assert_close(found, torch.cat(expected, dim=1), rtol=1e-4, atol=1e-4)


def test_weights_that_cannot_be_had_are_never_replaced(tmp_path, files, monkeypatch):
    def no_network(name):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(weights, "_fetch", no_network)
    pretrain.make(**made_samples.pretrain_arguments(tmp_path, files, "pretrained", {"weights": "download"}))
    reason = encoders.metadata(tmp_path / "encoder.safetensors")["not_run"]
    assert reason == "the weights of resnet18 cannot be downloaded (ConnectionError: no route to host)"
    assert (tmp_path / "training.csv").read_text().strip() == ",".join(contracts.TRAINING_COLUMNS)
    assert list((tmp_path / "epochs").iterdir()) == []


def test_downloaded_weights_are_those_that_are_used(tmp_path, files, monkeypatch):
    model = timm.create_model("resnet10t", num_classes=0)
    monkeypatch.setattr(weights, "_fetch", lambda name: model.state_dict())
    pretrain.make(**made_samples.pretrain_arguments(tmp_path, files, "pretrained", {"backbone": "resnet10t"}))
    network = encoders.Encoder.load(tmp_path / "encoder.safetensors").network
    assert all(torch.equal(value, network.network.state_dict()[name]) for name, value in model.state_dict().items())
    assert network.mean.tolist() == pytest.approx([0.485, 0.456, 0.406])


def test_architecture_without_published_weights_is_an_error():
    name = next(name for name in timm.list_models("resnet*") if not timm.is_model_pretrained(name))
    with pytest.raises(UserError, match=f"timm has no published weights of '{name}'"):
        weights.download(weights.architecture("resnet10t"), name)


@pytest.mark.parametrize("channels", [1, 2, 5, 6])
def test_widened_layer_answers_to_equal_planes_as_before(channels):
    network = weights.architecture("resnet10t").eval()
    grey = torch.rand(2, 1, 32, 32)
    with torch.inference_mode():
        expected = network(grey.repeat(1, 3, 1, 1))
        weights.widen(network, channels)
        if channels % 3 == 0:
            torch.testing.assert_close(network(grey.repeat(1, channels, 1, 1)), expected)
        assert network(grey.repeat(1, channels, 1, 1)).shape == expected.shape


def test_clipped_images_reach_the_network_as_they_are(tmp_path, files):
    keys = {"backbone": "resnet10t", "weights": "none", "scaling": {"clip": 2000}}
    pretrain.make(**made_samples.pretrain_arguments(tmp_path, files, "pretrained", keys))
    encoder = encoders.Encoder.load(tmp_path / "encoder.safetensors")
    assert encoder.scaling == {"clip": 2000}
    images = torch.full((1, 2, 32, 32), 3000, dtype=torch.int32).to(torch.uint16)
    bright = torch.full_like(images, 2000)
    about = (torch.zeros(1, 2), torch.ones(1, 2), 4095)
    assert torch.equal(encoder.embed(images, *about), encoder.embed(bright, *about))
    with torch.inference_mode():
        expected = encoder.network.network(torch.ones(2, 3, 32, 32)).reshape(1, -1)
    torch.testing.assert_close(encoder.embed(images, *about), expected)


def test_adapted_network_takes_three_channels_as_red_green_blue(tmp_path):
    made = made_samples.write(tmp_path / "three", plates=1, count=4, channels=("R", "G", "B"), size=(64, 64))
    model = timm.create_model("resnet10t", num_classes=0).eval()
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    keys = {"backbone": "resnet10t", "weights": str(tmp_path / "weights.pth"), "channel_mode": "adapt", "scaling": CAFFE}
    pretrain.make(**made_samples.pretrain_arguments(tmp_path, made, "pretrained", keys))
    images = torch.randint(0, 4096, (2, 3, 64, 64)).to(torch.uint16)
    found = encoders.Encoder.load(tmp_path / "encoder.safetensors").embed(images, torch.zeros(2, 3), torch.ones(2, 3), 4095)
    planes = (images.float() / 4095 * 255).flip(1) - torch.tensor(CAFFE["mean"])[:, None, None]
    with torch.inference_mode():
        torch.testing.assert_close(found, model(planes), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("scaling", "message"),
    [
        ({"oder": "bgr"}, "scaling must hold"),
        ({"order": "brg"}, "order must"),
        ({"mean": [1]}, "mean must be three"),
        ({"clip": 0}, "clip must be"),
    ],
)
def test_wrong_scaling_is_named(tmp_path, files, scaling, message):
    with pytest.raises(UserError, match=message):
        pretrain.make(**made_samples.pretrain_arguments(tmp_path, files, "pretrained", {"scaling": scaling}))


PACKAGED = {"backbone": "tf_efficientnet_lite0", "weights": "package"}


def test_weights_of_a_package(tmp_path, files):
    """Each of the package's layers has its place, in timm's order; colours are scaled as they were trained."""
    saved = torch.load(weight_packages.path(), weights_only=True)
    network = timm.create_model("tf_efficientnet_lite0").state_dict()
    assert [weight_packages.timm_name(name) for name in saved] == list(network)
    pretrain.make(**made_samples.pretrain_arguments(tmp_path, files, "pretrained", PACKAGED))
    encoder = encoders.Encoder.load(tmp_path / "encoder.safetensors")
    stored = encoder.network.network.state_dict()
    assert all(torch.equal(value, stored[weight_packages.timm_name(name)]) for name, value in list(saved.items())[:-2])
    shown = []
    encoder.network.network.register_forward_pre_hook(lambda module, inputs: shown.append(inputs[0]))
    encoder.embed(torch.full((1, 2, 64, 64), 200, dtype=torch.uint8), torch.zeros(1, 2), torch.ones(1, 2))
    torch.testing.assert_close(shown[0], torch.full((2, 3, 64, 64), (200 - 127) / 128))


def test_weights_of_a_package_are_those_of_the_shared_file(shared_data):
    shared = load_file(shared_data / "weights" / "efficientnet_lite0_imagenet.safetensors")
    network = weights.architecture("tf_efficientnet_lite0")
    weights.put(network, "package", "tf_efficientnet_lite0")
    tensors = network.state_dict()
    assert all(torch.equal(tensors[name], value) for name, value in shared.items())


@pytest.mark.parametrize(
    "name", ["_conv_stem", "_blocks.16._bn1.weight", "_blocks.0._expand_conv.weight", "_blocks.1._bn9.bias"]
)
def test_a_layer_that_the_package_does_not_have_is_refused(name):
    with pytest.raises(ValueError, match=f"{name!r} is no layer"):
        weight_packages.timm_name(name)


def test_a_backbone_without_a_package():
    with pytest.raises(UserError, match="there is none with weights of 'resnet18'; there is one of tf_efficientnet_lite0"):
        weights.check_source("package", "resnet18")


def test_a_widened_layer_pads_as_before():
    """timm's networks with TensorFlow's weights pad by the size of the image."""
    network = weights.architecture("tf_efficientnet_lite0").eval()
    grey = torch.rand(1, 1, 33, 33)
    with torch.inference_mode():
        expected = network(grey.repeat(1, 3, 1, 1))
        weights.widen(network, 6)
        torch.testing.assert_close(network(grey.repeat(1, 6, 1, 1)), expected)
