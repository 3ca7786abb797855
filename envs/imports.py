"""Which third-party modules a script of the workflow can reach, read from syntax trees.

A function counts only if something that is reached names it, so that a module may hold one function that needs torch and
another that does not. Where that cannot be told it errs to the side of too much: a class is reached with all its methods,
and a plug-in that is loaded by name with everything in it.
"""

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from phenorep import definitions, plugins


def third_party(script: Path) -> set[str]:
    """Names of the third-party modules (``skimage``) that a script of ``workflow/scripts`` can reach."""
    search = _Search()
    for name in {None, *definitions.parts(script)}:
        search.visit(script, name)
    return search.found


def _nodes(statements: Iterable[ast.AST]) -> Iterator[ast.AST]:
    for statement in statements:
        yield from ast.walk(statement)


def _literal(call: ast.Call) -> object:
    return call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None


class _Search:
    def __init__(self) -> None:
        self.found: set[str] = set()
        self._seen: set[definitions.Key] = set()
        self._run: set[Path] = set()

    def visit(self, path: Path, name: str | None) -> None:
        """Follow a definition: what it imports, and what it names."""
        if (path, name) in self._seen:
            return
        self._seen.add((path, name))
        for module, _ in definitions.around(path):
            self._import(module)
        self._follow(path, definitions.parts(path).get(name, []))

    def _follow(self, path: Path, statements: list[ast.stmt]) -> None:
        for node in _nodes(statements):
            if isinstance(node, ast.Import | ast.ImportFrom):
                self._imports(node)
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("plugins.load", "load"):
                self._plugins(_literal(node))
        for key in definitions.references(path, statements).values():
            self.visit(*key)

    def _import(self, path: Path) -> None:
        """A module is imported: its imports run, its constants are made, its decorators are called."""
        if path in self._run:
            return
        self._run.add(path)
        for node in definitions.tree(path).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                self._imports(node)
        for statement, names in definitions.split(definitions.tree(path)):
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self._follow(path, statement.decorator_list)
            else:
                for name in names:
                    self.visit(path, name)

    def _imports(self, node: ast.Import | ast.ImportFrom) -> None:
        """An import statement runs the modules that it names and the packages around them."""
        if isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        else:
            imported = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        for dotted in imported:
            top = dotted.split(".")[0]
            if top == definitions.PACKAGE.name:
                if path := definitions.file_of(dotted):
                    for module, _ in definitions.around(path):
                        self._import(module)
            elif top not in sys.stdlib_module_names:
                self.found.add(top)

    def _plugins(self, kind: object) -> None:
        """A plug-in is loaded by name: any of its kind, with everything in it."""
        for folder in [kind] if kind in plugins.FOLDERS else plugins.FOLDERS:
            for name in plugins.names(folder):
                for key in definitions.everything(plugins.path_of(folder, name)):
                    self.visit(*key)
