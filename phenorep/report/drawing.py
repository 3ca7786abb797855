"""One look for all figures, and each figure's file with its data beside it.

Text and axes take the colour of the page's text, so that one drawing serves a light and a dark page. Nothing in a file
depends on the time or the machine: the same numbers give the same bytes.
"""

import io
import re
from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from phenorep import contracts

# A colour that nothing else has: it stands for the page's text colour until the drawing is written.
INK = "#0a0b0c"
FAINT = "#8a8f98"
NAME_LETTERS = 120  # of a file's name
# Told apart by colour-blind readers, on white and on black (after Okabe and Ito 2008, without black, a lighter blue).
PALETTE = ("#2b83c6", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#b3a100", "#7f6fd1")
STYLE = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.grid": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
    "grid.color": FAINT,
    "grid.alpha": 0.35,
    "legend.frameon": False,
    "text.color": INK,
    "text.parse_math": False,  # a compound called "$x$" is a name
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "phenorep",
}


@dataclass(frozen=True)
class Figure:
    """A figure of the page: inline SVG, its caption, the names of its files in their folder, and what it was made from."""

    name: str
    title: str
    caption: str
    svg: str
    file: str
    data: str
    sources: tuple[str, ...] = ()


@contextmanager
def style():
    """Draw in the page's style."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        yield


def canvas(width: float, height: float):
    """An empty figure, in inches, that knows nothing of screens or of other figures."""
    from matplotlib.figure import Figure as Canvas

    return Canvas(figsize=(width, height))


def save(
    folder: str | Path, name: str, title: str, caption: str, drawing, data: pd.DataFrame, sources: Iterable[str] = ()
) -> Figure:
    """Write a drawing as SVG and what it shows as CSV.

    Parameters
    ----------
    name
        What the files are called; made safe for a file name, and numbered if it is taken.
    drawing
        A matplotlib figure.
    data
        The numbers behind the drawing, one row per mark.
    sources
        Files of the run that these numbers were taken from.
    """
    folder = Path(folder)
    stem = safe(name)
    first, taken = stem, 1
    while (folder / f"{stem}.svg").exists():
        taken += 1
        stem = f"{first}-{taken}"
    buffer = io.StringIO()
    drawing.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    markup = buffer.getvalue().replace(INK, "currentColor")
    with contracts.replacing(folder / f"{stem}.svg") as temporary:
        temporary.write_text(markup, encoding="utf-8")
    contracts.write_csv(data, folder / f"{stem}.csv")
    return Figure(stem, title, caption, _inline(markup, stem), f"{stem}.svg", f"{stem}.csv", tuple(dict.fromkeys(sources)))


def safe(name: str) -> str:
    """A name as a file may have it; a long one is cut, since file systems allow 255 bytes."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name)[:NAME_LETTERS].strip("._-") or "figure"


def _inline(markup: str, name: str) -> str:
    """The drawing as a part of a page: no prolog, no metadata, and identifiers that no other drawing has."""
    markup = markup[markup.index("<svg") :]
    markup = re.sub(r"<metadata>.*?</metadata>", "", markup, flags=re.DOTALL)
    # Equal pictures get equal identifiers, which nothing refers to.
    markup = re.sub(r'(<image[^>]*?) id="[^"]*"', r"\1", markup)
    prefix = re.sub(r"[^A-Za-z0-9]", "-", name)
    markup = re.sub(r'\bid="', f'id="{prefix}-', markup)
    markup = re.sub(r'href="#', f'href="#{prefix}-', markup)
    return re.sub(r"url\(#", f"url(#{prefix}-", markup)


def shown(name: object, length: int = 32) -> str:
    """A name as a legend may show it: matplotlib leaves out those that begin with an underscore."""
    text = str(name)
    text = text if len(text) <= length else f"{text[: length - 1]}…"
    return f"\u200b{text}" if text.startswith("_") else text


def colours(names: Iterable[str]) -> dict[str, object]:
    """A colour for each name, in order; grey for the empty one. Beyond the palette, colours follow a rainbow."""
    names = list(dict.fromkeys(names))
    named = [name for name in names if name]
    if len(named) <= len(PALETTE):
        found = dict(zip(named, PALETTE, strict=False))
    else:
        from matplotlib import colormaps

        ramp = colormaps["turbo"]
        found = {name: ramp(0.05 + 0.9 * index / (len(named) - 1)) for index, name in enumerate(named)}
    return found | ({"": FAINT} if "" in names else {})
