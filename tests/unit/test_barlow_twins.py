import numpy as np
import pytest
import torch

from phenorep import plugins, pretrain
from phenorep.errors import UserError
from phenorep.methods import barlow_twins
from phenorep.recipes import Batch
from tests.unit import killed

KEYS = {"backbone": "resnet10t", "epochs": 2, "batch_size": 8, "projector": [12, 12, 6], "learning_rate": 0.01}


def recipe_of(sources, **keys):
    config = plugins.configure(barlow_twins.Config, {**KEYS, **keys}, "barlow_twins")
    return pretrain.build(barlow_twins.Recipe, config, sources, seed=0)


def views(count=9, length=6):
    first, second = torch.randn(2, count, length, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return first.requires_grad_(), (first.detach() + 0.5 * second).requires_grad_()


def by_the_book(first, second, redundancy):
    """Correlations one by one; 1e-5 is what batch norm adds to variances."""
    total = 0
    for row in range(first.shape[1]):
        for column in range(second.shape[1]):
            one, other = first[:, row] - first[:, row].mean(), second[:, column] - second[:, column].mean()
            deviations = (one.square().mean() + 1e-5).sqrt() * (other.square().mean() + 1e-5).sqrt()
            correlation = (one * other).mean() / deviations
            total = total + ((1 - correlation) ** 2 if row == column else redundancy * correlation**2)
    return total


@pytest.mark.parametrize("redundancy", [0.0051, 0.5])
def test_loss_and_gradients_are_those_of_the_paper(sources, redundancy):
    recipe = recipe_of(sources, redundancy=redundancy)
    mine, theirs = views(), views()
    loss, expected = recipe.loss(*mine), by_the_book(*theirs, redundancy)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    for values in (loss, expected):
        values.backward()
    for value, reference in zip(mine, theirs, strict=True):
        torch.testing.assert_close(value.grad, reference.grad, rtol=1e-6, atol=1e-12)


def test_a_step_is_the_scaled_loss_of_two_projected_views(sources, monkeypatch):
    recipe = recipe_of(sources, scale_loss=0.5).double().train()
    pictures = torch.randn(2, 8, 2, 24, 24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    monkeypatch.setattr(recipe, "views", lambda images, left=list(pictures): left.pop(0))
    raw = sources.read(np.arange(8))
    found = recipe(Batch(raw.scaled("plate"), raw.labels, raw.rows, raw.means, raw.stds, 0.0))
    with torch.no_grad():
        expected = 0.5 * by_the_book(*(recipe.projector(recipe.encoder(picture)) for picture in pictures), 0.0051)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


def test_projector_is_that_of_the_method(sources):
    from lightly.models.modules.heads import BarlowTwinsProjectionHead

    assert [type(layer) for layer in recipe_of(sources).projector] == [
        type(layer) for layer in BarlowTwinsProjectionHead(512, 12, 6).layers
    ]
    assert barlow_twins.Config().projector == (2048, 2048, 2048)


@pytest.mark.parametrize("steps", [2, 3])
def test_killed_training_goes_on_to_the_same_encoder(tmp_path, files, monkeypatch, steps):
    killed.check_that_it_goes_on(monkeypatch, tmp_path, files, "barlow_twins", {**KEYS, "warmup_epochs": 0}, steps)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"redundancy": -1}, "redundancy must not be negative"),
        ({"scale_loss": 0}, "scale_loss must be positive"),
        ({"projector": []}, "projector must hold"),
        ({"projector": [8, 0]}, "projector must hold"),
    ],
)
def test_wrong_values_are_named(values, message):
    with pytest.raises(UserError, match=message):
        plugins.configure(barlow_twins.Config, values, "barlow_twins")
