"""The annotation page: a gallery of samples, to be marked as normal or abnormal by keyboard or mouse, in one file.

It needs no network and no server: marks stay in the reader's browser, and what is exported is the table that
`phenorep.quality.annotations` reads. Labels that a dataset brings are not shown: an eye that knows the answer does not look.
"""

import base64
import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from phenorep import contracts, plugins
from phenorep.errors import UserError
from phenorep.quality import annotations as marks
from phenorep.quality import choosing
from phenorep.report import colours
from phenorep.store import Samples

TEMPLATES = plugins.ROOT.parent / "reports" / "templates"
LEVELS = 63  # steps of grey: more look the same and take twice the space


@dataclass(frozen=True)
class Config:
    """Which samples the page shows, and how."""

    count: int = 300  # new samples; 240 normal and 240 abnormal ones served for hcs_qc, far fewer for a linear classifier
    sampling: Literal["random", "diverse"] = "random"  # diverse: by embeddings, so that rare kinds of images come up
    size: int = 128  # pixels of a sample's longer side on the page; larger samples are shrunk to it
    # Kinds of abnormal images, which the keys 1 to 9 give; those of your screen, in the order in which they are frequent.
    artefacts: tuple[str, ...] = ("out_of_focus", "saturated", "debris", "autofluorescence", "noise", "empty")
    seed: int = 0  # of the choice; another one shows other samples
    contrast: tuple[float, float] = (1.0, 99.7)  # percentiles of pixels that become black and bright, by plate and channel
    colours: dict | None = None  # {channel: "#rrggbb"}; None: DNA blue, others red, green, ...
    columns: tuple[str, ...] = ()  # metadata shown with a sample; none: whoever knows the compound may look for its effect

    def __post_init__(self):
        if not 1 <= self.count <= 2000:
            raise ValueError(f"count must be 1 to 2000, not {self.count}: the page holds every image")
        if not 16 <= self.size <= 1024:
            raise ValueError(f"size must be 16 to 1024 pixels, not {self.size}")
        if len(self.artefacts) > 9 or len(set(self.artefacts)) < len(self.artefacts):
            raise ValueError("artefacts: at most 9 different names, one for each digit")
        if any(not name or name != name.strip() for name in self.artefacts):
            raise ValueError("artefacts: a name is empty or begins or ends with a space")
        if not 0 <= self.contrast[0] < self.contrast[1] <= 100:
            raise ValueError(f"contrast must be two rising percentiles, not {list(self.contrast)}")
        for colour in (self.colours or {}).values():
            if not re.fullmatch("#[0-9a-fA-F]{6}", str(colour)):
                raise ValueError(f"colours: {colour!r} is not of the form '#rrggbb'")


def make(
    name: str,
    place: str,
    tables: Sequence[str],
    statistics: Sequence[str],
    embeddings: str | None,
    settings: dict,
    annotations: str | None,
    output: str | Path,
) -> None:
    """Write the page.

    Samples that are annotated already are shown first, at most `Config.count` of them, with their marks; then `Config.count`
    others. Marks whose samples are not shown go into the page's export as they are: it takes the place of the file.

    Parameters
    ----------
    name, place
        Name of the run, and ``dataset/samples``: under these the browser keeps the marks.
    tables, statistics
        The sample set's files, one of each for each plate.
    embeddings
        The samples' embeddings; needed where ``sampling: diverse``.
    settings
        Keys of `Config`.
    annotations
        A table as `phenorep.quality.annotations.read` takes it; None or empty if there is none.
    output
        Path of the page.

    Raises
    ------
    UserError
        For keys that do not fit the samples, and for embeddings that were not made.
    """
    config = plugins.configure(Config, settings, "annotate")
    store = Samples.open(list(tables), list(statistics))
    given = marks.read(annotations) if annotations else pd.DataFrame(columns=list(marks.COLUMNS), dtype=str)
    known = pd.Index(store.table["Sample"]).get_indexer(given["Sample"])
    known = known[known >= 0]
    rows, how = _chosen(config, store, known, embeddings)
    shown = np.concatenate([known[: config.count], rows]).astype(np.int64)
    page = _page(config, store, shown, given, name, place)
    facts = {"how": how, "annotated": min(len(known), config.count), "new": len(rows), "total": len(store)}
    facts |= {"contrast": config.contrast, "place": place, "nonce": page["digest"]}
    with contracts.replacing(output) as temporary:
        text = _environment().get_template("annotate.html.j2").render(page=page, **facts)
        temporary.write_text(text, encoding="utf-8")
    print(f"{len(shown)} samples, {len(known)} of them annotated before; {Path(output).stat().st_size / 1e6:.1f} MB")


def _chosen(config: Config, store: Samples, known: np.ndarray, embeddings: str | None) -> tuple[np.ndarray, str]:
    """Rows that have no label yet, and how they were chosen."""
    free = np.ones(len(store), bool)
    free[known] = False
    if config.sampling == "random":
        rows = choosing.spread(store.table, free, config.count, config.seed)
        return rows, "drawn at random, evenly over plates, wells and fields"
    if not embeddings:
        raise UserError("annotate: sampling: diverse samples are chosen by their embeddings: name a 'method' beside it.")
    rows, clustered = choosing.diverse(embeddings, store.table, free, config.count, config.seed)
    some = f" of {clustered:,} of them, drawn at random" if clustered < free.sum() else ""
    return rows, f"the ones nearest to the middles of {config.count} clusters{some} (k-means on embeddings)"


def _page(config: Config, store: Samples, shown: np.ndarray, given: pd.DataFrame, name: str, place: str) -> dict:
    """All that the page's script needs, as plain values."""
    missing = [column for column in config.columns if column not in store.table]
    if missing:
        raise UserError(f"annotate: columns: there is no '{missing[0]}'. {plugins.suggest(missing[0], store.table.columns)}")
    names = store.table["Sample"].iloc[shown].tolist()
    about = store.table[list(config.columns)].iloc[shown].map(_text).to_numpy().tolist()
    plates = np.unique(store.plate_index[shown]).tolist()
    bounds = {plate: colours.bounds(store, plate, config.contrast, config.seed) for plate in plates}
    labels = {sample: [quality, artefact] for sample, quality, artefact in given.itertuples(index=False)}
    whole = hashlib.sha256(repr([store.table["Sample"].tolist(), store.means.tolist()]).encode())
    digest = hashlib.sha256(repr([names, sorted(labels.items())]).encode())
    pictures = []
    for row in shown:
        image = store.read([row])[0]
        digest.update(image.tobytes())
        width, height, content = _picture(image, *bounds[int(store.plate_index[row])], config.size)
        pictures.append(base64.b64encode(content).decode())
    return {
        "run": name,
        "place": place,
        "set": whole.hexdigest()[:16],
        # Other samples, other pixels or other labels to begin with are another page.
        "digest": digest.hexdigest()[:16],
        "file": re.sub(r"[^A-Za-z0-9_.-]+", "_", f"{name}_{place}_annotations.csv"),
        "size": [width, height] if len(shown) else [config.size, config.size],
        "shown": config.size,
        "channels": _coloured(store.channels, config.colours or {}),
        "artefacts": list(config.artefacts),
        "columns": [column.removeprefix("Metadata_") for column in config.columns],
        "items": [list(item) for item in zip(names, about, pictures, strict=True)],
        "given": labels,
    }


def _text(value: object) -> str:
    if isinstance(value, np.ndarray | list):
        return ", ".join(map(str, value))
    return "" if value is None or value != value else str(value)


def _picture(image: np.ndarray, low: np.ndarray, high: np.ndarray, size: int) -> tuple[int, int, bytes]:
    """A sample (C, H, W) as one grey PNG, its channels below one another: width and height of a channel, and the file.

    The page colours and adds the channels: so it can show each alone, and any number of them takes no more space.
    """
    from PIL import Image

    scale = min(1, size / max(image.shape[1:]))  # never larger: the browser does that
    width, height = (max(1, round(side * scale)) for side in image.shape[:0:-1])
    scaled = (image.astype(np.float32) - low[:, None, None]) / (high - low)[:, None, None].astype(np.float32)
    scaled = scaled.clip(0, 1).astype(np.float32)
    planes = [np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BOX)) for plane in scaled]
    grey = np.round(np.round(np.concatenate(planes) * LEVELS) * (255 / LEVELS)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "PNG", compress_level=9)
    return width, height, file.getvalue()


def _coloured(channels: list[str], chosen: dict) -> list[list[str]]:
    """Channels with their colours: white if there is only one."""
    for name in chosen:
        if name not in channels:
            raise UserError(f"annotate: colours: there is no channel '{name}'. {plugins.suggest(name, channels)}")
    found = {name: light for name, (_, light) in colours.of_channels(channels).items()}
    return [[name, chosen.get(name, found[name])] for name in channels]


def _environment():
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # Escaping is never left to a file's suffix: names of samples and plates come from anywhere.
    return Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
