"""Where a run comes from: configuration, code, packages, data, encoders."""

import platform
import re
import subprocess
from importlib import metadata

import yaml

from phenorep import contracts, plugins, preparation, scores
from phenorep.report import tables

ROOT = plugins.ROOT.parent


def config(plan: dict) -> str:
    """The resolved configuration as YAML."""
    return yaml.safe_dump(plan["config"], sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)


def commit() -> str:
    """The commit that the code stands at, and whether it has been changed since."""
    found = _git("rev-parse", "HEAD")
    if not found:
        return "not a git checkout"
    return f"{found} with local changes" if _git("status", "--porcelain", "--untracked-files=no") else found


def _git(*arguments: str) -> str:
    try:
        answer = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that the project asks for itself."""
    found = {"python": platform.python_version()}
    listed = ROOT / "envs" / "requirements.in"
    lines = listed.read_text().splitlines() if listed.is_file() else ["numpy", "pandas", "pyarrow"]
    for line in lines:
        name = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line)
        if name:
            try:
                found[name[0]] = metadata.version(name[0])
            except metadata.PackageNotFoundError:
                found[name[0]] = "not installed"
    return found


def profile_steps(plan: dict) -> list[dict]:
    """Every setting of every profile's steps, given or default: results are sensitive to them.

    Returns
    -------
    list of dict
        ``profile, step, settings``: text, with the defaults marked.
    """
    found = []
    for profile, steps in plan["config"].get("profiles", {}).items():
        for item in steps:
            given = item.get("keys", {})
            try:
                defaults = plugins.config_keys("steps", item["step"])
            except OSError:
                defaults = {}
            texts = [f"{key}: {value}" for key, value in given.items()]
            # A key that is a word of Python's own carries an underscore as the name of a field.
            plain = {key.rstrip("_"): value for key, value in defaults.items()}
            texts += [f"{key}: {value} (default)" for key, value in plain.items() if key not in given]
            found.append({"profile": profile, "step": item["step"], "settings": "; ".join(texts)})
    return found


def datasets(plan: dict) -> list[dict]:
    """The data sets: whether simulated, how many plates, channels, source and licence."""
    found = []
    for name, dataset in plan["datasets"].items():
        about = dataset.get("about", {})
        found.append(
            {
                "dataset": name,
                "kind": _kind(about),
                "plates": len(dataset.get("plates", [])),
                "channels": ", ".join(map(str, about.get("channels", []))),
                "pixel": about.get("pixel_size_um"),
                "citation": about.get("citation") or "none given",
                "licence": about.get("licence") or "none given",
            }
        )
    return found


def _kind(about: dict) -> str:
    if about.get("features"):
        return "none: features computed elsewhere"
    return "simulated" if about.get("simulated") else "real images"


def measured_steps(files: dict) -> list[dict]:
    """What the steps found when they were fitted, ``profile, method, step, found``: rows left and the step's own facts.

    Before the first step, features that are the same in all rows are left out: how many of each block.
    """
    found: dict[tuple, None] = {}
    for entry in tables.at_the_end(files.get("profiles", [])):
        if tables.not_run(entry["path"]) is None:
            about = contracts.about(entry["path"])
            if constant := about.get("constant"):
                found[entry["profile"], entry["method"], "", f"constant features left out: {_text(constant)}"] = None
            for step in about.get("steps", []):
                facts = {"rows": step.get("rows"), **(step.get("facts") or {})}
                found[entry["profile"], entry["method"], step.get("step"), _text(facts)] = None
    return [dict(zip(("profile", "method", "step", "found"), row, strict=True)) for row in found]


def encoders(files: dict) -> list[dict]:
    """What each method's features were made with.

    Returns
    -------
    list of dict
        ``dataset, samples, method, recipe, channels, intensity_max, trained_on, versions``: text, one row per encoder of a
        method.
    """
    found: dict[tuple, dict] = {}
    for entry in tables.at_the_end(files.get("profiles", [])):
        if tables.not_run(entry["path"]) is not None:
            continue
        about = contracts.about(entry["path"])
        for encoder in _encoders(about):
            trained = scores.trained_on_text(encoder) or "nothing"
            row = {key: entry[key] for key in ("dataset", "samples", "method")}
            row |= {key: _text(encoder.get(key)) for key in ("recipe", "channels", "versions")} | {"trained_on": trained}
            ranges = [entry.get("intensity_max") for entry in encoder.get(preparation.KEY, [])]
            row["intensity_max"] = _text(list(dict.fromkeys(ranges)))
            found.setdefault(tuple(row.values()), row)
    return list(found.values())


def _encoders(about: object) -> list[dict]:
    """All encoders named anywhere in the facts of a table."""
    if isinstance(about, list):
        return [encoder for item in about for encoder in _encoders(item)]
    if not isinstance(about, dict):
        return []
    own = [about] if "recipe" in about else []
    return own + [encoder for value in about.values() for encoder in _encoders(value)]


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return "" if value is None else str(value)
