"""AnnData's format on the disk [0], written piece by piece with h5py: the library anndata need not be there.

Every element carries ``encoding-type`` and ``encoding-version``, by which anndata knows how to read it.

[0] https://anndata.readthedocs.io/en/stable/fileformat-prose.html
"""

from collections.abc import Iterable, Mapping, Sequence

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa

_TEXT = h5py.string_dtype("utf-8")
_STRINGS_AT_ONCE = 65_536


def mapping(parent: h5py.Group, name: str) -> h5py.Group:
    """An empty mapping, such as ``uns`` or ``layers``."""
    return _marked(parent.create_group(name), "dict", "0.1.0")


def array(parent: h5py.Group, name: str, shape: Sequence[int], dtype: np.dtype) -> h5py.Dataset:
    """A dense array of numbers that is still to be filled."""
    return _marked(parent.create_dataset(name, shape=tuple(shape), dtype=dtype), "array", "0.2.0")


def table(parent: h5py.Group, name: str, index: Sequence[str], index_name: str, columns: Sequence[str]) -> h5py.Group:
    """A data frame with its row names, whose columns, by `column`, are still to be written."""
    group = _marked(parent.create_group(name), "dataframe", "0.2.0")
    group.attrs["_index"] = index_name
    group.attrs.create("column-order", np.array(columns, dtype=object), dtype=_TEXT)
    strings(group, index_name, index)
    return group


def column(group: h5py.Group, name: str, values: pa.ChunkedArray) -> None:
    """A column of a data frame: text as categories, whole numbers with gaps under a mask, other numbers as they are.

    Parameters
    ----------
    values
        (n,) text, numbers, truth values or nothing at all (the last become NaN). Other types are written as text.
    """
    kind = values.type
    if pa.types.is_null(kind):
        _numbers(group, name, np.full(len(values), np.nan))
    elif pa.types.is_floating(kind):
        _numbers(group, name, values.to_numpy())
    elif pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        if not values.null_count:
            _numbers(group, name, values.to_numpy())
            return
        masked = _marked(group.create_group(name), f"nullable-{_NULLABLE[pa.types.is_boolean(kind)]}", "0.1.0")
        gap = pa.scalar(0, kind) if pa.types.is_integer(kind) else pa.scalar(False)
        _numbers(masked, "values", values.fill_null(gap).to_numpy())
        _numbers(masked, "mask", values.is_null().to_numpy())
    else:
        _categories(group, name, values if pa.types.is_dictionary(kind) else values.cast(pa.large_string()))


def put(parent: h5py.Group, name: str, value: object) -> None:
    """A value of ``uns``: text, a number, a truth value, a list of text, or a mapping of these."""
    if isinstance(value, Mapping):
        group = mapping(parent, name)
        for key, item in value.items():
            put(group, key, item)
    elif isinstance(value, str):
        _marked(parent.create_dataset(name, data=value, dtype=_TEXT), "string", "0.2.0")
    elif isinstance(value, bool | int | float):
        _marked(parent.create_dataset(name, data=value), "numeric-scalar", "0.2.0")
    else:
        strings(parent, name, [str(item) for item in value])


def strings(parent: h5py.Group, name: str, values: Sequence[str]) -> None:
    """An array of text, of which little is held a second time."""
    dataset = _marked(parent.create_dataset(name, shape=(len(values),), dtype=_TEXT), "string-array", "0.2.0")
    for start in range(0, len(values), _STRINGS_AT_ONCE):
        part = values[start : start + _STRINGS_AT_ONCE]
        dataset[start : start + len(part)] = np.array(part, dtype=object)


def unique(names: Iterable[str]) -> list[str]:
    """Row names of which each is there once: ``a``, ``a-1``, ``a-2``, as anndata itself makes them."""
    names = list(names)
    if len(set(names)) == len(names):
        return names
    taken, count, found = set(names), {}, []
    for name in names:
        if name not in count:
            count[name] = 0
            found.append(name)
            continue
        while True:
            count[name] += 1
            other = f"{name}-{count[name]}"
            if other not in taken:
                break
        taken.add(other)
        found.append(other)
    return found


_NULLABLE = {False: "integer", True: "boolean"}


def _marked(element, kind: str, version: str):
    element.attrs["encoding-type"], element.attrs["encoding-version"] = kind, version
    return element


def _numbers(group: h5py.Group, name: str, values: np.ndarray) -> None:
    array(group, name, values.shape, values.dtype)[...] = values


def _categories(group: h5py.Group, name: str, values: pa.ChunkedArray) -> None:
    """Codes into the sorted values; -1 where there is none."""
    encoded = values.combine_chunks() if pa.types.is_dictionary(values.type) else values.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.chunk(0) if encoded.num_chunks else pa.array([], pa.large_string()).dictionary_encode()
    known = pd.Index(encoded.dictionary.to_pylist(), dtype=object).map(str)
    order = np.argsort(known.to_numpy(dtype=object), kind="stable")
    place = np.empty(len(known) + 1, np.int32)
    place[order], place[-1] = np.arange(len(known)), -1
    codes = place[encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)]
    small = next(kind for kind in (np.int8, np.int16, np.int32) if len(known) <= np.iinfo(kind).max)
    categorical = _marked(group.create_group(name), "categorical", "0.2.0")
    categorical.attrs["ordered"] = False
    _numbers(categorical, "codes", codes.astype(small))
    strings(categorical, "categories", [known[position] for position in order])
