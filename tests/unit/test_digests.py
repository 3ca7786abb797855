"""Digests change with code, and with nothing else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from phenorep import definitions, digests
from tests.conftest import ROOT

SCRIPTS = ROOT / "workflow" / "scripts"
CACHED = (definitions.tree, definitions.parts, definitions._imported, definitions.file_of, definitions.meant)
CACHED += (definitions.is_exception, digests._of, digests._statements)


def forget() -> None:
    """Nothing is remembered of files that a test changes."""
    for cached in CACHED:
        cached.cache_clear()


@pytest.fixture
def fresh():
    forget()
    yield
    forget()


SAME = [
    ("Area of a disc.", "The area of a disc, in square pixels."),
    ("What it does.", "What this file does."),
    ("    return", "    # pi r squared\n    return"),
    ("\n\n\ndef", "\n\n\n\n\ndef"),
    ("import math\n", "import math\nimport os\n"),
    ("a radius cannot be", "the radius is"),
    ("{radius}", "{radius:.1f}"),
    ("computing", "now computing"),
    ('print("computing")', 'print("computing", radius, flush=True)'),
    ('print("computing")', "pass"),
    ("a large disc", "a disc that is large"),
    ("it is large", "larger than expected"),
    ("(radius: float) -> float", "(radius)"),
]
OTHER = [
    ("**2", "**3"),
    ("math.pi", "3"),
    ("radius: float", "radius=1"),
    ("radius < 0", "radius <= 0"),
    ("ValueError", "TypeError"),
    ("UserError(", "NotRun("),
    ("radius > LARGE", "radius >= LARGE"),
    ("LARGE = 9", "LARGE = 10"),
    ('"unit": "pixels"', '"unit": "micrometres"'),
]
CODE = '''"""What it does."""
import math
import warnings

from phenorep.errors import NotRun, UserError

LARGE = 9


def area(radius: float) -> float:
    """Area of a disc."""
    if radius < 0:
        raise ValueError(f"a radius cannot be {radius}")
    print("computing")
    text = "a large disc"
    if radius > LARGE:
        warnings.warn(text + ": it is large", stacklevel=2)
        raise UserError("too large") from None
    return {"unit": "pixels", "area": math.pi * radius**2}
'''


def digest_of(folder: Path, text: str) -> str:
    path = folder / "module.py"
    path.write_text(text)
    forget()
    return digests.of([path])


@pytest.mark.parametrize(("old", "new"), SAME)
def test_what_computes_nothing_does_not_count(tmp_path, fresh, old, new):
    assert old in CODE
    assert digest_of(tmp_path, CODE) == digest_of(tmp_path, CODE.replace(old, new))


@pytest.mark.parametrize(("old", "new"), OTHER)
def test_code_counts(tmp_path, fresh, old, new):
    assert old in CODE
    assert digest_of(tmp_path, CODE) != digest_of(tmp_path, CODE.replace(old, new))


def test_definitions_are_followed_to_the_end():
    found = digests.reached([SCRIPTS / "normalise.py"])
    names = {(path.relative_to(definitions.PACKAGE).as_posix(), name) for path, name in found if path.parent != SCRIPTS}
    assert {("profiles/__init__.py", "make"), ("rows.py", "Rows"), ("contracts.py", "open_table")} <= names
    # What only the application to later plates needs is none of it.
    assert ("profiles/__init__.py", "apply") not in names


def test_plumbing_can_be_left_out():
    found = {path.stem for path, _ in digests.reached([], digests.PLUMBING, digests.training())}
    assert {"training", "pretrain", "batches", "recipes"} <= found
    assert not found & digests.PLUMBING
    assert {path.stem for path in definitions.PACKAGE.glob("*.py")} >= digests.PLUMBING


def test_a_new_plugin_file_changes_no_other_digest():
    """Plug-ins are found by name when they run, so nothing imports a whole folder of them."""
    folder = definitions.PACKAGE / "methods"
    recipes = sorted(path for path in folder.glob("*.py") if path.stem != "__init__")
    for recipe in recipes:
        others = {path for path, _ in digests.reached([recipe])} & set(recipes) - {recipe}
        assert len(others) <= 1, f"{recipe.name} names {others}"


PLANNED = """
import hashlib, json, sys, yaml
from phenorep import inventory
from phenorep.planning import Plan
for path in sys.argv[1:]:
    plan = Plan(yaml.safe_load(open(path)))
    print(hashlib.sha256(json.dumps([plan.blocks, inventory.summary(plan)], default=str).encode()).hexdigest())
"""


def test_a_plan_is_the_same_in_every_process():
    """Snakemake compares parameters as text: an order that follows from the process would train encoders again."""
    command = [sys.executable, "-c", PLANNED, "config.yaml", "studies/hcs_qc.yaml", "studies/ws_dino.yaml"]
    found = set()
    for seed in "123":
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        found.add(subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(found) == 1


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """The library in a folder of its own, where a test may change it, and its digests before."""
    folder = tmp_path_factory.mktemp("copied") / "phenorep"
    shutil.copytree(definitions.PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__", "*.csv"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(definitions, "PACKAGE", folder)
        yield folder, digest(folder)
    forget()


def digest(folder: Path) -> dict[str, str]:
    """Digests of two scripts and of what decides the weights of an encoder."""
    forget()
    scripts = {name: digests.of([SCRIPTS / f"{name}.py"]) for name in ("nuclei", "normalise")}
    return scripts | {"weights": digests.of_weights([folder / "methods" / "simclr.py"])}


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("pretrain.py", "take out one of the two", "remove one of them", set()),
        ("training.py", "images/s", "images per second", set()),
        ("gpus.py", "which {", "that {", set()),
        ("imaging/segmentation.py", "\n\n\ndef ", "\n\n\ndef a_function_that_nobody_calls(): return 1\n\n\ndef ", set()),
        ("imaging/segmentation.py", "return ", "return 0 + ", {"nuclei"}),
        ("augment.py", "torch.rand", "torch.randn", {"weights"}),
        ("rows.py", "np.float32", "np.float64", {"normalise"}),
    ],
)
def test_a_change_reaches_what_it_can_have_changed(copied, file, old, new, expected):
    (folder, before), path = copied, copied[0] / file
    text = path.read_text()
    assert old in text
    try:
        path.write_text(text.replace(old, new))
        after = digest(folder)
    finally:
        path.write_text(text)
    assert {name for name in before if before[name] != after[name]} == expected


def test_a_moved_file_changes_no_digest(copied):
    folder, before = copied
    (folder / "learning").mkdir()
    (folder / "learning" / "__init__.py").write_text('"""A new room."""\n')
    (folder / "augment.py").rename(folder / "learning" / "augmentation.py")
    for path in folder.rglob("*.py"):
        text = path.read_text().replace("from phenorep.augment import", "from phenorep.learning.augmentation import")
        path.write_text(text)
    assert digest(folder) == before
    keys = digests.reached([folder / "methods" / "simclr.py"])
    assert folder / "learning" / "augmentation.py" in {path for path, _ in keys}
