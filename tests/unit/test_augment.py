import numpy as np
import pytest
import torch
from torch.nn import functional

from phenorep.augment import Augmentation, augment, configure_augmentation

STILL = {"quarter_turns": False, "flips": False, "transpose": False, "shift": 0, "scale": (1, 1)}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def one_image(count, channels=2, size=(16, 16)):
    return torch.rand(1, channels, *size, generator=seeded(5)).repeat(count, 1, 1, 1)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("size", [(16, 16), (12, 20)])
def test_any_number_of_channels_and_any_shape(channels, size):
    settings = Augmentation(gain=0.2, offset=0.1, noise=0.1, blur=1.0, crop=(0.5, 1))
    views = augment(one_image(5, channels, size), settings, seeded())
    assert views.shape == (5, channels, *size)
    assert torch.isfinite(views).all()


def test_same_random_state_same_views():
    settings = Augmentation(gain=0.2, offset=0.1, noise=0.1, blur=1.0, crop=(0.5, 1))
    first, again, other = (augment(one_image(6), settings, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_nothing_configured_changes_nothing():
    images = one_image(3)
    assert torch.equal(augment(images, Augmentation(**STILL), seeded()), images)


@pytest.mark.parametrize("change", ["quarter_turns", "flips", "transpose"])
def test_turns_move_pixels_exactly_and_differ_between_samples(change):
    images = one_image(64)
    views = augment(images, Augmentation(**{**STILL, change: True}), seeded())
    assert torch.equal(views.flatten(1).sort(dim=1).values, images.flatten(1).sort(dim=1).values)
    expected = {"quarter_turns": 4, "flips": 4, "transpose": 2}[change]
    assert len(views.unique(dim=0)) == expected


def test_all_eight_orientations_of_a_square_occur():
    views = augment(one_image(200), Augmentation(shift=0, scale=(1, 1)), seeded())
    assert len(views.unique(dim=0)) == 8


def test_wide_images_are_turned_by_half_turns_only():
    images = one_image(64, size=(12, 20))
    views = augment(images, Augmentation(shift=0, scale=(1, 1)), seeded())
    assert len(views.unique(dim=0)) == 4


def orientations(images):
    """All that turns and flips can make of (B, C, H, W): (8, B, C, H, W), of wide images (4, ...)."""
    turned = [images.rot90(turns, (-2, -1)) for turns in range(4)]
    every = [view for part in turned for view in (part, part.flip(-1))]
    return torch.stack([view for view in every if view.shape == images.shape])


SIZES = [(1, 1), (7, 7), (16, 16), (50, 50), (129, 129), (224, 224), (12, 20), (13, 21), (20, 13)]


@pytest.mark.parametrize("size", SIZES)
def test_turns_are_exact_at_any_size(size):
    images = torch.rand(40, 2, *size, generator=seeded(4))
    views = augment(images, Augmentation(shift=0, scale=(1, 1)), seeded())
    assert (orientations(images) == views).flatten(2).all(dim=2).any(dim=0).all()


@pytest.mark.parametrize("size", SIZES)
def test_samples_that_are_not_reached_are_only_turned(size):
    images = torch.rand(40, 2, *size, generator=seeded(4))
    views = augment(images, Augmentation(crop=(0.5, 0.8), probability=0), seeded())
    errors = (orientations(images) - views).abs().amax(dim=(2, 3, 4)).amin(dim=0)
    assert errors.max() <= 2e-7 * max(size)
    if size == (16, 16):
        assert errors.max() == 0


@pytest.mark.parametrize("view", [None, (9, 9), (31, 18)])
@pytest.mark.parametrize("size", [(24, 24), (25, 25), (18, 30)])
def test_turning_and_moving_at_once_is_turning_and_then_moving(size, view):
    images = torch.rand(60, 2, *size, generator=seeded(4))
    moved = {"shift": 0.3, "scale": (0.6, 1.5), "crop": (0.4, 0.9), "probability": 0.8}
    turned = augment(images, Augmentation(shift=0, scale=(1, 1)), seeded(1))
    # The same random state: the same turns in the first, the same windows in both.
    at_once = augment(images, Augmentation(**moved), seeded(1), view)
    one_by_one = augment(turned, Augmentation(**{**STILL, **moved}), seeded(1), view)
    torch.testing.assert_close(at_once, one_by_one, atol=2e-5, rtol=0)


def test_beyond_the_edge_is_the_mirror_image():
    images = torch.rand(3, 2, 16, 16, generator=seeded(4))
    views = augment(images, Augmentation(**{**STILL, "scale": (0.5, 0.5)}), seeded())
    mirrored = np.pad(images.numpy(), ((0, 0), (0, 0), (8, 8), (8, 8)), mode="symmetric")
    # At half the size each pixel of the view lies in the middle of four.
    expected = functional.avg_pool2d(torch.from_numpy(mirrored), 2)
    torch.testing.assert_close(views, expected, atol=1e-5, rtol=0)


def test_mixed_precision_rounds_neither_places_nor_intensities():
    images = torch.rand(6, 2, 64, 64, generator=seeded(4))
    settings = Augmentation(gain=0.2, offset=0.1, noise=0.1, blur=1.0, crop=(0.5, 1))
    expected = augment(images, settings, seeded())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        views = augment(images, settings, seeded())
    assert torch.equal(views, expected)
    # Rounded images may be handed over: nothing is rounded once more.
    rounded = images.to(torch.bfloat16)
    assert torch.equal(augment(rounded, settings, seeded()), augment(rounded.float(), settings, seeded()))


def test_channels_move_together():
    image = torch.rand(1, 1, 16, 16, generator=seeded(3)).repeat(20, 4, 1, 1)
    views = augment(image, Augmentation(crop=(0.4, 0.9), blur=1.0), seeded())
    torch.testing.assert_close(views, views[:, :1].expand_as(views))


def test_shift_is_a_share_of_the_image():
    images = torch.zeros(200, 1, 40, 40)
    images[:, :, 19:21, 19:21] = 1
    views = augment(images, Augmentation(**{**STILL, "shift": 0.2}), seeded())
    weights = views[:, 0] / views[:, 0].sum(dim=(1, 2), keepdim=True)
    centre = (weights.sum(dim=1) * torch.arange(40)).sum(dim=1) - 19.5
    assert centre.abs().max() <= 8 + 0.1
    assert centre.abs().max() > 6
    assert len(centre.round(decimals=3).unique()) > 150


def test_scale_magnifies():
    rows, columns = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="ij")
    disc = ((rows - 19.5) ** 2 + (columns - 19.5) ** 2 <= 36).float().repeat(100, 1, 1, 1)
    areas = augment(disc, Augmentation(**{**STILL, "scale": (0.5, 2.0)}), seeded()).sum(dim=(1, 2, 3)) / disc[0].sum()
    assert 0.22 < areas.min() < 0.35
    assert 3 < areas.max() < 4.3


def test_crops_stay_inside_the_image_and_have_the_asked_size():
    ramp = torch.arange(64.0).repeat(50, 1, 64, 1)
    views = augment(ramp, Augmentation(**STILL, crop=(0.25, 0.25)), seeded(), size=(32, 32))
    steps = views[:, :, :, 1:] - views[:, :, :, :-1]
    assert views.shape == (50, 1, 32, 32)
    torch.testing.assert_close(steps, torch.ones_like(steps), atol=1e-3, rtol=0)  # a mirrored edge would run backwards


def test_gain_and_offset_are_drawn_for_each_channel():
    views = augment(torch.ones(500, 2, 4, 4), Augmentation(**STILL, gain=0.3), seeded())
    values = views[:, :, 0, 0]
    assert 0.7 <= values.min() < 0.75
    assert 1.25 < values.max() <= 1.3
    assert torch.corrcoef(values.T)[0, 1].abs() < 0.15


def test_noise_and_blur_are_bounded():
    flat = torch.zeros(100, 1, 32, 32)
    deviations = augment(flat, Augmentation(**STILL, noise=0.5), seeded()).std(dim=(1, 2, 3))
    assert deviations.max() < 0.55
    assert deviations.max() > 0.4
    noisy = torch.rand(100, 1, 32, 32, generator=seeded(2))
    blurred = augment(noisy, Augmentation(**STILL, blur=2.0), seeded())
    ratio = blurred.std(dim=(1, 2, 3)) / noisy.std(dim=(1, 2, 3))
    assert ratio.min() < 0.2
    assert ratio.max() <= 1.001
    torch.testing.assert_close(blurred.mean(dim=(1, 2, 3)), noisy.mean(dim=(1, 2, 3)), atol=0.02, rtol=0)


def test_probability_is_the_share_of_samples_that_are_reached():
    images = one_image(1000)
    views = augment(images, Augmentation(**{**STILL, "shift": 0.2}, probability=0.3), seeded())
    same = torch.isclose(views, images, atol=1e-4).all(dim=(1, 2, 3)).float().mean()
    assert same == pytest.approx(0.7, abs=0.05)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"shift": 2}, "shift must"),
        ({"crop": [0.5, 2]}, "crop must"),
        ({"scale": [2, 1]}, "scale must"),
        ({"noise": -1}, "noise must"),
        ({"probability": 1.5}, "probability must"),
        ({"flip": True}, "Did you mean 'flips'"),
    ],
)
def test_wrong_settings_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        configure_augmentation(values)
