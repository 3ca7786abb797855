"""Writes down which functions of the library a process calls. Python imports it at its start if PYTHONPATH names the folder.

The environment variable ``PHENOREP_TRACE`` names a folder; each process leaves a file there: the program, then a line for
each function, with its file and the line on which it begins.
"""

import atexit
import inspect
import os
import sys
import threading

folder = os.environ.get("PHENOREP_TRACE")
seen = set()
MARK = f"{os.sep}phenorep{os.sep}"


def trace(frame, event, argument):
    """Called by Python at each call of a function; lines inside are of no interest."""
    code = frame.f_code
    if code in seen or MARK not in code.co_filename or code.co_name.startswith("<"):
        return
    # Bodies of classes, and what makes the constants of a module, run at each import of it: the job does not call them.
    if code.co_flags & inspect.CO_OPTIMIZED and not is_imported(frame.f_back):
        seen.add(code)


def is_imported(frame) -> bool:
    """Whether a module of the library is being imported."""
    while frame is not None:
        if frame.f_code.co_name == "<module>" and MARK in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


def write() -> None:
    """Leave what was called so far."""
    sys.settrace(None)
    # Snapshot: threads may go on.
    lines = sorted({f"{code.co_filename}:{code.co_firstlineno}" for code in list(seen)})
    if lines:
        with open(os.path.join(folder, f"{os.getpid()}.txt"), "w") as file:
            file.write("\n".join([sys.argv[0], *lines]))


def follow(_: object) -> None:
    """In a process that `multiprocessing` has made, which ends without `atexit`."""
    from multiprocessing import util

    util.Finalize(None, write, exitpriority=1)
    sys.settrace(trace)


if folder:
    from multiprocessing import util

    atexit.register(write)
    util.register_after_fork(follow, follow)
    threading.settrace(trace)
    sys.settrace(trace)
