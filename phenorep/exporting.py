"""The command ``phenorep export``: embeddings and profiles as AnnData, which scanpy and its relatives open."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa

from phenorep import __version__, contracts, h5ad, plugins
from phenorep.errors import UserError
from phenorep.exportable import JOINT, Exportable, is_list

# Where the workflow keeps what is exported; the file's own facts do not name method and profile.
_PLACES = (
    r"(?P<dataset>[^/]+)/embeddings/(?P<samples>[^/]+)/(?P<method>[^/]+)/seed(?P<seed>\d+)/(?P<epoch>[^/]+)\.parquet",
    r"(?P<dataset>[^/]+)/profiles/(?P<samples>[^/]+)/(?P<method>[^/]+)/seed(?P<seed>\d+)/(?P<epoch>[^/]+)"
    r"/(?P<profile>[^/]+)\.parquet",
)


def export(path: str | Path, output: str | Path, layers: Mapping[str, str | Path] | None = None, command: str = "") -> str:
    """Write a table of embeddings or profiles as an AnnData file (.h5ad).

    Parameters
    ----------
    path
        A table of embeddings or profiles.
    output
        ``X`` (rows x features) float32, or float64 if the table's features are. ``obs``: all other columns, text as
        categories, sets of values as text with "|" between them; its names are those of the samples, or of what the rows
        were aggregated by. ``var``: the block (encoder) of each feature, its number, channels and, where it has one, own
        name. ``obsm``: predictions. ``uns["phenorep"]``: where it comes from.
    layers
        {name: another table of the same rows, in any order, and features}, such as profiles made by other steps.
    command
        The command line, for the record.

    Returns
    -------
    str
        What was written.

    Raises
    ------
    UserError
        If a table cannot be exported, a layer has other rows or features, or the file cannot be written.
    """
    table = Exportable.open(path)
    others = {name: Exportable.open(other) for name, other in (layers or {}).items()}
    output = Path(output)
    if output.suffix != ".h5ad":
        raise UserError(f"{output}: AnnData files end in .h5ad: change the name of the output.")
    names, index = table.names()
    for name, other in others.items():
        _check_layer(name, other, table, names)
    try:
        # A lower bound of HDF5 1.8, so that the names of very many columns fit into an attribute.
        with contracts.replacing(output) as temporary, h5py.File(temporary, "w", libver=("v108", "latest")) as file:
            _write(file, table, others, names, index, command)
    except OSError as error:
        raise UserError(f"{output}: cannot be written ({_first_line(error)}).") from error
    size = output.stat().st_size / 2**20
    return f"Written: {output}: {table.rows} rows, {len(table.features)} features ({table.dtype}), {size:.1f} MB."


def export_all(paths: Sequence[str], output: str, layers: Mapping[str, str | Path] | None = None, command: str = "") -> str:
    """Write one table to a file, or each of several to a file of its own in the folder `output`; see `export`."""
    if len(paths) == 1:
        return export(paths[0], output, layers, command)
    if layers:
        raise UserError("--layer: goes with one table alone, since its rows must be those of the table.")
    if Path(output).suffix == ".h5ad":
        raise UserError(f"{output}: {len(paths)} tables become a file each: name a folder in its place.")
    targets = {path: Path(output) / f"{_short_name(path)}.h5ad" for path in paths}
    if len(set(targets.values())) < len(targets):
        raise UserError(f"{output}: two of the tables would be written to one file there; export them one by one.")
    for path in paths:
        Exportable.open(path)  # nothing is written if one of them cannot be
    return "\n".join(export(path, target, None, command) for path, target in targets.items())


def _write(
    file: h5py.File, table: Exportable, layers: dict[str, Exportable], names: list[str], index: str, command: str
) -> None:
    file.attrs["encoding-type"], file.attrs["encoding-version"] = "anndata", "0.1.0"
    described = [name for name in table.described() if name != index]
    keys = _keys(described, table.path)
    obs = h5ad.table(file, "obs", names, index, list(keys.values()))
    joined, schema = [], table.file.schema_arrow
    for name, key in keys.items():
        h5ad.column(obs, key, table.column(name))
        if is_list(schema.field(name)):
            joined.append(key)
    _write_var(file, table)
    obsm = h5ad.mapping(file, "obsm")
    for name, columns in table.predictions().items():
        table.fill(h5ad.array(obsm, _key(name), (table.rows, len(columns)), np.dtype(np.float64)), columns)
    for name in ("obsp", "varm", "varp"):
        h5ad.mapping(file, name)
    shape = table.rows, len(table.features)
    table.fill(h5ad.array(file, "X", shape, table.dtype), table.features)
    group = h5ad.mapping(file, "layers")
    for name, other in layers.items():
        other.fill(h5ad.array(group, name, shape, other.dtype), other.features, _places(other, names))
    facts = _provenance(table) | {"version": __version__, "command": command, "joint": JOINT, "joined": joined}
    facts["layers"] = {name: _provenance(other) for name, other in layers.items()}
    h5ad.put(h5ad.mapping(file, "uns"), "phenorep", facts)


def _write_var(file: h5py.File, table: Exportable) -> None:
    stated = table.about.get("blocks", {})
    columns: dict[str, list] = {"block": [], "number": [], "channels": [], "name": []}
    for feature in table.features:
        block, _, number = feature.rpartition("_")
        facts = stated.get(block, {})
        own = facts.get("names", [])
        # Constant features are left out of profiles: the others keep their numbers.
        known = int(number) < len(own)
        columns["block"].append(block)
        columns["number"].append(int(number))
        columns["channels"].append(JOINT.join(facts.get("channels", [])))
        columns["name"].append(own[int(number)] if known and not _mixes(table.about) else "")
    for name in ("channels", "name"):
        if not any(columns[name]):
            del columns[name]
    var = h5ad.table(file, "var", table.features, "_index", list(columns))
    for name, values in columns.items():
        h5ad.column(var, name, pa.chunked_array([pa.array(values)]))


def _mixes(about: dict) -> bool:
    """Whether a step of the profile has made new features of the old ones, which no longer are what their names say."""
    known = plugins.names("steps")
    stated = [plugins.constants("steps", step["step"]) if step["step"] in known else {} for step in about.get("steps", [])]
    return not all("SETS_LEVEL" in constants or constants.get("BY_FEATURE") for constants in stated)


def _provenance(table: Exportable) -> dict:
    """Where a table comes from: as its place and its own facts say; ``about`` holds all of the latter, as JSON."""
    encoder = table.about.get("encoder", {})
    place = next(
        (found.groupdict() for pattern in _PLACES if (found := re.search(pattern, table.path.absolute().as_posix()))), {}
    )
    facts: dict = {"file": str(table.path), "sha256": _digest(table.path), **place}
    if encoder.get("recipe") is not None:
        facts["recipe"] = str(encoder["recipe"])
    if "seed" in encoder:
        facts["seed"] = int(encoder["seed"])
    elif "seed" in facts:
        facts["seed"] = int(facts["seed"])
    if encoder.get("epoch") is not None:
        facts["trained_epochs"] = int(encoder["epoch"])
    if encoder.get("versions"):
        facts["versions"] = {key: str(value) for key, value in encoder["versions"].items()}
    facts["level"] = table.about.get("level", "sample")
    facts["steps"] = [f"{step['step']} {json.dumps(step['keys'], sort_keys=True)}" for step in table.about.get("steps", [])]
    facts["about"] = json.dumps(table.about, sort_keys=True)
    return facts


def _check_layer(name: str, layer: Exportable, table: Exportable, names: list[str]) -> None:
    if not re.fullmatch(r"[^/]+", name):
        raise UserError(f"--layer: '{name}' cannot name a layer: leave out '/'.")
    where = f"--layer {name}={layer.path}"
    if layer.features != table.features:
        raise UserError(
            f"{where}: has {len(layer.features)} features, {layer.features[0]}, ...; {table.path} has "
            f"{len(table.features)}, {table.features[0]}, .... A layer has the same features: export it by itself."
        )
    if sorted(layer.names()[0]) != sorted(names):
        raise UserError(
            f"{where}: has {layer.rows} rows at the level {layer.about.get('level', 'sample')}; {table.path} has "
            f"{table.rows} at the level {table.about.get('level', 'sample')}. A layer has the same rows: export it to a "
            "file of its own."
        )


def _places(layer: Exportable, names: list[str]) -> np.ndarray | None:
    """Where each row of a layer belongs, (N,); None: in its own order."""
    theirs = layer.names()[0]
    if theirs == names:
        return None
    place = {name: number for number, name in enumerate(names)}
    return np.array([place[name] for name in theirs], dtype=np.int64)


def _keys(names: list[str], path: Path) -> dict[str, str]:
    """Names of columns as an HDF5 file takes them."""
    keys = {name: _key(name) for name in names}
    if len(set(keys.values())) < len(keys):
        raise UserError(f"{path}: two of its columns differ in '/' and '_' alone, which AnnData cannot tell apart.")
    return keys


def _key(name: str) -> str:
    return "index" if name == "_index" else name.replace("/", "_")


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _short_name(path: str) -> str:
    """cells_simclr_seed0_final, of a table where the workflow keeps it; otherwise the file's own name."""
    parts = Path(path).absolute().with_suffix("").parts
    for kind in ("embeddings", "profiles"):
        if kind in parts:
            return "_".join(parts[len(parts) - parts[::-1].index(kind) - 2 :])
    return parts[-1]


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
