"""What a run looked at, for the first screen of its page: two samples of each control and each treatment or mechanism."""

import base64
from pathlib import Path

import numpy as np

from phenorep.report import colours, images, interactive_crops, tables
from phenorep.store import Samples

TILES = 2  # samples of a group
SIDE = 64  # pixels of a sample's longer side
SETS_SHOWN = 2  # data sets


def shown(plan: dict) -> list[dict]:
    """The first sample set of each of the first data sets that studies look at: others are mostly parts of it.

    Returns
    -------
    list of dict
        ``dataset, samples, channels`` (their colours, in words), ``size`` (height x width, pixels), ``plates`` (number),
        and ``groups``: dicts of ``name`` and ``source`` (a picture of its samples, as a data address). Sets without a sample
        are left out.
    """
    first: dict[str, str] = {}
    for study in plan["studies"].values():
        if study.get("samples"):  # a data set of features has none
            first.setdefault(study["dataset"], study["samples"])
    sets = (_set(plan, *pair) for pair in list(first.items())[:SETS_SHOWN])
    return [made for made in sets if made]


def _set(plan: dict, dataset: str, samples: str) -> dict | None:
    entries = [e for e in plan["files"].get("samples", []) if (e["dataset"], e["samples"]) == (dataset, samples)]
    usable = [entry for entry in entries if tables.not_run(entry["path"]) is None]
    paths = [entry["path"] for entry in images.evenly(usable, images.PLATES_SHOWN)]
    paths = [path for path in paths if len(tables.read(path, "samples", ["Sample"]))]
    if not paths:
        return None
    store = Samples.open(paths, [str(Path(path).with_suffix(".json")) for path in paths])
    generator = np.random.default_rng(0)
    groups, limits = [], {}
    for name, rows in images.sample_groups(store.table).items():
        chosen = np.sort(generator.choice(rows, min(TILES, len(rows)), replace=False))
        tiles = []
        for row in chosen:
            plate = int(store.plate_index[row])
            if plate not in limits:
                limits[plate] = colours.bounds(store, plate)
            scaled = colours.scaled(store.read([row])[0], *limits[plate])
            tiles.append(interactive_crops.picture(scaled, list(store.channels), SIDE))
        source = base64.b64encode(interactive_crops.jpeg(np.concatenate(tiles, axis=1))).decode()
        groups.append({"name": name, "source": f"data:image/jpeg;base64,{source}"})
    size = " × ".join(map(str, store.size[1:]))
    about = {"channels": colours.words(list(store.channels)), "size": size, "plates": len(entries)}
    return {"dataset": dataset, "samples": samples, **about, "groups": groups}
