import numpy as np
import pytest
import torch

from phenorep import plugins, pretrain
from phenorep.errors import UserError
from phenorep.methods import vicreg
from phenorep.recipes import Batch
from tests.unit import killed

KEYS = {"backbone": "resnet10t", "epochs": 2, "batch_size": 8, "projector": [12, 12, 6], "learning_rate": 0.001}


def recipe_of(sources, **keys):
    config = plugins.configure(vicreg.Config, {**KEYS, **keys}, "vicreg")
    return pretrain.build(vicreg.Recipe, config, sources, seed=0)


def views(count=9, length=6):
    """Of small deviation, so that the hinge of the variance is at work, but for one feature."""
    first, second = torch.randn(2, count, length, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    first = 0.5 * first
    first[:, 0] *= 6
    return first.requires_grad_(), (first.detach() + 0.2 * second).requires_grad_()


def terms(first, second, epsilon=0.0001):
    """Invariance, the variance of each view and the sum of both covariances, feature by feature."""
    count, length = first.shape
    invariance = sum(((one - other) ** 2).sum() for one, other in zip(first, second, strict=True)) / (count * length)
    variances, covariance = [], 0
    for view in (first, second):
        centred = [view[:, feature] - view[:, feature].sum() / count for feature in range(length)]
        deviations = [((feature @ feature) / (count - 1) + epsilon) ** 0.5 for feature in centred]
        variances.append(sum(torch.clamp(1 - deviation, min=0) for deviation in deviations) / length)
        pairs = [(one, other) for one in range(length) for other in range(length) if one != other]
        covariance = covariance + sum(((centred[i] @ centred[j]) / (count - 1)) ** 2 for i, j in pairs) / length
    return invariance, variances, covariance


@pytest.mark.parametrize(("variance", "factor"), [("sum", 1.0), ("mean", 0.5)])
def test_loss_and_gradients_are_those_of_either_form(sources, variance, factor):
    """The paper and solo-learn add the variance terms of the views; the authors' code and lightly halve the sum."""
    recipe = recipe_of(sources, variance=variance)
    mine, theirs = views(), views()
    invariance, variances, covariance = terms(*theirs)
    expected = 25 * invariance + 25 * factor * sum(variances) + covariance
    loss = recipe.loss(*mine)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    for values in (loss, expected):
        values.backward()
    for value, reference in zip(mine, theirs, strict=True):
        torch.testing.assert_close(value.grad, reference.grad, rtol=1e-6, atol=1e-12)


def test_the_forms_differ_by_half_of_the_variance_term(sources):
    _, variances, _ = terms(*views())
    added, halved = (recipe_of(sources, variance=form).loss(*views()).item() for form in ("sum", "mean"))
    assert added - halved == pytest.approx(25 * 0.5 * sum(variances).item(), rel=1e-6)
    assert sum(variances) > 0.1
    assert vicreg.Config().variance == "sum"


def test_weights_and_epsilon_reach_their_terms(sources):
    weights = {"invariance_weight": 2.0, "variance_weight": 3.0, "covariance_weight": 5.0, "epsilon": 0.2}
    invariance, variances, covariance = terms(*views(), epsilon=0.2)
    expected = 2 * invariance + 3 * sum(variances) + 5 * covariance
    assert recipe_of(sources, **weights).loss(*views()).item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_step_is_the_loss_of_two_projected_views(sources, monkeypatch):
    recipe = recipe_of(sources).double().train()
    pictures = torch.randn(2, 8, 2, 24, 24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    monkeypatch.setattr(recipe, "views", lambda images, left=list(pictures): left.pop(0))
    raw = sources.read(np.arange(8))
    found = recipe(Batch(raw.scaled("plate"), raw.labels, raw.rows, raw.means, raw.stds, 0.0))
    with torch.no_grad():
        invariance, variances, covariance = terms(*(recipe.projector(recipe.encoder(picture)) for picture in pictures))
    assert found.item() == pytest.approx((25 * invariance + 25 * sum(variances) + covariance).item(), rel=1e-6)


def test_projector_is_that_of_the_method(sources):
    from lightly.models.modules.heads import VICRegProjectionHead

    assert [type(layer) for layer in recipe_of(sources).projector] == [
        type(layer) for layer in VICRegProjectionHead(512, 12, 6).layers
    ]
    assert vicreg.Config().projector == (2048, 2048, 2048)


@pytest.mark.parametrize("steps", [2, 3])
def test_killed_training_goes_on_to_the_same_encoder(tmp_path, files, monkeypatch, steps):
    killed.check_that_it_goes_on(monkeypatch, tmp_path, files, "vicreg", {**KEYS, "warmup_epochs": 0}, steps)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"variance_weight": -1}, "variance_weight must not be negative"),
        ({"variance": "half"}, "variance"),
        ({"epsilon": 0}, "epsilon must be positive"),
        ({"projector": []}, "projector must hold"),
    ],
)
def test_wrong_values_are_named(values, message):
    with pytest.raises(UserError, match=message):
        plugins.configure(vicreg.Config, values, "vicreg")
