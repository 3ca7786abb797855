"""Crops of random place and size, all views of all samples in two matrix products on the device.

Resampling is bicubic with anti-aliasing as in Pillow and torchvision [0]. For each axis of each crop it is a small matrix of
weights, so that windows of different sizes need no loop. Values are not clipped: beside a sharp edge they may overshoot.

[0] Keys 1981, Cubic convolution interpolation for digital image processing, doi:10.1109/TASSP.1981.1163711 (a = -0.5)
"""

import math

import torch


def random_windows(
    count: int,
    size: tuple[int, int],
    area: tuple[float, float],
    ratio: tuple[float, float],
    generator: torch.Generator,
) -> torch.Tensor:
    """Windows inside an image, uniform in area and in the logarithm of their aspect ratio.

    A window that would not fit is made smaller at the same aspect ratio.

    Parameters
    ----------
    count
        Number of windows.
    size
        Height and width of the image in pixels.
    area
        Smallest and largest share of the image's area.
    ratio
        Smallest and largest width over height.
    generator
        Random state, on the device of the images.

    Returns
    -------
    torch.Tensor
        (count, 4) int64: top, left, height, width in pixels.
    """
    height, width = size
    drawn = torch.rand(4, count, generator=generator, device=generator.device, dtype=torch.float64)
    pixels = (area[0] + (area[1] - area[0]) * drawn[0]) * height * width
    aspect = torch.exp(math.log(ratio[0]) + (math.log(ratio[1]) - math.log(ratio[0])) * drawn[1])
    tall, wide = torch.sqrt(pixels / aspect), torch.sqrt(pixels * aspect)
    shrink = torch.minimum(height / tall, width / wide).clamp_max(1)
    tall = (tall * shrink).round().clamp(1, height)
    wide = (wide * shrink).round().clamp(1, width)
    top = (drawn[2] * (height - tall + 1)).floor()
    left = (drawn[3] * (width - wide + 1)).floor()
    return torch.stack([top, left, tall, wide], dim=1).to(torch.int64)


def crop(images: torch.Tensor, windows: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Cut several windows out of each image and resample them to one size.

    Parameters
    ----------
    images
        (B, C, H, W) floating point.
    windows
        (B, V, 4) top, left, height, width in pixels, inside the images.
    size
        Height and width of the views.

    Returns
    -------
    torch.Tensor
        (V * B, C, *size), of the images' type: the first view of all images, then the second, ...
    """
    count, channels, height, width = images.shape
    views = windows.shape[1]
    # Only what the largest window needs is taken: small crops of large fields cost little, and there is no loop.
    tall, wide = (int(length) for length in windows[..., 2:].amax(dim=(0, 1)))
    top, left = windows[..., 0].clamp_max(height - tall), windows[..., 1].clamp_max(width - wide)
    across = top[:, :, None, None] + torch.arange(tall, device=images.device)[:, None]
    along = left[:, :, None, None] + torch.arange(wide, device=images.device)
    image = torch.arange(count, device=images.device)[:, None, None, None]
    parts = images.permute(0, 2, 3, 1)[image, across, along]  # (B, V, tall, wide, C)
    # Mixed precision would round intensities to 8 bits here.
    with torch.autocast(images.device.type, enabled=False):
        rows = axis_weights(windows[..., 0] - top, windows[..., 2], tall, size[0], images.dtype)  # (B, V, h, tall)
        columns = axis_weights(windows[..., 1] - left, windows[..., 3], wide, size[1], images.dtype)  # (B, V, w, wide)
        strips = (rows @ parts.flatten(3)).unflatten(3, (wide, channels))
        cropped = torch.einsum("bvhxc,bvwx->vbchw", strips, columns)
    return cropped.reshape(views * count, channels, *size)


def axis_weights(start: torch.Tensor, length: torch.Tensor, full: int, size: int, dtype: torch.dtype) -> torch.Tensor:
    """What each pixel of one axis gives to each pixel of a view.

    Parameters
    ----------
    start, length
        (...) first pixel and number of pixels of the windows.
    full, size
        Number of pixels of the image and of the view along this axis.

    Returns
    -------
    torch.Tensor
        (..., size, full); each row sums to 1 and is 0 outside the window.
    """
    start, length = start.to(dtype)[..., None, None], length.to(dtype)[..., None, None]
    step = length / size
    centre = start + (torch.arange(size, device=start.device, dtype=dtype)[:, None] + 0.5) * step
    pixel = torch.arange(full, device=start.device, dtype=dtype)
    weights = _cubic((pixel + 0.5 - centre) / step.clamp_min(1))
    weights = weights * ((pixel >= start) & (pixel < start + length))
    return weights / weights.sum(dim=-1, keepdim=True)


def _cubic(distance: torch.Tensor) -> torch.Tensor:
    """The cubic convolution kernel with a = -0.5 at distances in units of the coarser of the two grids."""
    x = distance.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, 0))
