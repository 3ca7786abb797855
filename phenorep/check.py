"""The check that comes before anything costly: every plug-in that the configuration names is imported, every key checked."""

from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from phenorep import __version__, configuration, contracts, plugins
from phenorep.errors import UserError

# Kinds of blocks whose keys are checked before anything is planned: what they import is there already, or comes in a moment.
LIGHT = ("datasets", "samples", "evaluations", "steps")


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
    from phenorep import devices  # torch

    resolved = configuration.resolve(config)
    checks = [partial(devices.configure, resolved["compute"])]
    checks += [partial(plugins.configure, config_class, keys, name) for name, config_class, keys in _plain(resolved)]
    checks += [partial(_plugin, *named) for named in _named(resolved)]
    _refuse(checks)
    return resolved


def light(resolved: dict) -> None:
    """Check the keys of the kinds `LIGHT`, without torch.

    The job `check` is made once in a folder, so that a second configuration is not checked by it.

    Parameters
    ----------
    resolved
        The blocks of a plan.

    Raises
    ------
    UserError
        With all that is wrong, one line each.
    """
    _refuse([partial(_plugin, *named) for named in _named(resolved) if named[0] in LIGHT])


def _refuse(checks: list[Callable]) -> None:
    """Do all checks, then raise what any of them said."""
    wrong = []
    for check in checks:
        try:
            check()
        except UserError as error:
            wrong.append(str(error))
    if wrong:
        raise UserError("\n".join(wrong))


def _plugin(kind: str, name: str, use: str, keys: dict) -> None:
    module = plugins.load(kind, use)
    config = plugins.configure(module.Config, keys, name)
    if hasattr(module, "Recipe"):
        try:
            module.Recipe.check(config)
        except UserError as error:
            raise UserError(f"{name}: {error}") from error


def _plain(blocks: dict):
    from phenorep.quality import abnormality, annotating

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
