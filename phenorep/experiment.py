"""What the wells of a user's plates hold, as the configuration tells it: plate map, controls, batches."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from phenorep import amounts, headers, loaddata, lookalikes, merged_treatments, notes, platemap, spellings
from phenorep.errors import UserError
from phenorep.order import natural

_CONTROLS = ("negative", "positive", "")


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Keys of every dataset whose experiment the user describes, with images or without."""

    # a table of the wells' contents, if it is apart: joined by well, and by plate if it has Metadata_Plate
    plate_map: str = ""
    rename: dict | None = None  # {their column: ours} for columns that have other names, e.g. {compound: Metadata_Compound}
    negative_control: dict | None = None  # {column: value} (or a list of values) of the negative-control wells
    positive_control: dict | None = None  # the same for positive controls
    batch_from: dict | None = None  # {column: ..., pattern: regular expression}: its first group is Metadata_Batch
    # Names that differ only in case, blanks, invisible signs, forms of letters. exact: refused, since a compound would count
    # as two. folded: joined to the most frequent spelling, and listed. distinct: kept apart where the difference is visible.
    names: Literal["exact", "folded", "distinct"] = "exact"

    def __post_init__(self):
        # A rule names a column as the file has it or as it is read.
        for key in ("negative_control", "positive_control"):
            rule = {headers.meant(column, self.rename): value for column, value in (getattr(self, key) or {}).items()}
            object.__setattr__(self, key, rule or getattr(self, key))
        if self.batch_from is not None and (set(self.batch_from) - {"column", "pattern"} or "column" not in self.batch_from):
            raise ValueError(f"batch_from must have the keys 'column' and, if need be, 'pattern', not {self.batch_from}")
        if self.batch_from is not None:
            try:
                re.compile(str(self.batch_from.get("pattern", "")))
            except re.error as error:
                raise ValueError(f"batch_from: pattern must be a regular expression ({error})") from error
            column = headers.meant(self.batch_from["column"], self.rename)
            object.__setattr__(self, "batch_from", {**self.batch_from, "column": column})

    def asked(self) -> set[str]:
        """Columns that the rules for controls and batches name."""
        rules = (self.negative_control, self.positive_control)
        batch = {self.batch_from["column"]} if self.batch_from else set()
        return {column for rule in rules for column in rule or {}} | batch


@dataclass(frozen=True, kw_only=True)
class Imaged(Experiment):
    """The same, of plates whose images the user has."""

    # largest grey value of the camera, e.g. 4095 for 12 bits in 16; None: of the file's type
    intensity_max: int | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.intensity_max is not None and not 1 <= self.intensity_max <= 65535:
            raise ValueError("intensity_max must lie between 1 and 65535")


def read(config: Experiment, key: str, only: str | Collection[str] | None = None) -> pd.DataFrame:
    """One of the user's tables, with each name in one spelling and plain numbers, all as text.

    Parameters
    ----------
    key
        The key that names the table: ``table`` or ``plate_map``.
    only
        The column to read, or several; None: all.

    Returns
    -------
    DataFrame
        Its index holds the numbers of the rows in the file.

    Raises
    ------
    UserError
        If the table cannot be read as one, or its names and numbers not in one way; the message says where.
    """
    path = getattr(config, key)
    table = loaddata.read(path, key, config.rename, only)
    return amounts.checked(spellings.cleaned(table, path, config.names, config.asked()), path)


def describe(config: Experiment, fields: pd.DataFrame, source: str, plates: Sequence[str]) -> pd.DataFrame:
    """Add what the wells hold to a table of fields.

    Parameters
    ----------
    config
        The dataset's configuration.
    fields
        A row per field, text columns as of `read`, with `Metadata_Plate` and `Metadata_Well`; of all plates, or of some.
    source
        Where the fields come from, for messages.
    plates
        Names of all plates, whichever of them `fields` holds.

    Returns
    -------
    DataFrame
        `fields` with the plate map's columns, `Metadata_Batch` and `Metadata_Control`, numbers where columns hold numbers,
        and `Problem` (""). Then a row for each well that the plate map names and `fields` does not have, whose `Problem`
        says so: also for wells of plates that `fields` does not hold.

    Raises
    ------
    UserError
        If plate map, keys and fields do not fit together.
    """
    for text in lookalikes.of_other_unit(config.rename):
        notes.warn(text)
    places = dict.fromkeys(fields, source)
    table = fields.assign(Problem="")
    mapped: set[str] = set()
    if config.plate_map:
        wells = _wells(config, plates)
        mapped = set(wells) - {"Metadata_Plate", "Metadata_Well"}
        places |= dict.fromkeys(mapped, config.plate_map)
        table = platemap.join(table, wells, source, config.plate_map, plates)
    table = _with_batch(config, table, places)
    if config.batch_from:
        places["Metadata_Batch"] = places[config.batch_from["column"]]
    table = _with_controls(config, table, places, plates)
    table = _with_numbers(table, places, mapped)
    merged_treatments.tell(table[table["Problem"] == ""], source)
    return table


def of_plate(fields: pd.DataFrame, plate: str) -> pd.DataFrame:
    """The rows of one plate, sorted by well and site."""
    fields = fields.loc[fields["Metadata_Plate"] == plate]
    # A field's number is its row: in any order of the table the same fields get the same numbers.
    places = [
        (natural(well), natural(site)) for well, site in zip(fields["Metadata_Well"], fields["Metadata_Site"], strict=True)
    ]
    rows = sorted(range(len(fields)), key=places.__getitem__)
    return fields.iloc[rows].reset_index(drop=True)


def _wells(config: Experiment, plates: Sequence[str]) -> pd.DataFrame:
    """The plate map: wells in one form, plates as the fields spell them where names are folded."""
    wells = read(config, "plate_map")
    loaddata.need(config.plate_map, wells, ("Metadata_Well",))
    loaddata.normalise_wells(wells, config.plate_map)
    if "Metadata_Plate" in wells and config.names == "folded":
        spelt = {spellings.folded(name): name for name in plates}
        wells["Metadata_Plate"] = wells["Metadata_Plate"].map(lambda name: spelt.get(spellings.folded(name), name))
    return wells


def _with_numbers(table: pd.DataFrame, places: Mapping[str, str], mapped: Collection[str]) -> pd.DataFrame:
    """A table of text columns with numbers where columns hold numbers."""
    imaged = table["Problem"] == ""
    for column in (amounts.CONCENTRATION, amounts.DOSE):
        if column in table:
            # A well without images has what the plate map says of it, and of other columns nothing.
            decided = imaged | (column in mapped)
            table[column] = amounts.numbers(table[column], decided)
    for column in [name for name in table if name.startswith("Label_")]:
        parsed = pd.to_numeric(table[column].replace("", None), errors="coerce")
        if parsed.notna().equals(table[column] != ""):  # a target of classes stays text
            if parsed.isin([float("inf"), -float("inf")]).any():
                raise UserError(f"{places[column]}: {column} holds an infinity. Leave the cell empty, or write a number.")
            table[column] = parsed
    return table


def _with_batch(config: Experiment, table: pd.DataFrame, places: Mapping[str, str]) -> pd.DataFrame:
    if config.batch_from is None:
        return table
    if "Metadata_Batch" in table:
        where = places["Metadata_Batch"]
        raise UserError(f"datasets: batch_from: {where} has a column Metadata_Batch already; give one of the two.")
    column = config.batch_from["column"]
    loaddata.need(" and ".join(dict.fromkeys(places.values())), table, (column,))
    imaged = table["Problem"] == ""  # wells without images have nothing but their plate and the plate map's columns
    table["Metadata_Batch"] = ""
    pattern = str(config.batch_from.get("pattern", ".*"))
    table.loc[imaged, "Metadata_Batch"] = platemap.batches(table.loc[imaged, column], pattern, places[column])
    return table


def _with_controls(
    config: Experiment, table: pd.DataFrame, places: Mapping[str, str], plates: Sequence[str]
) -> pd.DataFrame:
    rules = {"negative": config.negative_control, "positive": config.positive_control}
    given = "Metadata_Control" in table
    if any(rules.values()):
        if given:
            where = places["Metadata_Control"]
            raise UserError(f"datasets: {where} has a column Metadata_Control already; take out the keys *_control.")
        # One plate of a folder may lack a well that the rule lists; the others have it.
        whole = set(plates) <= set(table["Metadata_Plate"])
        table["Metadata_Control"] = platemap.controls(table, rules, places, config.names, whole)
    elif given:
        table["Metadata_Control"] = _named_controls(table["Metadata_Control"], places["Metadata_Control"])
    return table


def _named_controls(kinds: pd.Series, where: str) -> pd.Series:
    """The column `Metadata_Control` of a table in small letters, which is what it may hold."""
    spelt = {text: text.lower() for text in set(kinds)}
    odd = sorted(text for text, kind in spelt.items() if kind not in _CONTROLS)
    if odd:
        raise UserError(
            f"{where}: Metadata_Control: '{odd[0]}' is neither negative, positive nor empty. Change it there, or rename the "
            "column by 'datasets: rename:' and give 'negative_control: {column: value}'."
        )
    if changed := sorted(text for text, kind in spelt.items() if text != kind):
        notes.say(f"{where}: Metadata_Control: {', '.join(map(repr, changed))} is read in small letters.")
    return kinds.map(spelt)
