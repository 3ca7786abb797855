"""Collecting scores, and what of the evaluated rows an encoder's training labels had shown."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import alternatives, contracts

# Labels of these columns name a compound or what it does: an encoder that saw them has seen the answer.
_IDENTIFYING = (
    *("Metadata_Compound", "Metadata_Treatment", "Metadata_Perturbation", "Metadata_MoA"),
    *("Metadata_Control", "Metadata_Dose", "Metadata_Concentration"),
)
# What stands in place of dataset/samples where features were computed elsewhere (see `imported`).
_ELSEWHERE = "elsewhere"
# What is said of training samples that were cut again, with other pixels, after the training.
CHANGED = "changed since"
# What labels may have shown, from nothing to the very wells; of several encoders the one that has seen most decides.
# ``control``: they told control wells from treated ones, which is what a score relative to controls asks.
LEAKS = ("none", "unknown", "compound", "well", "control")


def collect(paths: Iterable[str | Path], out: str | Path, details: Iterable[str | Path] = ()) -> None:
    """Join score files into one table, sorted by all its text columns: the same scores give the same bytes.

    Parameters
    ----------
    details
        What each evaluation has left beside its scores: it says whether they are those that were written.

    Raises
    ------
    UserError
        If a file is no table of scores, or not the one that was written.
    """
    paths, details = list(paths), list(details)
    for path, beside in zip(paths, details, strict=True) if details else ():
        contracts.check_scores(path, beside)
    tables = [contracts.read_scores(path) for path in paths]
    tables = [table for table in tables if len(table)]
    if tables:
        joined = pd.concat(tables, ignore_index=True).sort_values(list(contracts.SCORE_COLUMNS), kind="stable")
    else:
        joined = pd.DataFrame(columns=list(contracts.SCORE_COLUMNS))
    contracts.write_scores(joined, out)


def trained_on(about: dict | list | None) -> list[dict]:
    """All training sources named anywhere in the facts about an encoder or about several side by side.

    Returns
    -------
    list of dict
        Each with ``samples`` (dataset/samples), ``labels`` (a column or None), ``where``, ``shown``: {column: values that
        labels showed}, ``wells`` (as ``plate/well``) and ``compounds`` of the rows that had labels; with ``held_out``
        (``column`` and ``values``) where it was made without some of its rows.
    """
    found = []
    if isinstance(about, dict):
        for key, value in about.items():
            found += _sources(value) if key == "trained_on" else trained_on(value)
    elif isinstance(about, list):
        for value in about:
            found += trained_on(value)
    unique = {json.dumps(source, sort_keys=True): source for source in found}
    return [unique[key] for key in sorted(unique)]


def trained_on_text(about: dict) -> str:
    """Training sources for a score's column: ``bbbc021/fields (Metadata_Compound); rxrx1/fields``; empty if untrained.

    Samples that were made anew after the training are said to be `CHANGED`.
    """
    return "; ".join(sorted({_text(source) for source in trained_on(about)}))


def _text(source: dict) -> str:
    labels = f" ({source['labels']})" if source.get("labels") else ""
    return source["samples"] + labels + (f", {CHANGED}" if source.get("changed") else "")


def leak(
    sources: list[dict], table: pd.DataFrame, dataset: str, target: str | None = None, with_controls: bool = False
) -> str:
    """What of the evaluated rows the training labels showed, one of `LEAKS`.

    Labels count that name a compound, treatment, dose, mechanism or control, or that the evaluation itself predicts.
    ``well``: those of these very wells were shown; a source that does not list its wells and has no condition ``where``
    showed all of its dataset. ``control``: they told controls among these wells from treated ones. ``compound``: only those
    of other wells, with a compound, treatment or mechanism that the table has. ``unknown``: the features were computed
    elsewhere. Rows that a source held out were not shown by it.

    Parameters
    ----------
    sources
        As from `trained_on`.
    table
        The evaluated rows.
    dataset
        Their dataset's name.
    target
        The column that the evaluation predicts, if it does.
    with_controls
        Whether the evaluation compares wells with negative controls.
    """
    return most(_shown(source, table, dataset, target, with_controls) for source in sources)


def most(leaks: Iterable[str]) -> str:
    """The one of several leaks that has shown most; none of no leaks."""
    return max(leaks, key=LEAKS.index, default="none")


def _shown(source: dict, table: pd.DataFrame, dataset: str, target: str | None, with_controls: bool = False) -> str:
    """What one source's labels showed of the rows."""
    if source["samples"] == _ELSEWHERE:
        return "unknown"
    if not source.get("labels") or source["labels"] not in (*_IDENTIFYING, target):
        return "none"
    held = source.get("held_out")
    if held and held["column"] in table:
        table = table[~alternatives.held_out(held, table)]
    if _same_wells(source, table, dataset):
        return "control" if with_controls and _both_kinds(source, table, dataset) else "well"
    shown = {"Metadata_Compound": source.get("compounds")} | (source.get("shown") or {})
    found = (column in table and set(map(str, values or ())) & _values(table[column]) for column, values in shown.items())
    return "compound" if any(found) else "none"


def _both_kinds(source: dict, table: pd.DataFrame, dataset: str) -> bool:
    """Whether a source's labels were of some of the table's controls and of some of its other wells."""
    if "Metadata_Control" not in table:
        return False
    negative = (table["Metadata_Control"] == "negative").to_numpy(dtype=bool)
    return all(_same_wells(source, table[kind], dataset) for kind in (negative, ~negative))


def _sources(value) -> list[dict]:
    return list(json.loads(value) if isinstance(value, str) else value or [])


def _same_wells(source: dict, table: pd.DataFrame, dataset: str) -> bool:
    if source["samples"].partition("/")[0] != dataset:
        return False
    if source.get("wells") is None:
        return not source.get("where") and len(table) > 0
    shown = set(source["wells"])
    if not {"Metadata_Plate", "Metadata_Well"} <= set(table.columns):
        return bool(shown) and len(table) > 0
    pairs = zip(table["Metadata_Plate"], table["Metadata_Well"], strict=True)
    # Aggregated rows list plates and wells apart: any combination counts, so a leak is rather stated once too often.
    return any(f"{plate}/{well}" in shown for plates, wells in pairs for plate in _items(plates) for well in _items(wells))


def _values(column: pd.Series) -> set[str]:
    return {str(item) for value in column for item in _items(value)} - {""}


def _items(value) -> list:
    return list(value) if isinstance(value, list | np.ndarray) else [value]
