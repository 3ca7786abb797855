"""Write the conda environment of each stage: exact pins of all that the stage's scripts can reach, and of what these need.

``python -m envs.compile`` (`make lock` does it) writes ``envs/*.yaml``; a test holds the files against what is tested. conda
supplies Python and pip, because pip has everything else, and so `--use-conda` installs the versions that are tested.
"""

import re
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from envs.imports import third_party

ROOT = Path(__file__).resolve().parent.parent

# Packages that no import statement names, with the module that loads them by itself.
LOADED_BY = {
    "tifffile": ["imagecodecs"],  # compressed TIFF
    "pandas": ["pyarrow"],  # parquet
}
_PIN = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>\S+) \\$", re.MULTILINE)
_RULE = re.compile(r"^rule \w+:\n(?P<body>(?:(?: .*)?\n)+)", re.MULTILINE)
_CONDA = re.compile(r'^    conda:\s+"(?P<path>[^"]+)"', re.MULTILINE)
_SCRIPT = re.compile(r'^    script:\s+"(?P<path>[^"]+)"', re.MULTILINE)
HEAD = """\
# {rules}, for `snakemake --use-conda`. Written by `make lock` from envs/requirements.txt: do not edit.
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python=3.11
  - pip
  - pip:
"""


def pins() -> dict[str, str]:
    """The tested versions: {distribution: version}."""
    return {match["name"]: match["version"] for match in _PIN.finditer((ROOT / "envs" / "requirements.txt").read_text())}


def stages() -> dict[Path, dict[str, Path]]:
    """Environments and their rules, as the rule files name them: {environment: {rule: script}}."""
    found: dict[Path, dict[str, Path]] = {}
    for file in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        for rule in _RULE.finditer(file.read_text()):
            conda, script = _CONDA.search(rule["body"]), _SCRIPT.search(rule["body"])
            if conda and script:  # CellProfiler's environment has no script of ours; it is written by hand
                rules = found.setdefault((file.parent / conda["path"]).resolve(), {})
                rules[rule[0].split(":")[0].removeprefix("rule ")] = (file.parent / script["path"]).resolve()
    return found


def imported(script: Path) -> set[str]:
    """Distributions that a script can reach by import, or through a module that loads them by itself."""
    providers = metadata.packages_distributions()
    modules = third_party(script)
    modules |= {extra for module in modules for extra in LOADED_BY.get(module, [])}
    return {canonicalize_name(providers[module][0]) for module in modules}


@lru_cache
def _needs(name: str, extras: tuple[str, ...]) -> frozenset[tuple[str, tuple[str, ...]]]:
    needs = set()
    for text in metadata.requires(name) or []:
        need = Requirement(text)
        if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            needs.add((canonicalize_name(need.name), tuple(sorted(need.extras))))
    return frozenset(needs)


def with_needs(names: set[str]) -> set[str]:
    """Distributions with all that they need, by the metadata of what is installed."""
    waiting, found = {(name, ()) for name in names}, set()
    while waiting:
        found |= waiting
        waiting = {need for one in waiting for need in _needs(*one)} - found
    return {name for name, _ in found}


def environment(rules: dict[str, Path]) -> str:
    """The text of the environment that these rules share."""
    direct = set.union(*(imported(script) for script in rules.values()))
    versions = pins()
    lines = [HEAD.format(rules="Rules " + ", ".join(sorted(rules)) if len(rules) > 1 else f"Rule {next(iter(rules))}")]
    lines += ["      # what the code imports\n", *(f"      - {name}=={versions[name]}\n" for name in sorted(direct))]
    lines += ["      # what that needs\n"]
    lines += [f"      - {name}=={versions[name]}\n" for name in sorted(with_needs(direct) - direct)]
    return "".join(lines)


if __name__ == "__main__":
    for path, rules in stages().items():
        path.write_text(environment(rules))
