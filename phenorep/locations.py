"""Where images lie, as tables say it: folders and names, addresses of files, and places that this machine does not have."""

import os
import re
from urllib.parse import unquote

import pandas as pd

from phenorep.errors import UserError

_FILE = re.compile(r"file:(//(?P<host>[^/]*))?(?P<path>.*)", re.IGNORECASE | re.DOTALL)
_DRIVE = re.compile(r"[A-Za-z]:([\\/]|$)")
_SHELL = re.compile(r"(~\w*|\$\{?[A-Za-z_]\w*\}?)(/|$)")
_NETWORK = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def path(text: str, where: str, remedy: str) -> str:
    """A folder, or a file, as this machine calls it: ``file:///data/my%20screen`` is /data/my screen.

    Parameters
    ----------
    text
        As the table or the configuration has it.
    where, remedy
        For messages: what says so, and what to do about a place that is elsewhere.

    Raises
    ------
    UserError
        If it is on a drive of Windows, a shared folder of Windows or on the network, and cannot be opened here; or if it
        begins with what only a shell replaces.
    """
    if match := _SHELL.match(text):
        raise UserError(
            f"{where} is {text!r:.200}: {match[1]} is replaced by a shell alone, and this is taken as it is. "
            "Write the folder in full, from '/', or from the folder of the table."
        )
    if address := _FILE.fullmatch(text):
        text = unquote(address["path"])
        if address["host"] and address["host"].lower() != "localhost":
            text = rf"\\{address['host']}{text}"
        elif _DRIVE.match(text.lstrip("/")):
            text = text.lstrip("/")
    if what := elsewhere(text):
        raise UserError(f"{where} is {text!r:.200}: {what}. {remedy}")
    return text


def are_odd(column: pd.Series) -> pd.Series:
    """Which cells may be anything but a plain path: `path` need not look at the others, of which there are many."""
    return column.str.contains(":", regex=False) | column.str.startswith(("\\\\", "~", "$"))


def elsewhere(text: str) -> str | None:
    """What a place is that cannot be opened from here by this name; None for all others."""
    if os.name != "nt" and _DRIVE.match(text):
        return f"a drive of Windows, {text[:2]}, which this machine does not have under that name"
    if os.name != "nt" and re.match(r"\\\\[^\\]", text):
        return "a shared folder of Windows, which this machine has under another name, if at all"
    if _NETWORK.match(text):
        return "on the network, and images are read from disks alone"
    return None


def last(text: str) -> str:
    """The last part of a path, written on whatever system."""
    return re.split(r"[\\/]", text)[-1]
