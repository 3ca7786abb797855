"""How samples are cut for ``phenorep embed``: as its options say, or as those were that the encoder learned from."""

import re
from dataclasses import asdict
from pathlib import Path

import yaml

from phenorep import contracts, plugins
from phenorep.errors import UserError


def block(options: dict, config: dict) -> dict:
    """The block of the sample set to cut, with ``use``, ``keys`` and perhaps ``where``; says what it is.

    Parameters
    ----------
    options
        ``samples``: a strategy with keys, or a name in `config`; None: as beside the encoder in results/. ``config``: the
        file's name, for messages. ``encoder``.
    config
        A configuration, or some of its blocks.

    Raises
    ------
    UserError
        If nothing says how samples are cut, or a key is wrong.
    """
    text = options.get("samples")
    if text is None:
        found, source = _beside(Path(options["encoder"]))
    elif text in (config.get("samples") or {}):
        found, source = dict(config["samples"][text] or {}), options["config"]
        if "of" in found:
            raise UserError(f"--samples {text}: it is a view of '{found['of']}': name the set that is cut out of fields.")
        where = {key: found.pop(key) for key in ("where",) if key in found}
        found = {"use": found.pop("use", text), "keys": found, **where}
    else:
        found, source = _written(text), "--samples"
    if found["use"] not in plugins.names("samples"):
        raise UserError(
            f"--samples: there is no strategy '{found['use']}'. {plugins.suggest(found['use'], plugins.names('samples'))} "
            "Write it like nuclei:size=64, or name a sample set of the file behind --config."
        )
    module = plugins.load("samples", found["use"])
    chosen = asdict(plugins.configure(module.Config, found["keys"], f"--samples: {found['use']}"))
    shown = ", ".join(f"{key} {value}" for key, value in chosen.items() if value is not None)
    print(f"samples: {found['use']} ({shown}), as {source} says")
    return found


def _written(text: str) -> dict:
    """``nuclei:size=64,edge=pad`` as a block."""
    use, _, rest = text.partition(":")
    try:
        keys = yaml.safe_load("{" + re.sub(r"(\w+)\s*=\s*", r"\1: ", rest) + "}")
    except yaml.YAMLError:
        keys = {"": None}
    if any(not key or value is None for key, value in keys.items()):
        raise UserError(f"--samples {text}: expected a strategy and its keys, like nuclei:size=64 or fields:size=[512,640].")
    return {"use": use.strip(), "keys": keys}


def _beside(encoder: Path) -> tuple[dict, str]:
    """How the sample set was cut that lies beside an encoder, and the table that says so."""
    for folder in encoder.absolute().parents:
        if folder.name == "encoders":
            samples = encoder.absolute().relative_to(folder).parts[0]
            for _ in range(9):  # a view may look at a view
                tables = sorted((folder.parent / "samples" / samples).glob("*.parquet"))
                found = contracts.about(tables[0]).get("strategy") if tables else None
                if not found or (found.get("of") and found["use"]):
                    break
                if not found.get("of"):
                    return found, str(tables[0])
                samples = found["of"]
    known = ", ".join(plugins.names("samples"))
    raise UserError(
        f"--samples: {encoder} does not say how its samples were cut. Say it as the configuration did that it was trained "
        f"with: --samples nuclei:size=64 (strategies: {known}), or --config FILE --samples NAME."
    )
