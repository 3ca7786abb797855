"""Strikes a process at a chosen moment. Python imports this at its start, where PYTHONPATH names this folder.

The environment variable ``PHENOREP_FAULT`` holds, as JSON, ``event`` and ``path``: Python's audit event and a pattern of the
path that it concerns; ``action``: ``pause`` waits for ever, ``kill`` ends the process as a want of memory does; ``mark``: a
file that says it has happened; it happens once.
"""

import json
import os
import re
import signal
import sys
import time

fault = json.loads(os.environ.get("PHENOREP_FAULT", "null"))


def strike(event: str, arguments: tuple) -> None:
    """Called by Python for each of its audit events."""
    if event != fault["event"]:
        return
    # Of `os.rename` the target; of `open` the file.
    path = arguments[1] if event == "os.rename" else arguments[0]
    if not isinstance(path, str | os.PathLike) or not re.search(fault["path"], os.fspath(path)):
        return
    try:
        os.close(os.open(fault["mark"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    if fault["action"] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(3600)


if fault:
    sys.addaudithook(strike)
