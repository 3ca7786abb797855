import pytest
import torch

from phenorep.spread import Spread


def test_spread_is_the_deviation_of_directions_over_all_batches():
    embeddings = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)) + 1
    spread = Spread(6)
    for part in embeddings.split(8):
        spread.see(3 * part)
    directions = (embeddings / embeddings.norm(dim=1, keepdim=True)).double()
    expected = (directions - directions.mean(dim=0)).square().sum(dim=1).mean().sqrt()
    assert spread.measure() == pytest.approx(expected.item(), rel=1e-6)
    again = Spread(6)
    again.load_state_dict(spread.state_dict())
    assert again.measure() == spread.measure()


@pytest.mark.parametrize(("epoch", "noise", "warns"), [(2, 0.001, True), (1, 0.001, False), (2, 1.0, False)])
def test_a_collapse_is_told_with_its_remedy(capsys, epoch, noise, warns):
    spread = Spread(6)
    spread.see(torch.ones(1, 6) + noise * torch.randn(50, 6, generator=torch.Generator().manual_seed(0)))
    told = spread.report(epoch, "Lower learning_rate.")
    assert told.startswith("spread of the embedding 0.")
    assert ("all images have nearly the same embedding" in (out := capsys.readouterr().out)) == warns
    assert out.endswith("Lower learning_rate.\n") == warns
    assert spread.measure() == 1  # nothing seen: the next epoch begins anew
