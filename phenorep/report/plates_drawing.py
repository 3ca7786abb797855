"""Plates drawn well by well, as SVG: each well says its name and value, each panel can be read alone.

Written by hand and not by matplotlib: a plate of 1536 wells takes milliseconds, and a pointer finds each of them.
"""

import base64
import html
import io
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from phenorep.layouts import well_place
from phenorep.report import artefacts, drawing
from phenorep.report.drawing import FAINT, PALETTE

FORMATS = ((8, 12), (16, 24), (32, 48))  # plates of 96, 384 and 1536 wells
SIDES = ((12, 24), (24, 12), (48, 8))  # up to so many columns a well has this side
MARGIN, HEAD, GAP = 22, 20, 14
LEGEND_SHOWN = 12
LETTERS = 5.1  # width of a letter in the legend
CLIPPED = (2, 98)  # percentiles of the wells that get the ends of a ramp: one extreme well does not pale the others
STEPS = 24
BAR = 8  # height of a ramp's legend
TEXT = 'font-family="sans-serif" fill="currentColor"'
# Characters that XML has no place for, whatever stands in a table.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Panel:
    """One drawing: its size, and what stands in its ``<svg>``; ``about`` says in words what it shows."""

    width: float
    height: float
    body: str
    about: str

    @property
    def inline(self) -> str:
        """As a part of a page."""
        size = f'viewBox="0 0 {self.width:g} {self.height:g}" width="{self.width:g}" height="{self.height:g}"'
        return f'<svg class="panel" {size} role="img" aria-label="{safe(self.about)}">{self.body}</svg>'


@dataclass(frozen=True)
class Layout:
    """Where the wells of a plate lie: rows and columns of the grid, and (row, column) of each well."""

    rows: int
    columns: int
    places: dict[str, tuple[int, int]]
    named: bool

    @property
    def side(self) -> int:
        """Side of a well."""
        return next((side for columns, side in SIDES if self.columns <= columns), SIDES[-1][1])


def layout(wells: list[str]) -> Layout:
    """The smallest common plate that holds the wells; by the order of their names where these tell no place."""
    places = artefacts._well_places(wells)
    named = all(well_place(well) is not None for well in wells)
    rows, columns = (max(place[axis] for place in places.values()) + 1 for axis in (0, 1))
    if named:
        rows, columns = next((f for f in FORMATS if rows <= f[0] and columns <= f[1]), (rows, columns))
    return Layout(rows, columns, places, named)


def safe(text: object) -> str:
    """Text as XML and HTML take it."""
    return html.escape(_FORBIDDEN.sub("\ufffd", str(text)))


def ramp(
    where: Layout,
    title: str,
    values: pd.Series,
    limits: tuple[float, float] | None = None,
    digits: int = 3,
    span: float = 0.0,
) -> Panel:
    """Wells in the colour of a number.

    Parameters
    ----------
    values
        By well; wells without one are left open.
    limits
        Of the colours, from blue to orange, for what is bad; None: those of the wells, from dark to yellow.
    span
        What the colours cover at least: a difference that does not matter is not to shine.
    """
    known = values.dropna().astype(float)
    known = known[np.isfinite(known)]
    low, high = limits or (tuple(np.percentile(known, CLIPPED, method="nearest")) if len(known) else (0.0, 1.0))
    if not len(known):
        palette = {}
    else:
        if high <= low:  # nearly all wells are alike, but not all
            low, high = float(known.min()), float(known.max())
        high = max(high, low + span)
        shares = (known - low) / (high - low) if high > low else known * 0 + 0.5
        palette = dict(zip(known.index, colours(np.clip(shares, 0, 1), bad=limits is not None), strict=True))
    texts = {well: number(value, digits) for well, value in known.items()}
    grid, bottom = _grid(where, title, palette, texts)
    ends = [f"{'≤ ' if len(known) and known.min() < low else ''}{number(low, digits)}"]
    ends.append(f"{'≥ ' if len(known) and known.max() > high else ''}{number(high, digits)}")
    width = where.columns * where.side
    bar = _bar(MARGIN, bottom + 6, width, BAR, limits is not None)
    bar += _text(MARGIN, bottom + 26, ends[0], 10) + _text(MARGIN + width, bottom + 26, ends[1], 10, anchor="end")
    about = f"{title}: {ends[0]} to {ends[1]} over {len(known)} wells"
    return Panel(MARGIN + width + 4, bottom + 32, grid + bar, about)


def names(where: Layout, title: str, values: pd.Series, palette: dict[str, str] | None = None) -> Panel:
    """Wells in the colour of a name; an empty one is grey. `palette`: colours by name, in the order of the legend."""
    values = values.fillna("").astype(str)
    present = [name for name in dict.fromkeys(palette or sorted(set(values))) if (values == name).any()]
    palette = palette or {name: _hex(colour) for name, colour in drawing.colours(present).items()}
    texts = {well: name or "none" for well, name in values.items()}
    grid, bottom = _grid(where, title, {well: palette[name] for well, name in values.items()}, texts)
    width = where.columns * where.side
    entries = [name for name in present if name][:LEGEND_SHOWN]
    more = len([name for name in present if name]) - len(entries)
    room = int((width - 14) / LETTERS)
    across = 2 if max(map(len, entries), default=0) <= room // 2 - 3 else 1
    keys = []
    for number, name in enumerate(entries):
        x, y = MARGIN + (number % across) * width / across, bottom + 8 + 13 * (number // across)
        keys.append(f'<rect x="{x:g}" y="{y:g}" width="9" height="9" fill="{palette[name]}"/>')
        keys.append(_text(x + 13, y + 8, drawing.shown(name, room // across - 2), 10))
    lines = -(-len(entries) // across)
    if more > 0:
        keys.append(_text(MARGIN, bottom + 16 + 13 * lines, f"and {more} more", 10))
    bottom += 13 * (lines + (more > 0)) + 12
    return Panel(MARGIN + width + 4, bottom, grid + "".join(keys), f"{title}: {len(present)} kinds")


def picture(title: str, values: np.ndarray, low: float, high: float, side: int = 200) -> Panel:
    """A map (h, w) of numbers as an image with its colour bar."""
    shares = (values - low) / (high - low) if high > low else np.full(values.shape, 0.5)
    palette = np.array([_rgb(colour) for colour in colours(np.linspace(0, 1, 256))], np.uint8)
    pixels = palette[np.round(np.clip(shares, 0, 1) * 255).astype(int)]
    height = side * values.shape[0] / values.shape[1]
    body = _text(0, 13, drawing.shown(title), 12) + image(pixels, 0, HEAD, side, height)
    body += _bar(0, HEAD + height + 6, side, BAR, False)
    bottom = HEAD + height + 26
    body += _text(0, bottom, f"{low:.3f}", 10) + _text(side, bottom, f"{high:.3f}", 10, anchor="end")
    return Panel(side, bottom + 6, body, f"{title}: {low:.3f} to {high:.3f}")


def image(pixels: np.ndarray, x: float, y: float, width: float, height: float) -> str:
    """Pixels (h, w, 3) of 8 bits as an element."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return _image(f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}", x, y, width, height)


def crop(content: bytes, size: tuple[float, float], lines: list[str]) -> Panel:
    """A JPEG with lines of text under it."""
    width, height = size
    address = f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"
    body = _image(address, 0, 0, width, height)
    for number, line in enumerate(lines):
        body += _text(0, height + 11 + 11 * number, drawing.shown(line, int(1.15 * width / LETTERS)), 9, title=line)
    return Panel(width, height + 4 + 11 * len(lines), body, ", ".join(lines))


def together(panels: list[Panel], across: int = 3) -> str:
    """Panels in rows, as a file of its own."""
    body, top, widest = [], 0.0, 0.0
    for start in range(0, len(panels), across):
        left, line = 0.0, panels[start : start + across]
        for panel in line:
            place = f'x="{left:g}" y="{top:g}" width="{panel.width:g}" height="{panel.height:g}"'
            body.append(f"<svg {place}>{panel.body}</svg>")
            left += panel.width + GAP
        top += max(panel.height for panel in line) + GAP
        widest = max(widest, left)
    size = f'width="{widest:g}" height="{top:g}" viewBox="0 0 {widest:g} {top:g}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(body)}</svg>\n'


def colours(shares: np.ndarray, bad: bool = False) -> list[str]:
    """Colours (``#rrggbb``) of numbers from 0 to 1: dark to yellow, or blue to orange for what is bad."""
    from matplotlib import colormaps
    from matplotlib.colors import LinearSegmentedColormap, to_hex

    map_ = LinearSegmentedColormap.from_list("bad", artefacts.RAMP) if bad else colormaps["viridis"]
    steps, places = np.unique(np.asarray(shares, dtype=float), return_inverse=True)
    palette = [to_hex(colour) for colour in map_(steps)]
    return [palette[place] for place in places]


def _grid(where: Layout, title: str, palette: dict[str, str], texts: dict[str, str]) -> tuple[str, float]:
    """Title, axes and wells; and where they end."""
    side, top = where.side, HEAD + 12
    parts = [_text(0, 13, drawing.shown(title, 44), 12)]
    if where.named:
        step = 1 if side > 8 else 2
        for row in range(0, where.rows, step):
            parts.append(_text(MARGIN - 4, top + (row + 0.5) * side + 3, artefacts._letters(row), 9, anchor="end"))
        for column in range(0, where.columns, step if where.columns <= 12 else 2 * step):
            parts.append(_text(MARGIN + (column + 0.5) * side, top - 4, str(column + 1), 9, anchor="middle"))
    for number, (well, (row, column)) in enumerate(where.places.items()):
        place = f'x="{MARGIN + column * side}" y="{top + row * side}" width="{side - 1}" height="{side - 1}"'
        fill = palette.get(well)
        look = f'fill="{fill}"' if fill else f'fill="none" stroke="{FAINT}" stroke-width=".5"'
        about = f"<title>{safe(well)}: {safe(texts.get(well, '–'))}</title>"
        parts.append(f'<rect data-w="{number}" {place} {look}>{about}</rect>')
    taken = set(where.places.values())
    # Places without a well stand back, in one path.
    empty = [(row, column) for row in range(where.rows) for column in range(where.columns) if (row, column) not in taken]
    dots = "".join(f"M{MARGIN + (c + 0.5) * side - 1:g} {top + (r + 0.5) * side - 0.5:g}h1" for r, c in empty)
    parts.append(f'<path d="{dots}" stroke="{FAINT}" stroke-width="1" fill="none"/>' if dots else "")
    return "".join(parts), top + where.rows * side


def _bar(x: float, y: float, width: float, height: float, bad: bool) -> str:
    step = width / STEPS
    found = colours(np.linspace(0, 1, STEPS), bad)
    # A little wider than a step: no gap shows between two of them.
    return "".join(
        f'<rect x="{x + number * step:g}" y="{y:g}" width="{step + 0.4:g}" height="{height:g}" fill="{colour}"/>'
        for number, colour in enumerate(found)
    )


def _image(address: str, x: float, y: float, width: float, height: float) -> str:
    return f'<image href="{address}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"/>'


def _text(x: float, y: float, text: str, size: float, anchor: str = "start", title: str = "") -> str:
    more = f"<title>{safe(title)}</title>" if title and title != text else ""
    place = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" {TEXT}{place}>{safe(text)}{more}</text>'


def number(value: float, digits: int = 3) -> str:
    """A number with as many digits as it needs, and no power of ten where it is large."""
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 10**digits else f"{value:.{digits}g}"


def _hex(colour: object) -> str:
    from matplotlib.colors import to_hex

    return to_hex(colour)


def _rgb(colour: str) -> list[int]:
    return [int(colour[start : start + 2], 16) for start in (1, 3, 5)]


CONTROLS = {"negative": PALETTE[0], "positive": PALETTE[3], "treated": PALETTE[2], "": FAINT}
