"""Digests change with code, and with nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from phenorep import digests
from tests.conftest import ROOT

CODE = '"""What it does."""\nimport math\n\n\ndef area(radius):\n    """Area of a disc."""\n    return math.pi * radius**2\n'


def digest_of(folder: Path, text: str) -> str:
    path = folder / "module.py"
    path.write_text(text)
    for cached in (digests._of, digests._digest, digests._imports):
        cached.cache_clear()
    return digests.of([path])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Area of a disc.", "The area of a disc, in square pixels."),
        ("What it does.", "What this file does."),
        ("    return", "    # pi r squared\n    return"),
        ("\n\n\ndef", "\n\n\n\n\ndef"),
    ],
)
def test_comments_docstrings_and_layout_do_not_count(tmp_path, old, new):
    assert digest_of(tmp_path, CODE) == digest_of(tmp_path, CODE.replace(old, new))


@pytest.mark.parametrize(("old", "new"), [("**2", "**3"), ("math.pi", "3"), ("def area(radius)", "def area(radius=1)")])
def test_code_counts(tmp_path, old, new):
    assert digest_of(tmp_path, CODE) != digest_of(tmp_path, CODE.replace(old, new))


def test_imports_are_followed_to_the_end():
    found = {path.name for path in digests.closure([digests.ROOT / "inventory.py"])}
    assert {"planning.py", "configuration.py", "plugins.py", "errors.py"} <= found


def test_plumbing_can_be_left_out():
    found = {path.name for path in digests.closure([digests.ROOT / "inventory.py"], without=digests.PLUMBING)}
    assert "planning.py" in found
    assert "plugins.py" not in found


def test_a_new_plugin_file_changes_no_other_digest():
    """Plug-ins are found by name when they run, so nothing imports a whole folder of them."""
    folder = digests.ROOT / "methods"
    recipes = sorted(path for path in folder.glob("*.py") if path.stem != "__init__")
    for recipe in recipes:
        others = digests.closure([recipe]) & set(recipes) - {recipe}
        assert len(others) <= 1, f"{recipe.name} imports {others}"


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
