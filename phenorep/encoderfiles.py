"""Read what an encoder's file says of itself, without torch, and believe none of it before it is checked.

A file may come from elsewhere: its header is a length, then JSON of that length [0], and names the recipe that is imported
and the network that is built.

[0] https://huggingface.co/docs/safetensors
"""

import json
import struct
from pathlib import Path

from phenorep import plugins
from phenorep.errors import UserError

SCALINGS = ("plate", "range")
HEADER = 1 << 24  # bytes; that of a network of a thousand layers has 100 000
_CHANNELS, _SIDE, _PIXELS = 1000, 1 << 15, 1 << 26


def metadata(path: str | Path) -> dict[str, str]:
    """The texts of a file's metadata.

    Raises
    ------
    UserError
        If the file is missing or no safetensors file.
    """
    try:
        size = Path(path).stat().st_size
        with open(path, "rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            if length > size - 8:
                raise ValueError("its header is cut off")
            if length > HEADER:
                raise ValueError(f"its header is said to have {length} bytes, expected at most {HEADER}")
            header = json.loads(file.read(length))
        found = header["__metadata__"]
        if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
            raise ValueError("its metadata are not names with texts")
    except (OSError, ValueError, KeyError, TypeError, RecursionError, struct.error) as error:
        raise UserError(
            f"{path}: cannot be read as an encoder ({_reason(error)}). Remove the file and run again."
        ) from error
    return found


def decoded(path: str | Path, texts: dict[str, str]) -> dict:
    """The values of metadata, whose texts are JSON."""
    try:
        return {key: json.loads(text) for key, text in texts.items()}
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: cannot be read as an encoder (its metadata are no JSON: {error}). Remove the file and run again."
        ) from error


def check(path: str | Path, facts: dict, check_scaling) -> None:
    """Raise `UserError` unless an encoder can be built of these facts; `check_scaling` raises `ValueError`."""
    remedy = "Take a file that phenorep has written, or remove it and run again."
    known = plugins.names("methods")
    if facts["recipe"] not in known:
        raise UserError(f"{path}: recipe: there is none called {facts['recipe']!r}; known are {', '.join(known)}. {remedy}")
    channels, size, features = facts["channels"], facts["input_size"], facts.get("features", 1)
    listed = isinstance(channels, list) and all(isinstance(name, str) for name in channels)
    if not listed or not 1 <= len(channels) <= _CHANNELS:
        raise UserError(f"{path}: channels: expected a list of 1 to {_CHANNELS} names. {remedy}")
    sides = isinstance(size, list) and len(size) == 2 and all(type(side) is int and 1 <= side <= _SIDE for side in size)
    if not sides or size[0] * size[1] > _PIXELS:
        raise UserError(f"{path}: input_size: {str(size)[:80]} is no height and width of at most {_PIXELS} pixels. {remedy}")
    if type(features) is not int or features < 1:
        raise UserError(f"{path}: features: {str(features)[:80]} is no number of features. {remedy}")
    if not isinstance(facts["config"], dict):
        raise UserError(f"{path}: config: expected the recipe's keys, found {str(facts['config'])[:80]}. {remedy}")
    try:
        if not isinstance(facts["scaling"], dict) and facts["scaling"] not in SCALINGS:
            raise ValueError(f"scaling must be plate, range or {{clip: an intensity}}, not {str(facts['scaling'])[:80]}")
        check_scaling(facts["scaling"])
    except ValueError as error:
        raise UserError(f"{path}: {error}. {remedy}") from error


def _reason(error: Exception) -> str:
    """What is wrong, in words: errors of a wrong kind speak of Python."""
    return "its header is no block of names" if isinstance(error, TypeError | KeyError | RecursionError) else str(error)
