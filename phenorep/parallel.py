"""A function over many items in several processes, with the results in the items' order."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from phenorep.errors import UserError

_state: dict[str, object] = {}


def in_order(function: Callable, items: Iterable, processes: int, shared: tuple = ()) -> Iterator:
    """Yield ``function(*shared, item)`` for each item, in order.

    Only a few items are under way at a time, so memory does not grow with their number. `shared` reaches the processes
    without being copied.

    Parameters
    ----------
    function
        A module-level function; it must not start threads or use pyarrow.
    processes
        Number of processes; 1 works in this one.

    Raises
    ------
    UserError
        If one of the processes is killed.
    """
    items = list(items)
    processes = min(processes, len(items))
    if processes <= 1:
        for item in items:
            yield function(*shared, item)
        return
    # fork: any other start imports the main module again, and a workflow's script is run by its import; nor does a process
    # then pay a second of imports.
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(processes, context, _remember, (function, shared)) as pool:
        waiting: deque = deque()
        try:
            for item in items:
                waiting.append(pool.submit(_call, item))
                if len(waiting) > 2 * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise UserError(
                f"One of the {processes} processes of this job was killed from outside, most often for want of memory. Give "
                "the same command again, with fewer cores (--cores) or on a machine with more memory if it was."
            ) from error
        finally:
            for future in waiting:
                future.cancel()


def _remember(function: Callable, shared: tuple) -> None:
    _state.update(function=function, shared=shared)


def _call(item):
    return _state["function"](*_state["shared"], item)
