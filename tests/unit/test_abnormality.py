"""The probability of being abnormal: calibrated, moved to the screen's share, honest about labelled samples."""

import numpy as np
import pandas as pd
import pytest

from phenorep import contracts
from phenorep.errors import NotRun, UserError
from phenorep.quality import abnormality

SETTINGS = {"method": "m"}


def screen(
    share: float = 0.2, count: int = 1200, shift: float = 2.5, seed: int = 0, features: int = 8
) -> tuple[pd.DataFrame, np.ndarray]:
    """Two plates of 48 wells; one of the features tells abnormal samples; no labels yet."""
    generator = np.random.default_rng(seed)
    abnormal = generator.random(count) < share
    values = generator.normal(size=(count, features))
    values[:, 0] += shift * abnormal
    wells = [f"{'ABCDEF'[well // 8]}{well % 8 + 1:02d}" for well in generator.integers(0, 48, count)]
    table = pd.DataFrame(
        {
            "Metadata_Plate": np.where(np.arange(count) < count // 2, "P1", "P2"),
            "Metadata_Well": wells,
            "Metadata_Site": "1",
            "Sample": [f"s{number}" for number in range(count)],
            "Label_Quality": "",
        }
    )
    return table.join(pd.DataFrame(values, columns=contracts.feature_names("m", features))), abnormal


def label(table: pd.DataFrame, abnormal: np.ndarray, rows: np.ndarray) -> pd.DataFrame:
    labels = np.where(abnormal, "abnormal", "normal")
    return table.assign(Label_Quality=np.where(np.isin(np.arange(len(table)), rows), labels, ""))


def drawn(abnormal: np.ndarray, each: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return np.concatenate([generator.choice(np.flatnonzero(kind), each, replace=False) for kind in (abnormal, ~abnormal)])


def made(tmp_path, table: pd.DataFrame, other: pd.DataFrame | None = None, marked=None, **keys) -> tuple[pd.DataFrame, dict]:
    inputs = {}
    for name, part in (("embeddings", table), ("train_embeddings", other)):
        if part is not None:
            inputs[name] = str(tmp_path / f"{name}.parquet")
            with contracts.table_writer(inputs[name], "embeddings", {"encoder": {"recipe": "m"}}) as write:
                for _, plate in part.groupby("Metadata_Plate"):
                    write(plate)
    if marked is not None:
        inputs["train_annotations" if other is not None else "annotations"] = marked
    output = tmp_path / "abnormality.parquet"
    abnormality.make(inputs, SETTINGS | keys, output)
    return contracts.read_table(output, "abnormality"), contracts.about(output)


@pytest.mark.parametrize("classifier", ["linear", "knn", "forest"])
def test_probabilities_are_calibrated_for_samples_without_a_label(tmp_path, classifier):
    table, abnormal = screen()
    table = label(table, abnormal, drawn(abnormal, 100))
    rest = (table["Label_Quality"] == "").to_numpy()
    found, facts = made(tmp_path, table, classifier=classifier, prevalence=f"{abnormal[rest].mean():.3f}")
    probability = found["abnormality"].to_numpy()
    brier = ((probability - abnormal) ** 2)[rest].mean()
    constant = abnormal[rest].mean() * (1 - abnormal[rest].mean())
    assert brier < 0.75 * constant, "better than the share alone"
    assert abs(probability[rest].mean() - abnormal[rest].mean()) < 0.06
    sure = rest & (probability > 0.9)
    assert not sure.any() or abnormal[sure].mean() > 0.7
    assert facts["counts"] == {"normal": 100, "abnormal": 100}
    assert found["Sample"].tolist() == table["Sample"].tolist()


@pytest.mark.parametrize(("features", "shift"), [(8, 2.5), (64, 4)])
def test_neighbours_hold_where_few_images_are_abnormal(tmp_path, features, shift):
    """Learnt from as many of each kind, where one in twenty is abnormal: no step of probability promises what is not there.

    Of shares of five neighbours 0.76 to 0.98 was said where 0.2 to 0.4 were abnormal.
    """
    probability, truth = [], []
    for seed in range(8):
        table, abnormal = screen(share=0.05, count=4000, shift=shift, seed=seed, features=features)
        table = label(table, abnormal, drawn(abnormal, 100))
        rest = (table["Label_Quality"] == "").to_numpy()
        found, _ = made(tmp_path, table, classifier="knn", prevalence=f"{abnormal[rest].mean():.4f}")
        probability.append(found["abnormality"].to_numpy()[rest])
        truth.append(abnormal[rest])
    steps = abnormality.calibration(np.concatenate(probability), np.concatenate(truth))
    steps = [step for step in steps if step["count"] >= 100]
    assert len(steps) > 3
    for step in steps:
        assert abs(step["predicted"] - step["observed"]) < 0.1, step


@pytest.mark.parametrize("classifier", ["linear", "knn", "forest"])
def test_the_order_of_the_rows_changes_no_probability(tmp_path, classifier):
    table, abnormal = screen(count=400)
    table = label(table, abnormal, drawn(abnormal, 40))
    shuffled = table.iloc[np.random.default_rng(4).permutation(len(table))].reset_index(drop=True)
    keys = {"classifier": classifier, "max_labels": 30, "prevalence": "estimate"}
    first, second = (made(tmp_path, rows, **keys) for rows in (table, shuffled))
    found = [part.set_index("Sample")["abnormality"].sort_index() for part, _ in (first, second)]
    pd.testing.assert_series_equal(*found, rtol=1e-12)
    assert first[1]["auc"] == second[1]["auc"]
    assert first[1]["prevalence"] == pytest.approx(second[1]["prevalence"], abs=1e-12)


def test_labelled_samples_get_what_was_said_without_them(tmp_path):
    """A wrong label among many must not make its own sample look as it says: the forest would learn it by heart."""
    table, abnormal = screen(shift=6)
    rows = drawn(abnormal, 60)
    wrong = rows[0]
    labels = label(table, abnormal, rows)
    labels.loc[wrong, "Label_Quality"] = "normal"
    found, _ = made(tmp_path, labels, classifier="forest")
    assert abnormal[wrong]
    assert found["abnormality"].iloc[wrong] > 0.8
    assert found["Label_Quality"].iloc[wrong] == "normal"


@pytest.mark.parametrize(("prevalence", "expected"), [("labels", 0.5), ("0.1", 0.1), ("estimate", 0.2)])
def test_the_share_in_the_screen(tmp_path, prevalence, expected):
    table, abnormal = screen(shift=5)
    table = label(table, abnormal, drawn(abnormal, 80))
    _, facts = made(tmp_path, table, prevalence=prevalence)
    assert facts["prevalence"] == pytest.approx(expected, abs=0.04)
    assert facts["prevalence_how"]


def test_moving_a_probability_follows_bayes():
    # Of 100 images 50 are abnormal; a finding is in 40 of these and in 10 normal ones: 0.8. Where 10 of 100 are abnormal:
    # 10 * 0.8 = 8 against 90 * 0.2 = 18.
    assert abnormality.moved(np.array([0.8]), 0.5, 0.1)[0] == pytest.approx(8 / 26)
    assert abnormality.moved(np.array([0.3, 0.7]), 0.4, 0.4) == pytest.approx([0.3, 0.7])


def test_the_estimate_of_the_share_is_right_where_probabilities_are():
    generator = np.random.default_rng(0)
    abnormal = generator.random(50_000) < 0.07
    value = generator.normal(size=50_000) + 2 * abnormal
    balanced = 1 / (1 + np.exp(-(2 * value - 2)))  # the true probability where both kinds are as many
    assert abnormality.estimated_prevalence(balanced, 0.5) == pytest.approx(0.07, abs=0.01)


def test_the_calibration_table_by_hand():
    table = abnormality.calibration(np.array([0.05, 0.07, 0.95, 1.0]), np.array([False, True, True, True]))
    assert [(row["low"], row["count"], row["observed"]) for row in table] == [(0.0, 2, 0.5), (0.9, 2, 1.0)]
    assert table[0]["predicted"] == pytest.approx(0.06)


def test_labels_of_another_sample_set(tmp_path):
    table, abnormal = screen(seed=1, shift=5)
    other, there = screen(seed=2, shift=5)
    found, facts = made(tmp_path, table, label(other, there, drawn(there, 80)), prevalence="0.2")
    assert ((found["abnormality"] >= 0.5) == abnormal).mean() > 0.95
    assert set(found["Label_Quality"]) == {""}
    assert "train_embeddings" in facts["labels_from"]


def test_annotations_take_the_place_of_the_labels_of_the_dataset(tmp_path):
    table, abnormal = screen(shift=5)
    rows = drawn(abnormal, 40)
    marks = table.assign(Label_Quality=np.where(abnormal, "abnormal", "normal")).iloc[rows][["Sample", "Label_Quality"]]
    path = tmp_path / "labels.csv"
    marks.to_csv(path, index=False)
    upside_down = table.assign(Label_Quality=np.where(abnormal, "normal", "abnormal"))
    found, facts = made(tmp_path, upside_down, marked=str(path))
    assert facts["counts"] == {"normal": 40, "abnormal": 40}
    assert ((found["abnormality"] >= 0.5) == abnormal).mean() > 0.95


def test_the_same_input_gives_the_same_bytes(tmp_path):
    table, abnormal = screen(count=400)
    table = label(table, abnormal, drawn(abnormal, 30))
    files = []
    for run in "ab":
        (tmp_path / run).mkdir()
        made(tmp_path / run, table)
        files.append(pd.read_parquet(tmp_path / run / "abnormality.parquet"))
    pd.testing.assert_frame_equal(*files)


def test_many_labels_are_drawn_from_but_the_share_is_that_of_all(tmp_path):
    table, abnormal = screen(count=800)
    found, facts = made(tmp_path, label(table, abnormal, np.arange(800)), max_labels=50)
    assert facts["counts"] == {"normal": 50, "abnormal": 50}
    assert facts["prevalence"] == pytest.approx(abnormal.mean())
    assert (found["Label_Quality"] != "").sum() == 100


def test_few_wells_still_hold_samples_out(tmp_path):
    table, abnormal = screen(count=200, shift=5)
    table["Metadata_Well"] = np.where(abnormal, "A01", "A02")
    _, facts = made(tmp_path, label(table, abnormal, drawn(abnormal, 25)).assign(Metadata_Plate="P1"))
    assert facts["auc"] > 0.9


def test_no_label_does_not_run_and_says_how_to_get_some(tmp_path):
    table, _ = screen(count=100)
    with pytest.raises(NotRun, match="snakemake annotate"):
        made(tmp_path, table)


def test_one_class_only_names_file_and_remedy(tmp_path):
    table, abnormal = screen(count=100)
    table = label(table, abnormal, np.flatnonzero(~abnormal))
    with pytest.raises(UserError, match=r"embeddings\.parquet: 0 samples are labelled abnormal.*annotations:"):
        made(tmp_path, table)


def test_fewer_labels_than_neighbours_do_not_run(tmp_path):
    table, abnormal = screen(count=100)
    table = label(table, abnormal, drawn(abnormal, 2))
    with pytest.raises(NotRun, match="neighbours"):
        made(tmp_path, table, classifier="knn")


@pytest.mark.parametrize(
    "keys", [{"prevalence": "2"}, {"prevalence": "half"}, {"folds": 1}, {"classifier": "tree"}, {"max_labels": 1}]
)
def test_wrong_keys(tmp_path, keys):
    table, abnormal = screen(count=100)
    with pytest.raises(UserError, match=f"abnormality: .*{next(iter(keys))}|{next(iter(keys))}"):
        made(tmp_path, label(table, abnormal, drawn(abnormal, 5)), **keys)
