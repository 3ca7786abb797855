"""Run a function in a process that may take only so much memory and time, and hear how it ended."""

import os
import pickle
import resource
import signal
import traceback
from typing import NamedTuple

import pyarrow as pa

from phenorep.errors import NotRun, UserError

pa.array(["text"])  # the first one reserves a gigabyte of addresses: here, before they are counted


class Ended(NamedTuple):
    """How it ended: with a result, as a user is told (`UserError`, `NotRun`), or otherwise."""

    how: str  # "result", "told" or "broken"
    value: object  # the result, the message, or the traceback


def bounded(function, *arguments, memory: int = 1 << 30, seconds: int = 60) -> Ended:
    """Call a function in a child process.

    Parameters
    ----------
    memory
        Bytes of address space beyond what this process has.
    seconds
        After which it is killed.
    """
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        os.close(reads)
        signal.alarm(seconds)
        with open("/proc/self/statm") as file:
            own = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (own + memory, own + memory))
        with open(writes, "wb") as file:
            file.write(pickle.dumps(_called(function, arguments)))
        os._exit(0)
    os.close(writes)
    with open(reads, "rb") as file:
        answer = file.read()
    status = os.waitpid(child, 0)[1]
    return pickle.loads(answer) if answer else Ended("broken", f"the process ended with {os.waitstatus_to_exitcode(status)}")


def _called(function, arguments) -> Ended:
    try:
        return Ended("result", function(*arguments))
    except (UserError, NotRun) as error:
        return Ended("told", str(error))
    except BaseException:
        return Ended("broken", traceback.format_exc())


def told(function, *arguments, **limits) -> str:
    """The message that a user gets; fails if there is none."""
    ended = bounded(function, *arguments, **limits)
    assert ended.how == "told", ended.value
    return ended.value


def result(function, *arguments, **limits):
    """The result; fails if there is none."""
    ended = bounded(function, *arguments, **limits)
    assert ended.how == "result", ended.value
    return ended.value
