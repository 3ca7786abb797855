"""An untrained network: a control. What a trained encoder does not do better than this, its training did not teach it.

[0] Saxe et al. 2011, On random weights and unsupervised feature learning, ICML
"""

from dataclasses import dataclass

from phenorep import recipes

SEEDED = True
CONTROL = True


@dataclass(frozen=True)
class Config(recipes.EncoderConfig):
    """Keys of every encoder; there is nothing else to choose."""


class Recipe(recipes.Recipe):
    """The backbone with its initial weights."""
