"""Normal or abnormal, by an encoder that goes on training."""

import dataclasses

import numpy as np
import pytest
import torch

from phenorep import contracts, devices, encoders, evaluations, plugins, pretrain
from phenorep.errors import NotRun, UserError
from phenorep.evaluations import Inputs, quality_classification, quality_fine_tuning
from phenorep.quality import fine_tuning
from phenorep.quality.classifiers import DescentConfig
from phenorep.store import Samples
from tests.unit import made_samples

ROW = {"dataset": "made", "samples": "cells", "method": "m", "seed": "0", "epoch": "final", "profile": "none"}
SHORT = {"labels": (20,), "test": 12, "draws": 2, "epochs": 12, "milestones": (8,), "learning_rate": 0.02, "batch_size": 8}
CPU = {"device": "cpu"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return made_samples.write(tmp_path_factory.mktemp("samples"), plates=2, count=32, size=(32, 32))


@pytest.fixture(scope="module")
def made(tmp_path_factory, files):
    """Encoders without any training, by recipe; a small network with batch normalisation."""
    folder = tmp_path_factory.mktemp("encoders")
    for recipe in ("random", "pixel_statistics", "image_quality"):
        keys = {"backbone": "test_resnet"} if recipe == "random" else {}
        pretrain.make(**made_samples.pretrain_arguments(folder / recipe, files, recipe, keys))
    return {recipe.name: recipe / "encoder.safetensors" for recipe in folder.iterdir()}


def labelled(files, signal=1500):
    """Samples of which every second well is abnormal, by a bright upper half; the plates differ."""
    samples = Samples.open(*files.values())
    abnormal = (samples.table["Metadata_Well"].str[1:].astype(int) % 2 == 0).to_numpy()
    samples.table["Label_Quality"] = np.where(abnormal, "abnormal", "normal")
    read = samples.read

    def bright(rows):
        images = read(rows).astype(np.int64)
        images[abnormal[np.asarray(rows)], :, :16] += signal
        return images.clip(0, 4095).astype(np.uint16)

    samples.read = bright
    return samples


def run(encoder, samples, train=None, **keys):
    config = quality_fine_tuning.Config(**(SHORT | keys))
    inputs = Inputs(samples=samples, encoder=encoder, compute=CPU, train=None if train is None else Inputs(samples=train))
    scores, details = quality_fine_tuning.evaluate(config, inputs, 0)
    return {(s.settings, s.metric, s.control): s for s in scores}, details


def test_separable_samples_are_told_and_shuffled_labels_tell_nothing(made, files):
    found, details = run(made["random"], labelled(files), permutations=4)
    setting = "classifier=fine_tuned, labels=20"
    assert {settings for settings, _, _ in found} == {setting}
    assert found[setting, "accuracy", "none"].value == 1
    assert found[setting, "accuracy", "none"].n == 12
    assert found[setting, "accuracy", "shuffled"].value == pytest.approx(0.5, abs=0.3)
    nothing, _ = run(made["random"], labelled(files, signal=0), test=30, draws=3)
    assert nothing[setting, "accuracy", "none"].value == pytest.approx(0.5, abs=0.2)
    assert set(details.loc[details["part"] == "item", "value"]) == {1.0}


def encoder_and_images(made, files, recipe="random"):
    encoder = encoders.Encoder.load(made[recipe], "cpu")
    samples = labelled(files)
    images = fine_tuning.read(samples, np.arange(16), encoder, torch.device("cpu"), "samples")
    return encoder, images, (samples.table["Label_Quality"].iloc[:16] == "abnormal").to_numpy()


def test_all_weights_are_trained_in_a_copy(made, files):
    encoder, images, labels = encoder_and_images(made, files)
    before = {name: tensor.clone() for name, tensor in encoder.network.state_dict().items()}
    config = DescentConfig(epochs=2, milestones=(), learning_rate=0.05, batch_size=8)
    model = fine_tuning.tune(encoder, images, labels, config, seed=0)
    for name, tensor in encoder.network.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert not encoder.network.training
    assert not model.training
    for name, parameter in model.network.named_parameters():
        assert not torch.equal(parameter, before[name]), name
    with torch.inference_mode():
        assert not torch.allclose(model.network(images), encoder(images), atol=1e-3)
    # With weights that hardly move, the running means of batch normalisation still do.
    still = fine_tuning.tune(encoder, images, labels, dataclasses.replace(config, learning_rate=1e-12), seed=0)
    moved = [name for name, tensor in still.network.named_buffers() if not torch.equal(tensor, before[name])]
    assert any(name.endswith("running_mean") for name in moved)
    assert all(torch.allclose(parameter, before[name]) for name, parameter in still.network.named_parameters())


def test_training_is_descent_as_written_out(made, files):
    """Two epochs by hand: order, schedule, momentum, and a last sample that joins the batch before it."""
    encoder, images, labels = encoder_and_images(made, files)
    images, labels = images[:13], labels[:13]
    config = DescentConfig(epochs=2, milestones=(1,), learning_rate=0.05, batch_size=6, weight_decay=0.01)
    with devices.repeatable(1):
        model = fine_tuning.tune(encoder, images, labels, config, seed=5)
        with torch.random.fork_rng():
            torch.manual_seed(5)
            expected = fine_tuning.Classifier(encoder).to(memory_format=torch.channels_last).train()
        order, velocity = np.random.default_rng(5), {}
        for rate in (0.05, 0.005):
            drawn = order.permutation(13)
            for rows in (drawn[:6], drawn[6:]):
                loss = torch.nn.functional.cross_entropy(expected(images[rows]), torch.tensor(labels[rows]).long())
                gradients = torch.autograd.grad(loss, list(expected.parameters()))
                with torch.no_grad():
                    for (name, parameter), gradient in zip(expected.named_parameters(), gradients, strict=True):
                        velocity[name] = 0.9 * velocity.get(name, 0) + gradient + 0.01 * parameter
                        parameter -= rate * velocity[name]
    for (name, parameter), other in zip(model.named_parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(parameter, other, rtol=1e-3, atol=1e-5, msg=name)


def test_each_training_starts_afresh_and_depends_on_its_seed(made, files):
    encoder, images, labels = encoder_and_images(made, files)
    config = DescentConfig(epochs=2, milestones=(), learning_rate=0.01, batch_size=8)
    found = []
    for seed in (0, 1, 0):
        torch.manual_seed(7 + len(found))  # what was drawn before must not matter
        with devices.repeatable(1):
            model = fine_tuning.tune(encoder, images, labels, config, seed)
        found.append(fine_tuning.probabilities(model, images, "32-true", batch_size=5))
    np.testing.assert_array_equal(found[0], found[2])
    assert not np.allclose(found[0], found[1])


def test_augmentation_and_precision_are_used(made, files):
    encoder, images, labels = encoder_and_images(made, files)
    config = DescentConfig(epochs=1, milestones=(), learning_rate=0.05, batch_size=8)
    augmentation = quality_fine_tuning.Config(augment={"gain": 0.5}).augmentation()
    assert quality_fine_tuning.Config().augmentation() is None
    with devices.repeatable(1):
        plain, turned, again = (
            fine_tuning.tune(encoder, images, labels, config, 0, augmentation=how).head.weight
            for how in (None, augmentation, augmentation)
        )
        rough = fine_tuning.tune(encoder, images, labels, config, 0, precision="bf16-mixed")
    assert not torch.equal(plain, turned)
    assert torch.equal(turned, again)
    assert not torch.equal(plain, rough.head.weight)
    torch.testing.assert_close(rough.head.weight, plain, atol=0.02, rtol=0.1)
    assert np.isfinite(fine_tuning.probabilities(rough, images, "bf16-mixed")).all()


def test_samples_are_read_as_the_encoder_is_fed(made, files):
    encoder = encoders.Encoder.load(made["random"], "cpu")
    samples = Samples.open(*files.values())
    rows = np.array([3, 40, 5])
    images = fine_tuning.read(samples, rows, encoder, torch.device("cpu"), "samples")
    plates = samples.plate_index[rows]
    raw = torch.from_numpy(samples.read(rows))
    statistics = (torch.tensor(values[plates], dtype=torch.float32) for values in (samples.means, samples.stds))
    with torch.inference_mode():
        torch.testing.assert_close(encoder(images), encoder.embed(raw, *statistics, samples.intensity_max))
    samples.channels = samples.channels[::-1]
    with pytest.raises(UserError, match="has the channels Actin, DNA; the encoder reads DNA, Actin"):
        fine_tuning.read(samples, rows, encoder, torch.device("cpu"), "samples")


def test_only_labelled_samples_are_read(made, files):
    samples = labelled(files)
    samples.table.loc[40:, "Label_Quality"] = ""
    read, seen = samples.read, []
    samples.read = lambda rows: seen.extend(rows) or read(rows)
    run(made["random"], samples, epochs=1)
    assert max(seen) < 40


@pytest.mark.parametrize("recipe", ["pixel_statistics", "image_quality"])
def test_an_encoder_without_weights_does_not_run(made, files, recipe):
    with pytest.raises(NotRun, match=f"the recipe {recipe} has no weights: there is nothing to tune"):
        run(made[recipe], labelled(files))


def test_another_data_set_is_learnt_from(made, files, tmp_path):
    other = labelled(made_samples.write(tmp_path, plates=1, count=20, size=(32, 32), seed=3))
    found, _ = run(made["random"], other, train=labelled(files))
    score = found["classifier=fine_tuned, labels=20", "accuracy", "none"]
    assert score.n == 20
    assert score.value >= 0.95


def test_the_parts_are_those_of_the_classifiers_on_frozen_features(made, files):
    samples = labelled(files)
    _, tuned = run(made["random"], samples, epochs=1)
    values = np.random.default_rng(0).normal(size=(len(samples), 4))
    table = samples.table.assign(**{f"x_{n:04d}": values[:, n] for n in range(4)})
    config = quality_classification.Config(labels=(20,), test=12, draws=2, classifiers=("knn",))
    _, frozen = quality_classification.evaluate(config, Inputs(embeddings=table), 0)
    tested = [details.loc[details["part"] == "prediction", "item"].tolist() for details in (tuned, frozen)]
    assert tested[0] == tested[1]


def test_the_learning_rate_is_searched(made, files):
    _, details = run(
        made["random"], labelled(files), search={"learning_rate": [1e-9, 0.02]}, learning_rate=1e-8, draws=1, folds=2
    )
    chosen = details[details["part"] == "chosen"]
    assert chosen["key"].tolist() == ["learning_rate"]
    assert chosen["value"].tolist() == [0.02]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.assign(Label_Quality="normal"), "labelled samples are normal"),
        (lambda table: table.assign(Label_Quality=""), "no sample is labelled"),
        (lambda table: table.drop(columns="Label_Quality"), "have no labels"),
        (lambda table: table.assign(Metadata_Plate="P", Metadata_Well="A01"), "lie in so few groups"),
    ],
)
def test_what_cannot_be_evaluated_says_why(made, files, change, message):
    samples = labelled(files)
    samples.table = change(samples.table)
    with pytest.raises(NotRun, match=message):
        run(made["random"], samples)


@pytest.mark.parametrize(
    "keys",
    [
        *({"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0}, {"momentum": 1}, {"milestones": [9, 9]}, {"draws": 0}),
        *({"augment": {"gian": 1}}, {"precision": "16"}, {"search": {"neighbours": [1]}}),
    ],
)
def test_wrong_keys_are_named(keys):
    with pytest.raises(UserError, match=next(iter(keys))):
        plugins.configure(quality_fine_tuning.Config, keys, "evaluations: quality_fine_tuning")


def test_files_are_valid_and_the_same_each_time(made, tmp_path):
    files = made_samples.write(tmp_path / "s", plates=1, count=24, size=(32, 32))
    table = contracts.read_table(files["tables"][0], "samples")
    abnormal = table["Metadata_Well"].str[1:].astype(int) % 2 == 0
    table["Label_Quality"] = np.where(abnormal, "abnormal", "normal")
    contracts.write_table(table, files["tables"][0], "samples", contracts.about(files["tables"][0]))
    keys = {"labels": [10, 4], "test": 6, "draws": 1, "epochs": 2, "milestones": [1]}
    for out in ("a", "b"):
        paths = [tmp_path / f"{out}.csv", tmp_path / f"{out}.parquet"]
        evaluations.make({"use": "quality_fine_tuning", "keys": keys}, files, str(made["random"]), ROW, CPU, *paths)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    scores = contracts.read_scores(tmp_path / "a.csv")
    assert set(scores["settings"]) == {"classifier=fine_tuned, labels=10", "classifier=fine_tuned, labels=4"}
    assert scores[["value", "ci_low", "ci_high"]].stack().between(0, 1).all()
