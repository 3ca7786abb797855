"""Best and mean epochs, and what choosing the best one adds to its score."""

import numpy as np
import pandas as pd
import pytest

from phenorep import contracts, plugins
from phenorep.report import epochs
from tests.unit.made_run import make_run_with_epochs, right_at

METRICS = {"nsc": {"better": "higher"}, "nscb": {"better": "higher"}}


@pytest.fixture(autouse=True)
def declared(monkeypatch):
    found = {("evaluations", "matching"): {"METRICS": METRICS}, ("methods", "beside"): {"COMBINES": "members"}}
    monkeypatch.setattr(plugins, "constants", lambda kind, name: found.get((kind, name), {}))


@pytest.fixture
def plan(tmp_path):
    return make_run_with_epochs(tmp_path)


def summary(plan: dict) -> pd.DataFrame:
    table = epochs.summarise(plan["studies"]["first"], contracts.read_scores(plan["files"]["scores"]), plan)
    return table.set_index("metric")


def test_the_first_metric_chooses_then_the_next_then_the_earlier_epoch():
    first, second = np.array([[1.0, 3, 3, 3]]), np.array([[9.0, 1, 2, 2]])
    assert epochs.choose([first]).tolist() == [1]
    assert epochs.choose([first, second]).tolist() == [2]
    assert epochs.choose([np.array([[np.nan, 0.2, 0.1]])]).tolist() == [1]
    assert epochs.choose([np.array([[1.0, 2], [2, 1]])]).tolist() == [1, 0]


def test_last_best_and_mean_of_each_metric(plan):
    plan["studies"]["first"]["seeds"] = [0]
    table = summary(plan)
    assert set(table["method"]) == {"learned"}  # of the others no epoch was saved
    nsc, nscb = table.loc["nsc"], table.loc["nscb"]
    # Epochs 3 and 4 are right on 20 of 24; nscb, which leaves out the last four treatments, decides.
    other = {epoch: right_at(epoch)[:20].mean() for epoch in range(1, 7)}
    best = 3 if other[3] >= other[4] else 4
    assert nsc["final"] == pytest.approx(16 / 24)
    assert nsc["best"] == pytest.approx(20 / 24)
    assert nsc["best_epoch"] == nscb["best_epoch"] == str(best)
    assert nscb["best"] == pytest.approx(other[best])
    assert nsc["scored"] == 6  # five saved and the last
    assert nsc["mean"] == pytest.approx((14 + 20 + 20) / 3 / 24)
    assert (nsc["lowest"], nsc["highest"], nsc["epochs"]) == pytest.approx((14 / 24, 20 / 24, 3))
    assert nsc["best_low"] == pytest.approx(nsc["best"] - 0.05)
    assert nsc["items"] == "compounds"


def test_each_seed_chooses_for_itself(plan):
    alone = []
    for seeds in ([0], [1]):
        plan["studies"]["first"]["seeds"] = seeds
        alone.append(summary(plan).loc["nsc"])
    plan["studies"]["first"]["seeds"] = [0, 1]
    both = summary(plan).loc["nsc"]
    # The second seed stands where the first one stood an epoch before.
    assert int(alone[1]["best_epoch"]) == int(alone[0]["best_epoch"]) + 1
    assert both["best_epoch"] == f"{alone[0]['best_epoch']}, {alone[1]['best_epoch']}"
    assert both["seeds"] == 2
    assert both["final"] == pytest.approx((16 + 18) / 2 / 24)
    assert both["optimism"] == pytest.approx((alone[0]["optimism"] + alone[1]["optimism"]) / 2)
    assert both["lowest"] == pytest.approx(12 / 24)


def test_a_last_epoch_that_was_saved_counts_once(plan):
    plan["epochs"] = {"learned": 5}
    assert summary(plan).loc["nsc", "scored"] == 5


def test_lower_is_better_where_the_evaluation_says_so(plan, monkeypatch):
    monkeypatch.setitem(METRICS, "nsc", {"better": "lower"})
    plan["studies"]["first"]["seeds"] = [0]
    nsc = summary(plan).loc["nsc"]
    assert (nsc["best"], nsc["best_epoch"]) == (pytest.approx(12 / 24), "1")
    # What is chosen on some is worse on others, which is higher here.
    assert nsc["optimism"] > 0


def test_without_single_results_there_is_no_optimism(plan):
    plan["files"]["details"] = [entry for entry in plan["files"]["details"] if entry["epoch"] != "3"]
    table = summary(plan)
    assert table["optimism"].isna().all()
    assert np.isfinite(table["best"]).all()


def test_a_range_without_saved_epochs_has_no_mean(plan):
    plan["studies"]["first"]["saved_epochs"] = {"mean": [50, 250]}
    nsc = summary(plan).loc["nsc"]
    assert nsc["epochs"] == 0
    assert np.isnan(nsc["mean"])


def test_many_settings_count_by_their_mean(plan):
    scores = contracts.read_scores(plan["files"]["scores"])
    rows = scores[(scores["method"] == "learned") & (scores["metric"] == "nsc") & (scores["seed"] == "0")]
    many = pd.concat([rows.assign(settings=f"c{place}", value=rows["value"] + place / 100) for place in range(6)])
    many = many[(many["settings"] != "c5") | (many["epoch"] != "2")]  # one that not every epoch has
    plan["studies"]["first"]["seeds"] = [0]
    row = epochs.summarise(plan["studies"]["first"], many, plan).iloc[0]
    assert row["settings"] == "mean over settings"
    assert row["best"] == pytest.approx(20 / 24 + 0.02)
    assert np.isnan(row["optimism"])


def test_choosing_on_one_half_and_scoring_on_the_other():
    # Each epoch is right on one compound only: whichever is chosen on one is wrong on the other.
    items = pd.DataFrame([[1.0, 0], [1, 0], [0, 1], [0, 1]], index=list("abcd"))
    compounds = pd.Series(list("ppqq"), index=items.index)
    assert epochs.held_out_mean({"nsc": items}, compounds) == {"nsc": 0.0}
    # Doses of one compound in both halves would hide that.
    assert epochs.held_out_mean({"nsc": items}, pd.Series(list("abcd"), index=items.index))["nsc"] > 0.2


def test_an_epoch_that_is_best_everywhere_is_no_optimism():
    items = pd.DataFrame({0: [0.0] * 12, 1: [1.0] * 12}, index=[f"t{place}" for place in range(12)])
    groups = pd.Series(items.index, index=items.index)
    assert epochs.held_out_mean({"nsc": items}, groups) == {"nsc": 1.0}


def test_of_many_epochs_that_guess_the_best_one_is_all_optimism():
    guesses = (np.random.default_rng(0).random((200, 40)) < 0.5).astype(float)
    items = pd.DataFrame(guesses, index=[f"t{place}" for place in range(200)])
    groups = pd.Series(items.index, index=items.index)
    honest = epochs.held_out_mean({"nsc": items}, groups)["nsc"]
    assert items.mean().max() > 0.55
    assert honest == pytest.approx(0.5, abs=0.02)
    assert honest == epochs.held_out_mean({"nsc": items}, groups)["nsc"]


def test_the_next_metric_is_scored_at_the_epoch_that_the_first_one_chose():
    first = pd.DataFrame({0: [1.0] * 8, 1: [0.0] * 8}, index=[f"t{place}" for place in range(8)])
    second = (1 - first).iloc[:6]  # best where the first is worst, and not known of all items
    groups = pd.Series(first.index, index=first.index)
    assert epochs.held_out_mean({"nsc": first, "nscb": second}, groups) == {"nsc": 1.0, "nscb": 0.0}


def test_methods_side_by_side_end_where_their_members_do():
    methods = {"both": ("a", "b"), "mixed": ("a", "long"), "plus": ("a", "untrained"), "nested": ("both",)}
    blocks = {name: {"use": "beside", "keys": {"members": list(members)}} for name, members in methods.items()}
    blocks |= {name: {"use": name, "keys": {}} for name in ("a", "b", "long", "untrained")}
    found = epochs.lengths({"epochs": {"a": 3, "b": 3, "long": 9}, "config": {"methods": blocks}})
    assert found == {"a": 3, "b": 3, "long": 9, "both": 3, "plus": 3, "nested": 3}
