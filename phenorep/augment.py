"""Augmentation of whole batches on the device, with parameters of their own for each sample, for any number of channels."""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from phenorep import plugins
from phenorep.errors import UserError


@dataclass(frozen=True)
class Augmentation:
    """What may happen to an image; the defaults leave intensities alone, which carry the phenotype."""

    quarter_turns: bool = True  # cells have no upright; false where they do
    flips: bool = True  # false where handedness matters
    transpose: bool = True  # mirror along the diagonal; square images only
    shift: float = 0.1  # largest shift, as a share of height and width; 0 where the cell must stay in the centre
    scale: tuple[float, float] = (0.9, 1.1)  # smallest and largest magnification; (1, 1) where size is the phenotype
    crop: tuple[float, float] = (1.0, 1.0)  # smallest and largest share of the area that a view shows
    gain: float = 0.0  # largest relative change of each channel's intensities; more where staining varies
    offset: float = 0.0  # largest change of each channel's background, in scaled units
    noise: float = 0.0  # largest standard deviation of added noise, in scaled units
    blur: float = 0.0  # largest sigma of a Gaussian blur in pixels; 0 where focus is the phenotype
    probability: float = 1.0  # share of samples that each of shift, scale, crop, gain, offset, noise and blur reaches

    def __post_init__(self):
        for name in ("gain", "offset", "noise", "blur"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")
        if not 0 <= self.shift <= 1:
            raise ValueError("shift must lie between 0 and 1")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError("scale must be two positive numbers in ascending order")
        if not 0 < self.crop[0] <= self.crop[1] <= 1:
            raise ValueError("crop must be two shares of the area between 0 and 1 in ascending order")
        if not 0 <= self.probability <= 1:
            raise ValueError("probability must lie between 0 and 1")


def configure_augmentation(values: dict | None, **defaults) -> Augmentation:
    """An `Augmentation` from configuration values over a recipe's defaults; raises `ValueError` on a wrong key or value."""
    try:
        return plugins.configure(Augmentation, {**defaults, **(values or {})}, "augment")
    except UserError as error:
        raise ValueError(str(error)) from error


def augment(
    images: torch.Tensor, settings: Augmentation, generator: torch.Generator, size: tuple[int, int] | None = None
) -> torch.Tensor:
    """One view of each image.

    Parameters
    ----------
    images
        (B, C, H, W) float32, scaled.
    generator
        Random state, on the images' device.
    size
        Height and width of the views in pixels; None: as the images.

    Returns
    -------
    torch.Tensor
        (B, C, *size) float32; what lies outside an image is filled by its mirror image. Where shift, scale and crop change
        nothing, the pixels are those of the image bit for bit. Samples that `probability` leaves out of them are resampled
        with the others: bit for bit too where the sides are powers of two, and else about 1e-7 of a side out of place.
    """
    # Mixed precision would round places and intensities to 8 bits, and hands over images that are so rounded.
    images = images.to(torch.promote_types(images.dtype, torch.float32))
    with torch.autocast(images.device.type, enabled=False):
        views = _place(images, settings, generator, tuple(size or images.shape[-2:]))
        views = _recolour(views, settings, generator)
        return _blur(views, settings, generator)


def _uniform(generator: torch.Generator, shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> torch.Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator, device=generator.device)


def _reached(settings: Augmentation, generator: torch.Generator, count: int) -> torch.Tensor:
    return _uniform(generator, (count,)) < settings.probability


def _place(images: torch.Tensor, settings: Augmentation, generator: torch.Generator, size: tuple[int, int]) -> torch.Tensor:
    """Turns, flips, shift, magnification and crop as one resampling of the whole batch."""
    count, whole = len(images), tuple(images.shape[-2:])
    turn = _orientations(count, whole[0] == whole[1], settings, generator).to(images.dtype)
    if settings.shift == 0 and settings.scale == (1, 1) and settings.crop == (1, 1) and size == whole:
        if not (settings.quarter_turns or settings.flips or settings.transpose):
            return images
        # The middle of each pixel falls upon that of another, whose value the nearest one is, bit for bit.
        return _resample(images, turn, turn.new_zeros(count, 2), size, "nearest")
    extent, centre = _windows(count, settings, generator)
    return _resample(images, turn * extent[:, :, None], (turn * centre[:, None]).sum(dim=2), size, "bilinear")


def _orientations(count: int, square: bool, settings: Augmentation, generator: torch.Generator) -> torch.Tensor:
    """(B, 2, 2): turns and flips as maps from places (x, y) in a view to places in its image."""
    horizontal, vertical, diagonal = (_uniform(generator, (3, count)) < 0.5).unbind()
    turns = torch.randint(0, 4, (count,), generator=generator, device=generator.device)
    still = torch.zeros_like(diagonal)
    # A wide image has no place to go where its axes are swapped: of quarter turns it makes half ones.
    odd, half = (turns % 2 == 1, turns >= 2) if settings.quarter_turns else (still, still)
    odd, diagonal = odd if square else still, diagonal if settings.transpose and square else still
    signs = torch.stack([horizontal, vertical], dim=1) if settings.flips else still[:, None].expand(count, 2)
    turn = torch.diag_embed(1 - 2 * signs.float())
    turn = torch.where(diagonal[:, None, None], turn.flip(2), turn)
    turn = torch.where(odd[:, None, None], torch.stack([turn[:, :, 1], -turn[:, :, 0]], dim=2), turn)
    return torch.where(half[:, None, None], -turn, turn)


def _windows(count: int, settings: Augmentation, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """What views show of their images, whose edges are -1 and 1: half a side (B, 1) and the centre (x, y), (B, 2)."""
    reached = _reached(settings, generator, count)[:, None]
    low, high = (math.log(value) for value in settings.scale)
    magnification = _uniform(generator, (count, 1), low, high).exp()
    side = _uniform(generator, (count, 1), *settings.crop).sqrt()
    # The centre of a crop lies where the whole crop is inside the image; a shift may reach beyond the edge.
    centre = _uniform(generator, (count, 2), -1, 1) * (1 - side) + _uniform(generator, (count, 2), -2, 2) * settings.shift
    return torch.where(reached, side / magnification, 1), torch.where(reached, centre, 0)


def _resample(
    images: torch.Tensor, turn: torch.Tensor, centre: torch.Tensor, size: tuple[int, int], mode: str
) -> torch.Tensor:
    """A view shows at (x, y) what its image has at ``turn @ (x, y) + centre``; edges are -1 and 1, beyond them is a mirror.

    The places are sums of one term per column and one per row: `functional.affine_grid` takes several times as long.

    Parameters
    ----------
    images, turn, centre
        (B, C, H, W), (B, 2, 2) and (B, 2).
    """
    y, x = (torch.arange(1 - length, length, 2, device=turn.device).to(turn.dtype) / length for length in size)
    along, down = turn[:, :, 0, None] * x + centre[:, :, None], turn[:, :, 1, None] * y  # (B, 2, w), (B, 2, h)
    places = (along[:, :, None, :] + down[:, :, :, None]).permute(0, 2, 3, 1)
    return functional.grid_sample(images, places, mode=mode, padding_mode="reflection", align_corners=False)


def _recolour(images: torch.Tensor, settings: Augmentation, generator: torch.Generator) -> torch.Tensor:
    """Gain and offset of each channel, and noise of each pixel."""
    count, channels = images.shape[:2]
    if settings.gain or settings.offset:
        reached = _reached(settings, generator, count)[:, None, None, None]
        gain = 1 + _uniform(generator, (count, channels, 1, 1), -settings.gain, settings.gain)
        offset = _uniform(generator, (count, channels, 1, 1), -settings.offset, settings.offset)
        images = torch.where(reached, images * gain + offset, images)
    if settings.noise:
        deviation = _uniform(generator, (count,), 0, settings.noise) * _reached(settings, generator, count)
        noise = torch.randn(images.shape, generator=generator, device=images.device)
        images = images + noise * deviation[:, None, None, None]
    return images


def _blur(images: torch.Tensor, settings: Augmentation, generator: torch.Generator) -> torch.Tensor:
    """Gaussian blur, along rows and then columns."""
    if not settings.blur:
        return images
    count, channels, height, width = images.shape
    sigma = _uniform(generator, (count,), 0, settings.blur) * _reached(settings, generator, count)
    radius = min(max(1, math.ceil(3 * settings.blur)), height - 1, width - 1)
    offsets = torch.arange(-radius, radius + 1, device=images.device)
    kernel = torch.exp(-0.5 * (offsets / sigma.clamp_min(1e-3)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)
    flat = images.reshape(1, count * channels, height, width)
    along_rows, along_columns = kernel[:, None, None, :], kernel[:, None, :, None]
    for weight, padding in ((along_rows, (radius, radius, 0, 0)), (along_columns, (0, 0, radius, radius))):
        padded = functional.pad(flat, padding, mode="reflect")
        flat = functional.conv2d(padded, weight, groups=count * channels)
    return flat.reshape(images.shape)
