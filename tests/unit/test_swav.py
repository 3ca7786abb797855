import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from phenorep import plugins, pretrain, recipes
from phenorep.errors import UserError
from phenorep.methods import swav
from phenorep.recipes import Batch
from tests.unit import killed, made_samples

KEYS = {
    "backbone": "resnet10t",
    "epochs": 2,
    "batch_size": 8,
    "warmup_epochs": 0,
    "learning_rate": 0.01,
    "projector": [12, 6],
    "prototypes": 5,
    "queue": 12,
}


def recipe_of(sources, **keys):
    config = plugins.configure(swav.Config, {**KEYS, **keys}, "swav")
    return pretrain.build(swav.Recipe, config, sources, seed=0).double().train()


def batch_of(sources, count=8, progress=0.0):
    raw = sources.read(np.arange(count))
    return Batch(raw.scaled("plate").double(), raw.labels, raw.rows, raw.means, raw.stds, progress)


def directions(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def codes(scores, iterations=3, epsilon=0.05):
    """(n, K) numpy: shares that give each prototype, then each image, the same weight, as often as said."""
    shares = np.exp(scores / epsilon)
    for _ in range(iterations):
        shares = shares / shares.sum(axis=0, keepdims=True) / shares.shape[1]
        shares = shares / shares.sum(axis=1, keepdims=True) / shares.shape[0]
    return shares * shares.shape[0]


def by_the_book(embeddings, prototypes, queue=None, temperature=0.07):
    """(2, B, D) embeddings, of each of which the other view's code is predicted; `queue` (2, n, D) balances the codes."""
    loss, count = 0, embeddings.shape[1]
    for view in range(2):
        scores = embeddings[view] @ prototypes.T
        beside = [] if queue is None else [queue[view] @ prototypes.T]
        code = torch.from_numpy(codes(torch.cat([*beside, scores]).detach().numpy())[-count:])
        other = embeddings[1 - view] @ prototypes.T / temperature
        loss = loss - (code * (other - other.exp().sum(dim=1, keepdim=True).log())).sum() / count / 2
    return loss


def with_pictures(recipe, monkeypatch, count=8):
    """Views that are the same in each step; their embeddings as the recipe has them."""
    pictures = torch.randn(2, count, 2, 24, 24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    turn = [0]

    def views(images):
        turn[0] += 1
        return pictures[(turn[0] - 1) % 2]

    monkeypatch.setattr(recipe, "views", views)
    return lambda: torch.stack([functional.normalize(recipe.projector(recipe.encoder(part)), dim=1) for part in pictures])


@pytest.mark.parametrize("filled", [0, 7, 12])
def test_loss_and_gradients_are_those_of_the_paper(sources, monkeypatch, filled):
    """Without, with a partly filled, and with a full queue."""
    recipe = recipe_of(sources)
    embed = with_pictures(recipe, monkeypatch)
    queue = directions(2, 12, 6, seed=3)
    recipe.queue.copy_(queue)
    recipe.filled = filled
    loss = recipe(batch_of(sources, progress=0.5))
    loss.backward()
    learned = [recipe.prototypes.weight, recipe.projector[0].weight, recipe.encoder.conv1[0].weight]
    expected = by_the_book(embed(), recipe.prototypes.weight, queue[:, :filled])
    references = torch.autograd.grad(expected, learned)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    for value, reference in zip(learned, references, strict=True):
        torch.testing.assert_close(value.grad, reference, rtol=1e-6, atol=1e-12)


def test_the_queue_changes_the_loss_from_its_epoch_on(sources, monkeypatch):
    recipe = recipe_of(sources, epochs=4, queue_epoch=3)
    embed = with_pictures(recipe, monkeypatch)
    queue = directions(2, 12, 6, seed=3)
    found = {}
    for epoch in (1, 2, 3, 4):
        recipe.queue.copy_(queue)
        recipe.filled = 12
        found[epoch] = recipe(batch_of(sources, progress=(epoch - 1) / 4)).item()
    without = by_the_book(embed(), recipe.prototypes.weight).item()
    using = by_the_book(embed(), recipe.prototypes.weight, queue).item()
    assert abs(using - without) > 1e-3
    assert [found[epoch] for epoch in (1, 2, 3, 4)] == pytest.approx([without, without, using, using], rel=1e-6)


def test_batches_queue_up_and_the_oldest_leave(sources, monkeypatch):
    recipe = recipe_of(sources)
    embeddings = with_pictures(recipe, monkeypatch)().detach()
    for expected in (8, 12, 12):
        recipe(batch_of(sources))
        assert recipe.filled == expected
    torch.testing.assert_close(recipe.queue, torch.cat([embeddings, embeddings], dim=1)[:, :12])
    long = recipe_of(sources, queue=3)
    long._beside(embeddings, epoch=1)
    assert torch.equal(long.queue, embeddings[:, :3])


def test_training_with_a_queue_parts_from_one_without_when_it_begins(tmp_path, files, capsys):
    curves = {}
    for queue in (0, 12):
        keys = {**KEYS, "queue": queue}
        pretrain.make(**made_samples.pretrain_arguments(tmp_path / str(queue), files, "swav", keys))
        curves[queue] = pd.read_csv(tmp_path / str(queue) / "training.csv")["loss"].to_numpy()
    assert np.isfinite(curves[12]).all()
    assert curves[0][0] == curves[12][0]
    assert abs(curves[0][1] - curves[12][1]) > 1e-4
    told = capsys.readouterr().out
    assert told.count("queue not yet in use") == told.count("queue in use") == 1
    assert (swav.Config().queue, swav.Config().queue_epoch, swav.Config().prototypes) == (2560, 2, 500)


def test_two_devices_learn_what_one_does(sources, monkeypatch):
    """Codes are balanced over all samples, and every device has the same queue."""
    one, *both = (recipe_of(sources) for _ in range(3))
    for recipe in (one, *both):
        recipe.queue.copy_(directions(2, 12, 6, seed=3))
        recipe.filled = 12

    def loss_of(recipe, embeddings):
        beside = recipe._beside(embeddings, epoch=2)
        return recipe.loss(list(recipe.prototypes(embeddings)), [], list(recipe.prototypes(beside)))

    whole = directions(2, 8, 6)
    expected = loss_of(one, whole)
    halves = torch.stack([whole[:, :4], whole[:, 4:]])
    monkeypatch.setattr(recipes, "gathered", lambda values, world: halves)
    losses = []
    for rank, recipe in enumerate(both):
        recipe.world = 2
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        losses.append(loss_of(recipe, halves[rank]))
        assert torch.equal(recipe.queue, one.queue)
    torch.testing.assert_close(sum(losses) / 2, expected, rtol=1e-9, atol=0)


def test_prototypes_have_no_bias_and_length_one_and_stay_in_the_first_epochs(sources):
    recipe = recipe_of(sources, freeze_prototypes=1)
    assert recipe.prototypes.bias is None
    recipe(batch_of(sources)).backward()
    torch.testing.assert_close(recipe.prototypes.weight.norm(dim=1), torch.ones(5, dtype=torch.float64))
    recipe.on_gradients(0.5)
    assert recipe.prototypes.weight.grad.abs().max() > 0
    recipe.on_gradients(0.49)
    assert recipe.prototypes.weight.grad is None


@pytest.mark.parametrize("steps", [2, 3, 4])
def test_killed_training_goes_on_to_the_same_encoder(tmp_path, files, monkeypatch, steps):
    """Within the first epoch, after it, and while the queue is in use."""
    killed.check_that_it_goes_on(monkeypatch, tmp_path, files, "swav", KEYS, steps)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": 0}, "temperature must be positive"),
        ({"sinkhorn_epsilon": 0}, "sinkhorn_epsilon must be positive"),
        ({"sinkhorn_iterations": 0}, "sinkhorn_iterations must be at least 1"),
        ({"prototypes": 1}, "prototypes must be at least 2"),
        ({"queue": -1}, "queue must not be negative"),
        ({"queue_epoch": 0}, "queue_epoch must be at least 1"),
        ({"projector": []}, "projector must hold"),
    ],
)
def test_wrong_values_are_named(values, message):
    with pytest.raises(UserError, match=message):
        plugins.configure(swav.Config, values, "swav")
