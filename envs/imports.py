"""Which third-party modules a script of the workflow can reach, read from syntax trees.

A function counts only if something that is reached names it, so that a module may hold one function that needs torch and
another that does not. Where that cannot be told it errs to the side of too much: a class is reached with all its methods,
and a plug-in that is loaded by name with everything in it.
"""

import ast
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from phenorep import plugins

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "phenorep"


def third_party(script: Path) -> set[str]:
    """Names of the third-party modules (``skimage``) that a script of ``workflow/scripts`` can reach."""
    search = _Search()
    search.visit(script, None)
    return search.found


@lru_cache
def _parts(path: Path) -> dict[str | None, list[ast.AST]]:
    """What stands in a file: functions and classes by name; all other statements, which an import runs, under None."""
    parts: dict[str | None, list[ast.AST]] = {None: []}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            parts[node.name] = [node]
            parts[None].extend(node.decorator_list)
        else:
            parts[None].append(node)
    return parts


def _file_of(dotted: str) -> Path | None:
    """The file of a module of the library; None if there is no such module."""
    stem = ROOT / dotted.replace(".", "/")
    return next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()), None)


def _nodes(parts: list[ast.AST]) -> Iterator[ast.AST]:
    """All nodes below, without what only a type checker sees."""
    waiting = list(parts)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        waiting.extend(ast.iter_child_nodes(node))


def _literal(call: ast.Call) -> object:
    return call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None


class _Search:
    def __init__(self) -> None:
        self.found: set[str] = set()
        self._seen: set[tuple[Path, str | None]] = set()

    def visit(self, path: Path, part: str | None) -> None:
        """Follow one part of a file: what it imports, and the functions and classes that it names."""
        if (path, part) in self._seen or part not in _parts(path):
            return
        self._seen.add((path, part))
        nodes = list(_nodes(_parts(path)[part]))
        for node in nodes:
            if isinstance(node, ast.Import | ast.ImportFrom):
                self._run(node)
        names = self._names(path)
        for node in nodes:
            if isinstance(node, ast.Name):
                self.visit(path, node.id)
                self.visit(*names.get(node.id, (path, node.id)))
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                module, inside = names.get(node.value.id, (path, ""))
                if inside is None:
                    self.visit(module, node.attr)
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("plugins.load", "load"):
                self._plugins(_literal(node))

    def _names(self, path: Path) -> dict[str, tuple[Path, str | None]]:
        """What the library's names mean in a file: {name: (file, function or class; None for the module itself)}."""
        names = {}
        for node in _nodes([node for part in _parts(path).values() for node in part]):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    name = alias.asname or alias.name
                    if module := _file_of(f"{node.module}.{alias.name}"):
                        names[name] = (module, None)
                    elif module := _file_of(node.module or ""):
                        names[name] = (module, alias.name)
        return names

    def _run(self, node: ast.Import | ast.ImportFrom) -> None:
        """An import statement runs the modules that it names and the packages around them."""
        if isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        else:
            imported = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        for dotted in imported:
            top, *inner = dotted.split(".")
            if top == PACKAGE:
                for end in range(len(inner) + 1):
                    if module := _file_of(".".join([top, *inner[:end]])):
                        self.visit(module, None)
            elif top not in sys.stdlib_module_names:
                self.found.add(top)

    def _plugins(self, kind: object) -> None:
        """A plug-in is loaded by name: any of its kind, with everything in it."""
        for one in [kind] if kind in plugins.FOLDERS else plugins.FOLDERS:
            for name in plugins.names(one):
                path = plugins.path_of(one, name)
                for part in _parts(path):
                    self.visit(path, part)
