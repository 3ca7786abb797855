import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from phenorep import encoders, plugins, pretrain, scores
from phenorep.batches import Source, Sources
from phenorep.errors import UserError
from phenorep.methods import classifier
from phenorep.recipes import Batch
from phenorep.store import Samples
from tests.unit import killed, made_samples

KEYS = {"backbone": "resnet10t", "epochs": 3, "batch_size": 8, "warmup_epochs": 0, "weak_label": "compound"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Blobs of which those of compound B are ring-shaped."""
    made = made_samples.write(tmp_path_factory.mktemp("samples"), count=24)
    rows, columns = np.mgrid[:24, :24]
    distance = np.hypot(rows - 12, columns - 12)
    for path in made["tables"]:
        table, pixels = pd.read_parquet(path), Path(path).with_suffix(".npy")
        images = np.load(pixels)
        images[(table["Metadata_Compound"] == "B").to_numpy()] += (1500 * np.exp(-((distance - 8) ** 2))).astype(np.uint16)
        np.save(pixels, images)
        facts = json.loads(pixels.with_suffix(".json").read_text()) | {"sums": images.sum((0, 2, 3), np.uint64).tolist()}
        pixels.with_suffix(".json").write_text(json.dumps(facts))
    return made


def opened(files):
    return Samples.open(files["tables"], files["statistics"])


@pytest.fixture
def sources(files):
    return Sources([Source.choose("made/cells", opened(files), labels="Metadata_Compound")])


def recipe_of(sources, **keys):
    config = plugins.configure(classifier.Config, {**KEYS, **keys}, "classifier")
    return pretrain.build(classifier.Recipe, config, sources, seed=0)


def batch_of(sources, count=9):
    raw = sources.read(np.arange(count))
    return Batch(raw.scaled("plate"), raw.labels, raw.rows, raw.means, raw.stds, 0.0)


def log_softmax(values):
    return values - np.log(np.exp(values).sum(axis=1, keepdims=True))


# Loss


def test_image_and_label_are_mixed_in_the_same_shares_with_one_partner():
    """Images that name themselves: of one-hot pixels the mixture shows who was mixed, and how much of whom."""
    torch.manual_seed(0)
    one_hot = torch.eye(64)
    images, targets = classifier.mix(one_hot[:, :, None, None], one_hot, 0.2, torch.Generator().manual_seed(0))
    assert torch.equal(images[:, :, 0, 0], targets)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(64))
    other = targets - targets.diagonal().diag()
    assert (other > 0).sum(dim=1).max() == 1
    assert (other > 0).sum(dim=0).max() == 1
    assert (other > 0).sum() > 40


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_shares_have_the_beta_distribution(alpha):
    torch.manual_seed(1)
    count = 20000
    # Partners are all of value 0, so that what is left of an image's 1 is its share.
    images = torch.ones(count, 1, 1, 1)
    images[::2] = 0
    targets = images[:, :, 0, 0]
    mixed, _ = classifier.mix(images, targets, alpha, torch.Generator().manual_seed(1))
    partner = torch.randperm(count, generator=torch.Generator().manual_seed(1))
    chosen = (targets[:, 0] == 1) & (targets[partner, 0] == 0)
    shares = mixed[chosen].flatten()
    assert shares.mean().item() == pytest.approx(0.5, abs=0.02)
    assert shares.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_is_the_cross_entropy_with_the_mixed_labels(sources, monkeypatch, smoothing):
    recipe = recipe_of(sources, label_smoothing=smoothing).double().eval()
    batch = batch_of(sources)
    batch.images = batch.images.double()
    known = (batch.labels >= 0).numpy()
    assert 0 < known.sum() < len(known)
    shares = np.linspace(0.1, 0.9, known.sum())[:, None]
    seen = []

    def mixed(images, targets, alpha, generator):
        seen.append((images, targets, alpha))
        share = torch.from_numpy(shares)
        return share[:, :, None, None] * images + (1 - share)[:, :, None, None] * images.flip(0), (
            share * targets + (1 - share) * targets.flip(0)
        )

    monkeypatch.setattr(classifier, "mix", mixed)
    monkeypatch.setattr(recipe, "views", lambda images: images)
    found = recipe(batch)
    ((images, targets, alpha),) = seen
    assert alpha == 0.2
    assert torch.equal(images, batch.images[batch.labels >= 0])
    one_hot = np.eye(2)[batch.labels[batch.labels >= 0].numpy()]
    np.testing.assert_array_equal(targets.numpy(), one_hot)
    blended = shares * one_hot + (1 - shares) * one_hot[::-1]
    with torch.inference_mode():
        across = torch.from_numpy(shares)[:, :, None, None]
        said = recipe.head(recipe.encoder(across * images + (1 - across) * images.flip(0))).numpy()
    smooth = (1 - smoothing) * blended + smoothing / 2
    expected = -(smooth * log_softmax(said)).sum(axis=1).mean()
    assert found.item() == pytest.approx(expected, rel=1e-9)
    share = (said.argmax(axis=1) == blended.argmax(axis=1)).mean()
    assert f"samples, mixed as they are {share:.1%} (chance 50.0%)" in recipe.on_epoch_end(1)
    assert (recipe.seen.item(), recipe.right.item()) == (0, 0)


def test_without_mixup_it_is_the_plain_cross_entropy(sources, monkeypatch):
    recipe = recipe_of(sources, mixup=0).eval()
    batch = batch_of(sources)
    monkeypatch.setattr(recipe, "views", lambda images: images)
    known = batch.labels >= 0
    with torch.inference_mode():
        said = recipe.head(recipe.encoder(batch.images[known]))
    torch.testing.assert_close(recipe(batch), torch.nn.functional.cross_entropy(said, batch.labels[known]))


def test_a_batch_without_any_label_is_skipped(sources):
    recipe, batch = recipe_of(sources), batch_of(sources)
    batch.labels = torch.full_like(batch.labels, -1)
    assert recipe(batch) is None


def test_dropout_reaches_the_last_layer_in_training_only(sources):
    recipe = recipe_of(sources, dropout=0.5)
    features = torch.ones(4, recipe.features)
    assert not torch.equal(recipe.head(features)[0], recipe.head(features)[1])
    recipe.eval()
    assert torch.equal(recipe.head(features)[0], recipe.head(features)[1])


# Order


def test_an_epoch_has_only_labelled_rows(sources):
    labels = np.array([0] * 90 + [-1] * 50 + [1] * 10)
    generator = np.random.default_rng(0)
    once = recipe_of(sources, balanced=False).order(labels, generator)
    np.testing.assert_array_equal(np.sort(once), np.flatnonzero(labels >= 0))
    assert not np.array_equal(once, np.sort(once))
    recipe = recipe_of(sources)
    drawn = np.concatenate([recipe.order(labels, generator) for _ in range(20)])
    assert len(drawn) == 20 * 100
    counts = np.bincount(labels[drawn])
    np.testing.assert_allclose(counts, [1000, 1000], atol=100)


# Training


def test_training_tells_classes_apart_that_it_has_not_seen(tmp_path, files, capsys):
    keys = {**KEYS, "epochs": 12, "learning_rate": 0.02, "mixup": 0.2}
    arguments = made_samples.pretrain_arguments(tmp_path, files, "classifier", keys)
    arguments["sources"][0]["where"] = "Split_fold == 'train'"
    pretrain.make(**arguments)
    told = [line for line in capsys.readouterr().out.splitlines() if "accuracy on the training samples" in line]
    assert len(told) == 12
    loss = pd.read_csv(tmp_path / "training.csv")["loss"].to_numpy()
    assert loss[-3:].mean() < 0.7 * loss[0]
    samples = opened(files)
    encoder = encoders.Encoder.load(tmp_path / "encoder.safetensors")
    batch = Sources([Source.choose("made/cells", samples)]).read(np.arange(len(samples.table)))
    embeddings = encoder.embed(batch.images, batch.means, batch.stds, 4095).numpy()
    table = samples.table
    train = table["Split_fold"] == "train"
    centres = {name: embeddings[train & (table["Metadata_Compound"] == name)].mean(axis=0) for name in "AB"}
    rest = table[~train & (table["Metadata_Compound"] != "")].index
    nearest = [min("AB", key=lambda name: np.linalg.norm(embeddings[row] - centres[name])) for row in rest]
    assert len(rest) >= 6
    assert nearest == table["Metadata_Compound"][rest].tolist()


def test_killed_training_goes_on_to_the_same_encoder(tmp_path, files, monkeypatch):
    """Within the second epoch of four steps."""
    killed.check_that_it_goes_on(monkeypatch, tmp_path, files, "classifier", {**KEYS, "dropout": 0.2}, steps=6)


def test_mixed_precision_trains(tmp_path, files):
    keys = {**KEYS, "epochs": 1, "precision": "bf16-mixed"}
    pretrain.make(**made_samples.pretrain_arguments(tmp_path, files, "classifier", keys))
    assert np.isfinite(pd.read_csv(tmp_path / "training.csv")["loss"]).all()


def test_file_states_what_was_shown_and_marks_the_leak(tmp_path, files, capsys):
    keys = {**KEYS, "epochs": 1, "weak_label": "treatment"}
    pretrain.make(**made_samples.pretrain_arguments(tmp_path, files, "classifier", keys))
    assert "16 of 48 samples have no Metadata_Treatment and are left out" in capsys.readouterr().out
    facts = encoders.metadata(tmp_path / "encoder.safetensors")
    assert facts["trained_on"][0]["shown"] == {"Metadata_Treatment": ["A", "B"]}
    assert scores.leak(scores.trained_on(facts), opened(files).table, "made") == "well"
    assert not any(name.startswith("head") for name in load_file(tmp_path / "encoder.safetensors"))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_start_from_published_weights(tmp_path, channels):
    torch.manual_seed(0)
    published = encoders.backbone("resnet10t", 3)
    torch.save(published.state_dict(), tmp_path / "w.pt")
    names = tuple(f"C{number}" for number in range(channels))
    made = made_samples.write(tmp_path / "samples", plates=1, channels=names)
    data = Sources([Source.choose("made/cells", opened(made), labels="Metadata_Compound")])
    found = recipe_of(data, weights=str(tmp_path / "w.pt")).encoder.state_dict()
    expected = published.state_dict()
    if channels == 1:
        expected["conv1.0.weight"] = expected["conv1.0.weight"].sum(dim=1, keepdim=True)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


# Configuration


def test_a_dataset_without_the_weak_label_is_not_run(tmp_path, files):
    pretrain.make(**made_samples.pretrain_arguments(tmp_path, files, "classifier", {**KEYS, "weak_label": "moa"}))
    assert "needs the column Metadata_MoA" in encoders.metadata(tmp_path / "encoder.safetensors")["not_run"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mixup": -0.1}, "mixup must not be negative"),
        ({"label_smoothing": 1.0}, "label_smoothing must be at least 0 and less than 1"),
        ({"dropout": -0.1}, "dropout must be at least 0 and less than 1"),
        ({"weak_label": "drug"}, "weak_label must be none, treatment, compound, moa or a column"),
    ],
)
def test_wrong_configuration_is_named(values, message):
    with pytest.raises(UserError, match=message):
        plugins.configure(classifier.Config, values, "methods: classifier")
