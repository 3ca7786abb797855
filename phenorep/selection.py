"""Rows of a table that fulfil a condition: ``where: "Metadata_Dose > 2 and Split_fold0 == 'train'"``."""

import ast
import re

import numpy as np
import pandas as pd

from phenorep import plugins
from phenorep.errors import UserError

# What a condition may consist of: comparisons and arithmetic of columns and constants, and these methods of a column.
_NODES = (
    *(
        ast.Expression,
        ast.BoolOp,
        ast.BinOp,
        ast.UnaryOp,
        ast.Compare,
        ast.Name,
        ast.Load,
        ast.Constant,
        ast.List,
        ast.Tuple,
    ),
    *(ast.boolop, ast.operator, ast.unaryop, ast.cmpop, ast.Call, ast.Attribute, ast.keyword),
)
_METHODS = ("isin", "isna", "notna", "between", "abs", "str", "contains", "startswith", "endswith", "lower", "upper", "len")
_QUOTED = re.compile(r"`([^`]*)`")  # pandas' way to write column names that are no identifiers


def rows(table: pd.DataFrame, where: str, place: str) -> np.ndarray:
    """Positions of the rows of `table` for which `where` is true, in order.

    Parameters
    ----------
    where
        A condition in the language of `pandas.DataFrame.query`; it reaches nothing but the table's columns.
    place
        Place in the configuration, for messages: ``samples: cells: where``.

    Raises
    ------
    UserError
        If `where` is no condition, names a column that is not there, or leaves no row.
    """
    where = str(where).replace("\n", " ")
    _check(where, table, place)
    try:
        chosen = table.eval(where, engine="python")
    except Exception as error:  # the text is the user's: whatever it raises is a mistake in it
        raise UserError(f"{place}: {where!r} cannot be evaluated: {error}") from error
    if not isinstance(chosen, pd.Series) or not pd.api.types.is_bool_dtype(chosen):
        raise UserError(f"{place}: {where!r} is no condition: it gives neither true nor false for each row.")
    found = np.flatnonzero(chosen.fillna(False).to_numpy(bool))
    if not len(found):
        raise UserError(f"{place}: {where!r} is true for none of the {len(table)} rows; change the condition.")
    return found


def _check(where: str, table: pd.DataFrame, place: str) -> None:
    quoted = _QUOTED.findall(where)
    try:
        tree = ast.parse(_QUOTED.sub("True", where).strip(), mode="eval")
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{place}: {where!r} is no condition: {error}.") from error
    for node in ast.walk(tree):
        called = isinstance(node, ast.Call) and not isinstance(node.func, ast.Attribute)
        method = isinstance(node, ast.Attribute) and node.attr not in _METHODS
        if not isinstance(node, _NODES) or called or method or "__" in where or "@" in where:
            raise UserError(
                f"{place}: {where!r} may only compare and combine columns and constants, with and, or, not, in, "
                f"arithmetic and the methods {', '.join(_METHODS)}."
            )
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    for name in [*names, *quoted]:
        if name not in table:
            raise UserError(
                f"{place}: there is no column '{name}'. {plugins.suggest(name, table.columns)} "
                f"The columns are: {', '.join(table.columns)}."
            )
