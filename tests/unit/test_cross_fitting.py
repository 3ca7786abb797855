"""Profiles made anew with some controls hidden: what a fit sees, what it does not, and that means go the way of rows."""

import numpy as np
import pandas as pd
import pytest

from phenorep import contracts, profiles
from phenorep.cross_fitting import Chain, CrossFit, well_names
from phenorep.errors import NotRun, UserError
from phenorep.profiles import tvn
from phenorep.rows import Rows

WELL = {"aggregate": {"by": "well", "with": "mean"}}
CHAINS = {
    "tvn": [{"tvn": {"fit": "negative"}}, WELL],
    "all": [{"tvn": {"fit": "all"}}, WELL],
    "standardised": [{"plate_zscore": {}}, {"tvn": {"fit": "negative"}}, WELL],
    "robust": [{"robust_mad": {"fit": "all"}}, {"coral": {"by": "Metadata_Plate"}}, WELL],
    "fields": [{"aggregate": {"by": "field", "with": "mean"}}, {"tvn": {"fit": "negative"}}, WELL],
    "batches": [{"combat": {"by": "Metadata_Plate"}}, WELL, {"plate_zscore": {}}],
    "factors": [{"factor_analysis": {"factors": 2}}, WELL],
    "wells": [{"aggregate": {"by": "well", "with": "median"}}, {"robust_mad": {}}],
    "medians": [{"tvn": {"fit": "negative"}}, {"aggregate": {"by": "well", "with": "median"}}],
}


def cells(plates: int = 2, controls: int = 6, treated: int = 4, count: int = 4, sites: int = 2, features: int = 5):
    """Cells of control wells and treated ones."""
    generator = np.random.default_rng(0)
    rows = []
    for plate in range(plates):
        for well in range(controls + treated):
            control = well < controls
            for cell in range(count * sites):
                where = (f"p{plate}", f"A{well + 1:02d}", str(cell // count), f"p{plate}_{well}_{cell}")
                rows.append((*where, "negative" if control else "", "DMSO" if control else f"drug {well % 2}"))
    columns = [f"Metadata_{name}" for name in ("Plate", "Well", "Site")]
    table = pd.DataFrame(rows, columns=[*columns, "Sample", "Metadata_Control", "Metadata_Compound"])
    values = generator.normal(size=(len(table), features)) @ generator.normal(size=(features, features))
    return pd.concat([table, pd.DataFrame(values, columns=contracts.feature_names("x", features))], axis=1)


def by_hand(table: pd.DataFrame, steps: list) -> pd.DataFrame:
    """Profiles as the job `normalise` makes them."""
    rows = Rows.of(table.copy())
    for step in steps:
        _, module, config = profiles.configured(step)
        rows = rows.changed(module, config, module.fit(config, rows.frame()))
    return rows.frame()


@pytest.mark.parametrize("name", CHAINS)
def test_profiles_are_those_of_a_table_in_which_the_hidden_wells_are_treated(name):
    table, hidden = cells(), {"p0/A01", "p1/A03"}
    expected = table.copy()
    chosen = np.isin(well_names(expected), list(hidden))
    expected.loc[chosen, "Metadata_Control"] = ""
    expected = by_hand(expected, CHAINS[name])
    found = Chain(Rows.of(table), CHAINS[name]).profiles(hidden).frame()
    assert found["Metadata_Well"].tolist() == expected["Metadata_Well"].tolist()
    columns = contracts.feature_columns(expected.columns)
    np.testing.assert_allclose(found[columns], expected[columns], rtol=1e-8, atol=1e-10)
    assert table["Metadata_Control"].eq("negative").sum() == 2 * 6 * 8  # the table itself is as it was


@pytest.mark.parametrize("name", CHAINS)
def test_one_fit_leaves_nothing_to_the_next(name):
    chain = Chain(Rows.of(cells()), CHAINS[name])
    first = [chain.profiles(hidden).values.copy() for hidden in (set(), {"p0/A02"})]
    chain.profiles({"p1/A01"}, chain.controls)
    for hidden, before in zip((set(), {"p0/A02"}), first, strict=True):
        np.testing.assert_array_equal(chain.profiles(hidden).values, before)


@pytest.mark.parametrize("name", ["tvn", "standardised", "batches", "wells", "medians"])
def test_what_is_hidden_decides_nothing(name):
    table = cells()
    changed = table.copy()
    hidden = well_names(table) == "p0/A02"
    columns = contracts.feature_names("x", 5)
    changed.loc[hidden, columns] += 100.0
    before, after = (Chain(Rows.of(part), CHAINS[name]).profiles({"p0/A02"}).frame() for part in (table, changed))
    others = (well_names(before) != "p0/A02").tolist()
    np.testing.assert_allclose(before.loc[others, columns[:2]], after.loc[others, columns[:2]], atol=1e-9)


def test_a_step_cannot_know_a_hidden_control_by_its_compound(monkeypatch):
    seen = []

    def fit(config, table):
        seen.append(table)
        return {}

    monkeypatch.setattr(tvn, "LINEAR", False)
    monkeypatch.setattr(tvn, "fit", fit)
    monkeypatch.setattr(tvn, "transform", lambda config, fitted, table: table)
    Chain(Rows.of(cells()), CHAINS["tvn"]).profiles({"p0/A01"})
    hidden = seen[0][well_names(seen[0]) == "p0/A01"]
    assert (hidden["Metadata_Control"] == "").all()
    assert not (hidden["Metadata_Compound"] == "DMSO").any()
    assert (seen[0]["Metadata_Compound"] == "DMSO").sum() == 11 * 8


def test_a_step_cannot_know_a_hidden_control_by_a_column_of_the_screens_own(monkeypatch):
    table = cells()
    control = table["Metadata_Control"] == "negative"
    table["Metadata_control_type"] = np.where(control, "negcon", "trt")
    table["Metadata_Concentration"] = np.where(control, np.nan, 3.0)
    table["Metadata_CellLine"] = "U2OS"
    seen = []
    monkeypatch.setattr(tvn, "LINEAR", False)
    monkeypatch.setattr(tvn, "fit", lambda config, part: seen.append(part) or {})
    monkeypatch.setattr(tvn, "transform", lambda config, fitted, part: part)
    Chain(Rows.of(table), CHAINS["tvn"]).profiles({"p0/A01": "null 1", "p1/A01": "null 1"})
    hidden = seen[0][np.isin(well_names(seen[0]), ["p0/A01", "p1/A01"])]
    assert set(hidden["Metadata_control_type"]) == {"trt"}
    assert set(hidden["Metadata_Concentration"]) == {3.0}
    assert set(hidden["Metadata_CellLine"]) == {"U2OS"}
    assert set(hidden["Metadata_Compound"]) == {"null 1"}  # the wells of a group are of one treatment
    assert seen[0]["Metadata_Concentration"].isna().sum() == 10 * 8


def test_a_step_that_chooses_wells_by_what_others_are_is_a_reason(monkeypatch):
    def transform(config, fitted, part):
        return part[(part["Metadata_Control"] == "negative") | ~part["Metadata_Compound"].str.contains("/")]

    monkeypatch.setattr(tvn, "LINEAR", False)
    monkeypatch.setattr(tvn, "BY_ROW", False)
    monkeypatch.setattr(tvn, "fit", lambda config, part: {})
    monkeypatch.setattr(tvn, "transform", transform)
    monkeypatch.setattr(tvn, "carry", lambda config, fitted, floor, columns: floor)
    with pytest.raises(NotRun, match=r"leave out \d+ wells, p0/A\d+ among them"):
        list(fits(cells()).spaces())


def test_a_well_of_several_kinds_of_control_is_refused():
    table = cells().assign(Metadata_Control=[["negative", "positive"]] * 160)
    with pytest.raises(UserError, match="Metadata_Control"):
        Chain(Rows.of(table), CHAINS["tvn"])


def test_only_the_wells_that_are_kept_are_there():
    chain = Chain(Rows.of(cells()), CHAINS["all"])
    found = chain.profiles({"p0/A01"}, chain.controls).frame()
    assert len(found) == 12
    assert found["Metadata_Control"].tolist().count("negative") == 11


def fits(table: pd.DataFrame, seed: int = 0) -> CrossFit:
    wells = by_hand(table, CHAINS["tvn"])
    return CrossFit(Chain(Rows.of(table), CHAINS["tvn"]), wells, (wells["Metadata_Control"] == "negative").to_numpy(), seed)


def test_each_control_is_hidden_once_and_fitted_in_all_other_folds():
    crossed = fits(cells())
    spaces = list(crossed.spaces())
    assert len(spaces) == 5
    hidden = np.sum([space.hidden for space in spaces], axis=0)
    assert (hidden == crossed.negative).all()
    for space in spaces:
        assert not (space.hidden & space.fitted).any()
        assert ((space.hidden | space.fitted) == crossed.negative).all()
        # The fitted controls of all plates are whitened: those that are hidden are not.
        assert np.isfinite(space.values).all()


def test_there_are_as_many_folds_as_the_smallest_plate_has_controls():
    table = cells(controls=4)
    assert fits(table).folds == 4
    table = table[~np.isin(well_names(table), ["p1/A01"])]
    assert fits(table).folds == 3
    table = table[~np.isin(well_names(table), ["p1/A02"])]
    crossed = fits(table)
    assert crossed.few == {"p1": 2}
    assert crossed.folds == 4
    assert (crossed.fold[crossed.plates == "p1"] == -1).all()


def test_the_dealing_follows_names_and_seed_alone():
    table = cells()
    first = dict(zip(fits(table).names, fits(table).fold, strict=True))
    mixed = table.sample(frac=1, random_state=1).reset_index(drop=True)
    again = fits(mixed)
    assert dict(zip(again.names, again.fold, strict=True)) == first
    assert dict(zip(fits(table, seed=1).names, fits(table, seed=1).fold, strict=True)) != first


def test_a_fold_that_cannot_be_fitted_is_a_reason_not_a_crash():
    table = cells(controls=3)
    steps = [{"aggregate": {"by": "well", "with": "mean"}}, {"combat": {"by": "Metadata_Batch"}}]
    table["Metadata_Batch"] = np.where(np.isin(well_names(table), ["p0/A01", "p0/A02"]), "b0", "b1")
    wells = by_hand(table, steps)
    crossed = CrossFit(Chain(Rows.of(table), steps), wells, (wells["Metadata_Control"] == "negative").to_numpy(), 0)
    with pytest.raises(NotRun, match="with some of the controls hidden"):
        list(crossed.spaces())
