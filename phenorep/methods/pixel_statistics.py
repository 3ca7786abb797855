"""Statistics of pixel values and of their gradients: a control. What it tells apart needs no learning.

For each channel mean, deviation, skewness, kurtosis and percentiles of intensity, and mean and deviation of the gradient at
several scales; for each pair of channels their correlation.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from phenorep import recipes

SEEDED = False
CONTROL = True


@dataclass(frozen=True)
class Config(recipes.EncoderConfig):
    """Keys of the statistics; `backbone` has no effect here."""

    percentiles: tuple[float, ...] = (1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0)  # fewer where samples are few
    scales: tuple[int, ...] = (1, 2, 4)  # pixels that are averaged before the gradient is taken; more for large textures

    def __post_init__(self):
        super().__post_init__()
        if any(not 0 <= value <= 100 for value in self.percentiles):
            raise ValueError("percentiles must lie between 0 and 100")
        if not self.scales or any(scale < 1 for scale in self.scales):
            raise ValueError("scales must be positive numbers of pixels")


class Statistics(nn.Module):
    """(B, C, H, W) to (B, F): the statistics of each channel, then the correlations of channels."""

    def __init__(self, percentiles: tuple[float, ...], scales: tuple[int, ...]):
        super().__init__()
        self.percentiles = percentiles
        self.scales = scales

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """All statistics side by side."""
        flat = images.flatten(2)
        mean = flat.mean(dim=2, keepdim=True)
        deviation = flat.std(dim=2, correction=0, keepdim=True)
        standard = (flat - mean) / deviation.clamp_min(1e-6)
        parts = [mean[..., 0], deviation[..., 0], (standard**3).mean(dim=2), (standard**4).mean(dim=2)]
        # Sorted once for all percentiles; torch.quantile refuses large batches.
        ranked = flat.sort(dim=2).values
        for percentile in self.percentiles:
            place = percentile / 100 * (flat.shape[2] - 1)
            low, share = int(place), place - int(place)
            high = min(low + 1, flat.shape[2] - 1)
            parts.append(ranked[..., low] * (1 - share) + ranked[..., high] * share)
        for scale in self.scales:
            gradient = self._gradient(images, scale)
            parts += [gradient.mean(dim=2), gradient.std(dim=2, correction=0)]
        return torch.cat([*parts, self._correlations(standard)], dim=1)

    @staticmethod
    def _gradient(images: torch.Tensor, scale: int) -> torch.Tensor:
        """(B, C, pixels): length of the gradient of the image averaged over squares of `scale` pixels."""
        # A scale beyond the image would leave nothing to differ: two squares are the least.
        square = min(scale, max(1, min(images.shape[-2:]) // 2))
        coarse = functional.avg_pool2d(images, square) if square > 1 else images
        across = coarse[..., :-1, 1:] - coarse[..., :-1, :-1]
        down = coarse[..., 1:, :-1] - coarse[..., :-1, :-1]
        return (across**2 + down**2).sqrt().flatten(2)

    @staticmethod
    def _correlations(standard: torch.Tensor) -> torch.Tensor:
        """(B, C * (C - 1) / 2): correlation of each pair of channels over pixels."""
        count = standard.shape[1]
        together = standard @ standard.transpose(1, 2) / standard.shape[2]
        first, second = torch.triu_indices(count, count, offset=1)
        return together[:, first, second]


class Recipe(recipes.Recipe):
    """The statistics; nothing is learnt and nothing is drawn."""

    @classmethod
    def build_encoder(cls, config: Config, channels: int, size: tuple[int, int]) -> nn.Module:
        """No backbone: the statistics themselves."""
        return Statistics(config.percentiles, config.scales)
