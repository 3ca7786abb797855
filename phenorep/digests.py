"""Digests of code: what a result depends on, wherever it lies in the library and whatever its messages say.

A rule carries the digest of its script and of the plug-ins that its job names, and of all definitions of phenorep that these
name, directly or not (`phenorep.definitions`). Of each definition counts what it computes (`_Normal`). So a reworded comment
or message reruns nothing, a moved file reruns nothing, a new plug-in reruns nothing, and a changed line reruns what it can
have changed. Plug-ins that are loaded by name are not followed: who asks for a digest names those of the job.
"""

import ast
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from phenorep import definitions
from phenorep.definitions import Key

# Modules that check, log, find and keep: none decides what a network learns, and GPU hours are not spent again for them.
PLUMBING = frozenset(
    {
        *("__init__", "architectures", "check", "checkpoints", "checksums", "contracts", "errors", "expectations", "gpus"),
        *("logs", "notes", "plugins", "preparation", "records", "store", "writing"),
    }
)
# What makes weights of samples and settings.
TRAINING = (
    "pretrain.prepare",
    "pretrain.build",
    "pretrain.start_from",
    "training.Training",
    "devices.fabric",
    "devices.repeatable",
)
# Calls that tell somebody something. What they are given is no part of what is computed.
_TELLING = frozenset({"print", "warnings.warn", "notes.say", "notes.warn"})
_LEVELS = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log"})


@dataclass(frozen=True)
class _Statement:
    """What a statement computes, as a digest, and the definitions that it names, whose names alone count in it."""

    content: str
    names: frozenset[Key]


def of(files: Iterable[Path], without: frozenset[str] = frozenset(), also: Iterable[Key] = ()) -> str:
    """Digest of files and of all definitions of phenorep that they reach.

    Parameters
    ----------
    files
        Scripts and plug-ins.
    without
        Names of modules of phenorep that are left out, with what only they name.
    also
        Definitions, (file, name), from which to go on as well.
    """
    return _of(frozenset(map(Path, files)), without, frozenset(also))


@cache  # asked for once per job, of which there may be ten thousand
def _of(files: frozenset[Path], without: frozenset[str], also: frozenset[Key]) -> str:
    contents = {statement.content for key in reached(files, without, also) for statement in _of_key(key)}
    # In their own order: the name of a file is none of it.
    return hashlib.sha256("".join(sorted(contents)).encode()).hexdigest()[:16]


def _of_key(key: Key) -> list[_Statement]:
    return _statements(key[0]).get(key[1], [])


def reached(files: Iterable[Path], without: frozenset[str] = frozenset(), also: Iterable[Key] = ()) -> set[Key]:
    """Definitions that `files` hold and those of phenorep that they name, directly or not; parameters as of `of`."""
    found: set[Key] = set()
    waiting = [key for path in files for key in definitions.everything(path.resolve())] + list(also)
    while waiting:
        key = waiting.pop()
        if key in found or (key[0].parent == definitions.PACKAGE and key[0].stem in without):
            continue
        found.add(key)
        waiting += [*definitions.around(key[0]), *(name for statement in _of_key(key) for name in statement.names)]
    return found


def of_weights(recipes: Iterable[Path]) -> str:
    """Digest of what decides the weights of an encoder: the files of its recipe, and the training."""
    return of(recipes, PLUMBING, training())


def training() -> list[Key]:
    """The definitions of `TRAINING`."""
    names = (dotted.split(".") for dotted in TRAINING)
    return [(definitions.PACKAGE / f"{module}.py", name) for module, name in names]


def of_folder(folder: Path) -> str:
    """Digest of all files below a folder that are no code: templates and the like."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.parent.name != "__pycache__"):
        total.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:16]


@cache
def _statements(path: Path) -> dict[str | None, list[_Statement]]:
    """The statements of a file by what they define, without those that compute nothing."""
    found: dict[str | None, list[_Statement]] = {}
    normal = _Normal(path)
    for statement, names in definitions.split(ast.parse(path.read_text())):
        node = normal.visit(statement)
        if node is None:
            continue
        named = definitions.references(path, [node])
        content = hashlib.sha256(ast.dump(_Named(named).visit(node)).encode()).hexdigest()
        for name in names:
            found.setdefault(name, []).append(_Statement(content, frozenset(named.values())))
    return found


class _Named(ast.NodeTransformer):
    """Puts the name of a definition in the place of the module and name by which it is reached."""

    def __init__(self, named: dict[ast.AST, Key]):
        self._named = named

    def visit(self, node: ast.AST) -> ast.AST:
        """Any node."""
        if node in self._named:
            return ast.Name(f"phenorep {self._named[node][1]}", ast.Load())
        return self.generic_visit(node)


class _Normal(ast.NodeTransformer):
    """Code without docstrings, imports, annotations of functions, messages, and texts that only messages take."""

    def __init__(self, path: Path):
        self._path = path

    def visit_Import(self, node: ast.Import) -> None:
        """Names count where they are used."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """The same."""

    def visit_Pass(self, node: ast.Pass) -> None:
        """It does nothing; an empty block gets one again."""

    def visit_Raise(self, node: ast.Raise) -> ast.Raise:
        """That something is raised counts, and its class."""
        node.exc, node.cause = node.exc and self.visit(node.exc), None
        return node

    def visit_Assert(self, node: ast.Assert) -> ast.Assert:
        """The condition counts."""
        node.test, node.msg = self.visit(node.test), None
        return node

    def visit_Call(self, node: ast.Call) -> ast.Call:
        """An exception's text says what went wrong."""
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name and definitions.is_exception(self._path, name):
            return ast.Call(node.func, [], [])
        return self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        """A bare text says something, and so do some calls."""
        if definitions.is_text(node) or (isinstance(node.value, ast.Call) and _is_telling(node.value.func)):
            return None
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        """An argument's type is a remark."""
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        """A function: texts that are kept for a message alone go with it."""
        node.returns = None
        node = self.generic_visit(node)
        while unused := _unused_texts(node):
            node = _Without(unused).visit(node)
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """A block that told something and did nothing else does nothing."""
        node = super().generic_visit(node)
        if getattr(node, "body", None) == []:
            node.body = [ast.Pass()]
        return node


class _Without(ast.NodeTransformer):
    def __init__(self, left_out: set[ast.AST]):
        self._left_out = left_out

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for field in ("body", "orelse", "finalbody"):
            if isinstance(statements := getattr(node, field, None), list):
                kept = [statement for statement in statements if statement not in self._left_out]
                setattr(node, field, kept or ([ast.Pass()] if field == "body" else []))
        return super().generic_visit(node)


def _is_telling(function: ast.AST) -> bool:
    text = ast.unparse(function)
    return text in _TELLING or (text.startswith(("logging.", "logger.", "log.")) and text.split(".")[-1] in _LEVELS)


def _unused_texts(function: ast.FunctionDef) -> set[ast.AST]:
    """Assignments of texts to names that the function does not read."""
    nodes = list(ast.walk(function))
    worded = [node for node in nodes if isinstance(node, ast.Assign) and _is_worded(node.value)]
    if not worded:
        return set()
    read = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return {node for node in worded if all(isinstance(to, ast.Name) and to.id not in read for to in node.targets)}


def _is_worded(node: ast.AST) -> bool:
    """Whether an expression is a text, or puts texts together."""
    if isinstance(node, ast.BinOp):
        return _is_worded(node.left) and _is_worded(node.right)
    if isinstance(node, ast.IfExp):
        return _is_worded(node.body) and _is_worded(node.orelse)
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
