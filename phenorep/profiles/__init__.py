"""From embeddings of samples to profiles: ordered steps, each a file of this folder.

A step holds a frozen `Config`, ``fit(config, table) -> {name: array}`` and ``transform(config, fitted, table) -> table``,
and may state what was fitted by ``facts(fitted) -> dict``. What was fitted is saved, so that the same steps can be applied
to plates that come later. A step that changes the level of the rows names, in its constant ``SETS_LEVEL``, the key that says
to which of `phenorep.levels`. A step that changes nothing but features, and a row by that row and the fit alone, says so by
``BY_ROW = True``: it is given some thousand rows at a time, and its results take the old features' place, which bounds the
memory of a million.
``LINEAR = True`` says that it does so by an affine function that is the same for all rows of a plate: then the mean over a
well's rows goes the same way as the rows. An aggregation says by ``is_mean(config)`` whether it takes means.
A step with ``BY_FEATURE = True`` moves and scales each feature by itself, so that features still are what their names say.

Rows come by plate, well, site and sample, whatever order the table has. Features that are the same in all rows are left out
before the first step. What varies in some rows alone has a `floor`: a step that divides by a deviation takes one at or below
it for rounding, and says by ``carry(config, fitted, floor, columns) -> floor`` what becomes of it: from that (F,) of the
features `columns` to that of the features which it makes. Without ``carry``, features that keep their names keep it.
"""

import json
import zlib
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from phenorep import blas, constancy, contracts, plugins
from phenorep.errors import NotRun, UserError
from phenorep.levels import KEYS, PARTS
from phenorep.rows import ROWS_AT_ONCE, Rows, features
from phenorep.treatments import negatives

# What a step can do whose key `fit` asks for negative controls that are not there.
FIT_REMEDY = (
    ", or set 'fit: all' to use every row. If an earlier step aggregates by treatment or compound, which drops the negative "
    "controls, put this step before it"
)


def level(steps: list) -> str:
    """The level of the rows after all steps: ``sample``, or what the last aggregation sets, like ``treatment_plate``.

    Parameters
    ----------
    steps
        As in the configuration: ``[{"aggregate": {"by": "well"}}, {"tvn": {}}]``.

    Raises
    ------
    ValueError
        If a step sets a level that is none of `phenorep.levels`.
    """
    found = "sample"
    for step, keys in map(parse, steps):
        declared = plugins.constants("steps", step)
        if key := declared.get("SETS_LEVEL"):
            by = keys.get(key, plugins.config_keys("steps", step).get(key))
            parts = [by] if isinstance(by, str) else list(by)
            if not parts:
                raise ValueError(
                    f"{step}: {key}: found [], expected a level of rows or several. Take one, like '{key}: well'."
                )
            for part in parts:
                if part not in KEYS:
                    raise ValueError(f"{step}: {key}: '{part}' is no level of rows. {plugins.suggest(part, KEYS)}")
            found = "_".join(sorted(parts, key=PARTS.index))
    return found


def parse(step: str | dict) -> tuple[str, dict]:
    """Name and keys of a step written as ``tvn``, ``{"tvn": {...}}`` or ``{"step": "tvn", "keys": {...}}``."""
    if isinstance(step, str):
        return step, {}
    if "step" in step:
        return step["step"], dict(step.get("keys") or {})
    ((name, keys),) = step.items()
    return name, dict(keys or {})


@blas.single_thread()
def make(embeddings_path: str | Path, steps: list, out_parquet: str | Path, out_npz: str | Path) -> None:
    """Fit and apply all steps; write profiles and what was fitted.

    Parameters
    ----------
    embeddings_path
        A table of kind "embeddings".
    steps
        As in the configuration, see `level`.
    out_parquet
        Profiles; their facts say which steps with which keys made them, how many rows each left, and how many features of
        each block were left out, since they are the same in all rows (``constant``).
    out_npz
        Fitted arrays as ``{number of the step}/{name}``, with the steps, the feature columns of the embeddings, which of
        them were ``kept``, and the ``floor`` of these.

    Raises
    ------
    NotRun
        If the embeddings are a "not run" record, or a step cannot be done on these data.
    UserError
        If a step needs what the table lacks, such as negative controls; the message names the step and its key.
    """
    loaded, done = [configured(step) for step in steps], []
    # What is changed row by row becomes float64: it is read as such, not turned into a second table.
    first = next((module for _, module, _ in loaded), None)
    table = Rows.read(embeddings_path, np.float64 if getattr(first, "BY_ROW", False) else None)
    columns, table = table.columns, table.entered()
    arrays = {"steps": np.array(json.dumps(steps)), "columns": np.array(columns, dtype=str)}
    arrays |= {"kept": np.isin(columns, table.columns), "floor": table.floor}
    for number, (name, module, config) in enumerate(loaded):
        with _named(number, name, embeddings_path):
            fitted = module.fit(config, table.frame())
            table = table.changed(module, config, fitted)
        arrays |= {f"{number}/{key}": value for key, value in fitted.items()}
        done.append(_done(name, module, config, fitted, table))
    _write(table, out_parquet, embeddings_path, done, level(steps), _left_out(arrays))
    with contracts.replacing(out_npz) as temporary:
        np.savez(temporary, **arrays)


@blas.single_thread()
def apply(embeddings_path: str | Path, fitted_npz: str | Path, output: str | Path) -> None:
    """Bring embeddings of new plates to profiles with steps that were fitted before.

    Raises
    ------
    NotRun
        If one of the inputs is a "not run" record.
    UserError
        If the fit is no such file, or the embeddings have other feature columns than those the steps were fitted on.
    """
    arrays = _read_fit(fitted_npz)
    if "not_run" in arrays:
        raise NotRun(str(arrays["not_run"]))
    table = Rows.read(embeddings_path, None)
    columns = table.columns
    if columns != arrays["columns"].tolist():
        raise UserError(
            f"{embeddings_path}: has {len(columns)} features, {', '.join(columns[:2])}, ...; {fitted_npz} was fitted on "
            f"{len(arrays['columns'])}, {', '.join(arrays['columns'][:2])}, .... Embed the new plates with the same encoder."
        )
    # A fit of an earlier version kept all features.
    table = table.only(arrays.setdefault("kept", np.ones(len(columns), bool)), arrays.get("floor"))
    steps, done = json.loads(str(arrays["steps"])), []
    for number, step in enumerate(steps):
        name, module, config = configured(step)
        fitted = {key.partition("/")[2]: value for key, value in arrays.items() if key.startswith(f"{number}/")}
        with _named(number, name, embeddings_path):
            table = table.changed(module, config, fitted, None)  # a new plate or batch is corrected by all of its own rows
        done.append(_done(name, module, config, fitted, table))
    _write(table, output, embeddings_path, done, level(steps), _left_out(arrays))


def _read_fit(path: str | Path) -> dict[str, np.ndarray]:
    """What steps have fitted, as `make` has written it."""
    if not Path(path).is_file():
        raise UserError(f"{path}: there is no such file. Name the .npz that lies beside the profiles that were fitted.")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except (
        OSError,
        ValueError,
        TypeError,
        AttributeError,
        EOFError,
        RuntimeError,
        MemoryError,
        BadZipFile,
        zlib.error,
    ) as error:  # of files of any kind
        raise UserError(f"{path}: holds no fit of a profile. Name the .npz that lies beside the profiles.") from error
    if not ({"steps", "columns"} <= arrays.keys() or "not_run" in arrays):
        raise UserError(f"{path}: holds {', '.join(arrays)}, no steps of a profile. Name the .npz beside the profiles.")
    return arrays


def fit_blocks(
    table: pd.DataFrame, rows: str, fit_one: Callable[[np.ndarray, np.ndarray], dict | None], nothing: str
) -> dict:
    """Fit every block of features by itself.

    Parameters
    ----------
    rows
        ``negative`` fits on the negative controls, ``all`` on all rows.
    fit_one
        From a block's features (N, F) and their `floor` (F,) to what is kept of the fit by name; None if they do not vary.
    nothing
        What the step cannot do then, for the message.

    Returns
    -------
    dict
        ``{block}/{name}`` for each block, and ``rows``: how many were fitted on.

    Raises
    ------
    NotRun
        If a block is constant among these rows, as that of a collapsed encoder.
    UserError
        If there is no negative control, or one row alone.
    """
    chosen = negatives(table, FIT_REMEDY) if rows == "negative" else np.ones(len(table), bool)
    if chosen.sum() < 2:
        raise UserError(
            f"has {chosen.sum()} row to fit on, at least 2 are needed. Mark more negative-control wells in the dataset's "
            "Metadata_Control, set 'fit: all', or put this step before the step that aggregates them to one row."
        )
    fitted = {"rows": np.array(chosen.sum())}
    taken = table if chosen.all() else table.loc[chosen]  # the same rows as a copy would be a second table
    for block, columns in contracts.feature_blocks(table.columns).items():
        found = fit_one(features(taken, columns), floor(table, columns))
        if found is None:
            raise NotRun(f"the features of '{block}' are the same in all {chosen.sum()} rows fitted on: {nothing}.")
        fitted |= {f"{block}/{name}": value for name, value in found.items()}
    return fitted


def floor(table: pd.DataFrame, columns: list[str] | None = None) -> np.ndarray:
    """Standard deviation (F,) at or below which a feature does not vary: what varies so little is rounding.

    It comes with the table from where the features entered; else it is that of the table's own values.
    """
    every = contracts.feature_columns(table.columns)
    columns = every if columns is None else columns
    carried = table.attrs.get("floor")
    lowest = carried.of(columns) if isinstance(carried, constancy.Floor) else None
    if lowest is None:
        lowest = constancy.Floor(every, constancy.floor(features(table, every))).of(columns)
    return lowest


def gram(values: np.ndarray, center: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Products (F, F) of the features of (N, F) values, centred and scaled, summed over rows; without a copy of many."""
    parts = (values[start : start + ROWS_AT_ONCE] for start in range(0, len(values), ROWS_AT_ONCE))
    centred = ((part - center) / scale for part in parts)
    return sum(part.T @ part for part in centred)


def deviations(values: np.ndarray, ddof: int = 0) -> np.ndarray:
    """Standard deviation (F,) of each feature of (N, F) values; without a copy of many."""
    step = max(1, 2**22 // max(1, len(values)))
    parts = [values[:, first : first + step].std(axis=0, ddof=ddof) for first in range(0, values.shape[1], step)]
    return np.concatenate(parts)


def members(table: pd.DataFrame, column: str) -> np.ndarray:
    """Which plate or batch each row belongs to, (N,) text.

    Raises
    ------
    UserError
        If the table has no such column, a row no value in it, or several.
    """
    if column not in table:
        known = ", ".join(name for name in table.columns if name.startswith("Metadata_"))
        raise UserError(f"needs the column {column}; the table has {known}. Add it to the dataset, or change the key 'by'.")
    values = table[column]
    if len(values) and isinstance(values.iloc[0], list | np.ndarray):
        raise UserError(f"an earlier aggregation has mixed several values of {column} in one row. Put this step before it.")
    if values.isna().any() or (values.astype(str) == "").any():
        raise UserError(f"{values.isna().sum() + (values == '').sum()} rows have no {column}. Fill it in the dataset.")
    return values.to_numpy(dtype=str)


def with_features(table: pd.DataFrame, values: np.ndarray, columns: list[str]) -> pd.DataFrame:
    """The table with its features replaced by `values` (N, K) under the names `columns`."""
    old = set(contracts.feature_columns(table.columns))
    rest = table[[name for name in table.columns if name not in old]]
    return pd.concat([rest, pd.DataFrame(values, columns=columns, index=table.index)], axis=1)


def configured(step: str | dict) -> tuple:
    """Name, module and built `Config` of a step."""
    name, keys = parse(step)
    module = plugins.load("steps", name)
    return name, module, plugins.configure(module.Config, keys, f"profiles: {name}")


def _done(name: str, module, config, fitted: dict, table: Rows) -> dict:
    facts = module.facts(fitted) if hasattr(module, "facts") else {}
    # A key that is a word of Python's own carries an underscore as the name of a field.
    keys = {key.rstrip("_"): value for key, value in vars(config).items()}
    return {"step": name, "keys": keys, "rows": len(table), "facts": facts}


@contextmanager
def _named(number: int, name: str, path: str | Path):
    """Put the file and the step in front of the message of an error raised inside."""
    try:
        yield
    except (UserError, NotRun) as error:
        raise type(error)(f"{path}: step {number + 1}, {name}: {error}") from error


def _left_out(arrays: dict[str, np.ndarray]) -> dict[str, int]:
    """How many features of each block were left out; blocks without any are not named."""
    return {
        block: len(columns)
        for block, columns in contracts.feature_blocks(arrays["columns"][~arrays["kept"]].tolist()).items()
    }


def _write(
    table: Rows, path: str | Path, embeddings_path: str | Path, done: list[dict], reached: str, constant: dict[str, int]
) -> None:
    if not len(table):
        raise NotRun(f"{embeddings_path}: no row is left after the steps {', '.join(step['step'] for step in done)}.")
    about = contracts.about(embeddings_path)
    table.write(path, {**about, "steps": done, "level": reached, "constant": constant})
