"""DeepCluster v2: cluster what the network says of all images, then teach it to name the cluster of each view; each epoch.

A memory keeps the embedding of each image from the last time that it was seen. Before an epoch spherical k-means finds its
centroids, which are the prototypes of a softmax during the epoch. Several heads are several clusterings of the same size,
from different starts, of the first and the second view by turns. The projector is linear, batch norm, ReLU, linear.

Before the first epoch the memory is empty. The authors' code [1] fills it with one pass over all images; the library with
which the quality-control study trained [3] learns nothing in the first of its epochs, in which the loss is 0 / 0. Here
`first_epoch` chooses. The defaults are those of the study [2], whose 500 prototypes are read as one head of 500. On several
devices each of them has the whole memory, and it is part of checkpoints; batch norms see the samples of their own device.

[0] Caron et al. 2020, Unsupervised learning of visual features by contrasting cluster assignments, arXiv:2006.09882
[1] facebookresearch/swav (main_deepclusterv2.py)
[2] Semi-supervised quality control of high-content screens: hcs_qc, studies/hcs_qc.yaml
[3] vturrisi/solo-learn
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch.nn import functional

from phenorep import recipes
from phenorep.clustering import spherical_kmeans
from phenorep.errors import UserError
from phenorep.spread import Spread

SEEDED = True


@dataclass(frozen=True)
class Config(recipes.PretrainConfig):
    """Keys of DeepCluster v2."""

    temperature: float = 0.07  # as in [2]; 0.1 in [1], higher where the loss jumps
    projector: tuple[int, ...] = (2048, 128)  # widths of its layers, of which the last is the space of clusters
    prototypes: int = 500  # clusters of each head, as in [2]; some ten times the kinds of images, 3000 in [1]
    heads: int = 1  # clusterings that are learnt side by side; 3 in [1], steadier where clusters depend on the start
    kmeans_iterations: int = 10  # as in [1] and [2]; more where clusters are still moving
    first_epoch: Literal["cluster", "skip"] = "cluster"  # cluster as in [1], one more pass; skip as in [3] and learn nothing
    memory: Literal["float16", "float32"] = "float16"  # for 2.1 million images 543 MB a view; float32 is twice as large

    def __post_init__(self):
        super().__post_init__()
        recipes.check_projector(self.projector)
        if self.temperature <= 0:
            raise ValueError("temperature must be positive")
        for name, low in (("prototypes", 2), ("heads", 1), ("kmeans_iterations", 1)):
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be at least {low}")
        if self.first_epoch == "skip" and self.epochs == 1:
            raise ValueError("first_epoch: skip learns nothing in the only epoch; set first_epoch: cluster, or more epochs")


class Recipe(recipes.Recipe):
    """Encoder, projector, the memory of embeddings and its clusters."""

    def setup(self) -> None:
        """Add the projector and room for prototypes; the memory comes with the first epoch."""
        config = self.config
        self.projector = recipes.mlp(self.features, *config.projector, batch_norm=True)
        self.register_buffer("prototypes", torch.zeros(config.heads, config.prototypes, config.projector[-1]))
        self.samples = 0
        # No buffers: their size depends on the samples, and several devices would send them around in each step.
        self.memory: torch.Tensor | None = None  # (views, N, D)
        self.seen: torch.Tensor | None = None  # (N,) bool
        self.clusters: torch.Tensor | None = None  # (heads, N) int32; -1 where there is none
        self.spread = Spread(self.features)

    def get_extra_state(self) -> dict:
        """Memory and clusters, for checkpoints."""
        return {name: getattr(self, name) for name in ("memory", "seen", "clusters")}

    def set_extra_state(self, state: dict) -> None:
        """Go on with memory and clusters of a checkpoint."""
        for name, value in state.items():
            setattr(self, name, None if value is None else value.to(self.prototypes.device))

    def order(self, labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """As for all recipes; too few samples are noticed before anything is computed."""
        self.samples = len(labels)
        self._check_enough(self.samples)
        return super().order(labels, generator)

    def _check_enough(self, count: int) -> None:
        if count < self.config.prototypes:
            raise UserError(
                f"deepcluster_v2: prototypes: {self.config.prototypes} clusters cannot be found among {count} samples. "
                "Lower prototypes, or train on more samples."
            )

    def embed(self, features: torch.Tensor) -> torch.Tensor:
        """(B, D) of length 1, in full precision."""
        projections = recipes.full_precision(self.projector(features))
        with torch.autocast(projections.device.type, enabled=False):
            return functional.normalize(projections, dim=1)

    @torch.no_grad()
    def on_epoch_start(self, epoch: int, batches: Callable[..., Iterable[recipes.Batch]]) -> None:
        """Cluster the memory; before the first epoch fill it, or leave it empty."""
        if self.memory is not None:
            self._cluster()
        elif self.config.first_epoch == "cluster":
            # Shuffled: batch norms would take what is common to the samples of one well for no signal.
            self._fill(batches(torch.randperm(self.samples).numpy()))
            self._cluster()
        else:
            length = self.config.projector[-1]
            zeros = torch.zeros(self._views(), self.samples, length, dtype=self._type(), device=self.prototypes.device)
            self._begin(zeros, seen=False)

    def _views(self) -> int:
        """Views that are remembered: those that a head clusters."""
        return min(self.config.heads, 2)

    def _type(self) -> torch.dtype:
        return getattr(torch, self.config.memory)

    def _begin(self, memory: torch.Tensor, seen: bool) -> None:
        self.memory = memory
        self.seen = torch.full((memory.shape[1],), seen, device=memory.device)
        size = memory.numel() * memory.element_size() / 1e6
        print(
            f"the memory holds {memory.shape[0]} x {memory.shape[1]} embeddings of {memory.shape[2]} numbers in "
            f"{self.config.memory}: {size:.1f} MB on {memory.device}"
        )

    def _fill(self, batches: Iterable[recipes.Batch]) -> None:
        """Embed views of all samples; batch norms use their batches, as nothing else is known of them yet."""
        self.train()
        shape = self._views(), self.samples, self.config.projector[-1]
        memory = torch.zeros(shape, dtype=self._type(), device=self.prototypes.device)
        half = self.config.precision == "bf16-mixed"
        with torch.autocast(self.prototypes.device.type, torch.bfloat16, enabled=half):
            for batch in batches:
                count = len(batch.images)
                # A single sample has no deviation, which batch norm needs.
                images = batch.images if count > 1 else batch.images.repeat(2, 1, 1, 1)
                views = [self.embed(self.encoder(self.views(images)))[:count] for _ in range(self._views())]
                memory[:, batch.rows] = torch.stack(views).to(self._type())
        self._share(memory)
        self._begin(memory, seen=True)

    def _cluster(self) -> None:
        """Set prototypes and clusters; the starting centroids are embeddings drawn at random."""
        known = self.seen.nonzero().squeeze(1)
        self._check_enough(len(known))
        clusters = torch.full((self.config.heads, len(self.seen)), -1, dtype=torch.int32, device=self.seen.device)
        for head in range(self.config.heads):
            points = self.memory[head % self._views()]
            if len(known) < len(points):
                points = points[known]
            drawn = torch.randperm(len(points))[: self.config.prototypes].to(points.device)
            start = points[drawn].to(self.prototypes.dtype)
            self.prototypes[head], found = spherical_kmeans(points, start, self.config.kmeans_iterations)
            clusters[head, known] = found.int()
        self._share(self.prototypes)
        self._share(clusters)
        self.clusters = clusters

    def _share(self, values: torch.Tensor) -> None:
        """Give all devices what the first one has; each of them drew other views and other centroids."""
        if self.world > 1:
            torch.distributed.broadcast(values, src=0)

    def training_step(self, batch: recipes.Batch) -> torch.Tensor | None:
        """Cross-entropy of both views' prototypes with the image's cluster; None where there are no clusters yet."""
        with torch.set_grad_enabled(self.clusters is not None and torch.is_grad_enabled()):
            features = [self.encoder(self.views(batch.images)) for _ in range(2)]
            self.spread.see(features[0])
            embeddings = torch.stack([self.embed(feature) for feature in features])
        self._remember(batch.rows, embeddings)
        return None if self.clusters is None else self.loss(embeddings, self.clusters[:, batch.rows].long())

    def loss(self, embeddings: torch.Tensor, clusters: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy over views, images and heads.

        Parameters
        ----------
        embeddings
            (2, B, D) of length 1.
        clusters
            (heads, B) int64; images without a cluster (-1) are left out.
        """
        clusters = clusters.repeat(1, len(embeddings))
        with torch.autocast(embeddings.device.type, enabled=False):  # sharp softmaxes need full precision
            scores = embeddings.flatten(0, 1) @ self.prototypes.transpose(1, 2) / self.config.temperature
            total = functional.cross_entropy(scores.flatten(0, 1), clusters.flatten(), ignore_index=-1, reduction="sum")
        return total / (clusters >= 0).sum().clamp_min(1)  # the mean of none would be no number

    @torch.no_grad()
    def _remember(self, rows: torch.Tensor, embeddings: torch.Tensor) -> None:
        rows = recipes.gathered(rows, self.world).flatten()
        everyone = recipes.gathered(embeddings[: self._views()], self.world)
        for view in range(self._views()):
            self.memory[view, rows] = everyone[:, view].flatten(0, 1).to(self.memory.dtype)
        self.seen[rows] = True

    def on_epoch_end(self, epoch: int) -> str:
        """How the samples fall into clusters, and what tells a collapse."""
        told = self.spread.report(epoch, "Lower learning_rate or prototypes, or set more heads.")
        if self.clusters is None:
            return f"nothing learnt, as there are no clusters yet; {told}"
        sizes = torch.stack([torch.bincount(head[head >= 0], minlength=self.config.prototypes) for head in self.clusters])
        empty, share = (sizes == 0).sum().item(), (sizes.max() / sizes[0].sum()).item()
        return f"{empty} of {sizes.numel()} clusters empty, the largest holds {share:.1%} of the samples; {told}"
