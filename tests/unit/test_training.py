import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from phenorep import contracts, devices, encoders, plugins, pretrain, training
from phenorep.batches import ReadAhead, Source, Sources
from phenorep.checkpoints import Checkpoint
from phenorep.errors import UserError
from phenorep.recipes import PretrainConfig, Recipe
from phenorep.store import Samples
from tests.unit import killed, made_samples

KEYS = {"backbone": "resnet10t", "epochs": 3, "batch_size": 8, "warmup_epochs": 1, "projector": [16], "learning_rate": 0.01}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return made_samples.write(tmp_path_factory.mktemp("samples"), channels=("DNA", "Actin", "Tubulin"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, files):
    """A training from start to end, with the encoders of epochs 0 and 2."""
    folder = tmp_path_factory.mktemp("undisturbed")
    pretrain.make(**made_samples.pretrain_arguments(folder, files, "simclr", {**KEYS, "save_epochs": [0, 2]}))
    return folder


def opened(files):
    return Samples.open(files["tables"], files["statistics"])


def weights(folder):
    return load_file(folder / "encoder.safetensors")


def assert_same(first, second):
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(("steps", "minutes"), [(4, 10), (5, 0), (8, 0)])
def test_killed_training_goes_on_to_the_same_encoder(tmp_path, files, undisturbed, monkeypatch, capsys, steps, minutes):
    """After 4 of 9 steps from the last epoch's end; after 5 and 8 from within an epoch."""
    arguments = made_samples.pretrain_arguments(tmp_path, files, "simclr", {**KEYS, "save_epochs": [0, 2]})
    arguments["compute"] = {"device": "cpu", "checkpoint_minutes": minutes}
    killed.kill(monkeypatch, arguments, steps)
    assert (tmp_path / "checkpoint.pt").is_file()
    assert not (tmp_path / "encoder.safetensors").exists()
    pretrain.make(**arguments)
    assert "training goes on at epoch" in capsys.readouterr().out
    assert (tmp_path / "encoder.safetensors").read_bytes() == (undisturbed / "encoder.safetensors").read_bytes()
    assert (tmp_path / "epochs/2.safetensors").read_bytes() == (undisturbed / "epochs/2.safetensors").read_bytes()
    curves = [pd.read_csv(folder / "training.csv") for folder in (tmp_path, undisturbed)]
    pd.testing.assert_frame_equal(*[curve[["epoch", "loss", "learning_rate"]] for curve in curves], check_exact=True)


def test_killed_between_the_last_epoch_and_the_outputs(tmp_path, files, undisturbed, monkeypatch):
    arguments = made_samples.pretrain_arguments(tmp_path, files, "simclr", {**KEYS, "save_epochs": [0, 2]})
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "deliver_epochs", lambda *given: (_ for _ in ()).throw(killed.Killed))
        with pytest.raises(killed.Killed):
            pretrain.make(**arguments)
    (tmp_path / "encoder.safetensors").unlink()  # Snakemake removes what an interrupted job declared
    pretrain.make(**arguments)
    assert_same(weights(tmp_path), weights(undisturbed))
    assert sorted(path.name for path in (tmp_path / "epochs").iterdir()) == ["0.safetensors", "2.safetensors"]


def test_outputs_are_complete_and_nothing_is_left_over(undisturbed):
    names = sorted(str(path.relative_to(undisturbed)) for path in undisturbed.rglob("*") if path.is_file())
    assert names == ["encoder.safetensors", "epochs/0.safetensors", "epochs/2.safetensors", "training.csv"]
    curve = pd.read_csv(undisturbed / "training.csv")
    assert tuple(curve.columns) == contracts.TRAINING_COLUMNS
    assert curve["epoch"].tolist() == [1, 2, 3]
    assert np.isfinite(curve.to_numpy()).all()
    facts = encoders.metadata(undisturbed / "encoder.safetensors")
    assert (facts["epoch"], facts["features"], facts["seed"]) == (3, 512, 0)
    assert facts["versions"].keys() == {"phenorep", "torch", "timm"}
    assert encoders.metadata(undisturbed / "epochs/2.safetensors")["epoch"] == 2
    assert encoders.Encoder.load(undisturbed / "epochs/0.safetensors").channels == ["DNA", "Actin", "Tubulin"]


def test_same_configuration_same_weights_and_another_seed_others(tmp_path, files, undisturbed):
    for seed in (0, 1):
        arguments = made_samples.pretrain_arguments(tmp_path / str(seed), files, "simclr", {**KEYS, "save_epochs": [0, 2]})
        pretrain.make(**{**arguments, "seed": seed})
    assert (tmp_path / "0/encoder.safetensors").read_bytes() == (undisturbed / "encoder.safetensors").read_bytes()
    other, first = weights(tmp_path / "1"), weights(tmp_path / "0")
    assert not torch.equal(other["conv1.0.weight"], first["conv1.0.weight"])


def test_training_changes_the_weights(undisturbed):
    before = load_file(undisturbed / "epochs/0.safetensors")
    after = weights(undisturbed)
    assert all(not torch.equal(before[name], after[name]) for name in before if name.endswith("conv1.weight"))


@pytest.mark.parametrize("change", ["configuration", "samples", "code"])
def test_checkpoint_of_another_training_is_not_taken_up(tmp_path, files, monkeypatch, capsys, change):
    keys = {**KEYS, "epochs": 1}
    arguments = made_samples.pretrain_arguments(tmp_path, files, "simclr", keys)
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "clear", lambda self: None)
        pretrain.make(**arguments)
    assert (tmp_path / "checkpoint.pt").is_file()
    if change == "configuration":
        arguments["method"] = {"use": "simclr", "keys": {**keys, "temperature": 0.1}}
    elif change == "samples":
        other = made_samples.write(tmp_path / "other", channels=("DNA", "Actin", "Tubulin"), seed=1)
        arguments["sources"] = [{**arguments["sources"][0], **other}]
    else:
        arguments["code"] = "changed"
    capsys.readouterr()
    pretrain.make(**arguments)
    told = capsys.readouterr().out
    assert "of another configuration or of other samples" in told
    assert "epoch 1: loss" in told


def test_damaged_checkpoint_is_not_taken_up(tmp_path, capsys):
    (tmp_path / "checkpoint.pt").write_bytes(b"half written")
    assert Checkpoint(tmp_path / "checkpoint.pt", "").load() is None
    assert "cannot be read" in capsys.readouterr().out


def test_learning_rate_rises_and_falls_as_a_cosine():
    config = PretrainConfig(epochs=5, warmup_epochs=1, learning_rate=0.1, final_learning_rate=0.02)
    rates = [config.learning_rate_at(step, 10) for step in range(50)]
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) / 100)
    assert rates[10] == pytest.approx(0.1)
    assert rates[30] == pytest.approx(0.06)
    assert all(first > second for first, second in itertools.pairwise(rates[10:]))
    assert rates[-1] == pytest.approx(0.02, abs=1e-3)


def test_batches_cover_an_epoch_once_over_all_devices():
    order = np.random.default_rng(0).permutation(50)
    shares = [training.split(order, 16, rank, 2) for rank in (0, 1)]
    assert [len(batch) for batch in shares[0]] == [8, 8, 8]
    np.testing.assert_array_equal(np.sort(np.concatenate([*shares[0], *shares[1]])), np.sort(order[:48]))
    assert [len(batch) for batch in training.split(order, 64)] == [50]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "epochs must"),
        ({"batch_size": 1}, "batch_size must"),
        ({"warmup_epochs": 9}, "warmup_epochs must not exceed epochs"),
        ({"save_epochs": [9]}, "save_epochs must"),
        ({"save_epochs": {"evry": 2}}, "save_epochs must"),
        ({"augment": {"flip": True}}, "Did you mean 'flips'"),
        ({"channels": ["DNA", "DNA"]}, "channels must"),
        ({"optimiser": "adm"}, "Did you mean 'adam'"),
    ],
)
def test_wrong_configuration_is_named(tmp_path, files, values, message):
    with pytest.raises(UserError, match=f"methods: simclr: .*{message}"):
        pretrain.make(**made_samples.pretrain_arguments(tmp_path, files, "simclr", values))


def test_saved_epochs():
    assert PretrainConfig(epochs=12, save_epochs={"every": "5"}).saved_epochs() == [5, 10]
    assert PretrainConfig(epochs=12, save_epochs=(12, 0, 3)).saved_epochs() == [0, 3, 12]
    assert PretrainConfig().saved_epochs() == []


def test_training_that_diverges_says_so(tmp_path, files):
    keys = {**KEYS, "learning_rate": 1e30, "epochs": 1, "warmup_epochs": 0}
    with pytest.raises(UserError, match=r"training has failed\. Lower learning_rate"):
        pretrain.make(**made_samples.pretrain_arguments(tmp_path, files, "simclr", keys))
    assert not (tmp_path / "encoder.safetensors").exists()


def test_a_gpu_that_is_not_there_is_an_error(tmp_path, files, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    arguments = made_samples.pretrain_arguments(tmp_path, files, "simclr", KEYS)
    with pytest.raises(UserError, match=r"sees 0 GPU\(s\). Set device: cpu"):
        pretrain.make(**{**arguments, "compute": {"device": "cuda"}})


def test_auto_says_what_it_took(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices.accelerator(devices.configure({"device": "auto"})) == "cpu"
    assert "takes the CPU" in capsys.readouterr().out
    with pytest.raises(UserError, match="Did you mean 'device'"):
        devices.configure({"devise": "cpu"})


def test_threads_and_algorithms_are_set_and_given_back():
    before = torch.get_num_threads()
    with devices.repeatable(2):
        assert torch.get_num_threads() == 2
        assert torch.are_deterministic_algorithms_enabled()
    assert torch.get_num_threads() == before
    assert not torch.are_deterministic_algorithms_enabled()


def test_starting_from_another_encoder(tmp_path, files, undisturbed):
    start = str(undisturbed / "encoder.safetensors")
    keys = {**KEYS, "epochs": 1, "save_epochs": [0]}
    pretrain.make(**made_samples.pretrain_arguments(tmp_path, files, "simclr", keys, init=start))
    assert_same(load_file(tmp_path / "epochs/0.safetensors"), weights(undisturbed))
    assert len(encoders.metadata(tmp_path / "encoder.safetensors")["trained_on"]) == 2
    assert len(encoders.metadata(tmp_path / "epochs/0.safetensors")["trained_on"]) == 1  # what its start had seen


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"backbone": "resnet14t"}, "has no weights|shape|no place for"),
        ({"channels": ["Actin", "DNA", "Tubulin"]}, "Names and order"),
    ],
)
def test_starting_from_an_encoder_that_does_not_fit(tmp_path, files, undisturbed, keys, message):
    arguments = made_samples.pretrain_arguments(tmp_path, files, "simclr", {**KEYS, **keys})
    with pytest.raises(UserError, match=message):
        pretrain.make(**{**arguments, "init": str(undisturbed / "encoder.safetensors")})


def test_sources_are_joined_with_their_labels(tmp_path, files):
    other = made_samples.write(
        tmp_path / "other", plates=1, channels=("DNA", "Actin", "Tubulin"), intensity_max=None, seed=3
    )
    labelled = Source.choose("made/cells", opened(files), "Split_fold == 'train'", "Metadata_Compound")
    plain = Source.choose("made/other", opened(other))
    sources = Sources([labelled, plain], ("Tubulin", "DNA"))
    assert sources.classes == ["A", "B"]
    table = opened(files).table
    kept = table[table["Split_fold"] == "train"].reset_index(drop=True)
    code = kept["Metadata_Compound"].map({"A": 0, "B": 1, "": -1}).tolist()
    assert sources.labels.tolist() == code + [-1] * 12
    rows = np.array([len(kept) + 5, 0, len(kept) - 1])
    batch = sources.read(rows)
    assert batch.rows.tolist() == [0, len(kept) - 1, len(kept) + 5]
    first = np.load(Path(files["tables"][0]).with_suffix(".npy"))[table.index[table["Sample"] == kept["Sample"][0]][0]]
    np.testing.assert_array_equal(batch.images[0].numpy(), first[[2, 0]])
    stated = json.loads(Path(other["statistics"][0]).read_text())
    np.testing.assert_allclose(batch.means[2], [stated["mean"][2], stated["mean"][0]], rtol=1e-6)
    scaled = batch.scaled("range")
    torch.testing.assert_close(scaled[2], batch.images[2].float() / 65535)
    torch.testing.assert_close(scaled[0], batch.images[0].float() / 4095)


def test_file_states_which_labels_and_wells_were_shown(tmp_path, files):
    source = {"samples": "made/cells", "where": "Metadata_Plate == 'P1' and Metadata_Compound != 'B'", **files}
    arguments = made_samples.pretrain_arguments(tmp_path, files, "simclr", {**KEYS, "epochs": 1})
    pretrain.make(**{**arguments, "sources": [{**source, "labels": "Metadata_Compound"}]})
    (stated,) = encoders.metadata(tmp_path / "encoder.safetensors")["trained_on"]
    assert stated["shown"] == {"Metadata_Compound": ["A"]}
    assert stated["compounds"] == ["A"]
    assert stated["wells"] == ["P1/A01", "P1/A02", "P1/A04", "P1/A05"]


@pytest.mark.parametrize(
    ("where", "labels", "message"),
    [
        ("Split_fld == 'train'", None, "where: there is no column .*Did you mean 'Split_fold'"),
        ("Split_fold == 'never'", None, "is true for none of the 24 rows"),
        (None, "Metadata_Compund", "Did you mean 'Metadata_Compound'"),
    ],
)
def test_wrong_source_is_named(files, where, labels, message):
    with pytest.raises(UserError, match=f"train: made/cells: .*{message}"):
        Source.choose("made/cells", opened(files), where, labels)


@pytest.mark.parametrize("different", [{"channels": ("DNA", "Tubulin", "Actin")}, {"size": (24, 32)}])
def test_sources_that_differ_are_named(tmp_path, files, different):
    other = made_samples.write(tmp_path, **{"channels": ("DNA", "Actin", "Tubulin"), **different})
    with pytest.raises(UserError, match=r"made/cells has .* other/cells has"):
        Sources([Source.choose("made/cells", opened(files)), Source.choose("other/cells", opened(other))])


def test_missing_channel_is_named(files):
    with pytest.raises(UserError, match=r"has no channel 'Actn'\. Did you mean 'Actin'"):
        Sources([Source.choose("made/cells", opened(files))], ("Actn",))


def test_an_error_while_reading_reaches_the_trainer():
    class Damaged:
        def read(self, rows):
            raise OSError("disk")

    reader = ReadAhead(Damaged(), [np.array([0, 1])])
    with pytest.raises(OSError, match="disk"):
        list(reader)
    assert not reader._thread.is_alive()


def test_reading_ahead_stops_when_it_is_left_early(files):
    sources = Sources([Source.choose("made/cells", opened(files))])
    reader = ReadAhead(sources, [np.array([number]) for number in range(20)])
    for _ in reader:
        break
    reader._thread.join(timeout=5)
    assert not reader._thread.is_alive()


@dataclass(frozen=True)
class ToyConfig(PretrainConfig):
    skip: bool = False  # skip each second batch


class Toy(Recipe):
    """Notes the order of its calls; learns to tell labels apart."""

    def setup(self):
        self.head = torch.nn.Linear(self.features, self.classes)
        self.teacher = torch.nn.Parameter(torch.zeros(1), requires_grad=False)
        self.calls = []

    def training_step(self, batch):
        self.calls.append("step")
        if self.config.skip and self.calls.count("step") % 2 == 0:
            return None
        known = batch.labels >= 0
        return torch.nn.functional.cross_entropy(self.head(self.encoder(batch.images[known])), batch.labels[known])

    def on_epoch_start(self, epoch, batches):
        self.calls.append(("epoch", epoch, torch.cat([batch.rows for batch in batches()]).tolist()))

    def on_step_end(self, progress):
        self.teacher += 1
        self.calls.append("end")


def trained_toy(tmp_path, files, **keys):
    config = ToyConfig(backbone="resnet10t", epochs=2, batch_size=8, learning_rate=0.01, optimiser="adamw", **keys)
    sources = Sources([Source.choose("made/cells", opened(files), labels="Metadata_Compound")])
    recipe = pretrain.build(Toy, config, sources, seed=0)
    fabric = devices.fabric(devices.configure({"device": "cpu"}), config.precision)
    with devices.repeatable(1):
        history = training.Training(recipe, sources, fabric, 0, Checkpoint(tmp_path / "c.pt", ""), keep=None).run()
    return recipe, history


def test_hooks_are_called_in_order(tmp_path, files):
    recipe, _ = trained_toy(tmp_path, files)
    everything = list(range(24))
    assert recipe.calls == [call for epoch in (1, 2) for call in [("epoch", epoch, everything), *(["step", "end"] * 3)]]
    assert recipe.teacher.item() == 6


def test_a_batch_that_is_skipped_is_no_step(tmp_path, files):
    recipe, history = trained_toy(tmp_path, files, skip=True)
    assert recipe.calls.count("end") == 3
    assert all(np.isfinite(row["loss"]) for row in history)


def test_mixed_precision_trains(tmp_path, files):
    _, history = trained_toy(tmp_path, files, precision="bf16-mixed")
    assert all(np.isfinite(row["loss"]) for row in history)


@pytest.mark.parametrize("recipe", ["simclr", "barlow_twins", "vicreg", "deepcluster_v2", "swav"])
def test_augmented_views_train_in_mixed_precision(tmp_path, files, recipe):
    keys = {"backbone": "resnet10t", "epochs": 1, "warmup_epochs": 0, "batch_size": 8, "projector": [16, 8]}
    keys |= {"prototypes": 4} if "prototypes" in plugins.config_keys("methods", recipe) else {}
    pretrain.make(**made_samples.pretrain_arguments(tmp_path, files, recipe, {**keys, "precision": "bf16-mixed"}))
    assert np.isfinite(pd.read_csv(tmp_path / "training.csv")["loss"]).all()


def test_too_few_samples_are_an_error(tmp_path, files):
    source = {"samples": "made/cells", "where": "Sample == 'P1/A01/1/0'", "labels": None, **files}
    arguments = made_samples.pretrain_arguments(tmp_path, files, "simclr", KEYS)
    with pytest.raises(UserError, match="at least 2 samples; there are 1"):
        pretrain.make(**{**arguments, "sources": [source]})
