import numpy as np
import pytest
from scipy import ndimage
from skimage.filters import threshold_li, threshold_otsu

from phenorep.errors import UserError
from phenorep.imaging import thresholds
from phenorep.preprocessing import Segmentation
from tests.unit import golden_nuclei


def two_classes(seed=1):
    generator = np.random.default_rng(seed)
    values = np.concatenate([generator.normal(0.2, 0.02, 9000), generator.normal(0.9, 0.1, 1000)])
    return generator.permutation(values).astype(np.float32).reshape(100, 100)


def test_thresholds_are_those_of_scikit_image():
    for seed in range(5):
        values = two_classes(seed).ravel()
        assert thresholds.otsu(values) == pytest.approx(threshold_otsu(values), abs=1e-6)
        ours = thresholds.minimum_cross_entropy(values, 0.5 / 65536)
        assert ours == pytest.approx(threshold_li(values, tolerance=0.5 / 65536), rel=1e-5)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, 0.20389093458652496),
        ({"threshold_correction": 0.8}, 0.16311274766922),
        ({"threshold": "minimum_cross_entropy"}, 0.14928114414215088),
    ],
)
def test_global_levels_are_those_of_cellprofiler(keys, expected):
    """Computed with CellProfiler 4.2.8."""
    assert thresholds.global_level(golden_nuclei.clumps(), Segmentation(**keys)) == pytest.approx(expected, rel=1e-6)


def test_local_levels_are_those_of_cellprofiler():
    """Computed with CellProfiler 4.2.8, whose measurement is the mean over the pixels."""
    settings = Segmentation(threshold="minimum_cross_entropy", adaptive_window=13)
    image = golden_nuclei.clumps()
    levels = thresholds.local_levels(image, thresholds.global_level(image, settings), settings)
    assert levels.shape == image.shape
    assert levels.mean() == pytest.approx(0.1437795375032567, rel=1e-6)


def test_minimum_cross_entropy_may_move_below_the_mean():
    values = np.concatenate([np.linspace(0.1, 0.2, 100), np.linspace(0.7, 0.9, 900)]).astype(np.float32)
    ours = thresholds.minimum_cross_entropy(values, 1e-5)
    assert ours < values.mean()
    assert ours == pytest.approx(threshold_li(values, tolerance=1e-5), rel=1e-4)


@pytest.mark.parametrize("threshold", ["otsu", "minimum_cross_entropy"])
def test_one_grey_level_is_its_own_threshold(threshold):
    image = np.full((20, 30), 0.25, np.float32)
    assert thresholds.global_level(image, Segmentation(threshold=threshold)) == 0.25


def test_coarse_grey_levels_make_minimum_cross_entropy_stop_sooner():
    """The tolerance is half the finest step between grey levels, as in CellProfiler."""
    y, x = np.mgrid[:40, :50]
    image = (((7 * y + 11 * x + x * y) % 16 + 10 * ((x > 20) & (y > 15))) / 25).astype(np.float32)
    level = thresholds.global_level(image, Segmentation(threshold="minimum_cross_entropy"))
    assert level == pytest.approx(threshold_li(image, tolerance=0.5 / 25), rel=1e-6)
    assert level != pytest.approx(threshold_li(image, tolerance=1e-6), rel=1e-3)


def test_correction_and_bounds():
    image = two_classes()
    level = thresholds.global_level(image, Segmentation())
    assert thresholds.global_level(image, Segmentation(threshold_correction=1.5)) == pytest.approx(1.5 * level)
    assert thresholds.global_level(image, Segmentation(threshold_bounds=(0.9, 1.0))) == 0.9
    assert thresholds.global_level(image, Segmentation(threshold_bounds=(0.9, 1.0)), 0.7) == pytest.approx(0.63)
    assert thresholds.global_level(image, Segmentation(threshold_bounds=(0.0, 0.1))) == 0.1


def test_local_levels_follow_the_background_but_not_far():
    y, x = np.mgrid[:120, :200]
    spots = ((y % 20 - 10) ** 2 + (x % 20 - 10) ** 2 < 25).astype(np.float32)
    light = 1 + x / 400
    image = (ndimage.gaussian_filter(0.2 + 0.2 * spots, 2) * light).astype(np.float32)
    settings = Segmentation(threshold_scope="adaptive", adaptive_window=40)
    levels = thresholds.local_levels(image, 0.35, settings)
    assert np.ptp(levels[20:100, 20:180] / light[20:100, 20:180]) < 0.05
    assert levels[60, 180] / levels[60, 20] == pytest.approx(light[60, 180] / light[60, 20], rel=0.1)
    bounds = thresholds.local_levels(image, 0.1, settings)
    assert np.ptp(bounds) == 0
    assert bounds[0, 0] == pytest.approx(0.15)


def test_a_window_too_large_is_an_error():
    with pytest.raises(UserError, match=r"adaptive_window.*40 x 90.*at most half.*20"):
        thresholds.local_levels(np.zeros((40, 90), np.float32), 0.1, Segmentation(adaptive_window=30))


def test_smoothing_keeps_a_plane_up_to_the_border():
    assert np.allclose(thresholds.smoothed(np.full((30, 40), 0.3, np.float32), 4.0), 0.3)
    image = two_classes()
    assert thresholds.smoothed(image, 0) is image
    step = np.zeros((60, 60), np.float32)
    step[:, 30:] = 1
    # Of what a pixel gets, half comes from within the scale: a quarter from each side of the middle.
    profile = thresholds.smoothed(step, 16.0)[30]
    assert profile[30 + 8] - profile[30 - 8] == pytest.approx(0.5, abs=0.03)
