"""SwAV: from one view of an image, predict to which prototypes another view of it belongs.

A view's code is its share in each prototype, balanced by Sinkhorn iterations so that all prototypes are used alike over the
batch. A batch smaller than the number of prototypes cannot use them all: a queue then adds embeddings of earlier batches,
whose codes balance those of the batch and are then dropped. Prototypes are normalised before each step. The projector is
linear, batch norm, ReLU, linear.

Defaults are those of the quality-control study [2], with two large views and no small ones. It has a queue of 2560 and five
epochs, but says nothing of when the queue begins: epoch 16, the default of the library it used [3], would mean never. Here
it begins in the second epoch, when the prototypes begin to move, and is used as far as it is filled. On several devices
codes are balanced over the samples of all of them, as on one; batch norms see the samples of their own device.

[0] Caron et al. 2020, Unsupervised learning of visual features by contrasting cluster assignments, arXiv:2006.09882
[1] facebookresearch/swav, of which the loss is as in lightly
[2] Semi-supervised quality control of high-content screens: hcs_qc, studies/hcs_qc.yaml
[3] vturrisi/solo-learn
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from phenorep import recipes, schedules
from phenorep.spread import Spread

SEEDED = True


@dataclass(frozen=True)
class Config(recipes.PretrainConfig):
    """Keys of SwAV."""

    temperature: float = 0.07  # as in [2]; 0.1 in [0], higher where the loss jumps
    projector: tuple[int, ...] = (2048, 128)  # widths of its layers, of which the last is the space of prototypes
    prototypes: int = 500  # as in [2]; some ten times the kinds of images, 3000 in [0]
    freeze_prototypes: int = 1  # epochs in which prototypes stay as they are; more where the loss does not fall
    sinkhorn_epsilon: float = 0.05  # lower gives sharper codes; higher where all images get the same code
    sinkhorn_iterations: int = 3  # more balance prototypes more exactly
    queue: int = 2560  # embeddings of earlier batches, as in [2]; 0 where batches exceed prototypes
    queue_epoch: int = 2  # the first epoch, from 1, in which it is used; later where the loss jumps there, 16 in [0] and [3]

    def __post_init__(self):
        super().__post_init__()
        recipes.check_projector(self.projector)
        for name in ("temperature", "sinkhorn_epsilon"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")
        for name, low in (("prototypes", 2), ("sinkhorn_iterations", 1), ("queue_epoch", 1)):
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be at least {low}")
        for name in ("freeze_prototypes", "queue"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")


class Recipe(recipes.Recipe):
    """Encoder, projector, prototypes, the queue, and the swapped prediction."""

    def setup(self) -> None:
        """Add the projector, the prototypes, the queue and the loss."""
        from lightly.loss import SwaVLoss  # here: it takes seconds, and checking a configuration imports this file

        config = self.config
        self.projector = recipes.mlp(self.features, *config.projector, batch_norm=True)
        # Not lightly's prototypes, which have a bias.
        self.prototypes = nn.Linear(config.projector[-1], config.prototypes, bias=False)
        self.loss = SwaVLoss(config.temperature, config.sinkhorn_iterations, config.sinkhorn_epsilon)
        # One for each view, the newest first; not lightly's memory bank, which checkpoints leave out.
        self.register_buffer("queue", torch.zeros(2, config.queue, config.projector[-1]))
        self.filled = 0
        self.spread = Spread(self.features)

    def get_extra_state(self) -> dict:
        """How far the queue is filled, for checkpoints; no buffer, as asking a GPU for a number stops it."""
        return {"filled": self.filled}

    def set_extra_state(self, state: dict) -> None:
        """Go on with a queue of a checkpoint."""
        self.filled = state["filled"]

    def training_step(self, batch: recipes.Batch) -> torch.Tensor:
        """Cross-entropy of each view's prototypes with the code of the other view."""
        features = [self.encoder(self.views(batch.images)) for _ in range(2)]
        self.spread.see(features[0])
        with torch.no_grad():
            self.prototypes.weight.copy_(functional.normalize(self.prototypes.weight, dim=1))
        embeddings = torch.stack([recipes.full_precision(self.projector(embedding)) for embedding in features])
        with torch.autocast(embeddings.device.type, enabled=False):  # exponentials of 1 / epsilon need full precision
            embeddings = functional.normalize(embeddings, dim=-1)
            scores = self.prototypes(embeddings)
            beside = self.prototypes(self._beside(embeddings, schedules.epoch_at(batch.progress, self.config.epochs) + 1))
            return self.loss(list(scores), [], list(beside)).squeeze()

    @torch.no_grad()
    def _beside(self, embeddings: torch.Tensor, epoch: int) -> torch.Tensor:
        """(2, n, D): what the codes of (2, B, D) embeddings are balanced with; the batch then joins the queue."""
        everyone = recipes.gathered(embeddings, self.world)
        own = torch.distributed.get_rank() if self.world > 1 else 0
        parts = [other for rank, other in enumerate(everyone) if rank != own]
        if epoch >= self.config.queue_epoch:
            parts.append(self.queue[:, : self.filled])
        parts.append(embeddings[:, :0])
        beside = torch.cat(parts, dim=1)
        size = self.config.queue
        # The batches of all devices, so that each device has the same queue.
        self.queue.copy_(torch.cat([*everyone, self.queue], dim=1)[:, :size])
        self.filled = min(size, self.filled + self.world * embeddings.shape[1])
        return beside

    def on_gradients(self, progress: float) -> None:
        """Leave the prototypes as they are in the first epochs."""
        if schedules.epoch_at(progress, self.config.epochs) < self.config.freeze_prototypes:
            self.prototypes.weight.grad = None

    def on_epoch_end(self, epoch: int) -> str:
        """Whether the queue was used, and what tells a collapse."""
        told = self.spread.report(epoch, "Lower learning_rate or sinkhorn_epsilon, or freeze_prototypes for longer.")
        used = "in use" if epoch >= self.config.queue_epoch else "not yet in use"
        return f"queue {used}, {told}" if self.config.queue else told
