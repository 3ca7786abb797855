"""Names of timm's architectures, read from its files: importing timm takes eight seconds, reading them none."""

import re
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from phenorep import plugins
from phenorep.errors import UserError

_REGISTERED = re.compile(r"^@register_model\s*(?:#.*)?\ndef (\w+)\(", re.MULTILINE)


@lru_cache
def names() -> frozenset[str]:
    """All architectures that ``timm.list_models()`` lists."""
    folder = Path(find_spec("timm").origin).parent / "models"
    return frozenset(name for path in folder.glob("*.py") for name in _REGISTERED.findall(path.read_text(encoding="utf-8")))


def check(name: str) -> None:
    """Raise `UserError` unless timm has an architecture of this name; a tag behind it (``.a1_in1k``) names weights."""
    if name.split(".")[0] not in names():
        hint = plugins.suggest(name, names())
        near = hint if hint.startswith("Did") else "Choose one that timm.list_models() lists."
        raise UserError(f"backbone: timm has no architecture '{name}'. {near}")
