"""What noise gets: scores of control wells alone, half of which are called treated at random, with everything refitted.

``python -m benchmarks.nulls [--draws 20] [--embeddings FILE ...] [--table GLOB] [--steps NAME ...]`` takes the control wells
of each source, calls half of them (in pairs, as treatments) treated, makes the profiles anew from the embeddings and scores
them by `control_separation` and `retrieval`, as a run would. For each chain of steps and metric it prints the mean over
draws, chance, their distance, and in how many draws the 95 % interval holds chance. The sources are pure noise (32 control
wells and 512 features on one plate, and on three, drawn anew each time), embeddings that a run has left (``--embeddings``)
and tables of features that others computed (``--table``, CSV or parquet; control wells have ``negcon`` in
``Metadata_control_type``).
"""

import argparse
import glob
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import contracts
from phenorep.cross_fitting import Chain, well_names
from phenorep.errors import NotRun
from phenorep.evaluations import Inputs, control_separation, retrieval
from phenorep.rows import Rows

WELL = {"aggregate": {"by": "well", "with": "mean"}}
CHAINS = {
    "raw": [WELL],
    "plate_zscore": [{"plate_zscore": {}}, WELL],
    "plate_zscore_all": [{"plate_zscore": {"fit": "all"}}, WELL],
    "robust_mad": [{"robust_mad": {}}, WELL],
    "tvn": [{"tvn": {"fit": "negative"}}, WELL],
    "tvn_all": [{"tvn": {"fit": "all"}}, WELL],
    "wells_plate_zscore": [WELL, {"plate_zscore": {}}],
    "wells_robust_mad": [WELL, {"robust_mad": {}}],
    "wells_tvn": [WELL, {"tvn": {"fit": "negative"}}],
    "plate_zscore_tvn": [{"plate_zscore": {}}, {"tvn": {"fit": "negative"}}, WELL],
    "field_medians_tvn": [{"aggregate": {"by": "field", "with": "median"}}, {"tvn": {"fit": "negative"}}, WELL],
    "tvn_coral": [{"tvn": {"fit": "negative"}}, {"coral": {"by": "Metadata_Plate"}}, WELL],
    "coral_plate_zscore": [{"coral": {"by": "Metadata_Plate"}}, {"plate_zscore": {}}, WELL],
    "combat": [{"combat": {"by": "Metadata_Plate"}}, WELL],
    "factor_analysis": [{"factor_analysis": {"factors": 10}}, WELL],
}
EVALUATIONS = (
    (control_separation, control_separation.Config(null_draws=2)),
    (retrieval, retrieval.Config(null_draws=2, null_size=1000, permutations=1)),
)


def always(table: pd.DataFrame, seed: int) -> pd.DataFrame:  # noqa: ARG001
    """The same table in each draw."""
    return table


def noise(plates: int, seed: int, controls: int = 32, features: int = 512) -> pd.DataFrame:
    """Control wells of random numbers."""
    generator = np.random.default_rng(seed)
    names = [
        (f"p{plate}", f"{chr(65 + well // 8)}{well % 8 + 1:02d}") for plate in range(plates) for well in range(controls)
    ]
    table = pd.DataFrame(names, columns=["Metadata_Plate", "Metadata_Well"])
    table = table.assign(Metadata_Site="1", Metadata_Control="negative", Metadata_Compound="DMSO", Sample=well_names(table))
    values = generator.normal(size=(len(table), features))
    return pd.concat([table, pd.DataFrame(values, columns=contracts.feature_names("noise", features))], axis=1)


def of_others(pattern: str) -> pd.DataFrame:
    """Control wells of tables of features."""
    read = {".parquet": pd.read_parquet}
    parts = [read.get(Path(path).suffix, pd.read_csv)(path) for path in sorted(glob.glob(pattern))]
    table = pd.concat([part[part["Metadata_control_type"] == "negcon"] for part in parts], ignore_index=True)
    numbers = table.select_dtypes("number").filter(regex="^(?!Metadata_)").dropna(axis=1)
    values = pd.DataFrame(numbers.to_numpy(), columns=contracts.feature_names("imported", numbers.shape[1]))
    wells = table[["Metadata_Plate", "Metadata_Well"]].astype(str)
    wells = wells.assign(Metadata_Site="", Metadata_Control="negative", Metadata_Compound="DMSO", Sample=well_names(wells))
    return pd.concat([wells, values], axis=1)


def labelled(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Control wells, half of each plate's as pairs of treated wells."""
    names, generator = well_names(table), np.random.default_rng(seed)
    treated = {}
    for plate in np.unique(table["Metadata_Plate"]):
        wells = generator.permutation(np.unique(names[table["Metadata_Plate"] == plate]))
        for number, name in enumerate(wells[: len(wells) // 4 * 2]):
            treated[name] = f"{plate} null {number // 2}"
    compound = pd.Series(names).map(treated)
    return table.assign(
        Metadata_Compound=compound.fillna("DMSO").to_numpy(dtype=object),
        Metadata_Control=np.where(compound.notna(), "positive", "negative").astype(object),
    )


def scored(table: pd.DataFrame, steps: list, seed: int) -> list[dict]:
    """Scores of one draw."""
    drawn = labelled(table, seed)
    chain = Chain(Rows.of(drawn).entered(), steps)
    inputs = Inputs(profiles=chain.profiles(set()).frame(), chain=chain)
    rows = []
    for module, config in EVALUATIONS:
        scores, _ = module.evaluate(config, inputs, 0)
        rows += [vars(score) for score in scores if score.control == "none" and np.isfinite(score.chance)]
    return rows


def report(name: str, source: Callable[[int], pd.DataFrame], chains: list[str], draws: int) -> list[dict]:
    """A row for each chain and metric, printed as they come."""
    rows = []
    for chain in chains:
        try:
            scores = pd.DataFrame([row for seed in range(draws) for row in scored(source(seed), CHAINS[chain], seed)])
        except NotRun as reason:
            print(f"{name:24} {chain:20} not run: {str(reason)[:90]}", flush=True)
            continue
        for metric, part in scores.groupby("metric", sort=False):
            excess = part["value"] - part["chance"]
            held = ((part["ci_low"] <= part["chance"]) & (part["chance"] <= part["ci_high"])).mean()
            error = excess.std() / np.sqrt(len(part))
            row = {"source": name, "steps": chain, "metric": metric, "mean": part["value"].mean(), "error": error}
            row |= {"chance": part["chance"].mean(), "excess": excess.mean(), "held": held}
            within = abs(excess.mean()) <= max(0.03, 3 * error)
            rows.append(row | {"within": within})
            text = f"{row['mean']:.3f} chance {row['chance']:.3f} excess {row['excess']:+.3f} ± {error:.3f} holds {held:.2f}"
            print(f"{name:24} {chain:20} {metric:14} {text}{'' if within else '  OUTSIDE'}", flush=True)
    return rows


def main() -> None:
    """Print the table and its summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--embeddings", nargs="*", default=[], help="tables of embeddings that a run has left")
    parser.add_argument("--table", action="append", default=[], help="pattern of tables of features, read as one source")
    parser.add_argument("--steps", nargs="*", default=list(CHAINS), choices=list(CHAINS))
    parser.add_argument("--output", help="CSV of all rows")
    given = parser.parse_args()
    sources = {f"noise, {plates} plate(s)": partial(noise, plates) for plates in (1, 3)}
    for path in given.embeddings:
        table = contracts.read_table(path, "embeddings")
        controls = table[table["Metadata_Control"] == "negative"].reset_index(drop=True)
        sources["/".join(Path(path).parts[-6:-2:3])] = partial(always, controls)
    sources |= {Path(pattern).parent.name: partial(always, of_others(pattern)) for pattern in given.table}
    rows = [row for name, source in sources.items() for row in report(name, source, given.steps, given.draws)]
    table = pd.DataFrame(rows)
    if given.output:
        contracts.write_csv(table, given.output)
    above = table[~table["within"] & (table["excess"] > 0)]
    below = table[~table["within"] & (table["excess"] < 0)]
    held = table["held"].mean()
    print(f"{len(table)} rows: {len(above)} above chance, {len(below)} below; intervals hold chance in {held:.3f}")


if __name__ == "__main__":
    main()
