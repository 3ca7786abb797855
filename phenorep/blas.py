"""How many threads numpy's linear algebra computes with: one, whatever the machine or Snakemake would give it.

OpenBLAS sums in another order with two threads than with one, so that products and decompositions differ in their last
digits; trainings and ranks make more of that. Jobs run side by side, which uses the cores as well.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

# OpenBLAS reads it when it is loaded, as scipy's own copy is on the first import of its linear algebra.
_VARIABLE = "OPENBLAS_NUM_THREADS"


@contextmanager
def single_thread() -> Iterator[None]:
    """Inside the block, or the function that it decorates, linear algebra of numpy and scipy takes one thread."""
    from threadpoolctl import threadpool_limits

    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = "1"
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        if before is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = before
