"""How the pages of a report are written: their templates, what these can say, and the scripts that may run in a page."""

import base64
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

import numpy as np

from phenorep import plugins
from phenorep.report import answers, verdict

FOLDER = plugins.ROOT.parent / "reports" / "templates"


def environment():
    """The Jinja environment of all pages."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # Escaping is never left to a file's suffix: names of compounds and plates come from anywhere.
    made = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {
        "number": number,
        "label": verdict.label,
        "place": place,
        "seen": verdict.labels_seen,
        "outdated": verdict.is_outdated,
        "url": quote,
    }
    made.filters["kind"] = lambda pictures, kind: [p for p in pictures if p.name.startswith(kind)]
    made.filters |= {"breakable": breakable, "title": answers.title}
    made.globals |= {"inline": inline, "fingerprints": fingerprints, "data_block": data_block}
    return made


def number(value: object, digits: int = 3) -> str:
    """A number as the tables show it; a dash where there is none."""
    return f"{value:.{digits}f}" if isinstance(value, int | float | np.number) and np.isfinite(value) else "–"


def breakable(text: object):
    """A name that may be broken where people read a gap in it, not within a word."""
    from markupsafe import Markup, escape

    return Markup(str(escape(text)).replace("_", "_<wbr>"))


def place(text: str) -> str:
    """An identifier for a part of the page."""
    return "".join(letter if letter.isalnum() else "-" for letter in str(text))


def inline(name: str):
    """A script of the templates' folder, as it stands in a page."""
    from markupsafe import Markup

    return Markup(_script(name))


def fingerprints(names: Iterable[str]) -> str:
    """What a page's policy says of its own scripts: these may run, and none that data brought along."""
    from markupsafe import Markup

    digests = (hashlib.sha256(_script(name).encode()).digest() for name in names)
    # Markup: base64 and quotes are no danger in an attribute in double quotes, and the policy needs the quotes as they are.
    return Markup(" ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests))


def _script(name: str) -> str:
    return "\n" + (FOLDER / name).read_text(encoding="utf-8")


def link(path: str | Path, page: str | Path) -> str:
    """The address of a file as a page links it, whatever its name holds."""
    return quote(os.path.relpath(path, Path(page).parent))


def data_block(identifier: str, value: object):
    """Data for a page's scripts, as an element that no browser runs and no text in it can end."""
    from markupsafe import Markup

    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(f'<script type="application/json" id="{place(identifier)}">{text}</script>')
