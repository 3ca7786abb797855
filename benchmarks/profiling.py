"""From a million embeddings to scores: seconds and peak memory of each job, beside what pycytominer takes for the same.

``python -m benchmarks.profiling [--rows 1000000] [--features 384] [--compare 100000] [--profiles tvn ...]`` draws embeddings
of single cells with the layout of BBBC021 (55 plates of 60 wells in 10 batches, six wells of DMSO and six of taxol on each,
every other treatment on three plates of one batch) and writes them as embedding does, one row group per plate. Then come the
jobs as the workflow starts them, each in a process of its own, so that its peak memory is its own:

- normalise: the steps of a profile, to treatments and to wells;
- evaluate: `moa_matching` of the treatments; `retrieval` and `control_separation` of the wells, cross-fitted and with their
  nulls, which make the profile anew about a hundred times.

With ``--compare`` so many cells are also whitened, and standardised plate by plate, by pycytominer as its users do it: read
the table, `normalize` by the negative controls, `aggregate` to wells, write. The ratios are of that run; `difference` says
how far its wells lie from ours (whitened axes may be turned, so there the distances between wells are compared).

Disk: some 2 KB per cell, removed at the end.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import contracts, evaluations, profiles

ROOT = Path(__file__).resolve().parent.parent
PLATES = (6, 6, 6, 6, 6, 6, 5, 5, 6, 3)  # of each batch
WELLS, CONTROLS, SITES, DOSES, MECHANISMS = 60, 6, 4, 8, 12
COMPOUNDS = (WELLS - 2 * CONTROLS) // DOSES  # of each three plates
FACTORS = 40  # hidden variables that make features vary together
LIMIT_MB = 6000
TO_WELLS = [{"aggregate": {"by": "well", "with": "mean"}}]
TO_TREATMENTS = [
    {"aggregate": {"by": ["treatment", "plate"], "with": "mean"}},
    {"aggregate": {"by": "treatment", "with": "median"}},
]
FIELDS = {"aggregate": {"by": "field", "with": "median"}}
CORRECTIONS = {
    "raw": [FIELDS],
    "tvn": [FIELDS, "tvn"],
    "tvn_cells": ["tvn"],
    "plate_zscore": ["plate_zscore"],
    "robust_mad": ["robust_mad"],
    "coral": ["tvn", "coral"],
    "factor_analysis": [{"factor_analysis": {"factors": 50}}],
}
COMPARED = {"spherize": ["tvn"], "standardize": ["plate_zscore"]}


def layout() -> pd.DataFrame:
    """One row per well: plate, batch, treatment."""
    rows, compound = [], 0
    for batch, count in enumerate(PLATES, 1):
        for plate in range(count):
            compound += 0 if plate % 3 else COMPOUNDS
            for well in range(WELLS):
                row = {"Plate": f"Week{batch}_{plate}", "Well": f"{'BCDEFG'[well // 10]}{well % 10 + 2:02d}"}
                row |= {"Batch": f"Week{batch}", "Compound": "DMSO", "Concentration": np.nan}
                row |= {"MoA": "", "Control": "negative"}
                if well >= 2 * CONTROLS:
                    number, dose = compound + (well - 2 * CONTROLS) // DOSES, (well - 2 * CONTROLS) % DOSES
                    known = f"mechanism {number // 3 % MECHANISMS}" if number % 3 == 0 else ""
                    row |= {"Compound": f"compound {number:03d}", "Concentration": 10 / 3**dose, "MoA": known, "Control": ""}
                elif well >= CONTROLS:
                    row |= {"Compound": "taxol", "Concentration": 0.3, "MoA": "mechanism 0", "Control": "positive"}
                rows.append(row)
    return pd.DataFrame(rows).add_prefix("Metadata_")


def draw(path: Path, count: int, features: int) -> None:
    """Write a table of `count` embeddings: hidden factors, a shift of each plate, and effects of compound and mechanism."""
    wells, generator = layout(), np.random.default_rng(0)
    kinds = {name: {} for name in ("Metadata_Compound", "Metadata_MoA")}
    loadings = generator.normal(size=(FACTORS, features)).astype(np.float32)
    plates = wells["Metadata_Plate"].unique()
    ends = np.linspace(0, count, len(plates) + 1).astype(int)
    with contracts.table_writer(path, "embeddings", {"encoder": {"recipe": "drawn"}, "blocks": {"drawn": {}}}) as write:
        for plate, number in zip(plates, np.diff(ends), strict=True):
            own = wells[wells["Metadata_Plate"] == plate]
            cells = own.iloc[np.sort(np.arange(number) % len(own))].reset_index(drop=True)
            cells.insert(2, "Metadata_Site", (np.arange(number) % SITES + 1).astype(str))
            places = [cells[name] for name in contracts.FIELD]
            cells["Sample"] = [f"{'/'.join(place)}/{cell}" for cell, place in enumerate(zip(*places, strict=True))]
            values = generator.normal(size=(number, FACTORS)).astype(np.float32) @ loadings
            values += generator.normal(0, 2, (number, features)).astype(np.float32)
            values += generator.normal(0, 1, features).astype(np.float32)
            for column, effects in kinds.items():
                for name, rows in cells.groupby(column).indices.items():
                    if name not in ("", "DMSO"):
                        drawn = effects.setdefault(name, generator.normal(0, 2, features).astype(np.float32))
                        values[rows] += drawn
            write(pd.concat([cells, pd.DataFrame(values, columns=contracts.feature_names("drawn", features))], axis=1))


# -- jobs, each in a process of its own -------------------------------------------------------------------------------------


def job_draw(path: str, count: int, features: int) -> None:
    """The table of embeddings."""
    draw(Path(path), count, features)


def job_normalise(path: str, steps: list, output: str) -> None:
    """What the rule `normalise` runs."""
    profiles.make(path, steps, output, Path(output).with_suffix(".npz"))


def job_evaluate(path: str, embeddings: str, steps: list, evaluation: str, output: str) -> None:
    """What the rule `evaluate` runs."""
    row = {"dataset": "drawn", "samples": "cells", "method": "drawn", "seed": 0, "epoch": "final", "profile": "profile"}
    details = Path(output).with_suffix(".parquet")
    files = {"profiles": path, "embeddings": embeddings}
    block = {"use": evaluation, "keys": {"positive": "treated"} if evaluation == "control_separation" else {}}
    evaluations.make(block, files, None, row, {}, output, str(details), steps=steps)


def job_pycytominer(path: str, method: str, output: str) -> None:
    """The same by pycytominer: `spherize` on all plates, `standardize` plate by plate."""
    from pycytominer import aggregate, normalize

    table = pd.read_parquet(path)
    columns = contracts.feature_columns(table.columns)
    metadata = [name for name in table.columns if name not in columns]
    by = {"features": columns, "meta_features": metadata, "samples": "Metadata_Control == 'negative'", "method": method}
    if method == "spherize":
        table = normalize(table, spherize_method="PCA", **by)
    else:
        table = pd.concat([normalize(part, **by) for _, part in table.groupby("Metadata_Plate")], ignore_index=True)
    features = [name for name in table.columns if name not in metadata]  # whitened ones have names of their own
    wells = aggregate(table, ["Metadata_Plate", "Metadata_Well"], features, operation="mean")
    wells.to_parquet(output)


def apart(job: str, *arguments) -> dict:
    """Seconds and peak memory (MB) of a job in a process of its own; ``work_s`` leaves out its start and its imports."""
    call = json.dumps([job, *arguments])
    start = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.profiling", "--job", call]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if result.returncode:
        raise RuntimeError(result.stderr[-3000:])
    return {"seconds": time.perf_counter() - start} | json.loads(result.stdout.splitlines()[-1])


def run_job(call: str) -> None:
    """Run a job in this process and print what it took."""
    job, *arguments = json.loads(call)
    start = time.perf_counter()
    globals()[f"job_{job}"](*arguments)
    work = time.perf_counter() - start
    print(json.dumps({"work_s": work, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


# -- the tables ------------------------------------------------------------------------------------------------------------


def pipeline(embeddings: Path, names: list[str], folder: Path) -> pd.DataFrame:
    """One row for each profile and job."""
    found = []

    def add(profile: str, job: str, output: Path, *arguments) -> None:
        found.append({"profile": profile, "job": job} | apart(*arguments, str(output)))
        print(pd.DataFrame(found[-1:]).round(1).to_string(index=False, header=len(found) == 1), flush=True)

    for name in names:
        for tail, level, scored in (
            (TO_TREATMENTS, "treatment", ["moa_matching"]),
            (TO_WELLS, "well", ["retrieval", "control_separation"]),
        ):
            made, steps = folder / f"{name}_{level}.parquet", [*CORRECTIONS[name], *tail]
            add(name, f"normalise to {level}s", made, "normalise", str(embeddings), steps)
            for evaluation in scored:
                output = folder / f"{name}_{evaluation}.csv"
                add(name, evaluation, output, "evaluate", str(made), str(embeddings), steps, evaluation)
    return pd.DataFrame(found)


def compare(embeddings: Path, folder: Path) -> pd.DataFrame:
    """One row for each way of pycytominer: its seconds and memory over ours."""
    found = []
    for method, steps in COMPARED.items():
        mine, theirs = folder / f"{method}.parquet", folder / f"{method}_pycytominer.parquet"
        own = apart("normalise", str(embeddings), [*steps, *TO_WELLS], str(mine))
        other = apart("pycytominer", str(embeddings), method, str(theirs))
        row = {"pycytominer": method, "phenorep": steps[0]}
        row |= {"theirs_s": other["work_s"], "ours_s": own["work_s"], "times_as_fast": other["work_s"] / own["work_s"]}
        row |= {"theirs_mb": other["peak_mb"], "ours_mb": own["peak_mb"]}
        row["share_of_memory"] = own["peak_mb"] / other["peak_mb"]
        found.append(row | {"difference": difference(mine, theirs, whitened=method == "spherize")})
    return pd.DataFrame(found)


def difference(mine: Path, theirs: Path, whitened: bool) -> float:
    """Largest difference of wells, or of their distances where axes are free, as a share of the largest value."""
    tables = [pd.read_parquet(path).sort_values(["Metadata_Plate", "Metadata_Well"]) for path in (mine, theirs)]
    values = [table.filter(regex="^(drawn_|PC)").to_numpy(dtype=np.float64)[:300] for table in tables]
    if whitened:
        values = [np.linalg.norm(part[:, None] - part[None], axis=2) for part in values]
    return float(np.abs(values[0] - values[1]).max() / np.abs(values[0]).max())


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=384)
    parser.add_argument("--profiles", nargs="*", default=list(CORRECTIONS), choices=list(CORRECTIONS))
    parser.add_argument("--compare", type=int, default=100_000, help="cells for the comparison with pycytominer; 0: none")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "output")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        run_job(arguments.job)
        return
    arguments.output.mkdir(parents=True, exist_ok=True)
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        embeddings = Path(folder) / "embeddings.parquet"
        if arguments.profiles:
            apart("draw", str(embeddings), arguments.rows, arguments.features)
            print(f"{arguments.rows} x {arguments.features}, {embeddings.stat().st_size / 1e9:.2f} GB on disk", flush=True)
            table = pipeline(embeddings, arguments.profiles, Path(folder))
            table.to_csv(arguments.output / "profiling.csv", index=False)
            print(f"most memory: {table['peak_mb'].max():.0f} MB, the limit is {LIMIT_MB}; {os.getloadavg()[0]:.1f} load")
        if arguments.compare:
            apart("draw", str(embeddings), arguments.compare, arguments.features)
            table = compare(embeddings, Path(folder))
            print(f"{arguments.compare} x {arguments.features}\n{table.round(3).to_string(index=False)}")
            table.to_csv(arguments.output / "profiling_pycytominer.csv", index=False)


if __name__ == "__main__":
    main()
