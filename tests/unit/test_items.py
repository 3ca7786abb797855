"""Single results behind a measure: what is averaged, what counts as one."""

import numpy as np
import pandas as pd
import pytest

from phenorep.report import items
from phenorep.report.items import Item

ROWS = pd.DataFrame({"part": "item", "item": list("abcd"), "value": [0.0, 1, 1, 1], "metric": "nsc"})


def test_items_are_units_unless_the_details_name_others():
    single, kind = items.read(ROWS, Item("nsc"))
    assert kind == "items"
    assert list(single["unit"]) == list("abcd")
    wells = ROWS.assign(well=["p/A01", "p/A01", "p/A02", "p/A02"])
    single, kind = items.read(wells, Item("nsc"))
    assert (kind, list(single["unit"]), list(single["value"])) == ("wells", list(wells["well"]), [0, 1, 1, 1])
    single, kind = items.read(wells.assign(compound="taxol"), Item("nsc"))
    assert (kind, set(single["unit"])) == ("compounds", {"taxol"})
    single, kind = items.read(wells.assign(compound="taxol", unit="p"), Item("nsc"))
    assert (kind, set(single["unit"])) == ("units", {"p"})
    # A unit that is not known of each item is not one.
    assert items.read(wells.assign(unit=["p", None, "p", "p"]), Item("nsc"))[1] == "wells"


def test_other_metrics_settings_and_parts_are_not_read():
    assert not len(items.read(ROWS, Item("other"))[0])
    assert not len(items.read(ROWS.assign(settings="k=1"), Item("nsc"))[0])
    assert len(items.read(ROWS.assign(settings="k=1"), Item("nsc", settings="k=1"))[0]) == 4
    assert not len(items.read(ROWS.assign(part="null"), Item("nsc"))[0])
    pairs = pd.DataFrame({"part": "pair", "treatment": ["t", "u"], "correct": [True, False], "metric": "nsc"})
    assert items.read(pairs, Item("nsc"))[0]["value"].tolist() == [1.0, 0.0]


def test_an_item_that_was_scored_several_times_counts_as_often():
    twice = pd.concat([ROWS.assign(weight=1.0), ROWS.iloc[:1].assign(value=1.0, weight=3.0)])
    single, _ = items.read(twice, Item("nsc"))
    assert tuple(single.loc["a", ["value", "weight"]]) == (0.75, 4.0)


def test_seeds_are_averaged_item_by_item():
    first, second = (items.read(ROWS.assign(value=values), Item("nsc"))[0] for values in ([0.0, 1, 1, 1], [1.0, 1, 1, 0]))
    assert items.over_seeds([first, second])["value"].tolist() == [0.5, 1, 1, 0.5]


def test_common_items_are_summed_by_unit():
    first = items.read(ROWS.assign(unit=["u", "u", "v", "v"], weight=[1.0, 2, 3, 4]), Item("nsc"))[0]
    second = first.iloc[:3].assign(value=1.0)
    shared = items.common([first, second])
    assert shared.count == 2
    np.testing.assert_allclose(shared.sums, [[2 / 6, 3 / 6], [3 / 6, 3 / 6]])
    assert shared.sums.sum(axis=0)[1] == pytest.approx(1.0)
    assert items.common([first, None]) is None
    assert items.common([first, second.rename(index=lambda name: f"other {name}")]) is None
