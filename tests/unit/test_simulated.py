"""The simulated screen: its layout, its determinism, and that its truth is true."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from phenorep import plugins
from phenorep.datasets import simulated
from phenorep.datasets.simulated import Config
from phenorep.errors import UserError
from phenorep.simulation import fibres, layout, phenotypes
from phenorep.simulation.cells import _truth
from phenorep.simulation.optics import ARTEFACTS, optics
from phenorep.simulation.screen import artefacts_of, draw_field

# Draws in about a second per plate.
TINY = Config(
    batches=2,
    plates_per_batch=1,
    mechanisms=3,
    compounds_per_mechanism=2,
    wells_per_treatment=1,
    positive_wells=1,
    sites=2,
    size=128,
    cells=7.0,
    artefact_share=0.25,
)
CHANNELS = ("DNA", "Actin", "Tubulin")


@pytest.fixture(scope="module")
def screen(tmp_path_factory) -> Path:
    """Both plates of the tiny screen."""
    folder = tmp_path_factory.mktemp("simulated")
    for plate in simulated.plates(TINY):
        simulated.download(TINY, plate, folder / plate)
    return folder


@pytest.fixture(scope="module")
def fields(screen) -> pd.DataFrame:
    return pd.concat([simulated.fields(TINY, plate, screen) for plate in simulated.plates(TINY)], ignore_index=True)


def images_of(row) -> np.ndarray:
    return np.stack([tifffile.imread(Path(row[f"PathName_{c}"]) / row[f"FileName_{c}"]) for c in CHANNELS])


def mask_of(row, screen: Path) -> np.ndarray:
    name = f"{row.Metadata_Plate}_{row.Metadata_Well}_s{row.Metadata_Site}.png"
    return np.array(Image.open(screen / row.Metadata_Plate / "truth" / "masks" / name))


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# Layout


@pytest.mark.parametrize("config", [Config(), TINY, Config(batches=4, compounds_per_mechanism=4, mechanisms=6)])
def test_layout(config):
    wells = pd.concat([layout.wells(config, plate) for plate in simulated.plates(config)])
    assert wells["Metadata_Plate"].nunique() == config.batches * config.plates_per_batch
    assert not wells.duplicated(["Metadata_Plate", "Metadata_Well"]).any()
    assert wells["Metadata_Well"].str.fullmatch(r"[A-P]\d\d").all()

    negative = wells[wells["Metadata_Control"] == "negative"]
    assert (negative.groupby("Metadata_Plate").size() == config.negative_wells).all()
    assert set(negative["Metadata_Compound"]) == {"DMSO"}
    assert set(negative["Metadata_MoA"]) == {""}
    assert negative["Metadata_Concentration"].isna().all()
    positive = wells[wells["Metadata_Control"] == "positive"]
    assert set(positive["Metadata_Plate"]) == set(simulated.plates(config))
    assert positive["Metadata_Compound"].nunique() == 1

    treated = wells[wells["Metadata_Control"] == ""]
    assert treated["Metadata_MoA"].nunique() == config.mechanisms
    assert (treated.groupby("Metadata_MoA")["Metadata_Compound"].nunique() == config.compounds_per_mechanism).all()
    assert (treated.groupby("Metadata_MoA")["Metadata_Batch"].nunique() == 2).all()
    compounds = treated.groupby("Metadata_Compound")
    assert (compounds["Metadata_Batch"].nunique() == 1).all()
    assert (compounds["Metadata_Plate"].nunique() == config.plates_per_batch).all()
    assert (compounds["Metadata_Concentration"].nunique() == 2).all()
    replicates = treated.groupby(["Metadata_Plate", "Metadata_Compound", "Metadata_Concentration"]).size()
    assert (replicates == config.wells_per_treatment).all()


def test_default_screen_is_large_enough():
    config = Config()
    assert config.mechanisms >= 6
    assert config.compounds_per_mechanism >= 3
    assert config.negative_wells >= 6
    assert len(config.concentrations) == 2


def test_position_is_no_treatment():
    # The replicates of a batch must not share their map, or well effects pass for compounds.
    first, second = (
        layout.wells(Config(), plate).set_index("Metadata_Well")["Metadata_Compound"]
        for plate in layout.plates(Config())[:2]
    )
    assert (first.reindex(second.index) == second).mean() < 0.4


def test_planning_draws_nothing_and_imports_nothing_heavy():
    code = (
        "import sys; from phenorep.datasets import simulated as s; c = s.Config(); s.plates(c); s.archives(c); s.about(c);"
        "print([m for m in ('scipy', 'skimage', 'tifffile', 'torch', 'PIL', 'sklearn') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_archives():
    assert simulated.archives(TINY) == simulated.plates(TINY)
    assert simulated.archives(TINY, "Week2_22201") == ["Week2_22201"]
    assert simulated.sources(TINY) == []


# Configuration


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"batches": 1}, "batches"),
        ({"mechanisms": 99}, "mechanisms"),
        ({"artefact_share": 1.5}, "artefact_share"),
        ({"concentrations": []}, "concentrations"),
        ({"concentrations": [1, 1]}, "concentrations"),
        ({"cells": 0}, "cells"),
        ({"size": 20}, "size"),
        ({"effect": -1}, "effect"),
        ({"wells_per_treatment": 40}, "wells_per_treatment"),
        ({"colour": 1}, "colour"),
    ],
)
def test_bad_values_name_the_key(values, key):
    with pytest.raises(UserError, match=f"datasets: simulated.*{key}"):
        plugins.configure(Config, values, "datasets: simulated")


def test_text_from_the_command_line():
    config = plugins.configure(
        Config, {"size": "128", "concentrations": ["1", "10"], "effect": "0.5"}, "datasets: simulated"
    )
    assert (config.size, config.concentrations, config.effect) == (128, (1.0, 10.0), 0.5)


# Phenotypes


def test_effects_rise_with_concentration():
    doses = (0.3, 1.0, 10.0)
    strengths = [phenotypes.dose_strength(dose, doses) for dose in doses]
    assert strengths[0] > 0
    assert strengths == sorted(set(strengths))
    assert strengths[-1] <= 1


def test_compounds_of_a_mechanism_are_alike_but_not_equal():
    config = Config(mechanisms=10)
    compounds = layout.compounds(config)
    effects = np.stack([phenotypes.compound_effect(config, c.mechanism, c.name) for c in compounds])
    spread = np.array([spread or 0.5 for _, _, spread in phenotypes.PARAMETERS.values()])
    unit = effects / spread
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    alike = unit @ unit.T
    same = np.equal.outer([c.mechanism for c in compounds], [c.mechanism for c in compounds])
    own = ~np.eye(len(compounds), dtype=bool)
    assert alike[same & own].min() > 0.6
    assert alike[same & own].max() < 0.9999
    assert np.median(alike[~same]) < 0.4


def test_higher_concentration_shows_more_in_the_image():
    config = replace(TINY, cell_variety=0.0, batch_effect=0.0, mechanisms=5, size=256, cells=20.0)
    wells = layout.wells(config, "Week1_22101")
    chosen = pd.concat([wells[wells["Metadata_MoA"] == "DNA damage"], wells[wells["Metadata_Control"] == "negative"][:1]])
    area = {}
    for well in chosen.itertuples():
        nuclei = [draw_field(config, optics(config, "Week1_22101"), well, str(site), "")[1] for site in range(3)]
        sizes = [np.bincount(field.mask.ravel())[1:] for field in nuclei]
        area[well.Metadata_Concentration if well.Metadata_MoA else 0.0] = np.median(np.concatenate(sizes))
    # Larger nuclei are part of what this mechanism does.
    assert 1.1 * area[0.0] < area[1.0]
    assert 1.1 * area[1.0] < area[10.0]


def test_effect_zero_changes_nothing():
    config = Config(effect=0.0)
    assert not phenotypes.compound_effect(config, "Actin disruptors", "SIM-201").any()


def test_strong_effects_do_not_eat_the_memory():
    """Traits are products of effects: a mean of millions of vesicles in a cell is possible, and is cut off."""
    cells = SimpleNamespace(traits={"cell_radius": np.full(2, 10.0), "cell_aspect": np.ones(2)}, axis=np.zeros(2))
    cells.y = cells.x = np.full(2, 48.0)
    cell, y, x = fibres._scatter(cells, np.array([1e7, 3.0]), np.random.default_rng(0), 0.4)
    assert len(cell) == len(y) == len(x) < 1500


def test_no_variety_makes_cells_equal():
    traits = phenotypes.cells_of(phenotypes.control(), np.zeros(len(phenotypes.NAMES)), 0.0, 5, np.random.default_rng(0))
    for name, (value, _, _) in phenotypes.PARAMETERS.items():
        np.testing.assert_allclose(traits[name], value, err_msg=name)


@pytest.mark.parametrize("mechanism", phenotypes.MECHANISMS)
def test_mechanisms_move_known_parameters_in_structure(mechanism):
    effect = phenotypes.MECHANISMS[mechanism]
    assert set(effect) <= set(phenotypes.PARAMETERS)
    assert len(effect) >= 4


# Images and truth


def test_fields_table(fields):
    assert len(fields) == sum(len(layout.wells(TINY, plate)) for plate in simulated.plates(TINY)) * TINY.sites
    assert set(fields["Metadata_Site"]) == {"1", "2"}
    assert not fields.drop(columns="Metadata_Concentration").isna().any().any()
    assert [name.removeprefix("FileName_") for name in fields if name.startswith("FileName_")] == list(CHANNELS)
    assert fields["FileName_Tubulin"].str.fullmatch(r"Week\d_\d+_[A-P]\d\d_s\d_w3\.tif").all()


def test_images_are_12_bit_in_16(fields):
    for _, row in fields.iterrows():
        images = images_of(row)
        assert images.shape == (3, 128, 128)
        assert images.dtype == np.uint16
        assert images.max() <= simulated.about(TINY)["intensity_max"] == 4095
        if row.Label_Artefact == "saturated":
            assert (images == 4095).mean() > 0.005
        elif row.Label_Artefact == "":
            assert (images == 4095).mean() < 0.01


def test_truth_fits_the_images(fields, screen):
    centres = pd.concat(
        [
            pd.read_csv(screen / plate / "truth" / "nuclei.csv", dtype={"Metadata_Site": str}).assign(Metadata_Plate=plate)
            for plate in simulated.plates(TINY)
        ]
    ).set_index(["Metadata_Plate", "Metadata_Well", "Metadata_Site"])
    contrasts = []
    for _, row in fields.iterrows():
        mask = mask_of(row, screen)
        assert mask.shape == (128, 128)
        assert list(np.unique(mask[mask > 0])) == list(range(1, row.Label_Count + 1))
        key = (row.Metadata_Plate, row.Metadata_Well, row.Metadata_Site)
        if row.Label_Count:
            here = centres.loc[[key]]
            assert len(here) == row.Label_Count
            y, x = (np.round(here[f"Location_Center_{axis}"]).astype(int) for axis in "YX")
            assert list(mask[y, x]) == list(here["Nucleus"])
        if row.Label_Artefact == "" and row.Label_Count:
            dna = images_of(row)[0].astype(float)
            contrasts.append(dna[mask > 0].mean() / np.median(dna[mask == 0]))
    # Nuclei are bright where the mask says so.
    assert min(contrasts) > 2


def test_vignette(fields, screen):
    for plate in simulated.plates(TINY):
        with np.load(screen / plate / "truth" / "vignette.npz") as vignette:
            assert list(vignette) == list(CHANNELS)
            for channel in CHANNELS:
                assert vignette[channel].shape == (128, 128)
                assert vignette[channel].mean() == pytest.approx(1, abs=1e-4)
                assert vignette[channel].max() / vignette[channel].min() > 1.15
            assert np.abs(vignette["DNA"] - vignette["Actin"]).max() > 0.01
            # An empty field is background times the vignette, and nothing else.
            for _, row in fields[(fields["Metadata_Plate"] == plate) & (fields["Label_Artefact"] == "empty")].iterrows():
                for channel, image in zip(CHANNELS, images_of(row).astype(float), strict=True):
                    rows = np.corrcoef(image.mean(axis=0), vignette[channel].mean(axis=0))[0, 1]
                    assert rows > 0.8


def test_artefacts(fields):
    share = (fields["Label_Artefact"] != "").groupby(fields["Metadata_Plate"]).mean()
    assert share.to_numpy() == pytest.approx(TINY.artefact_share, abs=0.03)
    assert set(fields["Label_Artefact"]) == {"", *ARTEFACTS}
    assert ((fields["Label_Artefact"] == "") == (fields["Label_Quality"] == "normal")).all()
    assert (fields.loc[fields["Label_Artefact"] == "empty", "Label_Count"] == 0).all()
    assert (fields.loc[fields["Label_Artefact"] == "", "Label_Count"] > 0).mean() > 0.9
    assert artefacts_of(replace(TINY, artefact_share=0.0), "Week1_22101") == {}


def test_out_of_focus_is_blurred(fields):
    def sharpness(kind: str) -> float:
        rows = fields[fields["Label_Artefact"] == kind]
        return np.median([np.abs(np.diff(images_of(row)[1].astype(float))).mean() for _, row in rows.iterrows()])

    assert sharpness("out_of_focus") < 0.7 * sharpness("")


# Determinism


def test_a_plate_depends_on_seed_and_name_alone(screen, tmp_path):
    # The second plate, drawn alone in another process, is the one that was drawn after the first.
    plate = simulated.plates(TINY)[1]
    code = (
        "import sys; from pathlib import Path; from phenorep.datasets import simulated as s;"
        f"s.download(s.{TINY!r}, {plate!r}, Path(sys.argv[1]))"
    )
    root = Path(simulated.__file__).parents[2]
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=root)
    assert digests(tmp_path) == digests(screen / plate)


def test_another_seed_is_another_screen(screen, tmp_path):
    plate = simulated.plates(TINY)[0]
    simulated.download(replace(TINY, seed=1), plate, tmp_path)
    assert digests(tmp_path) != digests(screen / plate)


def test_missing_or_other_images_are_an_error(screen, tmp_path):
    with pytest.raises(UserError, match=r"fields\.csv is missing.*Remove"):
        simulated.fields(TINY, "Week1_22101", tmp_path)
    with pytest.raises(UserError, match="drawn with another configuration"):
        simulated.fields(replace(TINY, sites=3), "Week1_22101", screen)


def test_centre_of_a_bent_nucleus_lies_inside():
    label = np.zeros((40, 40), np.int32)
    label[5:35, 5:10] = label[30:35, 5:35] = 1
    label[2:4, 2:4] = 2  # too little to count
    mask, centres = _truth(label, 2)
    assert mask.max() == 1
    assert mask[tuple(np.round(centres[0]).astype(int))] == 1
