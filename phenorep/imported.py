"""Features computed elsewhere become embeddings: one block, one row group for each plate."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import contracts, notes, records
from phenorep.errors import NotRun, UserError
from phenorep.order import natural
from phenorep.undefined import Summary, filled

BLOCK = "imported"
# Names of columns that say where a row comes from, not how its cells look.
_NO_MEASUREMENT = re.compile(
    r"(image_?|object_?|parent_?)?number|(image_?)?(plate|well|site|field|row|column|batch|replicate|index|id|concentration|dose)(_?id)?",
    re.IGNORECASE,
)


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
        Their own names stand in the facts, as ``names`` of the block, beside those that were ``left_out`` since they are the
        same in all rows or undefined (empty, NaN, infinite) for more than 1 % of them or for a whole plate. What else is
        undefined takes the median of its plate; ``filled`` says how often, feature by feature. If no feature is left, a "not
        run" record.

    Raises
    ------
    UserError
        If the table has no numeric column, or table and keys do not fit together.
    """
    with records.kept_in([output]), notes.kept() as said:
        table, rows = _sited(module.metadata(config))
        names, text = module.feature_names(config)
        source = str(module.sources(config)[0])
        if not names:
            raise UserError(
                f"{source}: there is no feature: no numeric column beside Metadata_*, Label_*, Split_* and those that "
                f"'datasets: rename:' names. It has {', '.join(text) or 'no other column'}."
            )
        summary = Summary(len(names))
        for _, values in _by_plate(table, module.values(config, names)):
            summary.add(_defined(values).astype(np.float64))
        usable = summary.usable()
        kept = [name for name, use in zip(names, usable, strict=True) if use]
        left_out = [name for name, use in zip(names, usable, strict=True) if not use]
        gaps = dict(zip(names, summary.undefined().tolist(), strict=True))
        _tell(table, rows, kept, left_out, text)
        if not kept:
            raise NotRun(f"none of the {len(names)} features of {source} varies among its rows and is defined in them")
        facts = {
            "features": len(kept),
            "channels": [],
            "names": kept,
            "left_out": left_out,
            "filled": {name: gaps[name] for name in kept if gaps[name]},
            "rows": rows,
        }
        about = {"encoder": _origin(module.about(config), source), "blocks": {BLOCK: facts}, "notes": said}
        with contracts.table_writer(output, "embeddings", about) as write:
            for numbers, values in _by_plate(table, module.values(config, names)):
                features = filled(_defined(values[:, usable]))
                block = pd.DataFrame(features, columns=contracts.feature_names(BLOCK, len(kept)))
                write(pd.concat([_named(table.iloc[numbers].reset_index(drop=True), rows), block], axis=1))


def _origin(about: dict, source: str) -> dict:
    """What is known of how the features came about: on what their encoder was trained, if there was one, is not."""
    elsewhere = [{"samples": "elsewhere", "labels": None}]
    recipe = about["citation"] or BLOCK
    return {"recipe": recipe, "table": source, "channels": [], "trained_on": elsewhere, "versions": {}}


def _sited(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The table with `Metadata_Site`, empty where rows are of whole wells, and what its rows are: wells, fields or cells."""
    rows = "fields" if "Metadata_Site" in table else "wells"
    table = table if "Metadata_Site" in table else table.assign(Metadata_Site="")
    return table, "cells" if table.duplicated(list(contracts.FIELD)).any() else rows


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


def _defined(values: np.ndarray) -> np.ndarray:
    """The values with NaN for infinity."""
    return np.where(np.isinf(values), np.nan, values)


def _tell(table: pd.DataFrame, rows: str, kept: list[str], left_out: list[str], text: list[str]) -> None:
    print(f"{len(table)} rows, which are {rows}, on {table['Metadata_Plate'].nunique()} plates; {len(kept)} features")
    if left_out:
        print(f"{len(left_out)} features are constant or often undefined and left out: {', '.join(left_out)}")
    if text:
        print(f"{len(text)} columns hold text and are no features: {', '.join(text)}")
    if doubtful := [name for name in kept if _NO_MEASUREMENT.fullmatch(name)]:
        print(
            f"Taken as features, since they are numeric: {', '.join(doubtful)}. If they are none, name them in 'datasets: "
            f"rename:', like {{{doubtful[0]}: Metadata_{doubtful[0]}}}."
        )
