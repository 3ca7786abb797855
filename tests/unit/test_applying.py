"""An encoder gives, outside the workflow, what it gives inside; what does not fit is a message."""

import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from phenorep import applying, cli, contracts, embedding, encoders, loose_crops, pretrain, profiles, records
from phenorep.errors import UserError
from tests.unit import made_plate, made_samples

SIZE = 32


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A plate as the workflow's jobs treat it, up to the embeddings of an untrained network."""
    root = tmp_path_factory.mktemp("applying")
    plate = made_plate.make_plate(root / "plate").prepare()
    results = root / "results/mine"
    cells = plate.cut("cells", size=SIZE, edge="pad")
    shutil.copytree(plate.folder / "cells", results / "samples/cells")
    cells = made_plate.sample_paths(results / "samples/cells")
    files = {"tables": [str(cells.table)], "statistics": [str(cells.statistics)]}
    encoder = results / "encoders/cells/random/seed0"
    pretrain.make(**made_samples.pretrain_arguments(encoder, files, "random", {"backbone": "resnet10t"}))
    pretrain.make(
        **made_samples.pretrain_arguments(
            root / "actin", files, "pixel_statistics", {"channels": ["Actin"], "scaling": "range"}
        )
    )
    output = results / "embeddings/cells/random/seed0/final.parquet"
    embedding.make(encoder / "encoder.safetensors", **files, compute={"device": "cpu"}, threads=1, output=output)
    # As `phenorep table` names them: by the microscope's codes.
    fields = contracts.read_table(plate.fields, "fields")
    fields = fields.rename(columns={"FileName_DNA": "FileName_w1", "PathName_DNA": "PathName_w1"})
    wanted = ("Metadata_", "Label_", "FileName_", "PathName_")
    fields[[name for name in fields if name.startswith(wanted)]].to_csv(root / "plates.csv", index=False)
    return SimpleNamespace(
        root=root, plate=plate, cells=cells, encoder=str(encoder / "encoder.safetensors"), expected=output,
        actin=str(root / "actin/encoder.safetensors"), table=str(root / "plates.csv"),
    )  # fmt: skip


def embed(made, images, output, encoder=None, **options):
    """Embeddings as a table; options as the command line gives them."""
    given = {"encoder": encoder or made.encoder, "images": [str(path) for path in images], "output": str(output)}
    said = applying.make({**given, "device": "cpu", "threads": 1, **options})
    assert str(output) in said
    return contracts.read_table(output, "embeddings") if output.suffix == ".parquet" else pd.read_csv(output)


def cut(made, output, **options):
    return embed(made, [made.table], output, **{"channels": "w1=DNA", **options})


def features(table: pd.DataFrame) -> np.ndarray:
    return table[contracts.feature_columns(table.columns)].to_numpy()


def test_a_table_of_fields_gives_the_numbers_of_the_workflow(made, tmp_path, capsys):
    found, expected = cut(made, tmp_path / "new.parquet"), contracts.read_table(made.expected, "embeddings")
    assert found["Sample"].tolist() == expected["Sample"].tolist()
    assert found.columns.tolist() == expected.columns.tolist()
    np.testing.assert_allclose(features(found), features(expected), rtol=0, atol=1e-6)
    assert features(expected).std() > 0.01
    assert contracts.about(tmp_path / "new.parquet") == contracts.about(made.expected)
    said = capsys.readouterr().out
    assert "samples: nuclei (size 32, edge pad, border drop, neighbours keep), as" in said
    assert "channels: DNA (here w1), Actin, in the encoder's order, of DNA, Actin" in said
    assert [path.name for path in tmp_path.iterdir()] == ["new.parquet"]


def test_the_sampling_can_be_said_in_other_ways(made, tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text(
        "samples: {padded: {use: nuclei, size: 32, edge: pad}, part: {of: padded}}\npreprocess: {engine: cellprofiler}\n"
    )
    expected = features(contracts.read_table(made.expected, "embeddings"))
    config = {"config": str(tmp_path / "mine.yaml")}
    for number, options in enumerate(
        ({"samples": "nuclei:size=32,edge=pad"}, {**config, "samples": "padded"}, {**config, "samples": "part"})
    ):
        found = cut(made, tmp_path / f"{number}.parquet", **options)
        np.testing.assert_allclose(features(found), expected, rtol=0, atol=1e-6)
    assert "WARNING" not in capsys.readouterr().out


def test_without_correction_the_numbers_are_others(made, tmp_path):
    found = cut(made, tmp_path / "raw.parquet", illumination="none")
    expected = contracts.read_table(made.expected, "embeddings")
    both = found.merge(expected, on="Sample", suffixes=("", "_corrected"))
    assert len(both) > 10
    assert np.abs(both["random_0000"] - both["random_0000_corrected"]).max() > 1e-4


def test_samples_that_are_cut_already_are_taken_as_they_are(made, tmp_path):
    found = embed(made, [made.cells.array, made.cells.table], tmp_path / "new.parquet")
    np.testing.assert_allclose(
        features(found), features(contracts.read_table(made.expected, "embeddings")), rtol=0, atol=1e-6
    )


def test_crops_of_any_kind_give_the_same_numbers(made, tmp_path):
    crops = np.load(made.cells.array)
    expected = features(contracts.read_table(made.expected, "embeddings"))
    (tmp_path / "first").mkdir()
    (tmp_path / "last").mkdir()
    for number, crop in enumerate(crops):
        tifffile.imwrite(
            tmp_path / f"first/{number}.tif", crop, byteorder=">", metadata={"axes": "CYX"}, photometric="minisblack"
        )
        np.save(tmp_path / f"last/{number}.npy", np.moveaxis(crop, 0, -1))
    np.save(tmp_path / "many.npy", crops)
    for place in ("first", "last", "many.npy"):
        found = embed(made, [tmp_path / place], tmp_path / f"{place}.parquet", channels="DNA,Actin")
        np.testing.assert_allclose(features(found), expected, rtol=0, atol=1e-6)
        assert found["Sample"].is_unique
    assert found["Sample"][0].endswith("many.npy/1")
    assert found["Metadata_Plate"].unique().tolist() == [(tmp_path / "many").as_posix()]


def test_channels_are_found_by_name_whatever_their_order(made, tmp_path):
    crops = np.load(made.cells.array)
    np.save(tmp_path / "swapped.npy", crops[:, ::-1])
    expected = features(contracts.read_table(made.expected, "embeddings"))
    found = embed(made, [tmp_path / "swapped.npy"], tmp_path / "new.parquet", channels="Actin,DNA")
    np.testing.assert_allclose(features(found), expected, rtol=0, atol=1e-6)
    wrong = embed(made, [tmp_path / "swapped.npy"], tmp_path / "wrong.parquet", channels="DNA,Actin")
    assert np.abs(features(wrong) - expected).max() > 1e-3


def test_an_encoder_of_one_channel_takes_it_from_a_table_of_more(made, tmp_path, capsys):
    found = cut(made, tmp_path / "new.parquet", encoder=made.actin, samples="nuclei:size=32,edge=pad")
    crops = np.load(made.cells.array)[:, 1] / 4095
    np.testing.assert_allclose(features(found)[:, 0], crops.mean(axis=(1, 2)), atol=1e-5)
    assert "divided by 4095" in capsys.readouterr().out


def test_photographs_of_three_colours_are_crops_too(made, tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (4, 16, 20, 3), dtype=np.uint8)
    for number, image in enumerate(colours):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    found = embed(
        made, [tmp_path], tmp_path / "new.parquet", encoder=made.actin, channels="DNA,Actin,Other", intensity_max=255
    )
    np.testing.assert_allclose(features(found)[:, 0], colours[..., 1].mean(axis=(1, 2)) / 255, atol=1e-5)


def test_what_is_written_goes_through_normalise(made, tmp_path):
    steps = [{"tvn": {"fit": "all", "components": 5}}, {"aggregate": {"by": "well", "with": "mean"}}]
    profiles.make(made.expected, steps, tmp_path / "old.parquet", tmp_path / "old.npz")
    cut(made, tmp_path / "new.parquet")
    assert cli.main(["normalise", *(str(tmp_path / name) for name in ("new.parquet", "old.npz", "applied.parquet"))]) == 0
    old, new = (contracts.read_table(tmp_path / name, "profiles") for name in ("old.parquet", "applied.parquet"))
    np.testing.assert_allclose(features(new), features(old), atol=1e-3)


def test_a_csv_holds_the_same(made, tmp_path):
    found = embed(made, [made.cells.array], tmp_path / "new.csv")
    expected = contracts.read_table(made.expected, "embeddings")
    assert found.columns.tolist() == expected.columns.tolist()
    np.testing.assert_allclose(features(found), features(expected), rtol=0, atol=1e-6)


def test_an_encoder_of_another_size_says_so(made, tmp_path, capsys):
    cut(made, tmp_path / "new.parquet", samples="nuclei:size=16,edge=pad")
    assert "WARNING: the samples are 16 x 16 pixels, those that the encoder was made for 32 x 32" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": None}, "there is no channel DNA, which the encoder reads; there are w1, Actin. Say which is which"),
        ({"channels": "w3=DNA"}, "has no channel 'w3'; it has w1, Actin"),
        ({"channels": "w1=Actin"}, "w1 and Actin of the table would both be the channel Actin. Name the one that is meant"),
        ({"channels": "w1=DNA,Actin=DNA"}, "w1 and Actin of the table would both be the channel DNA"),
        ({"rename": "Metadata_Wel=Metadata_Well"}, "rename: there is no column 'Metadata_Wel'"),
        ({"plates": "P1,P7"}, "plates: 'P7' is no plate of"),
        ({"time": "2"}, "there is no column of time points"),
        ({"samples": "nucleus:size=16"}, "there is no strategy 'nucleus'"),
        ({"samples": "nuclei:sizes=16"}, "unknown key 'sizes'. Did you mean 'size'?"),
        ({"samples": "nuclei:size"}, "expected a strategy and its keys"),
        ({"samples": "tiles:size=500"}, "do not fit into images of 120 x 150"),
        ({"samples": "nuclei:size=119"}, "not one window lies inside the images"),
        ({"intensity_max": 70000}, "intensity_max must lie between"),
        ({"output": "new.xlsx"}, "written as .parquet or .csv"),
        ({"images": ["gone.csv"]}, "gone.csv: there is no such file"),
        ({"images": ["a.csv", "b.csv"]}, "one table of fields at a time"),
        ({"config": "gone.yaml"}, "gone.yaml: cannot be read"),
        ({"device": "cuda", "batch_size": 0}, "batch_size must be at least 1"),
        ({"encoder": "gone.safetensors"}, "gone.safetensors: there is no such file"),
        ({"plate_map": "gone.csv"}, "gone.csv: there is no such file"),
    ],
)
def test_what_does_not_fit_is_a_message_and_nothing_is_written(made, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    given = {"encoder": made.encoder, "images": [made.table], "output": "new.parquet", "channels": "w1=DNA"}
    with pytest.raises(UserError) as found:
        applying.make({**given, "device": "cpu", "threads": 1, **options})
    assert message in str(found.value)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def fields(made, tmp_path):
    """A function that writes the table of fields, changed, and its path."""

    def write(change):
        (tmp_path / "plates.csv").write_text(change(pd.read_csv(made.table, dtype=str)).to_csv(index=False))
        return tmp_path / "plates.csv"

    return write


def timed(table):
    """Each field at two time points, of which the second has no images."""
    later = table.assign(Metadata_Timepoint="1", FileName_w1="gone.tif", FileName_Actin="gone.tif")
    return pd.concat([table.assign(Metadata_Timepoint="0"), later])


def renamed(table):
    return table.rename(columns={"Metadata_Plate": "Plate", "Metadata_Well": "Well"})


def moved(table):
    return table.assign(PathName_w1="D:\\images", PathName_Actin="D:\\images")


def with_twins(table):
    return table.assign(Metadata_Compound=["taxol", "Taxol"] * (len(table) // 2) + ["taxol"] * (len(table) % 2))


@pytest.mark.parametrize(
    ("change", "hint", "options"),
    [
        (timed, "choose one time point by 'time: 0'.* Here --time and --rename THEIRS=OURS,... say it.", {"time": "0"}),
        (
            renamed,
            "rename: {Plate: Metadata_Plate}' takes it. Here --rename THEIRS=OURS,... says it.",
            {"rename": "Plate=Metadata_Plate,Well=Metadata_Well"},
        ),
        (moved, "a drive of Windows, .* Here --images-in says it.", {"images_in": ...}),
        (with_twins, "differ only in case.* Here --names says it.", {"names": "folded"}),
        (
            lambda table: table.assign(Metadata_Zplane=table["Metadata_Well"]).pipe(timed).rename(
                columns={"Metadata_Timepoint": "Metadata_Z"}
            ),
            "2 planes in Metadata_Z: .* Here --plane and --rename THEIRS=OURS,... say it.",
            {"plane": "0"},
        ),
    ],
)  # fmt: skip
def test_what_a_message_asks_for_can_be_said_by_an_option(made, fields, tmp_path, change, hint, options):
    table = fields(change)
    with pytest.raises(UserError, match=hint):
        embed(made, [table], tmp_path / "new.parquet", channels="w1=DNA")
    folder = pd.read_csv(made.table)["PathName_Actin"].iloc[0]
    options = {key: folder if value is ... else value for key, value in options.items()}
    embedded = embed(made, [table], tmp_path / "new.parquet", channels="w1=DNA", **options)
    expected = contracts.read_table(made.expected, "embeddings")
    np.testing.assert_allclose(features(embedded), features(expected), rtol=0, atol=1e-6)


def test_the_other_channel_of_one_name_can_be_called_otherwise(made, fields, tmp_path):
    table = fields(lambda table: table.assign(PathName_DNA=table["PathName_Actin"], FileName_DNA=table["FileName_Actin"]))
    with pytest.raises(UserError, match=r"w1 and DNA of the table would both be the channel DNA.* w1=DNA,DNA=Other"):
        embed(made, [table], tmp_path / "new.parquet", channels="w1=DNA")
    embedded = embed(made, [table], tmp_path / "new.parquet", channels="w1=DNA,DNA=Other")
    expected = contracts.read_table(made.expected, "embeddings")
    np.testing.assert_allclose(features(embedded), features(expected), rtol=0, atol=1e-6)


def test_the_command_says_how_a_table_is_read_once(made, fields, tmp_path, capsys):
    table = fields(lambda table: table.rename(columns={"FileName_w1": " FileName_w1"}))
    arguments = ["embed", made.encoder, str(table), "--channels", "w1=DNA", "--device", "cpu", "--threads", "1"]
    assert cli.main([*arguments, "--output", str(tmp_path / "new.parquet")]) == 0
    assert capsys.readouterr().out.count("names of columns are read in our spelling") == 1


def test_options_of_tables_are_none_of_crops(made, tmp_path):
    with pytest.raises(UserError, match="--images-in: has no effect here, since the samples are cut already"):
        embed(made, [made.cells.array], tmp_path / "new.parquet", images_in="x")


def test_files_that_are_no_encoders_are_messages(made, tmp_path):
    whole = (made.root / "results/mine/encoders/cells/random/seed0/encoder.safetensors").read_bytes()
    records.write(tmp_path / "record.safetensors", "the weights are not there", "weights")
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "header.safetensors").write_bytes(whole[:100])
    (tmp_path / "text.safetensors").write_text("an encoder")
    (tmp_path / "empty.safetensors").touch()
    encoders.save(tmp_path / "other.safetensors", encoders.Encoder.load(made.encoder).network, {"format": "pt"})
    expected = {"record": "this encoder was not made, and says why: the weights are not there"}
    for name in ("record", "cut", "header", "text", "empty", "other"):
        with pytest.raises(UserError, match=expected.get(name, rf"{name}\.safetensors")):
            embed(made, [made.cells.array], tmp_path / "new.parquet", encoder=str(tmp_path / f"{name}.safetensors"))
    assert not list(tmp_path.glob("*.parquet"))


def write_crops(folder):
    """Folders of files that are no crops, each wrong in its own way."""
    sound = np.full((2, 8, 8), 7, np.uint16)
    for name, arrays in {
        "size": [sound, sound[:, :6]],
        "type": [sound, sound.astype(np.uint8)],
        "float": [sound.astype(np.float32)],
        "planes": [np.concatenate([sound, sound])],
    }.items():
        (folder / name).mkdir()
        for number, array in enumerate(arrays):
            np.save(folder / name / f"{number}.npy", array)
    (folder / "nothing").mkdir()
    (folder / "damaged").mkdir()
    (folder / "damaged" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "sound").mkdir()
    np.save(folder / "sound" / "0.npy", sound)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("size", "is 6 x 8 pixels of uint16, but"),
        ("type", "is 8 x 8 pixels of uint8, but"),
        ("float", "the pixels are float32, expected uint8 or uint16"),
        ("planes", "its shape is (4, 8, 8), but --channels names 2"),
        ("nothing", "holds no image"),
        ("damaged", "a.png: cannot be used as a crop. The file is truncated"),
        ("absent", "there is no such file or folder"),
    ],
)
def test_crops_that_do_not_fit_are_messages(made, tmp_path, name, message):
    write_crops(tmp_path)
    with pytest.raises(UserError) as found:
        embed(made, [tmp_path / name], tmp_path / "new.parquet", channels="DNA,Actin")
    assert message in str(found.value)


@pytest.mark.parametrize("channels", [None, "DNA", "DNA,DNA", "w1=DNA,w2=Actin", "DNA,Tubulin"])
def test_the_planes_of_crops_must_be_named(made, tmp_path, channels):
    write_crops(tmp_path)
    with pytest.raises(UserError, match="--channels"):
        embed(made, [tmp_path / "sound"], tmp_path / "new.parquet", channels=channels)


def test_what_is_no_encoder_by_its_name_is_not_to_be_removed(made, tmp_path):
    with pytest.raises(UserError, match=r"plates\.csv: is no encoder: those end in \.safetensors"):
        embed(made, [made.table], tmp_path / "new.parquet", encoder=made.table)
    with pytest.raises(UserError, match="is among the images"):
        embed(made, [made.cells.table], made.cells.table)


def test_an_option_without_effect_is_refused(made, tmp_path):
    with pytest.raises(UserError, match="--samples: has no effect here, since the samples are cut already"):
        embed(made, [made.cells.array], tmp_path / "new.parquet", samples="nuclei")


def test_crops_are_sorted_as_people_count(tmp_path):
    for number in (1, 2, 10):
        np.save(tmp_path / f"{number}.npy", np.zeros((1, 4, 4), np.uint8))
    (plate,) = loose_crops.found([tmp_path])
    assert [path.name for path in plate.files] == ["1.npy", "2.npy", "10.npy"]
