"""What an encoder's file states of its images, and what becomes of it where options or images differ."""

import dataclasses
import json
import re

import numpy as np
import pandas as pd
import pytest
import tifffile

from phenorep import contracts, embedding, encoders, preparation, preprocessing, pretrain
from phenorep.batches import Source, Sources
from phenorep.errors import UserError
from phenorep.report import provenance
from phenorep.store import Samples
from tests.unit.test_same_numbers import SETTINGS, check_same, embed, run, write_plate

CHANNELS = ("Hoechst", "Actin", "Tubulin")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    made = write_plate(tmp_path_factory.mktemp("made"), CHANNELS)
    folder = made.table.parent / "encoder"
    made.encoder, made.expected = run(made, folder, "pixel_statistics", scaling="range", channels=["Actin"])
    return made


def restated(made, path, change):
    """The encoder with other entries in its file."""
    facts = {key: value for key, value in encoders.stated(made.encoder).items() if key != preparation.KEY}
    entries = change(encoders.stated(made.encoder)[preparation.KEY][0])
    stated = {} if entries is None else {preparation.KEY: entries}
    encoders.save(path, encoders.Encoder.load(made.encoder).network, facts | stated)
    return str(path)


def changed(entry, **values):
    return entry | {key: entry[key] | value if isinstance(value, dict) else value for key, value in values.items()}


def test_the_file_states_all_that_decides_features(made):
    facts = encoders.stated(made.encoder)
    (entry,) = facts[preparation.KEY]
    assert set(entry) == {field.name for field in dataclasses.fields(preparation.Entry)}
    assert entry["set"] == "made/cells"
    assert (entry["dtype"], entry["intensity_max"], entry["on_bad_image"]) == ("uint16", 4095, "exclude")
    chosen = preprocessing.settings(SETTINGS)
    assert entry["illumination"] == preprocessing.stage(chosen, "illumination")["illumination"]
    assert entry["nuclei"] == preprocessing.stage(chosen, "nuclei")["nuclei"]
    cells, view = entry["samples"]
    assert cells["use"] == "nuclei"
    assert cells["keys"] == {"size": 32, "size_um": None, "edge": "pad", "border": "keep", "neighbours": "keep"}
    assert cells["where"] == "AreaShape_Area > 20"
    assert view == {"use": "tiles", "keys": {"size": 24, "overlap": 0, "align": "centre"}, "where": "Nucleus != 2"}
    assert "/" not in json.dumps(entry | {"set": ""}), "a path would make equal encoders differ"


def test_what_is_stated_is_no_other_training(made):
    data = Sources([Source.choose("made/cells", Samples.open(*made.files.values()))])
    facts = encoders.stated(made.encoder)
    entry = facts[preparation.KEY][0]
    prints = {
        pretrain.fingerprint(facts | other, data, None, None, "code")
        for other in ({}, {preparation.KEY: [changed(entry, on_bad_image="stop", pixel_size_um=0.5)]})
    }
    assert len(prints) == 1
    assert pretrain.fingerprint(facts | {"seed": 1}, data, None, None, "code") not in prints


def test_options_and_config_change_what_is_stated_and_each_difference_is_said(made, tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text("preprocess: {nuclei: {diameter: [5, 40], border: keep}, on_bad_image: exclude}\n")
    options = {"config": str(tmp_path / "mine.yaml"), "illumination": "none", "intensity_max": 8190}
    found = embed(made.encoder, made.table, tmp_path / "new.parquet", samples="nuclei:size=24", **options)
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("WARNING")]
    assert sorted(said) == [
        "WARNING: illumination: smoothing: the encoder was made with gaussian, here none",
        "WARNING: intensity_max: the encoder was made with 4095, here 8190",
        "WARNING: nuclei: diameter: the encoder was made with [9, 40], here [5, 40]",
        "WARNING: samples: the encoder was made with nuclei (border keep, edge pad, neighbours keep, size 32) "
        "where AreaShape_Area > 20, of these tiles (align centre, overlap 0, size 24) where Nucleus != 2, "
        "here nuclei (size 24, edge drop, "
        "border drop, neighbours keep)",
    ]
    assert len(found)


def test_a_file_that_states_nothing_says_which_defaults_are_taken(made, tmp_path, capsys):
    old = restated(made, tmp_path / "old.safetensors", lambda entry: None)
    with pytest.raises(UserError, match="does not say how its samples were cut"):
        embed(old, made.table, tmp_path / "new.parquet")
    capsys.readouterr()
    (tmp_path / "mine.yaml").write_text(json.dumps({"preprocess": SETTINGS}))
    embed(old, made.table, tmp_path / "new.parquet", samples="nuclei:size=24", config=str(tmp_path / "mine.yaml"))
    said = capsys.readouterr().out
    assert "does not state the largest grey value of its camera (--intensity-max" in said
    assert "how nuclei were found" not in said
    (tmp_path / "other.yaml").write_text("preprocess: {nuclei: {channel: Hoechst}}\n")
    embed(old, made.table, tmp_path / "new.parquet", samples="nuclei:size=24", config=str(tmp_path / "other.yaml"))
    assert "how uneven light was corrected" in capsys.readouterr().out


def test_sample_sets_that_differ_leave_a_choice(made, tmp_path, capsys):
    both = restated(
        made,
        tmp_path / "both.safetensors",
        lambda entry: [entry, changed(entry, set="b/cells", intensity_max=16383, nuclei={"diameter": [5, 40]})],
    )
    with pytest.raises(UserError) as refused:
        embed(both, made.table, tmp_path / "new.parquet")
    assert "intensity_max: 4095 of made/cells, 16383 of b/cells (--intensity-max)" in str(refused.value)
    assert "nuclei: diameter: [9, 40] of made/cells, [5, 40] of b/cells (say it under 'preprocess'" in str(refused.value)
    (tmp_path / "mine.yaml").write_text("preprocess: {nuclei: {diameter: [9, 40]}}\n")
    capsys.readouterr()
    options = {"config": str(tmp_path / "mine.yaml"), "intensity_max": 4095}
    check_same(embed(both, made.table, tmp_path / "new.parquet", **options), made.expected)
    said = capsys.readouterr().out
    assert "intensity_max: the encoder was made with 4095 of made/cells, 16383 of b/cells, here 4095" in said
    alike = restated(made, tmp_path / "alike.safetensors", lambda entry: [entry, changed(entry, set="b/cells")])
    check_same(embed(alike, made.table, tmp_path / "new.parquet"), made.expected)


def other_columns(table, folder, kind):
    """The table of fields with a channel that nobody reads."""
    (path,) = table["PathName_Actin"].unique()
    shape = tifffile.imread(f"{path}/{table['FileName_Actin'][0]}").shape
    if kind == "size":
        tifffile.imwrite(folder / "bright.tif", np.zeros((shape[0] // 2, shape[1]), np.uint16))
    elif kind == "depth":
        tifffile.imwrite(folder / "bright.tif", np.zeros(shape, np.uint8))
    elif kind == "damaged":
        (folder / "bright.tif").write_bytes(b"II*\0")
    name = "P1_IllumDNA.npy" if kind == "illum" else "bright.tif"
    return table.assign(**{f"PathName_{kind}": str(folder), f"FileName_{kind}": name})


@pytest.mark.parametrize("kind", ["illum", "absent", "size", "depth", "damaged", "unused"])
def test_channels_that_nobody_reads_are_not_opened(made, tmp_path, capsys, kind):
    table = pd.read_csv(made.table)
    if kind == "unused":  # of the dataset itself: the run needs it, the encoder does not
        table["FileName_Tubulin"] = "gone.tif"
    else:
        table = other_columns(table, tmp_path, kind)
    table.to_csv(tmp_path / "plates.csv", index=False)
    options = {} if kind == "absent" else {"channels": "Hoechst,Actin"}
    check_same(embed(made.encoder, tmp_path / "plates.csv", tmp_path / "new.parquet", **options), made.expected)
    assert "Hoechst is opened too: nuclei are found on it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda t: t.drop(columns="FileName_Actin"), {}, "there is no channel Actin, which the encoder reads"),
        (lambda t: t.drop(columns="FileName_Hoechst"), {}, "no channel Hoechst, on which nuclei are found; there are Actin"),
        (lambda t: t, {"samples": "nuclei:size=24,edge=none"}, "edge: 'none' is not one of drop, pad"),
        (lambda t: t, {"samples": "nuclei:size=500"}, "not one window lies inside the images"),
        (lambda t: t, {"intensity_max": 2000}, "pixels are above 'intensity_max: 2000'"),
        (
            lambda t: t.assign(FileName_Actin=t["Metadata_Well"] + "gone.tif"),
            {"on_bad_image": "stop"},
            "2 of 2 fields cannot be used",
        ),
    ],
)
def test_a_table_that_does_not_fit_is_refused(made, tmp_path, change, options, message):
    change(pd.read_csv(made.table)).to_csv(tmp_path / "plates.csv", index=False)
    with pytest.raises(UserError, match=message):
        embed(made.encoder, tmp_path / "plates.csv", tmp_path / "new.parquet", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["plates.csv"]


def test_images_that_contradict_the_range_are_refused(made, tmp_path):
    bright, dark = (write_plate(tmp_path / str(bits), CHANNELS, bits) for bits in (16, 8))
    with pytest.raises(UserError, match=r"above 'intensity_max: 4095'.* as its file states; --intensity-max says"):
        embed(made.encoder, bright.table, tmp_path / "new.parquet")
    with pytest.raises(UserError, match=r"intensity_max: 4095' needs more.* as its file states; --intensity-max says"):
        embed(made.encoder, dark.table, tmp_path / "new.parquet")
    np.save(tmp_path / "crops.npy", np.full((2, 1, 24, 24), 4096, np.uint16))
    with pytest.raises(UserError, match="pixels are above 'intensity_max: 4095', the largest is 4096"):
        embed(made.encoder, tmp_path / "crops.npy", tmp_path / "new.parquet", channels="Actin")
    np.save(tmp_path / "crops.npy", np.full((2, 1, 24, 24), 200, np.uint8))
    with pytest.raises(UserError, match=r"uint8: 255 at most\. The intensity_max is the encoder's"):
        embed(made.encoder, tmp_path / "crops.npy", tmp_path / "new.parquet", channels="Actin")


def test_a_borrowed_encoder_takes_the_range_that_is_said(made, tmp_path, capsys):
    """As a run with `from:` does, whose dataset states a range of its own."""
    other = write_plate(tmp_path / "other", CHANNELS, bits=16, seed=1)
    output = tmp_path / "run.parquet"
    embedding.make(made.encoder, **other.files, compute={}, threads=1, output=output, channels=["Actin"], block="borrowed")
    expected = contracts.read_table(output, "embeddings")
    expected.columns = [name.replace("borrowed", "pixel_statistics") for name in expected]
    found = embed(made.encoder, other.table, tmp_path / "new.parquet", intensity_max=65535)
    check_same(found, expected)
    assert "intensity_max: the encoder was made with 4095, here 65535" in capsys.readouterr().out
    embed(made.encoder, other.files["tables"][0], tmp_path / "new.parquet")
    assert "intensity_max: the encoder was made with 4095, here 65535" in capsys.readouterr().out


def test_conditions_that_cannot_be_told_here(made, tmp_path, capsys):
    def with_where(text):
        return lambda entry: [entry | {"samples": [*entry["samples"][:1], {"use": None, "keys": {}, "where": text}]}]

    lost = restated(made, tmp_path / "lost.safetensors", with_where("abnormality < 0.5"))
    found = embed(lost, made.table, tmp_path / "new.parquet")
    assert len(found) > len(made.expected)
    assert "WARNING: samples: the encoder was made with those where abnormality < 0.5" in capsys.readouterr().out
    lacking = restated(made, tmp_path / "lacking.safetensors", with_where("Metadata_Dose > 1"))
    with pytest.raises(
        UserError, match=r"no column 'Metadata_Dose'.*--samples nuclei:size=32,edge=pad,border=keep,neighbours=keep cuts"
    ):
        embed(lacking, made.table, tmp_path / "new.parquet")
    assert len(embed(lacking, made.table, tmp_path / "new.parquet", samples="nuclei:size=32,edge=pad,border=keep")) == len(
        found
    )


def test_micrometres_and_pipelines(made, tmp_path, capsys):
    cells = [{"use": "nuclei", "keys": {"size": 24, "size_um": 16.0, "edge": "pad", "neighbours": "keep"}}]
    by_size = restated(made, tmp_path / "um.safetensors", lambda entry: [entry | {"samples": cells, "pixel_size_um": 0.5}])
    embed(by_size, made.table, tmp_path / "new.parquet")
    assert "WARNING" not in capsys.readouterr().out
    embed(by_size, made.table, tmp_path / "new.parquet", pixel_size_um="0.25")
    assert "pixel_size_um: the encoder was made with 0.5, here 0.25" in capsys.readouterr().out
    custom = restated(
        made, tmp_path / "own.safetensors", lambda e: [e | {"pipeline": "my.cppipe", "engine": "cellprofiler"}]
    )
    with pytest.raises(UserError, match=r"my\.cppipe: nuclei by a CellProfiler pipeline of your own"):
        embed(custom, made.table, tmp_path / "new.parquet")
    (tmp_path / "mine.yaml").write_text("preprocess: {pipeline: null}\n")
    check_same(embed(custom, made.table, tmp_path / "new.parquet", config=str(tmp_path / "mine.yaml")), made.expected)
    assert "pipeline: the encoder was made with my.cppipe, here none" in capsys.readouterr().out


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: 5, lambda entry: [5], lambda entry: [{}], lambda entry: [entry | {"dtype": "float64"}],
        lambda entry: [entry | {"intensity_max": 70000}], lambda entry: [entry | {"pixel_size_um": -1}],
        lambda entry: [entry | {"samples": []}], lambda entry: [entry | {"samples": [{"use": "../os", "keys": {}}]}],
        lambda entry: [entry | {"samples": [{"use": "nuclei", "keys": {"sizes": 3}}]}],
        lambda entry: [entry | {"samples": [{"use": "nuclei", "keys": {}, "where": "__import__('os')"}]}],
        lambda entry: [entry | {"nuclei": {"diameters": 3}}], lambda entry: [entry | {"illumination": [3]}],
        lambda entry: [entry | {"on_bad_image": "never"}], lambda entry: [entry | {"unheard": 1}],
    ],
)  # fmt: skip
def test_what_a_file_states_is_not_believed(made, tmp_path, change):
    with pytest.raises(UserError) as refused:
        embed(restated(made, tmp_path / "e.safetensors", change), made.table, tmp_path / "new.parquet")
    assert len(str(refused.value)) < 1500
    assert [path.name for path in tmp_path.iterdir()] == ["e.safetensors"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("preprocess: 5\n", "preprocess: found '5', expected keys and values"),
        ("preprocess: {nuclei: {diameters: 5}}\n", "unknown key 'diameters'. Did you mean 'diameter'"),
        ("samples: {cells: 5}\n", "samples: cells: found '5', expected keys"),
        ("samples: {cells: {of: cells}}\n", "its 'of' leads to no set that is cut"),
        ("samples: {cells: {of: [gone]}}\n", "its 'of' leads to no set that is cut"),
    ],
)
def test_a_configuration_that_is_wrong(made, tmp_path, text, message):
    (tmp_path / "mine.yaml").write_text(text)
    options = {"config": str(tmp_path / "mine.yaml")} | ({"samples": "cells"} if "cells" in text else {})
    with pytest.raises(UserError, match=re.escape(message)):
        embed(made.encoder, made.table, tmp_path / "new.parquet", **options)


def test_the_page_shows_to_which_grey_value_an_encoder_was_made(made, tmp_path):
    facts = encoders.stated(made.encoder)
    contracts.write_table(made.expected, tmp_path / "p.parquet", "profiles", {"steps": [{"encoder": facts}]})
    entry = {"dataset": "made", "samples": "view", "method": "pixels", "epoch": "final", "path": tmp_path / "p.parquet"}
    (row,) = provenance.encoders({"profiles": [entry]})
    assert (row["intensity_max"], row["trained_on"], row["channels"]) == ("4095", "nothing", "Actin")
