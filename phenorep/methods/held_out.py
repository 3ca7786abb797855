"""Encoders that each were trained without some of the compounds: a compound is evaluated with the one that never saw it.

An encoder that was trained on labels of compounds has seen the compounds that it is evaluated on. Members of this method
leave one fold of them out each (``train: [{..., hold_out: {column: Metadata_Compound, fold: 0, of: 3}}]``); together they
leave out all. Their features stand side by side, and evaluations that can do so (``ALTERNATIVES`` in their file) compare
each treatment to all others in the features of the member that held it out. A member is an encoder, or several that held out
the same, side by side (`concat`).
"""

from dataclasses import dataclass
from pathlib import Path

from phenorep import contracts
from phenorep.alternatives import texts
from phenorep.errors import UserError

SEEDED = True
COMBINES = "members"
ALTERNATIVES = True


@dataclass(frozen=True)
class Config:
    """Keys of the combination."""

    members: tuple[str, ...] = ()  # names of methods, one for each fold; more folds train on more, and cost more

    def __post_init__(self):
        if len(self.members) < 2 or len(set(self.members)) < len(self.members):
            raise ValueError("members must name two methods or more, each once")


def facts(members: dict[str, dict], blocks: dict[str, list[str]], table: str | Path) -> dict:
    """What each member held out, for the facts of the combined table.

    Parameters
    ----------
    members
        Facts of each member's table of embeddings.
    blocks
        Names of each member's blocks in the combined table.
    table
        Embeddings of the samples.

    Returns
    -------
    dict
        ``alternatives``, see `phenorep.alternatives`.

    Raises
    ------
    UserError
        If a member held out nothing or its encoders not the same, or a value is not held out by exactly one member.
    """
    found = {name: _held_out(name, about["encoder"]) for name, about in members.items()}
    columns = sorted({held["column"] for held in found.values()})
    if len(columns) > 1:
        raise UserError(f"members: some hold out values of {columns[0]}, some of {columns[1]}. Name one 'column' for all.")
    if columns[0] not in contracts.columns_of(table):
        raise UserError(f"members: they hold out values of {columns[0]}, a column that {table} does not have.")
    there = set()
    for value in contracts.read_table(table, "embeddings", columns)[columns[0]].unique():
        there |= texts(value)
    for value in sorted(there):
        by = [name for name, held in found.items() if value in held["values"]]
        if len(by) != 1:
            count = f"by {len(by)} members ({', '.join(by)})" if by else "by no member"
            raise UserError(
                f"members: '{value}' ({columns[0]}) is held out {count}, where one is needed. Name one member for each "
                "'fold' from 0 to 'of' - 1, trained on samples that have all values of the column."
            )
    return {"alternatives": {name: {"blocks": blocks[name], "held_out": held} for name, held in found.items()}}


def _held_out(member: str, encoder: dict) -> dict:
    """Column and values that all encoders of a member held out; those that were not trained here have seen none."""
    found = {}
    for name, sources in _trained(member, encoder):
        stated = [source["held_out"] for source in sources if source.get("held_out")]
        if not stated:
            raise UserError(
                f"members: {name} was trained on all of its samples. Give it 'train: [{{samples: ..., hold_out: {{column: "
                "Metadata_Compound, fold: 0, of: 3}}]'."
            )
        found |= {(held["column"], tuple(held["values"])): name for held in stated}
    if not found:
        raise UserError(f"members: {member} was not trained on any samples: there is nothing that it can have held out.")
    if len(found) > 1:
        first, second = list(found.values())[:2]
        which = f"{first} and {second}" if first != second else f"the sample sets of {first}"
        raise UserError(f"members: {member}: {which} do not hold out the same. Give all the same column, fold and of.")
    ((column, values),) = found
    return {"column": column, "values": list(values)}


def _trained(name: str, encoder: dict) -> list[tuple[str, list[dict]]]:
    """Name and training samples of each encoder behind a member that learned from samples."""
    if "members" in encoder:
        return [one for part, facts in encoder["members"].items() for one in _trained(f"{name}/{part}", facts)]
    return [(name, encoder["trained_on"])] if encoder.get("trained_on") else []
