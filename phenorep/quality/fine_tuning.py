"""An encoder and a linear layer on top of it, trained together on few labelled samples that stay on the device."""

import copy
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from phenorep.augment import Augmentation, augment
from phenorep.encoders import Encoder, scale
from phenorep.errors import NotRun
from phenorep.quality.classifiers import DescentConfig
from phenorep.store import Samples


def read(
    samples: Samples,
    rows: np.ndarray,
    encoder: Encoder,
    device: torch.device,
    where: str,
    channels: tuple[str, ...] | None = None,
) -> torch.Tensor:
    """Some samples, as the encoder's network reads them: (n, C, H, W) float32 on the device.

    `channels` are those of the samples that take the places of the encoder's; None: the same names.
    """
    planes = encoder.positions(list(samples.channels), channels, where)
    plates = np.asarray(samples.plate_index)[rows]
    parts = []
    for start in range(0, len(rows), 256):
        part = slice(start, start + 256)
        raw = torch.from_numpy(np.ascontiguousarray(samples.read(rows[part])[:, planes])).to(device)
        means, stds = (
            torch.as_tensor(np.asarray(values)[plates[part]][:, planes], dtype=torch.float32, device=device)
            for values in (samples.means, samples.stds)
        )
        parts.append(scale(raw, encoder.scaling, means, stds, samples.intensity_max))
    return torch.cat(parts).contiguous(memory_format=torch.channels_last)  # as the weights lie


class Classifier(nn.Module):
    """A copy of an encoder's network with a linear layer of two outputs: (B, C, H, W) to (B, 2)."""

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.network = copy.deepcopy(encoder.network)
        self.head = nn.Linear(encoder.features, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of normal and abnormal."""
        return self.head(self.network(images).to(self.head.weight.dtype))


def check(encoder: Encoder) -> None:
    """Raise `NotRun` if an encoder has no weights that could be trained."""
    if not any(parameter.requires_grad for parameter in encoder.network.parameters()):
        raise NotRun(
            f"the encoder of the recipe {encoder.metadata['recipe']} has no weights: there is nothing to tune. "
            "Choose an evaluation that trains classifiers on embeddings."
        )


def tune(
    encoder: Encoder,
    images: torch.Tensor,
    labels: np.ndarray,
    config: DescentConfig,
    seed: int,
    precision: str = "32-true",
    augmentation: Augmentation | None = None,
) -> Classifier:
    """Train a copy of the encoder and a new linear layer; the encoder itself stays as it is.

    Parameters
    ----------
    images, labels
        (n, C, H, W) scaled, on the encoder's device; (n,) bool, true is abnormal.
    seed
        Of the linear layer, dropout, the order of samples and their augmentation.
    """
    with torch.random.fork_rng(devices=[images.device] if images.device.type == "cuda" else []):
        torch.manual_seed(seed)
        model = Classifier(encoder).to(images.device, memory_format=torch.channels_last).train()
        target = torch.as_tensor(np.asarray(labels, dtype=np.int64), device=images.device)
        optimiser = torch.optim.SGD(
            [parameter for parameter in model.parameters() if parameter.requires_grad],
            lr=config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, list(config.milestones), config.gamma)
        order, generator = np.random.default_rng(seed), torch.Generator(images.device).manual_seed(seed)
        for _ in range(config.epochs):
            for drawn in _batches(order.permutation(len(images)), config.batch_size):
                rows = torch.from_numpy(drawn).to(images.device)
                batch = images[rows]
                if augmentation is not None:
                    batch = augment(batch, augmentation, generator)
                with _precision(images.device, precision):
                    loss = functional.cross_entropy(model(batch).float(), target[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            schedule.step()
    return model.eval()


@torch.inference_mode()
def probabilities(model: Classifier, images: torch.Tensor, precision: str, batch_size: int = 256) -> np.ndarray:
    """Probability (n,) float64 of being abnormal."""
    parts = []
    for batch in images.split(batch_size):
        with _precision(images.device, precision):
            parts.append(model(batch).double().softmax(dim=1)[:, 1].cpu())
    return torch.cat(parts).numpy()


def _batches(order: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """All samples of an epoch; one that would be left alone joins the batch before: its own statistics say nothing."""
    starts = list(range(0, len(order), size))
    if len(starts) > 1 and len(order) - starts[-1] == 1:
        starts.pop()
    for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
        yield order[start:end]


def _precision(device: torch.device, precision: str):
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16-mixed")
