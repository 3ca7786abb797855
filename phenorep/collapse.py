"""Noticing that self-distillation has collapsed: the network says the same of all images."""

import math

import torch
from torch import nn
from torch.nn import functional


class Watch(nn.Module):
    """Notices when the teacher's outputs collapse: all of them even, or all of them the same.

    Sums over an epoch are buffers, so that a training that goes on reports the whole epoch. Each device sees its own
    samples.

    Parameters
    ----------
    outputs, features
        Length of the teacher's output and of its embedding.
    """

    def __init__(self, outputs: int, features: int):
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("entropy", torch.zeros(()))
        self.register_buffer("output", torch.zeros(outputs))
        self.register_buffer("direction", torch.zeros(features))

    @torch.no_grad()
    def see(self, taught: torch.Tensor, center: torch.Tensor, temperature: float, embedding: torch.Tensor) -> None:
        """Add the (N, outputs) of the teacher and their (N, features) embeddings."""
        output = functional.softmax((taught - center.reshape(1, -1)) / temperature, dim=-1)
        self.count += len(output)
        self.entropy += torch.special.entr(output).sum()
        self.output += output.sum(dim=0)
        self.direction += functional.normalize(embedding.float(), dim=-1).sum(dim=0)

    def measures(self) -> dict[str, float]:
        """``single`` and ``mean``: entropy in nats of single outputs and of their mean, 0 to log(outputs); their difference
        is what outputs tell of the image. ``spread``: standard deviation of embeddings of length 1, 0 to 1.
        """
        count = max(1.0, self.count.item())
        spread = (1 - (self.direction / count).square().sum()).clamp_min(0).sqrt()
        mean = torch.special.entr(self.output / count).sum()
        return {"single": self.entropy.item() / count, "mean": mean.item(), "spread": spread.item()}

    def report(self, epoch: int, warn: bool) -> str:
        """The measures of the epoch in words; a warning where they show a collapse. The next epoch begins."""
        found, count = self.measures(), self.count.item()
        for buffer in self.buffers():
            buffer.zero_()
        most = math.log(max(2, min(len(self.output), count)))
        if warn and (found["mean"] - found["single"] < 0.01 * most or found["spread"] < 0.01):
            print(
                f"WARNING: epoch {epoch}: the teacher says the same of all images (entropy of single outputs "
                f"{found['single']:.3f}, of their mean {found['mean']:.3f}; spread of the embedding {found['spread']:.4f}): "
                "the training has collapsed or is about to. Lower learning_rate, teacher_temperature or output_dim, set "
                "momentum_teacher to 0.99 for small batches, or use a larger batch_size."
            )
        return (
            f"entropy of the teacher's outputs {found['single']:.2f}, of their mean {found['mean']:.2f}, "
            f"spread of the embedding {found['spread']:.3f}"
        )
