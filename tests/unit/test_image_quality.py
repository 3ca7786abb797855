"""The recipe image_quality: its measures are those of CellProfiler and of phenorep's own field quality."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from phenorep import plugins
from phenorep.errors import UserError
from phenorep.imaging import quality, thresholds
from phenorep.methods import image_quality
from phenorep.methods.image_quality import Measures

# What MeasureImageQuality of CellProfiler 4.2.8 gives for `fixed`, at its scale of 20 pixels.
CELLPROFILER = {
    "slope": -4.634254423542097,
    "focus_score": 0.2432450777561592,
    "local_focus": 0.6408729890132155,
    "mad": 0.011972285807132721,
    "mean": 0.11905701955159505,
    "median": 0.0574055016040802,
    "least": 0.03004455380141735,
    "std": 0.17017647624015808,
    "maximal": 0.6336805555555556,  # percent
    "minimal": 0.008680555555555556,
}
INTENSITIES = ("mean", "std", "median", "mad", "least", "most", "background", "minimal", "maximal", "saturated")


def fixed(height=96, width=120):
    """Three spots on a fine pattern, cut off at 1."""
    y, x = np.mgrid[:height, :width]
    spots = ((20, 30, 6, 0.8), (60, 80, 9, 1.1), (75, 25, 4, 0.6))
    image = sum(np.exp(-((y - down) ** 2 + (x - across) ** 2) / (2 * s * s)) * high for down, across, s, high in spots)
    return np.clip(0.05 + image + 0.02 * np.sin(1.7 * x + 0.9 * y) * np.cos(0.6 * x - 2.1 * y), 0, 1)


def drawn(shape=(4, 3, 40, 56), seed=0):
    """Blurred noise, some of it saturated."""
    values = ndimage.gaussian_filter(np.random.default_rng(seed).gamma(2, size=shape), (*[0] * (len(shape) - 2), 1.5, 1.5))
    return (values / values.max() * 1.2).clip(0, 1).astype(np.float32)


def tensor(image):
    return torch.from_numpy(np.asarray(image, dtype=np.float32)).reshape(1, 1, *image.shape[-2:])


def test_measures_are_those_of_cellprofiler():
    image = tensor(fixed())
    intensities = dict(zip(INTENSITIES, image_quality.intensities(image), strict=True))
    found = {name: float(values) for name, values in intensities.items()}
    found["maximal"], found["minimal"] = 100 * found["maximal"], 100 * found["minimal"]
    found |= {"slope": float(image_quality.power_slope(image)), "focus_score": float(image_quality.focus_score(image))}
    found |= {"local_focus": float(image_quality.local_focus(image, 20))}
    for name, value in CELLPROFILER.items():
        assert found[name] == pytest.approx(value, rel=2e-4), name
    assert found["saturated"] == pytest.approx(CELLPROFILER["maximal"] / 100)
    assert found["most"] == 1


def test_measures_that_stand_in_the_fields_quality_are_the_same():
    images = drawn()
    found = torch.from_numpy(images)
    focus = [[quality.focus(channel) for channel in image] for image in images]
    np.testing.assert_allclose(image_quality.focus(found), focus, atol=1e-5)
    background, saturated = (
        image_quality.intensities(found)[INTENSITIES.index(name)] for name in ("background", "saturated")
    )
    np.testing.assert_allclose(background, [[quality.background(c) for c in image] for image in images], rtol=1e-6)
    np.testing.assert_allclose(saturated, [[quality.saturation(c, 1.0) for c in image] for image in images], rtol=1e-6)
    assert 0 < float(saturated.max()) < 1
    otsu = [[thresholds.otsu(channel.ravel()) for channel in image] for image in images]
    np.testing.assert_allclose(image_quality.otsu(found), otsu, atol=1 / 256)


def test_correlation_and_laplacian_are_what_they_say():
    images = drawn((2, 2, 20, 30))
    found = image_quality.correlation(torch.from_numpy(images), 7).numpy()
    expected = [[np.corrcoef(c[:, :-7].ravel(), c[:, 7:].ravel())[0, 1] for c in image] for image in images]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    energy = [[np.log10((ndimage.laplace(c.astype(float))[1:-1, 1:-1] ** 2).mean()) for c in image] for image in images]
    np.testing.assert_allclose(image_quality.laplacian(torch.from_numpy(images)), energy, atol=1e-4)


def test_local_focus_takes_the_mean_of_the_middle_two_and_no_black_blocks():
    image = drawn((20, 40))
    image[:10, :10] = 0
    blocks = [image[i : i + 10, j : j + 10] for i in (0, 10) for j in range(0, 40, 10)][1:]
    scores = [block.var() / block.mean() for block in blocks[:6]]
    assert len(blocks) == 7
    even = image.copy()
    even[10:, 30:] = 0
    expected = np.var(scores) / np.median(scores)  # of six: the mean of the third and the fourth
    assert float(image_quality.local_focus(tensor(even), 10)) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("shape", [(24, 24), (9, 31), (64, 64)])
def test_blur_and_noise_are_seen_at_every_size(shape):
    generator = np.random.default_rng(1)
    sharp = drawn(shape)
    noisy = (sharp + generator.normal(0, 0.1, shape)).clip(0, 1)
    images = [tensor(image) for image in (noisy, sharp, ndimage.gaussian_filter(sharp, 2))]
    for measure in (image_quality.focus, image_quality.laplacian, image_quality.power_slope):
        values = [float(measure(image)) for image in images]
        assert np.isfinite(values).all()
        assert values == sorted(values, reverse=True), measure.__name__


def test_even_images_have_finite_measures():
    measures = Measures((10, 20))
    images = torch.stack([torch.full((2, 24, 32), value) for value in (0.0, 0.3, 1.0)])
    found = measures(images)
    assert torch.isfinite(found).all()
    assert found.shape == (3, 2 * 19)
    assert measures(torch.from_numpy(drawn((1, 2, 24, 32)))).shape == (1, 2 * 19)


def test_a_sample_does_not_depend_on_its_batch():
    images = torch.from_numpy(drawn())
    measures = Measures((10,))
    torch.testing.assert_close(measures(images)[1:2], measures(images[1:2]), rtol=1e-4, atol=1e-6)
    assert not list(measures.parameters())


@pytest.mark.parametrize(
    ("keys", "message"), [({"scaling": "plate"}, "saturation is not seen"), ({"windows": [1]}, "windows")]
)
def test_wrong_keys_are_named(keys, message):
    with pytest.raises(UserError, match=message):
        plugins.configure(image_quality.Config, keys, "methods: image_quality")


def test_it_is_a_baseline_and_no_control():
    assert "CONTROL" not in plugins.constants("methods", "image_quality")
    assert plugins.configure(image_quality.Config, {"scaling": {"clip": 900}}, "m").scaling == {"clip": 900}
