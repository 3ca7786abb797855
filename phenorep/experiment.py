"""What the wells of a user's plates hold, as the configuration tells it: plate map, controls, batches."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from phenorep import headers, loaddata, platemap
from phenorep.errors import UserError
from phenorep.order import natural

_NUMBERS = {"Metadata_Concentration": float, "Metadata_Dose": int}


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Keys of every dataset whose experiment the user describes, with images or without."""

    # a table of the wells' contents, if it is apart: joined by well, and by plate if it has Metadata_Plate
    plate_map: str = ""
    rename: dict | None = None  # {their column: ours} for columns that have other names, e.g. {compound: Metadata_Compound}
    negative_control: dict | None = None  # {column: value} (or a list of values) of the negative-control wells
    positive_control: dict | None = None  # the same for positive controls
    batch_from: dict | None = None  # {column: ..., pattern: regular expression}: its first group is Metadata_Batch

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


@dataclass(frozen=True, kw_only=True)
class Imaged(Experiment):
    """The same, of plates whose images the user has."""

    # largest grey value of the camera, e.g. 4095 for 12 bits in 16; None: of the file's type
    intensity_max: int | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.intensity_max is not None and not 1 <= self.intensity_max <= 65535:
            raise ValueError("intensity_max must lie between 1 and 65535")


def describe(config: Experiment, fields: pd.DataFrame, source: str, plates: Sequence[str]) -> pd.DataFrame:
    """Add what the wells hold to a table of fields.

    Parameters
    ----------
    config
        The dataset's configuration.
    fields
        A row per field, text columns, with `Metadata_Plate` and `Metadata_Well`; of all plates, or of some.
    source
        Where the fields come from, for messages.
    plates
        Names of all plates, whichever of them `fields` holds.

    Returns
    -------
    DataFrame
        `fields` with the plate map's columns, `Metadata_Batch` and `Metadata_Control`, and `Problem` (""). Then a row for
        each well that the plate map names and `fields` does not have, whose `Problem` says so: also for wells of plates
        that `fields` does not hold.

    Raises
    ------
    UserError
        If plate map, keys and fields do not fit together.
    """
    fields = fields.assign(Problem="")
    if config.plate_map:
        wells = loaddata.read(config.plate_map, "plate_map", config.rename)
        loaddata.need(config.plate_map, wells, ("Metadata_Well",))
        loaddata.normalise_wells(wells, config.plate_map)
        fields = platemap.join(fields, wells, source, config.plate_map, plates)
    return _with_controls(config, _with_batch(config, fields, source), source)


def of_plate(fields: pd.DataFrame, plate: str, source: str) -> pd.DataFrame:
    """The rows of one plate, sorted by well and site, with numbers where columns hold numbers."""
    fields = fields.loc[fields["Metadata_Plate"] == plate]
    # A field's number is its row: in any order of the table the same fields get the same numbers.
    places = [
        (natural(well), natural(site)) for well, site in zip(fields["Metadata_Well"], fields["Metadata_Site"], strict=True)
    ]
    rows = sorted(range(len(fields)), key=places.__getitem__)
    return with_numbers(fields.iloc[rows].reset_index(drop=True), source)


def with_numbers(table: pd.DataFrame, source: str) -> pd.DataFrame:
    """A table of text columns with numbers where columns hold numbers, changed in place."""
    for column, kind in _NUMBERS.items():
        if column in table:
            left_out = (table["Problem"] != "") & (table[column] == "")  # a well without images: any number will do
            table[column] = platemap.numbers(table[column].mask(left_out, "0"), kind, source)
    for column in [name for name in table if name.startswith("Label_")]:
        parsed = pd.to_numeric(table[column].replace("", None), errors="coerce")
        if parsed.notna().equals(table[column] != ""):  # a target of classes stays text
            table[column] = parsed
    return table


def _with_batch(config: Experiment, table: pd.DataFrame, source: str) -> pd.DataFrame:
    if config.batch_from is None:
        return table
    if "Metadata_Batch" in table:
        raise UserError(f"datasets: batch_from: {source} has a column Metadata_Batch already; give one of the two.")
    column = config.batch_from["column"]
    loaddata.need(source, table, (column,))
    imaged = table["Problem"] == ""  # wells without images have nothing but their plate and the plate map's columns
    table["Metadata_Batch"] = ""
    batches = platemap.batches(table.loc[imaged, column], str(config.batch_from.get("pattern", ".*")), source)
    table.loc[imaged, "Metadata_Batch"] = batches
    return table


def _with_controls(config: Experiment, table: pd.DataFrame, source: str) -> pd.DataFrame:
    rules = {"negative": config.negative_control, "positive": config.positive_control}
    given = "Metadata_Control" in table
    if any(rules.values()):
        if given:
            raise UserError(f"datasets: {source} has a column Metadata_Control already; take out the keys *_control.")
        table["Metadata_Control"] = platemap.controls(table, rules, source)
    elif given:
        odd = sorted(set(table["Metadata_Control"]) - {"negative", "positive", ""})
        if odd:
            raise UserError(
                f"{source}: Metadata_Control: '{odd[0]}' is neither negative, positive nor empty. Change it there, or "
                "rename the column by 'datasets: rename:' and give 'negative_control: {column: value}'."
            )
    return table
