import math

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from phenorep import devices, encoders, plugins, pretrain, schedules, scores, training
from phenorep.batches import ReadAhead, Source, Sources
from phenorep.checkpoints import Checkpoint
from phenorep.errors import UserError
from phenorep.methods import dino
from phenorep.recipes import Batch
from phenorep.store import Samples
from tests.unit import killed, made_samples

KEYS = {
    "backbone": "resnet10t",
    "epochs": 3,
    "batch_size": 8,
    "warmup_epochs": 0,
    "learning_rate": 0.001,
    "global_size": 24,
    "local_size": 12,
    "local_crops": 3,
    "global_scale": [0.5, 1.0],
    "local_scale": [0.1, 0.4],
    "head": [32, 8],
    "output_dim": 24,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return made_samples.write(tmp_path_factory.mktemp("samples"))


@pytest.fixture
def sources(files):
    return Sources([Source.choose("made/cells", opened(files), labels="Metadata_Compound").labelled()])


def opened(files):
    return Samples.open(files["tables"], files["statistics"])


def recipe_of(sources, **keys):
    config = plugins.configure(dino.Config, {**KEYS, **keys}, "dino")
    return pretrain.build(dino.Recipe, config, sources, seed=0)


def batch_of(sources, progress=0.0, companions=None):
    raw = sources.read(np.arange(4), companions)
    scaled = raw.scaled("plate")
    return Batch(scaled, raw.labels, raw.rows, raw.means, raw.stds, progress, raw.scaled_companions("plate"))


def softmax(values):
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


# The idea: loss, centre, head, teacher


def test_training_step_is_the_published_loss_and_centre(sources, monkeypatch):
    """Against the double loop of the reference code, in float64: each large crop of the teacher, each other crop."""
    recipe = recipe_of(sources, center_momentum=0.8, student_temperature=0.07).double().eval()
    recipe.teacher_head.requires_grad_(False)
    for parameter in recipe.teacher.parameters():
        parameter.data += 0.1 * torch.rand(parameter.shape, generator=recipe.generator)  # unlike the student
    center = torch.linspace(-0.1, 0.1, 24, dtype=torch.float64)
    recipe.loss.center.copy_(center)
    views = {2: torch.randn(8, 2, 24, 24).double(), 3: torch.randn(12, 2, 12, 12).double()}
    monkeypatch.setattr(recipe, "crops", lambda images, count, size, area: views[count])
    found = recipe(batch_of(sources))
    with torch.inference_mode():
        taught = recipe.teacher_head(recipe.teacher(views[2])).numpy().reshape(2, 4, 24)
        learned = [recipe.head(recipe.encoder(views[count])).numpy().reshape(count, 4, 24) for count in (2, 3)]
    learned = np.concatenate(learned)
    terms = [
        -(softmax((taught[large] - center.numpy()) / 0.04) * np.log(softmax(learned[small] / 0.07))).sum(axis=1).mean()
        for large in range(2)
        for small in range(5)
        if large != small
    ]
    assert len(terms) == 8
    assert found.item() == pytest.approx(np.mean(terms), rel=1e-6)
    expected = 0.8 * center.numpy() + 0.2 * taught.mean(axis=(0, 1))
    np.testing.assert_allclose(recipe.loss.center.numpy().ravel(), expected, rtol=1e-6, atol=1e-12)


def test_head_is_gelu_layers_a_direction_and_normalised_prototypes(sources):
    head = recipe_of(sources).head.double()
    features = torch.randn(5, 512, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = {name: value.numpy() for name, value in head.state_dict().items()}
    value = features.numpy()
    for layer in ("0", "2", "4"):
        value = value @ weights[f"layers.{layer}.weight"].T + weights[f"layers.{layer}.bias"]
        if layer != "4":
            value = value * 0.5 * (1 + np.vectorize(math.erf)(value / math.sqrt(2)))
    value = value / np.linalg.norm(value, axis=1, keepdims=True)
    prototypes = weights["last_layer.weight_v"]
    expected = value @ (prototypes / np.linalg.norm(prototypes, axis=1, keepdims=True)).T
    np.testing.assert_allclose(head(features).detach().numpy(), expected, rtol=1e-6, atol=1e-12)
    assert not head.last_layer.weight_g.requires_grad
    assert recipe_of(sources, norm_last_layer=False).head.last_layer.weight_g.requires_grad


def test_schedules_are_those_of_the_reference_code():
    steps, epochs, per_epoch = 60, 6, 10
    expected = [0.4 + 0.5 * (0.04 - 0.4) * (1 + math.cos(math.pi * step / steps)) for step in range(steps)]
    np.testing.assert_allclose([schedules.cosine(step / steps, 0.04, 0.4) for step in range(steps)], expected, rtol=1e-12)
    temperatures = np.concatenate([np.linspace(0.02, 0.06, 4), np.ones(2) * 0.06])
    found = [schedules.rise(epoch, 0.02, 0.06, 4) for epoch in range(epochs)]
    np.testing.assert_allclose(found, temperatures, rtol=1e-12)
    assert schedules.rise(0, 0.02, 0.06, 1) == 0.02
    assert [schedules.epoch_at(step / steps, epochs) for step in range(steps)] == [s // per_epoch for s in range(steps)]


def test_teacher_is_a_moving_average_whose_momentum_ends_at_one(sources):
    recipe = recipe_of(sources, momentum_teacher=0.9)
    before = [parameter.clone() for parameter in (*recipe.teacher.parameters(), *recipe.teacher_head.parameters())]
    with torch.no_grad():
        for parameter in (*recipe.encoder.parameters(), *recipe.head.parameters()):
            parameter += 1
    recipe.on_step_end(0.5)  # momentum 0.95 halfway
    after = (*recipe.teacher.parameters(), *recipe.teacher_head.parameters())
    for old, new in zip(before, after, strict=True):
        torch.testing.assert_close(new, old + 0.05)
    recipe.on_step_end(1.0)
    for old, new in zip(before, after, strict=True):
        torch.testing.assert_close(new, old + 0.05)
    assert not any(parameter.requires_grad for parameter in after)


def test_student_and_teacher_start_equal_and_only_the_student_drops_paths(sources):
    recipe = recipe_of(sources, backbone="vit_tiny_patch16_224", global_size=32, local_size=16, drop_path=0.3)
    dropping = [[m for m in net.modules() if type(m).__name__ == "DropPath"] for net in (recipe.encoder, recipe.teacher)]
    assert dropping[0]
    assert not dropping[1]
    assert recipe.encoder.state_dict().keys() == recipe.teacher.state_dict().keys()
    for mine, theirs in zip(recipe.encoder.parameters(), recipe.teacher.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    recipe.train()
    recipe(batch_of(sources)).backward()  # crops of both sizes go through a transformer
    assert recipe.trained_encoder() is recipe.teacher
    assert recipe.teacher(torch.zeros(1, 2, 40, 56)).shape == (1, 192)


def test_weight_decay_follows_its_cosine_and_spares_vectors(sources):
    recipe = recipe_of(sources, weight_decay=0.04, final_weight_decay=0.4)
    matrices, vectors = recipe.parameter_groups()
    assert (matrices["decay_scale"], vectors["decay_scale"]) == (1.0, 0.0)
    assert {parameter.ndim for parameter in vectors["params"]} == {1}
    assert min(parameter.ndim for parameter in matrices["params"]) == 2
    assert recipe.weight_decay_at(0.5) == pytest.approx(0.22)
    assert recipe_of(sources, weight_decay=0.04).weight_decay_at(0.5) == 0.04


# Weak labels


def test_devices_share_an_epoch_and_its_partners(sources):
    recipe = recipe_of(sources, weak_label="compound")
    generator = np.random.default_rng(0)
    order = recipe.order(sources.labels, generator)
    companions = recipe.companions(order, sources.labels, generator)
    shares = [[training.split(rows, 8, rank, 2) for rank in (0, 1)] for rows in (order, companions)]
    joined = [np.stack([part[0], part[1]], axis=1).ravel() for part in zip(*shares[0], strict=True)]
    np.testing.assert_array_equal(np.concatenate(joined), order[: len(order) // 8 * 8])
    for rank in (0, 1):
        for rows, beside in zip(shares[0][rank], shares[1][rank], strict=True):
            np.testing.assert_array_equal(sources.labels[rows], sources.labels[beside])


def test_companions_stay_with_their_samples_across_sources(tmp_path, files):
    other = made_samples.write(tmp_path, plates=1, intensity_max=None, seed=3)
    both = Sources([Source.choose("made/cells", opened(files)), Source.choose("made/other", opened(other))])
    rows, wanted = np.array([30, 2, 25, 7, 3]), np.array([1, 35, 1, 28, 3])
    beside = dict(zip(rows, wanted, strict=True))
    (batch,) = ReadAhead(both, [rows], companions=[wanted])
    assert batch.rows.tolist() == [2, 7, 3, 30, 25]
    found = batch.scaled_companions("range")
    for place, row in enumerate(batch.rows.tolist()):
        torch.testing.assert_close(found[place], both.read([beside[row]]).scaled("range")[0])
    moved = batch.to(torch.device("cpu"))
    assert torch.equal(moved.scaled_companions("plate"), batch.scaled_companions("plate"))
    assert both.read(rows).scaled_companions("plate") is None


@pytest.mark.parametrize("weak_label", ["none", "compound"])
def test_small_crops_come_from_the_partner(sources, monkeypatch, weak_label):
    recipe = recipe_of(sources, weak_label=weak_label)
    companions = np.array([4, 5, 6, 7]) if weak_label != "none" else None
    batch = batch_of(sources, companions=companions)
    seen, crops = [], recipe.crops
    monkeypatch.setattr(recipe, "crops", lambda images, *given: (seen.append(images), crops(images, *given))[1])
    recipe(batch)
    assert seen[0] is batch.images
    assert torch.equal(seen[1], batch.images if companions is None else batch.companions)
    assert torch.equal(seen[0], seen[1]) == (companions is None)


def test_what_the_weak_label_showed_stands_in_the_file_and_marks_the_leak(tmp_path, files, capsys):
    keys = {**KEYS, "epochs": 1, "weak_label": "treatment"}
    pretrain.make(**made_samples.pretrain_arguments(tmp_path, files, "dino", keys))
    assert "8 of 24 samples have no Metadata_Treatment and are left out" in capsys.readouterr().out
    facts = encoders.metadata(tmp_path / "encoder.safetensors")
    (stated,) = facts["trained_on"]
    assert stated["labels"] == "Metadata_Treatment"
    assert stated["shown"] == {"Metadata_Treatment": ["A", "B"]}
    assert stated["count"] == 16
    table = opened(files).table
    assert scores.leak(scores.trained_on(facts), table, "made") == "well"
    assert scores.leak(scores.trained_on(facts), table, "another") == "compound"


def test_without_weak_label_nothing_was_shown(tmp_path, files):
    pretrain.make(**made_samples.pretrain_arguments(tmp_path, files, "dino", {**KEYS, "epochs": 1}))
    facts = encoders.metadata(tmp_path / "encoder.safetensors")
    assert scores.leak(scores.trained_on(facts), opened(files).table, "made") == "none"


def test_a_dataset_without_the_weak_label_is_not_run(tmp_path, files):
    arguments = made_samples.pretrain_arguments(tmp_path, files, "dino", {**KEYS, "weak_label": "moa"})
    pretrain.make(**arguments)
    assert (
        "needs the column Metadata_MoA, which made/cells" in encoders.metadata(tmp_path / "encoder.safetensors")["not_run"]
    )


def test_lone_images_are_told(sources, capsys):
    recipe = recipe_of(sources, weak_label="compound")
    labels = np.array([0, 1, 1, 2])
    found = recipe.companions(np.arange(4), labels, np.random.default_rng(0))
    assert found.tolist() == [0, 2, 1, 3]
    assert "2 labels have one image only, whose partner is that image itself" in capsys.readouterr().out
    recipe.companions(np.arange(4), labels, np.random.default_rng(0))
    assert capsys.readouterr().out == ""


# Training


@pytest.mark.parametrize("steps", [2, 3])
def test_killed_training_goes_on_to_the_same_encoder(tmp_path, files, monkeypatch, steps):
    """After an epoch of two steps, and from within one."""
    keys = {**KEYS, "weak_label": "compound", "drop_path": 0.2, "save_epochs": [0]}
    killed.check_that_it_goes_on(monkeypatch, tmp_path, files, "dino", keys, steps)
    untrained = load_file(tmp_path / "killed/epochs/0.safetensors")
    trained = load_file(tmp_path / "killed/encoder.safetensors")
    assert not torch.equal(untrained["conv1.0.weight"], trained["conv1.0.weight"])


def trained(tmp_path, sources, **keys):
    recipe = recipe_of(sources, **keys)
    before = {name: value.clone() for name, value in recipe.state_dict().items()}
    fabric = devices.fabric(devices.configure({"device": "cpu"}), recipe.config.precision)
    with devices.repeatable(1):
        history = training.Training(recipe, sources, fabric, 0, Checkpoint(tmp_path / "c.pt", ""), keep=None).run()
    return recipe, before, pd.DataFrame(history)


def test_loss_falls(tmp_path, sources, capsys):
    recipe, _, history = trained(tmp_path, sources, epochs=20)
    loss = history["loss"].to_numpy()
    assert loss[-5:].mean() < 0.7 * loss[0]
    told = capsys.readouterr().out
    assert told.count("entropy of the teacher's outputs") == 20
    assert recipe.watch.count == 0


@pytest.mark.parametrize(("frozen", "moves"), [(1, False), (0, True)])
def test_last_layer_is_frozen_in_the_first_epochs(tmp_path, sources, frozen, moves):
    recipe, before, _ = trained(tmp_path, sources, epochs=1, freeze_last_layer=frozen)
    assert torch.equal(recipe.head.last_layer.weight_v, before["head.last_layer.weight_v"]) == (not moves)
    assert not torch.equal(recipe.head.layers[0].weight, before["head.layers.0.weight"])


def test_init_reaches_student_and_teacher(tmp_path, files):
    for name, init in (("first", None), ("second", str(tmp_path / "first/encoder.safetensors"))):
        keys = {**KEYS, "epochs": 1, "save_epochs": [0]}
        pretrain.make(**made_samples.pretrain_arguments(tmp_path / name, files, "dino", keys, init=init))
    first, second = load_file(tmp_path / "first/encoder.safetensors"), load_file(tmp_path / "second/epochs/0.safetensors")
    assert all(torch.equal(first[name], second[name]) for name in first)


# Configuration and published weights


def started(weights, channels: int, **keys) -> dino.Recipe:
    """A recipe that starts from weights in a file."""
    config = dino.Config(backbone="vit_tiny_patch16_224", weights=str(weights), output_dim=16, head=(8, 8), **keys)
    recipe = dino.Recipe(config, [f"C{number}" for number in range(channels)], (64, 64))
    recipe.setup()
    return recipe


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_published_weights_see_a_channel_as_a_grey_image(tmp_path, channels):
    torch.manual_seed(0)
    published = encoders.backbone("vit_tiny_patch16_224", 3)
    torch.save(
        {"teacher": {f"module.backbone.{name}": value for name, value in published.state_dict().items()}}, tmp_path / "w.pt"
    )
    network = started(tmp_path / "w.pt", channels).teacher
    grey = torch.randn(1, 1, 224, 224)
    with torch.inference_mode():
        found = network.eval()(grey.expand(-1, channels, -1, -1))
        expected = published.eval()(grey.expand(-1, 3, -1, -1))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_published_weights_of_another_size_are_named(tmp_path):
    torch.save(encoders.backbone("vit_tiny_patch16_224", 3).state_dict(), tmp_path / "w.pt")
    with pytest.raises(UserError, match="set global_size"):
        started(tmp_path / "w.pt", 1, global_size=96)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weak_label": "drug"}, "weak_label must be none, treatment, compound, moa or a column"),
        ({"weak_label": "Metadata_Compund"}, "Did you mean 'Metadata_Compound'"),
        ({"global_scale": [0.5, 0.1]}, "global_scale must"),
        ({"local_scale": [0.0, 0.1]}, "local_scale must"),
        ({"teacher_temperature": 0}, "teacher_temperature must be positive"),
        ({"momentum_teacher": 1.5}, "momentum_teacher must lie between 0 and 1"),
        ({"local_crops": -1}, "local_crops must not be negative"),
        ({"drop_path": 1.0}, "drop_path must"),
        ({"crop_ratio": [2, 1]}, "crop_ratio must"),
    ],
)
def test_wrong_configuration_is_named(tmp_path, files, values, message):
    with pytest.raises(UserError, match=message):
        pretrain.make(**made_samples.pretrain_arguments(tmp_path, files, "dino", {**KEYS, **values}))


def test_a_backbone_without_stochastic_depth_is_named(tmp_path):
    large = Sources([Source.choose("made/cells", opened(made_samples.write(tmp_path, count=4, size=(64, 64))))])
    with pytest.raises(UserError, match=r"the backbone dla34 has no stochastic depth .* Set drop_path: 0"):
        recipe_of(large, backbone="dla34", drop_path=0.1)
    assert recipe_of(large, backbone="dla34", drop_path=0.0).features == 512


def test_labels_from_two_places_are_an_error(tmp_path, files):
    arguments = made_samples.pretrain_arguments(tmp_path, files, "dino", {**KEYS, "weak_label": "compound"})
    arguments["sources"][0]["labels"] = "Metadata_Compound"
    with pytest.raises(UserError, match="take out one of the two"):
        pretrain.make(**arguments)


def test_samples_without_a_single_label_are_an_error(files):
    unlabelled = Source.choose("made/cells", opened(files), "Metadata_Compound == ''", "Metadata_Compound")
    with pytest.raises(UserError, match="none of the 8 samples has a value of Metadata_Compound"):
        unlabelled.labelled()
