"""A small screen of wells, some of whose features are dead, for the tests of what is constant; its profiles' oracle."""

import numpy as np
import pandas as pd

from phenorep import contracts, levels, profiles
from phenorep.profiles import aggregate

METADATA = (
    *("Metadata_Plate", "Metadata_Well", "Metadata_Site", "Sample"),
    *("Metadata_Batch", "Metadata_Compound", "Metadata_MoA", "Metadata_Concentration"),
)


def screen(live: int = 13, dead: int = 4, seed: int = 0, sites: int = 2) -> tuple[pd.DataFrame, np.ndarray]:
    """Four plates of two batches, six control and eight treated wells each, four doses of two compounds, two mechanisms.

    Features are float32 values; half of the dead ones are 0, the others another value.

    Returns
    -------
    (N,) metadata, and (N, live + dead) features; which are dead is drawn.
    """
    generator, rows, values = np.random.default_rng(seed), [], []
    effects = generator.normal(size=(2, live))
    mixing = np.eye(live) + 0.3 * generator.normal(size=(live, live))
    for plate in range(4):
        batch = plate // 2
        for well in range(14):
            compound, mechanism = (well % 2) + 2 * batch, well % 2
            dose = 0 if well < 6 else (well - 6) // 2 + 1
            named = (f"c{compound}", f"m{mechanism}") if dose else ("", "")
            for site in range(sites):
                for cell in range(2):
                    names = f"p{plate}", f"A{well:02d}", str(site), f"p{plate}/A{well:02d}/{site}/{cell}"
                    rows.append((*names, f"b{batch}", *named, dose or np.nan))
                    noise = generator.normal(size=live) @ mixing * (1 + plate / 3)
                    values.append(noise + 0.5 * dose * effects[mechanism] + 3 + plate)
    table = pd.DataFrame(rows, columns=list(METADATA))
    table["Metadata_Control"] = np.where(table["Metadata_Compound"] == "", "negative", "")
    places = generator.permutation(live + dead)
    result = np.zeros((len(table), live + dead))
    result[:, places[:live]] = np.float32(values)
    result[:, places[live : live + dead // 2]] = np.float32(0.37)
    return table, result


def named(table: pd.DataFrame, values: np.ndarray) -> pd.DataFrame:
    """The table with features `values`."""
    return pd.concat([table, pd.DataFrame(values, columns=contracts.feature_names("x", values.shape[1]))], axis=1)


def expected(table: pd.DataFrame, values: np.ndarray, steps: list) -> tuple[pd.DataFrame, np.ndarray]:
    """What steps make of features that all vary, each as its formula has it: no floor, no rows at a time, no blocks."""
    for step in steps:
        name, keys = profiles.parse(step)
        if name == "aggregate":
            table, values = _aggregated(table, values, keys)
            continue
        chosen = (
            np.ones(len(table), bool) if keys.get("fit") == "all" else (table["Metadata_Control"] == "negative").to_numpy()
        )
        values = globals()[f"_{name}"](table, values, chosen, keys)
    return table, values


def _aggregated(table: pd.DataFrame, values: np.ndarray, keys: dict) -> tuple[pd.DataFrame, np.ndarray]:
    parts = [keys.get("by", "treatment")] if isinstance(keys.get("by", "treatment"), str) else keys["by"]
    if "treatment" in parts:
        treated = (table["Metadata_Control"] != "negative").to_numpy()
        table, values = table[treated].reset_index(drop=True), values[treated]
        table = table.assign(Metadata_Treatment=aggregate.treatments(table))
    columns = [column for part in parts for column in levels.KEYS[part]]
    how = keys.get("with", "median")
    result, rows = [], []
    for _, places in sorted(table.groupby(columns).indices.items()):
        part = values[places]
        lower = how == "lower_median"
        result.append(np.sort(part, axis=0)[(len(part) - 1) // 2] if lower else getattr(np, how)(part, axis=0))
        rows.append(places[0])
    return table.iloc[rows].reset_index(drop=True), np.array(result)


def _plate_zscore(table, values, chosen, keys):
    result = np.empty_like(values)
    for plate in set(table["Metadata_Plate"]):
        rows = (table["Metadata_Plate"] == plate).to_numpy()
        part = values[rows & chosen]
        result[rows] = (values[rows] - part.mean(axis=0)) / (part.std(axis=0) + keys.get("epsilon", 0))
    return result


def _robust_mad(table, values, chosen, keys):
    result = np.empty_like(values)
    for plate in set(table["Metadata_Plate"]):
        rows = (table["Metadata_Plate"] == plate).to_numpy()
        middle = np.median(values[rows & chosen], axis=0)
        scale = 1.482602218505602 * np.median(np.abs(values[rows & chosen] - middle), axis=0)
        result[rows] = (values[rows] - middle) / (scale + keys.get("epsilon", 0))
    return result


def _tvn(table, values, chosen, keys):
    controls = values[chosen]
    eigenvalues, vectors = np.linalg.eigh(np.cov(controls.T))
    vectors = vectors[:, ::-1] * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(len(vectors))])[::-1]
    return (values - controls.mean(axis=0)) @ vectors / np.sqrt(eigenvalues[::-1])


def _coral(table, values, chosen, keys):
    batch = table[keys.get("by", "Metadata_Batch")].to_numpy()
    parts = {name: values[chosen & (batch == name)] for name in sorted(set(batch))}
    rows = sum(map(len, parts.values()))
    pooled = sum((len(part) - 1) * np.cov(part.T) for part in parts.values()) / (rows - len(parts))
    ridge = keys.get("epsilon", 1.0) * np.trace(pooled) / len(pooled) * np.eye(len(pooled))
    result = np.empty_like(values)
    for name, part in parts.items():
        matrix = _power(np.cov(part.T) + ridge, -0.5) @ _power(pooled + ridge, 0.5)
        result[batch == name] = (values[batch == name] - part.mean(axis=0)) @ matrix + values[chosen].mean(axis=0)
    return result


def _power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    eigenvalues, vectors = np.linalg.eigh(matrix)
    return vectors * eigenvalues**exponent @ vectors.T


def _combat(table, values, chosen, keys):
    from pycombat import Combat

    batch = table[keys.get("by", "Metadata_Batch")].to_numpy(dtype=str)
    return Combat().fit(values[chosen], batch[chosen]).transform(values, batch)


def _factor_analysis(table, values, chosen, keys):
    from sklearn.decomposition import FactorAnalysis

    controls = values[chosen]
    center, deviation = controls.mean(axis=0), controls.std(axis=0)
    count = min(keys.get("factors", 50), values.shape[1], len(controls) - 1)
    model = FactorAnalysis(count, tol=0.01, max_iter=1000, svd_method="lapack").fit((controls - center) / deviation)
    signs = np.sign(model.components_[np.arange(count), np.abs(model.components_).argmax(axis=1)])
    return model.transform((values - center) / deviation) * signs
