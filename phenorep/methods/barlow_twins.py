"""Barlow Twins: two views of an image shall agree in each feature, and no two features shall tell the same.

Features are correlated over the batch, one view with the other. The loss pulls the diagonal of that matrix to 1 and the rest
to 0; there are no negative pairs, so small batches do. The projector is linear, batch norm, ReLU, twice, and linear.

Defaults of the training, and the projector's widths, are those of the quality-control study [2]; [0] has layers of 8192. The
loss's factor is the default of the library which [2] trained with [3]. On several devices correlations are averaged over
them; batch norms see the samples of their own device.

[0] Zbontar et al. 2021, Barlow Twins: Self-supervised learning via redundancy reduction, arXiv:2103.03230
[1] facebookresearch/barlowtwins, of which the loss is as in lightly
[2] Semi-supervised quality control of high-content screens: hcs_qc, studies/hcs_qc.yaml
[3] vturrisi/solo-learn
"""

from dataclasses import dataclass

import torch

from phenorep import recipes
from phenorep.spread import Spread

SEEDED = True


@dataclass(frozen=True)
class Config(recipes.PretrainConfig):
    """Keys of Barlow Twins."""

    projector: tuple[int, ...] = (2048, 2048, 2048)  # widths of its layers; the loss of [0] gains from wider ones
    redundancy: float = 0.0051  # lambda in [0], the weight of what is off the diagonal; larger for narrow projectors
    scale_loss: float = 0.024  # factor to the loss, as in [3]; 1 in [0] with LARS, where plain sgd overshoots

    def __post_init__(self):
        super().__post_init__()
        recipes.check_projector(self.projector)
        if self.redundancy < 0:
            raise ValueError("redundancy must not be negative")
        if self.scale_loss <= 0:
            raise ValueError("scale_loss must be positive")


class Recipe(recipes.Recipe):
    """Encoder, projector and the loss of the cross-correlation."""

    def setup(self) -> None:
        """Add the projector and the loss."""
        from lightly.loss import BarlowTwinsLoss  # here: it takes seconds, and checking a configuration imports this file

        self.projector = recipes.mlp(self.features, *self.config.projector, batch_norm=True)
        self.loss = BarlowTwinsLoss(lambda_param=self.config.redundancy, gather_distributed=self.world > 1)
        self.spread = Spread(self.features)

    def training_step(self, batch: recipes.Batch) -> torch.Tensor:
        """How far the cross-correlation of two views of each image is from the identity."""
        embeddings = [self.encoder(self.views(batch.images)) for _ in range(2)]
        self.spread.see(embeddings[0])
        first, second = (recipes.full_precision(self.projector(embedding)) for embedding in embeddings)
        with torch.autocast(first.device.type, enabled=False):  # sums over thousands of squares need full precision
            return self.config.scale_loss * self.loss(first, second)

    def on_epoch_end(self, epoch: int) -> str:
        """What tells a collapse."""
        return self.spread.report(epoch, "Lower learning_rate or redundancy, or use a larger batch_size.")
