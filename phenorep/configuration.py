"""The configuration's frame: which blocks there are, what each names, and where a key is misspelt.

Every block is ``name: {use: <file name>, ...its keys}``; without ``use``, the file of that name. Keys come from the
plug-ins' `Config` dataclasses, read from the syntax tree. Types and ranges are checked by the job `check`.
"""

import copy
from pathlib import Path

import jsonschema
import yaml

from phenorep import configfiles, expectations, plugins
from phenorep.errors import UserError

# Keys that the frame itself handles, for every plug-in of the kind.
FRAME = {
    "datasets": {"use"},
    "samples": {"use", "of", "where"},
    "methods": {"use", "from", "init", "train"},
    "evaluations": {"use", "by", "train"},
}
# Name of the sample set and of the method of datasets that hold features computed elsewhere.
IMPORTED = "imported"
PUBLISHED = plugins.ROOT / "published"
SCHEMA = Path(__file__).resolve().parent.parent / "workflow" / "schemas" / "config.schema.yaml"


def resolve(config: dict) -> dict:
    """Check a configuration's frame and bring every block into one form.

    Returns
    -------
    dict
        ``datasets``, ``samples``, ``methods`` and ``evaluations``: {name: {"use": plug-in, frame keys..., "keys": {...}}};
        ``profiles``: {name: [{"step": plug-in, "keys": {...}}]}; ``studies`` with all defaults; ``name``, ``preprocess``,
        ``compute``, ``annotations``; ``abnormality`` with all defaults (None: not asked for) and ``annotate``.

    Raises
    ------
    UserError
        For an unknown key, block or plug-in, with the nearest right spelling, and for a reference to a missing block.
    """
    configfiles.check_size(config)
    _check_frame(config)
    config = copy.deepcopy(config)
    resolved = {kind: _blocks(kind, config.get(kind) or {}) for kind in FRAME}
    resolved["profiles"] = {name: _steps(name, steps) for name, steps in (config.get("profiles") or {}).items()}
    resolved["name"] = str(config["name"])
    resolved["preprocess"] = config.get("preprocess") or {}
    resolved["compute"] = _with_defaults("compute", config.get("compute") or {}, "devices.py", "Compute")
    resolved["annotations"] = {
        str(samples): check_path(str(path), f"annotations: {samples}")
        for samples, path in (config.get("annotations") or {}).items()
    }
    resolved["abnormality"] = _abnormality(config.get("abnormality"))
    resolved["annotate"] = _annotate(config.get("annotate") or {})
    resolved["studies"] = {name: _study(name, study, resolved) for name, study in config["studies"].items()}
    if any(holds_features(block) for block in resolved["datasets"].values()):
        for kind in ("samples", "methods"):
            resolved[kind][IMPORTED] = {"use": None, "keys": {}}
    return resolved


def holds_features(dataset: dict) -> bool:
    """Whether a dataset's block stands for features computed elsewhere, without images."""
    return bool(plugins.constants("datasets", dataset["use"]).get("FEATURES"))


def is_imported(block: dict) -> bool:
    """Whether a block of samples or methods stands for features computed elsewhere: no plug-in makes it, no other block."""
    return block["use"] is None and not {"of", "from"} & block.keys()


def check_path(path: str, where: str) -> str:
    """Return the path of a file that a rule names; raise `UserError` if Snakemake would take a part of it for a wildcard."""
    if "{" in path or "}" in path:
        raise UserError(f"{where}: {path}: Snakemake takes what is in braces for a wildcard. Give it a name without them.")
    return path


def _check_frame(config: dict) -> None:
    schema = yaml.safe_load(SCHEMA.read_text())
    errors = sorted(
        jsonschema.Draft202012Validator(schema).iter_errors(config),
        key=lambda error: (error.validator == "required", list(map(str, error.path))),
    )
    for error in errors:
        # Items of a list are counted from 1.
        where = ": ".join(str(part + 1 if isinstance(part, int) else part) for part in error.path) or "config"
        if list(error.schema_path)[-2:] == ["propertyNames", "type"]:
            raise UserError(
                f"{where}: found the name {expectations.found(error.instance)}. Use letters, digits, '_' and '-', a letter "
                "first."
            )
        if error.validator in ("additionalProperties", "propertyNames"):
            known = error.schema.get("properties", {})
            unknown = [key for key in error.instance if key not in known] if known else []
            if unknown:
                raise UserError(f"{where}: unknown key '{unknown[0]}'. {plugins.suggest(unknown[0], known)}")
        if error.validator == "required":
            missing = [key for key in error.validator_value if key not in error.instance]
            raise UserError(f"{where}: the key '{missing[0]}' is needed.")
        if {"seeds", "seed"} & set(error.path) and error.validator_value != "array" and error.validator != "minItems":
            raise UserError(f"{where}: {error.instance!r} is no seed: seeds are whole numbers from 0.")
        if {"saved_epochs", "mean"} <= set(error.path):
            raise UserError(
                f"{where}: {error.instance!r}: needed are the first and the last epoch of the mean, like [50, 250]."
            )
        if error.validator == "not":
            raise UserError(f"{where}: '{error.instance}' names something of phenorep's own; choose another name.")
        if error.validator == "pattern":
            raise UserError(
                f"{where}: '{error.instance}' cannot name a file. Use letters, digits, '_' and '-', a letter first."
            )
        raise UserError(f"{where}: {_unlike_schema(error)}")


def _unlike_schema(error: jsonschema.ValidationError) -> str:
    """What a value of the frame is and what it should be, without a word of JSON."""
    value = error.instance
    if error.validator == "type":
        return f"{expectations.unlike(value, expectations.of_schema(error.validator_value))}."
    if error.validator == "enum":
        known = error.validator_value
        return f"'{value}' is not one of {', '.join(known)}. {plugins.suggest(value, known)}"
    if error.validator == "uniqueItems":
        twice = next(item for number, item in enumerate(value) if item in value[:number])
        return f"'{twice}' stands there twice; take one out."
    if error.validator in ("minProperties", "minItems"):
        return f"found {value!r}, expected at least one."
    return f"{error.message}."


def _with_defaults(name: str, values: dict, file: str, config_class: str) -> dict:
    """A plain block with the defaults of the dataclass that its job builds from it."""
    known = plugins.dataclass_keys(plugins.ROOT / file, config_class)
    for key in values:
        if key not in known:
            raise UserError(f"{name}: unknown key '{key}'. {plugins.suggest(key, known)}")
    return known | values


def _abnormality(values: dict | None) -> dict | None:
    if values is None:
        return None
    block = _with_defaults("abnormality", values, "quality/abnormality.py", "Config")
    return block | {"seed": int(block["seed"])}


def _annotate(values: dict) -> dict:
    frame = {"samples": "", "method": "", "seed": 0}
    keys = {key: value for key, value in values.items() if key not in frame}
    known = plugins.dataclass_keys(plugins.ROOT / "quality" / "annotating.py", "Config") if keys else {}
    for key in keys:
        if key not in known:
            raise UserError(f"annotate: unknown key '{key}'. {plugins.suggest(key, [*known, *frame])}")
    chosen = frame | {key: value for key, value in values.items() if key in frame}
    return chosen | {"seed": int(chosen["seed"]), "keys": keys}


def _blocks(kind: str, blocks: dict) -> dict:
    return {name: _block(kind, name, dict(block or {})) for name, block in blocks.items()}


def _block(kind: str, name: str, block: dict) -> dict:
    where = f"{kind}: {name}"
    if kind in ("samples", "methods") and name == IMPORTED:
        raise UserError(f"{where}: this name is kept for features that were computed elsewhere; choose another one.")
    frame = {key: block.pop(key) for key in sorted(FRAME[kind] & block.keys())}
    # A block that takes all from another one (a view of samples, an encoder from elsewhere) needs no plug-in of its own.
    borrowed = "of" in frame or "from" in frame
    for key in frame.keys() - ({"train"} if kind == "methods" else set()):
        if not isinstance(frame[key], str) and (frame[key] is not None or key not in ("where", "by", "train")):
            raise UserError(f"{where}: {key}: {expectations.unlike(frame[key], 'text')}.")
    use = frame.pop("use", None if borrowed and name not in plugins.names(kind) else name)
    if "from" in frame:
        # Another microscope may call the same stain by another name.
        others = [*(block.keys() - {"channels"}), *(frame.keys() - {"from"}), *(["use"] if use else [])]
        if others:
            other = sorted(others)[0]
            raise UserError(
                f"{where}: an encoder taken by 'from' is applied as it is; the key '{other}' has no effect there."
            )
        return {"use": None, "keys": block, **frame}
    if use is not None and use not in plugins.names(kind):
        file = f"phenorep/{plugins.FOLDERS[kind]}/{use}.py"
        raise UserError(f"{where}: there is no {file}. {plugins.suggest(use, plugins.names(kind))}")
    known = plugins.config_keys(kind, use) if use else {}
    for key in block:
        if key not in known:
            if successor := plugins.constants(kind, use).get("REPLACED", {}).get(key):
                raise UserError(f"{where}: the key '{key}' was replaced by '{successor}'. Use that, or remove the key.")
            raise UserError(f"{where}: unknown key '{key}'. {plugins.suggest(key, [*known, *FRAME[kind]])}")
    return {"use": use, "keys": block, **frame}


def _steps(profile: str, steps: list) -> list[dict]:
    found = []
    for number, item in enumerate(steps, 1):
        where = f"profiles: {profile}: step {number}"
        if isinstance(item, str):
            item = {item: {}}
        if not isinstance(item, dict) or len(item) != 1:
            raise UserError(f"{where}: a step is one name with its keys, like 'tvn: {{fit: negative}}', not {item!r}.")
        ((step, keys),) = item.items()
        if not isinstance(keys or {}, dict):
            raise UserError(f"{where}: {step}: {keys!r} are no keys; write them like '{step}: {{key: value}}'.")
        if step not in plugins.names("steps"):
            raise UserError(f"{where}: there is no step '{step}'. {plugins.suggest(step, plugins.names('steps'))}")
        known = plugins.config_keys("steps", step)
        for key in keys or {}:
            if key not in known:
                raise UserError(f"{where}: {step}: unknown key '{key}'. {plugins.suggest(key, known)}")
        found.append({"step": step, "keys": dict(keys or {})})
    return found


def _study(name: str, study: dict, resolved: dict) -> dict:
    where = f"studies: {name}"
    known = resolved
    if study.get("dataset") in resolved["datasets"] and holds_features(resolved["datasets"][study["dataset"]]):
        study = _of_features(study, where)
        known = resolved | {"samples": [IMPORTED], "methods": [IMPORTED]}
    study = {"methods": [], "profiles": [], "evaluations": [], "seeds": [0], "skip": {}, "only": {}, **study}
    for key, kind in (("dataset", "datasets"), ("samples", "samples")):
        if key not in study:
            raise UserError(f"{where}: the key '{key}' is needed: one of {', '.join(known[kind]) or f'your {kind}'}.")
        _must_exist(study[key], known[kind], f"{where}: {key}")
    for kind in ("methods", "profiles", "evaluations"):
        for item in study[kind]:
            _must_exist(item, known[kind], f"{where}: {kind}")
    for method in study["skip"]:
        _must_be_of(method, study, "methods", f"{where}: skip")
    for evaluation, methods in study["only"].items():
        _must_be_of(evaluation, study, "evaluations", f"{where}: only")
        for method in methods:
            _must_be_of(method, study, "methods", f"{where}: only: {evaluation}")
    if "published" in study and study["published"] not in (tables := [path.stem for path in PUBLISHED.glob("*.csv")]):
        suggestion = plugins.suggest(study["published"], tables)
        raise UserError(f"{where}: published: there is no {study['published']}.csv in phenorep/published. {suggestion}")
    try:
        study["seeds"] = sorted({int(seed) for seed in study["seeds"]})
    except ValueError as error:
        raise UserError(f"{where}: seeds: {study['seeds']} are not whole numbers.") from error
    return study | {"saved_epochs": _saved_epochs(study, where)}


def _saved_epochs(study: dict, where: str) -> dict:
    """What of a study is scored at saved epochs: all of it, where nothing is said; ``mean`` is None then."""
    found = {"mean": None, **(study.get("saved_epochs") or {})}
    for key in ("methods", "profiles", "evaluations"):
        found.setdefault(key, list(study[key]))
        for item in found[key]:
            _must_be_of(item, study, key, f"{where}: saved_epochs: {key}")
    if found["mean"] is not None:
        found["mean"] = [int(epoch) for epoch in found["mean"]]
        if found["mean"][0] > found["mean"][1]:
            first, last = found["mean"]
            raise UserError(f"{where}: saved_epochs: mean: the first epoch ({first}) must not be after the last ({last}).")
    return found


def _of_features(study: dict, where: str) -> dict:
    """The study with the one sample set and the one method that features computed elsewhere have."""
    only = {"samples": IMPORTED, "methods": [IMPORTED]}
    for key, value in only.items():
        if study.get(key, value) != value:
            raise UserError(
                f"{where}: {key}: the dataset '{study['dataset']}' holds features that were computed elsewhere, so there is "
                "nothing to cut or to encode. Leave the key out, or name a dataset of images."
            )
    return study | only


def _must_exist(name: str, known, where: str) -> None:
    if name not in known:
        raise UserError(f"{where}: there is no '{name}' in the configuration. {plugins.suggest(name, known)}")


def _must_be_of(name: str, study: dict, key: str, where: str) -> None:
    if name not in study[key]:
        raise UserError(f"{where}: the study has no '{name}' among its {key}. {plugins.suggest(name, study[key])}")
