"""Treatments that a table merges though they are probably several: doses that are lost, cell lines that are averaged."""

import re

import pandas as pd

from phenorep.errors import UserError
from phenorep.notes import say, warn
from phenorep.treatments import treatments
from phenorep.wording import listed

SHOWN = 5  # treatments that a message lists
# A treatment with so many times the usual number of wells on a plate, and at least so many.
RATIO, LEAST = 3, 4
# Columns of what differs between wells beside their treatment, by name.
_CONDITIONS = re.compile(
    r"Metadata_((cells?_?)?line|cells?(_?type)?|(donor|patient|clone|subject)|genotype|strain|species|organism|passage|"
    r"(treatment_?|incubation_?|exposure_?)?(time_?(point)?|duration|hours)|incubation|seeding\w*|density|medium|media|serum|"
    r"(compound|drug|cpd|sirna|sgrna|perturbation)_?2|combination|sirna|sgrna|guide|gene)(_?(id|name|h|hours|min|number))?",
    re.IGNORECASE,
)
# Columns by which replicates of a treatment differ and are meant to.
_OF_REPLICATES = re.compile(
    r"Metadata_(plate|well|site|row|col|field|replicate|rep\b|batch|barcode|date|day|run|experiment|source|image|file|position|"
    r"index|id\b|number|control|concentration|dose|compound|perturbation|treatment|moa|quadrant|edge|assay_plate|time\b|plane\b).*",
    re.IGNORECASE,
)
MOST_VALUES = 8  # of a condition; what has more is a number of something
NEAR = 0.01  # of two concentrations of a compound, relative to the larger: they were meant to be one
_WELL = ["Metadata_Plate", "Metadata_Well"]


def tell(table: pd.DataFrame, where: str) -> None:
    """Warn of treatments that are probably several.

    Parameters
    ----------
    table
        A row per well, field or cell: metadata of wells, numbers where columns hold numbers.
    where
        Where it comes from, for messages.
    """
    try:
        names = treatments(table)
    except UserError:  # without compounds there are no treatments to merge
        return
    wells = table.assign(_treatment=names).drop_duplicates([*_WELL, "_treatment"])
    control = wells.get("Metadata_Control", pd.Series("", index=wells.index))
    _tell_of_nameless(wells[(wells["_treatment"] == "") & (control == "")], where)
    wells = wells[(wells["_treatment"] != "") & (control == "")]
    if len(wells):
        _tell_of_near(wells, where)
        _tell_of_doses(wells, where)
        _tell_of_gaps(wells, where)
        _tell_of_conditions(wells, where)


def _tell_of_doses(wells: pd.DataFrame, where: str) -> None:
    counts = wells.groupby(["Metadata_Plate", "_treatment"]).size()
    usual = counts.median()
    most = counts.groupby("_treatment").max()
    many = most[(most >= RATIO * usual) & (most >= LEAST)].sort_values(ascending=False, kind="stable")
    if len(many):
        shown = listed((f"{name} ({count})" for name, count in many.items()), SHOWN)
        warn(
            f"{where}: most treatments have {usual:g} wells on a plate; {shown} have far more. If they are controls, "
            "name them in 'negative_control:' or 'positive_control:'; if their wells differ in dose, put it into "
            "Metadata_Concentration or Metadata_Dose ('rename:'), or they count as one treatment."
        )


def _tell_of_nameless(wells: pd.DataFrame, where: str) -> None:
    """Wells that have an amount and nothing that it is of."""
    columns = [name for name in ("Metadata_Concentration", "Metadata_Dose") if name in wells]
    count = int((wells[columns] > 0).any(axis=1).sum()) if columns else 0
    if count:
        warn(
            f"{where}: {count} wells have a {' or a '.join(columns)} and no compound, and are in no treatment. Cells "
            "that are merged in a spreadsheet have their text in the first row alone: fill them in."
        )


def _tell_of_near(wells: pd.DataFrame, where: str) -> None:
    """Concentrations of a compound that differ in their last digits."""
    if not {"Metadata_Compound", "Metadata_Concentration"} <= set(wells):
        return
    pairs = wells[["Metadata_Compound", "Metadata_Concentration"]].dropna().drop_duplicates()
    pairs = pairs.sort_values(["Metadata_Compound", "Metadata_Concentration"], kind="stable")
    before = pairs.shift()
    near = (pairs["Metadata_Compound"] == before["Metadata_Compound"]) & (
        pairs["Metadata_Concentration"] * (1 - NEAR) < before["Metadata_Concentration"]
    )
    if near.any():
        row = int(near.to_numpy().argmax())
        compound, second = pairs.iloc[row]
        warn(
            f"{where}: {int(near.sum())} concentrations are nearly those of another treatment of the same compound, like "
            f"{pairs['Metadata_Concentration'].iloc[row - 1]:.10g} and {second:.10g} of {compound}: they count as several "
            "treatments. Write each concentration in one way."
        )


def _tell_of_gaps(wells: pd.DataFrame, where: str) -> None:
    """Compounds of which some wells have an amount and others none."""
    columns = [name for name in ("Metadata_Concentration", "Metadata_Dose") if name in wells]
    if "Metadata_Compound" not in wells or not columns:
        return
    bare = wells[columns].isna().all(axis=1)
    share = bare.groupby(wells["Metadata_Compound"]).mean()
    mixed = share[(share > 0) & (share < 1)].index.tolist()
    if mixed:
        count = int((bare & wells["Metadata_Compound"].isin(mixed)).sum())
        warn(
            f"{where}: {count} wells of {listed(mixed, SHOWN)} have no {' or '.join(columns)}, other wells of the "
            "same compounds have one: they are a treatment of their own. Fill the cells in."
        )


def _tell_of_conditions(wells: pd.DataFrame, where: str) -> None:
    for column in (name for name in wells if name.startswith("Metadata_")):
        certain = bool(_CONDITIONS.fullmatch(column))
        if not certain and _OF_REPLICATES.fullmatch(column):
            continue
        values = wells[column].fillna("").astype(str)
        distinct = sorted(set(values) - {""})
        several = values.groupby(wells["_treatment"]).nunique() > 1
        if several.any() and (certain or len(distinct) <= MOST_VALUES):
            shown = ", ".join(distinct[:SHOWN]) + (", ..." if len(distinct) > SHOWN else "")
            (warn if certain else say)(
                f"{where}: {int(several.sum())} of {len(several)} treatments have wells that differ in {column} ({shown}); "
                "profiles of treatments merge them. To keep them apart, give each a dataset of its own, or put both into "
                "Metadata_Perturbation."
            )
