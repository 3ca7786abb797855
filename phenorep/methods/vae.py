"""Variational autoencoder: an image is squeezed into a few Gaussian numbers, from which a second network draws it again.

The embedding is the mean of the Gaussian. Turns and flips are the only augmentation: shift and size would have to be drawn
again, and take up room. With ``adversarial: true`` it is what [2] calls VAE+: a discriminator learns to tell images from
reconstructions, and these must agree in its features too, layer after layer as the training goes on.

Latent size, activations, normalisation, the schedule of the layers and the growth of maps by repeating pixels are those of
[1]. Different from [1]: maps are halved by the stride of the convolutions instead of pooling; the discriminator has no
hidden layer before its decision and shares the optimiser, at a tenth of the learning rate; and by default a pixel's noise is
taken from the error of the reconstruction, so that samples of any scaling can be learned from.

[0] Kingma and Welling 2013, Auto-encoding variational Bayes, arXiv:1312.6114
[1] tueimage/cytoVAE
[2] Lafarge et al. 2019, Capturing single-cell phenotypic variation via unsupervised representation learning,
    PMLR 102:315-325
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from phenorep import encoders, recipes
from phenorep.augment import Augmentation, configure_augmentation

SEEDED = True


@dataclass(frozen=True)
class Config(recipes.PretrainConfig):
    """Keys of a variational autoencoder."""

    backbone: str = "none"  # none: convolutions of `widths`, which keep places; any of timm: its pooled features
    widths: tuple[int, ...] = (32, 64, 128, 256)  # of encoder and decoder; each halves the image: more for large ones
    latent: int = 256  # length of the embedding, as in [1]; fewer are squeezed harder
    beta: float = 1.0  # weight of the divergence; more for smoother and fewer dimensions in use; 2 in [1], with noise 1
    reconstruction: Literal["mse", "bernoulli"] = "mse"  # bernoulli takes pixels of 0 to 1 as probabilities
    noise: float | None = None  # deviation of a pixel in scaled units (mse); null: each batch's own; 1 in [1]
    adversarial: bool = False  # VAE+: sharper reconstructions; a step takes 1.4 times as long
    adversarial_ramp: float = 0.03  # share of the training in which each layer's term rises, one after the other
    epochs: int = 20  # [2] sees some eight million crops
    optimiser: Literal["sgd", "adam", "adamw"] = "adam"  # sgd is slow here
    learning_rate: float = 0.001  # 0.01 in [1]; lower where the loss jumps

    def __post_init__(self):
        super().__post_init__()
        if not self.widths or min(self.widths) < 1:
            raise ValueError("widths must hold the width of one layer or more")
        if self.latent < 1:
            raise ValueError("latent must be at least 1")
        if self.beta < 0:
            raise ValueError("beta must not be negative")
        if self.noise is not None and self.noise <= 0:
            raise ValueError("noise must be positive or null")
        if self.reconstruction == "bernoulli" and self.scaling == "plate":
            raise ValueError("reconstruction: bernoulli needs pixels of 0 to 1: set scaling: range, or reconstruction: mse")
        if not 0 < self.adversarial_ramp <= 1:
            raise ValueError("adversarial_ramp must be above 0 and at most 1")

    def augmentation(self) -> Augmentation:
        """Turns and flips alone."""
        return configure_augmentation(self.augment, shift=0.0, scale=(1.0, 1.0))


class Stages(nn.Module):
    """Convolutions that halve an image several times: (B, C, H, W) to the maps of each stage.

    Parameters
    ----------
    tracked
        Keep statistics for use without a batch; a discriminator is only used in training.
    """

    def __init__(self, channels: int, widths: tuple[int, ...], tracked: bool = True):
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, width, kernel_size=5, stride=2, padding=2, bias=False),
                nn.BatchNorm2d(width, track_running_stats=tracked),
                nn.LeakyReLU(0.01),
            )
            for before, width in zip((channels, *widths), widths, strict=False)
        )

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Maps, largest first."""
        maps = [images]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]


def halved(size: tuple[int, int], times: int) -> list[tuple[int, int]]:
    """Sizes of an image and of its maps after each of `times` stages."""
    sizes = [tuple(size)]
    for _ in range(times):
        sizes.append(tuple((length + 1) // 2 for length in sizes[-1]))
    return sizes


class Posterior(nn.Module):
    """Gaussians of the images; called as an encoder it gives their means: (B, C, H, W) to (B, latent)."""

    def __init__(self, config: Config, channels: int, size: tuple[int, int]):
        super().__init__()
        if config.backbone == "none":
            self.grid = halved(size, len(config.widths))[-1]
            self.trunk = Stages(channels, config.widths)
            features = config.widths[-1] * self.grid[0] * self.grid[1]
        else:
            self.grid = None
            self.trunk = encoders.backbone(config.backbone, channels, size)
            features = encoders.features_of(self.trunk, channels, size)
        self.mean = nn.Linear(features, config.latent)
        self.log_variance = nn.Linear(features, config.latent)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """(B, features); maps of images of another size than learned from are averaged to the learned grid."""
        if self.grid is None:
            return self.trunk(images)
        last = self.trunk(images)[-1]
        if tuple(last.shape[-2:]) != self.grid:
            last = functional.adaptive_avg_pool2d(last, self.grid)
        return last.flatten(1)

    def gaussian(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and logarithm of the variance, each (B, latent)."""
        features = self.features(images)
        return self.mean(features), self.log_variance(features)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The means."""
        return self.mean(self.features(images))


class Decoder(nn.Module):
    """(B, latent) to (B, C, H, W): the sizes of the encoder's maps in the opposite order, so that any size comes out."""

    def __init__(self, config: Config, channels: int, size: tuple[int, int]):
        super().__init__()
        *self.sizes, smallest = halved(size, len(config.widths))
        self.start = (config.widths[-1], *smallest)
        self.spread = nn.Linear(config.latent, config.widths[-1] * smallest[0] * smallest[1])
        widths = config.widths[::-1]
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, width, kernel_size=5, padding=2, bias=False), nn.BatchNorm2d(width), nn.LeakyReLU(0.01)
            )
            for before, width in zip(widths, (*widths[1:], widths[-1]), strict=True)
        )
        self.pixels = nn.Conv2d(widths[-1], channels, kernel_size=1)

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Images, or logits of them where these are probabilities."""
        maps = self.spread(codes).reshape(-1, *self.start)
        for size, stage in zip(self.sizes[::-1], self.stages, strict=True):
            maps = stage(functional.interpolate(maps, size=size, mode="nearest"))
        return self.pixels(maps)


class Discriminator(nn.Module):
    """(B, C, H, W) to the logit of being an image rather than a reconstruction, (B,), and the maps that led to it."""

    def __init__(self, config: Config, channels: int, size: tuple[int, int]):
        super().__init__()
        height, width = halved(size, len(config.widths))[-1]
        self.trunk = Stages(channels, config.widths, tracked=False)
        self.decision = nn.Linear(config.widths[-1] * height * width, 1)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Logits and maps."""
        maps = self.trunk(images)
        return self.decision(maps[-1].flatten(1))[:, 0], maps


class Recipe(recipes.Recipe):
    """Encoder, decoder and the evidence lower bound; with them a discriminator, where it is wanted."""

    @classmethod
    def check(cls, config: Config) -> None:
        """The backbone must be there, if one is named."""
        if config.backbone != "none":
            super().check(config)

    @classmethod
    def build_encoder(cls, config: Config, channels: int, size: tuple[int, int]) -> nn.Module:
        """The network whose output is the posterior's mean."""
        return Posterior(config, channels, size)

    def setup(self) -> None:
        """Add the decoder and, where it is wanted, the discriminator."""
        self.decoder = Decoder(self.config, len(self.channels), self.size)
        if self.config.adversarial:
            self.discriminator = Discriminator(self.config, len(self.channels), self.size)
        # Sums over an epoch are buffers, so that a training that goes on reports the whole epoch.
        self.register_buffer("seen", torch.zeros((), dtype=torch.float64))
        self.register_buffer("reconstructed", torch.zeros((), dtype=torch.float64))
        self.register_buffer("diverged", torch.zeros(self.config.latent, dtype=torch.float64))

    def training_step(self, batch: recipes.Batch) -> torch.Tensor:
        """Negative evidence lower bound for each pixel value, in nats; of [2] the discriminator's terms as well."""
        images = self.views(batch.images)
        mean, log_variance = (_full(part) for part in self.encoder.gaussian(images))
        noise = torch.randn(mean.shape, generator=self.generator, device=self.generator.device, dtype=mean.dtype)
        drawn = _full(self.decoder(mean + noise * (log_variance / 2).exp()))
        misfit = reconstruction(drawn, images, self.config.reconstruction, self.config.noise)
        divergence = kl(mean, log_variance)
        self.seen += len(images)
        self.reconstructed += misfit.detach().sum()
        self.diverged += divergence.detach().sum(dim=0)
        bound = (misfit + self.config.beta * divergence.sum(dim=1)).mean()
        if not self.config.adversarial:
            return bound / images[0].numel()
        shown = drawn.sigmoid() if self.config.reconstruction == "bernoulli" else drawn
        similarity, decision = self.compare(images, shown, batch.progress)
        return (bound + similarity) / images[0].numel() + decision

    def compare(self, images: torch.Tensor, drawn: torch.Tensor, progress: float) -> tuple[torch.Tensor, torch.Tensor]:
        """How unlike the discriminator finds images and reconstructions, and how badly it tells them apart.

        Returns
        -------
        tuple
            The first teaches encoder and decoder alone, in the units of the bound; the second the discriminator alone.
        """
        count = len(images)
        logits, _ = self.discriminator(torch.cat([images, drawn.detach()]))
        truth = torch.cat([torch.ones_like(logits[:count]), torch.zeros_like(logits[count:])])
        decision = functional.binary_cross_entropy_with_logits(_full(logits), _full(truth))
        fixed = {name: parameter.detach() for name, parameter in self.discriminator.named_parameters()}
        _, maps = torch.func.functional_call(self.discriminator, fixed, (torch.cat([images, drawn]),))
        similarity = torch.zeros_like(decision)
        for weight, layer in zip(layer_weights(progress, len(maps), self.config.adversarial_ramp), maps, strict=True):
            real, made = _full(layer).split(count)
            similarity = similarity + weight * images[0].numel() / 2 * (real - made).square().mean()
        return similarity, decision

    def parameter_groups(self) -> list[dict]:
        """The discriminator learns at a tenth of the rate, as in [1]."""
        groups = [{"params": [*self.encoder.parameters(), *self.decoder.parameters()]}]
        if self.config.adversarial:
            groups.append({"params": list(self.discriminator.parameters()), "lr_scale": 0.1})
        return groups

    def on_epoch_end(self, epoch: int) -> str:
        """Both parts of the bound; a warning where the embedding tells nothing of the image. Each device sees its own."""
        count = max(1.0, self.seen.item())
        misfit, divergence = self.reconstructed.item() / count, self.diverged / count
        for buffer in (self.seen, self.reconstructed, self.diverged):
            buffer.zero_()
        used = int((divergence > 0.01).sum())
        if used == 0 and epoch > 1:
            print(
                f"WARNING: epoch {epoch}: no dimension of the embedding carries more than 0.01 nats "
                f"({divergence.sum().item():.4f} in all): the decoder draws without it (posterior collapse). Lower "
                "beta, leave noise at null or make it smaller, or raise learning_rate."
            )
        return (
            f"reconstruction {misfit:.1f} nats an image, divergence {divergence.sum().item():.2f}, "
            f"{used} of {len(divergence)} dimensions in use"
        )


def _full(values: torch.Tensor) -> torch.Tensor:
    """At least float32, whatever precision the networks run in: sums over all pixels need it."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def kl(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """(B, latent): divergence in nats of each Gaussian from the standard one."""
    return (mean.square() + log_variance.exp() - 1 - log_variance) / 2


def reconstruction(drawn: torch.Tensor, images: torch.Tensor, kind: str, noise: float | None) -> torch.Tensor:
    """(B,): negative log likelihood of the images in nats, summed over pixels and channels.

    Parameters
    ----------
    drawn
        (B, C, H, W): expected pixels, or for ``bernoulli`` logits of them.
    noise
        Standard deviation of a pixel around what is expected; constants are left out. None: of each channel the one that
        fits this batch best, so that the unit of intensities does not matter.
    """
    if kind == "bernoulli":
        return functional.binary_cross_entropy_with_logits(drawn, images, reduction="none").sum(dim=(1, 2, 3))
    squares = (drawn - images).square()
    if noise is not None:
        return squares.sum(dim=(1, 2, 3)) / (2 * noise**2)
    # The best variance is the mean square itself; its share of the gradient is zero there. A blank channel has none.
    variance = squares.detach().mean(dim=(0, 2, 3), keepdim=True).clamp_min(1e-12)
    return (squares / variance + variance.log()).sum(dim=(1, 2, 3)) / 2


def layer_weights(progress: float, layers: int, ramp: float) -> list[float]:
    """Weights of the discriminator's layers, 0 to 1: each waits one `ramp` longer than the one before, then rises in one."""
    return [min(1.0, max(0.0, progress / ramp - (layer + 1))) for layer in range(layers)]
