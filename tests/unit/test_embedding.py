import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from phenorep import contracts, embedding, encoders, pretrain, records, scores
from phenorep.errors import UserError
from tests.unit import made_samples

CONCAT = {"use": "concat"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("embedding")
    files = made_samples.write(folder / "samples")
    pretrain.make(**made_samples.pretrain_arguments(folder, files, "random", {"backbone": "resnet10t"}))
    pretrain.make(**made_samples.pretrain_arguments(folder / "dna", files, "pixel_statistics", {"channels": ["DNA"]}))
    return folder, files


def embed(made, output, encoder="encoder.safetensors", batch_size=5, **options):
    folder, files = made
    compute = {"device": "cpu", "batch_size": batch_size}
    embedding.make(folder / encoder, files["tables"], files["statistics"], compute, 1, output, **options)
    return contracts.read_table(output, "embeddings")


def test_rows_are_the_samples_and_features_are_the_encoders(made, tmp_path):
    table = embed(made, tmp_path / "e.parquet")
    encoder = encoders.Encoder.load(made[0] / "encoder.safetensors")
    samples = [contracts.read_table(path, "samples") for path in made[1]["tables"]]
    assert table["Sample"].tolist() == [name for part in samples for name in part["Sample"]]
    images = np.load(made[0] / "samples" / "P2.npy")
    stated = contracts.about(made[1]["tables"][1])
    means, stds = (torch.tensor(stated[key]).expand(len(images), -1) for key in ("mean", "std"))
    expected = encoder.embed(torch.from_numpy(images), means, stds).numpy()
    found = table.loc[table["Metadata_Plate"] == "P2", contracts.feature_names("random", 512)]
    assert (found.dtypes == np.float32).all()
    np.testing.assert_allclose(found.to_numpy(), expected, atol=1e-5)


def test_one_row_group_for_each_plate_and_all_columns_of_the_samples(made, tmp_path):
    table = embed(made, tmp_path / "e.parquet")
    assert pq.ParquetFile(tmp_path / "e.parquet").num_row_groups == 2
    columns = set(contracts.columns_of(made[1]["tables"][0])) - {"Checksum"}
    assert set(table.columns) == columns | set(contracts.feature_names("random", 512))
    about = contracts.about(tmp_path / "e.parquet")
    assert about["encoder"] == encoders.metadata(made[0] / "encoder.safetensors")
    assert list(about["blocks"]) == ["random"]


def test_an_encoder_of_samples_that_were_made_anew_is_named(tmp_path, capsys):
    """Its GPU hours are kept; the embeddings, and the scores that follow from them, say so."""
    files = made_samples.write(tmp_path / "samples")
    keys = {"backbone": "resnet10t", "epochs": 1, "batch_size": 8}
    pretrain.make(**made_samples.pretrain_arguments(tmp_path, files, "simclr", keys))
    encoder, name = tmp_path / "encoder.safetensors", encoders.metadata(tmp_path / "encoder.safetensors")["trained_on"][0]
    assert name["sums"] == {
        plate: np.load(tmp_path / f"samples/{plate}.npy").sum((0, 2, 3)).tolist() for plate in ("P1", "P2")
    }

    def trained_on(files: dict, sample_set: str | None) -> str:
        arguments = by_name(files) | {"sample_set": sample_set, "output": tmp_path / "e.parquet"}
        embedding.make(encoder, **arguments)
        return scores.trained_on_text(contracts.about(tmp_path / "e.parquet"))

    assert trained_on(files, name["samples"]) == name["samples"]
    # One plate is as it was.
    other = made_samples.write(tmp_path / "other", seed=1)
    changed = {kind: [files[kind][0], other[kind][1]] for kind in files}
    assert trained_on(changed, name["samples"]) == f"{name['samples']}, changed since"
    assert "1 plates differ" in capsys.readouterr().out
    assert contracts.about(tmp_path / "e.parquet")["encoder"]["trained_on"][0]["changed"] == ["P2"]
    # Samples of another set are no earlier version of these.
    assert trained_on(other, "other/cells") == trained_on(other, None) == name["samples"]


def test_batch_size_changes_nothing(made, tmp_path):
    one, all_at_once = (embed(made, tmp_path / f"{size}.parquet", batch_size=size) for size in (1, 100))
    features = contracts.feature_columns(one.columns)
    np.testing.assert_allclose(one[features], all_at_once[features], atol=1e-5)


def test_a_record_that_did_not_run_is_passed_on(made, tmp_path):
    records.write(tmp_path / "encoder.safetensors", "the weights are not there", "weights")
    embedding.make(tmp_path / "encoder.safetensors", **by_name(made[1]), output=tmp_path / "e.parquet")
    assert contracts.not_run(tmp_path / "e.parquet") == "the weights are not there"


def by_name(files):
    return {**files, "compute": {"device": "cpu"}, "threads": 1}


def test_samples_of_other_channels_are_refused_unless_named(made, tmp_path):
    files = made_samples.write(tmp_path / "other", channels=("Actin", "DNA"))
    with pytest.raises(UserError, match="has the channels Actin, DNA; the encoder reads DNA, Actin"):
        embedding.make(made[0] / "encoder.safetensors", **by_name(files), output=tmp_path / "e.parquet")
    assert not (tmp_path / "e.parquet").exists()
    embedding.make(
        made[0] / "encoder.safetensors", **by_name(files), output=tmp_path / "e.parquet", channels=["DNA", "Actin"]
    )
    assert contracts.about(tmp_path / "e.parquet")["blocks"]["random"]["channels"] == ["DNA", "Actin"]


def test_encoder_of_one_channel_reads_that_channel(made, tmp_path):
    table = embed(made, tmp_path / "e.parquet", "dna/encoder.safetensors")
    images = np.load(made[0] / "samples" / "P1.npy")[:, 0]
    stated = contracts.about(made[1]["tables"][0])
    expected = (images.mean(axis=(1, 2)) - stated["mean"][0]) / stated["std"][0]
    first = contracts.feature_columns(table.columns)[0]
    np.testing.assert_allclose(table.loc[table["Metadata_Plate"] == "P1", first], expected, atol=1e-4)


def test_members_stand_side_by_side_as_blocks(made, tmp_path):
    first = embed(made, tmp_path / "a.parquet")
    second = embed(made, tmp_path / "b.parquet", "dna/encoder.safetensors")
    embedding.combine([tmp_path / "a.parquet", tmp_path / "b.parquet"], ["all", "dna"], tmp_path / "both.parquet", CONCAT)
    both = contracts.read_table(tmp_path / "both.parquet", "embeddings")
    blocks = contracts.feature_blocks(both.columns)
    assert {name: len(columns) for name, columns in blocks.items()} == {"all": 512, "dna": second.shape[1] - 6}
    np.testing.assert_array_equal(both[blocks["all"]], first[contracts.feature_columns(first.columns)])
    np.testing.assert_array_equal(both[blocks["dna"]], second[contracts.feature_columns(second.columns)])
    assert pq.ParquetFile(tmp_path / "both.parquet").num_row_groups == 2
    assert list(contracts.about(tmp_path / "both.parquet")["blocks"]) == ["all", "dna"]


def test_members_of_other_samples_are_refused(made, tmp_path):
    embed(made, tmp_path / "a.parquet")
    files = made_samples.write(tmp_path / "other", count=10)
    embedding.make(made[0] / "encoder.safetensors", **by_name(files), output=tmp_path / "b.parquet")
    with pytest.raises(UserError, match=r"b\.parquet holds other samples"):
        embedding.combine([tmp_path / "a.parquet", tmp_path / "b.parquet"], ["a", "b"], tmp_path / "both.parquet", CONCAT)


def test_a_member_that_did_not_run_stops_the_combination(made, tmp_path):
    embed(made, tmp_path / "a.parquet")
    contracts.write_not_run(tmp_path / "b.parquet", "no weights")
    embedding.combine([tmp_path / "a.parquet", tmp_path / "b.parquet"], ["a", "b"], tmp_path / "both.parquet", CONCAT)
    assert contracts.not_run(tmp_path / "both.parquet") == "its member b did not run: no weights"


def test_members_that_are_combined_themselves_give_a_block_for_each_of_theirs(made, tmp_path):
    first = embed(made, tmp_path / "a.parquet")
    embed(made, tmp_path / "b.parquet", "dna/encoder.safetensors")
    a, b, inner, outer = (tmp_path / f"{name}.parquet" for name in ("a", "b", "inner", "outer"))
    embedding.combine([a, b], ["all", "dna"], inner, CONCAT)
    embedding.combine([inner, a], ["both", "again"], outer, CONCAT)
    blocks = contracts.feature_blocks(contracts.columns_of(outer))
    assert list(blocks) == ["both_all", "both_dna", "again"]
    table = contracts.read_table(outer, "embeddings")
    for block in ("both_all", "again"):
        np.testing.assert_array_equal(table[blocks[block]], first[contracts.feature_columns(first.columns)])
    about = contracts.about(outer)
    assert set(about["blocks"]) == set(blocks)
    assert about["encoder"]["members"]["both"]["members"]["dna"]["recipe"] == "pixel_statistics"


def test_saved_epochs_of_a_recipe_that_cannot_run_say_why(made, tmp_path):
    """The samples have no mechanisms to learn from: neither has the encoder of any epoch."""
    keys = {"weak_label": "moa", "epochs": 4, "save_epochs": {"every": 1, "from": 0, "to": 2}, "warmup_epochs": 0}
    pretrain.make(**made_samples.pretrain_arguments(tmp_path, made[1], "dino", keys))
    assert sorted(path.name for path in (tmp_path / "epochs").iterdir()) == [f"{n}.safetensors" for n in (0, 1, 2)]
    for encoder in ("encoder.safetensors", "epochs/2.safetensors"):
        embedding.make(tmp_path / encoder, **by_name(made[1]), output=tmp_path / "e.parquet")
        assert "needs the column Metadata_MoA" in contracts.not_run(tmp_path / "e.parquet")
