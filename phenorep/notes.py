"""What was read in a way that the user should know: said in the log, kept with the table that it led to, shown on the page.

Readers say it where they notice it, whatever calls them. A job keeps what was said as ``notes`` among the facts of its
table; `phenorep plan` says it before anything runs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_KEPT: ContextVar[tuple[list[dict], ...]] = ContextVar("notes", default=())  # of the blocks, the outermost first
_SILENT: ContextVar[bool] = ContextVar("silent", default=False)


def say(text: str) -> None:
    """Tell what was read in which way, once in a job: a blank taken off a name, columns that are no features."""
    _add(text, False)


def warn(text: str) -> None:
    """Tell what is probably not meant, though it can be read: the page shows it beside its answers."""
    _add(text, True)


@contextmanager
def kept() -> Iterator[list[dict]]:
    """Collect what is said inside the block: a list, in order, of {"text": ..., "check": whether it is a warning}.

    Of blocks within blocks each keeps a note, which is said once: a command says it of all that its steps read again.
    """
    notes: list[dict] = []
    token = _KEPT.set((*_KEPT.get(), notes))
    try:
        yield notes
    finally:
        _KEPT.reset(token)


@contextmanager
def unsaid() -> Iterator[None]:
    """Say nothing inside the block: what reads tables to plan jobs reads them again and again, and the jobs say it."""
    token = _SILENT.set(True)
    try:
        yield
    finally:
        _SILENT.reset(token)


def _add(text: str, check: bool) -> None:
    if _SILENT.get():
        return
    note = {"text": text, "check": check}
    blocks = _KEPT.get()
    said = any(note in notes for notes in blocks)
    for notes in blocks:
        if note not in notes:
            notes.append(note)
    if not said:
        print(f"WARNING: {text}" if check else text)
