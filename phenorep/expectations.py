"""What a configuration's key is expected to hold, in words: for messages to people who read neither Python nor JSON."""

import re
import types
import typing

# One value, several values.
_PLAIN = {
    str: ("text", "texts"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    bool: ("true or false", "values that are true or false"),
    dict: ("a block of keys, like {key: value}", "blocks of keys"),
    list: ("a list, like [first, second]", "lists"),
    type(None): ("null", "nulls"),
}
_SCHEMA = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "object": dict,
    "array": list,
    "null": type(None),
}


def of_type(hint, several: bool = False) -> str:
    """The values that a type of a `Config` takes: ``a whole number or null``, ``a list of 2 numbers``."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(of_type(option, several) for option in arguments)
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin is tuple:
        count = "" if arguments[-1] is Ellipsis else f"{len(arguments)} "
        example = "[first, second]" if arguments[0] is str else "[1, 2]"
        return f"a list of {count}{of_type(arguments[0], several=True)}, like {example}"
    return _PLAIN.get(origin or hint, (str(hint),) * 2)[several]


def of_schema(kinds: str | list[str]) -> str:
    """The same of the type, or types, that a schema names; that a block may be empty needs no mention."""
    named = [kinds] if isinstance(kinds, str) else [kind for kind in kinds if kind != "null"]
    return " or ".join(_PLAIN[_SCHEMA[kind]][0] for kind in named)


def unlike(value: object, expected: str) -> str:
    """What was found and what was expected; a number that should be text only lacks its quotes."""
    bare = expected == "text" and isinstance(value, int | float) and not isinstance(value, bool)
    return f"found {found(value)}, expected {expected}{', in quotes' if bare else ''}"


def found(value: object) -> str:
    """A value as a configuration file would have it, with a hint where YAML reads a word as something else."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"{str(value).lower()} (so YAML reads yes, no, on and off as well: put a name in quotes)"
    return repr(value)


def named(values: dict, text: str) -> str:
    """Those of `values` that a message speaks of by their keys: ``epochs: 0``; nothing if it shows what was found itself."""
    if ", not " in text or "'" in text:
        return ""
    keys = [key for key in values if re.search(rf"(?<!\w){re.escape(str(key))}(?!\w)", text)]
    return ", ".join(f"{key}: {values[key]}" for key in keys)
