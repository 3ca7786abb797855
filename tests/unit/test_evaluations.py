"""What all evaluations have in common: constants, ranges, controls, subsets, and what they do with bad input."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from phenorep import contracts, evaluations, plugins
from phenorep.errors import NotRun, UserError
from tests.unit import made_samples

NAMES = plugins.names("evaluations")
OWN = ("control_separation", "dose_response", "linear_probe", "moa_matching", "retrieval")
UNITS = ("compound", "mechanism", "well", "plate", "sample")
ROW = {"dataset": "d", "samples": "s", "method": "m", "seed": "0", "epoch": "final", "profile": "p"}


def screen() -> pd.DataFrame:
    """Three plates in three batches, in two cell lines: 8 negative and 3 positive wells, 4 compounds in 4 doses on each."""
    generator = np.random.default_rng(0)
    rows = []
    for plate in range(3):
        for line in ("HeLa", "U2OS"):
            kinds = [("", 0, "negative")] * 8 + [("c0", 4, "positive")] * 3
            kinds += [(f"c{compound}", dose, "") for compound in range(4) for dose in (1, 2, 3, 4)]
            for well, (compound, dose, control) in enumerate(kinds):
                values = generator.normal(size=8)
                if compound:
                    values[int(compound[1]) // 2] += dose * 2
                moa = f"moa{int(compound[1]) // 2}" if compound else ""
                name = f"{'ABCDEFGH'[well // 6]}{well % 6 + 1:02d}"
                rows.append((f"{line}{plate}", name, f"b{plate}", compound, dose, control, moa, line, *values))
    names = ["Plate", "Well", "Batch", "Compound", "Dose", "Control", "MoA", "CellLine"]
    columns = [*(f"Metadata_{name}" for name in names), *contracts.feature_names("x", 8)]
    table = pd.DataFrame(rows, columns=columns).assign(Metadata_Site="1")
    return table.assign(Sample=table["Metadata_Plate"] + "/" + table["Metadata_Well"])


def treatments(table: pd.DataFrame) -> pd.DataFrame:
    """One row per compound, dose and batch: replicates are treatments of their own here, so that none is left out."""
    table = table[table["Metadata_Control"] == ""].copy()
    table["Metadata_Treatment"] = [f"{row.Sample}" for row in table.itertuples()]
    return table


@pytest.fixture
def paths(tmp_path):
    table = screen()
    shown = {"samples": "d/s", "labels": "Metadata_Compound", "where": None, "shown": {"Metadata_Compound": ["c1"]}}
    about = {"encoder": {"recipe": "simclr", "trained_on": [shown | {"wells": [], "compounds": ["c1"]}]}}
    contracts.write_table(table, tmp_path / "embeddings.parquet", "embeddings", about)
    contracts.write_table(table, tmp_path / "well.parquet", "profiles", about)
    contracts.write_table(treatments(table), tmp_path / "treatment.parquet", "profiles", about)
    return tmp_path


def evaluate(paths, use, by=None, keys=None, out="scores", **inputs):
    level = plugins.constants("evaluations", use).get("LEVEL")
    inputs = {"profiles": paths / f"{level}.parquet", "embeddings": paths / "embeddings.parquet"} | inputs
    evaluation = {"use": use, "keys": keys or {}, "by": by}
    row = ROW | {"evaluation": use}
    evaluations.make(evaluation, inputs, None, row, {}, paths / f"{out}.csv", paths / f"{out}.parquet")
    details = contracts.read_table(paths / f"{out}.parquet", "details")
    return contracts.read_scores(paths / f"{out}.csv"), details, contracts.about(paths / f"{out}.parquet")


@pytest.mark.parametrize("name", NAMES)
def test_constants_are_literals_that_planning_can_read(name):
    constants = plugins.constants("evaluations", name)
    assert set(constants["NEEDS"]) <= {"profiles", "chain", "embeddings", "encoder", "samples", "benchmark"}
    assert constants["NEEDS"]
    assert all(column.startswith(("Metadata_", "Label_", "Split_")) for column in constants["REQUIRES"])
    assert "LEVEL" in constants
    assert constants["UNIT"] in UNITS
    assert (constants["LEVEL"] is not None) == ("profiles" in constants["NEEDS"])
    for metric, facts in constants["METRICS"].items():
        assert metric == metric.lower()
        assert facts["range"][0] < facts["range"][1]
        assert facts["better"] in ("higher", "lower")
        assert facts["reference"]
    assert plugins.load("evaluations", name).__doc__


@pytest.mark.parametrize("name", NAMES)
def test_the_task_stands_in_a_biologists_words(name):
    """The report asks with it: which representation should I use to ...?"""
    task = plugins.constants("evaluations", name)["TASK"]
    assert 10 < len(task) <= 70
    assert task[0].islower()
    assert name not in task
    assert "_" not in task


def test_no_plugin_imports_torch_or_scikit_learn_when_it_is_loaded():
    code = (
        "import sys; from phenorep import plugins\n"
        "for kind in ('evaluations', 'steps'):\n"
        "    [plugins.load(kind, name) for name in plugins.names(kind)]\n"
        "print([name for name in ('torch', 'sklearn', 'scipy', 'matplotlib') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("name", OWN)
def test_scores_are_in_range_above_their_control(paths, name):
    scores, details, about = evaluate(paths, name)
    assert (scores["evaluation"] == name).all()
    assert (scores[["dataset", "samples", "method", "profile"]] == ["d", "s", "m", "p"]).all(axis=None)
    metrics = plugins.constants("evaluations", name)["METRICS"]
    assert set(scores["metric"]) == set(metrics)
    for metric, facts in metrics.items():
        rows = scores[scores["metric"] == metric]
        real, control = rows[rows["control"] == "none"], rows[rows["control"].isin(["shuffled", "null"])]
        assert len(real) == len(control) >= 1
        assert rows[["value", "ci_low", "ci_high"]].stack().between(*facts["range"]).all()
        assert (real["ci_low"] <= real["value"]).all()
        assert (real["value"] <= real["ci_high"]).all()
        assert real["value"].mean() > control["value"].mean() + 0.1
        assert (rows["n"] > 0).all()
    assert details.columns[0] == "part"
    assert about["metrics"] == metrics


@pytest.mark.parametrize("name", OWN)
def test_scores_say_what_is_independent_and_items_which_they_belong_to(paths, name):
    scores, details, _ = evaluate(paths, name)
    real = scores[scores["control"] == "none"]
    assert real["unit"].isin(UNITS).all()
    assert (real["units"] >= 1).all()
    items = details[details["part"].isin(["item", "pair"])]
    for (metric, settings), rows in items.groupby(["metric", "settings"]):
        value = (rows["correct"] if (rows["part"] == "pair").all() else rows["value"]).astype(float)
        weight = rows["weight"].astype(float) if "weight" in rows else pd.Series(1.0, rows.index)
        score = real[(real["metric"] == metric) & (real["settings"] == settings)].squeeze()
        assert score["units"] == rows["unit"].nunique()
        assert score["value"] == pytest.approx(np.average(value, weights=weight))


@pytest.mark.parametrize("name", OWN)
def test_the_same_input_gives_the_same_bytes(paths, name):
    for out in ("a", "b"):
        evaluate(paths, name, out=out)
    assert (paths / "a.csv").read_bytes() == (paths / "b.csv").read_bytes()
    assert (paths / "a.parquet").read_bytes() == (paths / "b.parquet").read_bytes()


@pytest.mark.parametrize("name", OWN)
def test_subsets_are_evaluated_one_by_one(paths, name):
    scores, details, _ = evaluate(paths, name, by="Metadata_CellLine")
    subsets = {"Metadata_CellLine=HeLa", "Metadata_CellLine=U2OS"}
    assert set(scores["subset"]) == subsets
    assert subsets <= set(details["subset"])
    table = screen()
    for kind in ("embeddings", "well", "treatment"):
        part = table[table["Metadata_CellLine"] == "U2OS"]
        part = treatments(part) if kind == "treatment" else part
        contracts.write_table(part, paths / f"{kind}.parquet", "embeddings" if kind == "embeddings" else "profiles")
    alone, _, _ = evaluate(paths, name, out="alone")
    both = scores.loc[scores["subset"] == "Metadata_CellLine=U2OS", ["metric", "control", "value", "n"]]
    pd.testing.assert_frame_equal(both.reset_index(drop=True), alone[["metric", "control", "value", "n"]])


def test_a_mistyped_subset_gets_a_suggestion(paths):
    with pytest.raises(UserError, match="Did you mean 'Metadata_CellLine'"):
        evaluate(paths, "moa_matching", by="Metadata_Cellline")


@pytest.mark.parametrize("name", ["control_separation", "dose_response", "moa_matching"])
def test_a_missing_column_does_not_run_and_is_named(paths, name):
    column = plugins.constants("evaluations", name)["REQUIRES"][-1]
    contracts.write_table(screen().drop(columns=column), paths / "less.parquet", "profiles")
    with pytest.raises(NotRun, match=column):
        evaluate(paths, name, profiles=paths / "less.parquet")


def test_a_record_that_was_not_run_is_passed_on(paths):
    contracts.write_not_run(paths / "none.parquet", "no weights")
    with pytest.raises(NotRun, match="no weights"):
        evaluate(paths, "moa_matching", profiles=paths / "none.parquet")


def test_no_negative_control_names_file_and_column(paths):
    contracts.write_table(screen().assign(Metadata_Control=""), paths / "blind.parquet", "profiles")
    for name in ("control_separation", "dose_response"):
        with pytest.raises(UserError, match=rf"(?s)blind\.parquet: {name}:.*Metadata_Control"):
            evaluate(paths, name, profiles=paths / "blind.parquet")


def test_a_plate_with_one_treatment_says_why_it_is_not_matched(paths):
    one = treatments(screen()).head(1)
    contracts.write_table(one, paths / "one.parquet", "profiles")
    with pytest.raises(NotRun, match="at least two compounds"):
        evaluate(paths, "moa_matching", profiles=paths / "one.parquet")


def test_the_mark_of_a_leak_and_the_training_sources_stand_in_the_scores(paths):
    scores, _, _ = evaluate(paths, "moa_matching")
    assert set(scores["leak"]) == {"compound"}
    assert set(scores["trained_on"]) == {"d/s (Metadata_Compound)"}


def test_of_several_encoders_only_the_one_that_a_row_is_evaluated_with_can_have_seen_it(paths):
    """c0 and c2 of one encoder, c1 and c3 of the other: each was trained on labels of what the other held out."""
    table, own, members = treatments(screen()), {}, {}
    for name, mine, seen in (("x", ["c0", "c2"], ["c1", "c3"]), ("y", ["c1", "c3"], ["c0", "c2"])):
        held = {"column": "Metadata_Compound", "values": mine}
        wells = sorted(table.loc[table["Metadata_Compound"].isin(seen), "Sample"])
        source = {"samples": "d/s", "labels": "Metadata_Compound", "where": None, "held_out": held}
        source |= {"shown": {"Metadata_Compound": seen}, "compounds": seen, "wells": wells}
        members[name] = {"recipe": "dino", "trained_on": [source]}
        own[name] = {"blocks": [name], "held_out": held}
    table = table.rename(columns={f"x_{n:04d}": f"y_{n:04d}" for n in range(4, 8)})

    def leaks(alternatives, facts):
        about = {"encoder": {"recipe": "held_out", "members": facts}} | alternatives
        contracts.write_table(table, paths / "own.parquet", "profiles", about)
        found, _, _ = evaluate(paths, "moa_matching", profiles=paths / "own.parquet")
        return set(zip(found["leak"], found["settings"].fillna(""), strict=True))

    assert leaks({"alternatives": own}, members) == {("none", "held_out=Metadata_Compound")}
    assert leaks({}, members) == {("well", "")}
    # An encoder that started from one that had seen its compounds' labels in other wells.
    first = {"samples": "d/s", "labels": "Metadata_Compound", "where": None, "compounds": ["c1"], "wells": ["other/A01"]}
    members["y"]["trained_on"].append(first)
    assert leaks({"alternatives": own}, members) == {("compound", "held_out=Metadata_Compound")}


def marked(path, table, artificial: str) -> str:
    """Annotations of a table: the cells of one compound are abnormal, of others normal."""
    labels = np.where(table["Metadata_Compound"] == artificial, "abnormal", "normal")
    table[["Sample"]].assign(Label_Quality=labels).to_csv(path, index=False)
    return str(path)


def test_annotations_are_the_labels_of_an_evaluation(paths):
    keys = {"target": "Label_Quality", "folds": 2}
    with pytest.raises(NotRun, match="no column Label_Quality"):
        evaluate(paths, "linear_probe", keys=keys)
    given = marked(paths / "labels.csv", screen(), "c3")
    _, details, _ = evaluate(paths, "linear_probe", keys=keys, annotations=given)
    items = details[details["part"] == "item"]
    truth = screen().set_index("Sample")["Metadata_Compound"].eq("c3")
    assert (items["truth"].eq("abnormal").to_numpy() == truth[items["item"]].to_numpy()).all()


def test_an_evaluation_learns_from_another_sample_set(paths):
    """Abnormal are other cells there than here: what is learnt there must be seen here, not what is labelled here."""
    here = marked(paths / "here.csv", screen(), "c3")
    there = marked(paths / "there.csv", screen(), "c0")
    other = {"train_embeddings": paths / "embeddings.parquet", "train_annotations": there}
    keys = {"classifiers": ["linear"], "labels": [], "balance": False, "draws": 1}
    own, _, _ = evaluate(paths, "quality_classification", keys=keys, annotations=here)
    scores, details, _ = evaluate(paths, "quality_classification", keys=keys, annotations=here, out="other", **other)
    auc = {
        name: table.query("metric == 'auc' and control == 'none'")["value"].iloc[0]
        for name, table in (("own", own), ("other", scores))
    }
    assert auc["own"] > 0.8
    assert auc["other"] < 0.7, "c0 and c3 lie in different directions"
    predicted = details[details["part"] == "prediction"]
    assert set(predicted["item"]) == set(screen()["Sample"]), "all labelled rows here are tested"


def test_metadata_that_is_a_list_cannot_split(paths):
    table = treatments(screen())
    table["Metadata_CellLine"] = [["HeLa", "U2OS"]] * len(table)
    contracts.write_table(table, paths / "lists.parquet", "profiles")
    with pytest.raises(UserError, match="Metadata_CellLine has several values"):
        evaluate(paths, "moa_matching", by="Metadata_CellLine", profiles=paths / "lists.parquet")


def test_invariance_finds_turned_cells_again(tmp_path):
    from phenorep import pretrain

    files = made_samples.write(tmp_path / "samples")
    scores = {}
    for recipe, config in (("pixel_statistics", {}), ("random", {"backbone": "resnet10t"})):
        pretrain.make(**made_samples.pretrain_arguments(tmp_path / recipe, files, recipe, config))
        evaluations.make(
            {"use": "invariance", "keys": {"samples": 20}},
            files,
            str(tmp_path / recipe / "encoder.safetensors"),
            ROW,
            {"device": "cpu"},
            tmp_path / "s.csv",
            tmp_path / "d.parquet",
        )
        table = contracts.read_scores(tmp_path / "s.csv").set_index("control")
        assert table.loc["shuffled", "value"] < 0.3
        assert table.loc["none", "n"] == 20
        assert table.loc["none", "unit"] == "well"
        items = contracts.read_table(tmp_path / "d.parquet", "details")
        assert items["unit"].nunique() == table.loc["none", "units"] < 20
        scores[recipe] = table.loc["none", "value"]
    assert scores["pixel_statistics"] > 0.9  # intensities do not turn


def test_samples_without_wells_are_independent_themselves():
    from phenorep.evaluations import invariance

    table = pd.DataFrame({"Sample": ["a", "b"], "Metadata_Plate": "p", "Metadata_Well": ["A01", "A01"]})
    unit, units = invariance._units(table)
    assert (unit, units.tolist()) == ("well", ["p/A01", "p/A01"])
    unit, units = invariance._units(table[["Sample"]])
    assert (unit, units.tolist()) == ("sample", ["a", "b"])


def test_invariance_draws_the_same_samples_in_any_order(tmp_path):
    from phenorep import pretrain

    files = made_samples.write(tmp_path / "samples")
    pretrain.make(**made_samples.pretrain_arguments(tmp_path, files, "random", {"backbone": "resnet10t"}))
    found = []
    for inputs in (files, made_samples.reordered(tmp_path / "others", files)):
        asked, outputs = {"use": "invariance", "keys": {"samples": 9}}, (tmp_path / "s.csv", tmp_path / "d.parquet")
        evaluations.make(asked, inputs, str(tmp_path / "encoder.safetensors"), ROW, {"device": "cpu"}, *outputs)
        found.append([path.read_bytes() for path in outputs])
    assert found[0] == found[1]


def test_turned_images_keep_their_pixels():
    from phenorep.evaluations import invariance

    image = np.arange(12).reshape(1, 3, 4)
    assert invariance.turn(image, 2, False)[0, 0].tolist() == [11, 10, 9, 8]
    assert invariance.turn(image, 0, True)[0, 0].tolist() == [3, 2, 1, 0]
    assert invariance.turn(image, 1, False).shape == (1, 4, 3)
