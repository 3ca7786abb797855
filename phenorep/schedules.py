"""Schedules as functions of the training's progress alone, so that a training that goes on needs no state of theirs."""

import math


def cosine(progress: float, start: float, end: float) -> float:
    """From `start` to `end` along half a cosine.

    Parameters
    ----------
    progress
        Share of the training that is done, 0 to 1.
    """
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def epoch_at(progress: float, epochs: int) -> int:
    """Number of the running epoch, from 0; rounding of `progress` at an epoch's first step does no harm."""
    return math.floor(progress * epochs + 1e-6)


def rise(epoch: int, start: float, end: float, epochs: int) -> float:
    """From `start` in the first epoch to `end` in the last of `epochs` in equal steps, and `end` from then on.

    Parameters
    ----------
    epoch
        From 0.
    """
    if epoch >= epochs:
        return end
    return start + (end - start) * epoch / max(1, epochs - 1)
