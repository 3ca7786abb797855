import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from sklearn.cluster import KMeans
from torch.nn import functional

from phenorep import plugins, pretrain
from phenorep.errors import UserError
from phenorep.methods import deepcluster_v2
from phenorep.recipes import Batch
from tests.unit import killed, made_samples

KEYS = {
    "backbone": "resnet10t",
    "epochs": 2,
    "batch_size": 8,
    "warmup_epochs": 0,
    "learning_rate": 0.01,
    "projector": [12, 6],
    "prototypes": 4,
}


def recipe_of(sources, **keys):
    config = plugins.configure(deepcluster_v2.Config, {**KEYS, **keys}, "deepcluster_v2")
    recipe = pretrain.build(deepcluster_v2.Recipe, config, sources, seed=0).train()
    recipe.order(sources.labels, np.random.default_rng(0))
    return recipe


def batch_of(sources, rows):
    raw = sources.read(np.asarray(rows))
    return Batch(raw.scaled("plate"), raw.labels, raw.rows, raw.means, raw.stds, 0.0)


def all_of(sources, size=8):
    def batches(rows):
        return (batch_of(sources, rows[start : start + size]) for start in range(0, len(rows), size))

    return batches


def directions(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def made(tmp_path, files, **keys):
    pretrain.make(**made_samples.pretrain_arguments(tmp_path, files, "deepcluster_v2", {**KEYS, **keys}))
    return pd.read_csv(tmp_path / "training.csv")["loss"].to_numpy()


# Loss


@pytest.mark.parametrize("unknown", [(), (1, 4)])
def test_loss_and_gradients_are_those_of_the_definition(sources, unknown):
    recipe = recipe_of(sources, heads=3).double()
    recipe.prototypes.copy_(directions(3, 4, 6, seed=1))
    clusters = torch.randint(0, 4, (3, 5), generator=torch.Generator().manual_seed(2))
    clusters[:, list(unknown)] = -1
    mine, theirs = (directions(2, 5, 6).requires_grad_() for _ in range(2))
    terms = []
    for head in range(3):
        for view in range(2):
            for image in set(range(5)) - set(unknown):
                scores = torch.stack([theirs[view, image] @ prototype / 0.07 for prototype in recipe.prototypes[head]])
                terms.append(scores.exp().sum().log() - scores[clusters[head, image]])
    expected, loss = sum(terms) / len(terms), recipe.loss(mine, clusters)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    for values in (loss, expected):
        values.backward()
    torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-6, atol=1e-12)


def test_a_step_learns_the_clusters_of_its_rows_and_remembers_what_it_saw(sources):
    recipe = recipe_of(sources, heads=2, memory="float32")
    recipe.on_epoch_start(1, all_of(sources))
    before, rows = recipe.memory.clone(), [3, 20, 5, 8]
    state = recipe.generator.get_state()
    batch = batch_of(sources, rows)
    loss = recipe(batch)
    recipe.generator.set_state(state)
    embeddings = torch.stack([recipe.embed(recipe.encoder(recipe.views(batch.images))) for _ in range(2)])
    scores = torch.einsum("vbd,hkd->hvbk", embeddings, recipe.prototypes) / 0.07
    targets = recipe.clusters[:, rows].long()
    expected = torch.stack(
        [functional.cross_entropy(scores[head, view], targets[head]) for head in range(2) for view in range(2)]
    ).mean()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(recipe.memory[:, rows], embeddings.detach())
    others = sorted(set(range(24)) - set(rows))
    assert torch.equal(recipe.memory[:, others], before[:, others])
    assert not torch.equal(recipe.memory[0], recipe.memory[1])


# Clusters


def test_clusters_are_those_of_scikit_learn_on_separable_embeddings(sources):
    recipe = recipe_of(sources)
    truth = torch.randint(0, 4, (500,), generator=torch.Generator().manual_seed(5))
    points = functional.normalize(torch.eye(6, dtype=torch.float64)[truth] + 0.2 * directions(500, 6), dim=1)
    recipe.memory, recipe.seen = points[None].half(), torch.ones(500, dtype=torch.bool)

    def start(seed):
        torch.manual_seed(seed)
        return torch.randperm(500)[:4]

    seed = next(seed for seed in range(100) if len(set(truth[start(seed)].tolist())) == 4)
    reference = KMeans(4, init=points[start(seed)].numpy(), n_init=1).fit(points.numpy())
    torch.manual_seed(seed)
    recipe.on_epoch_start(2, None)
    assert recipe.clusters[0].tolist() == reference.labels_.tolist()
    centres = functional.normalize(torch.from_numpy(reference.cluster_centers_), dim=1).float()
    torch.testing.assert_close(recipe.prototypes[0], centres, rtol=0, atol=1e-3)  # embeddings are kept in half precision
    assert recipe.on_epoch_end(2).startswith("0 of 4 clusters empty, the largest holds 2")


def test_heads_cluster_the_views_by_turns(sources):
    recipe = recipe_of(sources, heads=3)
    recipe.on_epoch_start(1, all_of(sources))
    assert recipe.memory.shape == (2, 24, 6)
    assert recipe.memory.dtype == torch.float16
    for head in range(3):
        nearest = (recipe.memory[head % 2].float() @ recipe.prototypes[head].T).argmax(dim=1)
        assert recipe.clusters[head].tolist() == nearest.tolist()
    assert recipe_of(sources, heads=1)._views() == 1


def test_empty_clusters_are_counted(sources):
    recipe = recipe_of(sources)
    recipe.clusters = torch.tensor([[0, 0, 0, 2, -1]], dtype=torch.int32)
    assert recipe.on_epoch_end(1).startswith("2 of 4 clusters empty, the largest holds 75.0% of the samples; spread of")


# The first epoch


def test_the_first_memory_holds_all_samples_in_their_order(sources, monkeypatch, capsys):
    recipe = recipe_of(sources, memory="float32")
    monkeypatch.setattr(recipe, "views", lambda images: images)
    orders, read = [], all_of(sources, size=24)
    recipe.on_epoch_start(1, lambda rows: orders.append(rows.tolist()) or read(rows))
    assert sorted(orders[0]) == list(range(24)) != orders[0], "batches are shuffled"
    everything = batch_of(sources, np.arange(24))
    torch.testing.assert_close(recipe.memory[0], recipe.embed(recipe.encoder(everything.images)).detach())
    assert "the memory holds 1 x 24 embeddings of 6 numbers in float32: 0.0 MB on cpu" in capsys.readouterr().out


def test_a_last_batch_of_one_sample_is_remembered_too(sources):
    recipe = recipe_of(sources)
    recipe.on_epoch_start(1, all_of(sources, size=23))
    assert recipe.memory.shape == (1, 24, 6)
    torch.testing.assert_close(recipe.memory[0].float().norm(dim=1), torch.ones(24), rtol=0, atol=2e-3)


@pytest.mark.parametrize(("first_epoch", "learns"), [("cluster", True), ("skip", False)])
def test_no_epoch_has_a_loss_that_is_no_number(tmp_path, files, first_epoch, learns, capsys):
    loss = made(tmp_path, files, first_epoch=first_epoch, save_epochs=[0, 1])
    assert np.isfinite(loss).all()
    assert (loss > 0).tolist() == [learns, True]
    start, first = (load_file(tmp_path / f"epochs/{epoch}.safetensors")["conv1.0.weight"] for epoch in (0, 1))
    assert torch.equal(start, first) != learns
    last = load_file(tmp_path / "encoder.safetensors")
    assert not torch.equal(last["conv1.0.weight"], first)
    assert all(torch.isfinite(value).all() for value in last.values())
    assert ("nothing learnt, as there are no clusters yet" in capsys.readouterr().out) != learns


def test_samples_that_were_never_seen_have_no_cluster(sources):
    recipe = recipe_of(sources, first_epoch="skip")
    recipe.on_epoch_start(1, None)
    for rows in (range(8), range(8, 21)):
        assert recipe(batch_of(sources, list(rows))) is None
    recipe.on_epoch_start(2, None)
    assert (recipe.clusters[0] >= 0).tolist() == [row < 21 for row in range(24)]
    loss = recipe(batch_of(sources, [21, 22, 23]))
    loss.backward()
    assert loss.item() == 0
    assert all(torch.isfinite(parameter.grad).all() for parameter in recipe.encoder.parameters())
    assert recipe(batch_of(sources, [1, 22, 23])).item() > 0


@pytest.mark.parametrize("first_epoch", ["cluster", "skip"])
def test_fewer_samples_than_prototypes_are_an_error(tmp_path, files, first_epoch):
    with pytest.raises(UserError, match=r"prototypes: 25 clusters cannot be found among 24 samples. Lower prototypes"):
        made(tmp_path, files, first_epoch=first_epoch, prototypes=25)


# Training


@pytest.mark.parametrize(
    ("steps", "first_epoch"), [(1, "cluster"), (3, "cluster"), (4, "cluster"), (2, "skip"), (3, "skip")]
)
def test_killed_training_goes_on_to_the_same_encoder(tmp_path, files, monkeypatch, first_epoch, steps):
    """Within the first epoch, after it, and within the second."""
    keys = {**KEYS, "heads": 2, "first_epoch": first_epoch}
    killed.check_that_it_goes_on(monkeypatch, tmp_path, files, "deepcluster_v2", keys, steps)


def test_loss_falls(tmp_path, files):
    loss = made(tmp_path, files, epochs=8, learning_rate=0.02)
    assert loss[-1] < 0.7 * loss[0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": 0}, "temperature must be positive"),
        ({"prototypes": 1}, "prototypes must be at least 2"),
        ({"heads": 0}, "heads must be at least 1"),
        ({"kmeans_iterations": 0}, "kmeans_iterations must be at least 1"),
        ({"first_epoch": "never"}, "first_epoch"),
        ({"first_epoch": "skip", "epochs": 1}, "learns nothing in the only epoch"),
        ({"memory": "int8"}, "memory"),
        ({"projector": []}, "projector must hold"),
    ],
)
def test_wrong_values_are_named(values, message):
    with pytest.raises(UserError, match=message):
        plugins.configure(deepcluster_v2.Config, values, "deepcluster_v2")
