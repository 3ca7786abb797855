"""Any bytes, and good files with bytes changed: each reader gives a result or tells the user, in bounded memory.

``PHENOREP_FUZZ=20000`` tries so many of each; by default some few, the same each time.
"""

import gzip
import io
import json
import struct
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from phenorep import configfiles, encoderfiles, fields, masks, plugins, unpacking
from phenorep.datasets import table
from phenorep.errors import NotRun, UserError
from phenorep.imaging import readers
from phenorep.planning import Plan
from phenorep.quality import annotations

from .bounded import bounded
from .fuzzing import examples, tried
from .test_configs import SCREEN
from .test_encoder_files import stating

EXAMPLES = examples(20)
GREY = np.arange(600, dtype=np.uint16).reshape(20, 30)
CSV = "Metadata_Plate,Metadata_Well,Metadata_Site,PathName_DNA,FileName_DNA\nP1,B02,1,images,a.tif\nP1,B03,1,images,b.tif\n"


def tiff(**options):
    content = io.BytesIO()
    tifffile.imwrite(content, GREY, **options)
    return content.getvalue()


def picture(kind):
    content = io.BytesIO()
    Image.fromarray(GREY.astype(np.uint8)).save(content, kind)
    return content.getvalue()


def archive(kind):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", kind) as file:
        file.writestr("a/b.txt", "text" * 50)
        file.writestr("c.txt", "text")
    return content.getvalue()


def parquet():
    content = io.BytesIO()
    pd.read_csv(io.StringIO(CSV), dtype=str).to_parquet(content)
    return content.getvalue()


def encoder():
    header = json.dumps(stating() | {"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(4)


def npz():
    content = io.BytesIO()
    np.savez_compressed(content, **{"0": GREY})
    return content.getvalue()


def read_image(path):
    with suppress(UserError):
        readers.read_planes(path, ["DNA", "Actin"])
    shape = readers.header(path)
    assert readers.read(path).shape == shape[:2]


def read_table(path):
    config = plugins.configure(table.Config, {"table": str(path)}, "datasets: mine")
    for plate in table.plates(config):
        fields.with_headers(table.fields(config, plate, Path()), table.about(config), plate)


def read_encoder(path):
    facts = encoderfiles.decoded(path, encoderfiles.metadata(path))
    if set(facts) >= {"recipe", "channels", "input_size", "config", "scaling"}:
        encoderfiles.check(path, facts, str)


def read_archive(path):
    for file in unpacking.unpack(path, path.parent / "out", 10**6):
        assert file.resolve().is_relative_to((path.parent / "out").resolve())
        file.unlink()


KINDS = {
    "tif": (read_image, "a.tif", tiff),
    "deflated tif": (read_image, "a.tif", lambda: tiff(compression="zlib", predictor=True)),
    "jpeg tif": (read_image, "a.tif", lambda: tiff_of_bytes(compression="jpeg")),
    "bigtiff": (read_image, "a.tif", lambda: tiff(bigtiff=True, byteorder=">", tile=(16, 16))),
    "png": (read_image, "a.png", lambda: picture("PNG")),
    "bmp": (read_image, "a.bmp", lambda: picture("BMP")),
    "csv": (read_table, "a.csv", CSV.encode),
    "gz": (read_table, "a.csv.gz", lambda: gzip.compress(CSV.encode(), mtime=0)),
    "parquet": (read_table, "a.parquet", parquet),
    "labels": (annotations.read, "a.csv", b"Sample,Label_Quality\na,normal\nb,abnormal\n".strip),
    "yaml": (lambda path: Plan(configfiles.read(path)), "a.yaml", lambda: yaml.safe_dump(SCREEN).encode()),
    "encoder": (read_encoder, "a.safetensors", encoder),
    "zip": (read_archive, "a.zip", lambda: archive(zipfile.ZIP_DEFLATED)),
    "lzma zip": (read_archive, "a.zip", lambda: archive(zipfile.ZIP_LZMA)),
    "npz": (lambda path: masks.read(path, 0), "a.npz", npz),
}


def tiff_of_bytes(**options):
    content = io.BytesIO()
    tifffile.imwrite(content, GREY.astype(np.uint8), **options)
    return content.getvalue()


@st.composite
def changed(draw, good):
    """Bytes of a good file with some of them changed, cut out, put in or cut off; or any bytes after its first ones."""
    content = bytearray(good)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(content) - 1)))
        new = draw(
            st.sampled_from([b"\0", b"\xff" * 4, b"\xff" * 8, b"\0\0\0\x80", b"\x7f", b",", b"\n", b'"'])
            | st.binary(max_size=8)
        )
        kind = draw(st.sampled_from(["over", "over", "into", "out", "end"]))
        if kind == "over":
            content[place : place + len(new)] = new
        elif kind == "into":
            content[place:place] = new * draw(st.integers(1, 3))
        else:
            del content[place : place + len(new) if kind == "out" else len(content)]
    return bytes(content)


@pytest.mark.parametrize("kind", KINDS)
def test_each_reader(tmp_path, kind):
    read, name, make = KINDS[kind]
    good = make()
    path = tmp_path / name
    some = changed(good) | st.binary(max_size=200) | st.binary(max_size=200).map(lambda rest: good[:8] + rest)

    @tried(EXAMPLES)
    @given(some)
    def one(content):
        path.write_bytes(content)
        with suppress(UserError, NotRun):
            read(path)

    def all_of_them():
        path.write_bytes(good)
        read(path)
        one()

    ended = bounded(all_of_them, memory=1 << 30, seconds=60 + EXAMPLES)
    assert ended.how == "result", ended.value
