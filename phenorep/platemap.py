"""What the wells of a plate hold: plate maps, controls and batches, on tables of text columns."""

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from phenorep import amounts, plugins, spellings
from phenorep.errors import UserError

CARRIED = ("Metadata_", "Label_", "Split_")  # columns of a plate map that are joined
SHOWN = 8  # wells or values that a message lists


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
        If a well stands in the map twice, an imaged well is not in it, or a column stands in both tables.
    """
    keys = [key for key in ("Metadata_Plate", "Metadata_Well") if key in wells]
    # A column that was left empty, as in a new template, tells nothing: as if it were not there.
    wells = wells[[n for n in wells if n in keys or (n.startswith(CARRIED) and (wells[n] != "").any())]]
    where = f"{map_path} ('datasets: plate_map:')"
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
        raise UserError(f"{where}: {_listed(twice)} stand there twice. Keep one row of each.")
    imaged = fields[["Metadata_Plate", "Metadata_Well"]].drop_duplicates()
    if "Metadata_Plate" in keys:
        unknown = sorted(set(wells["Metadata_Plate"]) - set(plates))
        if unknown:
            hint = plugins.suggest(unknown[0], plates)
            raise UserError(f"{where}: {fields_path} has no plate '{unknown[0]}'. {hint} Mend it or take its rows out.")
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


def controls(table: pd.DataFrame, rules: dict[str, dict | None], places: Mapping[str, str], policy: str) -> pd.Series:
    """Kind of control of each row.

    Parameters
    ----------
    table
        A row per field, text columns.
    rules
        {kind: {column: value or list of values}}: a row is of the kind if all its columns match. Numbers match as numbers.
    places
        {column: the file that it is of}, for messages.
    policy
        As of `spellings.cleaned`: under ``folded`` a rule names all spellings of a name.

    Returns
    -------
    Series
        The kind, or "".

    Raises
    ------
    UserError
        If a rule names no column or matches no row, or a row is of two kinds.
    """
    kinds = pd.Series("", index=table.index, dtype=str)
    for kind, rule in rules.items():
        matches = pd.Series(True, index=table.index)
        for column, wanted in (rule or {}).items():
            if column not in table:
                hint = plugins.suggest(column, table.columns)
                where = " and ".join(dict.fromkeys(places.values()))
                raise UserError(f"datasets: {kind}_control: there is no column '{column}' in {where}. {hint}")
            values = wanted if isinstance(wanted, list | tuple) else [wanted]
            is_wanted = {text: any(_equal(text, value, policy) for value in values) for text in set(table[column])}
            matches &= table[column].map(is_wanted).astype(bool)
        if not rule:
            continue
        if not matches.any():
            column, wanted = next(iter(rule.items()))
            texts = list(dict.fromkeys(table[column]))
            hint = spellings.hint(str(wanted), texts) or plugins.suggest(wanted, texts[:SHOWN])
            raise UserError(f"datasets: {kind}_control: no row of {places[column]} has {rule}. In {column}: {hint}")
        if (matches & (kinds != "")).any():
            where = places[next(iter(rule))]
            raise UserError(f"datasets: {kind}_control: {rule} matches wells that are another control already, in {where}.")
        kinds[matches] = kind
    return kinds


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
    names = [" ".join(row) for row in rows.itertuples(index=False)]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"
