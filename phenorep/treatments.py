"""The treatment of each row: what it is called, and that there is one."""

import numpy as np
import pandas as pd

from phenorep.errors import UserError


def treatments(table: pd.DataFrame) -> pd.Series:
    """Name of each row's treatment: the perturbation where there is one, else compound with concentration or dose.

    ``taxol 0.3 uM``, ``wortmannin dose 4``, or the compound alone if it has neither; empty where the row has none of these.
    """
    known = [c for c in ("Metadata_Treatment", "Metadata_Perturbation", "Metadata_Compound") if c in table]
    if not known:
        raise UserError(
            "aggregating by treatment needs the column Metadata_Perturbation or Metadata_Compound; the table has "
            f"{_metadata(table)}. Add one to the dataset, or aggregate by well."
        )
    if "Metadata_Treatment" in table:
        single(table, "Metadata_Treatment")
        return table["Metadata_Treatment"]
    for column in ("Metadata_Perturbation", "Metadata_Compound", "Metadata_Concentration", "Metadata_Dose"):
        if column in table:
            single(table, column)
    empty = pd.Series("", index=table.index)
    compound = table.get("Metadata_Compound", empty).fillna("").astype(str)
    amount = _amounts(table.get("Metadata_Concentration"), " {:.10g} uM", empty)
    amount = amount.where(amount != "", _amounts(table.get("Metadata_Dose"), " dose {:.10g}", empty))
    name = (compound + amount).where(compound != "", "")
    perturbation = table.get("Metadata_Perturbation", empty).fillna("").astype(str)
    return perturbation.where(perturbation != "", name)


def negatives(table: pd.DataFrame, remedy: str = "") -> np.ndarray:
    """Which rows are negative controls, (N,) bool.

    Raises
    ------
    UserError
        If there are none; `remedy` says what else can be done than to mark them.
    """
    column = table.get("Metadata_Control")
    if column is not None:
        single(table, "Metadata_Control")
    found = np.zeros(len(table), bool) if column is None else (column == "negative").to_numpy(dtype=bool)
    if not found.any():
        state = "there is no column Metadata_Control" if column is None else "no row has 'negative' in Metadata_Control"
        raise UserError(
            f"needs negative controls, but {state}. Mark the negative-control wells as 'negative' in the dataset's "
            f"Metadata_Control{remedy}."
        )
    return found


def single(table: pd.DataFrame, column: str) -> None:
    """Raise `UserError` unless the column is there and holds one value in each row."""
    if column not in table:
        remedy = "Add it to the dataset, or change 'by'"
        raise UserError(f"aggregating needs the column {column}; the table has {_metadata(table)}. {remedy}.")
    if len(table) and isinstance(table[column].iloc[0], list | np.ndarray):
        raise UserError(
            f"an earlier aggregation has mixed several values of {column} in one row. Put this step before it, or add the "
            "column's level to the earlier step's 'by', like 'by: [treatment, plate]'."
        )


def _metadata(table: pd.DataFrame) -> str:
    return ", ".join(column for column in table.columns if column.startswith("Metadata_"))


def _amounts(column: pd.Series | None, form: str, empty: pd.Series) -> pd.Series:
    if column is None:
        return empty
    return column.map(lambda amount: "" if pd.isna(amount) else form.format(amount)).astype(empty.dtype)
