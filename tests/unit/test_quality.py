import csv

import numpy as np
import pytest
from scipy import ndimage

from phenorep.imaging import quality, readers
from tests.unit.made_plate import draw


def cells(shape=(200, 240), seed=0):
    generator = np.random.default_rng(seed)
    image = draw(shape, generator.uniform(0, shape, (25, 2)), 9, 2000, 200)
    return generator.normal(ndimage.gaussian_filter(image, 1), 10)


@pytest.mark.parametrize("shape", [(200, 240), (157, 201)])
def test_focus_falls_with_blur_and_does_not_know_brightness(shape):
    image = cells(shape)
    values = [quality.focus(ndimage.gaussian_filter(image, sigma) if sigma else image) for sigma in (0, 2, 4, 8)]
    assert np.all(np.diff(values) < -0.05)
    assert quality.focus(3 * image + 500) == pytest.approx(values[0], abs=1e-3)
    assert quality.focus(np.random.default_rng(0).normal(100, 5, shape)) > 0  # noise alone
    assert quality.focus(np.full(shape, 7, np.uint16)) == 0


def test_focus_does_not_depend_much_on_the_number_of_cells():
    few, many = (draw((300, 300), np.random.default_rng(1).uniform(0, 300, (n, 2)), 9, 2000, 200) for n in (8, 60))
    assert quality.focus(few) == pytest.approx(quality.focus(many), abs=0.2)


def test_saturation_and_background():
    image = np.full((100, 100), 120, np.uint16)
    image[:10] = 4095
    assert quality.saturation(image, 4095) == pytest.approx(0.1)
    assert quality.saturation(image, 65535) == 0
    assert quality.background(image) == 120
    assert list(quality.measures(image, 4095, "DNA")) == [
        "ImageQuality_Focus_DNA",
        "ImageQuality_Saturation_DNA",
        "ImageQuality_Background_DNA",
    ]


def test_blur_of_the_published_images_is_told_apart(shared_data):
    folder = shared_data / "bbbc005"
    values = {}
    for row in list(csv.DictReader((folder / "labels.csv").open()))[::2]:
        values.setdefault(int(row["blur"]), []).append(quality.focus(readers.read(folder / "images" / row["file"])))
    sharp, middle, strong = (values[blur] for blur in (1, 23, 48))
    assert min(sharp) > max(middle)
    assert np.median(middle) > np.median(strong)
