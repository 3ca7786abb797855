"""What the wells of a plate hold: plate maps, controls and batches, on tables of text columns."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from phenorep import amounts, lookalikes, plugins, spellings
from phenorep.errors import UserError
from phenorep.fields import well_name
from phenorep.wording import SHOWN, listed

PLATE, WELL = "Metadata_Plate", "Metadata_Well"
CARRIED = ("Metadata_", "Label_", "Split_")  # columns of a plate map that are joined


def join(fields: pd.DataFrame, wells: pd.DataFrame, fields_path: str, map_path: str, plates: Sequence[str]) -> pd.DataFrame:
    """Join a plate map to a table of fields, by well, and by plate where the map has `Metadata_Plate`.

    Parameters
    ----------
    fields
        A row per field, with `Metadata_Plate` and `Metadata_Well`.
    wells
        A row per well (and plate), with `Metadata_Well` and what the wells hold.
    fields_path, map_path
        The files, for messages.
    plates
        Names of all plates; `fields` may hold some of them only.

    Returns
    -------
    DataFrame
        `fields` with the map's columns; then a row for each well that the map names and `fields` does not have, whose
        `Problem` says so ("" elsewhere).

    Raises
    ------
    UserError
        If a well stands in the map twice, an imaged well is not in it, a column stands in both tables, or a column of
        another name than `Metadata_Plate` names plates.
    """
    keys = [key for key in (PLATE, WELL) if key in wells]
    where = f"{map_path} ('datasets: plate_map:')"
    _check_plates(wells, plates, where)
    every = list(wells)
    # A column that was left empty, as in a new template, tells nothing: as if it were not there.
    wells = wells[[n for n in wells if n in keys or (n.startswith(CARRIED) and (wells[n] != "").any())]]
    if len(wells.columns) == len(keys):
        raise UserError(
            f"{where}: there is no column Metadata_* beside the well, or nothing in it. Fill one in, or name it by "
            "'datasets: rename:'."
        )
    both = sorted((set(wells) & set(fields)) - set(keys))
    if both:
        raise UserError(f"{where}: {', '.join(both)} stand in {fields_path} too. Take them out of one of the two.")
    twice = wells.loc[wells.duplicated(keys), keys]
    if len(twice):
        barcodes = [name for name in every if PLATE not in keys and lookalikes.of(name) == PLATE]
        other = [f", or take {n!r} for the plate by 'datasets: rename: {lookalikes.pair(n, PLATE)}'" for n in barcodes[:1]]
        raise UserError(f"{where}: {_listed(twice)} stand there twice. Keep one row of each{''.join(other)}.")
    imaged = fields[["Metadata_Plate", "Metadata_Well"]].drop_duplicates()
    if "Metadata_Plate" in keys:
        unknown = sorted(set(wells["Metadata_Plate"]) - set(plates))
        if unknown:
            hint = spellings.hint(unknown[0], plates) or plugins.suggest(unknown[0], plates)
            raise UserError(
                f"{where}: {fields_path} has no plate '{unknown[0]}'. {hint} Write it as there, or take its rows out."
            )
        named = wells
    else:
        named = pd.DataFrame({"Metadata_Plate": list(plates)}).merge(wells, how="cross")
    joined = fields.merge(wells, on=keys, how="left", validate="many_to_one", indicator="_found")
    bare = joined.loc[joined["_found"] == "left_only", ["Metadata_Plate", "Metadata_Well"]].drop_duplicates()
    if len(bare):
        raise UserError(
            f"{where}: {_listed(bare)} have images in {fields_path} and no row in the plate map. Add their rows."
        )
    missing = named.merge(imaged, how="left", on=["Metadata_Plate", "Metadata_Well"], indicator="_found")
    missing = missing.loc[missing["_found"] == "left_only"]
    problems = [
        f"plate {plate}, well {well}: {map_path} names this well, {fields_path} has no image of it; mend one of them."
        for plate, well in zip(missing["Metadata_Plate"], missing["Metadata_Well"], strict=True)
    ]
    table = pd.concat([joined.assign(Problem=""), missing.assign(Problem=problems)], ignore_index=True)
    return table.drop(columns="_found").fillna("")


def _check_plates(wells: pd.DataFrame, plates: Sequence[str], where: str) -> None:
    """Raise `UserError` if a map that is joined by well alone names plates under another name than `Metadata_Plate`.

    All plates would get the wells of one of them.
    """
    if PLATE in wells:
        return
    ours = {spellings.folded(name) for name in plates}
    for name in (name for name in wells if lookalikes.of(name) == PLATE):
        named = {spellings.folded(text) for text in wells[name] if text}
        if named & ours and not named == ours == set(list(ours)[:1]):  # one plate: its wells are those of its map
            raise UserError(
                f"{where}: its column '{name}' names plates, and without a column {PLATE} the map would hold for every "
                f"plate. 'datasets: rename: {lookalikes.pair(name, PLATE)}' takes it for the plate."
            )


def controls(
    table: pd.DataFrame, rules: dict[str, dict | None], places: Mapping[str, str], policy: str, whole: bool = True
) -> pd.Series:
    """Kind of control of each row.

    Parameters
    ----------
    table
        A row per field, text columns.
    rules
        {kind: {column: value or list of values}}: a row is of the kind if all its columns match. Numbers match as numbers,
        wells in any of their forms.
    places
        {column: the file that it is of}, for messages.
    policy
        As of `spellings.cleaned`: under ``folded`` a rule names all spellings of a name.
    whole
        Whether the table holds all plates: then each value of a list must match a row.

    Returns
    -------
    Series
        The kind, or "".

    Raises
    ------
    UserError
        If a rule names no column or matches no row, a value of a list matches no row, or a row is of two kinds.
    """
    kinds = pd.Series("", index=table.index, dtype=str)
    for kind, rule in rules.items():
        if not rule:
            continue
        where = f"datasets: {kind}_control"
        by_value = {column: _by_value(table, column, wanted, places, policy, where) for column, wanted in rule.items()}
        by_column = {column: np.logical_or.reduce(list(rows.values())) for column, rows in by_value.items()}
        matches = np.logical_and.reduce(list(by_column.values()))
        if not matches.any():
            raise UserError(_unmatched(table, rule, by_column, places, where))
        if whole:
            _check_values(table, by_value, matches, places, where)
        if (matches & (kinds != "")).any():
            place = places[next(iter(rule))]
            raise UserError(f"{where}: {rule} matches wells that are another control already, in {place}.")
        kinds[matches] = kind
    return kinds


def _by_value(table: pd.DataFrame, column: str, wanted, places: Mapping[str, str], policy: str, where: str) -> dict:
    """Which rows (N,) match each value that a rule gives for a column."""
    if column not in table:
        like = lookalikes.of(column)
        hint = f"Did you mean '{like}'?" if like in places else plugins.suggest(column, places)
        files = " and ".join(dict.fromkeys(places.values()))
        raise UserError(f"{where}: there is no column '{column}' in {files}. {hint}")
    values = list(wanted) if isinstance(wanted, list | tuple) else [wanted]
    if column == WELL:
        values = [well_name(str(value), f"{where}: {WELL}") for value in values]
    texts = set(table[column])
    return {
        value: table[column].map({text: _equal(text, value, policy) for text in texts}).to_numpy(bool) for value in values
    }


def _unmatched(table: pd.DataFrame, rule: dict, by_column: dict, places: Mapping[str, str], where: str) -> str:
    """What is said of a rule that matches no row: which of its conditions is at fault."""
    empty = [column for column, rows in by_column.items() if not rows.any()]
    if empty or len(rule) == 1:
        column = empty[0]
        return f"{where}: no row of {places[column]} has {rule}. In {column}: {_near(table[column], rule[column])}"
    # Each condition has its rows: which of them has none together with those before it?
    rows, before = np.ones(len(table), bool), []
    for column, fits in by_column.items():
        if not (rows & fits).any():
            break
        rows &= fits
        before.append(f"{column}: {rule[column]}")
    there = list(dict.fromkeys(table[column][rows]))
    return (
        f"{where}: no row of {places[column]} has {rule}. Rows with {{{', '.join(before)}}} have in {column} "
        f"{listed(map(repr, there))}, not {rule[column]!r}. Write what they have, or leave {column} out."
    )


def _check_values(table: pd.DataFrame, by_value: dict, matches: np.ndarray, places: Mapping[str, str], where: str) -> None:
    """Raise `UserError` if a value of a rule's list matches no row of those that the whole rule matches."""
    for column, rows in by_value.items():
        for value, fits in rows.items():
            if (fits & matches).any():
                continue
            why = "matches no row that fits the rest of the rule" if fits.any() else f"is not in {places[column]}"
            hint = "" if fits.any() else f" {_near(table[column], value)}"
            raise UserError(f"{where}: {column}: {value!r} of the list {why}.{hint} Correct it, or take it out.")


def _near(column: pd.Series, wanted) -> str:
    texts = list(dict.fromkeys(column))
    return spellings.hint(str(wanted), texts) or plugins.suggest(wanted, texts[:SHOWN])


def batches(values: pd.Series, pattern: str, where: str) -> pd.Series:
    """Batch of each row: the first group of `pattern` in its value, or all that matches where it has no group."""
    found = {text: re.search(pattern, text) for text in set(values)}
    unmatched = sorted(text for text, match in found.items() if not match)
    if unmatched:
        shown = ", ".join(unmatched[:SHOWN])
        raise UserError(f"datasets: batch_from: pattern: {pattern!r} is not found in {shown} ({where}, {values.name}).")
    return values.map({text: (match[1] if match.re.groups else match[0]) or "" for text, match in found.items()})


def _equal(text: str, value, policy: str) -> bool:
    """Whether a cell is what a rule names: numbers by value, other text as it is seen."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        given = amounts.number(text)
        return given is not None and amounts.meant(given) == amounts.meant(value)
    return spellings.matches(text, str(value), policy)


def _listed(rows: pd.DataFrame) -> str:
    """Wells as a list for a message: ``B02, B03`` or ``P1 B02, P1 B03``."""
    return listed(" ".join(row) for row in rows.itertuples(index=False))
