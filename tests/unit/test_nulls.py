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


def test_a_third_plays_and_half_where_that_is_few():
    assert nulls._quotas({"a": 16}, False) == {"a": 8}
    assert nulls._quotas({"a": 32, "b": 32}, False) == {"a": 10, "b": 10}
    assert nulls._quotas({"a": 6, "b": 6, "c": 6}, False) == {"a": 3, "b": 3, "c": 2}
    assert sum(nulls._quotas({"a": 5, "b": 4, "c": 4}, False).values()) == 4  # three real ones are left on each plate
    assert all(quota % 2 == 0 for quota in nulls._quotas({"a": 9, "b": 9}, True).values())


@pytest.mark.parametrize("within", [True, False])
def test_partners_are_of_one_plate_or_of_different_ones(within):
    names = np.array([f"{plate}/{well}" for plate in "ab" for well in range(16)])
    plates = np.array([name[0] for name in names])
    playing = nulls._playing(nulls._quotas({"a": 16, "b": 16}, within), plates, names, within, [0, 0])
    same = [first[0] == second[0] for first, second in zip(playing[::2], playing[1::2], strict=True)]
    assert len(set(playing)) == len(playing) == 10
    assert all(same) if within else not any(same)


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
