"""Preprocessing by both engines on the same fields: seconds per field and core, and peak memory, against their number.

``python -m benchmarks.preprocessing [--fields 8 32 96] [--output FOLDER]`` draws fields of 1280x1024 pixels, 3 channels and
16 bits with about 115 nuclei, and runs on one core

- native: the illumination functions of all fields, then nuclei, and crops around them, written;
- CellProfiler, as its users run it: LoadData reads the TIFF files, CorrectIlluminationCalculate averages all images
  ("All: Across cycles"), a second pipeline applies the functions and identifies nuclei. Its seconds are those of its log.

Each is a process of its own, so that its peak memory is its own. ``--small`` compares the native engine's memory on plates
of 96 and of 3,456 fields of 64x64 pixels: whatever grows with their number shows there. Writes a table and a plot.
"""

import argparse
import csv
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import tifffile

from phenorep import contracts, nuclei, preprocessing, store
from phenorep import fields as field_tables
from phenorep.imaging import illumination, pipelines, readers
from phenorep.imaging.cellprofiler_run import environment, find

ROOT = Path(__file__).resolve().parent.parent
CHANNELS = ("DNA", "Actin", "Tubulin")
SIZE, NUCLEI = (1024, 1280), 115
SMOOTHINGS = ("polynomial", "gaussian", "median")


def draw(folder: Path, count: int, size: tuple[int, int], number: int, distinct: int = 8) -> Path:
    """Write a plate's images and its fields table; more than `distinct` fields are copies with other noise levels."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    rows = []
    y, x = np.mgrid[-20:21, -20:21]
    vignette = 1 - 0.3 * np.add.outer(np.linspace(-1, 1, size[0]) ** 2, np.linspace(-1, 1, size[1]) ** 2) / 2
    images = []
    for _ in range(min(count, distinct)):
        planes = generator.normal(400, 20, (len(CHANNELS), *size))
        for centre in generator.uniform(21, np.array(size) - 21, (number, 2)).astype(int):
            width, angle = generator.uniform(7, 12, 2), generator.uniform(0, np.pi)
            u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
            nucleus = 1 / (1 + np.exp(4 * (np.hypot(u / width[0], v / width[1]) - 1) * 3))
            window = np.s_[centre[0] - 20 : centre[0] + 21, centre[1] - 20 : centre[1] + 21]
            planes[(slice(None), *window)] += nucleus * np.array([9000, 2000, 3000])[:, None, None]
        images.append(planes * vignette)
    for index in range(count):
        well = f"{chr(65 + index // 24 % 16)}{index % 24 + 1:02d}"
        row = dict(zip(contracts.FIELD, ("P1", well, str(index // 384 + 1)), strict=True))
        for channel, plane in zip(CHANNELS, images[index % len(images)], strict=True):
            path = folder / f"{index}_{channel}.tif"
            tifffile.imwrite(path, np.clip(plane + index % 7, 0, 65535).astype(np.uint16))
            row |= {f"FileName_{channel}": path.name, f"PathName_{channel}": str(folder)}
        rows.append(row)
    about = {"channels": list(CHANNELS), "pixel_size_um": None, "intensity_max": None}
    table = pd.DataFrame(rows)
    table = table[[*contracts.FIELD, *(name for name in table if "Name_" in name)]]
    contracts.write_table(field_tables.with_headers(table, about, "P1"), folder / "fields.parquet", "fields", about)
    return folder / "fields.parquet"


# -- native ------------------------------------------------------------------------------------------------------------


def native(fields: Path, smoothing: str, size: int, output: Path) -> dict:
    """Seconds of the native engine's stages, and of reading alone; run in a process of its own for its peak memory."""
    output.mkdir(parents=True, exist_ok=True)
    chosen = preprocessing.settings({"illumination": {"smoothing": smoothing}})
    rows = contracts.read_table(fields, "fields").to_dict("records")
    start = time.perf_counter()
    for row in rows:
        readers.read_field(row, CHANNELS)
    found = {"reading": time.perf_counter() - start}
    kinds = {"illumination": "npz", "nuclei": "parquet", "masks": "npz", "quality": "parquet"}
    kinds |= {"array": "npy", "table": "parquet", "statistics": "json"}
    paths = {name: output / f"{name}.{kind}" for name, kind in kinds.items()}
    files = SimpleNamespace(fields=fields, **paths)
    start = time.perf_counter()
    illumination.make(fields, preprocessing.stage(chosen, "illumination"), 1, files.illumination)
    found["illumination"] = time.perf_counter() - start
    start = time.perf_counter()
    nuclei.make(files, preprocessing.stage(chosen, "nuclei"), 1, files)
    found["nuclei"] = time.perf_counter() - start
    start = time.perf_counter()
    store.make({"use": "nuclei", "keys": {"size": size}}, preprocessing.stage(chosen, "samples"), files, files, 1)
    found["crops"] = time.perf_counter() - start
    found["count"] = len(contracts.read_table(files.nuclei, "nuclei"))
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def native_apart(fields: Path, smoothing: str, size: int, output: Path) -> dict:
    """`native` in a process of its own."""
    call = ["--native", str(fields), smoothing, str(size), str(output)]
    command = [sys.executable, "-m", "benchmarks.preprocessing", *call]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if result.returncode:
        raise RuntimeError(result.stderr)
    return json.loads(result.stdout.splitlines()[-1])


# -- CellProfiler ------------------------------------------------------------------------------------------------------


def cellprofiler_pipelines(smoothing: str) -> dict[str, str]:
    """Two pipelines as CellProfiler's users have them: one makes illumination functions, one uses them and finds nuclei."""
    chosen = preprocessing.settings({"illumination": {"smoothing": smoothing}})
    head, load, calculate, save, _ = pipelines.split(pipelines.illumination(chosen.illumination_settings, SIZE))
    across = {"Calculate function for each image individually, or based on all images?": "All: Across cycles"}
    made = [load]
    for channel in CHANNELS:
        names = {"Select the input image": channel, "Name the output image": f"Illum{channel}"}
        made.append(pipelines.fill(calculate, "CorrectIlluminationCalculate", names | across))
        saved = {"Select the image to save": f"Illum{channel}", "Enter single file name": f"Illum{channel}"}
        made.append(pipelines.fill(save, "SaveImages", saved | {"When to save": "Last cycle"}))
    head, load, apply, identify, *_ = pipelines.split(pipelines.nuclei(chosen.nuclei_settings, 1.0))
    applied = [load]
    for channel in CHANNELS:
        names = ("Select the input image", "Name the output image", "Select the illumination function")
        values = dict(zip(names, (channel, f"Corr{channel}", f"Illum{channel}"), strict=True))
        applied.append(pipelines.fill(apply, "CorrectIlluminationApply", values))
    return {"illumination": pipelines.join(head, made), "nuclei": pipelines.join(head, [*applied, identify])}


def cellprofiler(fields: Path, smoothing: str, program: str, output: Path) -> dict:
    """Seconds of CellProfiler's modules by its own log, wall time of each process, and peak memory."""
    rows = contracts.read_table(fields, "fields").to_dict("records")
    found: dict = {}
    for stage, text in cellprofiler_pipelines(smoothing).items():
        folder = output / stage
        (folder / "home").mkdir(parents=True)
        (folder / "pipeline.cppipe").write_text(text)
        with open(folder / "load_data.csv", "w", newline="") as file:
            writer = None
            for row in rows:
                line = {f"{kind}_{c}": row[f"{kind}_{c}"] for c in CHANNELS for kind in ("FileName", "PathName")}
                if stage == "nuclei":
                    line |= {f"FileName_Illum{c}": f"Illum{c}.npy" for c in CHANNELS}
                    line |= {f"PathName_Illum{c}": str(output / "illumination" / "out") for c in CHANNELS}
                writer = writer or csv.DictWriter(file, list(line))
                if file.tell() == 0:
                    writer.writeheader()
                writer.writerow(line)
        (folder / "out").mkdir()
        command = [program, "-c", "-r", "-L", "INFO", "-p", str(folder / "pipeline.cppipe")]
        command += ["--data-file", str(folder / "load_data.csv"), "-o", str(folder / "out"), "-t", str(folder / "home")]
        # GNU time's work: the peak memory of this one process.
        measure = "import resource, subprocess, sys; c = subprocess.run(sys.argv[1:]).returncode; "
        measure += "print('PEAK', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024); sys.exit(c)"
        start = time.perf_counter()
        result = subprocess.run(
            [sys.executable, "-c", measure, *command],
            capture_output=True,
            text=True,
            env=environment(folder / "home", program),
            check=False,
        )
        found[f"{stage}_wall"] = time.perf_counter() - start
        log = result.stdout + result.stderr
        if result.returncode:
            raise RuntimeError(log[-3000:])
        for module, seconds in re.findall(r"module (\w+) # \d+: CPU_time = [\d.]+ secs, Wall_time = ([\d.]+) secs", log):
            found[f"{stage}_{module}"] = found.get(f"{stage}_{module}", 0) + float(seconds)
        found["peak_mb"] = max(found.get("peak_mb", 0), float(re.search(r"PEAK ([\d.]+)", log)[1]))
    return found


# -- the comparison ----------------------------------------------------------------------------------------------------


def compare(counts: list[int], program: str, folder: Path, smoothings: tuple[str, ...]) -> pd.DataFrame:
    """One row per engine, smoothing and number of fields."""
    found = []
    for count in counts:
        fields = draw(folder / f"plate{count}", count, SIZE, NUCLEI)
        for smoothing in smoothings:
            ours = native_apart(fields, smoothing, 64, folder / f"native{count}{smoothing}")
            theirs = cellprofiler(fields, smoothing, program, folder / f"cellprofiler{count}{smoothing}")
            found += [_native_row(ours, count), _cellprofiler_row(theirs, count)]
            for row in found[-2:]:
                row |= {"smoothing": smoothing, "fields": count}
            print(pd.DataFrame(found[-2:]).round(3).to_string(index=False), flush=True)
            _say(*found[-2:], ours["reading"] / ours["illumination"])
    return pd.DataFrame(found)


def _say(ours: dict, theirs: dict, share: float) -> None:
    """Print ratios; `share` is that of reading in making illumination functions."""
    field = theirs["field_s"] / ours["field_s"]
    functions = theirs["illumination_s"] / ours["illumination_s"]
    # A field is read twice: for its nuclei and for the crops.
    reading = 2 * ours["reading_s"] / ours["field_s"]
    print(
        f"{ours['smoothing']}, {ours['fields']} fields: native is {field:.1f} times as fast per field, reading {reading:.0%}"
    )
    print(f"  and {functions:.1f} times as fast for the illumination functions, reading {share:.0%}", flush=True)


def _native_row(times: dict, count: int) -> dict:
    return {
        "engine": "native",
        "illumination_s": times["illumination"],
        "field_s": (times["nuclei"] + times["crops"]) / count,
        "reading_s": times["reading"] / count,
        "peak_mb": times["peak_mb"],
        "nuclei_per_field": times["count"] / count,
    }


def _cellprofiler_row(times: dict, count: int) -> dict:
    work = sum(times[f"nuclei_{module}"] for module in ("CorrectIlluminationApply", "IdentifyPrimaryObjects"))
    return {
        "engine": "cellprofiler",
        "illumination_s": times["illumination_wall"],
        "field_s": work / count,
        "reading_s": times["nuclei_LoadData"] / count,
        "peak_mb": times["peak_mb"],
    }


def plot(table: pd.DataFrame, path: Path) -> None:
    """Seconds per field, and peak memory, against the number of fields."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
    table = table.assign(plate_s=table["illumination_s"] / table["fields"])
    names = {"plate_s": "illumination functions, s per field", "field_s": "apply, identify (native: and crops), s per field"}
    for axis, (column, title) in zip(axes, {**names, "peak_mb": "peak memory, MB"}.items(), strict=True):
        for (engine, smoothing), rows in table.groupby(["engine", "smoothing"]):
            axis.plot(rows["fields"], rows[column], "o-" if engine == "native" else "s--", label=f"{engine}, {smoothing}")
        axis.set(xlabel="fields of the plate", title=title, ylim=(0, None))
        axis.title.set_fontsize(9)
    axes[0].legend(fontsize=7)
    figure.savefig(path)


def memory(folder: Path) -> pd.DataFrame:
    """Peak memory of the native engine on a plate of 96 and on one of 3,456 small fields."""
    found = []
    for count in (96, 3456):
        fields = draw(folder / f"small{count}", count, (64, 64), 2)
        found.append({"fields": count, **native_apart(fields, "polynomial", 32, folder / f"memory{count}")})
    return pd.DataFrame(found)


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", type=int, nargs="+", default=[8, 32, 96])
    parser.add_argument("--smoothing", nargs="+", default=list(SMOOTHINGS))
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "output")
    parser.add_argument("--cellprofiler", default=str(ROOT / ".cellprofiler" / "bin" / "cellprofiler"))
    parser.add_argument("--small", action="store_true", help="only the memory of plates of 96 and 3,456 small fields")
    parser.add_argument("--native", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.native:
        fields, smoothing, size, output = arguments.native
        print(json.dumps(native(Path(fields), smoothing, int(size), Path(output))))
        return
    arguments.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.small:
            table = memory(Path(folder))
            print(table.round(3).to_string(index=False))
            small, large = table["peak_mb"]
            print(f"peak memory of the large plate over that of the small one: {large / small:.3f}")
            table.to_csv(arguments.output / "preprocessing_memory.csv", index=False)
            return
        table = compare(arguments.fields, find(arguments.cellprofiler), Path(folder), tuple(arguments.smoothing))
    table.to_csv(arguments.output / "preprocessing.csv", index=False)
    plot(table, arguments.output / "preprocessing.svg")


if __name__ == "__main__":
    main()
