"""What a file is that is no table: told by its first bytes, whatever it is called, with what makes a table of it."""

import bz2
import gzip
import lzma
import re
import zipfile
from pathlib import Path

_AS = "CSV (UTF-8) or parquet"
_PANDAS = "In Python: `import pandas; pandas.{read}.to_parquet('table.parquet')`"
_PICTURE = "A table that names the images is needed; `phenorep table FOLDER` writes one"
_ARRAY = (
    "an array of NumPy, whose columns have no names",
    f"Save it as {_AS} with a header: `pandas.DataFrame(array, columns=[...]).to_parquet('table.parquet')`",
)
_SHEET = ("a spreadsheet", "Save it as CSV (UTF-8)")
_HDF5 = (
    "an HDF5 file",
    f"Save its table as {_AS}. " + _PANDAS.format(read="read_hdf('FILE')"),
)
_ANNDATA = (
    "an AnnData file",
    f"Save it as {_AS}: `a = anndata.read_h5ad('FILE'); a.to_df().join(a.obs).to_parquet('table.parquet')`",
)
_DATABASE = (
    "an SQLite database",
    f"Save one of its tables as {_AS}, with plates and wells in it. "
    + _PANDAS.format(read="read_sql('select * from TABLE', sqlite3.connect('FILE'))"),
)
_FEATHER = ("a Feather (Arrow) file", "Save it as parquet. " + _PANDAS.format(read="read_feather('FILE')"))
_PICKLE = ("a pickle of Python", f"Save what it holds as {_AS}, where it was made")
_R = ("a file of R", "Save it as CSV: `write.csv(readRDS('FILE'), 'table.csv', row.names = FALSE)`")
_PARQUET = ("a parquet file", "Give it a name that ends in .parquet")
_OF_BYTES = (
    (b"\x93NUMPY", _ARRAY),
    (b"\x89HDF\r\n\x1a\n", _HDF5),
    (b"SQLite format 3\0", _DATABASE),
    (b"ARROW1", _FEATHER),
    (b"FEA1", _FEATHER),
    (b"PAR1", _PARQUET),
    (b"RDX", _R),
    (b"RDA", _R),
    (b"X\n\0\0", _R),
    (b"%PDF", ("a PDF document", f"Save the table itself as {_AS}")),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _SHEET),
    (b"II*\0", ("an image", _PICTURE)),
    (b"MM\0*", ("an image", _PICTURE)),
    (b"\x89PNG", ("an image", _PICTURE)),
    (b"\xff\xd8\xff", ("an image", _PICTURE)),
    (b"version https://git-lfs", ("a pointer of Git LFS in place of the file", "Fetch the file: `git lfs pull`")),
)
_PACKED = (
    (b"\x1f\x8b", "gzip", ".gz", gzip.open),
    (b"BZh", "bzip2", ".bz2", bz2.open),
    (b"\xfd7zXZ\0", "xz", ".xz", lzma.open),
    (b"\x28\xb5\x2f\xfd", "zstd", ".zst", None),
)
_OF_NAME = {
    ".xlsx": _SHEET,
    ".xlsm": _SHEET,
    ".xls": _SHEET,
    ".ods": _SHEET,
    ".npy": _ARRAY,
    ".npz": _ARRAY,
    ".feather": _FEATHER,
    ".arrow": _FEATHER,
    ".pkl": _PICKLE,
    ".pickle": _PICKLE,
    ".rds": _R,
    ".rdata": _R,
}
_PICKLED = re.compile(rb"\x80[\x02-\x05][\x95}\]c(K\x8c]", re.DOTALL)
_MARKUP = re.compile(rb"\s*<(!doctype html|html|\?xml)", re.IGNORECASE)
_JSON = re.compile(rb'\s*[\[{]\s*["\[{]')


def told(path: str | Path) -> tuple[str, str] | None:
    """What a file is and what is to be done with it; None if it can be a table: text, packed text or parquet.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    with open(path, "rb") as file:
        start = file.read(512)
    if suffix == ".zip" or start.startswith(b"PK\x03\x04"):
        return _archive(path, suffix)
    for first, name, ending, opener in _PACKED:
        if start.startswith(first) and suffix not in (ending, ".zip"):
            inner = _of_bytes(_start(path, opener), "") if opener else None
            if inner or suffix not in (".parquet", ".pq"):
                return inner or (f"packed by {name}", f"Give it a name that ends in {ending}, like {path.name}{ending}")
    return _of_bytes(start, suffix) or _OF_NAME.get(suffix)


def _of_bytes(start: bytes, suffix: str) -> tuple[str, str] | None:
    for first, kind in _OF_BYTES:
        if start.startswith(first):
            if kind is _PARQUET and suffix in (".parquet", ".pq"):
                return None
            return _ANNDATA if kind is _HDF5 and suffix == ".h5ad" else kind
    if _PICKLED.match(start):
        return _PICKLE
    if match := _MARKUP.match(start):
        return ("XML" if b"xml" in match[1].lower() else "a web page", f"Save the table itself as {_AS}")
    return ("JSON", f"Save it as {_AS}. " + _PANDAS.format(read="read_json('FILE')")) if _JSON.match(start) else None


def _archive(path: Path, suffix: str) -> tuple[str, str] | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # a damaged archive: whoever opens it says so
        names = []
    if names and all(name.endswith(".npy") for name in names):
        return _ARRAY
    if "[Content_Types].xml" in names or "mimetype" in names:
        return _SHEET
    return _OF_NAME.get(suffix) or (None if suffix == ".zip" else ("a ZIP archive", "Give it a name that ends in .zip"))


def _start(path: Path, opener) -> bytes:
    try:
        with opener(path) as file:
            return file.read(512)
    except Exception:  # damaged: it is named as what it was packed by
        return b""
