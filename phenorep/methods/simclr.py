"""SimCLR: two views of one image attract each other and repel all other images of the batch.

Defaults as in the quality-control study of [2]: a projector of fully connected layers of 2048, temperature 0.07, plain
stochastic gradient descent, and geometric augmentation only.

[0] Chen et al. 2020, A simple framework for contrastive learning of visual representations, arXiv:2002.05709
[1] google-research/simclr; vturrisi/solo-learn (the projector: linear, ReLU, linear)
[2] Semi-supervised quality control of high-content screens: hcs_qc, studies/hcs_qc.yaml
"""

from dataclasses import dataclass

import torch

from phenorep import recipes
from phenorep.spread import Spread

SEEDED = True


@dataclass(frozen=True)
class Config(recipes.PretrainConfig):
    """Keys of SimCLR."""

    temperature: float = 0.07  # as in [2]; 0.1 to 0.5 in [0], higher for small batches
    projector: tuple[int, ...] = (2048, 2048)  # widths of its layers; smaller ones are as good on small data

    def __post_init__(self):
        super().__post_init__()
        if self.temperature <= 0:
            raise ValueError("temperature must be positive")
        recipes.check_projector(self.projector)


class Recipe(recipes.Recipe):
    """Encoder, projector and the contrastive loss of the batch."""

    def setup(self) -> None:
        """Add the projector and the loss."""
        from lightly.loss import NTXentLoss  # here: it takes seconds, and checking a configuration imports this file

        self.projector = recipes.mlp(self.features, *self.config.projector)
        self.loss = NTXentLoss(temperature=self.config.temperature, gather_distributed=self.world > 1)
        self.spread = Spread(self.features)

    def training_step(self, batch: recipes.Batch) -> torch.Tensor:
        """Contrastive loss of two views of each image."""
        embeddings = [self.encoder(self.views(batch.images)) for _ in range(2)]
        self.spread.see(embeddings[0])
        return self.loss(*(self.projector(embedding) for embedding in embeddings))

    def on_epoch_end(self, epoch: int) -> str:
        """What tells a collapse."""
        return self.spread.report(epoch, "Lower learning_rate, or use a larger batch_size or temperature.")
