import json

import numpy as np
import pytest
import tifffile

from phenorep import contracts, preprocessing
from phenorep.errors import UserError
from phenorep.imaging import illumination, readers
from phenorep.preprocessing import Illumination
from tests.unit.made_plate import make_plate, vignette_of


def largest_error(function, vignette, rim=0.1):
    """Largest relative error without the outer `rim` of the image, both scaled to the same mean there."""
    inside = tuple(slice(int(length * rim), length - int(length * rim)) for length in vignette.shape)
    ratio = function[inside] / vignette[inside]
    return np.abs(ratio / ratio.mean() - 1).max()


@pytest.mark.parametrize(
    ("smoothing", "size", "limit"), [("median", 60, 0.03), ("gaussian", 60, 0.05), ("polynomial", None, 0.02)]
)
@pytest.mark.parametrize("shape", [(256, 320), (243, 311)])
def test_a_vignette_is_found_under_noise(smoothing, size, limit, shape):
    vignette = vignette_of(shape)
    mean = (vignette * np.random.default_rng(0).normal(0.2, 0.01, shape)).astype(np.float32)
    function = illumination.estimate(mean, Illumination(smoothing=smoothing, size=size))
    assert function.shape == shape
    assert function.dtype == np.float32
    assert function.min() == 1
    assert largest_error(function, vignette) < limit


def test_the_vignette_of_a_plate_is_found(tmp_path):
    plate = make_plate(tmp_path, count=60, size=(100, 120), per_field=8, bits=8)
    errors = {}
    for smoothing in ("median", "gaussian", "polynomial"):
        settings = {"illumination": {"smoothing": smoothing, "size": 60}}
        illumination.make(plate.fields, settings, 1, plate.illumination)
        functions = illumination.load(plate.illumination, ["Actin", "DNA"])
        errors[smoothing] = max(largest_error(function, plate.vignette) for function in functions)
    assert max(errors.values()) < 0.15, errors


def test_robust_minimum_becomes_one_and_what_is_below_too():
    y, x = np.mgrid[:100, :100]
    mean = ((1 + 100 * y + x) / 20000).astype(np.float32)  # a plane: the polynomial is the plane
    function = illumination.estimate(mean, Illumination(smoothing="polynomial"))
    assert function.min() == 1
    assert (function == 1).mean() == pytest.approx(0.02, abs=0.001)
    assert function.max() == pytest.approx(mean.max() / np.sort(mean.ravel())[200], rel=1e-4)


GOLDEN = {
    ("regular", "polynomial"): [1.0, 1.409545, 1.404877, 1.028246, 1.32532],
    ("regular", "gaussian"): [1.0, 1.195354, 1.281208, 1.015981, 1.172418],
    ("regular", "median"): [1.0, 1.302865, 1.354707, 1.013643, 1.240507],
    ("background", "polynomial"): [1.010676, 1.237782, 1.472431, 1.098063, 1.241916],
    ("background", "gaussian"): [1.008152, 1.163597, 1.328301, 1.029536, 1.166351],
    ("background", "median"): [1.009788, 1.205546, 1.34584, 1.0, 1.174398],
}


@pytest.mark.parametrize(("method", "smoothing"), GOLDEN)
def test_functions_are_those_of_cellprofiler(method, smoothing, tmp_path):
    """Of two images, at four pixels, and their mean: computed with CellProfiler 4.2.8."""
    plate = make_plate(tmp_path, count=2, size=(12, 16), channels=("DNA",), per_field=0)
    y, x = np.mgrid[:12, :16]
    image = (((31 * y + 17 * x + 5 * y * x) % 23 + 100 + 3 * x - (y - 5) ** 2) * 16).astype(np.uint16)
    for number, field in enumerate((image, image[::-1] // 2 + 700)):
        tifffile.imwrite(plate.image(number, "DNA"), field)
    settings = {"illumination": {"method": method, "smoothing": smoothing, "size": 6, "block_size": 5}}
    illumination.make(plate.fields, settings, 1, plate.illumination)
    function = illumination.load(plate.illumination, ["DNA"])[0]
    found = [function[0, 0], function[5, 7], function[0, 15], function[11, 3], function.mean()]
    assert found == pytest.approx(GOLDEN[method, smoothing], abs=1e-6)


def test_background_is_not_moved_by_cells(tmp_path):
    """Cells that lie in one half of every field bend the mean, not the mean of the darkest pixels."""
    at = [(20, 30), (60, 40), (100, 35), (40, 60), (80, 20)]
    plate = make_plate(tmp_path, count=8, size=(120, 150), channels=("DNA",), at=at)
    errors = {}
    for method in ("regular", "background"):
        illumination.make(
            plate.fields, {"illumination": {"method": method, "block_size": 30}}, 1, tmp_path / f"{method}.npz"
        )
        errors[method] = largest_error(illumination.load(tmp_path / f"{method}.npz", ["DNA"])[0], plate.vignette)
    assert errors["background"] < 0.1 < errors["regular"]


def test_a_black_channel_and_no_smoothing_change_nothing():
    assert (illumination.estimate(np.zeros((20, 30)), Illumination()) == 1).all()
    assert (illumination.estimate(np.random.default_rng(0).random((20, 30)), Illumination(smoothing="none")) == 1).all()


def test_correction_divides_rounds_and_clips():
    image = np.array([[[10, 255], [7, 0]]], np.uint8)
    function = np.array([[[1, 1], [2, 3]]], np.float32)
    corrected = illumination.apply(image, function)
    assert corrected.dtype == np.float32
    assert illumination.to_raw(corrected, np.uint8).tolist() == [[[10, 255], [4, 0]]]
    assert illumination.to_raw(np.array([300.0, -2.0]), np.uint8).tolist() == [255, 0]


@pytest.mark.parametrize("method", ["regular", "background"])
def test_the_function_does_not_depend_on_processes(tmp_path, method):
    plate = make_plate(tmp_path, count=5)
    for smoothing in ("polynomial", "median"):
        settings = {"illumination": {"method": method, "smoothing": smoothing, "size": 20}}
        paths = [tmp_path / f"{smoothing}{threads}.npz" for threads in (1, 2, 3)]
        for threads, path in enumerate(paths, start=1):
            illumination.make(plate.fields, settings, threads, path)
        assert len({path.read_bytes() for path in paths}) == 1


def test_the_mean_is_that_of_all_fields(tmp_path):
    plate = make_plate(tmp_path, count=5)
    illumination.make(plate.fields, {}, 1, plate.illumination)
    images = [readers.read(plate.image(number, "DNA")) for number in range(5)]
    mean = (np.sum(images, axis=0, dtype=np.int64) / (5 * 65535)).astype(np.float32)
    assert (illumination.load(plate.illumination, ["DNA"])[0] == illumination.estimate(mean, Illumination())).all()
    table = contracts.read_table(plate.fields, "fields")
    means = illumination.averages(table, plate.fields, preprocessing.settings({}), 1)
    assert means.count == 5
    assert means.shape == (120, 150)
    assert (means.images["DNA"] == mean).all()
    with np.load(plate.illumination) as file:
        about = json.loads(str(file["about"]))
    assert about["fields"] == 5
    assert about["engine"] == "native"
    assert about["settings"] == {"method": "regular", "block_size": 60, "smoothing": "polynomial", "size": None}


def test_the_mean_of_the_darkest_pixels_of_blocks(tmp_path):
    plate = make_plate(tmp_path, count=3, size=(40, 50), per_field=1)
    table = contracts.read_table(plate.fields, "fields")
    settings = preprocessing.settings({"illumination": {"method": "background", "block_size": 20}})
    mean = illumination.averages(table, plate.fields, settings, 1).images["DNA"]
    images = np.stack([readers.read(plate.image(number, "DNA")) for number in range(3)]).astype(np.int64)
    for rows in (slice(0, 20), slice(20, 40)):
        for columns in (slice(0, 25), slice(25, 50)):
            minima = images[:, rows, columns].min((1, 2))
            assert mean[rows, columns] == pytest.approx(minima.sum() / 3 / 65535, rel=1e-6)


def test_bad_images_stop_or_are_left_out(tmp_path):
    plate = make_plate(tmp_path, count=3)
    illumination.make(plate.fields, {}, 1, tmp_path / "sound.npz")
    plate.image(1, "DNA").write_bytes(b"no image")
    for threads in (1, 2):
        with pytest.raises(readers.ImageError, match=r"1_DNA\.tif"):
            illumination.make(plate.fields, {}, threads, plate.illumination)
        illumination.make(plate.fields, {"on_bad_image": "exclude"}, threads, plate.illumination)
        with np.load(plate.illumination) as file:
            assert json.loads(str(file["about"]))["fields"] == 2


def test_fields_with_a_problem_are_skipped_and_all_of_them_are_an_error(tmp_path):
    plate = make_plate(tmp_path, count=3)
    table = contracts.read_table(plate.fields, "fields")
    table["Problem"] = ["", "blurred", ""]
    assert [row["Field"] for row in illumination.usable(table, "t")] == [0, 2]
    with pytest.raises(UserError, match="none of the plate's 3 fields"):
        illumination.usable(table.assign(Problem="lost"), "t")
    with pytest.raises(UserError, match="differ in Height"):
        illumination.usable(table.assign(Height=[100, 100, 120]), "t")


def test_a_channel_without_function_is_named(tmp_path):
    plate = make_plate(tmp_path, count=1)
    illumination.make(plate.fields, {}, 1, plate.illumination)
    with pytest.raises(UserError, match="Tubulin"):
        illumination.load(plate.illumination, ["DNA", "Tubulin"])


def test_no_setting_is_hidden():
    assert set(preprocessing.stage(preprocessing.settings({}), "illumination")["illumination"]) == {
        "method",
        "block_size",
        "smoothing",
        "size",
    }


@pytest.mark.parametrize(
    ("keys", "threads"),
    [
        ({"on_bad_image": "exclude"}, 2),
        ({"illumination": {"smoothing": "none"}}, 1),
        ({"illumination": {"method": "background", "block_size": 20, "smoothing": "none"}}, 1),
    ],
)
def test_pixels_above_the_largest_value_are_refused_whatever_is_corrected(tmp_path, keys, threads):
    plate = make_plate(tmp_path, count=3, size=(40, 50), per_field=1)
    table, about = contracts.read_table(plate.fields, "fields"), contracts.about(plate.fields)
    image = readers.read(plate.image(2, "DNA"))
    image[:4] = 4095  # saturated
    image[0, :50] = 16380
    tifffile.imwrite(plate.image(2, "DNA"), image)
    for limit in (None, 16380, 65535):
        contracts.write_table(table, plate.fields, "fields", about | {"intensity_max": limit})
        illumination.make(plate.fields, keys, 1, plate.illumination)
    contracts.write_table(table, plate.fields, "fields", about | {"intensity_max": 4095})
    for threads in (1, 2):
        says = (
            r"2_DNA\.tif: 2\.5 % of its pixels are above 'intensity_max: 4095', the largest is 16380\. .* 16383 if it has 14"
        )
        with pytest.raises(UserError, match=says):
            illumination.make(plate.fields, keys, threads, tmp_path / "none.npz")
    assert not (tmp_path / "none.npz").exists()


def test_values_that_may_be_shifted_are_said(tmp_path, capsys):
    plate = make_plate(tmp_path, count=2, size=(40, 50), per_field=1)
    table, about = contracts.read_table(plate.fields, "fields"), contracts.about(plate.fields)
    contracts.write_table(table, plate.fields, "fields", about | {"intensity_max": None})
    illumination.make(plate.fields, {}, 1, plate.illumination)
    assert "32768" not in capsys.readouterr().out
    for number in range(2):
        image = readers.read(plate.image(number, "DNA"))
        image[20:] += 20000  # of more than 14 bits: the reader alone cannot tell
        tifffile.imwrite(plate.image(number, "DNA"), image + np.uint16(32768))
    illumination.make(plate.fields, {}, 1, plate.illumination)
    assert "the grey values of DNA are from 32768 upwards, in the mean" in capsys.readouterr().out
