"""A network learns to name the label of an image, say its treatment; the network without its last layer is what is kept.

Cells of one treatment look alike, though nobody knows beforehand which treatments do: naming treatments teaches features,
and treatments that the network can hardly tell apart come to lie side by side [0]. Mixed images with mixed labels [2] keep
it from learning what marks a single well. Labels are those of `weak_label`, or of a column that ``train: labels`` names;
images without a label take no part. Negative controls are a label like any other, unless ``train: where`` leaves them out.

Mixup's alpha, equal sampling, batch size and learning rate are those that [1] was configured with for BBBC021. Its features
come from an inner block of a ResNet, here from its end. The recurrent network that [0] tries beside mixup is not in it.

[0] Caicedo et al. 2018, Weakly supervised learning of single-cell feature embeddings, doi:10.1109/cvpr.2018.00970
[1] cytomining/DeepProfiler; broadinstitute/DeepProfilerExperiments, bbbc021/config_resnet.json
[2] Zhang et al. 2017, mixup: Beyond empirical risk minimization, arXiv:1710.09412
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from phenorep import recipes, weak_labels, weights
from phenorep.errors import UserError

SEEDED = True
DRAWN = {"weights": "none"}


@dataclass(frozen=True)
class Config(recipes.PretrainConfig):
    """Keys of a classifier."""

    epochs: int = 30  # fewer where the accuracy nears 100 %: from then on it learns its samples by heart
    learning_rate: float = 0.01  # lower it with weights: 0.001
    weights: str = "none"  # download (timm), or a local file: a start from natural images for small data
    weak_label: str = "none"  # treatment, compound, moa, or a column Metadata_*; none: what train: labels names
    balanced: bool = True  # draw each label equally often; false: each image once in an epoch
    mixup: float = 0.2  # alpha of the beta distribution of shares: more mixes more evenly, 0 not at all
    label_smoothing: float = 0.0  # share of the target that goes to all labels alike; 0.1 where labels are unsure
    dropout: float = 0.0  # share of features that the last layer does not see; more for small data

    def __post_init__(self):
        super().__post_init__()
        weak_labels.check(self.weak_label)
        if self.mixup < 0:
            raise ValueError("mixup must not be negative")
        for name in ("label_smoothing", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and less than 1")


class Recipe(recipes.Recipe):
    """Encoder, one linear layer, and the cross-entropy of what it says of mixed images with their mixed labels."""

    @classmethod
    def check(cls, config: Config) -> None:
        """Architecture and file of the weights must be there."""
        super().check(config)
        weights.check_source(config.weights, config.backbone)

    @classmethod
    def label_column(cls, config: Config, columns: list[str], samples: str) -> str | None:
        """The weak label's column; a treatment may have to be put together from others."""
        return weak_labels.column(config.weak_label, columns, samples)

    def setup(self) -> None:
        """Add the last layer, and load published weights."""
        config = self.config
        if self.classes == 0:
            raise UserError(
                "classifier: there are no labels to learn. Set weak_label: treatment (or compound, moa, a column "
                "Metadata_*), or name a column with train: labels."
            )
        if self.classes == 1:
            raise UserError(
                "classifier: all samples have the same label, so there is nothing to tell apart. Choose another weak_label "
                "or train: labels, or let train: where take in more samples."
            )
        if config.weights != "none":
            remedy = f"cut samples of the size that {config.backbone} was published for, or take a convolutional network."
            weights.start(self.encoder, config.backbone, config.weights, len(self.channels), remedy)
        self.head = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(self.features, self.classes))
        # Sums over an epoch are buffers, so that a training that goes on reports the whole epoch.
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("right", torch.zeros((), dtype=torch.int64))

    def order(self, labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Rows of one epoch, as many as have a label: each label equally often, or each row once."""
        known = np.flatnonzero(labels >= 0)
        if not self.config.balanced:
            return known[generator.permutation(len(known))]
        return known[weak_labels.balanced(labels[known], generator)]

    def training_step(self, batch: recipes.Batch) -> torch.Tensor | None:
        """Cross-entropy of the mixed images that have a label."""
        known = batch.labels >= 0
        if not known.any():
            return None
        images, labels = self.views(batch.images[known]), batch.labels[known]
        targets = functional.one_hot(labels, self.classes).to(images.dtype)
        if self.config.mixup:
            images, targets = mix(images, targets, self.config.mixup, self.generator)
        said = self.head(self.encoder(images))
        self.seen += len(labels)
        self.right += (said.detach().argmax(dim=1) == targets.argmax(dim=1)).sum()
        return functional.cross_entropy(said, targets, label_smoothing=self.config.label_smoothing)

    def on_epoch_end(self, epoch: int) -> str:
        """The accuracy of the epoch; each device sees its own samples."""
        share = self.right.item() / max(1, self.seen.item())
        self.seen.zero_()
        self.right.zero_()
        mixed = ", mixed as they are" if self.config.mixup else ""
        return f"accuracy on the training samples{mixed} {share:.1%} (chance {1 / self.classes:.1%})"


def mix(
    images: torch.Tensor, targets: torch.Tensor, alpha: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Each image and its target blended with those of another of the batch, in the same shares.

    Parameters
    ----------
    images
        (B, C, H, W).
    targets
        (B, classes), each row of sum 1.
    alpha
        Shares are drawn from Beta(alpha, alpha), one for each image as in [1]; above 0.
    generator
        Random state of the pairing, on the images' device.

    Returns
    -------
    tuple
        Images and targets of the same shapes.
    """
    partner = torch.randperm(len(images), generator=generator, device=generator.device)
    # Drawn from torch's own state, which checkpoints hold too; in double precision, for small alpha gives shares close to 0.
    concentration = torch.tensor(alpha, dtype=torch.float64, device=images.device)
    share = torch.distributions.Beta(concentration, concentration).sample((len(images),)).to(images.dtype)
    across = share[:, None, None, None]
    return (
        across * images + (1 - across) * images[partner],
        share[:, None] * targets + (1 - share[:, None]) * targets[partner],
    )
