"""How many examples are tried at random, always the same ones; PHENOREP_FUZZ=3000 tries more."""

import os

from hypothesis import HealthCheck, Phase, settings


def examples(usual: int) -> int:
    """How many to try, if nothing else is asked for `usual`."""
    return int(os.environ.get("PHENOREP_FUZZ", usual))


def tried(count: int) -> settings:
    """So many examples, without a search for smaller ones of those that fail."""
    return settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
