"""A fault and what must come of it."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.bench import Bench, Work


@dataclass(frozen=True)
class Case:
    """One fault.

    Parameters
    ----------
    name
        What happens.
    stage
        Where.
    strike
        Lets it happen and looks at what follows; raises `Broken` where the promise is not kept, and `Skipped` where this
        machine cannot do it.
    outcome
        What is promised.
    """

    name: str
    stage: str
    strike: Callable[[Bench], Work]
    outcome: str = "goes on, same results"


class Skipped(Exception):
    """This machine cannot let it happen; the message says what is missing."""
