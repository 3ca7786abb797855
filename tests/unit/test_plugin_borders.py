"""Plug-ins are reached through their folder's contract: no other module imports one, or knows one by its name."""

import ast
import importlib
import inspect
import re

import pytest

from phenorep import plugins

FOLDERS = {*plugins.FOLDERS.values(), "microscopes"}
# (module, plug-in that it imports): why.
IMPORTS = {
    (
        "newplates.py",
        "datasets/table",
    ): "`phenorep embed` is given such a table, and makes a dataset of it",
    ("profiles/robust_mad.py", "profiles/plate_zscore"): "the same step with other estimates, in the same folder",
    **{
        (f"simulation/{name}.py", "datasets/simulated"): "a type in annotations, imported by no run"
        for name in ("screen", "optics", "phenotypes", "layout")
    },
}
# Names that also are words of the house: a text of this one word is a column, a key or a kind of file, not the plug-in.
WORDS = {
    "attention": "a part of the details, and the report's figure of it",
    "classifier": "a key of an evaluation and of abnormalities, and a layer in a file of weights",
    "concat": "a rule of the workflow, which joins embeddings",
    "features": "what an encoder gives, and a key of files",
    "fields": "a kind of table, and a rule",
    "folder": "a key, and an argument of `phenorep table`",
    "held_out": "what an encoder states of its training, and a word of score settings",
    "nuclei": "a kind of table, a rule, and a key of preprocess",
    "pretrained": "an argument of timm",
    "random": "a way of sampling, and a start of heads",
    "simulated": "a fact about a dataset",
    "table": "a key, a command, and a part of paths",
}


def _modules():
    for path in sorted(plugins.ROOT.rglob("*.py")):
        yield path.relative_to(plugins.ROOT), plugins.tree(path)


def _is_plugin(relative):
    return len(relative.parts) == 2 and relative.parts[0] in FOLDERS and not relative.stem.startswith("_")


def _imported(tree):
    """Plug-ins that a module imports, as ``folder/name``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            match = re.fullmatch(r"phenorep\.(\w+)\.(\w+)", name)
            if match and match[1] in FOLDERS and (plugins.ROOT / match[1] / f"{match[2]}.py").is_file():
                yield f"{match[1]}/{match[2]}"


def test_no_module_imports_a_plug_in():
    imports = {(relative.as_posix(), name) for relative, tree in _modules() for name in _imported(tree)}
    assert imports == set(IMPORTS), "give what is shared a place outside of the plug-ins, or say here why it needs none"


def _texts(tree):
    """Texts of a module, without docstrings."""
    scopes = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    documented = [node.body[0] for node in ast.walk(tree) if isinstance(node, scopes) and node.body]
    passed_over = {id(node.value) for node in documented if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in passed_over:
            yield node.value


def _named(text, names):
    """Names of plug-ins in a text: the whole of it, or where a name is no plain word, a part."""
    return {name for name in names if text == name or (not name.isalpha() and re.search(rf"\b{name}\b", text))}


def test_no_shared_module_knows_a_plug_in_by_its_name():
    names = {name for kind in plugins.FOLDERS for name in plugins.names(kind)}
    named = {
        (relative.as_posix(), name)
        for relative, tree in _modules()
        if not _is_plugin(relative)
        for text in _texts(tree)
        for name in _named(text, names)
    }
    assert {name for _, name in named} <= set(WORDS), (
        f"{sorted(pair for pair in named if pair[1] not in WORDS)}: let the plug-in declare a constant that says what is "
        "special about it, or, where the word has another meaning, say it in WORDS"
    )
    assert set(WORDS) <= {name for _, name in named}, "a word that no shared module uses needs no exception"


@pytest.mark.parametrize("name", plugins.names("evaluations"))
def test_declared_figures_can_be_drawn(name):
    for figure in plugins.constants("evaluations", name).get("FIGURES", ()):
        draw = importlib.import_module(f"phenorep.report.{figure}").draw
        assert list(inspect.signature(draw).parameters) == ["name", "study", "evaluation", "plan", "verdicts", "folder"]


@pytest.mark.parametrize("name", plugins.names("methods"))
def test_a_recipe_says_how_published_weights_are_left_out(name):
    keys, drawn = plugins.config_keys("methods", name), plugins.constants("methods", name).get("DRAWN", {})
    if drawn:
        plugins.configure(plugins.load("methods", name).Config, drawn, f"methods: {name}")
    # Where training starts from published weights unless told otherwise, counting costs would fetch them.
    asked = {key for key in keys if key == "weights" and "epochs" in keys}
    assert asked <= set(drawn)
