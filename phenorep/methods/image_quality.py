"""Measures of image quality of each channel: what abnormal images were told by before encoders. Nothing is learnt.

The measures are those of CellProfiler's MeasureImageQuality [1], by which images of screens are commonly sorted out [0]:
focus by three ways, correlation of pixels at a distance, slope of the power spectrum, intensities, pixels at the ends of the
range, Otsu's threshold; and those of phenorep's own field quality (`phenorep.imaging.quality`), by the same definitions; and
the energy of the Laplacian. They are taken of each sample, not of the field that it lies in.

It is the classical baseline of image quality, to be read by a forest, and not a control: it knows what abnormal images look
like. Intensities are shares of the camera's range and never scaled by plate, or saturation could not be seen.

Three measures are not CellProfiler's to the digit: its Otsu threshold is of logarithms, and that of its segmentation is
taken here; its correlation sorts grey levels into few bins first; and its power spectrum ends at an eighth of the shorter
side, where a small crop has too few radii for a slope: here there are at least four.

[0] Bray and Carpenter 2018, Quality control for high-throughput imaging experiments using machine learning in CellProfiler,
    Methods in Molecular Biology 1683, 89-112
[1] CellProfiler, modules/measureimagequality.py, and centrosome, radial_power_spectrum.py
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from phenorep import encoders, recipes

SEEDED = False


@dataclass(frozen=True)
class Config(recipes.EncoderConfig):
    """Keys of the measures; `backbone` has no effect here."""

    scaling: Literal["plate", "range"] | dict = "range"  # {clip: c} where nothing brighter than c is to be told apart
    windows: tuple[int, ...] = (10, 20)  # pixels: blocks of the local focus, distances of the correlation; by crop size

    def __post_init__(self):
        super().__post_init__()
        if not self.windows or any(window < 2 for window in self.windows):
            raise ValueError("windows must be numbers of pixels, 2 or more")

    def check_scaling(self) -> None:
        """Raise `ValueError` where saturation could not be seen."""
        if self.scaling == "plate":
            raise ValueError("scaling must be range or {clip: an intensity} here: scaled by plate, saturation is not seen")
        encoders.check_scaling(self.scaling)


class Measures(nn.Module):
    """(B, C, H, W), 0 to 1, to (B, F): each measure of all channels, one after another."""

    def __init__(self, windows: tuple[int, ...]):
        super().__init__()
        self.windows = windows

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """All measures side by side."""
        parts = [focus(images), *intensities(images), focus_score(images), laplacian(images), power_slope(images)]
        for window in self.windows:
            parts += [local_focus(images, window), correlation(images, window)]
        return torch.cat([*parts, otsu(images)], dim=1)


def focus(images: torch.Tensor) -> torch.Tensor:
    """Detail at 2 to 4 pixels against 4 to 8, (B, C): `phenorep.imaging.quality.focus`."""
    height, width = (length // 2 * 2 for length in images.shape[-2:])
    halved = functional.avg_pool2d(images[..., :height, :width], 2)
    down, across = (_gaussians(length, images.device) for length in halved.shape[-2:])
    fine, middle, coarse = (down[step] @ halved @ across[step].T for step in range(3))
    bands = fine - middle, middle - coarse
    detail, structure = (band.flatten(2).var(dim=2, correction=0) for band in bands)
    known = (detail > 0) & (structure > 0)
    return torch.where(known, torch.log10(detail / structure), 0)


def intensities(images: torch.Tensor) -> list[torch.Tensor]:
    """Mean, deviation, median, its absolute deviation, least, most, background, and shares at the ends; each (B, C)."""
    flat = images.flatten(2)
    ranked = flat.sort(dim=2).values
    median = _quantile(ranked, 0.5)
    apart = (flat - median[..., None]).abs().sort(dim=2).values
    least, most = ranked[..., 0], ranked[..., -1]
    shares = [(flat == end[..., None]).to(flat.dtype).mean(dim=2) for end in (least, most)]
    saturated = (flat >= 1).to(flat.dtype).mean(dim=2)
    moments = [flat.mean(dim=2), flat.std(dim=2, correction=0)]
    return [*moments, median, _quantile(apart, 0.5), least, most, _quantile(ranked, 0.05), *shares, saturated]


def focus_score(images: torch.Tensor) -> torch.Tensor:
    """Variance over mean, (B, C); 0 for a black image."""
    flat = images.flatten(2)
    return _ratio(flat.var(dim=2, correction=0), flat.mean(dim=2))


def local_focus(images: torch.Tensor, window: int) -> torch.Tensor:
    """Variance over blocks, by their median, of each block's variance over mean, (B, C); black blocks do not count."""
    rows, columns = (_blocks(length, window, images.device) for length in images.shape[-2:])
    count = rows.sum(dim=1)[:, None] * columns.sum(dim=1)
    level = images.mean(dim=(2, 3), keepdim=True)  # differences of large squares would lose their digits
    first, second = (rows @ values @ columns.T / count for values in (images - level, (images - level) ** 2))
    mean = (first + level).flatten(2)
    # A black block's sum is exactly 0. Centred and moved back it is what rounding leaves, which depends on the processor.
    lit = (rows @ images @ columns.T / count).flatten(2) > 1e-10
    score = torch.where(lit, (second - first**2).clamp_min(0).flatten(2) / mean, torch.nan)
    known = score.isfinite()
    middle = score.nanmean(dim=2, keepdim=True)
    spread = torch.where(known, (score - middle) ** 2, 0).sum(dim=2) / known.sum(dim=2).clamp_min(1)
    return _ratio(spread, score.nanquantile(0.5, dim=2).nan_to_num())


def correlation(images: torch.Tensor, distance: int) -> torch.Tensor:
    """Correlation of pixels with those `distance` columns to the right, (B, C); 0 for an even image."""
    distance = min(distance, images.shape[-1] - 1)
    pair = images[..., :-distance].flatten(2), images[..., distance:].flatten(2)
    first, second = (side - side.mean(dim=2, keepdim=True) for side in pair)
    return _ratio((first * second).sum(dim=2), ((first**2).sum(dim=2) * (second**2).sum(dim=2)).sqrt())


def power_slope(images: torch.Tensor) -> torch.Tensor:
    """Slope of the logarithm of summed power over that of the radius in the spectrum, (B, C); 0 for an even image."""
    centred = images - images.mean(dim=(2, 3), keepdim=True)
    power = torch.fft.fft2(centred).abs().square().flatten(2)
    radii, rings = _rings(*images.shape[-2:], images.device)
    summed = power @ rings.T
    x = radii.log() - radii.log().mean()
    slope = (x * summed.clamp_min(torch.finfo(summed.dtype).tiny).log()).sum(dim=2) / (x**2).sum()
    # Rounding leaves some power to an even image, which has none.
    even = centred.square().mean(dim=(2, 3)) <= 1e-12 * images.square().mean(dim=(2, 3))
    return torch.where(even, 0, slope)


def laplacian(images: torch.Tensor) -> torch.Tensor:
    """Logarithm (base 10) of the mean square of the Laplacian, (B, C)."""
    inner = images[..., 1:-1, 1:-1]
    around = images[..., :-2, 1:-1] + images[..., 2:, 1:-1] + images[..., 1:-1, :-2] + images[..., 1:-1, 2:]
    return (around - 4 * inner).square().mean(dim=(2, 3)).clamp_min(1e-10).log10()  # of an even image: -10


def otsu(images: torch.Tensor) -> torch.Tensor:
    """Otsu's threshold, (B, C): `phenorep.imaging.thresholds.otsu`, but for values that lie on the edge of a bin."""
    flat = images.flatten(2)
    low, high = flat.min(dim=2).values, flat.max(dim=2).values
    number = 256  # of bins, as there
    width = ((high - low) / number)[..., None]
    bins = torch.where(width > 0, (flat - low[..., None]) / width, 0).long().clamp_max(number - 1)
    counts = torch.zeros(*flat.shape[:2], number, dtype=torch.float64, device=flat.device)
    counts.scatter_add_(2, bins, torch.ones_like(bins, dtype=torch.float64))
    centres = low[..., None] + width * (torch.arange(number, device=flat.device) + 0.5)
    below, mass = counts.cumsum(dim=2)[..., :-1], (counts * centres).cumsum(dim=2)
    above = flat.shape[2] - below
    dark, bright = mass[..., :-1] / below, (mass[..., -1:] - mass[..., :-1]) / above
    between = (below * above * (dark - bright) ** 2).nan_to_num(nan=-1.0)
    return torch.where(high > low, centres.gather(2, between.argmax(dim=2, keepdim=True))[..., 0], low)


def _ratio(above: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
    return torch.where(below > 0, above / below, 0)


def _quantile(ranked: torch.Tensor, share: float) -> torch.Tensor:
    """As numpy's, of values (B, C, pixels) in ascending order; torch.quantile refuses large batches."""
    place = share * (ranked.shape[2] - 1)
    low, part = int(place), place - int(place)
    return ranked[..., low] * (1 - part) + ranked[..., min(low + 1, ranked.shape[2] - 1)] * part


@lru_cache(maxsize=8)
def _gaussians(length: int, device: torch.device) -> torch.Tensor:
    """(3, length, length): scipy's filters of sigma 1, 2 and 4 along one axis, borders mirrored, as matrices."""
    from scipy import ndimage

    filters = [ndimage.gaussian_filter1d(np.eye(length), sigma, axis=0, truncate=3.0) for sigma in (1, 2, 4)]
    return torch.tensor(np.stack(filters), dtype=torch.float32, device=device)


@lru_cache(maxsize=16)
def _blocks(length: int, window: int, device: torch.device) -> torch.Tensor:
    """(blocks, length): which block each pixel of one axis is in; 0 or 1."""
    count = -(-length // window)
    own = (np.arange(length) * (count / length)).astype(int)
    return torch.tensor(own == np.arange(count)[:, None], dtype=torch.float32, device=device)


@lru_cache(maxsize=8)
def _rings(height: int, width: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Radii (R,) of the spectrum, and which of its places (R, H * W) belong to each; the first one is left out."""
    squares = np.add.outer(np.arange(height) ** 2, np.arange(width) ** 2)
    squares = np.minimum(squares, np.flipud(squares))
    squares = np.minimum(squares, np.fliplr(squares))
    radius = np.floor(np.sqrt(squares)).astype(int) + 1
    last = min(max(min(height, width) // 8, 6), radius.max() + 1)  # at least four, where there are as many
    radii = np.arange(2, max(last, 4))
    rings = radius.ravel() == radii[:, None]
    return tuple(torch.tensor(values, dtype=torch.float32, device=device) for values in (radii, rings))


class Recipe(recipes.Recipe):
    """The measures; nothing is learnt and nothing is drawn."""

    @classmethod
    def build_encoder(cls, config: Config, channels: int, size: tuple[int, int]) -> nn.Module:
        """No backbone: the measures themselves."""
        return Measures(config.windows)
