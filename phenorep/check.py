"""The check that comes before everything: every plug-in that the configuration names is imported, every key checked."""

import json
from pathlib import Path

from phenorep import __version__, contracts, devices, plugins
from phenorep.errors import UserError


def make(blocks: dict, output: str | Path) -> None:
    """Check the types and ranges of all keys of a resolved configuration; write it to `output` as JSON.

    Raises
    ------
    UserError
        With all that is wrong, one line each.
    """
    wrong = []
    try:
        devices.configure(blocks["compute"])
    except UserError as error:
        wrong.append(str(error))
    for kind, name, use, keys in _named(blocks):
        try:
            plugins.configure(plugins.load(kind, use).Config, keys, name)
        except UserError as error:
            wrong.append(str(error))
    if wrong:
        raise UserError("\n".join(wrong))
    with contracts.replacing(output) as temporary:
        temporary.write_text(json.dumps({"version": __version__, "config": blocks}, indent=1, sort_keys=True) + "\n")


def _named(blocks: dict):
    for kind in ("datasets", "samples", "methods", "evaluations"):
        for name, block in blocks[kind].items():
            if block["use"] is not None:
                yield kind, f"{kind}: {name}", block["use"], block["keys"]
    for profile, steps in blocks["profiles"].items():
        for step in steps:
            yield "steps", f"profiles: {profile}: {step['step']}", step["step"], step["keys"]
