"""Pixel by pixel: a sample is the raw image over the illumination function, at its place, and nothing else."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from phenorep import contracts, masks
from phenorep.errors import UserError
from phenorep.imaging import crops
from phenorep.store import Samples
from tests.unit.written_plate import write_plate

CHANNELS = ("DNA", "Actin", "Tubulin", "ER", "Mito", "Golgi")


def squares(size, *corners, side=5):
    """A label image of square nuclei, numbered in their order."""
    labels = np.zeros(size, np.int32)
    for number, (top, left) in enumerate(corners, 1):
        labels[top : top + side, left : left + side] = number
    return labels


def at(image, row, names=("Top", "Left", "Height", "Width")):
    """The window of a table's row in an image that is padded with 0 on all sides, however far it hangs over."""
    top, left, height, width = (int(row[name]) for name in names)
    margin = abs(top) + abs(left) + height + width
    padded = np.pad(image, [*[(0, 0)] * (image.ndim - 2), (margin, margin), (margin, margin)])
    return padded[..., margin + top : margin + top + height, margin + left : margin + left + width]


def rows_with_images(samples):
    return zip(samples.table.to_dict("records"), samples.read(np.arange(len(samples))), strict=True)


@pytest.mark.parametrize("edge", ["drop", "pad"])
@pytest.mark.parametrize(
    ("bits", "count", "size", "side"),
    [(8, 1, (41, 57), 16), (8, 3, (40, 56), 15), (12, 2, (43, 38), 1), (12, 6, (40, 40), 17), (16, 4, (39, 64), 9)],
)
def test_samples_are_float32_arithmetic(tmp_path, bits, count, size, side, edge):
    corners = [(3, 4), (20, 12), (13, 30), (1, 22), (size[0] - 6, size[1] - 6)]
    plate = write_plate(tmp_path, [squares(size, *corners), squares(size, (10, 10))], CHANNELS[:count], bits)
    samples = plate.cut(size=side, edge=edge)
    expected = plate.expected()
    assert samples.channels == list(CHANNELS[:count])
    assert samples.dtype == plate.raw.dtype == (np.uint8 if bits == 8 else np.uint16)
    assert edge == "drop" or len(samples) == 6
    for row, image in rows_with_images(samples):
        assert (image == at(expected[row["Field"]], row)).all()
    # Brightened pixels end at the largest value of the type: the camera's own range is no limit of the arithmetic.
    everything = plate.cut("whole", use="fields", size=size).read([0, 1])
    assert (everything == expected).all()
    assert everything.max() > 2**bits - 1 if bits == 12 else everything.max() == 2**bits - 1


@pytest.mark.parametrize("side", [10, 11])
def test_a_nucleus_one_pixel_from_each_border(tmp_path, side):
    """Windows that leave the field by any side are dropped, or filled up with 0; a window that just fits is kept."""
    size = (44, 47)
    corners = [(1, 20), (size[0] - 6, 20), (20, 1), (20, size[1] - 6), (20, 20)]
    first = side // 2 - 2  # a nucleus here has a window that begins with the field's first pixel
    bottom, right = (first + length - side for length in size)  # and here one that ends with its last
    upper = squares(size, (first, first), (first - 1, first + 20), (first + 20, first - 1))
    lower = squares(size, (bottom, right), (bottom + 1, right - 20), (bottom - 20, right + 1))
    plate = write_plate(tmp_path, [squares(size, *corners), upper, lower])
    dropped, padded = plate.cut("drop", size=side), plate.cut("pad", size=side, edge="pad")
    assert dropped.table[["Field", "Nucleus"]].to_numpy().tolist() == [[0, 5], [1, 1], [2, 1]]
    assert dropped.table[["Top", "Left"]].to_numpy()[1:].tolist() == [[0, 0], [size[0] - side, size[1] - side]]
    assert len(padded) == 11
    for samples in (dropped, padded):
        for row, image in rows_with_images(samples):
            assert (image == at(plate.expected()[row["Field"]], row)).all()
    image, outside = padded.read([0])[0], side // 2 - 3
    assert not image[:, :outside].any()
    assert image[:, outside].any()


def touching(size=(40, 44)):
    """Two nuclei that touch, one apart, and one cut by the field's border."""
    labels = squares(size, (12, 12), (12, 17), (24, 13))
    labels[0:4, 12:18] = 4
    return labels


@pytest.mark.parametrize(("edge", "side"), [("drop", 20), ("pad", 31)])
def test_masked_neighbours_are_0_in_all_channels(tmp_path, edge, side):
    plate = write_plate(tmp_path, [touching(), squares((40, 44), (18, 18))], CHANNELS[:3])
    kept = plate.cut("kept", size=side, edge=edge)
    masked = plate.cut("masked", size=side, edge=edge, neighbours="mask")
    assert kept.table.equals(masked.table)
    hidden = 0
    for (row, image), (_, before) in zip(rows_with_images(masked), rows_with_images(kept), strict=True):
        around = at(plate.labels[row["Field"]], row)
        others = (around != 0) & (around != row["Nucleus"])
        hidden += others.sum()
        assert not image[:, others].any()
        assert (image[:, ~others] == before[:, ~others]).all()  # the nucleus itself, and what lies between nuclei
        assert (around == row["Nucleus"]).sum() == (plate.labels[row["Field"]] == row["Nucleus"]).sum()
    assert hidden > 50
    assert masked.means[0] == pytest.approx(masked.read(np.arange(len(masked))).mean(axis=(0, 2, 3)))
    state = json.loads(plate.outputs("masked").statistics.read_text())
    assert state["masks"] == str(plate.masks)
    assert json.loads(plate.outputs("kept").statistics.read_text())["masks"] is None


def test_processes_do_not_change_masked_samples(tmp_path):
    plate = write_plate(tmp_path, [touching()] * 5)
    one, two = (plate.cut(f"by{n}", size=14, edge="pad", border="keep", neighbours="mask", threads=n) for n in (1, 2))
    assert (one.read(np.arange(20)) == two.read(np.arange(20))).all()


def test_masks_of_another_run_are_refused(tmp_path):
    plate = write_plate(tmp_path, [touching()])
    for labels in (touching()[:-1], np.minimum(touching(), 3)):
        with masks.writer(plate.masks) as add:
            add(0, labels)
        with pytest.raises(UserError, match=r"masks.npz: the masks of field 0 .*remove them"):
            plate.cut(size=8, edge="pad", border="keep", neighbours="mask")
    plate.cut(size=8, edge="pad")


def test_micrometres_by_the_pixel_size(tmp_path):
    """As many micrometres are cut from plates of two microscopes, and come to one size."""
    opened = []
    for name, pixel, side in (("fine", 0.65, 18), ("coarse", 1.3, 9)):
        plate = write_plate(tmp_path / name, [squares((40, 44), (15, 16))], about={"pixel_size_um": pixel})
        alone = plate.cut("alone", size_um=12)
        assert alone.size[1:] == (side, side)
        row = alone.table.iloc[0]
        assert (alone.read([0])[0] == at(plate.expected()[0], row)).all()
        both = plate.cut("both", size_um=12, size=12)
        assert both.table[["Top", "Left", "Height", "Width"]].equals(alone.table[["Top", "Left", "Height", "Width"]])
        # Resized before it is rounded.
        window = at(plate.corrected()[0], row)
        planes = [Image.fromarray(plane).resize((12, 12), Image.Resampling.BICUBIC) for plane in window]
        expected = np.clip(np.round(np.stack([np.asarray(plane) for plane in planes])), 0, 65535)
        assert (both.read([0])[0] == expected).all()
        opened.append(plate.outputs("both"))
    assert len(Samples.open([o.table for o in opened], [o.statistics for o in opened])) == 2


def test_neighbours_are_masked_before_a_window_is_resized(tmp_path):
    plate = write_plate(tmp_path, [touching()], about={"pixel_size_um": 0.5})
    samples = plate.cut(size_um=10, size=8, neighbours="mask")
    for row, image in rows_with_images(samples):
        around = at(plate.labels[0], row)
        window = np.where((around == 0) | (around == row["Nucleus"]), at(plate.corrected()[0], row), np.float32(0))
        assert (image == np.clip(np.round(crops.resize(window, (8, 8))), 0, 65535)).all()


@pytest.mark.parametrize("side", [5, 7, 11])
def test_views_of_views_are_the_same_pixels(tmp_path, side):
    """A tile of a crop, of which some are chosen: each pixel is where the table says it is in the field."""
    plate = write_plate(tmp_path, [touching(), touching()], CHANNELS[:2], bits=8)
    plate.cut("cells", size=27, edge="pad", border="keep", neighbours="keep")
    tiles = plate.view("tiles", "cells", use="tiles", size=13, overlap=3)
    smaller = plate.view("smaller", "tiles", use="tiles", size=side)
    some = plate.view("some", "smaller", where="Top > 5 and Field == 1")
    again = plate.view("again", "some", where="Left > 10")
    assert len(tiles) == 8 * 4
    assert 0 < len(again) < len(some) < len(smaller)
    for samples in (tiles, smaller, some, again):
        for row, image in rows_with_images(samples):
            assert (image == at(plate.expected()[row["Field"]], row)).all()


def test_a_sample_can_be_made_again_from_what_the_index_says(tmp_path):
    """Nothing is used here but the files beside a sample: the table's row and facts lead to the raw files."""
    plate = write_plate(tmp_path, [touching(), touching()], CHANNELS[:4], bits=12, about={"intensity_max": 4095})
    plate.cut("cells", size=16, neighbours="mask")
    plate.view("tiles", "cells", use="tiles", size=8)
    array = np.load(plate.outputs("cells").array)
    view = Samples.open([plate.outputs("tiles").table], [plate.outputs("tiles").statistics])
    for name, pixels in (("cells", array), ("tiles", view.read(np.arange(len(view))))):
        outputs = plate.outputs(name)
        facts, table = contracts.read_facts(outputs.statistics), contracts.read_table(outputs.table, "samples")
        stated = {key: value for key, value in facts.items() if key not in ("count", "mean", "std", "sums")}
        assert stated.items() <= contracts.about(outputs.table).items()
        assert facts["intensity_max"] == 4095
        assert (facts["dataset"], facts["count"]) == ("mine", len(pixels))
        row = table.iloc[-1]
        field = contracts.read_table(facts["fields"], "fields").iloc[row["Field"]]
        assert field[list(contracts.FIELD)].equals(row[list(contracts.FIELD)])
        for channel, found in zip(facts["channels"], pixels[-1], strict=True):
            raw = tifffile.imread(Path(field[f"PathName_{channel}"]) / field[f"FileName_{channel}"])
            image = at(raw.astype(np.float32) / np.load(facts["illumination"])[channel], row)
            labels = at(np.load(facts["masks"])[str(row["Field"])], row)
            image[(labels != 0) & (labels != row["Nucleus"])] = 0
            assert found.dtype == facts["dtype"]
            assert (found == np.clip(np.rint(image), 0, np.iinfo(facts["dtype"]).max)).all()


@pytest.mark.parametrize(
    ("bits", "stated", "expected"), [(8, None, 255), (12, None, 65535), (12, 4095, 4095), (16, 9000, 9000)]
)
def test_the_range_is_stated_and_not_guessed(tmp_path, bits, stated, expected):
    plate = write_plate(tmp_path, [touching()], bits=bits, about={"intensity_max": stated, "pixel_size_um": 0.5})
    samples = plate.cut(size=8)
    facts = json.loads(plate.outputs("cells").statistics.read_text())
    assert samples.intensity_max == facts["intensity_max"] == expected
    assert facts["pixel_size_um"] == 0.5
    assert facts["dtype"] == ("uint8" if bits == 8 else "uint16")


@settings(max_examples=200, deadline=None)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    window=st.tuples(st.integers(-14, 14), st.integers(-14, 14), st.integers(1, 12), st.integers(1, 12)),
)
def test_any_window_of_any_image(size, window):
    image = np.arange(1, 2 * size[0] * size[1] + 1, dtype=np.uint16).reshape(2, *size)
    row = dict(zip(("Top", "Left", "Height", "Width"), window, strict=True))
    assert (crops.cut(image, *window) == at(image, row)).all()
