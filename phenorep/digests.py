"""Digests of code: what a result depends on, without comments, docstrings and layout.

A rule carries the digest of its script and of the plug-ins that its job names, with all they import from phenorep. So a
reworded comment reruns nothing, a new plug-in reruns nothing, and a changed line reruns what it can have changed.
"""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent
# How files are checked, logged and found does not change what a network learns: GPU hours are not spent again for it.
PLUMBING = frozenset(
    {
        *("__init__", "architectures", "contracts", "errors", "expectations", "logs", "notes", "plugins", "preparation"),
        *("records", "store"),
    }
)


def of(files: Iterable[Path], without: frozenset[str] = frozenset()) -> str:
    """Digest of files and of all modules of phenorep that they import, directly or not.

    Parameters
    ----------
    files
        Scripts and plug-ins.
    without
        Names of top-level modules of phenorep that are left out.
    """
    return _of(frozenset(files), without)


@cache  # asked for once per job, of which there may be ten thousand
def _of(files: frozenset[Path], without: frozenset[str]) -> str:
    total = hashlib.sha256()
    for path in sorted(closure(files, without)):
        total.update(_digest(path).encode())
    return total.hexdigest()[:16]


def closure(files: Iterable[Path], without: frozenset[str] = frozenset()) -> set[Path]:
    """`files` and the files of all modules of phenorep that they import, directly or not."""
    found: set[Path] = set()
    waiting = [Path(path).resolve() for path in files]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting.extend(p for p in _imports(path) if not (p.parent == ROOT and p.stem in without))
    return found


def of_folder(folder: Path) -> str:
    """Digest of all files below a folder that are no code: templates and the like."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.parent.name != "__pycache__"):
        total.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:16]


@cache
def _digest(path: Path) -> str:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node):
            node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


@cache
def _imports(path: Path) -> frozenset[Path]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(file for name in names if name.split(".")[0] == ROOT.name for file in _files(name))


def _files(module: str) -> list[Path]:
    stem = ROOT.parent / module.replace(".", "/")
    candidates = [stem.with_suffix(".py"), stem / "__init__.py"]
    return [path for path in candidates if path.is_file()]
