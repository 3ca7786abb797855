import json

import numpy as np
import pytest

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
    mean = vignette * np.random.default_rng(0).normal(1000, 50, shape)
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
    mean = np.linspace(1, 101, 100 * 100).reshape(100, 100)
    function = illumination.estimate(mean, Illumination(smoothing="gaussian", size=1e-3, robust_minimum=0.02))
    assert function.min() == 1
    assert (function == 1).mean() == pytest.approx(0.02, abs=0.001)
    assert function.max() == pytest.approx(101 / 3, rel=1e-2)


def test_a_black_channel_and_no_smoothing_change_nothing():
    assert (illumination.estimate(np.zeros((20, 30)), Illumination()) == 1).all()
    assert (illumination.estimate(np.random.default_rng(0).random((20, 30)), Illumination(smoothing="none")) == 1).all()


def test_the_reduced_median_is_that_of_the_full_image():
    y, x = np.mgrid[:150, :170] / 100
    image = 100 + 30 * y - 20 * x * y
    for radius in (6, 30):
        smooth = illumination.smooth_median(image, radius)
        # In the middle the median of a nearly plane surface is its value.
        assert np.abs(smooth - image)[40:-40, 40:-40].max() < 0.5


def test_polynomial_is_exact_for_a_polynomial():
    y, x = np.mgrid[:31, :47]
    image = 5.0 + 0.2 * y - 0.1 * x + 0.003 * x * y - 0.002 * y**2 + 0.001 * x**2
    assert np.allclose(illumination.smooth_polynomial(image), image)


def test_correction_divides_rounds_and_clips():
    image = np.array([[[10, 255], [7, 0]]], np.uint8)
    function = np.array([[[1, 1], [2, 3]]], np.float32)
    corrected = illumination.apply(image, function)
    assert corrected.dtype == np.float32
    assert illumination.to_raw(corrected, np.uint8).tolist() == [[[10, 255], [4, 0]]]
    assert illumination.to_raw(np.array([300.0, -2.0]), np.uint8).tolist() == [255, 0]


def test_the_mean_is_exact_and_does_not_depend_on_processes(tmp_path):
    plate = make_plate(tmp_path, count=5)
    for threads in (1, 2, 3):
        illumination.make(plate.fields, {}, threads, tmp_path / f"{threads}.npz")
    first = illumination.load(tmp_path / "1.npz", plate.channels)
    for threads in (2, 3):
        assert (illumination.load(tmp_path / f"{threads}.npz", plate.channels) == first).all()
    mean = np.mean([readers.read(plate.image(number, "DNA")) for number in range(5)], axis=0)
    assert (first[0] == illumination.estimate(mean, Illumination())).all()
    with np.load(tmp_path / "1.npz") as file:
        about = json.loads(str(file["about"]))
    assert about["fields"] == 5
    assert about["settings"]["smoothing"] == "polynomial"


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
        "smoothing",
        "size",
        "robust_minimum",
    }
