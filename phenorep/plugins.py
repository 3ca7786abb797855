"""Plug-ins are files: what a folder holds is what a configuration can name.

Planning reads names, config keys and declared constants from a plug-in's syntax tree, so that a plan needs neither torch nor
scikit-learn. `load` imports it; `configure` builds its `Config` and checks types.
"""

import ast
import dataclasses
import difflib
import importlib
import keyword
import types
import typing
from functools import cache
from pathlib import Path

from phenorep import expectations
from phenorep.errors import UserError

ROOT = Path(__file__).resolve().parent
# Block of the configuration -> folder of the plug-ins it names.
FOLDERS = {
    "datasets": "datasets",
    "samples": "samples",
    "methods": "methods",
    "steps": "profiles",
    "evaluations": "evaluations",
}


def path_of(kind: str, name: str) -> Path:
    """The file of a plug-in."""
    return ROOT / FOLDERS[kind] / f"{name}.py"


def names(kind: str) -> list[str]:
    """Names of all plug-ins of a kind."""
    return sorted(path.stem for path in (ROOT / FOLDERS[kind]).glob("*.py") if not path.stem.startswith("_"))


def suggest(word: str, known: typing.Iterable[str]) -> str:
    """The nearest right spelling as a question, or the list of what is known."""
    known = sorted(known)
    if not known:
        return "There is none yet."
    near = difflib.get_close_matches(str(word), known, n=1, cutoff=0.6)
    return f"Did you mean '{near[0]}'?" if near else f"Known are: {', '.join(known)}."


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(), filename=str(path))


def constants(kind: str, name: str) -> dict[str, object]:
    """Module-level constants in capitals whose values are literals, without importing the file."""
    return dict(_constants(path_of(kind, name)))


@cache
def _constants(path: Path) -> dict[str, object]:
    found = {}
    for node in tree(path).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(target, ast.Name) and target.id.isupper():
            try:
                found[target.id] = ast.literal_eval(node.value)
            except ValueError:
                continue  # computed when imported: nothing that planning needs
    return found


def config_keys(kind: str, name: str) -> dict[str, object]:
    """Config keys of a plug-in with their defaults (None where the default is no literal), without importing it."""
    return dataclass_keys(path_of(kind, name), "Config")


def dataclass_keys(path: Path, class_name: str) -> dict[str, object]:
    """Fields of a dataclass in a file, with their defaults (None where the default is no literal), without importing it."""
    return dict(_dataclass_keys(path, class_name))


@cache
def _dataclass_keys(path: Path, class_name: str) -> dict[str, object]:
    module = tree(path)
    definition = next((n for n in module.body if isinstance(n, ast.ClassDef) and n.name == class_name), None)
    if definition is None:
        return {}
    keys: dict[str, object] = {}
    for base in reversed(definition.bases):
        if isinstance(base, ast.Name):
            keys |= _dataclass_keys(_file_that_defines(base.id, module) or path, base.id)
        elif isinstance(base, ast.Attribute) and isinstance(base.value, ast.Name):
            keys |= _dataclass_keys(_file_that_defines(base.value.id, module), base.attr)
    for node in definition.body:
        if isinstance(node, ast.AnnAssign):
            key = _key(node.target.id)
            try:
                keys[key] = ast.literal_eval(node.value) if node.value else None
            except ValueError:
                keys[key] = None
    return keys


def _key(field: str) -> str:
    """The key of a field: a word that Python keeps for itself (`with`) has an underscore behind it in the class."""
    return field.removesuffix("_") if keyword.iskeyword(field.removesuffix("_")) else field


def _file_that_defines(name: str, module: ast.Module) -> Path | None:
    """The file of phenorep that `name` is, or is imported from, in a module."""
    for node in module.body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    stem = ROOT.parent / (node.module or "").replace(".", "/")
                    places = (stem / f"{alias.name}.py", stem.with_suffix(".py"), stem / "__init__.py")
                    return next((path for path in places if path.is_file()), None)
    return None


def load(kind: str, name: str) -> types.ModuleType:
    """Import a plug-in."""
    if not path_of(kind, name).is_file():
        raise UserError(f"There is no {path_of(kind, name).relative_to(ROOT.parent)}. {suggest(name, names(kind))}")
    return importlib.import_module(f"phenorep.{FOLDERS[kind]}.{name}")


def configure(config_class: type, values: dict, where: str):
    """Build a frozen `Config` from configuration values; types are converted where that loses nothing, and checked.

    Parameters
    ----------
    config_class
        A dataclass; its `__post_init__` checks ranges and raises `ValueError`.
    values
        Keys and values as YAML or ``--config`` gave them (numbers may arrive as text).
    where
        Place in the configuration, for messages: ``methods: simclr``.
    """
    fields = {_key(field.name): field for field in dataclasses.fields(config_class)}
    hints = {_key(name): hint for name, hint in typing.get_type_hints(config_class).items()}
    for key in values:
        if key not in fields:
            raise UserError(f"{where}: unknown key '{key}'. {suggest(key, fields)}")
    converted = {fields[key].name: _convert(value, hints[key], f"{where}: {key}") for key, value in values.items()}
    for name, field in fields.items():
        if field.name not in converted and field.default is field.default_factory is dataclasses.MISSING:
            raise UserError(f"{where}: the key '{name}' is needed.")
    try:
        return config_class(**converted)
    except ValueError as error:
        text = str(error).rstrip(".")
        given = expectations.named(values, text)
        text += f" (found: {given})" if given else ""
        raise UserError(f"{where}: {text}{'' if text.endswith('?') else '.'}") from error


def _convert(value, hint, where: str):
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is typing.Any:
        return value
    if origin in (typing.Union, types.UnionType):
        for option in sorted(arguments, key=lambda option: option is str):  # text fits everything: try it last
            try:
                return _convert(value, option, where)
            except UserError:
                continue
        raise _wrong(value, hint, where)
    if origin is typing.Literal:
        if value not in arguments:
            raise UserError(
                f"{where}: '{value}' is not one of {', '.join(map(str, arguments))}. {suggest(value, map(str, arguments))}"
            )
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple) or (arguments[-1] is not Ellipsis and len(arguments) != len(value)):
            raise _wrong(value, hint, where)
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
        return tuple(_convert(item, kind, where) for item, kind in zip(value, kinds, strict=True))
    if hint in (dict, list) or origin in (dict, list):
        if not isinstance(value, origin or hint):
            raise _wrong(value, hint, where)
        return value
    return _convert_plain(value, hint, where)


def _convert_plain(value, hint, where: str):
    if hint is bool:
        text = {"true": True, "false": False}
        if isinstance(value, bool) or str(value).lower() in text:
            return value if isinstance(value, bool) else text[value.lower()]
    elif hint in (int, float) and isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            number = float(value)
            if hint is float or number.is_integer():
                return hint(number)
        except (ValueError, OverflowError):
            pass
    elif hint is str and isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    elif hint is type(None) and value is None:
        return None
    raise _wrong(value, hint, where)


def _wrong(value, hint, where: str) -> UserError:
    return UserError(f"{where}: {expectations.unlike(value, expectations.of_type(hint))}.")
