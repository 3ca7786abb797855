"""Nulls: which wells play treated ones, and what is said of a score whose null is above chance."""

from functools import partial

import numpy as np
import pytest

from phenorep import nulls
from phenorep.cross_fitting import Chain, well_names
from phenorep.evaluations import BELOW, NOT_MEASURED, NOT_VALID, VALID
from phenorep.nulls import Null
from phenorep.rows import Rows
from tests.unit.test_cross_fitting import CHAINS, by_hand, cells


def measured(controls: int, draws: int = 3, score=None) -> tuple[Null, list]:
    table = cells(controls=controls)
    wells, seen = by_hand(table, CHAINS["tvn"]), []

    def look(labelled, negative, fits):
        seen.append((labelled, negative, list(fits.spaces())))
        return {"auc": (0.6, 0.5)}

    negative = (wells["Metadata_Control"] == "negative").to_numpy()
    chain = Chain(Rows.of(table), CHAINS["tvn"])
    return nulls.measure(chain, wells, negative, score or look, draws, 0), seen


def test_wells_that_play_are_treated_in_pairs_and_never_fitted_on():
    null, seen = measured(controls=8)
    assert null.values["auc"].tolist() == [0.6] * 3
    assert len({tuple(well_names(labelled[~negative])) for labelled, negative, _ in seen}) == 3  # each draw is another
    for labelled, negative, spaces in seen:
        assert len(labelled) == 16  # no treated well is left
        assert (~negative).sum() == 8
        assert labelled.loc[~negative, "Metadata_Treatment"].value_counts().tolist() == [2] * 4
        # The two of a group are of one compound for the steps, too.
        assert labelled.loc[~negative, "Metadata_Compound"].nunique() == 4
        for space in spaces:
            assert not (space.fitted & ~negative).any()
            assert not (space.hidden & ~negative).any()


def test_too_few_controls_give_no_null_and_the_reason():
    null, _ = measured(controls=5)
    assert null.validity("auc") == NOT_MEASURED
    assert null.scores("auc") == []
    assert "of 10 negative-control wells 4 can be called treated" in null.reason


@pytest.mark.parametrize(
    ("mean", "spread", "validity"),
    [(0.5, 0.02, VALID), (0.6, 0.02, NOT_VALID), (0.6, 0.2, VALID), (0.525, 0.0, VALID), (0.4, 0.02, BELOW)],
)
def test_a_null_above_chance_makes_a_score_not_valid(mean, spread, validity):
    values = mean + spread * np.tile([-1.0, 1.0], 10)
    null = Null({"auc": values}, {"auc": np.full(20, 0.5)})
    assert null.validity("auc") == validity
    (score,) = null.scores("auc")
    assert (score.control, score.n, score.validity) == ("null", 20, validity)
    assert score.value == pytest.approx(mean)
    assert len(null.details()) == 20


def test_few_draws_must_be_surer_and_a_null_below_an_upper_limit_is_right():
    twice = np.array([0.57, 0.59])
    assert Null({"auc": twice}, {"auc": np.full(2, 0.5)}).validity("auc") == VALID
    assert Null({"auc": np.tile(twice, 10)}, {"auc": np.full(20, 0.5)}).validity("auc") == NOT_VALID
    low = {"share": np.tile([0.0, 0.001], 10)}, {"share": np.full(20, 0.05)}
    assert Null(*low).validity("share") == BELOW
    assert Null(*low, shares={"share": "map"}).validity("share") == VALID
    # What is counted by a metric that noise wins is not valid either.
    high = {"map": np.tile([0.6, 0.61], 10)} | low[0], {"map": np.full(20, 0.5)} | low[1]
    assert Null(*high, shares={"share": "map"}).validity("share") == NOT_VALID


def test_what_positions_do_is_part_of_the_null_of_replicates_at_one_position():
    """Wells of a position are alike on all plates, and so are the screen's replicates: noise that looks like an effect."""
    from phenorep.evaluations import Inputs, retrieval

    table = cells(plates=4, controls=16, treated=16, count=1, sites=1, features=6)
    columns = [name for name in table if name.startswith("x_")]
    shift = np.random.default_rng(3).normal(size=(32, len(columns)))
    table[columns] = 0.3 * table[columns] + shift[table["Metadata_Well"].str[1:].astype(int) - 1]
    treated = table["Metadata_Control"] == ""
    steps = [{"aggregate": {"by": "well", "with": "mean"}}]

    def activity(compounds):
        named = table.assign(Metadata_Compound=np.where(treated, compounds, "DMSO"))
        chain = Chain(Rows.of(named), steps)
        config = retrieval.Config(null_draws=6, null_size=200)
        scores, _ = retrieval.evaluate(config, Inputs(profiles=by_hand(named, steps), chain=chain), 0)
        return next(score for score in scores if score.metric == "map_activity" and score.control == "none")

    assert activity("drug " + table["Metadata_Well"]).validity == NOT_VALID
    elsewhere = table.groupby("Metadata_Plate")["Metadata_Well"].transform(lambda w: np.roll(w, 3 * int(w.name[1:])))
    assert activity("drug " + elsewhere).validity != NOT_VALID


def test_an_evaluation_on_the_wells_that_it_was_fitted_on_is_found_out():
    """The mistake that nulls are for: distances in profiles that were fitted on the controls, without cross-fitting."""

    def fitted_on_all(labelled, negative, fits):
        rows = fits._chain.profiles(set(well_names(labelled[~negative])), fits._chain.controls)
        distance = np.linalg.norm(rows.values - rows.values[negative].mean(axis=0), axis=1)
        return {"auc": (float((distance[~negative][:, None] > distance[negative]).mean()), 0.5)}

    table = cells(plates=1, controls=24, count=1, sites=1, features=20)
    wells = by_hand(table, CHAINS["tvn"])
    negative, chain = (wells["Metadata_Control"] == "negative").to_numpy(), Chain(Rows.of(table), CHAINS["tvn"])
    measure = partial(nulls.measure, chain, wells, negative, draws=6, seed=0)
    assert measure(fitted_on_all).validity("auc") == NOT_VALID
    from phenorep.evaluations import control_separation

    honest = measure(partial(control_separation._drawn, seed=0, max_pairs=10))
    assert honest.validity("auc_distance") in (VALID, BELOW)
