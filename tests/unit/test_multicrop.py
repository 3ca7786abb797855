import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from phenorep import multicrop


@pytest.fixture
def images():
    return torch.randn(3, 2, 40, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_window_of_the_size_of_the_view_is_the_exact_crop(images):
    windows = torch.tensor([[[0, 0, 16, 16], [24, 34, 16, 16]], [[3, 7, 16, 16]] * 2, [[20, 1, 16, 16]] * 2])
    views = multicrop.crop(images, windows, (16, 16))
    assert views.shape == (6, 2, 16, 16)
    for view in range(2):
        for sample in range(3):
            top, left = windows[sample, view, :2]
            assert torch.equal(views[view * 3 + sample], images[sample, :, top : top + 16, left : left + 16])


@pytest.mark.parametrize("size", [(12, 12), (31, 17), (48, 64)])
def test_resampling_is_that_of_torch_and_of_pillow(images, size):
    windows = multicrop.random_windows(12, (40, 50), (0.05, 0.9), (0.5, 2.0), seeded()).reshape(3, 4, 4)
    views = multicrop.crop(images, windows, size)
    for view in range(4):
        for sample in range(3):
            top, left, height, width = windows[sample, view].tolist()
            part = images[sample, :, top : top + height, left : left + width]
            expected = functional.interpolate(part[None], size, mode="bicubic", antialias=True)[0]
            found = views[view * 3 + sample]
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)
            pillow = Image.fromarray(part[0].numpy().astype(np.float32)).resize(size[::-1], Image.Resampling.BICUBIC)
            np.testing.assert_allclose(found[0].numpy(), np.asarray(pillow), rtol=1e-4, atol=1e-5)


def test_pixels_outside_the_window_do_not_count(images):
    window = torch.tensor([[[5, 6, 20, 30]]] * 3)
    changed = torch.full_like(images, 1e6)
    changed[:, :, 5:25, 6:36] = images[:, :, 5:25, 6:36]
    assert torch.equal(multicrop.crop(changed, window, (9, 9)), multicrop.crop(images, window, (9, 9)))


def test_windows_lie_inside_and_have_the_wanted_area_and_ratio():
    top, left, height, width = multicrop.random_windows(4000, (512, 640), (0.1, 0.2), (0.75, 4 / 3), seeded()).unbind(dim=1)
    assert top.min() >= 0
    assert left.min() >= 0
    assert (top + height).max() <= 512
    assert (left + width).max() <= 640
    share = height * width / (512 * 640)
    assert 0.099 < share.min() < 0.101
    assert 0.199 < share.max() < 0.201
    assert share.mean() == pytest.approx(0.15, abs=0.002)  # uniform in area, not in side
    ratio = (width / height).log()
    assert ratio.mean() == pytest.approx(0.0, abs=0.01)
    assert (width / height).max() <= 4 / 3 + 0.02
    assert len(torch.unique(torch.stack([top, left, height, width]), dim=1).T) > 3900  # each has parameters of its own
    assert (left / (640 - width)).mean() == pytest.approx(0.5, abs=0.02)


def test_a_window_that_does_not_fit_keeps_its_shape():
    windows = multicrop.random_windows(50, (32, 64), (1.0, 1.0), (1.0, 1.0), seeded())
    assert (windows[:, 2] == 32).all()
    assert (windows[:, 3] == 32).all()
    assert windows[:, 1].max() > 16


def test_same_seed_same_windows():
    first, again, other = (multicrop.random_windows(9, (40, 50), (0.1, 0.5), (1.0, 1.0), seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_mixed_precision_does_not_coarsen_intensities(images):
    windows = multicrop.random_windows(6, (40, 50), (0.1, 0.5), (1.0, 1.0), seeded()).reshape(3, 2, 4)
    plain = multicrop.crop(images.float(), windows, (16, 16))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = multicrop.crop(images.float(), windows, (16, 16))
    assert mixed.dtype == torch.float32
    assert torch.equal(plain, mixed)
