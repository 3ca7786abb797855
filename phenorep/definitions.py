"""The library's code by definition: what each function, class and constant of a module names, read from syntax trees.

A definition is named by its file and its name. Statements of a module that define nothing (they run when it is imported) are
together under the name None. Nothing is imported to find out.
"""

import ast
import builtins
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent

Key = tuple[Path, str | None]
_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_COMPREHENSIONS = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
_SCOPES = _FUNCTIONS | _COMPREHENSIONS


def everything(path: Path) -> set[Key]:
    """All definitions of a file, with what runs when it is imported."""
    return {(path, name) for name in {None, *parts(path)}}


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(), filename=str(path))


@cache
def parts(path: Path) -> dict[str | None, list[ast.stmt]]:
    """The statements of a file by what they define: {name: statements}; of all others under None. Imports are left out."""
    found: dict[str | None, list[ast.stmt]] = {}
    for node, names in split(tree(path)):
        for name in names:
            found.setdefault(name, []).append(node)
    return found


def split(module: ast.Module) -> Iterator[tuple[ast.stmt, list[str | None]]]:
    """The statements of a module, each with the names that it defines, or None; imports are left out."""
    for node in module.body:
        if not (isinstance(node, ast.Import | ast.ImportFrom) or _is_elsewhere(node) or is_text(node)):
            yield node, _defined(node) or [None]


def is_text(node: ast.AST) -> bool:
    """Whether a statement is a bare text: a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_elsewhere(node: ast.AST) -> bool:
    """Whether a statement does nothing when the file is imported: it is for type checkers, or for a program."""
    return isinstance(node, ast.If) and any(text in ast.unparse(node.test) for text in ("TYPE_CHECKING", "__main__"))


def _defined(node: ast.stmt) -> list[str]:
    """Names that a statement of a module defines; none where more than a definition happens."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    if not isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        return []
    flat = [name for target in targets for name in (target.elts if isinstance(target, ast.Tuple) else [target])]
    return [name.id for name in flat] if all(isinstance(name, ast.Name) for name in flat) else []


@cache
def _imported(path: Path) -> dict[str, Key]:
    """What a file's imports of the library mean: {name: (file, definition, or None for the module itself)}."""
    names: dict[str, Key] = {}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                name = alias.asname or alias.name
                if module := file_of(f"{node.module}.{alias.name}"):
                    names[name] = (module, None)
                elif module := file_of(node.module or ""):
                    names[name] = (module, alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if module := file_of(alias.name if alias.asname else alias.name.split(".")[0]):
                    names[alias.asname or alias.name.split(".")[0]] = (module, None)
    return names


@cache
def file_of(dotted: str) -> Path | None:
    """The file of a module of the library; None if there is no such module."""
    top, *inner = dotted.split(".")
    if top != PACKAGE.name:
        return None
    stem = PACKAGE.joinpath(*inner)
    return next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()), None)


@cache
def meant(path: Path, name: str) -> Key | None:
    """The definition that a name of a file means, wherever it was imported from; None if it is not the library's."""
    if name in parts(path):
        return path, name
    if name not in _imported(path):
        return None
    module, inside = _imported(path)[name]
    return (module, None) if inside is None else meant(module, inside)


class References(ast.NodeVisitor):
    """Definitions of the library that nodes of a file name; what a function calls its own variables is no reference.

    Attributes
    ----------
    found
        {node: definition} of each name, or name of a module with an attribute, that means a definition.
    """

    def __init__(self, path: Path):
        self.found: dict[ast.AST, Key] = {}
        self._path, self._local = path, frozenset()

    def visit_Name(self, node: ast.Name) -> None:
        """A name."""
        if node.id not in self._local and (key := meant(self._path, node.id)) and key[1] is not None:
            self.found[node] = key

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """What is inside of a module."""
        module = self._module(node.value)
        if module and (key := meant(module, node.attr)) and key[1] is not None:
            self.found[node] = key
        else:
            self.visit(node.value)

    def _module(self, node: ast.AST) -> Path | None:
        """The file of the module that an expression means."""
        if isinstance(node, ast.Name) and node.id not in self._local:
            key = meant(self._path, node.id)
        elif isinstance(node, ast.Attribute) and (around := self._module(node.value)):
            key = meant(around, node.attr)
            if key is None and around.name == "__init__.py":
                inner = (around.parent / f"{node.attr}.py", around.parent / node.attr / "__init__.py")
                return next((path for path in inner if path.is_file()), None)
        else:
            return None
        return key[0] if key and key[1] is None else None

    def generic_visit(self, node: ast.AST) -> None:
        """Names that a function or a comprehension binds hide those of the module inside of it."""
        if not isinstance(node, _SCOPES):
            super().generic_visit(node)
            return
        outside = _outside(node)
        for inner in outside:
            self.visit(inner)
        outer, self._local = self._local, self._local | _bound(node)
        for inner in ast.iter_child_nodes(node):
            if inner not in outside:
                self.visit(inner)
        self._local = outer


def _outside(node: ast.AST) -> list[ast.AST]:
    """What a scope names before it begins: decorators and defaults, what a comprehension runs over first."""
    if isinstance(node, _FUNCTIONS):
        return getattr(node, "decorator_list", [])
    return [node.generators[0].iter] if isinstance(node, _COMPREHENSIONS) else []


def _bound(scope: ast.AST) -> set[str]:
    """Names that a scope binds: arguments and whatever is assigned in it, but for what it declares global."""
    names, glob, waiting = set(), set(), list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Global):
            glob |= set(node.names)
        if not isinstance(node, _SCOPES):
            waiting.extend(ast.iter_child_nodes(node))
    return names - glob


def references(path: Path, nodes: Iterable[ast.AST]) -> dict[ast.AST, Key]:
    """Definitions of the library that some nodes of a file name."""
    search = References(path)
    for node in nodes:
        search.visit(node)
    return search.found


def around(path: Path) -> Iterator[Key]:
    """What runs when a definition's module is imported: its own statements and those of the packages around it."""
    yield path, None
    for folder in path.parents:
        if folder == PACKAGE.parent or PACKAGE not in (folder, *folder.parents):
            break
        yield folder / "__init__.py", None


@cache
def is_exception(path: Path, name: str) -> bool:
    """Whether a name means a class of exceptions, of Python or of the library."""
    key = meant(path, name)
    if key is None or key[1] is None:
        kind = getattr(builtins, name, None)
        return isinstance(kind, type) and issubclass(kind, BaseException)
    (node, *_) = parts(key[0])[key[1]]
    bases = node.bases if isinstance(node, ast.ClassDef) else []
    return any(isinstance(base, ast.Name) and is_exception(key[0], base.id) for base in bases)
