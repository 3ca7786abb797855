"""Features computed elsewhere become embeddings: one block, one row group for each plate."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import contracts, feature_tables, notes, records
from phenorep.errors import NotRun
from phenorep.order import natural
from phenorep.undefined import Summary, filled
from phenorep.wording import listed

BLOCK = "imported"
# Squares of larger numbers overflow where they are summed, and float32, as which many tools save features, has none.
_LARGEST = float(np.finfo(np.float32).max)


def make(module, config, output: str | Path) -> None:
    """Write a dataset's features as embeddings.

    Parameters
    ----------
    module
        A plug-in of `phenorep.datasets` that declares ``FEATURES``.
    config
        The plug-in's `Config`.
    output
        One row per row of the table, plate by plate, in an order that does not depend on that of the table (see `_sorted`);
        features are ``imported_0000...``, with the values that the table has.
        The facts of the block have their own ``names``, those that were ``left_out`` since they are the same in all rows or
        undefined (empty, NaN, infinite or beyond float32) for more than 1 % of them or for a whole plate, and the columns
        that are ``bookkeeping``. What else is undefined takes the median of its plate; ``filled`` says how often, feature by
        feature. If no feature is left, a "not run" record.

    Raises
    ------
    UserError
        If the table has no feature, or table and keys do not fit together.
    """
    with records.kept_in({output: "table"}), notes.kept() as said:
        table = module.metadata(config)
        chosen, set_aside = module.columns(config)
        names, source = chosen.names(), str(module.sources(config)[0])
        feature_tables.tell(source, table, chosen, set_aside)
        feature_tables.log(source, table, chosen)
        table, rows = _sited(table), feature_tables.rows(table)
        summary = Summary(len(names))
        for _, values in _by_plate(table, module.values(config, chosen)):
            summary.add(_defined(values, source).astype(np.float64))
        usable = summary.usable()
        kept = [name for name, use in zip(names, usable, strict=True) if use]
        left_out = [name for name, use in zip(names, usable, strict=True) if not use]
        gaps = dict(zip(names, summary.undefined().tolist(), strict=True))
        if left_out:
            names_shown = listed(left_out, feature_tables.SHOWN)
            print(f"{len(left_out)} features are constant or often undefined and left out: {names_shown}")
        if not kept:
            raise NotRun(f"none of the {len(names)} features of {source} varies among its rows and is defined in them")
        feature_tables.tell_few(source, kept, chosen)
        facts = {
            "features": len(kept),
            "channels": [],
            "names": kept,
            "left_out": left_out,
            "bookkeeping": set_aside,
            "filled": {name: gaps[name] for name in kept if gaps[name]},
            "rows": rows,
        }
        about = {"encoder": _origin(module.about(config), source), "blocks": {BLOCK: facts}, "notes": said}
        with contracts.table_writer(output, "embeddings", about) as write:
            for numbers, values in _by_plate(table, module.values(config, chosen)):
                features = filled(_defined(values[:, usable], source))
                block = pd.DataFrame(features, columns=contracts.feature_names(BLOCK, len(kept)))
                write(pd.concat([_named(table.iloc[numbers].reset_index(drop=True), rows), block], axis=1))


def _origin(about: dict, source: str) -> dict:
    """What is known of how the features came about: on what their encoder was trained, if there was one, is not."""
    elsewhere = [{"samples": "elsewhere", "labels": None}]
    recipe = about["citation"] or BLOCK
    return {"recipe": recipe, "table": source, "channels": [], "trained_on": elsewhere, "versions": {}}


def _sited(table: pd.DataFrame) -> pd.DataFrame:
    """The table with `Metadata_Site`, empty where rows are of whole wells."""
    return table if "Metadata_Site" in table else table.assign(Metadata_Site="")


def _named(table: pd.DataFrame, rows: str) -> pd.DataFrame:
    """A plate's rows with `Sample`: what identifies them, and of cells their number, in the order in which they lie."""
    identity = table["Metadata_Plate"] + "_" + table["Metadata_Well"]
    identity = identity.where(table["Metadata_Site"] == "", identity + "_" + table["Metadata_Site"])
    if rows == "cells":
        identity = identity + "_" + (identity.groupby(identity).cumcount() + 1).astype(str)
    first = [*contracts.FIELD, "Sample"]
    return table.assign(Sample=identity)[[*first, *(name for name in table if name not in first)]]


def _sorted(table: pd.DataFrame, values: np.ndarray) -> np.ndarray:
    """Row numbers (n,) of a plate by well, site, other metadata and, of cells that have the same, by their features.

    Cells have no name but their number: by their place in the table, the same cell would have another name in a table that
    lists the same rows in another order. Features are compared in six digits, so that rounding does not change the order.

    Parameters
    ----------
    table
        (n rows) metadata.
    values
        (n, F) features.
    """
    first = [*contracts.FIELD, *(name for name in table if name not in contracts.FIELD)]
    group = np.zeros(len(table), np.int64)
    for name in first:
        text = table[name].fillna("").astype(str)
        place = {value: number for number, value in enumerate(sorted(set(text), key=natural))}
        group = _refined(group, text.map(place).to_numpy())
    for column in values.T:
        tied = np.flatnonzero(np.bincount(group)[group] > 1)
        if not len(tied):
            break
        largest = np.abs(column[np.isfinite(column)]).max(initial=0)
        rounded = np.round(column[tied] / (largest or 1), 6)
        # Ranks among the tied rows alone: the others keep their places between them.
        inner = np.zeros(len(table), np.int64)
        inner[tied] = np.unique(rounded, return_inverse=True)[1]
        group = _refined(group, inner)
    return np.argsort(group, kind="stable")


def _refined(group: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Numbers (n,) of groups that are divided by a second number, in the order of both."""
    return np.unique(group * (int(inner.max(initial=0)) + 1) + inner, return_inverse=True)[1]


def _by_plate(table: pd.DataFrame, pieces: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Row numbers (n,) and features (n, F) of each plate, plates and rows sorted, as soon as all of it has been read.

    A table whose plates are in order is never in memory as a whole; in another one, plates wait for their turn.
    """
    names = table["Metadata_Plate"]
    place = {name: number for number, name in enumerate(sorted(set(names), key=natural))}
    plates, turn = names.map(place).to_numpy(), 0
    awaited = np.bincount(plates)
    waiting: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    start = 0
    for piece in pieces:
        own = plates[start : start + len(piece)]
        for plate in pd.unique(own):
            rows = np.flatnonzero(own == plate)
            waiting.setdefault(plate, []).append((rows + start, piece[rows]))
            awaited[plate] -= len(rows)
        while turn < len(awaited) and not awaited[turn]:
            numbers, values = map(np.concatenate, zip(*waiting.pop(turn), strict=True))
            order = _sorted(table.iloc[numbers], values)
            yield numbers[order], values[order]
            turn += 1
        start += len(piece)
    if start != len(table):
        raise ValueError(f"{start} rows of features for {len(table)} rows of metadata")


def _defined(values: np.ndarray, source: str) -> np.ndarray:
    """The values with NaN for infinity, and for what float32 has no number for."""
    with np.errstate(invalid="ignore"):
        beyond = np.abs(values) > _LARGEST
    if beyond.any() and np.isfinite(values[beyond]).any():
        notes.say(f"{source}: values beyond {_LARGEST:.1e} are taken as undefined, like infinity.")
    return np.where(beyond, np.nan, values)
