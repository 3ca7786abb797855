"""Which labelled samples are learnt from and which are tested."""

import numpy as np
import pytest

from phenorep.errors import NotRun, UserError
from phenorep.quality import splits
from phenorep.quality.splits import LabelConfig
from tests.unit.made_labels import table


def design(samples=None, train=None, seed=0, **keys):
    config = LabelConfig(**({"labels": (60, 25, 10), "test": 40} | keys))
    judged = splits.labelled(table() if samples is None else samples, config.groups)
    known = None if train is None else splits.labelled(train, config.groups)
    return splits.design(config, judged, known, seed)


def names(made, part="test"):
    rows, of = (made.test, made.judged) if part == "test" else (made.pool, made.known)
    return set(of.table["Sample"].iloc[rows])


def few(samples, normal, abnormal):
    """The first so many of each kind keep their labels."""
    samples = samples.copy()
    for kind, count in (("normal", normal), ("abnormal", abnormal)):
        rows = np.flatnonzero(samples["Label_Quality"] == kind)[count:]
        samples.loc[rows, "Label_Quality"] = ""
    return samples


def test_groups_never_stand_in_both_parts_and_both_are_balanced():
    made = design()
    assert not set(made.judged.groups[made.test]) & set(made.known.groups[made.pool])
    assert made.judged.counts(made.test).tolist() == [20, 20]
    assert made.counts == (60, 25, 10)
    assert made.stated == []
    for count in made.counts:
        for draw in range(4):
            rows = made.drawn(count, draw)
            assert len(set(rows)) == count
            assert set(rows) <= set(made.pool)
            assert abs(np.diff(made.known.counts(rows))[0]) <= 1
    odd = [made.known.counts(made.drawn(25, draw)).tolist() for draw in range(2)]
    assert odd == [[13, 12], [12, 13]]


def test_the_test_part_is_the_same_for_all_label_counts_draws_and_orders_of_the_table():
    first = design()
    assert names(first) == names(design(labels=(60,), draws=2)) == names(design(table().sample(frac=1, random_state=1)))
    assert names(first) != names(design(seed=1))
    shuffled = design(table().sample(frac=1, random_state=1))
    drawn = [set(made.known.table["Sample"].iloc[made.drawn(25, 3)]) for made in (first, shuffled)]
    assert drawn[0] == drawn[1]


def test_fewer_labels_are_a_part_of_more_and_draws_differ():
    made = design()
    for draw in range(3):
        assert set(made.drawn(10, draw)) <= set(made.drawn(60, draw))
    assert len({tuple(sorted(made.drawn(10, draw))) for draw in range(5)}) == 5


def test_the_classes_of_a_draw_are_not_in_order_by_class_over_the_test_batches():
    made = design(groups="")
    batches = [made.judged.counts(made.test[start : start + 16]) for start in (0, 16)]
    assert min(np.min(counts) for counts in batches) > 0


def test_where_labels_are_fewer_than_asked_for_what_there_is_is_divided():
    made = design(few(table(), 300, 50), labels=(200, 100, 10), test=100, groups="")
    assert made.judged.counts(made.test).tolist() == [16, 16]  # 50 * 100 / 300
    assert made.counts == (68, 10)  # twice the 34 that are left of the rarer class
    assert made.stated[0].startswith("test: 100 asked for; 32 can be tested")
    assert made.stated[1].startswith("labels: 200, 100 asked for; there are 68 to learn from")
    assert len(made.drawn(68, 0)) == 68


def test_with_labels_to_spare_samples_are_tested_from_many_groups():
    made = design(labels=(10,), test=10)
    groups = [set(made.judged.groups[rows]) for rows in (made.test, made.pool)]
    assert len(groups[0]) >= 6
    assert len(groups[1]) >= 12
    assert not groups[0] & groups[1]


def test_the_labels_own_proportion():
    made = design(few(table(), 300, 60), labels=(100,), test=90, groups="", balance=False)
    assert made.judged.counts(made.test).tolist() == [75, 15]
    assert made.known.counts(made.drawn(100, 0)).tolist() == [83, 17]
    small = design(few(table(), 300, 6), labels=(5,), test=30, groups="", balance=False)
    assert small.known.counts(small.drawn(5, 0)).tolist() == [4, 1]


def test_no_number_of_labels_takes_all():
    made = design(labels=())
    least = made.known.counts(made.pool).min()
    assert made.counts == (2 * least,)


def test_a_stated_split_is_taken_as_it_is():
    samples = table()
    samples["Split_Quality"] = np.where(samples["Metadata_Well"] < "A10", "test", "train")
    samples.loc[samples["Metadata_Well"] > "A20", "Split_Quality"] = ""
    made = design(samples)
    assert names(made) == set(samples.loc[samples["Metadata_Well"] < "A10", "Sample"])
    assert names(made, "pool") == set(samples.loc[samples["Split_Quality"] == "train", "Sample"])
    assert made.stated == []
    samples["Split_Quality"] = np.where(np.arange(len(samples)) % 2, "test", "train")
    assert "30 groups stand in both parts" in design(samples).stated[0]
    samples["Split_Quality"] = np.where(samples["Label_Quality"] == "normal", "test", "train")
    with pytest.raises(UserError, match="'train' for 0 normal and"):
        design(samples)


def test_labels_of_another_set_are_learnt_from_and_all_here_are_tested():
    made = design(table(count=80, plate="Q"), train=table(), labels=(60,))
    assert names(made) == set(table(count=80, plate="Q")["Sample"])
    assert names(made, "pool") == set(table()["Sample"])
    assert made.known.counts(made.drawn(60, 0)).tolist() == [30, 30]


def test_shuffled_labels_stay_together_in_their_fields():
    samples = table()
    made = design(samples, labels=(100,))
    rows, labels = made.shuffled(100, 0)
    assert set(rows) <= set(made.pool)
    for field in set(made.known.fields[rows]):
        assert len(set(labels[made.known.fields[rows] == field])) == 1
    agreement = np.mean(
        [np.mean(made.known.abnormal[rows] == labels) for rows, labels in map(made.shuffled, [100] * 40, range(40))]
    )
    assert agreement == pytest.approx(0.5, abs=0.1)
    assert labels.any()
    assert not labels.all()


def test_unlabelled_rows_and_rows_outside_a_subset_do_not_count():
    samples = few(table(), 100, 80)
    found = splits.labelled(samples, "Metadata_Well", rows=np.arange(300))
    assert (samples["Label_Quality"].iloc[found.rows] != "").all()
    assert found.rows.max() < 300
    assert found.table["Sample"].is_monotonic_increasing
    assert (found.abnormal == (samples["Label_Quality"].iloc[found.rows] == "abnormal")).all()


@pytest.mark.parametrize(
    ("samples", "keys", "message"),
    [
        (table().drop(columns="Label_Quality"), {}, r"have no labels .*snakemake annotate.*'annotations:'"),
        (table().assign(Label_Quality=""), {}, "no sample is labelled.*'annotations:'"),
        (table().assign(Label_Quality="normal"), {}, "all 600 labelled samples are normal"),
        (table(), {"groups": "Metadata_Donor"}, "groups: the samples have no column Metadata_Donor"),
        (table(wells=1), {}, r"that are normal lie in so few groups .*\(1 groups in all\).*Metadata_Site"),
        (few(table().sort_values("Metadata_Well", ignore_index=True), 200, 3), {}, "that are abnormal lie in so few groups"),
    ],
)
def test_what_cannot_be_divided_says_why(samples, keys, message):
    with pytest.raises(NotRun, match=f"(?s){message}"):
        design(samples, **keys)


def test_another_word_is_an_error():
    with pytest.raises(UserError, match="holds 'bad'; it can be normal, abnormal or empty"):
        design(table().replace({"Label_Quality": {"abnormal": "bad"}}))


def test_one_well_with_most_of_a_class_is_learnt_from():
    samples = table(wells=12)
    samples["Label_Quality"] = np.where(samples["Metadata_Well"].isin(["A00", "A01"]), "abnormal", "normal")
    rows = np.flatnonzero(samples["Metadata_Well"] == "A01")
    samples = samples.drop(index=rows[4:]).reset_index(drop=True)
    for seed in range(5):
        made = design(samples, seed=seed)
        assert "P1/A01" in made.judged.groups[made.test]
        assert made.judged.counts(made.test).tolist() == [4, 4]


def test_a_search_chooses_by_folds_of_whole_groups_inside_the_first_draw():
    made = design(table(), labels=(60,), search={"learning_rate": [0.1, 0.5], "momentum": [0.5]})
    seen = []

    def score(config, train, held_out):
        assert set(np.concatenate([train, held_out])) == set(made.drawn(60, 0))
        assert not set(made.known.groups[train]) & set(made.known.groups[held_out])
        seen.append((config.test, config.draws))
        return -abs(config.test - 30) + (config.draws == 4)

    config = LabelConfig(search={"test": [10, "30"], "draws": [4, 5], "folds": [7]})
    chosen = splits.searched(config, ("test", "draws"), made, 60, score)
    assert (chosen.test, chosen.draws, chosen.folds) == (30, 4, 3)
    assert (10, 10) in seen
    assert all(test == 30 for test, draws in seen if draws != 10)  # one key after another


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"labels": (1,)}, "labels"),
        ({"labels": (10, 10)}, "labels"),
        ({"test": 1}, "test"),
        ({"draws": 0}, "draws"),
        ({"permutations": 0}, "permutations"),
        ({"folds": 1}, "folds"),
    ],
)
def test_wrong_keys_are_named(keys, message):
    with pytest.raises(ValueError, match=message):
        LabelConfig(**keys)


@pytest.mark.parametrize("wells", [20, 60, 200])
def test_the_numbers_asked_for_are_reached_with_whole_wells(wells):
    """As many labels as are learnt from and tested, none to spare: the study hcs_qc has 240 of each kind."""
    for seed in range(6):
        generator = np.random.default_rng(seed)
        share = generator.dirichlet(np.full(wells, 0.7))  # abnormal cells lie together
        well = np.concatenate([generator.integers(wells, size=240), generator.choice(wells, 240, p=share)])
        samples = table(count=480).assign(
            Metadata_Well=[f"A{number:02d}" if number < 100 else f"B{number - 99:02d}" for number in well],
            Label_Quality=["normal"] * 240 + ["abnormal"] * 240,
        )
        made = design(samples, seed=seed, labels=(350, 100), test=130)
        assert made.counts == (350, 100)
        assert len(made.test) >= 126
        assert len(made.test) == 130 or wells == 20
        assert not set(made.judged.groups[made.test]) & set(made.known.groups[made.pool])
        assert any("groups (Metadata_Well) were moved" in text for text in made.stated)
