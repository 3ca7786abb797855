"""How replicates lie on plates, and control wells drawn to lie in the same way."""

import numpy as np
import pandas as pd
import pytest

from phenorep import layouts


def plates(count: int, wells: list[str]) -> pd.DataFrame:
    rows = [(f"p{plate}", well) for plate in range(count) for well in wells]
    return pd.DataFrame(rows, columns=["Metadata_Plate", "Metadata_Well"])


GRID = [f"{row}{column:02d}" for row in "ABCD" for column in range(1, 9)]


def test_replicates_lie_at_one_position_near_each_other_on_a_plate_or_on_different_plates():
    table = plates(3, GRID)
    generator = np.random.default_rng(0)
    assert layouts.of_replicates(table.assign(Metadata_Compound=table["Metadata_Well"])) == "position"
    neighbours = [f"{plate} {number // 2}" for plate in range(3) for number in range(32)]
    assert layouts.of_replicates(table.assign(Metadata_Compound=neighbours)) == "neighbours"
    anywhere = [f"{plate} {number}" for plate in range(3) for number in generator.permutation(32) // 2]
    assert layouts.of_replicates(table.assign(Metadata_Compound=anywhere)) == "plate"
    mixed = [number for _ in range(3) for number in generator.permutation(32)]
    assert layouts.of_replicates(table.assign(Metadata_Compound=np.array(mixed).astype(str))) == "plates"
    assert layouts.of_replicates(table) == "position"  # nothing names what the wells hold
    assert layouts.of_replicates(plates(1, GRID)) == "plates"


def drawn(layout, table, seed=0) -> list[list[str]]:
    return layouts.draw(layout, table, 3, 2, 8, [seed, 0])


@pytest.mark.parametrize("layout", ["position", "neighbours", "plate", "plates"])
def test_a_third_is_drawn_three_stay_on_each_plate_and_no_well_is_drawn_twice(layout):
    groups = drawn(layout, plates(4, GRID[:12]))
    names = [name for group in groups for name in group]
    assert 12 <= len(names) == len(set(names)) <= 16
    assert all(len(group) == 2 for group in groups)
    counts = pd.Series([name.split("/")[0] for name in names]).value_counts()
    assert (counts <= 9).all()
    assert drawn(layout, plates(4, GRID[:12]).sample(frac=1, random_state=1)) == groups  # by name, not by row
    assert drawn(layout, plates(4, GRID[:12]), seed=1) != groups


def test_groups_lie_as_the_layout_says():
    table = plates(4, GRID[:12])
    for first, second in (group for group in drawn("position", table)):
        assert first.split("/")[1] == second.split("/")[1]
        assert first.split("/")[0] != second.split("/")[0]
    for first, second in drawn("plate", table):
        assert first.split("/")[0] == second.split("/")[0]
    for first, second in drawn("plates", table):
        assert first.split("/")[0] != second.split("/")[0]
    near, anywhere = (
        np.mean(
            [abs(int(a[-2:]) - int(b[-2:])) + (a[-3] != b[-3]) for seed in range(9) for a, b in drawn(name, table, seed)]
        )
        for name in ("neighbours", "plate")
    )
    assert near < 0.6 * anywhere


def test_half_is_drawn_where_a_third_is_few_and_nothing_more_than_there_is_room_for():
    assert sum(map(len, drawn("plate", plates(1, GRID[:16])))) == 8
    assert sum(map(len, drawn("plate", plates(1, GRID[:8])))) == 4
    assert drawn("plates", plates(2, GRID[:3])) == []


def test_controls_that_share_no_position_are_drawn_over_plates():
    table = pd.concat([plates(1, GRID[:12]), plates(1, GRID[12:24]).assign(Metadata_Plate="p1")], ignore_index=True)
    groups = drawn("position", table)
    assert groups == drawn("plates", table)
    assert groups


def test_an_odd_plate_joins_the_last_group_of_its_position():
    sizes = sorted(len(group) for group in drawn("position", plates(3, GRID[:12])))
    assert set(sizes) == {3}


def test_names_of_wells_tell_row_and_column():
    assert layouts.well_place("A01") == (0, 0)
    assert layouts.well_place("P24") == (15, 23)
    assert layouts.well_place("AF48") == (31, 47)
    assert [layouts.well_place(name) for name in ("well 3", "A", "12", "A00")] == [None] * 4


def test_positions_are_shown_where_controls_share_them():
    assert layouts.shows_positions("position", plates(2, GRID))
    assert not layouts.shows_positions("position", plates(1, GRID))
    assert not layouts.shows_positions("plates", plates(1, GRID))
    assert layouts.shows_positions("neighbours", plates(1, GRID))
