"""Rows are read and drawn by their names, and linear algebra takes one thread."""

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_info

from phenorep import blas
from phenorep.order import by_name, natural


def test_numbers_in_names_count_by_value():
    assert sorted(["w10", "w2", "w1", "a", "10", "9"], key=natural) == ["9", "10", "a", "w1", "w2", "w10"]


def test_rows_are_sorted_by_plate_well_site_and_sample():
    rows = [("P2", "A01", "1", "a"), ("P1", "B01", "1", "b"), ("P1", "A01", "2", "c"), ("P1", "A01", "1", "e")]
    rows += [("P1", "A01", "1", "d"), ("P1", None, "1", "f")]
    table = pd.DataFrame(rows, columns=["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Sample"])
    assert "".join(table["Sample"].iloc[by_name(table)]) == "fdecba"
    assert by_name(table[["Sample"]]).tolist() == [0, 1, 2, 4, 3, 5]
    assert by_name(pd.DataFrame({"x": [2, 1]})).tolist() == [0, 1]
    shuffled = table.sample(frac=1, random_state=3)
    assert shuffled["Sample"].iloc[by_name(shuffled)].tolist() == list("fdecba")


def test_linear_algebra_takes_one_thread_inside_and_as_many_as_before_outside(monkeypatch):
    def threads() -> list[int]:
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    @blas.single_thread()
    def inside() -> list[int]:
        np.ones((8, 8)) @ np.ones((8, 8))
        return threads()

    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    before = threads()
    assert before
    assert set(inside()) == {1}
    assert set(inside()) == {1}, "each call anew"
    assert threads() == before
