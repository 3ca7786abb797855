"""Maps that answer to the reader: what a mark is, what its cells look like, coloured by what is known of it.

Drawn by a script of our own on a canvas: 15 kB in each page, where a plotting library takes 4.6 MB beside it. It goes by
mouse, finger and keyboard, follows the page's colours, and shows pictures.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import contracts
from phenorep.errors import UserError
from phenorep.report import colours, drawing, images, interactive_crops
from phenorep.report.maps import Map

# What columns are called, in the order in which colours are offered; others follow under their own names.
WORDS = {
    "Metadata_MoA": "mechanism",
    "Metadata_Treatment": "treatment",
    "Metadata_Compound": "compound",
    "Metadata_Perturbation": "perturbation",
    "Metadata_Concentration": "concentration (µM)",
    "Metadata_Dose": "dose",
    "Metadata_Control": "control",
    "Metadata_Plate": "plate",
    "Metadata_Well": "well",
    "Metadata_Batch": "batch",
    "Metadata_CellLine": "cell line",
}
FIRST = ("Metadata_MoA", "Metadata_Compound", "Metadata_Perturbation", "Metadata_Plate")  # to be coloured by at the start
# More colours are not told apart, and a legend of thousands of names is no legend.
MOST_COLOURS = 200
VALUES_SHOWN = 6  # of a mark that stands for several plates, wells, ...
DIGITS = 4  # of a place between 0 and 1: a ten-thousandth of the map


def make(plan: dict, kept: list[Map], folder: str | Path, environment, home: str = "index.html") -> list[dict]:
    """Write a page for each map.

    Parameters
    ----------
    plan
        As for `phenorep.report.make`.
    kept
        The maps that were drawn, from `maps.maps`.
    folder
        Where the pages go; pages that lie there are removed.
    environment
        From `templates.environment`.
    home
        The report's page, in the folder above.

    Returns
    -------
    list of dict
        ``study, title, href`` (as seen from the report's page) and ``figure``, the name of the map's figure.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.html"):
        old.unlink()
    template = environment.get_template("map.html.j2")
    pages, drawn = [], {}
    for one in kept:
        crops, reason = _crops(plan, one, drawn)
        data = points(one) | {"crops": None if crops is None else vars(crops) | {"about": _about(crops)}}
        name = f"{one.figure.name.removeprefix('map_')}.html"
        text = template.render(plan=plan, map=one, data=data, crops=crops, reason=reason, home=f"../{home}")
        with contracts.replacing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
        href = f"{folder.name}/{name}"
        pages.append({"study": one.study, "title": one.figure.title, "href": href, "figure": one.figure.name})
    return pages


def points(one: Map) -> dict:
    """What the script needs of the marks, as plain values.

    Returns
    -------
    dict
        ``x``, ``y`` (0 to 1, upwards), ``level``, ``columns`` (``name``, ``names``, ``codes`` of the marks into these, and
        ``colours`` of the names, or None where there are too many or only one) and ``first``, the column to begin with.
    """
    low, high = one.places.min(axis=0), one.places.max(axis=0)
    # One scale for both sides: distances are compared across the map.
    middle, reach = (low + high) / 2, max(float((high - low).max()), 1e-9)
    x, y = np.round((one.places - middle) / reach + 0.5, DIGITS).T
    own = [name for name in one.metadata if name.startswith("Metadata_") or name == "Sample"]
    order = [name for name in WORDS if name in own] + [name for name in own if name not in WORDS]
    columns = [_column(name, one.metadata[name]) for name in order]
    columns = [column for column in columns if column["names"] != [""]]
    coloured = [WORDS[name] for name in FIRST if name in own]
    offered = [column["name"] for column in columns if column["colours"]]
    first = next((name for name in coloured if name in offered), offered[0] if offered else None)
    return {"x": x.tolist(), "y": y.tolist(), "level": one.level, "columns": columns, "first": first}


def _column(name: str, values: pd.Series) -> dict:
    from matplotlib.colors import to_hex

    texts = values.map(_text)
    # Numbers by size, 2 before 10; what has no name is last.
    names = sorted(set(texts), key=lambda text: (text == "", *_size(text)))
    palette = drawing.colours(names) if 1 < len(names) <= MOST_COLOURS else None
    codes = texts.map({text: number for number, text in enumerate(names)})
    return {
        "name": WORDS.get(name, name.removeprefix("Metadata_").lower()),
        "names": names,
        "codes": codes.tolist(),
        "colours": palette and [to_hex(palette[text]) for text in names],
    }


def _size(text: str) -> tuple[int, float, str]:
    try:
        return (0, float(text), "") if np.isfinite(float(text)) else (1, 0.0, text)
    except ValueError:
        return 1, 0.0, text


def _text(value: object) -> str:
    """A value as the page shows it; of many values the first few."""
    if isinstance(value, list | tuple | np.ndarray):
        texts = [_text(item) for item in value]
        more = len(texts) - VALUES_SHOWN
        return ", ".join(texts[:VALUES_SHOWN]) + (f" and {more} more" if more > 0 else "")
    if value is None or value is pd.NA or value != value:  # NaN differs from itself
        return ""
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value)


def _crops(plan: dict, one: Map, drawn: dict) -> tuple[interactive_crops.Crops | None, str]:
    """The pictures of a map's marks, or why there are none; maps of the same marks share them."""
    where = {key: one.entry[key] for key in ("dataset", "samples")}
    identity = one.metadata.astype(str).to_csv(index=False)
    key = (*where.values(), identity)
    if key not in drawn:
        try:
            found = interactive_crops.make(one.metadata, images.sample_paths(plan, **where))
            drawn[key] = found, "" if found else "none of the samples behind these marks is there"
        except (UserError, OSError) as error:
            drawn[key] = None, str(error)
    return drawn[key]


def _about(crops: interactive_crops.Crops) -> str:
    return f"channels: {colours.words(crops.channels)}"
