import numpy as np
import pytest
from centrosome.cpmorphology import block
from centrosome.smooth import fit_polynomial
from scipy import ndimage
from skimage.filters import rank

from phenorep.imaging import smoothing


def mean_image(shape=(83, 101), level=0.02, noise=0.02, seed=0):
    y, x = np.meshgrid(*(np.linspace(-1, 1, length) for length in shape), indexing="ij")
    image = level * (1 - 0.3 * ((y - 0.2) ** 2 + x**2) / 2)
    return (image * np.random.default_rng(seed).normal(1, noise, shape)).astype(np.float32)


@pytest.mark.parametrize("width", [3.0, 25.0, 200.0])
def test_gaussian_is_a_filter_with_nothing_beyond_the_border(width):
    image = mean_image()
    sigma = width / 2.35
    inside = ndimage.gaussian_filter(np.ones(image.shape), sigma, mode="constant")
    expected = ndimage.gaussian_filter(image.astype(float), sigma, mode="constant") / inside
    assert np.allclose(smoothing.gaussian(image, width), expected, rtol=1e-10)
    assert np.allclose(smoothing.gaussian(np.full((40, 50), 0.3, np.float32), width), 0.3)


@pytest.mark.filterwarnings("ignore:Bad rank filter performance")
@pytest.mark.parametrize(("level", "noise"), [(0.02, 0.02), (0.6, 0.1), (0.3, 0.5)])
@pytest.mark.parametrize("width", [1.0, 12.0, 40.0])
def test_median_is_the_exact_one_of_the_grey_levels(level, noise, width):
    """With few levels, and with so many that they are narrowed down first."""
    image = np.clip(mean_image(level=level, noise=noise), 0, 1)
    radius = max(1, int(width / 2.35 + 0.5))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    levels = (image * np.float32(65535)).astype(np.uint16)
    expected = rank.median(levels, (y**2 + x**2 <= radius**2).astype(np.uint8))
    assert (smoothing.median(image, width) * 65535).round().astype(int).tolist() == expected.tolist()


@pytest.mark.parametrize("shape", [(31, 47), (60, 20)])
def test_polynomial_is_the_least_squares_surface_of_pixels_above_0(shape):
    image = mean_image(shape)
    image[3:9, 5:12] = 0
    expected = fit_polynomial(image.astype(float), np.ones(shape, bool))
    assert np.allclose(smoothing.polynomial(image), expected, rtol=1e-7)


def test_polynomial_is_exact_for_a_polynomial_and_cut_to_0_and_1():
    y, x = np.mgrid[:31, :47] / 50
    image = 0.3 + 0.2 * y - 0.1 * x + 0.3 * x * y - 0.2 * y**2 + 0.1 * x**2
    assert np.allclose(smoothing.polynomial(image), image)
    steep = np.clip(2 * x - 0.5, 0, 1)
    assert smoothing.polynomial(steep).min() == 0
    assert smoothing.polynomial(steep).max() == 1
    assert not smoothing.polynomial(np.zeros((5, 6))).any()


@pytest.mark.parametrize(("shape", "side"), [((83, 101), 20), ((60, 60), 60), ((30, 40), 60), ((50, 70), 7)])
def test_blocks_are_those_of_centrosome(shape, side):
    image = (mean_image(shape) * 65535).astype(np.uint16)
    labels, _ = block(shape, (side, side))
    minima = ndimage.minimum(image, labels, np.arange(labels.max() + 1))
    assert (smoothing.spread(smoothing.block_minima(image, side), shape, side) == minima[labels]).all()
