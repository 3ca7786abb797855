"""Read a configuration file as data: what is in it twice, or would become huge, is refused before anything copies it.

Snakemake reads the files of a run by itself, before phenorep: it runs code in a file that asks for it (``__use_yte__``),
takes the last of two keys of one name, and expands aliases of blocks. So `check` looks at these files again; and a
configuration from elsewhere is looked at by ``phenorep plan``, which does none of this, before it is run.
"""

from collections.abc import Iterator
from pathlib import Path

import yaml

from phenorep.errors import UserError

LARGEST = 200_000  # values, with each alias counted as often as it stands for something
DEEPEST = 50  # blocks in blocks
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(path: str | Path) -> dict:
    """A configuration, of plain values.

    Raises
    ------
    UserError
        If the file cannot be read as YAML, has a key twice in one block, or would be too large.
    """
    node = _composed(path)
    _check(path, node)
    try:
        found = yaml.load(Path(path).read_text("utf-8-sig"), yaml.SafeLoader)
    except (OSError, ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise _unreadable(path, error) from error
    check_size(found, str(path))
    return found


def check(path: str | Path) -> None:
    """Raise `UserError` if a configuration file has a key twice in one block, where Snakemake takes the last."""
    _check(path, _composed(path))


def check_size(config: object, where: str = "config") -> None:
    """Raise `UserError` if a configuration has more values than a person, or a program of theirs, would write."""
    waiting, count = [(config, 1)], 0
    while waiting:
        value, depth = waiting.pop()
        count += 1
        if count > LARGEST or depth > DEEPEST:
            what = f"more than {LARGEST} values" if count > LARGEST else f"blocks within blocks, more than {DEEPEST} deep"
            raise UserError(
                f"{where}: it would have {what}. Look for an alias (*name) within the block that it names, or for aliases "
                "of aliases."
            )
        inner = [*value.keys(), *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
        waiting.extend((item, depth + 1) for item in inner)


def _composed(path: str | Path) -> yaml.Node | None:
    """The file's nodes, without a value made of any."""
    try:
        return yaml.compose(Path(path).read_text("utf-8-sig"), _Loader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise _unreadable(path, error) from error


def _check(path: str | Path, root: yaml.Node | None) -> None:
    for block in _blocks(root):
        seen: dict[tuple[str, str], int] = {}
        for key, _ in block.value:
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else None
            if name in seen and key.value != "<<":
                raise UserError(
                    f"{path}: the key '{key.value}' stands in one block twice, in lines {seen[name]} and "
                    f"{key.start_mark.line + 1}. Take one out."
                )
            if name:
                seen[name] = key.start_mark.line + 1


def _blocks(root: yaml.Node | None) -> Iterator[yaml.MappingNode]:
    """All blocks of a file, each once, however often aliases name it."""
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen or isinstance(node, yaml.ScalarNode):
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            yield node
            waiting.extend(part for pair in node.value for part in pair)
        else:
            waiting.extend(node.value)


def _unreadable(path: str | Path, error: Exception) -> UserError:
    if isinstance(error, OSError):
        return UserError(f"{path}: cannot be read ({error.strerror}). Name a file of YAML.")
    reason = "blocks within blocks without an end" if isinstance(error, RecursionError) else str(error)
    if isinstance(error, UnicodeDecodeError):
        reason = "its text is not UTF-8"
    return UserError(f"{path}: cannot be read as YAML ({reason}). Mend that line; indent by spaces, never by tabs.")
