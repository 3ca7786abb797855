"""Treatments that a table merges though they are probably several: doses that are lost, cell lines that are averaged."""

import re

import pandas as pd

from phenorep.errors import UserError
from phenorep.notes import warn
from phenorep.treatments import treatments

SHOWN = 5  # treatments that a message lists
# A treatment with so many times the usual number of wells on a plate, and at least so many.
RATIO, LEAST = 3, 4
# Columns of what differs between wells beside their treatment, by name.
_CONDITIONS = re.compile(
    r"Metadata_(cell_?(line|type|id)?(_?name)?|donor|patient|clone|genotype|strain|species|organism|passage|"
    r"time_?(point)?(_?h(ours)?)?|hours|incubation\w*|seeding\w*|density)",
    re.IGNORECASE,
)
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
    wells = wells[(wells["_treatment"] != "") & (control == "")]
    if len(wells):
        _tell_of_doses(wells, where)
        _tell_of_gaps(wells, where)
        _tell_of_conditions(wells, where)


def _tell_of_doses(wells: pd.DataFrame, where: str) -> None:
    counts = wells.groupby(["Metadata_Plate", "_treatment"]).size()
    usual = counts.median()
    most = counts.groupby("_treatment").max()
    many = most[(most >= RATIO * usual) & (most >= LEAST)].sort_values(ascending=False, kind="stable")
    if len(many):
        shown = ", ".join(f"{name} ({count})" for name, count in many.iloc[:SHOWN].items())
        more = f" and {len(many) - SHOWN} more" if len(many) > SHOWN else ""
        warn(
            f"{where}: most treatments have {usual:g} wells on a plate; {shown}{more} have far more. If they are controls, "
            "name them in 'negative_control:' or 'positive_control:'; if their wells differ in dose, put it into "
            "Metadata_Concentration or Metadata_Dose ('rename:'), or they count as one treatment."
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
        more = f" and {len(mixed) - SHOWN} more" if len(mixed) > SHOWN else ""
        warn(
            f"{where}: {count} wells of {', '.join(mixed[:SHOWN])}{more} have no {' or '.join(columns)}, other wells of the "
            "same compounds have one: they are a treatment of their own. Fill the cells in."
        )


def _tell_of_conditions(wells: pd.DataFrame, where: str) -> None:
    for column in (name for name in wells if _CONDITIONS.fullmatch(name)):
        values = wells[column].astype(str)
        several = values.groupby(wells["_treatment"]).nunique()
        if (several > 1).any():
            distinct = sorted(set(values) - {""})
            shown = ", ".join(distinct[:SHOWN]) + (", ..." if len(distinct) > SHOWN else "")
            count = f"{int((several > 1).sum())} of {len(several)} treatments"
            warn(
                f"{where}: {count} have wells that differ in {column} ({shown}), and profiles of treatments merge them. To "
                "keep them apart, give each a dataset of its own, or put both into Metadata_Perturbation."
            )
