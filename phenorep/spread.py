"""Noticing that all images come to lie at one place: the standard deviation of their embeddings, of length 1."""

import torch
from torch import nn
from torch.nn import functional


class Spread(nn.Module):
    """The spread of embeddings over an epoch, as `collapse.Watch` has it for a teacher.

    Sums are buffers, so that a training that goes on reports the whole epoch. Each device sees its own samples.

    Parameters
    ----------
    features
        Length of an embedding.
    """

    def __init__(self, features: int):
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("direction", torch.zeros(features, dtype=torch.float64))

    @torch.no_grad()
    def see(self, embedding: torch.Tensor) -> None:
        """Add (N, features) embeddings."""
        self.count += len(embedding)
        self.direction += functional.normalize(embedding.float(), dim=-1).sum(dim=0)

    def measure(self) -> float:
        """Standard deviation, 0 (all at one place) to 1 (in all directions alike)."""
        mean = self.direction / self.count.clamp_min(1)
        return (1 - mean.square().sum()).clamp_min(0).sqrt().item()

    def report(self, epoch: int, remedy: str) -> str:
        """The measure in words; a warning with a remedy where it shows a collapse. The next epoch begins.

        The first epoch gives no warning: an untrained network may begin with images that lie close together.
        """
        found = self.measure()
        for buffer in self.buffers():
            buffer.zero_()
        if epoch > 1 and found < 0.01:
            print(
                f"WARNING: epoch {epoch}: all images have nearly the same embedding (spread {found:.4f} of 1): the training "
                f"has collapsed or is about to. {remedy}"
            )
        return f"spread of the embedding {found:.3f}"
