"""Rules of the house that a reader would otherwise have to check by eye."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

CODE = {".py", ".smk", ".toml", ".yaml", ".cfg", ".html", ".css", ".js"}
LIBRARY = sorted((ROOT / "phenorep").rglob("*.py"))
RULES = sorted((ROOT / "workflow" / "rules").glob("*.smk"))
SCRIPTS = sorted((ROOT / "workflow" / "scripts").glob("*.py"))
HEAVY = ("torch", "torchvision", "timm", "lightly", "sklearn", "skimage", "umap", "matplotlib", "scipy")


def files_of_the_project() -> list[Path]:
    """Files that are tracked or will be."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if result.returncode:
        pytest.skip("no git here to say which files belong to the project")
    return [path for name in result.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def texts() -> dict[str, str]:
    """Text of every file of the project by its name."""
    found = {}
    for path in files_of_the_project():
        try:
            found[str(path.relative_to(ROOT))] = path.read_text()
        except UnicodeDecodeError:
            continue  # an image
    return found


def lines_with(pattern: str, exempt: tuple[str, ...] = ()) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in texts().items()
        if name not in exempt
        for number, line in enumerate(text.splitlines(), start=1)
        if re.search(pattern, line)
    ]


def test_no_file_names_a_path_of_somebodys_machine():
    folders = "|".join(("work", "root", "home", "Users", "opt", "mnt", "scratch"))
    assert not lines_with(rf"(?<![\w.}}\-/])/({folders})/\w", exempt=(".pre-commit-config.yaml",))


def test_no_file_names_a_package_index():
    hosts = (
        "pypi" + r"\.org",
        "python" + r"hosted\.org",
        "anaconda" + r"\.(org|com)",
        "prefix" + r"\.dev",
        "download" + r"\.pytorch",
    )
    options = ("--index" + "-url", "--extra-index" + "-url", "--find" + "-links", "index" + "-url *=")
    assert not lines_with("|".join((*hosts, *options)))


def test_no_lock_file_with_addresses():
    names = {path.name for path in files_of_the_project()}
    locks = {"uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "pixi.lock", "conda-lock.yml", "package-lock.json"}
    assert not names & locks
    assert not [name for name in names if name.endswith(".pin.txt")]


def test_no_file_is_too_long():
    long = {name: text.count("\n") for name, text in texts().items() if Path(name).suffix in CODE and text.count("\n") > 400}
    assert not long


def test_no_large_file_is_kept():
    assert not [path.name for path in files_of_the_project() if path.stat().st_size > 500_000]


def test_no_file_is_called_utils():
    assert not [
        path.name
        for path in files_of_the_project()
        if path.stem.strip("_") in ("utils", "helpers", "misc", "common") and path.suffix == ".py"
    ]


def test_snakefile_is_a_table_of_contents():
    text = (ROOT / "Snakefile").read_text()
    assert text.count("\n") < 60
    assert not re.search(r"^\s*(def|class|for|while|import)\b", text, re.MULTILINE)
    included = set(re.findall(r'include: "workflow/rules/(\w+\.smk)"', text))
    assert included == {path.name for path in RULES}


@pytest.mark.parametrize("path", [path for path in RULES if path.name != "common.smk"], ids=lambda path: path.name)
def test_rule_files_hold_rules_only(path):
    text = path.read_text()
    assert not re.search(r"^\s*(def|class|for|while|if|import|from|ruleorder|checkpoint)\b", text, re.MULTILINE)
    assert not re.search(r"\blambda\b", text)
    assert not re.search(r"^\s*run:", text, re.MULTILINE)


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_rules_have_the_same_grammar(path):
    wanted = ["output", "log", "benchmark", "conda", "threads", "resources", "params"]
    for name, body in re.findall(r"^rule (\w+):\n((?:(?: .*)?\n)+)", path.read_text(), re.MULTILINE):
        directives = re.findall(r"^    (\w+):", body, re.MULTILINE)
        if name == "check":  # without parameters: never out of date
            assert "params" not in directives
            continue
        assert [one for one in directives if one in wanted] == wanted, f"rule {name} in {path.name}"
        assert directives[-1] in ("script", "shell"), f"rule {name} in {path.name}"
        assert "code=" in body or "recipe=recipe_of" in body, f"rule {name} in {path.name} carries no digest of its code"
        for resource in ("mem_mb", "runtime"):
            assert f"{resource}=" in body, f"rule {name} in {path.name}"


def test_only_downloads_are_tried_again():
    assert {path.name for path in RULES if "retries:" in path.read_text()} == {"download.smk"}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_hold_no_logic(path):
    """Imports from the library, then one call of it, inside the context that writes the log."""
    *imports, block = ast.parse(path.read_text()).body
    if imports and isinstance(imports[0], ast.Expr) and isinstance(imports[0].value, ast.Constant):
        imports = imports[1:]
    assert all(isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "phenorep" for node in imports)
    assert isinstance(block, ast.With)
    assert ast.unparse(block.items[0].context_expr) == "logs.to(snakemake.log[0])"
    assert len(block.body) == 1
    assert isinstance(block.body[0], ast.Expr)
    assert isinstance(block.body[0].value, ast.Call)
    # Configuration reaches a job through params, which are tracked; where it computes is no reason to compute again.
    untracked = [line for line in ast.unparse(block).splitlines() if "snakemake.config" in line]
    # The check is of the configuration as a whole.
    checks = {"check": "check.make(snakemake.config", "pretrain": "check.passed(snakemake.config)"}
    rest = "".join(untracked).replace("snakemake.config.get('compute')", "").replace(checks.get(path.stem, "none"), "")
    assert "snakemake.config" not in rest
    logic = (ast.Lambda, ast.IfExp, ast.comprehension, ast.BinOp, ast.BoolOp, ast.Compare, ast.NamedExpr, ast.JoinedStr)
    assert not [node for node in ast.walk(block) if isinstance(node, logic)]


def test_every_script_is_used():
    used = set(re.findall(r'"\.\./scripts/(\w+\.py)"', "".join(path.read_text() for path in RULES)))
    assert used == {path.name for path in SCRIPTS}


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_library_knows_nothing_of_snakemake(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            assert not [name for name in names if name.split(".")[0] == "snakemake"]
        assert not (isinstance(node, ast.Name) and node.id == "snakemake"), "a job's values are handed over by its script"


def imported_by(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(*sorted(name for name in sys.modules if '.' not in name))"
    return set(
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    )


def test_planning_imports_nothing_heavy():
    """What the rule files import, and every dataset (planning asks it for its plates)."""
    shared = re.findall(
        r"^(?:from phenorep|import phenorep).*$", (ROOT / "workflow" / "rules" / "common.smk").read_text(), re.M
    )
    datasets = [f"import phenorep.datasets.{path.stem}" for path in (ROOT / "phenorep" / "datasets").glob("[!_]*.py")]
    assert shared
    assert not imported_by("; ".join([*shared, *datasets])) & set(HEAVY)


@pytest.mark.parametrize("package", ["profiles", "evaluations", "report", "samples", "methods"])
def test_packages_do_not_import_torch_by_themselves(package):
    assert "torch" not in imported_by(f"import phenorep.{package}")


def test_the_configuration_in_the_readme_can_be_planned(tmp_path, monkeypatch):
    from phenorep.planning import Plan

    table, config = (
        re.search(rf"```{kind}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1] for kind in ("csv", "yaml")
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plates.csv").write_text(table)
    (tmp_path / "wells.csv").write_text("Metadata_Well,Metadata_Compound,Metadata_MoA\nB02,DMSO,\nB03,taxol,Microtubules\n")
    plan = Plan(yaml.safe_load(config))
    assert plan.name == "mine"


def test_files_named_in_the_readme_exist():
    text = (ROOT / "README.md").read_text()
    for name in re.findall(r"`((?:phenorep|profiles|studies|envs)/[^`{ ]*)`", text):
        assert list(ROOT.glob(name.rstrip("/"))), name
    targets = re.findall(r"\bmake ([a-z]+)\b(?= *[#`]| PYTHON)", text)
    assert {"demo", "test", "unlock"} <= set(targets)
    makefile = (ROOT / "Makefile").read_text()
    assert not [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)]
