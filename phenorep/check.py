"""The check that comes before anything costly: every plug-in that the configuration names is imported, every key checked."""

from contextlib import contextmanager
from pathlib import Path

from phenorep import __version__, configuration, contracts, devices, plugins
from phenorep.errors import UserError
from phenorep.quality import abnormality, annotating


def make(config: dict, output: str | Path) -> None:
    """Check a configuration as `blocks` does; write it to `output`, resolved, as JSON."""
    contracts.write_json({"version": __version__, "config": blocks(config)}, output)


@contextmanager
def passed(config: dict):
    """Go on only with a configuration that is right in every block: nothing costly is begun that must end in an error."""
    blocks(config)
    yield


def blocks(config: dict) -> dict:
    """The resolved configuration, after a check of the types and ranges of all keys.

    Raises
    ------
    UserError
        With all that is wrong, one line each.
    """
    resolved = configuration.resolve(config)
    wrong = []
    try:
        devices.configure(resolved["compute"])
    except UserError as error:
        wrong.append(str(error))
    for name, config_class, keys in _plain(resolved):
        try:
            plugins.configure(config_class, keys, name)
        except UserError as error:
            wrong.append(str(error))
    for kind, name, use, keys in _named(resolved):
        try:
            _plugin(kind, name, use, keys)
        except UserError as error:
            wrong.append(str(error))
    if wrong:
        raise UserError("\n".join(wrong))
    return resolved


def _plugin(kind: str, name: str, use: str, keys: dict) -> None:
    module = plugins.load(kind, use)
    config = plugins.configure(module.Config, keys, name)
    if hasattr(module, "Recipe"):
        try:
            module.Recipe.check(config)
        except UserError as error:
            raise UserError(f"{name}: {error}") from error


def _plain(blocks: dict):
    page = blocks["annotate"]
    yield "annotate", annotating.Config, {**page["keys"], "seed": page["seed"]}
    if blocks["abnormality"] is not None:
        yield "abnormality", abnormality.Config, blocks["abnormality"]


def _named(blocks: dict):
    for kind in ("datasets", "samples", "methods", "evaluations"):
        for name, block in blocks[kind].items():
            if block["use"] is not None:
                yield kind, f"{kind}: {name}", block["use"], block["keys"]
    for profile, steps in blocks["profiles"].items():
        for step in steps:
            yield "steps", f"profiles: {profile}: {step['step']}", step["step"], step["keys"]
