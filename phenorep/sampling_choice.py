"""How samples are cut for ``phenorep embed``: as its options say, or as the encoder's file does."""

import re
from collections.abc import Sequence
from dataclasses import asdict

import yaml

from phenorep import plugins, selection
from phenorep.errors import UserError
from phenorep.labelling import COLUMN


def given(options: dict, config: dict) -> list[dict] | None:
    """The blocks of the sample set that ``--samples`` names: the set that is cut out of fields, then the views of it.

    Parameters
    ----------
    options
        ``samples``: a strategy with keys, or a name in `config`; None: nothing is given. ``config``: the file's name.
    config
        A configuration, or some of its blocks.

    Raises
    ------
    UserError
        If there is no such set, or a key is wrong.
    """
    text = options.get("samples")
    if text is None:
        return None
    known = config.get("samples") or {}
    if text not in known:
        return checked([_written(text)], "--samples")
    blocks = []
    while text is not None:
        if not isinstance(text, str) or text not in known or len(blocks) > len(known):
            raise UserError(f"{options['config']}: samples: {options['samples']}: its 'of' leads to no set that is cut.")
        if not isinstance(known[text] or {}, dict):
            raise UserError(f"{options['config']}: samples: {text}: found {str(known[text])[:80]!r}, expected keys.")
        keys = dict(known[text] or {})
        parent, where = keys.pop("of", None), keys.pop("where", None)
        use = keys.pop("use", None if parent and text not in plugins.names("samples") else text)
        blocks.insert(0, {"use": use, "keys": keys} | ({"where": where} if where else {}))
        text = parent
    return checked(blocks, f"{options['config']}: samples")


def checked(blocks: Sequence[dict], place: str) -> list[dict]:
    """The blocks with all keys of their strategies.

    Raises
    ------
    UserError
        If a strategy or a key of it does not exist, or a condition is none.
    """
    found = []
    for number, block in enumerate(blocks):
        if block.get("where"):
            selection.check_language(block["where"], f"{place}: where")
        use = block.get("use")
        if use is None and number:  # a view of whole samples; without a condition it is the set itself
            found += [{**block, "keys": {}}] if block.get("where") else []
            continue
        if use not in plugins.names("samples"):
            raise UserError(
                f"{place}: there is no strategy '{use}'. {plugins.suggest(str(use), plugins.names('samples'))} "
                "Write it like nuclei:size=64, or name a sample set of the file behind --config."
            )
        config = plugins.configure(plugins.load("samples", use).Config, block["keys"], f"{place}: {use}")
        keys = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(config).items()}
        found.append({**block, "keys": keys})
    return found


def without_abnormality(blocks: Sequence[dict]) -> tuple[list[dict], str]:
    """The blocks without the condition on a sample's abnormality, which the workflow alone computes, and that condition."""
    left, lost = [], ""
    for block in blocks:
        if COLUMN in selection.check_language(block["where"], "where") if block.get("where") else ():
            block, lost = {key: value for key, value in block.items() if key != "where"}, block["where"]
        left.append(block)
    return left, lost


def as_option(blocks: Sequence[dict]) -> str:
    """The set that is cut out of fields as ``--samples`` would name it, without conditions and views."""
    keys = ",".join(f"{key}={str(value).replace(' ', '')}" for key, value in blocks[0]["keys"].items() if value is not None)
    return f"{blocks[0]['use']}:{keys}" if keys else blocks[0]["use"]


def needed(encoder: str) -> UserError:
    """That nothing says how samples are cut."""
    return UserError(
        f"--samples: {encoder} does not say how its samples were cut. Say it as the configuration did that it was trained "
        f"with: --samples nuclei:size=64 ({', '.join(plugins.names('samples'))}), or --config FILE --samples NAME."
    )


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
