"""The environments of `--use-conda` hold what is tested; pins carry hashes; nobody's package index is written down."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from envs import compile as environments
from envs import imports
from phenorep import definitions
from tests.conftest import ROOT

ENVS = ROOT / "envs"
STAGES = environments.stages()
CELLPROFILER = ENVS / "cellprofiler.yaml"
FILES = sorted(set(ENVS.glob("*.yaml")) - {CELLPROFILER})
REQUIREMENTS = sorted(ENVS.glob("*.txt"))
COMMAND = "run: .venv/bin/python -m envs.compile"


def pip_pins(path: Path) -> dict[str, str]:
    """Pins of the pip section, as {distribution: version}."""
    (section,) = (entry["pip"] for entry in yaml.safe_load(path.read_text())["dependencies"] if isinstance(entry, dict))
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.]+", line) for line in section), "exact pins only"
    return dict(line.split("==") for line in section)


def test_rules_and_environments_belong_together():
    assert set(STAGES) == set(FILES), COMMAND
    rules = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    named = {rule for rules_of in STAGES.values() for rule in rules_of} | {"cellprofiler"}
    assert named == set(re.findall(r"^rule (\w+):", rules, re.MULTILINE)), "every rule names a script and an environment"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_conda_supplies_python_and_pip_the_tested_rest(path):
    content = yaml.safe_load(path.read_text())
    assert content["channels"] == ["conda-forge", "nodefaults"]
    assert content["dependencies"][:2] == ["python=3.11", "pip"]
    assert len(content["dependencies"]) == 3
    tested = environments.pins()
    assert pip_pins(path).items() <= tested.items(), COMMAND


def test_conda_supplies_the_tested_cellprofiler():
    (line,) = [line for line in yaml.safe_load(CELLPROFILER.read_text())["dependencies"] if line.startswith("cellprofiler=")]
    version = line.removeprefix("cellprofiler=")
    assert f"cellprofiler=={version} " in (ENVS / "cellprofiler.txt").read_text()


@pytest.mark.parametrize(("path", "rule"), [(path, rule) for path, rules in STAGES.items() for rule in rules])
def test_an_environment_holds_what_its_rules_import(path, rule):
    missing = environments.imported(STAGES[path][rule]) - pip_pins(path).keys()
    assert not missing, f"{path.name} lacks {missing}, which the rule {rule} imports; {COMMAND}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_environment_is_complete_and_holds_nothing_else(path):
    assert path.read_text() == environments.environment(STAGES[path]), COMMAND


def test_stages_without_encoders_go_without_torch():
    for stage in ("data", "preprocess", "analysis", "report"):
        assert not {"torch", "timm", "lightly"} & pip_pins(ENVS / f"{stage}.yaml").keys(), stage


def test_what_a_script_reaches(tmp_path, monkeypatch):
    package = tmp_path / "phenorep"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "one.py").write_text(
        "import numpy as np\nfrom typing import TYPE_CHECKING\nfrom phenorep import two\nfrom phenorep.three import helper\n"
        "if TYPE_CHECKING:\n    import seaborn\n"
        "def light():\n    return helper()\n"
        "def heavy():\n    import torch\n    return two.deep()\n"
    )
    (package / "two.py").write_text("def deep():\n    from scipy import stats\ndef other():\n    import timm\n")
    (package / "three.py").write_text(
        "class Tool:\n    def run(self):\n        import skimage\ndef helper():\n    Tool().run()\n"
    )
    monkeypatch.setattr(definitions, "PACKAGE", package)
    definitions.file_of.cache_clear()
    for function, expected in {"light": {"numpy", "skimage"}, "heavy": {"numpy", "torch", "scipy"}}.items():
        script = tmp_path / f"{function}.py"
        script.write_text(f"from phenorep import one\nwith open('log'):\n    one.{function}()\n")
        assert imports.third_party(script) == expected
    definitions.file_of.cache_clear()


def test_a_loaded_plugin_counts_with_everything(monkeypatch, tmp_path):
    script = tmp_path / "script.py"
    script.write_text("from phenorep import plugins\nplugins.load('methods', name)\n")
    assert {"torch", "timm", "lightly"} <= imports.third_party(script)
    script = tmp_path / "other.py"
    script.write_text("from phenorep import plugins\nplugins.load('steps', name)\n")
    assert "torch" not in imports.third_party(script)


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.stem)
def test_every_requirement_has_a_version_and_hashes(path):
    for entry in re.split(r"\n(?=[a-z])", path.read_text().strip()):
        assert re.match(r"[a-z0-9-]+==\S+ \\\n    --hash=sha256:[0-9a-f]{64}", entry), entry.splitlines()[0]
        for line in entry.splitlines()[1:]:
            assert re.fullmatch(r" +(--hash=sha256:[0-9a-f]{64}( \\)?|#.*)", line), line


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.stem)
def test_what_is_asked_for_is_pinned(path):
    asked = re.findall(r"^([a-z][a-z0-9-]*)", path.with_suffix(".in").read_text(), re.MULTILINE)
    assert asked
    pinned = set(re.findall(r"^([a-z0-9-]+)==", path.read_text(), re.MULTILINE))
    assert set(asked) <= pinned, "run: make lock"


def test_tests_use_the_versions_of_the_workflow():
    """A package in both files has one version: installing the second must not change what the first installed."""
    found = re.findall(r"^([a-z0-9-]+)==(\S+)", (ENVS / "requirements-dev.txt").read_text(), re.MULTILINE)
    tested = environments.pins()
    assert {name: version for name, version in found if name in tested}.items() <= tested.items()


def test_the_pins_are_what_runs_here():
    """The tests hold for the pinned versions only if these are installed."""
    code = (
        "from importlib.metadata import version; from envs.compile import pins; "
        "print([name for name, pinned in pins().items() if version(name) != pinned])"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_profiles_of_snakemake_agree():
    default, slurm = (
        yaml.safe_load((ROOT / "profiles" / name / "profile.yaml").read_text()) for name in ("default", "slurm")
    )
    for key in ("keep-going", "rerun-incomplete", "rerun-triggers", "show-failed-logs"):
        assert slurm[key] == default[key]
    assert set(default["rerun-triggers"]) == {"mtime", "params", "input", "software-env"}
    assert "retries" not in default


def test_citation_names_the_version():
    from phenorep import __version__

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == __version__
    assert citation["license"] == "MIT"
