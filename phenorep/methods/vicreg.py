"""VICReg: two views of an image shall have the same projection, while each feature varies and no two vary together.

Three terms: the squared distance of the two views (invariance), a hinge that keeps the standard deviation of each feature
over the batch above 1 (variance), and the squares of their covariances. The projector is linear, batch norm, ReLU, twice,
and linear.

The formula of [0] and the library with which the quality-control study [2] trained [3] add the variance terms of the two
views, the authors' code [1] takes their mean: half of the weight. Here `variance` chooses. Defaults of the training, and the
projector's widths, are those of [2]; [0] has layers of 8192. On several devices variances and covariances are those of all
samples; batch norms see the samples of their own device.

[0] Bardes et al. 2022, VICReg: Variance-invariance-covariance regularization for self-supervised learning, arXiv:2105.04906
[1] facebookresearch/vicreg, of which the loss is as in lightly
[2] Semi-supervised quality control of high-content screens: hcs_qc, studies/hcs_qc.yaml
[3] vturrisi/solo-learn
"""

from dataclasses import dataclass
from typing import Literal

import torch

from phenorep import recipes
from phenorep.spread import Spread

SEEDED = True


@dataclass(frozen=True)
class Config(recipes.PretrainConfig):
    """Keys of VICReg."""

    projector: tuple[int, ...] = (2048, 2048, 2048)  # widths of its layers; narrower ones save memory on small GPUs
    invariance_weight: float = 25.0  # as in [0]; more where views of one image lie apart
    variance_weight: float = 25.0  # as in [0]; more where the embedding collapses
    covariance_weight: float = 1.0  # as in [0]; more where features tell the same
    variance: Literal["sum", "mean"] = "sum"  # of the two views' terms: sum as in [0] and [3], mean as in [1]
    epsilon: float = 0.0001  # added to variances, as in [1]; more where gradients of features without variance jump

    def __post_init__(self):
        super().__post_init__()
        recipes.check_projector(self.projector)
        for name in ("invariance_weight", "variance_weight", "covariance_weight"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")
        if self.epsilon <= 0:
            raise ValueError("epsilon must be positive")


class Recipe(recipes.Recipe):
    """Encoder, projector and the three terms."""

    def setup(self) -> None:
        """Add the projector and the loss."""
        from lightly.loss import VICRegLoss  # here: it takes seconds, and checking a configuration imports this file

        config = self.config
        self.projector = recipes.mlp(self.features, *config.projector, batch_norm=True)
        self.loss = VICRegLoss(
            lambda_param=config.invariance_weight,
            mu_param=config.variance_weight * (2 if config.variance == "sum" else 1),  # lightly's is the mean
            nu_param=config.covariance_weight,
            gather_distributed=self.world > 1,
            eps=config.epsilon,
        )
        self.spread = Spread(self.features)

    def training_step(self, batch: recipes.Batch) -> torch.Tensor:
        """The weighted sum of the terms for two views of each image."""
        embeddings = [self.encoder(self.views(batch.images)) for _ in range(2)]
        self.spread.see(embeddings[0])
        first, second = (recipes.full_precision(self.projector(embedding)) for embedding in embeddings)
        with torch.autocast(first.device.type, enabled=False):  # small variances need full precision
            return self.loss(first, second)

    def on_epoch_end(self, epoch: int) -> str:
        """What tells a collapse."""
        return self.spread.report(epoch, "Lower learning_rate, set clip_gradient, or raise variance_weight.")
