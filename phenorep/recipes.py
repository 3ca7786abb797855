"""What all recipes share: configuration keys, and the class that a recipe file fills in."""

import itertools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import nn

from phenorep import architectures, encoders, saved_epochs
from phenorep.augment import Augmentation, augment, configure_augmentation


@dataclass(frozen=True)
class EncoderConfig:
    """Keys of every encoder."""

    backbone: str = "resnet18"  # any architecture of timm: small ones (resnet10t) train on two cores
    channels: tuple[str, ...] | None = None  # some of the channels, in this order; null: all that the samples have
    scaling: Literal["plate", "range"] | dict = "plate"  # by plate, by the camera's range, or {clip: 10000}: 0 to 1 of that

    def __post_init__(self):
        if self.channels is not None and (not self.channels or len(set(self.channels)) < len(self.channels)):
            raise ValueError("channels must name each channel once, or be left out for all of them")
        self.check_scaling()

    def check_scaling(self) -> None:
        """Raise `ValueError` where the scaling is none that this recipe has."""
        encoders.check_scaling(self.scaling)


@dataclass(frozen=True)
class PretrainConfig(EncoderConfig):
    """Keys of every recipe that learns."""

    epochs: int = 5  # passes over all samples; millions of samples need few
    batch_size: int = 128  # over all devices; contrastive losses gain from more
    optimiser: Literal["sgd", "adam", "adamw"] = "sgd"  # adamw suits transformers and short runs
    learning_rate: float = 0.001  # at its peak, after the warm-up
    final_learning_rate: float = 0.0  # where the cosine ends
    warmup_epochs: float = 1.0  # epochs of linear rise; 0 for none
    schedule: Literal["cosine", "constant"] = "cosine"  # after the warm-up
    momentum: float = 0.9  # of sgd
    weight_decay: float = 0.0  # more for large networks on few samples
    clip_gradient: float | None = None  # largest norm of the gradient; set it where the loss jumps
    precision: Literal["32-true", "bf16-mixed"] = "32-true"  # bf16-mixed is faster on a recent GPU
    augment: dict | None = None  # keys of phenorep/augment.py that differ from this recipe's own
    # {every: 5}, also with from: 50 and to: 250, or a list: encoders of these epochs are scored too
    save_epochs: dict | tuple[int, ...] | None = None

    def __post_init__(self):
        super().__post_init__()
        for name, low in (("epochs", 1), ("batch_size", 2)):
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be at least {low}")
        if self.learning_rate <= 0:
            raise ValueError("learning_rate must be positive")
        for name in ("final_learning_rate", "warmup_epochs", "momentum", "weight_decay"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")
        if self.warmup_epochs > self.epochs:
            raise ValueError(f"warmup_epochs must not exceed epochs ({self.epochs})")
        if self.clip_gradient is not None and self.clip_gradient <= 0:
            raise ValueError("clip_gradient must be positive or null")
        self.augmentation()
        self.saved_epochs()

    def augmentation(self) -> Augmentation:
        """The augmentation, as configured."""
        return configure_augmentation(self.augment)

    def saved_epochs(self) -> list[int]:
        """Numbers of the epochs whose encoders are kept; 0 is the untrained one."""
        return saved_epochs.numbers(self.save_epochs, self.epochs)

    def learning_rate_at(self, step: int, steps_per_epoch: int) -> float:
        """Learning rate of a step, counted from 0: a function of the step alone, so that a resumed run needs no state."""
        warmup = round(self.warmup_epochs * steps_per_epoch)
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        if self.schedule == "constant":
            return self.learning_rate
        progress = (step - warmup) / max(1, self.epochs * steps_per_epoch - warmup)
        cosine = (1 + math.cos(math.pi * progress)) / 2
        return self.final_learning_rate + (self.learning_rate - self.final_learning_rate) * cosine


@dataclass
class Batch:
    """What a recipe sees of a batch, on its device."""

    images: torch.Tensor  # (B, C, H, W) float32, scaled
    labels: torch.Tensor  # (B,) int64; -1 where there is no label
    rows: torch.Tensor  # (B,) int64, the samples' numbers among all that are trained on
    means: torch.Tensor  # (B, C) of each sample's plate, in raw intensities
    stds: torch.Tensor  # (B, C)
    progress: float  # share of the training that is done, 0 to 1
    companions: torch.Tensor | None = None  # (B, C, H, W) float32, scaled: see `Recipe.companions`


class Recipe(nn.Module):
    """How an encoder is made. A recipe file holds a subclass of this name and its `Config`.

    A recipe that learns sets up its heads and losses in `setup` and defines `training_step`; the other methods have a
    meaning that most recipes keep.

    Parameters
    ----------
    config
        The recipe's configuration.
    channels
        Names of the channels, in their order.
    size
        Height and width of the samples in pixels.
    classes
        Number of labels; 0 without.
    """

    def __init__(self, config: EncoderConfig, channels: list[str], size: tuple[int, int], classes: int = 0):
        super().__init__()
        self.config = config
        self.channels = list(channels)
        self.size = tuple(size)
        self.classes = classes
        self.world = 1  # devices that train together; the training loop sets it before `setup`
        self.generator = torch.Generator()  # of the augmentation; the training loop puts its own on the device
        self.encoder = self.build_encoder(config, len(channels), size)
        self.features = encoders.features_of(self.encoder, len(channels), size)

    @classmethod
    def build_encoder(cls, config: EncoderConfig, channels: int, size: tuple[int, int]) -> nn.Module:
        """The untrained network; the same configuration builds it again when an encoder file is loaded."""
        return encoders.backbone(config.backbone, channels, size)

    @classmethod
    def check(cls, config: EncoderConfig) -> None:
        """Raise `UserError` if the configuration names what is not there; called before anything costly begins."""
        architectures.check(config.backbone)

    @property
    def scaling(self) -> str | dict:
        """How raw samples become the encoder's input; see `encoders.scale`."""
        return self.config.scaling

    @classmethod
    def label_column(cls, config: EncoderConfig, columns: list[str], samples: str) -> str | None:
        """A column whose values the recipe learns from without being told to by ``train: labels``; None: none.

        Rows without a value are left out of the training, and what was shown stands in the encoder's file.

        Parameters
        ----------
        columns
            Of the sample set's table.
        samples
            The sample set, for messages.

        Raises
        ------
        NotRun
            If the table lacks it.
        """
        return None

    def setup(self) -> None:
        """Add heads and losses, or load published weights; called once, before training."""

    def training_step(self, batch: Batch) -> torch.Tensor | None:
        """Loss of a batch; None skips it."""
        raise TypeError(f"{type(self).__module__} does not train")

    def forward(self, batch: Batch) -> torch.Tensor | None:
        """The training step, under the name through which precision and several devices take effect."""
        return self.training_step(batch)

    def views(self, images: torch.Tensor, size: tuple[int, int] | None = None) -> torch.Tensor:
        """A randomly augmented view of each image."""
        return augment(images, self.config.augmentation(), self.generator, size)

    def order(self, labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Rows of one epoch in the order in which they are seen; each once, shuffled."""
        return generator.permutation(len(labels))

    def companions(self, order: np.ndarray, labels: np.ndarray, generator: np.random.Generator) -> np.ndarray | None:
        """(n,) rows of the samples that are to be read beside those of `order`, also (n,); None: none.

        A batch then has them as `Batch.companions`.
        """
        return None

    def on_weights_loaded(self) -> None:
        """Called when ``init`` has put other weights into the encoder: a teacher takes them over."""

    def parameter_groups(self) -> list[dict]:
        """Parameters for the optimiser.

        A group may carry `lr_scale`, a factor to the learning rate, and `decay_scale`, a factor to `weight_decay_at`.
        """
        return [{"params": [parameter for parameter in self.parameters() if parameter.requires_grad]}]

    def on_epoch_start(self, epoch: int, batches) -> None:
        """Called before an epoch (from 1): clusters, pseudo-labels.

        ``batches(rows)`` gives all samples in batches, in the order of `rows`; without it in their own.
        """

    def weight_decay_at(self, progress: float) -> float:
        """Weight decay of a step, for the parameter groups that carry `decay_scale`."""
        return self.config.weight_decay

    def on_gradients(self, progress: float) -> None:
        """Called between the backward pass and the optimiser step: layers that are frozen for a while."""

    def on_epoch_end(self, epoch: int) -> str:
        """Called after an epoch; the text that it returns is added to the epoch's line in the log."""
        return ""

    def on_step_end(self, progress: float) -> None:
        """Called after an optimiser step: a teacher's moving average."""

    def trained_encoder(self) -> nn.Module:
        """The network that is kept; built as by `build_encoder`."""
        return self.encoder


def mlp(*widths: int, batch_norm: bool = False) -> nn.Sequential:
    """Fully connected layers with ReLU between them: ``mlp(512, 2048, 2048)`` has two layers.

    With `batch_norm` what comes out of all but the last is normalised over the batch before its ReLU.
    """
    layers: list[nn.Module] = []
    for first, second in itertools.pairwise(widths):
        layers += [nn.Linear(first, second), *([nn.BatchNorm1d(second)] if batch_norm else []), nn.ReLU()]
    return nn.Sequential(*layers[: -2 if batch_norm else -1])


def check_projector(widths: tuple[int, ...]) -> None:
    """Raise `ValueError` where these are not the widths of a projector's layers."""
    if not widths or min(widths) < 1:
        raise ValueError("projector must hold the width of one layer or more")


def full_precision(values: torch.Tensor) -> torch.Tensor:
    """At least float32, whatever precision the networks run in: sums over a batch and sharp softmaxes need it."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def gathered(values: torch.Tensor, world: int) -> torch.Tensor:
    """(world, *shape): the values of each of `world` devices in their order, without gradients."""
    values = values.detach()
    if world == 1:
        return values[None]
    parts = [torch.empty_like(values, memory_format=torch.contiguous_format) for _ in range(world)]
    torch.distributed.all_gather(parts, values.contiguous())
    return torch.stack(parts)
