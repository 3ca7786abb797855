"""Transfer learning: a backbone trained on natural images, used on microscope images as it is.

Each channel is shown to the network as a grey image and the features stand side by side (``channel_mode: separate``), or the
first layer is widened to all channels (``adapt``).

[0] Kornblith et al. 2019, Do better ImageNet models transfer better?, arXiv:1805.08974
[1] huggingface/pytorch-image-models and pytorch/vision: architectures and published weights
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from phenorep import encoders, recipes, weights

SEEDED = False


@dataclass(frozen=True)
class Config(recipes.EncoderConfig):
    """Keys of a backbone with published weights."""

    backbone: str = "resnet18"  # a name of timm, or torchvision/NAME; with timm a tag (resnet18.a1_in1k) names the weights
    weights: str = "download"  # a local file; package: those of tf_efficientnet_lite0, which are installed; none: untrained
    channel_mode: Literal["separate", "adapt"] = "separate"  # adapt is C times faster and mixes channels early
    scaling: Literal["plate", "range"] | dict = "range"  # any of {clip, maximum, order, mean, std}, if not as published
    resize: int | None = None  # pixels of the shorter side: what the weights were trained on, if samples are smaller

    def __post_init__(self):
        super().__post_init__()
        if self.resize is not None and self.resize < 8:
            raise ValueError("resize must be at least 8 pixels, or null")

    def check_scaling(self) -> None:
        """Raise `ValueError` where a key of the scaling is wrong."""
        if isinstance(self.scaling, dict):
            if unknown := set(self.scaling) - {"clip", "maximum", "order", "mean", "std"}:
                raise ValueError(f"scaling must hold clip, maximum, order, mean and std, not {', '.join(sorted(unknown))}")
            if "clip" in self.scaling:
                encoders.check_clip(self.scaling["clip"])
            if self.scaling.get("order", "rgb") not in ("rgb", "bgr"):
                raise ValueError("scaling: order must be rgb or bgr")
            for key in ("mean", "std"):
                if len(self.scaling.get(key, (0, 0, 0))) != 3:
                    raise ValueError(f"scaling: {key} must be three numbers, in the order of the planes")


class ColourNetwork(nn.Module):
    """A network for colour images that reads any number of channels: (B, C, H, W) to (B, features).

    Parameters
    ----------
    network
        For three planes, or for C where `separate` is false.
    separate
        Show each channel alone, as grey.
    flip
        The planes are blue, green, red: three channels that are shown together are taken as red, green, blue.
    """

    def __init__(self, network: nn.Module, channels: int, separate: bool, flip: bool, resize: int | None):
        super().__init__()
        self.network = network
        self.separate, self.flip, self.resize = separate, flip and channels == 3, resize
        self.planes = 3 if separate else channels
        self.register_buffer("maximum", torch.ones(()))
        self.register_buffer("mean", torch.zeros(self.planes))
        self.register_buffer("std", torch.ones(self.planes))

    def set_colours(
        self, maximum: float = 1.0, mean: tuple[float, ...] = (0, 0, 0), std: tuple[float, ...] = (1, 1, 1)
    ) -> None:
        """The scaling of the weights, for three planes; further planes repeat it, as the widened first layer does."""
        self.maximum.fill_(maximum)
        self.mean.copy_(torch.tensor([float(mean[plane % 3]) for plane in range(self.planes)]))
        self.std.copy_(torch.tensor([float(std[plane % 3]) for plane in range(self.planes)]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features of all channels."""
        count, channels = images.shape[:2]
        if self.resize is not None:
            factor = self.resize / min(images.shape[-2:])
            size = [round(length * factor) for length in images.shape[-2:]]
            images = functional.interpolate(images, size, mode="bilinear", antialias=True)
        if self.separate:
            images = images.reshape(count * channels, 1, *images.shape[-2:]).expand(-1, 3, -1, -1)
        elif self.flip:
            images = images.flip(1)
        images = (images * self.maximum - self.mean[:, None, None]) / self.std[:, None, None]
        return self.network(images).reshape(count, -1)


class Recipe(recipes.Recipe):
    """The backbone with its weights; the encoder's file holds them, so nothing is fetched again."""

    @classmethod
    def check(cls, config: Config) -> None:
        """Architecture and file of the weights must be there."""
        if not config.backbone.startswith(weights.TORCHVISION):  # whose names are known by an import alone
            super().check(config)
        weights.check_source(config.weights, config.backbone)

    @classmethod
    def build_encoder(cls, config: Config, channels: int, size: tuple[int, int]) -> nn.Module:
        """The architecture, without its weights."""
        network = weights.architecture(config.backbone)
        separate = config.channel_mode == "separate"
        if not separate:
            weights.widen(network, channels)
        scaling = config.scaling if isinstance(config.scaling, dict) else {}
        return ColourNetwork(network, channels, separate, scaling.get("order") == "bgr", config.resize)

    @property
    def scaling(self) -> str | dict:
        """The weights' own scaling starts from 0 to 1 and is part of the network."""
        if not isinstance(self.config.scaling, dict):
            return self.config.scaling
        return {"clip": self.config.scaling["clip"]} if "clip" in self.config.scaling else "range"

    def setup(self) -> None:
        """Load the weights into the network for three planes, and widen that where it is asked for."""
        config = self.config
        if isinstance(config.scaling, dict):
            scaling = {key: value for key, value in config.scaling.items() if key not in ("order", "clip")}
            self.encoder.set_colours(**scaling)
        elif config.scaling == "range" and config.weights != "none":
            self.encoder.set_colours(**weights.colours(config.backbone, config.weights))
        if config.weights == "none":
            return
        network = weights.architecture(config.backbone)
        weights.put(network, config.weights, config.backbone)
        if not self.encoder.separate:
            weights.widen(network, len(self.channels))
        self.encoder.network.load_state_dict(network.state_dict())
