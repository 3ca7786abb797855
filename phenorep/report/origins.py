"""Where each number of the page comes from: its score files, its encoders, its lines of the configuration, its command."""

import os
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path

import yaml

from phenorep.report import tables

# Blocks of the configuration whose entries can be pointed at.
BLOCKS = ("datasets", "samples", "methods", "profiles", "evaluations", "studies")
Link = Callable[[str], str]


def command(configfiles: Iterable[str] = ()) -> str:
    """What makes a file again; the file's path belongs at its end."""
    near = [os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else str(path) for path in configfiles]
    given = ["--configfile", *near] if near else []
    # Without --force a file that is there stays as it is; the two dashes end the list of configurations.
    return shlex.join(["snakemake", *given, "--force", "--"])


def score_files(study: dict, plan: dict, link: Link) -> dict[tuple[str, str, str], list[dict]]:
    """Files of each (evaluation, method, profile) of a study, one entry per seed: ``seed, scores, details`` (addresses).

    Only files that are there are named: a link leads somewhere.
    """
    found: dict[tuple[str, str, str], list[dict]] = {}
    for entry in tables.entries(plan["files"].get("details", []), study):
        scores = Path(entry["path"]).with_suffix(".csv")
        if scores.is_file():
            key = entry["evaluation"], entry["method"], entry.get("profile", "none")
            details = link(entry["path"]) if Path(entry["path"]).is_file() else ""
            found.setdefault(key, []).append({"seed": entry["seed"], "scores": link(str(scores)), "details": details})
    return found


def encoders(study: dict, plan: dict, link: Link) -> dict[str, list[dict]]:
    """Encoder files of each method of a study that has any: ``path`` and ``href``, one entry per seed and member."""
    linked: dict[str, list[dict]] = {}
    for method in study["methods"]:
        entries = tables.entries(plan["files"].get("encoders", []), study, method=method)
        there = [path for path in dict.fromkeys(entry["path"] for entry in entries) if Path(path).is_file()]
        if there:
            linked[method] = [{"path": path, "href": link(path)} for path in there]
    return linked


def config_lines(text: str) -> tuple[list[tuple[str, str]], dict[str, dict[str, list]]]:
    """A configuration cut into pieces that can be pointed at.

    Returns
    -------
    pieces
        (identifier, or empty; text), whose texts together are `text`.
    places
        By block and name, ``[identifier, first line, last line]``; lines count from 1.
    """
    lines = text.splitlines(keepends=True)
    starts: dict[int, tuple[str, int]] = {}
    places: dict[str, dict[str, list]] = {}
    root = yaml.compose(text)
    for block, content in getattr(root, "value", []):
        if block.value not in BLOCKS or not isinstance(content, yaml.MappingNode):
            continue
        for key, value in content.value:
            first, end = key.start_mark.line, value.end_mark.line
            # A block ends where the next key begins, a value in braces on its own last line.
            last = end if value.end_mark.column > key.start_mark.column else end - 1
            if first in starts or first == block.start_mark.line:
                continue  # several on one line, in braces
            identifier = f"config-{block.value}-{len(places.get(block.value, {}))}"
            starts[first] = identifier, max(first, last)
            places.setdefault(block.value, {})[str(key.value)] = [identifier, first + 1, max(first, last) + 1]
    pieces, line = [], 0
    while line < len(lines):
        identifier, last = starts.get(line, ("", line))
        pieces.append((identifier, "".join(lines[line : last + 1])))
        line = last + 1
    return pieces, places
