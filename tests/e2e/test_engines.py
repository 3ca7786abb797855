"""The native engine is held to CellProfiler's own output, on real plates and on a simulated one."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from phenorep import contracts, fields, plugins, preprocessing
from phenorep.datasets import bbbc013, simulated
from phenorep.imaging import cellprofiler as engine
from phenorep.imaging import illumination, intensity, pipelines
from phenorep.imaging.agreement import Matches, f1, near, relative_difference
from phenorep.imaging.cellprofiler_run import environment, run
from phenorep.imaging.segmentation import find_nuclei
from phenorep.nuclei import measure
from tests.e2e.conftest import TINY_SCREEN, Project

SMOOTHINGS = ("gaussian", "median", "polynomial")
SCREEN = {"batches": 2, "plates_per_batch": 1, "mechanisms": 4, "compounds_per_mechanism": 2, "wells_per_treatment": 1}
SCREEN |= {"positive_wells": 1, "sites": 2, "size": 320}


def bbbc013_plate(shared_data: Path, folder: Path) -> Path:
    config = bbbc013.Config(path=str(shared_data / "bbbc013"))
    fields.make(bbbc013, config, bbbc013.plates(config)[0], folder, "stop", folder / "fields.parquet")
    return folder / "fields.parquet"


def simulated_plate(_: Path, folder: Path) -> Path:
    config = plugins.configure(simulated.Config, SCREEN, "datasets: simulated")
    plate = simulated.plates(config)[0]
    simulated.download(config, plate, folder / plate)
    fields.make(simulated, config, plate, folder, "stop", folder / "fields.parquet")
    return folder / "fields.parquet"


def bbbc039_plate(shared_data: Path, folder: Path) -> Path:
    paths = sorted((shared_data / "bbbc039" / "images").glob("*.tif"))
    rows = [
        {
            "Metadata_Plate": "P1",
            "Metadata_Well": f"A{n:02d}",
            "Metadata_Site": "1",
            "FileName_DNA": p.name,
            "PathName_DNA": str(p.parent),
        }
        for n, p in enumerate(paths, start=1)
    ]
    about = {"channels": ["DNA"], "pixel_size_um": None, "intensity_max": None}
    contracts.write_table(fields.with_headers(pd.DataFrame(rows), about, "P1"), folder / "fields.parquet", "fields", about)
    return folder / "fields.parquet"


def settings(**keys) -> preprocessing.Preprocess:
    return preprocessing.settings({"engine": "cellprofiler", "chunk": 30, **keys})


@pytest.mark.parametrize("plate", [bbbc013_plate, simulated_plate])
def test_illumination_functions_are_cellprofilers(cellprofiler, shared_data, tmp_path, plate):
    table = plate(shared_data, tmp_path)
    keys = {smoothing: {"smoothing": smoothing} for smoothing in SMOOTHINGS}
    keys["background"] = {"method": "background", "block_size": 40, "smoothing": "gaussian", "size": 100}
    for name, key in keys.items():
        block = preprocessing.stage(settings(illumination=key), "illumination")
        engine.stage_illumination(table, block, 2, tmp_path / name)
        illumination.make(table, block, 2, tmp_path / f"{name}.npz")
    # All smoothings of the same mean in one process: starting CellProfiler costs more than the work.
    texts = [(tmp_path / name / "means" / "pipeline.cppipe").read_text() for name in SMOOTHINGS]
    head, load, *_, export = pipelines.split(texts[0])
    modules = [load]
    for name, text in zip(SMOOTHINGS, texts, strict=True):
        calculate, save = pipelines.split(text)[2:4]
        modules.append(pipelines.fill(calculate, "CorrectIlluminationCalculate", {"Name the output image": name}))
        values = {"Select the image to save": name, "Enter single file name": rf"\g<Channel>_{name}"}
        modules.append(pipelines.fill(save, "SaveImages", values))
    shutil.copytree(tmp_path / SMOOTHINGS[0] / "means", tmp_path / "together" / "regular")
    (tmp_path / "together" / "regular" / "pipeline.cppipe").write_text(pipelines.join(head, [*modules, export]))
    shutil.copytree(tmp_path / "background" / "means", tmp_path / "together" / "background")
    run(tmp_path / "together", tmp_path / "found", cellprofiler, 2)
    for name in keys:
        with np.load(tmp_path / f"{name}.npz") as native:
            for channel in [channel for channel in native.files if channel != "about"]:
                path = f"background/found/{channel}.npy" if name == "background" else f"regular/found/{channel}_{name}.npy"
                assert relative_difference(native[channel], np.load(tmp_path / "found" / path)) <= 1e-3, (name, channel)


def test_a_mean_of_ours_gives_the_function_of_cellprofilers_own_averaging(cellprofiler, shared_data, tmp_path):
    """All images given to CellProfiler, which averages them itself: as a user would do it."""
    table = bbbc013_plate(shared_data, tmp_path)
    chosen = settings(illumination={"smoothing": "median"})
    rows = contracts.read_table(table, "fields").to_dict("records")
    chunk = tmp_path / "staged" / "all"
    lines = []
    for number, row in enumerate(rows):
        image = illumination.readers.read_field(row, ["DNA"])[0]
        engine._save(chunk / f"{number}.npy", image)
        lines.append({"Metadata_Channel": "DNA", "FileName_Mean": f"{number}.npy"})
    pipeline = pipelines.illumination(chosen.illumination_settings, image.shape)
    across = "Calculate function for each image individually, or based on all images?"
    pipeline = pipelines.fill(pipeline, "CorrectIlluminationCalculate", {across: "All: Across cycles"})
    pipeline = pipelines.fill(pipeline, "SaveImages", {"When to save": "Last cycle"})
    engine._finish_chunk(chunk, pipeline, lines, [])
    run(tmp_path / "staged", tmp_path / "found", cellprofiler, 1)
    illumination.make(table, preprocessing.stage(chosen, "illumination"), 2, tmp_path / "native.npz")
    with np.load(tmp_path / "native.npz") as native:
        assert relative_difference(native["DNA"], np.load(tmp_path / "found" / "all" / "found" / "DNA.npy")) <= 1e-3


VARIANTS = {
    "default": {},
    "intensity": {
        "declump": "intensity",
        "threshold": "minimum_cross_entropy",
        "diameter": [15, 60],
        "border": "drop",
    },
    "adaptive": {"threshold_scope": "adaptive", "adaptive_window": 100, "divide": "intensity", "low_resolution": False},
    "plain": {"declump": "none", "fill_holes": False, "threshold_correction": 0.9},
}


@pytest.mark.parametrize("plate", [bbbc039_plate, bbbc013_plate])
def test_nuclei_are_cellprofilers(cellprofiler, shared_data, tmp_path, plate):
    table = plate(shared_data, tmp_path)
    rows = illumination.usable(contracts.read_table(table, "fields"), table)[:26]
    about = contracts.about(table)
    chosen = settings()
    illumination.make(table, preprocessing.stage(chosen, "illumination"), 2, tmp_path / "functions.npz")
    staged, some = tmp_path / "staged", {}
    for name, keys in VARIANTS.items():
        (tmp_path / name).mkdir()
        # The variants on a few fields: CellProfiler takes half a second for each.
        some[name] = rows if name == "default" else rows[::4]
        engine.stage_fields(some[name], about, tmp_path / "functions.npz", settings(nuclei=keys), 2, tmp_path / name)
        for chunk in (tmp_path / name).glob("fields_*"):
            shutil.copytree(chunk, staged / f"{name}_{chunk.name}")
    run(staged, tmp_path / "all", cellprofiler, 2)
    channels = contracts.channels_of(rows[0])
    functions = illumination.load(tmp_path / "functions.npz", channels)
    index = channels.index("DNA")
    for name, keys in VARIANTS.items():
        chosen = settings(nuclei=keys).nuclei_settings
        for chunk in (tmp_path / "all").glob(f"{name}_*"):
            shutil.copytree(chunk, tmp_path / f"found_{name}" / chunk.name.removeprefix(f"{name}_"))
        found = engine.Found(tmp_path / name, tmp_path / f"found_{name}")
        matches = []
        for row in some[name]:
            raw = illumination.readers.read_field(row, channels)[index]
            share = intensity.share_of_range(about["intensity_max"], int(row["BitDepth"]))
            native = find_nuclei(intensity.scaled(raw, functions[index]), chosen, share)
            matches.append(Matches.of(native, found.labels(row["Field"], raw.shape)))
        assert sum(one.counts[1] for one in matches) > 200, name
        assert f1(matches, 0.7) >= 0.98, name
        assert near(matches, 1.0) >= 0.99, name


def test_cellprofiler_is_the_engine_of_a_plate(cellprofiler, config, tmp_path):
    """A plate of the tiny screen: CellProfiler leaves what the native engine leaves, and their comparison says so."""
    project = Project(tmp_path)
    screen = plugins.configure(simulated.Config, TINY_SCREEN, "datasets: screen")
    plate = simulated.plates(screen)[0]
    found = {
        kind: tmp_path / f"results/screen/{kind}/{plate}.{end}" for kind, end in (("nuclei", "parquet"), ("masks", "npz"))
    }
    project.finish(config, "--", str(found["nuclei"].relative_to(tmp_path)))
    assert contracts.about(found["nuclei"])["engine"] == "native"
    native = contracts.read_table(found["nuclei"], "nuclei"), found["masks"].read_bytes()

    config["preprocess"] = {"engine": "cellprofiler", "cellprofiler": cellprofiler, "chunk": 13, "check": 3}
    compared = tmp_path / f"results/screen/engines/{plate}.parquet"
    project.finish(config, "--", *(str(path.relative_to(tmp_path)) for path in (found["nuclei"], compared)))
    assert contracts.about(found["nuclei"])["engine"].startswith("CellProfiler 4.2")
    pd.testing.assert_frame_equal(contracts.read_table(found["nuclei"], "nuclei"), native[0])
    assert found["masks"].read_bytes() == native[1]
    table = contracts.read_table(compared, "details")
    nuclei = table[table["Compared"] == "nuclei"]
    assert len(nuclei) == 3
    assert nuclei["F1"].min() >= 0.98
    assert table["Difference"].max() <= 1e-3
    assert not list(tmp_path.glob("results/screen/cellprofiler/*/*/*")), "what CellProfiler worked on is temporary"


@pytest.mark.parametrize("labels", ["tiff", "none"])
def test_a_pipeline_of_ones_own_finds_the_nuclei(cellprofiler, tmp_path, labels):
    """It knows all channels by their names; without label images, what it exported is the table of nuclei."""
    table = simulated_plate(tmp_path, tmp_path)
    text = pipelines.nuclei(preprocessing.Segmentation(), 1.0)
    head, *modules, convert, save, export = pipelines.split(text)
    save = pipelines.fill(save, "SaveImages", {"Saved file format": "tiff", "Image bit depth": "16-bit integer"})
    modules += [convert, save] if labels == "tiff" else [SIZES]
    (tmp_path / "own.cppipe").write_text(pipelines.join(head, [*modules, export]))
    chosen = settings(pipeline=str(tmp_path / "own.cppipe"))
    native = settings()
    illumination.make(table, preprocessing.stage(chosen, "illumination"), 2, tmp_path / "functions.npz")
    rows = illumination.usable(contracts.read_table(table, "fields"), table)[::20]
    (tmp_path / "staged").mkdir()
    engine.stage_fields(rows, contracts.about(table), tmp_path / "functions.npz", chosen, 1, tmp_path / "staged")
    run(tmp_path / "staged", tmp_path / "found", cellprofiler, 1)
    found = engine.Found(tmp_path / "staged", tmp_path / "found")
    channels = contracts.channels_of(rows[0])
    functions = illumination.load(tmp_path / "functions.npz", channels)
    for row in rows:
        raw = illumination.readers.read_field(row, channels)[channels.index("DNA")]
        expected = find_nuclei(intensity.scaled(raw, functions[channels.index("DNA")]), native.nuclei_settings)
        if labels == "tiff":
            np.testing.assert_array_equal(found.labels(row["Field"], raw.shape), expected)
        else:
            assert found.labels(row["Field"], raw.shape) is None
            exported = found.table(row["Field"])
            ours = measure(expected)
            for name in ("Nucleus", "Location_Center_X", "Location_Center_Y", "AreaShape_Area", "AreaShape_Eccentricity"):
                np.testing.assert_allclose(exported[name], ours[name], atol=1e-6)


SIZES = """MeasureObjectSizeShape:[module_num:4|svn_version:'Unknown'|variable_revision_number:3|enabled:True]
    Select object sets to measure:Nuclei
    Calculate the Zernike features?:No
    Calculate the advanced features?:No
"""


def test_the_pipelines_open_in_cellprofiler(cellprofiler, tmp_path):
    """As they lie in the repository, and filled in with every setting changed."""
    from phenorep.preprocessing import Illumination, Segmentation

    texts = [path.read_text() for path in sorted(pipelines.FOLDER.glob("*.cppipe"))]
    texts += [pipelines.illumination(Illumination(smoothing=smoothing, size=33), (90, 100)) for smoothing in SMOOTHINGS]
    changed = replace(Segmentation(), declump_smoothing=4, declump_distance=5.5, threshold_bounds=(0.01, 0.9), border="drop")
    texts.append(pipelines.nuclei(changed, 4095 / 65535))
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.cppipe").write_text(text)
    program = """
import sys, cellprofiler_core.preferences as preferences
preferences.set_headless()
from cellprofiler_core.pipeline import Pipeline
from cellprofiler_core.utilities.core.modules import fill_modules
fill_modules()
for path in sys.argv[1:]:
    pipeline = Pipeline()
    pipeline.load(path)
    print(path.split("/")[-1], [module.module_name for module in pipeline.modules()])
    for module in pipeline.modules():
        for setting in module.settings():
            print(setting.text, "=", setting.value_text)
"""
    python = Path(cellprofiler).with_name("python")
    files = [str(tmp_path / f"{number}.cppipe") for number in range(len(texts))]
    result = subprocess.run(
        [python, "-c", program, *files], capture_output=True, text=True, env=environment(tmp_path, cellprofiler), timeout=120
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("CorrectIlluminationCalculate") == 4
    assert "Lower and upper bounds on threshold = 0.000624856" in result.stdout
    assert "Smoothing filter size = 33" in result.stdout
