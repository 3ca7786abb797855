"""Parts of a sample set that an encoder is trained without: ``train: [{..., hold_out: {column, fold, of}}]``.

Values of a column, such as compounds, are dealt out in turn to the folds, mechanism by mechanism, so that each fold holds
some of each mechanism. The folds follow from the values alone, not from the order of the rows, nor from those chosen by
``where``: encoders of several channels or methods leave out the same.
"""

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from phenorep import plugins
from phenorep.errors import UserError

STRATA = "Metadata_MoA"


@dataclass(frozen=True)
class HoldOut:
    """Keys of ``hold_out``."""

    column: str  # whose values are held out, each with all its rows: Metadata_Compound
    fold: int  # which of the folds is held out, from 0
    of: int  # how many folds there are; more cost more trainings and leave each of them more to learn from

    def __post_init__(self):
        if self.of < 2:
            raise ValueError(f"of must be 2 or more, not {self.of}: with one fold there is nothing to train on")
        if not 0 <= self.fold < self.of:
            raise ValueError(f"fold must lie between 0 and {self.of - 1} (of: {self.of}), not at {self.fold}")


def parse(block: object, where: str) -> HoldOut:
    """The keys of a block of the configuration, checked.

    Raises
    ------
    UserError
        If it is no block, or a key is unknown, missing or out of range.
    """
    if not isinstance(block, dict):
        raise UserError(f"{where}: {block!r} is no block, like {{column: Metadata_Compound, fold: 0, of: 3}}.")
    return plugins.configure(HoldOut, block, where)


def held_out(table: pd.DataFrame, wanted: HoldOut, where: str) -> tuple[np.ndarray, dict]:
    """Which rows belong to the fold.

    Parameters
    ----------
    table
        (N rows) of a whole sample set.
    where
        Place in the configuration, for messages.

    Returns
    -------
    rows
        (N,) bool. Empty values are in no fold.
    facts
        ``column``, ``fold``, ``of`` and the sorted ``values`` held out.

    Raises
    ------
    UserError
        If there is no such column, or there are fewer values than folds.
    """
    if wanted.column not in table:
        raise UserError(f"{where}: there is no column '{wanted.column}'. {plugins.suggest(wanted.column, table.columns)}")
    values = _text(table[wanted.column])
    dealt = deal(values, _text(table[STRATA]) if STRATA in table else None)
    if wanted.of > len(dealt):
        raise UserError(f"{where}: of: {wanted.of} folds of the {len(dealt)} values of {wanted.column}. Choose fewer folds.")
    chosen = sorted(dealt[wanted.fold :: wanted.of])
    return values.isin(chosen).to_numpy(bool), {**asdict(wanted), "values": chosen}


def deal(values: pd.Series, strata: pd.Series | None = None) -> list[str]:
    """All values but the empty one, each once, in the order in which they are dealt out: by stratum, then by name.

    Parameters
    ----------
    values, strata
        (N,) text; a value that stands in several strata counts for the first by name of those that are not empty.
    """
    pairs = pd.DataFrame({"value": values, "stratum": "" if strata is None else strata}).drop_duplicates()
    pairs = pairs[pairs["value"] != ""].assign(unknown=lambda table: table["stratum"] == "")
    first = pairs.sort_values(["unknown", "stratum"]).drop_duplicates("value")
    return first.sort_values(["stratum", "value"])["value"].tolist()


def _text(column: pd.Series) -> pd.Series:
    return column.astype(str).where(column.notna(), "").astype(object)
