import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from phenorep import devices, encoders, plugins, pretrain, training
from phenorep.batches import Source, Sources
from phenorep.checkpoints import Checkpoint
from phenorep.errors import UserError
from phenorep.methods import vae
from phenorep.recipes import Batch
from phenorep.store import Samples
from tests.unit import killed, made_samples

KEYS = {"widths": [8, 16], "latent": 6, "epochs": 2, "batch_size": 8, "warmup_epochs": 0}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return made_samples.write(tmp_path_factory.mktemp("samples"))


@pytest.fixture
def sources(files):
    return Sources([Source.choose("made/cells", opened(files))])


def opened(files):
    return Samples.open(files["tables"], files["statistics"])


def recipe_of(sources, **keys):
    config = plugins.configure(vae.Config, {**KEYS, **keys}, "vae")
    return pretrain.build(vae.Recipe, config, sources, seed=0)


def batch_of(sources, scaling="plate", progress=0.0):
    raw = sources.read(np.arange(5))
    return Batch(raw.scaled(scaling), raw.labels, raw.rows, raw.means, raw.stds, progress)


def normal(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# The bound


def test_divergence_is_that_of_two_gaussians():
    mean, log_variance = normal((4, 3), 0), normal((4, 3), 1)
    standard = torch.distributions.Normal(torch.zeros(4, 3).double(), torch.ones(4, 3).double())
    expected = torch.distributions.kl_divergence(torch.distributions.Normal(mean, (log_variance / 2).exp()), standard)
    torch.testing.assert_close(vae.kl(mean, log_variance), expected, rtol=1e-12, atol=1e-12)
    assert vae.kl(torch.zeros(1), torch.zeros(1)).item() == 0


def test_reconstruction_is_a_likelihood():
    images, drawn = normal((4, 2, 5, 6), 0), normal((4, 2, 5, 6), 1)
    gaussian = torch.distributions.Normal(drawn, 0.3)
    constant = 60 * np.log(0.3 * np.sqrt(2 * np.pi))
    expected = -gaussian.log_prob(images).sum(dim=(1, 2, 3)) - constant
    torch.testing.assert_close(vae.reconstruction(drawn, images, "mse", 0.3), expected)
    binary = (images > 0).double()
    expected = -torch.distributions.Bernoulli(logits=drawn).log_prob(binary).sum(dim=(1, 2, 3))
    torch.testing.assert_close(vae.reconstruction(drawn, binary, "bernoulli", None), expected)


def test_noise_of_its_own_is_the_best_one_of_each_channel():
    images, drawn = normal((4, 2, 5, 6), 0), normal((4, 2, 5, 6), 1).requires_grad_()
    images[:, 1] *= 100
    found = vae.reconstruction(drawn, images, "mse", None).mean()
    (slope,) = torch.autograd.grad(found, drawn)
    error = (drawn - images).square().mean(dim=(0, 2, 3))
    # At the best variance the bound is half the logarithm of the mean square, and so is its gradient.
    best = (30 * (error.log() + 1) / 2).sum()
    assert found.item() == pytest.approx(best.item(), rel=1e-12)
    torch.testing.assert_close(slope, torch.autograd.grad(best, drawn)[0], rtol=1e-10, atol=1e-14)
    for factor in (0.9, 1.1):
        other = 30 * ((error * factor).log() + 1 / factor).sum() / 2
        assert other > best


def test_a_blank_channel_does_no_harm():
    blank = torch.zeros(2, 1, 4, 4)
    assert torch.isfinite(vae.reconstruction(blank, blank, "mse", None)).all()


@pytest.mark.parametrize("keys", [{"noise": 1.0, "beta": 2.0}, {}, {"reconstruction": "bernoulli", "scaling": "range"}])
def test_loss_is_the_bound_of_what_is_drawn_from_the_posterior(sources, monkeypatch, keys):
    recipe = recipe_of(sources, **keys).double().eval()
    batch = batch_of(sources, recipe.scaling)
    batch.images = batch.images.double()
    monkeypatch.setattr(recipe, "views", lambda images: images)
    recipe.generator.manual_seed(7)
    found = recipe(batch)
    with torch.inference_mode():
        mean, log_variance = recipe.encoder.gaussian(batch.images)
        drawn = recipe.decoder(mean + normal(mean.shape, 7) * (log_variance / 2).exp())
        misfit = vae.reconstruction(drawn, batch.images, recipe.config.reconstruction, recipe.config.noise)
        divergence = (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1) / 2
    expected = (misfit + recipe.config.beta * divergence).mean() / (2 * 24 * 24)
    assert found.item() == pytest.approx(expected.item(), rel=1e-9)
    told = recipe.on_epoch_end(1)
    assert f"reconstruction {misfit.mean().item():.1f} nats an image" in told
    assert f"divergence {divergence.mean().item():.2f}, " in told
    assert recipe.seen.item() == 0


# Networks


@pytest.mark.parametrize("size", [(24, 24), (25, 38), (33, 20)])
@pytest.mark.parametrize("backbone", ["none", "resnet10t"])
def test_images_of_any_size_come_back_in_it(size, backbone):
    config = vae.Config(backbone=backbone, widths=(4, 8, 8), latent=5)
    images = torch.rand(2, 3, *size)
    mean, log_variance = vae.Posterior(config, 3, size).gaussian(images)
    assert mean.shape == log_variance.shape == (2, 5)
    assert vae.Decoder(config, 3, size)(mean).shape == images.shape
    assert vae.Discriminator(config, 3, size)(images)[0].shape == (2,)


def test_embedding_is_the_mean_of_the_posterior(tmp_path, files, sources):
    pretrain.make(**made_samples.pretrain_arguments(tmp_path, files, "vae", KEYS))
    encoder = encoders.Encoder.load(tmp_path / "encoder.safetensors")
    raw = sources.read(np.arange(6))
    found = encoder.embed(raw.images, raw.means, raw.stds, 4095)
    with torch.inference_mode():
        mean, log_variance = encoder.network.gaussian(raw.scaled("plate"))
    assert torch.equal(found, mean)
    assert not torch.allclose(found, log_variance)
    assert encoder.metadata["features"] == found.shape[1] == 6
    assert not any("decoder" in name for name in load_file(tmp_path / "encoder.safetensors"))


def test_images_of_another_size_are_embedded_too(sources):
    encoder = recipe_of(sources).encoder.eval()
    with torch.inference_mode():
        assert encoder(torch.rand(2, 2, 40, 31)).shape == (2, 6)


# VAE+


def test_layers_join_one_after_the_other():
    slope, steps = 2500, 80000  # of the reference code
    for step in (0, 2500, 3000, 6250, 12000, 79999):
        expected = [max(0.0, min(1.0, max(0.0, step - slope * (layer + 1)) / slope)) for layer in range(4)]
        assert vae.layer_weights(step / steps, 4, slope / steps) == pytest.approx(expected)


def test_discriminator_and_autoencoder_learn_from_terms_of_their_own(sources):
    recipe = recipe_of(sources, adversarial=True).double().train()
    images = batch_of(sources).images.double()
    drawn = recipe.decoder(recipe.encoder(images))
    judge = list(recipe.discriminator.parameters())
    makers = [*recipe.decoder.parameters(), *recipe.encoder.mean.parameters()]
    similarity, decision = recipe.compare(images, drawn, progress=1.0)
    for term, learns, rests in ((similarity, makers, judge), (decision, judge, makers)):
        slopes = torch.autograd.grad(term, [*learns, *rests], allow_unused=True, retain_graph=True)
        assert all(slope is not None and slope.abs().max() > 0 for slope in slopes[: len(learns)])
        assert all(slope is None for slope in slopes[len(learns) :])
    with torch.inference_mode():
        logits, maps = recipe.discriminator(torch.cat([images, drawn]))
    expected = [(layer[:5] - layer[5:]).square().mean().item() * 2 * 24 * 24 / 2 for layer in maps]
    assert similarity.item() == pytest.approx(sum(expected), rel=1e-9)
    early, _ = recipe.compare(images, drawn, progress=0.045)  # the first layer halfway, the second not yet
    assert early.item() == pytest.approx(expected[0] / 2, rel=1e-9)
    chances = logits.sigmoid().numpy()
    entropy = -np.concatenate([np.log(chances[:5]), np.log(1 - chances[5:])]).mean()
    assert decision.item() == pytest.approx(entropy, rel=1e-9)


def test_every_parameter_is_optimised_once(sources):
    recipe = recipe_of(sources, adversarial=True)
    groups = recipe.parameter_groups()
    optimised = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(optimised) == sorted(id(parameter) for parameter in recipe.parameters())
    assert groups[1]["lr_scale"] == 0.1
    assert len(recipe_of(sources).parameter_groups()) == 1


# Training


def trained(tmp_path, sources, **keys):
    recipe = recipe_of(sources, **keys)
    fabric = devices.fabric(devices.configure({"device": "cpu"}), recipe.config.precision)
    with devices.repeatable(1):
        history = training.Training(recipe, sources, fabric, 0, Checkpoint(tmp_path / "c.pt", ""), keep=None).run()
    return recipe, pd.DataFrame(history)["loss"].to_numpy()


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"scaling": "range"},
        {"scaling": {"clip": 2000}, "reconstruction": "bernoulli"},
        {"adversarial": True},
        {"precision": "bf16-mixed"},
    ],
    ids=str,
)
def test_training_reconstructs_images(tmp_path, sources, capsys, keys):
    """Better than the mean image does, from what the embedding tells of each."""
    recipe, loss = trained(tmp_path, sources, **{"epochs": 30, "learning_rate": 0.01, **keys})
    assert loss[-5:].mean() < loss[0]
    assert "WARNING" not in capsys.readouterr().out
    images = sources.read(np.arange(len(sources))).scaled(recipe.scaling)
    recipe.eval()
    with torch.inference_mode():
        drawn = recipe.decoder(recipe.encoder(images))
        if recipe.config.reconstruction == "bernoulli":
            drawn = drawn.sigmoid()
    shapeless = (images - images.mean(dim=0)).square().mean()
    assert (images - drawn).square().mean() < 0.8 * shapeless


def test_collapse_is_told(tmp_path, sources, capsys):
    trained(tmp_path, sources, epochs=30, learning_rate=0.01, beta=1000.0, noise=10.0)
    told = capsys.readouterr().out.splitlines()
    assert "0 of 6 dimensions in use" in told[-1]
    assert any("WARNING: epoch 30: no dimension" in line and "Lower beta" in line for line in told)


def test_killed_training_goes_on_to_the_same_encoder(tmp_path, files, monkeypatch):
    """Within the second epoch of three steps."""
    keys = {**KEYS, "adversarial": True, "adversarial_ramp": 0.1}
    killed.check_that_it_goes_on(monkeypatch, tmp_path, files, "vae", keys, steps=4)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"widths": []}, "widths must hold"),
        ({"latent": 0}, "latent must be at least 1"),
        ({"beta": -1}, "beta must not be negative"),
        ({"noise": 0}, "noise must be positive or null"),
        ({"adversarial_ramp": 0}, "adversarial_ramp must"),
        ({"reconstruction": "bernoulli"}, "bernoulli needs pixels of 0 to 1: set scaling: range"),
    ],
)
def test_wrong_configuration_is_named(values, message):
    with pytest.raises(UserError, match=message):
        plugins.configure(vae.Config, values, "methods: vae")
