"""Names with spaces, quotes, braces, Unicode and what a shell would run, through Snakemake itself."""

import copy
import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml

from phenorep.planning import Plan

from .bounded import told
from .test_configs import SCREEN

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ["a b.tif", "q'uo\"te.tif", "u\u0308 \xfc {x} %s.tif", "-rf $(touch made);`touch made`.tif"]
COMPOUNDS = ["<script>", "{name}", "$(touch made)", "=1+1"]


def snakemake(folder, config, *arguments):
    """Run the workflow in a folder; the check of the configuration, which imports torch, counts as done."""
    (folder / "my config.yaml").write_text(yaml.safe_dump(config))
    (folder / "results").mkdir(exist_ok=True)
    (folder / "results" / "check.json").touch()
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(ROOT / "Snakefile"),
        "--cores",
        "1",
        "--workflow-profile",
    ]
    command += [str(ROOT / "profiles" / "default"), "--configfile", "my config.yaml", *arguments]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


@pytest.fixture
def folder(tmp_path):
    """A folder of a name that shells, Snakemake and formats would each misread, with a table of four images."""
    folder = tmp_path / "odd \"x\" 'y' \xfcn\xef {z} %s $(touch made)"
    (folder / "my images {plate}").mkdir(parents=True)
    with open(folder / 'my "table" \xfc $(touch made).csv', "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["Metadata_Plate", "Metadata_Well", "Metadata_Compound", "PathName_DNA", "FileName_DNA"])
        for number, name in enumerate(IMAGES):
            pixels = np.random.default_rng(number).integers(0, 4000, (64, 64)).astype(np.uint16)
            tifffile.imwrite(folder / "my images {plate}" / name, pixels)
            table.writerow(["P1", f"B0{number + 2}", COMPOUNDS[number], "my images {plate}", name])
    return folder


def config_of(**blocks):
    config = copy.deepcopy(SCREEN)
    config["datasets"]["screen"] = {"use": "table", "table": 'my "table" \xfc $(touch made).csv'}
    return config | blocks


def test_the_first_rules_run_and_nothing_else_does(folder):
    before = sorted(os.listdir(folder))
    snakemake(folder, config_of(), "--until", "fields")
    rows = pd.read_parquet(folder / "results" / "screen" / "fields" / "P1.parquet")
    assert rows["FileName_DNA"].tolist() == IMAGES
    assert rows["Metadata_Compound"].tolist() == COMPOUNDS
    assert rows["Problem"].tolist() == [""] * 4
    assert sorted(set(os.listdir(folder)) - {".snakemake", "logs", "results", "my config.yaml"}) == before


def test_a_program_of_an_odd_name_is_one_word_of_the_command(folder):
    program = "/no such/\"program\" $(touch made); 'x'"
    config = config_of(preprocess={"engine": "cellprofiler", "cellprofiler": program})
    command = snakemake(folder, config, "--dry-run", "--printshellcmds", "--until", "cellprofiler")
    assert "--executable '/no such/\"program\" $(touch made); '\"'\"'x'\"'\"''" in command


@pytest.mark.parametrize("key", ["datasets", "pipeline", "cellprofiler", "annotations"])
def test_braces_in_a_path_that_a_rule_names_are_refused(tmp_path, key):
    path = tmp_path / "my {plate}.csv"
    path.write_text("Metadata_Plate,Metadata_Well,FileName_DNA\nP1,B02,a.tif\n")
    config = copy.deepcopy(SCREEN)
    if key == "datasets":
        config["datasets"]["screen"] = {"use": "table", "table": str(path)}
    elif key == "annotations":
        config["annotations"] = {"screen/cells": str(path)}
    else:
        config["preprocess"] = {"engine": "cellprofiler", key: str(path)}
    message = told(Plan, config)
    assert "wildcard" in message
    assert str(path) in message
    assert key in message
