"""Encoders side by side: the features of several methods as one table, one block for each.

For encoders of one channel each, and for ensembles. It trains nothing: its members are methods of their own. It is scored at
the saved epochs that all members have which train; what does not train stands beside each of these as it is.
"""

from dataclasses import dataclass

SEEDED = True
COMBINES = "members"


@dataclass(frozen=True)
class Config:
    """Keys of the combination."""

    members: tuple[str, ...] = ()  # names of methods, in the order of their blocks

    def __post_init__(self):
        if len(self.members) < 2 or len(set(self.members)) < len(self.members):
            raise ValueError("members must name two methods or more, each once")
