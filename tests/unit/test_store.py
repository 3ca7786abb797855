import json
import pickle
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from phenorep import contracts, parallel, selection, store
from phenorep.errors import UserError
from phenorep.imaging import illumination, readers
from phenorep.store import Samples
from tests.unit.made_plate import make_plate, sample_paths


def opened(*paths):
    return Samples.open([path.table for path in paths], [path.statistics for path in paths])


def corrected(plate, field):
    raw = np.stack([readers.read(plate.image(field, channel)) for channel in plate.channels])
    functions = illumination.load(plate.illumination, plate.channels)
    return np.rint(raw.astype(np.float32) / functions).astype(raw.dtype)


def make_view(parent, outputs, use=None, where=None, array=None, abnormality=None, **keys):
    block = {"use": use, "keys": keys, "of": "parent"} | ({"where": where} if where else {})
    inputs = SimpleNamespace(table=parent.table, statistics=parent.statistics, array=array or parent.array)
    inputs.abnormality = abnormality
    store.make_view(block, inputs, outputs)
    return outputs


@pytest.fixture(scope="module")
def plate(tmp_path_factory):
    return make_plate(tmp_path_factory.mktemp("plate"), count=5).prepare()


@pytest.mark.parametrize(
    ("bits", "size", "channels"),
    [(8, (121, 153), ("DNA",)), (12, (120, 150), ("A", "DNA", "C")), (16, (97, 131), ("A", "B", "C", "D", "E", "DNA"))],
)
def test_a_sample_is_raw_over_illumination_at_its_place(tmp_path, bits, size, channels):
    plate = make_plate(tmp_path, count=2, size=size, bits=bits, channels=channels).prepare()
    samples = opened(plate.cut("cells", size=25))
    assert samples.channels == list(channels)
    assert samples.dtype == (np.uint8 if bits == 8 else np.uint16)
    assert samples.intensity_max == 2**bits - 1
    assert samples.size == (len(channels), 25, 25)
    images = samples.read(np.arange(len(samples)))
    for image, row in zip(images, samples.table.to_dict("records"), strict=True):
        window = np.s_[:, row["Top"] : row["Top"] + 25, row["Left"] : row["Left"] + 25]
        assert (image == corrected(plate, row["Field"])[window]).all()
        centre = [row["Location_Center_Y"] - row["Top"], row["Location_Center_X"] - row["Left"]]
        assert centre == pytest.approx([12, 12], abs=0.51)


def test_a_nucleus_one_pixel_from_the_border(tmp_path):
    plate = make_plate(tmp_path, count=1, at=[(9.0, 60.0), (60.0, 60.0)]).prepare(illumination={"smoothing": "none"})
    found = contracts.read_table(plate.nuclei, "nuclei")
    assert found["AreaShape_BoundingBoxMinimum_Y"].min() in (1, 2)  # its topmost row is a single pixel
    dropped, padded = opened(plate.cut("drop", size=40)), opened(plate.cut("pad", size=40, edge="pad"))
    assert (len(dropped), len(padded)) == (1, 2)
    image, top = padded.read([0])[0], padded.table["Top"][0]
    assert top == -11
    assert not image[:, :11].any()
    left = padded.table["Left"][0]
    assert (image[:, 11:] == corrected(plate, 0)[:, :29, left : left + 40]).all()


def test_the_table_says_where_a_sample_comes_from(plate):
    paths = plate.cut("cells", size=24)
    table = contracts.read_table(paths.table, "samples")
    row = table.iloc[-1]
    assert row["Sample"] == f"P1/{row['Metadata_Well']}/1/{row['Nucleus']}"
    assert {"Label_Odd", "Field", "Top", "Left", "AreaShape_Area", "ImageQuality_Focus_DNA", "Count_Nuclei"} <= set(table)
    assert not any(name.startswith(("FileName_", "PathName_")) for name in table)
    assert contracts.feature_columns(table.columns) == []
    assert contracts.about(paths.table)["illumination"] == str(plate.illumination)
    facts = json.loads(paths.statistics.read_text())
    assert facts["count"] == len(table) == len(np.load(paths.array))
    assert facts["of"] is None


def test_statistics_are_exact(plate):
    paths = plate.cut("cells", size=24)
    array = np.load(paths.array).astype(np.float64)
    facts = json.loads(paths.statistics.read_text())
    assert facts["mean"] == pytest.approx(array.mean(axis=(0, 2, 3)), rel=1e-12)
    assert facts["std"] == pytest.approx(array.std(axis=(0, 2, 3)), rel=1e-9)


def test_each_sample_has_its_checksum(plate, tmp_path):
    """Also where a view looks at a window of it, or at a window of a window."""
    parent = plate.cut("whole", use="fields", size=[60, 75])
    view = make_view(parent, sample_paths(tmp_path / "quads"), use="tiles", size=24)
    part = make_view(view, sample_paths(tmp_path / "some"), where="ParentTop > 10", array=parent.array)
    smaller = make_view(view, sample_paths(tmp_path / "small"), use="tiles", size=12, array=parent.array)
    array = np.load(parent.array, mmap_mode="r+")
    for paths in (parent, view, part, smaller):
        samples = Samples.open([paths.table], [paths.statistics], verify=True)
        assert "Checksum" in contracts.columns_of(paths.table)
        assert "Checksum" not in samples.table
        samples.read(np.arange(len(samples)))
        row = samples.table.iloc[-1]
        top, left = (row["ParentTop"], row["ParentLeft"]) if "Parent" in row else (0, 0)
        place = (row.get("Parent", len(samples) - 1), 1, top, left)
        array[place] ^= 1
        array.flush()
        with pytest.raises(UserError, match=rf"{parent.array.parent.name}/P1\.npy.*{row['Sample']}"):
            samples.read(np.arange(len(samples)))
        array[place] ^= 1
        array.flush()
    with pytest.raises(UserError, match="Checksum"):
        make_view(parent, sample_paths(tmp_path / "no"), where="Checksum > 0")


def test_processes_change_nothing(plate):
    files = []
    for threads in (1, 2):
        paths = plate.cut("cells", threads, size=24)
        files.append([path.read_bytes() for path in (paths.array, paths.table, paths.statistics)])
    assert files[0] == files[1]


def test_fields_are_resized_bicubically(plate):
    samples = opened(plate.cut("whole", use="fields", size=[60, 75]))
    assert samples.size == (2, 60, 75)
    raw = readers.read(plate.image(3, "Actin")).astype(np.float32)
    exact = raw / illumination.load(plate.illumination, ["Actin"])[0]
    expected = np.asarray(Image.fromarray(exact).resize((75, 60), Image.Resampling.BICUBIC))
    assert (samples.read([3])[0, 1] == np.clip(np.rint(expected), 0, None)).all()
    full = opened(plate.cut("full", use="fields", size=[120, 150]))
    assert (full.read([3])[0] == corrected(plate, 3)).all()


def test_tiles_of_fields_are_a_view_without_an_array(plate, tmp_path):
    parent = plate.cut("whole", use="fields", size=[60, 75])
    whole = opened(parent)
    view = make_view(parent, sample_paths(tmp_path / "quads"), use="tiles", size=24)
    assert not view.array.exists()
    quads = opened(view)
    assert len(quads) == 6 * len(whole)
    images = quads.read(np.arange(len(quads)))
    for image, row in zip(images, quads.table.to_dict("records"), strict=True):
        field = whole.read([row["Parent"]])[0]
        top, left = row["ParentTop"], row["ParentLeft"]
        assert (image == field[:, top : top + 24, left : left + 24]).all()
        assert (row["Top"], row["Height"]) == (2 * top, 48)
        assert row["Sample"].startswith(whole.table["Sample"][row["Parent"]] + "/")
    assert quads.means[0] == pytest.approx(images.mean(axis=(0, 2, 3)))
    # A part of the view looks through it into the array behind it.
    some = make_view(view, sample_paths(tmp_path / "some"), where="Label_Odd == '1' and ParentTop > 10", array=parent.array)
    part = opened(some)
    assert (part.read([0, 3]) == images[quads.table.index[quads.table["Sample"].isin(part.table["Sample"][[0, 3]])]]).all()
    # Tiles of tiles: still windows of the first array.
    smaller = opened(make_view(view, sample_paths(tmp_path / "small"), use="tiles", size=12, array=parent.array))
    assert (smaller.read([1])[0] == images[0][:, :12, 12:]).all()


def test_a_view_leaves_abnormal_samples_out(plate, tmp_path):
    parent = plate.cut("cells", size=24)
    table = opened(parent).table
    known = table[["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Sample"]].iloc[::-1]
    known = known.assign(abnormality=np.linspace(0, 1, len(known)))
    contracts.write_table(known, tmp_path / "abnormality.parquet", "abnormality")
    outputs = sample_paths(tmp_path / table["Metadata_Plate"].iloc[0])
    view = opened(make_view(parent, outputs, where="abnormality < 0.5", abnormality=tmp_path / "abnormality.parquet"))
    assert not outputs.array.exists(), "an index into the parent's array"
    kept = known.set_index("Sample")["abnormality"].reindex(table["Sample"]) < 0.5
    assert view.table["Sample"].tolist() == table["Sample"][kept.to_numpy()].tolist()
    assert (view.read(range(len(view))) == opened(parent).read(np.flatnonzero(kept))).all()
    contracts.write_table(known.iloc[1:], tmp_path / "abnormality.parquet", "abnormality")
    with pytest.raises(UserError, match="no abnormality of 1 samples"):
        make_view(parent, outputs, where="abnormality < 0.5", abnormality=tmp_path / "abnormality.parquet")
    contracts.write_not_run(tmp_path / "abnormality.parquet", "no sample is labelled")
    with pytest.raises(UserError, match="was not computed: no sample is labelled"):
        make_view(parent, outputs, where="abnormality < 0.5", abnormality=tmp_path / "abnormality.parquet")


def test_resized_views_and_what_cannot_be_cut(plate, tmp_path):
    parent = plate.cut("cells", size=24)
    resized = make_view(parent, sample_paths(tmp_path / "small"), use="fields", size=[12, 12])
    assert opened(resized).read([0]).shape == (1, 2, 12, 12)
    with pytest.raises(UserError, match="resized"):
        make_view(resized, sample_paths(tmp_path / "no"), use="tiles", size=6, array=parent.array)
    again = opened(make_view(resized, sample_paths(tmp_path / "again"), array=parent.array))
    assert (again.read([2]) == opened(resized).read([2])).all()
    with pytest.raises(UserError, match="samples: no: use: 'nuclei'"):
        make_view(parent, sample_paths(tmp_path / "no"), use="nuclei", size=6)


def test_where_uses_nuclei_and_quality(plate):
    everything = opened(plate.cut("cells", size=24))
    middle = everything.table["AreaShape_Area"].median()
    some = opened(plate.cut("some", size=24, where=f"AreaShape_Area > {middle} and ImageQuality_Focus_DNA > -9"))
    assert 0 < len(some) < len(everything)
    same = everything.table["Sample"].isin(some.table["Sample"])
    assert (some.read(np.arange(len(some))) == everything.read(np.flatnonzero(same))).all()


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("AreaShape_Aera > 3", ["samples: x: where", "AreaShape_Aera", "AreaShape_Area'?", "The columns are"]),
        ("AreaShape_Area > 1e9", ["samples: x: where", "none of the"]),
        ("AreaShape_Area >", ["no condition"]),
        ("AreaShape_Area + 1", ["no condition"]),
        ("Metadata_Well > 3", ["cannot be evaluated"]),
        ("@pd.read_pickle('x')", ["no condition"]),
        ("@x > AreaShape_Area", ["no condition"]),
        ("AreaShape_Area.__class__ == 1", ["may only"]),
        ("AreaShape_Area.to_pickle('x')", ["may only"]),
        ("print(AreaShape_Area)", ["may only"]),
        ("[x for x in AreaShape_Area]", ["may only"]),
        ("`Metadata_Wel` == 'A01'", ["Metadata_Wel"]),
    ],
)
def test_conditions_that_are_refused(plate, where, words):
    with pytest.raises(UserError) as error:
        plate.cut("x", size=24, where=where)
    for word in words:
        assert word in str(error.value)


def test_conditions_that_are_understood():
    table = pd.DataFrame({"Metadata_Well": ["A01", "A02", "B01"], "Split_a b": [1, 2, 3], "Area": [1.0, np.nan, 3.0]})
    for where, expected in [
        ("Metadata_Well in ['A01', 'B01']", [0, 2]),
        ("Metadata_Well.str.startswith('A')", [0, 1]),
        ("not Metadata_Well == 'A01' and `Split_a b` <= 2", [1]),
        ("(Area > 2) | (Area < 2)", [0, 2]),
        ("Area.isna()\nor Area == 1", [0, 1]),
        ("Area.between(2, 4)", [2]),
    ]:
        assert selection.rows(table, where, "here").tolist() == expected


def test_nothing_inside_is_an_error(plate):
    with pytest.raises(UserError, match=r"samples: x.*edge: pad"):
        plate.cut("x", size=500)


def test_images_that_broke_meanwhile_are_left_out(tmp_path):
    plate = make_plate(tmp_path, count=4).prepare()
    before = opened(plate.cut("cells", size=24))
    plate.image(2, "DNA").write_bytes(b"gone")
    for threads in (1, 2):
        paths = plate.cut("cells", threads, size=24)
        after = opened(paths)
        kept = np.flatnonzero(before.table["Field"] != 2)
        assert after.table["Sample"].tolist() == before.table["Sample"].iloc[kept].tolist()
        for index, row in after.table.iterrows():
            window = np.s_[:, row["Top"] : row["Top"] + 24, row["Left"] : row["Left"] + 24]
            assert (after.read([index])[0] == corrected(plate, row["Field"])[window]).all()
    with pytest.raises(readers.ImageError, match="2_DNA"):
        store.make({"use": "nuclei", "keys": {"size": 24}}, {}, plate, sample_paths(tmp_path / "x"), 1)


def test_several_plates_are_one(plate, tmp_path):
    other = make_plate(tmp_path, count=2, seed=9).prepare()
    first, second = plate.cut("cells", size=24), other.cut("cells", size=24)
    samples = opened(first, second)
    arrays = np.concatenate([np.load(first.array), np.load(second.array)])
    order = np.random.default_rng(0).permutation(len(arrays))
    assert (samples.read(order) == arrays[order]).all()
    assert samples.read([]).shape == (0, 2, 24, 24)
    assert samples.means.shape == samples.stds.shape == (2, 2)
    assert samples.plate_index.tolist() == [0] * len(np.load(first.array)) + [1] * len(np.load(second.array))
    copied = pickle.loads(pickle.dumps(samples))
    assert (copied.read(order[:3]) == arrays[order[:3]]).all()
    with pytest.raises(UserError, match="shape is"):
        opened(first, other.cut("larger", size=26))


def test_reading_is_fast(tmp_path):
    shape = (1200, 3, 128, 128)
    np.save(tmp_path / "P1.npy", np.ones(shape, np.uint16))
    table = pd.DataFrame(dict.fromkeys(contracts.REQUIRED["samples"], "x"), index=range(shape[0]))
    contracts.write_table(table, tmp_path / "P1.parquet", "samples")
    facts = {"channels": ["A", "B", "C"], "dtype": "uint16", "shape": [3, 128, 128], "intensity_max": None, "of": None}
    (tmp_path / "P1.json").write_text(json.dumps(facts | {"mean": [1] * 3, "std": [0] * 3}))
    samples = Samples.open([tmp_path / "P1.parquet"], [tmp_path / "P1.json"])
    generator = np.random.default_rng(0)
    samples.read(np.arange(shape[0]))
    start = time.process_time()
    for _ in range(8):
        samples.read(generator.integers(0, shape[0], 256))
    rate = 8 * 256 / (time.process_time() - start)
    assert rate > 2000, rate  # above 5,000 on an idle machine


def _slow_square(offset, value):
    time.sleep(0.02 if value % 3 == 0 else 0)
    return offset + value**2


def test_parallel_keeps_the_order():
    for processes in (1, 2, 40):
        assert list(parallel.in_order(_slow_square, range(20), processes, (1,))) == [1 + value**2 for value in range(20)]
    assert list(parallel.in_order(_slow_square, [], 2)) == []
