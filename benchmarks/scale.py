"""Ten thousand to a million samples: seconds and peak memory of pretrain, embed and abnormality against their number.

``python -m benchmarks.scale [--counts 10000 100000 1000000] [--jobs pretrain embed abnormality]`` draws 256 small images
(8x8 pixels, one channel) and sample sets that see them again and again: plates of 10,000 cells, each a window into the same
array, as a view of another sample set is. So the disk stays small, and the tables are as long as they would be. Some 400
cells are labelled normal or abnormal. Then come, each in a process of its own:

- table: open the sample set, and nothing else: what the tables take, against which the others are held;
- pretrain: one epoch over all samples with the recipe `vae`, with a network so small that a million images take minutes;
- embed: all samples by the encoder that was learnt from the fewest, 64 features each;
- abnormality: the probability of all samples, learnt from the labelled ones.

Expected are seconds in proportion to the number of samples, and memory that grows with the tables alone. The last columns
are the processor's microseconds and the bytes of each sample more than the fewest, and the bytes of the job `table`.
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import jobs
from phenorep import contracts

PER_PLATE, PER_WELL, PER_SITE = 10_000, 100, 50
SIDE, DISTINCT, LABELLED, MAXIMUM = 8, 256, 400, 4095
SMALL = {"backbone": "none", "widths": [4], "latent": 64, "batch_size": 500, "epochs": 1, "warmup_epochs": 0}


def draw(folder: Path, count: int) -> None:
    """Write the tables of `count` samples, plate by plate, and the images that all of them see."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    widths = generator.uniform(1, 2, DISTINCT)
    widths[1::2] *= 2  # every other image shows an abnormal cell: a large one
    cells = 300 + 3000 * np.exp(-(x**2 + y**2) / widths[:, None, None] ** 2)
    images = generator.normal(cells, 50).clip(0, MAXIMUM).astype(np.uint16)[:, None]
    np.save(folder / "images.npy", images)
    about = {"channels": ["DNA"], "dtype": "uint16", "intensity_max": MAXIMUM, "shape": [1, SIDE, SIDE]}
    about |= {"mean": [float(images.mean())], "std": [float(images.std())], "illumination": ""}
    about |= {"of": str(folder / "images.npy")}
    every = max(1, count // LABELLED)
    for plate, start in enumerate(range(0, count, PER_PLATE), 1):
        rows = np.arange(min(PER_PLATE, count - start))
        table = cells_of(f"Plate{plate:03d}", rows, generator)
        kinds = np.where(table["Parent"] % 2 == 1, "abnormal", "normal")
        table["Label_Quality"] = np.where((start + rows) % every == 0, kinds, "")
        stem = folder / f"Plate{plate:03d}"
        contracts.write_table(table, stem.with_suffix(".parquet"), "samples", about)
        contracts.write_json(about | {"count": len(table)}, stem.with_suffix(".json"))


def cells_of(plate: str, rows: np.ndarray, generator: np.random.Generator) -> pd.DataFrame:
    """The samples table of one plate, with the columns that windows around nuclei have."""
    wells = rows // PER_WELL
    table = pd.DataFrame({"Metadata_Plate": plate, "Metadata_Well": [f"{chr(65 + w // 24)}{w % 24 + 1:02d}" for w in wells]})
    table["Metadata_Site"] = (rows % PER_WELL // PER_SITE + 1).astype(str)
    table["Metadata_Compound"] = [f"compound {well:03d}" for well in wells]
    table["Metadata_Concentration"] = 10.0 / 3 ** (wells % 8)
    names = table[list(contracts.FIELD)].agg("/".join, axis=1)
    table["Sample"] = names + "/" + pd.Series(rows % PER_SITE + 1).astype(str)
    for name in ("Top", "Left", "Location_Center_X", "Location_Center_Y", "AreaShape_Area", "AreaShape_Eccentricity"):
        table[name] = generator.uniform(0, 1000, len(rows))
    table["Parent"] = generator.integers(0, DISTINCT, len(rows))
    return table.assign(ParentTop=0, ParentLeft=0, ParentHeight=SIDE, ParentWidth=SIDE)


def files(folder: Path) -> dict[str, list[str]]:
    """The sample set's files as jobs are told of them."""
    return {
        "tables": [str(path) for path in sorted(folder.glob("Plate*.parquet"))],
        "statistics": [str(path) for path in sorted(folder.glob("Plate*.json"))],
    }


# -- jobs, each in a process of its own -------------------------------------------------------------------------------------


def table(folder: str, encoder: str, threads: int) -> None:  # noqa: ARG001 (all jobs are called alike)
    """Open the samples, with the libraries in memory that the others need."""
    from phenorep import pretrain  # noqa: F401
    from phenorep.store import Samples

    Samples.open(*files(Path(folder)).values())


def pretrain(folder: str, encoder: str, threads: int) -> None:
    """What the rule `pretrain` runs."""
    from phenorep import pretrain

    source = {"samples": "drawn/cells", "where": None, "labels": None, **files(Path(folder))}
    outputs = [str(Path(folder) / name) for name in (Path(encoder).name, "training.csv", "epochs")]
    pretrain.make({"use": "vae", "keys": SMALL}, [source], None, 0, {"device": "cpu"}, threads, outputs)


def embed(folder: str, encoder: str, threads: int) -> None:
    """What the rule `embed` runs."""
    from phenorep import embedding

    embedding.make(
        encoder, **files(Path(folder)), compute={"device": "cpu"}, threads=threads, output=f"{folder}/all.parquet"
    )


def abnormality(folder: str, encoder: str, threads: int) -> None:  # noqa: ARG001
    """What the rule `abnormality` runs."""
    from phenorep.quality import abnormality

    abnormality.make({"embeddings": f"{folder}/all.parquet"}, {"method": "vae"}, f"{folder}/abnormality.parquet")


JOBS = {job.__name__: job for job in (table, pretrain, embed, abnormality)}


# -- the table --------------------------------------------------------------------------------------------------------------


def measure(counts: list[int], names: list[str], threads: int, folder: Path) -> pd.DataFrame:
    """One row for each number of samples and job."""
    found, encoder = [], folder / str(counts[0]) / "encoder.safetensors"
    for count in counts:
        own = folder / str(count)
        draw(own, count)
        for name in ("table", *names):
            took = jobs.apart("benchmarks.scale", name, str(own), str(encoder), threads)
            row = {"samples": count, "job": name, "seconds": took["work_s"], "cpu_seconds": took["cpu_s"]}
            found.append(row | {"peak_mb": took["rss_mb"]})
            print(pd.DataFrame(found[-1:]).round(1).to_string(index=False, header=len(found) == 1), flush=True)
        for path in own.glob("*.parquet"):
            path.unlink()
    return grown(pd.DataFrame(found))


def grown(found: pd.DataFrame) -> pd.DataFrame:
    """The measured rows with the processor's time and the memory of each further sample."""
    first = found[found["samples"] == found["samples"].min()].set_index("job").loc[found["job"]].reset_index()
    further = (found["samples"] - first["samples"]).replace(0, np.nan)
    found["microseconds_each"] = 1e6 * (found["cpu_seconds"] - first["cpu_seconds"]) / further
    found["bytes_each"] = 2**20 * (found["peak_mb"] - first["peak_mb"]) / further
    tables = found[found["job"] == "table"].set_index("samples")["bytes_each"]
    return found.assign(bytes_each_table=tables[found["samples"]].to_numpy())


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="numbers of samples")
    names = [name for name in JOBS if name != "table"]
    parser.add_argument("--jobs", nargs="+", default=names, choices=names, help="each needs the ones before it")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of torch")
    parser.add_argument("--output", type=Path, default=jobs.OUTPUT)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        jobs.run(arguments.job, JOBS)
        return
    arguments.output.mkdir(parents=True, exist_ok=True)
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(sorted(arguments.counts), arguments.jobs, arguments.threads, Path(folder))
    print(f"{found.round(1).to_string(index=False)}\nload average {os.getloadavg()[0]:.1f}")
    found.to_csv(arguments.output / "scale.csv", index=False)


if __name__ == "__main__":
    main()
