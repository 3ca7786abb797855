"""Encoders trained without some of the compounds: who leaves out which, and what the combined table says of it."""

import numpy as np
import pandas as pd
import pytest

from phenorep import alternatives, contracts, embedding, encoders, folds, plugins, pretrain, profiles, scores
from phenorep.batches import Source
from phenorep.errors import UserError
from phenorep.methods import held_out
from tests.unit import made_samples

# By hand, in three folds: mechanisms by name, the unknown one first, and compounds by name within each:
# DMSO | A1 A2 | B1 B2 B3 -> folds 0 1 2 0 1 2. B3 stands once without its mechanism, A2 in two: "a" comes first.
COMPOUNDS = ["B2", "A2", "DMSO", "B1", "A1", "B3", "A2", "", "B3", "DMSO"]
MECHANISMS = ["b", "a", "", "b", "a", "", "z", "a", "b", None]
FOLDS = {0: ["B1", "DMSO"], 1: ["A1", "B2"], 2: ["A2", "B3"]}


def table() -> pd.DataFrame:
    return pd.DataFrame({"Metadata_Compound": COMPOUNDS, "Metadata_MoA": MECHANISMS})


class Samples:
    """As much of a sample set as a source reads."""

    def __init__(self, frame: pd.DataFrame):
        self.table = frame.assign(Metadata_Plate="P1", Metadata_Well=[f"A{row:02d}" for row in range(len(frame))])

    def sums_of_plates(self) -> dict:
        return {}


def hold_out(fold, of=3, column="Metadata_Compound") -> dict:
    return {"column": column, "fold": fold, "of": of}


def test_compounds_are_dealt_out_mechanism_by_mechanism():
    for fold, expected in FOLDS.items():
        rows, facts = folds.held_out(table(), folds.HoldOut("Metadata_Compound", fold, 3), "here")
        assert facts == {"column": "Metadata_Compound", "fold": fold, "of": 3, "values": expected}
        assert sorted(set(table()["Metadata_Compound"][rows])) == expected


def test_folds_do_not_depend_on_the_order_of_rows():
    wanted = folds.HoldOut("Metadata_Compound", 2, 3)
    for seed in range(5):
        assert folds.held_out(table().sample(frac=1, random_state=seed), wanted, "here")[1]["values"] == FOLDS[2]


def test_without_mechanisms_compounds_are_dealt_out_by_name():
    assert folds.deal(table()["Metadata_Compound"]) == ["A1", "A2", "B1", "B2", "B3", "DMSO"]


def test_folds_are_of_the_whole_table_and_empty_values_stay():
    """`where` takes A1 out: the same fold of what is left would hold out A2 and B3."""
    source = Source.choose("d/s", Samples(table()), "Metadata_Compound != 'A1'", "Metadata_Compound", hold_out(1))
    assert source.held_out["values"] == FOLDS[1]
    assert source.rows.tolist() == [1, 2, 3, 5, 6, 7, 8, 9]
    assert source.labels.tolist() == ["A2", "DMSO", "B1", "B3", "A2", "", "B3", "DMSO"]
    about = source.labelled().about()
    assert about["held_out"] == hold_out(1) | {"values": FOLDS[1]}
    assert about["shown"] == {"Metadata_Compound": ["A2", "B1", "B3", "DMSO"]}
    assert "held_out" not in Source.choose("d/s", Samples(table())).about()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (hold_out(3), r"train: d/s: hold_out: fold must lie between 0 and 2 \(of: 3\), not at 3"),
        (hold_out(-1), "fold must lie between 0 and 2"),
        (hold_out(0, of=1), "of must be 2 or more, not 1"),
        (hold_out(0, of=7), "of: 7 folds of the 6 values of Metadata_Compound"),
        (hold_out(0, column="Metadata_Compund"), "no column 'Metadata_Compund'. Did you mean 'Metadata_Compound'"),
        (hold_out(0) | {"folds": 3}, "hold_out: unknown key 'folds'"),
        ({"column": "Metadata_Compound", "of": 3}, "hold_out: the key 'fold' is needed"),
        ([0, 3], "is no block, like {column: Metadata_Compound"),
    ],
)
def test_mistakes_in_the_configuration(keys, message):
    with pytest.raises(UserError, match=message):
        Source.choose("d/s", Samples(table()), hold_out=keys)


def test_a_fold_that_holds_out_all_chosen_rows_is_an_error():
    with pytest.raises(UserError, match="it holds out all samples"):
        Source.choose("d/s", Samples(table()), "Metadata_Compound == 'A1'", hold_out=hold_out(1))


def test_from_training_to_the_combined_table(tmp_path):
    """Two encoders, each trained without one of the compounds A and B."""
    files = made_samples.write(tmp_path / "samples")
    keys = {"backbone": "resnet10t", "epochs": 1, "batch_size": 4, "projector": [8], "warmup_epochs": 0}
    paths = []
    for fold in (0, 1):
        folder = tmp_path / str(fold)
        arguments = made_samples.pretrain_arguments(folder, files, "simclr", keys)
        arguments["sources"][0] |= {"labels": "Metadata_Compound", "hold_out": hold_out(fold, of=2)}
        pretrain.make(**arguments)
        paths.append(folder / "e.parquet")
        embedding.make(folder / "encoder.safetensors", *files.values(), {"device": "cpu"}, 1, paths[-1])
    (source,) = encoders.metadata(tmp_path / "0" / "encoder.safetensors")["trained_on"]
    assert (source["compounds"], source["held_out"]["values"], source["count"]) == (["B"], ["A"], 16)
    embedding.combine(paths, ["first", "second"], tmp_path / "both.parquet", {"use": "held_out"})
    about = contracts.about(tmp_path / "both.parquet")
    assert about["encoder"]["recipe"] == "held_out"
    held = {"column": "Metadata_Compound", "values": ["A"]}
    assert about["alternatives"]["first"] == {"blocks": ["first"], "held_out": held}
    both = contracts.read_table(tmp_path / "both.parquet", "embeddings")
    assert alternatives.owners(about["alternatives"], both)[:4].tolist() == [0, 1, -1, 0]
    with pytest.raises(UserError, match=r"bad\.parquet: members: 'A' \(Metadata_Compound\) is held out by 2 members"):
        embedding.combine(paths[:1] * 2, ["first", "second"], tmp_path / "bad.parquet", {"use": "held_out"})
    assert not (tmp_path / "bad.parquet").exists()
    mine = both[both["Metadata_Compound"] == "A"]
    seen = {name: scores.leak(scores.trained_on(facts), mine, "made") for name, facts in about["encoder"]["members"].items()}
    assert seen == {"first": "none", "second": "well"}


def trained(*values, column="Metadata_Compound", **other) -> dict:
    """Facts about an encoder that held out these values."""
    source = {"samples": "d/s", "labels": "Metadata_Compound", **other}
    held = {"column": column, "fold": 0, "of": 2, "values": list(values)} if values else None
    return {"recipe": "dino", "trained_on": [source if held is None else source | {"held_out": held}]}


def side_by_side(**members) -> dict:
    return {"recipe": "concat", "members": members, "trained_on": []}


@pytest.fixture
def embedded(tmp_path):
    frame = pd.DataFrame({"Metadata_Compound": ["c1", "c2", "c3", "", "c1"], "Sample": list("abcde")})
    frame = frame.assign(Metadata_Plate="P", Metadata_Well="A01", Metadata_Site="1", x_0000=0.5)
    contracts.write_table(frame, tmp_path / "e.parquet", "embeddings")
    return tmp_path / "e.parquet"


def facts(embedded, **encoder) -> dict:
    blocks = {name: [f"{name}_dna", f"{name}_actin"] for name in encoder}
    return held_out.facts({name: {"encoder": one} for name, one in encoder.items()}, blocks, embedded)["alternatives"]


def test_members_of_several_encoders_that_held_out_the_same(embedded):
    untrained = {"recipe": "pixel_statistics", "trained_on": []}
    first = side_by_side(dna=trained("c1", "c3"), actin=side_by_side(a=trained("c1", "c3"), b=untrained))
    found = facts(embedded, first=first, second=trained("c2"))
    assert found == {
        "first": {
            "blocks": ["first_dna", "first_actin"],
            "held_out": {"column": "Metadata_Compound", "values": ["c1", "c3"]},
        },
        "second": {
            "blocks": ["second_dna", "second_actin"],
            "held_out": {"column": "Metadata_Compound", "values": ["c2"]},
        },
    }


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (trained("c1"), trained("c2"), r"'c3' \(Metadata_Compound\) is held out by no member"),
        (trained("c1", "c2"), trained("c2", "c3"), r"'c2' .* is held out by 2 members \(first, second\)"),
        (trained("c1", "c2"), trained(), "second was trained on all of its samples"),
        (trained("c1"), trained("c2", "c3", column="Metadata_MoA"), "some hold out values of Metadata_Compound, some of"),
        (trained("c1", column="Metadata_X"), trained("c2", column="Metadata_X"), "values of Metadata_X, a column that"),
        (trained("c1"), {"recipe": "random", "trained_on": []}, "second was not trained on any samples"),
        (
            side_by_side(dna=trained("c1"), actin=trained("c2")),
            trained("c3"),
            "members: first: first/dna and first/actin do not hold out the same",
        ),
        (side_by_side(dna=trained("c1"), actin=trained()), trained("c2", "c3"), "first/actin was trained on all"),
    ],
)
def test_members_that_do_not_fit_together(embedded, first, second, message):
    with pytest.raises(UserError, match=message):
        facts(embedded, first=first, second=second)


def test_a_row_of_several_values_belongs_to_whom_held_out_all_of_them():
    own = {
        name: {"blocks": [name], "held_out": {"column": "Metadata_Compound", "values": values}}
        for name, values in {"first": ["a", "c"], "second": ["b", "1"]}.items()
    }
    rows = [["a", "c"], ["a", "b"], "b", "", ["b"], np.array(["c", ""]), None, 1]
    assert alternatives.owners(own, pd.DataFrame({"Metadata_Compound": rows})).tolist() == [0, -1, 1, -1, 1, 0, -1, 1]
    with pytest.raises(UserError, match="Metadata_Compound, a column that the table has no longer"):
        alternatives.owners(own, pd.DataFrame({"Metadata_MoA": ["m"]}))


@pytest.mark.parametrize("step", plugins.names("steps"))
def test_profile_steps_keep_the_facts_and_the_names_of_blocks(tmp_path, step):
    generator = np.random.default_rng(0)
    rows = [(plate, f"A{well:02d}") for plate in ("p1", "p2") for well in range(12)]
    frame = pd.DataFrame(rows, columns=["Metadata_Plate", "Metadata_Well"]).assign(Metadata_Site="1")
    frame["Metadata_Batch"] = frame["Metadata_Plate"]
    frame["Metadata_Control"] = np.where(np.arange(24) % 2, "negative", "")
    frame["Metadata_Compound"] = np.where(np.arange(24) % 2, "DMSO", "c1")
    frame["Sample"] = frame["Metadata_Plate"] + frame["Metadata_Well"]
    names = [*contracts.feature_names("first_dna", 3), *contracts.feature_names("second", 4)]
    frame = pd.concat([frame, pd.DataFrame(generator.normal(size=(24, 7)), columns=names)], axis=1)
    stated = {"encoder": {"recipe": "held_out"}, "alternatives": {"first": {"blocks": ["first_dna"]}}}
    contracts.write_table(frame, tmp_path / "e.parquet", "embeddings", stated)
    profiles.make(tmp_path / "e.parquet", [{step: {}}], tmp_path / "p.parquet", tmp_path / "p.npz")
    about = contracts.about(tmp_path / "p.parquet")
    assert {key: about[key] for key in stated} == stated
    assert list(contracts.feature_blocks(contracts.columns_of(tmp_path / "p.parquet"))) == ["first_dna", "second"]
