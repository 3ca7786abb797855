"""From embeddings to answers: noise never wins, and a real difference at the wells is seen."""

import json

import numpy as np
import pandas as pd
import pytest

from phenorep import contracts, evaluations, profiles, scores
from phenorep.report import answers

CHANNELS = ("DNA", "ER", "RNA", "AGP", "Mito")
WELLS = [{"plate_zscore": {}}, {"aggregate": {"by": "well", "with": "mean"}}]
WHITENED = [{"tvn": {"fit": "negative"}}, {"aggregate": {"by": "well", "with": "mean"}}]
PROFILES = {"wells": WELLS, "wells_tvn": WHITENED}
ASKED = {
    "control_separation": {"positive": "treated", "null_draws": 4},
    "retrieval": {"null_draws": 4, "null_size": 500, "permutations": 2},
}
PLATES, CONTROLS, COMPOUNDS, CELLS, FEATURES = 6, 12, 16, 4, 4  # of each channel


def embeddings(effect: float, seed: int) -> pd.DataFrame:
    """Cells of five channels; each compound is on every plate and moves features of its own by `effect` deviations."""
    generator, drawn = np.random.default_rng(seed), np.random.default_rng(1)
    moved = {f"drug {number}": drawn.normal(size=len(CHANNELS) * FEATURES) for number in range(COMPOUNDS)}
    rows, values = [], []
    for plate in range(PLATES):
        shift = generator.normal(size=len(CHANNELS) * FEATURES)
        for well, compound in enumerate(["DMSO"] * CONTROLS + list(moved)):
            control = "negative" if compound == "DMSO" else ""
            name = f"{'ABCD'[well // 8]}{well % 8 + 1:02d}"
            centre = shift + effect * moved.get(compound, 0) + 0.5 * generator.normal(size=len(shift))
            for cell in range(CELLS):
                rows.append((f"p{plate}", name, "1", f"p{plate}_{name}_{cell}", control, compound))
                values.append(centre + generator.normal(size=len(shift)))
    names = ["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Sample", "Metadata_Control", "Metadata_Compound"]
    columns = [name for channel in CHANNELS for name in contracts.feature_names(channel, FEATURES)]
    return pd.concat([pd.DataFrame(rows, columns=names), pd.DataFrame(np.array(values), columns=columns)], axis=1)


def answered(folder, effects: dict[str, float], seed: int = 0) -> pd.DataFrame:
    """The answers of a run in which each method sees so much of the treatments."""
    files = {"scores": [], "details": []}
    for number, (method, effect) in enumerate(effects.items()):
        path = folder / f"{method}.parquet"
        about = {"encoder": {"recipe": method, "trained_on": []}}
        contracts.write_table(embeddings(effect, 10 * seed + number), path, "embeddings", about)
        for profile, steps in PROFILES.items():
            made = folder / f"{method}_{profile}.parquet"
            profiles.make(path, steps, made, folder / "fit.npz")
            for use, keys in ASKED.items():
                row = {"dataset": "screen", "samples": "cells", "method": method, "seed": "0", "epoch": "final"}
                row |= {"profile": profile, "evaluation": use}
                outputs = [folder / f"{method}_{profile}_{use}.{end}" for end in ("csv", "parquet")]
                inputs = {"profiles": made, "embeddings": path}
                evaluations.make({"use": use, "keys": keys, "by": None}, inputs, None, row, {}, *outputs, steps=steps)
                files["scores"].append(outputs[0])
                files["details"].append(row | {"path": str(outputs[1])})
    scores.collect(files["scores"], folder / "scores.csv")
    study = {"dataset": "screen", "samples": "cells", "methods": list(effects), "profiles": list(PROFILES), "seeds": [0]}
    plan = {
        "config": {
            "methods": {name: {"use": name if name in ("random", "simclr") else "simclr"} for name in effects},
            "evaluations": {use: {"use": use} for use in ASKED},
        },
        "studies": {"study": {**study, "evaluations": list(ASKED)}},
        "datasets": {"screen": {"about": {}, "plates": [f"p{number}" for number in range(PLATES)]}},
        "files": {"scores": str(folder / "scores.csv"), "details": files["details"]},
    }
    json.dumps(plan)  # as the workflow hands it over
    answers.make(plan, folder / "answers.csv")
    return answers.read(folder / "answers.csv").set_index("metric")


def test_what_beats_an_untrained_network_at_the_wells_is_told_apart(tmp_path):
    table = answered(tmp_path, {"simclr": 0.55, "random": 0.0})
    row = table.loc["auc_distance"]
    assert row["value"] - row["bound_value"] == pytest.approx(0.3, abs=0.05)
    assert (row["verdict"], row["method"], row["profile"]) == ("clear", "simclr", "wells")
    assert (row["unit"], row["units"]) == ("compound", COMPOUNDS)
    assert row["null_low"] < 0.5 < row["null_high"]
    assert table.loc["map_activity", "verdict"] == "clear"


def test_noise_is_not_clear_by_any_measure(tmp_path):
    table = answered(tmp_path, {"simclr": 0.0, "other": 0.0, "random": 0.0}, seed=1)
    assert set(table["verdict"]) <= {"not informative", "not valid"}


def test_noise_without_controls_and_rivals_is_not_clear_either(tmp_path):
    table = answered(tmp_path, {"simclr": 0.0}, seed=3)
    assert set(table["verdict"]) <= {"not informative", "not valid"}
