"""What every file of phenorep/methods promises; a new recipe is tested by standing there."""

import ast
import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
import torch

from phenorep import contracts, encoders, measurements, plugins, pretrain
from phenorep.batches import Source, Sources
from phenorep.errors import UserError
from phenorep.recipes import Batch, PretrainConfig
from tests.unit import made_samples

NAMES = plugins.names("methods")
# A small network for speed, and no network connection; keys that a recipe does not have are left out.
SMALL = {"backbone": "resnet10t", "weights": "none", "epochs": 1, "batch_size": 8, "projector": [16], "warmup_epochs": 0}
SMALL |= {"global_size": 32, "local_size": 16, "head": [16, 8], "output_dim": 32, "prototypes": 4}
ENCODERS = [name for name in NAMES if not {"COMBINES", "NEEDS"} & plugins.constants("methods", name).keys()]
MEASURED = [name for name in NAMES if "NEEDS" in plugins.constants("methods", name)]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return made_samples.write(tmp_path_factory.mktemp("samples"), count=8, size=(32, 32))


def small(name):
    return {key: value for key, value in SMALL.items() if key in plugins.config_keys("methods", name)}


def labelled(files):
    from phenorep.store import Samples

    return Sources([Source.choose("made/cells", Samples.open(*files.values()), labels="Metadata_Compound")])


def recipe_of(name, sources):
    module = plugins.load("methods", name)
    return pretrain.build(module.Recipe, plugins.configure(module.Config, small(name), name), sources, seed=0)


@pytest.mark.parametrize("name", NAMES)
def test_docstring_says_what_it_does_and_cites_in_order(name):
    text = ast.get_docstring(plugins.tree(plugins.path_of("methods", name)))
    assert len(text.splitlines()[0]) <= 125
    marks = [int(number) for number in re.findall(r"^\[(\d)\] \S", text, flags=re.MULTILINE)]
    assert marks == list(range(len(marks)))
    if name in ENCODERS and issubclass(plugins.load("methods", name).Config, PretrainConfig):
        assert len(marks) >= 2, "a recipe that learns names its paper [0] and the reference code [1]"


@pytest.mark.parametrize("name", NAMES)
def test_configuration_is_a_frozen_dataclass_with_readable_defaults(name):
    config = plugins.load("methods", name).Config
    assert config.__dataclass_params__.frozen
    keys = plugins.config_keys("methods", name)
    assert list(keys) == [field.name for field in dataclasses.fields(config)]
    for field in dataclasses.fields(config):
        assert keys[field.name] == field.default, f"{field.name}: planning reads another default than the file has"


@pytest.mark.parametrize("name", NAMES)
def test_every_key_says_why_one_would_change_it(name):
    path = plugins.path_of("methods", name)
    lines = path.read_text().splitlines()
    definition = next(node for node in plugins.tree(path).body if isinstance(node, ast.ClassDef) and node.name == "Config")
    for node in definition.body:
        if isinstance(node, ast.AnnAssign):
            assert "  # " in lines[node.end_lineno - 1], f"{node.target.id} has no comment"


@pytest.mark.parametrize("name", NAMES)
def test_planning_reads_the_constants(name):
    constants = plugins.constants("methods", name)
    assert isinstance(constants["SEEDED"], bool)
    assert set(constants) <= {"SEEDED", "COMBINES", "REQUIRES", "CONTROL", "NEEDS", "ALTERNATIVES", "DRAWN"}
    if "COMBINES" in constants:
        assert constants["COMBINES"] in plugins.config_keys("methods", name)


@pytest.mark.parametrize("name", MEASURED)
def test_a_method_of_measurements_chooses_among_them(name):
    module = plugins.load("methods", name)
    assert plugins.constants("methods", name)["NEEDS"] == ("measurements",)
    assert not plugins.constants("methods", name)["SEEDED"]
    assert set(plugins.config_keys("methods", name)["groups"]) <= set(measurements.GROUPS)
    described = {"A_size": ["shape"], "A_dna": ["intensity", "DNA"], "A_both": ["correlation", "DNA", "Actin"]}
    config = plugins.configure(module.Config, {"groups": list(measurements.GROUPS)}, name)
    assert module.choose(config, described, ["DNA", "Actin"]) == list(described)
    config = plugins.configure(module.Config, {"groups": ["intensity", "correlation"], "channels": ["DNA"]}, name)
    assert module.choose(config, described, ["DNA", "Actin"]) == ["A_dna"]
    with pytest.raises(UserError, match="no channel 'DNA'"):
        module.choose(config, described, ["Actin"])
    with pytest.raises(UserError, match="Did you mean 'shape'"):
        plugins.configure(module.Config, {"groups": ["shapes"]}, name)


@pytest.mark.parametrize("name", ENCODERS)
def test_defaults_make_a_configuration(name):
    module = plugins.load("methods", name)
    config = plugins.configure(module.Config, {}, name)
    again = plugins.configure(module.Config, dataclasses.asdict(config), name)
    assert again == config


@pytest.mark.parametrize("name", ENCODERS)
def test_encoder_survives_its_file(tmp_path, files, name):
    arguments = made_samples.pretrain_arguments(tmp_path, files, name, small(name))
    arguments["sources"][0]["labels"] = "Metadata_Compound"
    pretrain.make(**arguments)
    facts = encoders.metadata(tmp_path / "encoder.safetensors")
    assert facts["recipe"] == name
    assert facts["scaling"] in encoders.SCALINGS
    assert facts["channels"] == ["DNA", "Actin"]
    learns = issubclass(plugins.load("methods", name).Config, PretrainConfig)
    assert bool(facts["trained_on"]) == learns
    curve = pd.read_csv(tmp_path / "training.csv")
    assert tuple(curve.columns) == contracts.TRAINING_COLUMNS
    assert len(curve) == learns
    assert list((tmp_path / "epochs").iterdir()) == []
    batch = labelled(files).read(np.arange(5))
    first, again = (
        encoders.Encoder.load(tmp_path / "encoder.safetensors").embed(batch.images, batch.means, batch.stds, 4095)
        for _ in range(2)
    )
    assert first.shape == (5, facts["features"])
    assert first.dtype == torch.float32
    assert torch.isfinite(first).all()
    assert torch.equal(first, again)
    assert first.std(dim=0).max() > 0, "all samples have the same features"
    alone = encoders.Encoder.load(tmp_path / "encoder.safetensors").embed(
        batch.images[:1], batch.means[:1], batch.stds[:1], 4095
    )
    torch.testing.assert_close(alone, first[:1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ENCODERS)
def test_saved_network_is_the_one_in_memory(files, name):
    """A network built from the configuration and filled with the saved weights gives the same features."""
    sources = labelled(files)
    recipe = recipe_of(name, sources)
    rebuilt = type(recipe).build_encoder(recipe.config, len(sources.channels), sources.size)
    rebuilt.load_state_dict(recipe.trained_encoder().state_dict(), strict=True)
    rebuilt.to(memory_format=torch.channels_last)  # as the recipe's: another layout rounds otherwise
    images = torch.rand(3, len(sources.channels), *sources.size)
    with torch.inference_mode():
        assert torch.equal(rebuilt.eval()(images), recipe.trained_encoder().eval()(images))


@pytest.mark.parametrize("channels", [1, 6])
@pytest.mark.parametrize("name", ENCODERS)
def test_any_number_of_channels_and_wide_images(tmp_path, name, channels):
    names = tuple(f"C{number}" for number in range(channels))
    made = made_samples.write(tmp_path, plates=1, count=8, channels=names, size=(32, 48))
    sources = labelled(made)
    recipe = recipe_of(name, sources)
    with torch.inference_mode():
        features = recipe.trained_encoder().eval()(torch.rand(2, channels, 32, 48))
    assert features.shape == (2, recipe.features)


@pytest.mark.parametrize("name", [name for name in ENCODERS if "epochs" in plugins.config_keys("methods", name)])
def test_a_training_step_gives_a_finite_loss_and_gradients(files, name):
    sources = labelled(files)
    recipe = recipe_of(name, sources).train()
    recipe.generator.manual_seed(0)
    raw = sources.read(np.arange(8))
    batch = Batch(raw.scaled(recipe.scaling), raw.labels, raw.rows, raw.means, raw.stds, progress=0.0)
    recipe.order(batch.labels.numpy(), np.random.default_rng(0))  # before each epoch, as the loop does
    recipe.on_epoch_start(1, lambda rows=None: iter([batch]))
    loss = recipe(batch)
    loss.backward()
    recipe.on_step_end(0.0)
    assert torch.isfinite(loss)
    gradients = [p.grad for p in recipe.encoder.parameters() if p.requires_grad]
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)
    assert any(gradient.abs().max() > 0 for gradient in gradients)


def test_simclr_loss_is_the_contrastive_one(files):
    """Against the definition: softmax over all other views, the second view of the same image being the right one."""
    recipe = recipe_of("simclr", labelled(files))
    first, second = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0)).unbind()
    both = torch.nn.functional.normalize(torch.cat([first, second]), dim=1)
    similarity = both @ both.T / recipe.config.temperature
    similarity.fill_diagonal_(-torch.inf)
    expected = torch.nn.functional.cross_entropy(similarity, (torch.arange(10) + 5) % 10)
    torch.testing.assert_close(recipe.loss(first, second), expected)
    assert recipe.config.temperature == 0.07
    assert plugins.config_keys("methods", "simclr")["projector"] == (2048, 2048)


def test_random_depends_on_the_seed(tmp_path, files):
    for seed in (0, 1):
        pretrain.make(**made_samples.pretrain_arguments(tmp_path / str(seed), files, "random", small("random"), seed=seed))
    first, second = (encoders.Encoder.load(tmp_path / s / "encoder.safetensors").network.conv1[0].weight for s in "01")
    assert not torch.equal(first, second)


def test_pixel_statistics_are_what_they_say(files):
    from phenorep.methods.pixel_statistics import Statistics

    generator = np.random.default_rng(0)
    images = generator.gamma(2, size=(4, 3, 20, 30))
    found = Statistics((5.0, 50.0), (1, 2))(torch.from_numpy(images)).numpy()
    flat = images.reshape(4, 3, -1)
    centred = flat - flat.mean(axis=2, keepdims=True)
    expected = [
        flat.mean(axis=2),
        flat.std(axis=2),
        (centred**3).mean(axis=2) / flat.std(axis=2) ** 3,
        (centred**4).mean(axis=2) / flat.std(axis=2) ** 4,
        *np.percentile(flat, [5, 50], axis=2),
    ]
    np.testing.assert_allclose(found[:, :18], np.concatenate(expected, axis=1), rtol=1e-6)
    pairs = np.array([np.corrcoef(image)[[0, 0, 1], [1, 2, 2]] for image in flat])
    np.testing.assert_allclose(found[:, -3:], pairs, atol=1e-6)
    coarse = np.indices((20, 30)).sum(axis=0)[None, None].repeat(3, axis=1).astype(float)
    gradients = Statistics((), (1, 2))(torch.from_numpy(coarse))[0, 12:24].reshape(4, 3)
    np.testing.assert_allclose(gradients[:, 0], [2**0.5, 0, 2 * 2**0.5, 0], atol=1e-5)
