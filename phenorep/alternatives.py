"""Features of which each row has its own: those of encoders that were trained without its compound.

A table's facts name them: ``alternatives: {member: {"blocks": [names], "held_out": {"column": name, "values": [texts]}}}``.
"""

import numpy as np
import pandas as pd

from phenorep.errors import UserError


def column(alternatives: dict[str, dict]) -> str:
    """The column whose values the members held out."""
    return next(iter(alternatives.values()))["held_out"]["column"]


def owners(alternatives: dict[str, dict], table: pd.DataFrame) -> np.ndarray:
    """The member that held out each row, (N,) numbers in the order of `alternatives`; -1 where none did.

    A row that has several values, after aggregation, belongs to a member that held out all of them.

    Raises
    ------
    UserError
        If the table lacks the column.
    """
    name = column(alternatives)
    if name not in table:
        raise UserError(f"the members held out values of {name}, a column that the table has no longer.")
    found = np.full(len(table), -1, dtype=np.int64)
    for number, facts in enumerate(alternatives.values()):
        found[held_out(facts["held_out"], table)] = number
    return found


def held_out(facts: dict, table: pd.DataFrame) -> np.ndarray:
    """Which rows have values of ``facts["column"]`` that stand in ``facts["values"]``, and no others, (N,) bool."""
    values = set(facts["values"])
    return np.array([bool(own := texts(value)) and own <= values for value in table[facts["column"]]], dtype=bool)


def texts(value: object) -> set[str]:
    """The values of one row as text, without empty ones: several after an aggregation."""
    several = list(value) if isinstance(value, list | np.ndarray) else [value]
    return {str(item) for item in several if not pd.isna(item)} - {""}
