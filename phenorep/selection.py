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
_ASSIGNS = re.compile(r"(?<![=!<>])=(?!=)")
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
    names = check_language(where, place)
    for name in names:
        if name not in table:
            raise UserError(
                f"{place}: there is no column '{name}'. {plugins.suggest(name, table.columns)} "
                f"The columns are: {', '.join(table.columns)}."
            )
    try:
        chosen = table.eval(where, engine="python")
    except Exception as error:  # the text is the user's: whatever it raises is a mistake in it
        raise UserError(f"{place}: {where!r} cannot be evaluated: {error}.{_quotes(table, names)}") from error
    if not isinstance(chosen, pd.Series) or not pd.api.types.is_bool_dtype(chosen):
        raise UserError(f"{place}: {where!r} is no condition: it gives neither true nor false for each row.")
    found = np.flatnonzero(chosen.fillna(False).to_numpy(bool))
    if not len(found):
        raise UserError(
            f"{place}: {where!r} is true for none of the {len(table)} rows; change the condition.{_quotes(table, names)}"
        )
    return found


def check_language(where: str, place: str) -> list[str]:
    """Names of the columns in a condition, which is read and not evaluated.

    Raises
    ------
    UserError
        If it is no condition, or would do more than compare columns.
    """
    where = str(where).replace("\n", " ")
    quoted = _QUOTED.findall(where)
    try:
        tree = ast.parse(_QUOTED.sub("True", where).strip(), mode="eval")
    except (SyntaxError, ValueError) as error:
        raise UserError(
            f"{place}: {where!r} is no condition: {_why(error, where)}. Write it like "
            "\"Metadata_Dose > 2 and Split_fold0 == 'train'\"."
        ) from error
    if isinstance(tree.body, ast.Constant | ast.List | ast.Tuple):
        raise UserError(f'{place}: {where!r} compares no column. Write it like "Metadata_Dose > 2".')
    for node in ast.walk(tree):
        called = isinstance(node, ast.Call) and not isinstance(node.func, ast.Attribute)
        method = isinstance(node, ast.Attribute) and node.attr not in _METHODS
        if not isinstance(node, _NODES) or called or method or "__" in where or "@" in where:
            raise UserError(
                f"{place}: {where!r} may only compare and combine columns and constants, with and, or, not, in, "
                f"arithmetic and the methods {', '.join(_METHODS)}."
            )
    return [*(node.id for node in ast.walk(tree) if isinstance(node, ast.Name)), *quoted]


def _quotes(table: pd.DataFrame, names: list[str]) -> str:
    """A hint for a condition that takes text for numbers, as in ``Metadata_Site == 1``."""
    text = [name for name in names if len(table) and isinstance(table[name].iloc[0], str)]
    return f" {text[0]} holds text, such as {table[text[0]].iloc[0]!r}: write its values in quotes." if text else ""


def _why(error: SyntaxError | ValueError, where: str) -> str:
    """What is wrong with a text, without the line and the file that Python names."""
    if _ASSIGNS.search(where):
        return "'==' compares, '=' does not"
    return str(getattr(error, "msg", None) or error).rstrip(".")
