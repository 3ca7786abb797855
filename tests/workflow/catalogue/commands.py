"""Commands of ``python -m phenorep`` that are given wrong files or words."""

import io
import tempfile
from pathlib import Path

import numpy as np

from phenorep import contracts

from .case import command
from .learning import features


def fitted(**arrays) -> bytes:
    """A fit's file."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def embeddings() -> bytes:
    """A table of embeddings."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "final.parquet"
        contracts.write_table(features(), path, "embeddings", {"encoder": {"recipe": "random"}})
        return path.read_bytes()


PLAN = "plan mine.yaml"
OTHER = {"images/P1/A01_s1_DNA.tif": b""}
PATTERN = r"--pattern (?P<plate>\w+)/(?P<well>[A-P]\d+)_s(?P<site>\d)_(?P<channel>\w+)"

NORMALISE = "normalise new.parquet tvn.npz out.parquet"

CASES = [
    # -- plan ----------------------------------------------------------------------------------------------------------
    command("a configuration that is not there", PLAN, "mine.yaml", "No such file", "Name a file of YAML"),
    command("a configuration that is a folder", "plan .", ".: cannot be read", "Is a directory", "Name a file of YAML"),
    command(
        "brackets that do not close",
        PLAN,
        "mine.yaml",
        "line 4",
        "Mend that line",
        {"mine.yaml": "name: a\ndatasets: {x: [\nstudies:\n"},
    ),
    command("tabs", PLAN, "mine.yaml", "line 2", "never by tabs", {"mine.yaml": "name: a\n\tdatasets: {}\n"}),
    command("an empty configuration", PLAN, "mine.yaml", "found None", "blocks such as name, datasets", {"mine.yaml": ""}),
    command(
        "a list for a configuration", PLAN, "mine.yaml", "found ['name']", "blocks such as name", {"mine.yaml": "- name\n"}
    ),
    command(
        "a configuration that is an image",
        PLAN,
        "mine.yaml",
        "cannot be read as YAML",
        "Mend",
        {"mine.yaml": b"\x89PNG\xff"},
    ),
    command(
        "a configuration of a name alone", PLAN, "config", "the key 'datasets'", "is needed", {"mine.yaml": "name: a\n"}
    ),
    # -- table ---------------------------------------------------------------------------------------------------------
    command("a folder to list that is not there", "table nowhere", "nowhere", "no such folder", "Name the folder"),
    command(
        "a table that stands there already",
        f"table images {PATTERN}",
        "plates.csv",
        "is there already and is kept",
        "--output",
        OTHER | {"plates.csv": "mine"},
    ),
    command(
        "a channel to list without a name",
        f"table images {PATTERN} --channels DNA=",
        "--channels",
        "DNA=",
        "THEIRS=OURS",
        OTHER,
    ),
    command(
        "a channel to list that there is not",
        f"table images {PATTERN} --channels w1=DNA",
        "channels",
        "'w1'",
        "--channels",
        OTHER,
    ),
    command(
        "a plate to list that there is not",
        f"table images {PATTERN} --plates P2",
        "plates",
        "no plate 'P2'",
        "Known are: P1",
        OTHER,
    ),
    command(
        "a layout to list that there is not",
        "table images --layout metaexpress",
        "layout",
        "'metaexpress'",
        "'metaxpress'",
        OTHER,
    ),
    # -- normalise -----------------------------------------------------------------------------------------------------
    command(
        "embeddings to normalise that are not there",
        NORMALISE,
        "new.parquet",
        "there is no such file",
        "Name one",
        {"tvn.npz": fitted(steps="[]", columns=[])},
    ),
    command("a fit that is not there", NORMALISE, "tvn.npz", "there is no such file", "beside the profiles"),
    command("a fit that is an image", NORMALISE, "tvn.npz", "holds no fit", "Name the .npz", {"tvn.npz": b"\x89PNG"}),
    command(
        "a fit of light", NORMALISE, "tvn.npz", "holds DNA, Actin", "Name the .npz", {"tvn.npz": fitted(DNA=[1], Actin=[1])}
    ),
    command(
        "embeddings of another encoder",
        NORMALISE,
        "new.parquet: has 3 features",
        "tvn.npz was fitted on 1",
        "the same encoder",
        {"tvn.npz": fitted(steps="[]", columns=["y_0000"]), "new.parquet": embeddings()},
    ),
    # -- export --------------------------------------------------------------------------------------------------------
    command("a table to export that is not there", "export none.parquet out.h5ad", "none.parquet", "no such file", "Name"),
    command(
        "a table to export that is none",
        "export a.parquet out.h5ad",
        "a.parquet",
        "cannot be read",
        "Remove the file",
        {"a.parquet": b"PAR1"},
    ),
    # -- embed ---------------------------------------------------------------------------------------------------------
    command(
        "an encoder that is not there",
        "embed e.safetensors plates.csv --output o.csv",
        "e.safetensors",
        "no such file",
        "encoders/",
    ),
]
