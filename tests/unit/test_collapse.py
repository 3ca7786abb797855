"""Whether a teacher says one thing, or everything, of all images."""

import numpy as np
import pytest
import torch

from phenorep import collapse


def watched(outputs, embedding):
    watch = collapse.Watch(outputs.shape[1], embedding.shape[1])
    for part, features in zip(outputs.chunk(2), embedding.chunk(2), strict=True):
        watch.see(part, torch.zeros(1, 1, outputs.shape[1]), 0.1, features)
    return watch


def test_measures_of_collapse_have_their_closed_forms():
    found = watched(torch.eye(8), torch.eye(8)).measures()
    share = np.exp(10) / (np.exp(10) + 7)
    single = -share * np.log(share) - (1 - share) * np.log((1 - share) / 7)
    assert found["single"] == pytest.approx(single, rel=1e-4)
    assert found["mean"] == pytest.approx(np.log(8), rel=1e-5)
    assert found["spread"] == pytest.approx(np.sqrt(1 - 1 / 8), rel=1e-5)


@pytest.mark.parametrize(
    ("outputs", "embedding", "collapsed"),
    [
        (torch.eye(8), torch.eye(8), False),
        (torch.eye(8)[:1].repeat(8, 1), torch.eye(8), True),  # all say one thing
        (torch.zeros(8, 8), torch.eye(8), True),  # all say everything
        (torch.eye(8), torch.ones(8, 8), True),
    ],
)
def test_collapse_is_told(capsys, outputs, embedding, collapsed):
    watch = watched(outputs, embedding)
    line = watch.report(2, warn=True)
    told = capsys.readouterr().out
    assert ("WARNING: epoch 2" in told) == collapsed
    assert ("Lower learning_rate" in told) == collapsed
    assert "spread of the embedding" in line
    assert watch.count == 0
