"""Seconds that Snakemake takes to plan a run of ten thousand jobs, now and at another revision of the code.

``python -m benchmarks.planning [--plates 1050] [--revision HEAD]`` writes a table of made-up plates (no image is
ever read) and a configuration over it: three sample sets, ten methods with three seeds each, saved epochs, profiles and
evaluations. Then come, each in a process of its own and turn by turn with the code of the other revision, checked out in a
folder of its own:

- demonstration: a dry run of `config.yaml`: what passes before the first job of the smallest run starts;
- large: a dry run of the made-up plates, nothing of which is there.

The table gives seconds of the clock and of the processor (which other programs disturb less), the number of jobs, and how
many times as fast each is as the other revision.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import yaml

from benchmarks import jobs

SEEDS = (0, 1)
ROWS, COLUMNS = "BCD", range(2, 5)


def write_screen(folder: Path, plates: int) -> None:
    """A table of fields of `plates` plates of nine wells, and the configuration of a large study on it."""
    wells = [f"{row}{column:02d}" for row in ROWS for column in COLUMNS]
    table = pd.DataFrame(
        [(f"P{plate:04d}", well) for plate in range(1, plates + 1) for well in wells],
        columns=["Metadata_Plate", "Metadata_Well"],
    )
    table["Metadata_Site"] = "1"
    table["Metadata_Batch"] = "B" + (table.index // (20 * len(wells))).astype(str)
    table["Metadata_Compound"] = table["Metadata_Well"].where(table["Metadata_Well"] != "B02", "DMSO")
    table["Metadata_Control"] = table["Metadata_Well"].eq("B02").map({True: "negative", False: ""})
    for number, channel in enumerate(("DNA", "Actin"), 1):
        table[f"FileName_{channel}"] = table["Metadata_Plate"] + "_" + table["Metadata_Well"] + f"_w{number}.tif"
        table[f"PathName_{channel}"] = "images"
    table.to_csv(folder / "plates.csv", index=False)
    (folder / "large.yaml").write_text(yaml.safe_dump(study(), sort_keys=False))


def study() -> dict:
    """The configuration of a large study: ten methods, three seeds, saved epochs."""
    trained = {f"simclr_{size}": {"use": "simclr", "batch_size": size} for size in (64, 128, 256, 512)}
    epochs = {"use": "vae", "epochs": 20, "save_epochs": {"every": 5}}
    learnt = {**trained, "vae_epochs": epochs, "vae_deep": {**epochs, "latent": 256}}
    methods = {"random": {}, "pixel_statistics": {}, **learnt, "both": {"use": "concat", "members": ["random", "vae_deep"]}}
    wells = {"aggregate": {"by": "well", "with": "mean"}}
    steps = {"raw": [], "zscore": [{"plate_zscore": {}}], "tvn": [{"tvn": {"fit": "negative"}}], "mad": [{"robust_mad": {}}]}
    steps["tvn_zscore"] = [*steps["zscore"], *steps["tvn"]]
    profiles = {name: [*first, wells] for name, first in steps.items()}
    common = {"dataset": "screen", "profiles": list(profiles), "seeds": list(SEEDS)}
    evaluations = {"control_separation": {"positive": "treated"}, "invariance": {}, "retrieval": {}, "linear_probe": {}}
    common["evaluations"] = list(evaluations)
    names = list(methods)
    return {
        "name": "large",
        "datasets": {"screen": {"use": "table", "table": "plates.csv"}},
        "samples": {
            "cells": {"use": "nuclei", "size": 64},
            "fields": {"size": 256},
            "tiles": {"of": "fields", "size": 64},
            "some": {"of": "cells", "where": "Metadata_Batch != 'B0'"},
        },
        "methods": {**methods, "classical": {"use": "cellprofiler_features"}},
        "profiles": profiles,
        "evaluations": evaluations,
        "studies": {
            "cells": {**common, "samples": "cells", "methods": [*names, "classical"]},
            "some": {**common, "samples": "some", "methods": names, "seeds": [0]},
            "tiles": {**common, "samples": "tiles", "methods": names, "seeds": [0]},
        },
        "compute": {"device": "cpu"},
    }


def snakemake(code: Path, folder: Path, *arguments: str) -> dict:
    """Run Snakemake with the code of a folder; seconds, of the processor too, memory, and the number of jobs it lists.

    Raises
    ------
    RuntimeError
        If it fails, with the end of what it said.
    """
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(code / "Snakefile"), "--directory", str(folder)]
    command += ["--workflow-profile", str(code / "profiles" / "default"), "--quiet", "rules", *arguments]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, cwd=code, env=environment, check=False)
    took, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    said = done.stdout + done.stderr
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{said[-3000:]}")
    found = re.search(r"^total\s+(\d+)", said, re.MULTILINE)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": took, "cpu_seconds": used, "jobs": int(found[1]) if found else 0}


def checkout(revision: str, folder: Path) -> Path:
    """A copy of the code at a revision, which leaves the repository as it is."""
    folder.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", revision], cwd=jobs.ROOT, capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder


def measure(codes: dict[str, Path], folder: Path, plates: int, repeats: int) -> pd.DataFrame:
    """One row for each case and code: the fastest of several runs, which take turns."""
    large = folder / "large"
    large.mkdir()
    write_screen(large, plates)
    (folder / "demonstration").mkdir()
    rows = []
    for case in ("demonstration", "large"):
        for turn in range(repeats + 1):
            for name, code in codes.items():
                config = large / "large.yaml" if case == "large" else code / "config.yaml"
                if turn == 0 and case == "large":
                    continue
                row = snakemake(code, folder / case, "--dry-run", "--configfile", str(config))
                if turn:  # the first one compiles the libraries for those that follow
                    rows.append({"case": case, "code": name, **row})
                    print(pd.DataFrame(rows[-1:]).round(1).to_string(index=False, header=len(rows) == 1), flush=True)
    return pd.DataFrame(rows).groupby(["case", "code"], sort=False).min().reset_index()


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plates", type=int, default=1050, help="of the made-up screen (default: 1050, 10,000 jobs)")
    parser.add_argument("--revision", default="HEAD", help="the other revision of the code (default: HEAD)")
    parser.add_argument("--repeats", type=int, default=1, help="runs of each (default: 1)")
    parser.add_argument("--output", type=Path, default=jobs.OUTPUT)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PYTHONPYCACHEPREFIX"] = f"{folder}/compiled"
        codes = {arguments.revision: checkout(arguments.revision, Path(folder) / "other"), "now": jobs.ROOT}
        found = measure(codes, Path(folder), arguments.plates, arguments.repeats)
    first = found.groupby("case", sort=False)["cpu_seconds"].transform("first")
    found["times_as_fast"] = first / found["cpu_seconds"]
    print(f"{found.round(2).to_string(index=False)}\nload average {os.getloadavg()[0]:.1f}")
    found.to_csv(arguments.output / "planning.csv", index=False)


if __name__ == "__main__":
    main()
