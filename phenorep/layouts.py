"""How replicates lie on plates, and controls drawn to lie in the same way."""

import re
import zlib
from typing import Literal

import numpy as np
import pandas as pd

from phenorep.errors import UserError
from phenorep.treatments import treatments

# position: at the same well of several plates; neighbours: next to each other on a plate; plate: anywhere on one plate.
Layout = Literal["position", "neighbours", "plate", "plates"]
_WELL = re.compile(r"([A-Za-z]{1,2})0*(\d{1,3})$")
# Replicates are neighbours if they are so much nearer to each other than wells of their plate are on average.
_NEAR = 0.5


def well_place(well: str) -> tuple[int, int] | None:
    """Row and column of a well, from 0; None for a name that is not of the form A01 or AA01."""
    match = _WELL.match(well)
    if not match or int(match[2]) == 0:
        return None
    row = 0
    for letter in match[1].upper():
        row = 26 * row + ord(letter) - ord("A") + 1
    return row - 1, int(match[2]) - 1


def of_replicates(treated: pd.DataFrame) -> Layout:
    """How most pairs of wells of one treatment lie to each other; ``plates`` (on different ones) where there are no pairs.

    Where no column names treatments, wells at one position of several plates are taken for replicates.

    Parameters
    ----------
    treated
        (N rows) treated wells.
    """
    try:
        names = treatments(treated).to_numpy(dtype=str)
    except UserError:
        names = treated["Metadata_Well"].to_numpy(dtype=str)
    wells = pd.DataFrame({"treatment": names, "plate": treated["Metadata_Plate"].to_numpy(dtype=str)})
    wells["well"] = treated["Metadata_Well"].to_numpy(dtype=str)
    wells = wells[wells["treatment"] != ""]
    pairs, on_plate, at_well = (_pairs(wells, columns) for columns in ([], ["plate"], ["well"]))
    if pairs and at_well * 2 > pairs:
        return "position"
    if on_plate * 2 <= pairs or not pairs:
        return "plates"
    return "neighbours" if _are_near(wells) else "plate"


def shows_positions(layout: Layout, controls: pd.DataFrame) -> bool:
    """Whether groups of controls, drawn by a layout, share what their positions do to them as replicates do."""
    if layout == "position":
        return bool(controls["Metadata_Well"].duplicated().any())
    return layout == "neighbours" or controls["Metadata_Plate"].nunique() > 1


def draw(layout: Layout, controls: pd.DataFrame, kept: int, size: int, fewest: int, seed: list[int]) -> list[list[str]]:
    """Groups of control wells, ``plate/well``, that lie as replicates do: a third of all, half where that is few.

    Parameters
    ----------
    layout
        As from `of_replicates`.
    controls
        (N rows) control wells.
    kept
        How many stay on each plate.
    size
        Wells of a group.
    fewest
        Where a third is fewer than this, half of the wells are drawn.
    seed
        Of the draw.
    """
    plates, wells = (controls[f"Metadata_{name}"].to_numpy(dtype=str) for name in ("Plate", "Well"))
    room = {plate: int((plates == plate).sum()) - kept for plate in np.unique(plates)}
    total = sum(count + kept for count in room.values() if count >= 0)
    wanted = total // 3 if total // 3 >= fewest else total // 2
    if layout == "position":
        groups = _at_positions(plates, wells, room, size, wanted, seed)
        if groups:
            return groups
    if layout in ("neighbours", "plate"):
        return _on_plates(plates, wells, room, size, wanted, seed, layout == "neighbours")
    return _across(plates, wells, room, size, wanted, seed)


def _pairs(wells: pd.DataFrame, columns: list[str]) -> int:
    """Number of pairs of wells of one treatment that share the columns."""
    counts = wells.groupby(["treatment", *columns]).size()
    return int((counts * (counts - 1)).sum())


def _places(wells: np.ndarray) -> np.ndarray | None:
    """Row and column of each well, (N, 2); None if a name does not tell them."""
    places = [well_place(name) for name in wells]
    return None if None in places else np.array(places, dtype=float).reshape(-1, 2)


def _are_near(wells: pd.DataFrame) -> bool:
    near, any_pair = [], []
    for _, plate in wells.groupby("plate"):
        places = _places(plate["well"].to_numpy(dtype=str))
        if places is None:
            return False
        distance = np.linalg.norm(places[:, None] - places[None], axis=2)
        names = plate["treatment"].to_numpy()
        upper = np.triu(np.ones(distance.shape, bool), 1)
        near.append(distance[upper & (names[:, None] == names[None])])
        any_pair.append(distance[upper])
    near, any_pair = np.concatenate(near), np.concatenate(any_pair)
    return bool(len(near) and near.mean() < _NEAR * any_pair.mean())


def _drawn(names: np.ndarray, seed: list[int], plate: str = "") -> list[str]:
    """The names in drawn order, which depends on them and the seed alone."""
    generator = np.random.default_rng([*seed, zlib.crc32(plate.encode())])
    return generator.permutation(np.unique(names)).tolist()


def _at_positions(plates, wells, room: dict[str, int], size: int, wanted: int, seed: list[int]) -> list[list[str]]:
    """Positions that hold controls on several plates play on all of these, in groups over plates."""
    groups, left = [], dict(room)
    for well in _drawn(wells, seed):
        on = sorted(set(plates[wells == well]))
        if sum(map(len, groups)) + size > wanted:
            break
        if len(on) < size or any(left[plate] < 1 for plate in on):
            continue
        for plate in on:
            left[plate] -= 1
        names = [f"{plate}/{well}" for plate in _drawn(np.array(on), seed, well)]
        parts = [names[start : start + size] for start in range(0, len(names) - size + 1, size)]
        parts[-1] += names[len(parts) * size :]  # an odd one joins the last group
        groups += parts
    return groups


def _on_plates(plates, wells, room: dict[str, int], size: int, wanted: int, seed: list[int], near: bool) -> list[list[str]]:
    """Groups of wells of one plate, of the plates with the most room first; next to each other if `near`."""
    groups, left = [], dict(room)
    waiting = {plate: _drawn(wells[plates == plate], seed, plate) for plate in left}
    while (len(groups) + 1) * size <= wanted:
        plate = max(left, key=left.get)  # the first of equal ones
        if left[plate] < size:
            break
        first, *others = waiting[plate]
        places = _places(np.array([first, *others])) if near else None
        if places is not None:
            order = np.argsort(np.linalg.norm(places[1:] - places[0], axis=1), kind="stable")
            others = [others[number] for number in order]
        group = [first, *others[: size - 1]]
        waiting[plate] = [name for name in waiting[plate] if name not in group]
        left[plate] -= size
        groups.append([f"{plate}/{well}" for well in group])
    return groups


def _across(plates, wells, room: dict[str, int], size: int, wanted: int, seed: list[int]) -> list[list[str]]:
    """Groups of wells of different plates, where there are several."""
    left, quotas = dict(room), dict.fromkeys(sorted(room), 0)
    for _ in range(wanted // size * size):
        plate = max(left, key=left.get)
        if left[plate] < 1:
            break
        left[plate] -= 1
        quotas[plate] += 1
    names = [f"{plate}/{w}" for plate, n in quotas.items() for w in _drawn(wells[plates == plate], seed, plate)[:n]]
    count = len(names) // size
    # Listed plate by plate, wells that lie so many groups apart are of different plates.
    return [names[number : count * size : count] for number in range(count)]
