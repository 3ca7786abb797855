"""The table of a plate's samples: which windows there are, in which image, and what is known of them."""

from dataclasses import asdict

import numpy as np
import pandas as pd

from phenorep import contracts, plugins, selection
from phenorep.errors import UserError
from phenorep.imaging import illumination

WINDOW = ("Top", "Left", "Height", "Width")
PARENT = ("ParentTop", "ParentLeft", "ParentHeight", "ParentWidth")


def cuts(
    samples: dict, fields: pd.DataFrame, inputs, about: dict, place: str
) -> tuple[pd.DataFrame, list[dict], tuple[int, int], dict]:
    """The samples that are cut out of a plate's fields.

    Parameters
    ----------
    samples
        The sample set's block.
    fields
        The fields table.
    inputs
        Paths of the plate's `fields`, `nuclei` and `quality`, as attributes.
    about
        What the dataset states of itself.
    place
        Place in the configuration, for messages.

    Returns
    -------
    The samples table, those of each field together; the rows of the usable fields in the same order; height and width of a
    sample; all keys of the strategy.
    """
    module, config = _strategy(samples, place)
    images, rows = _images(fields, inputs)
    nuclei = None
    if "nuclei" in module.NEEDS:
        nuclei = contracts.read_table(inputs.nuclei, "nuclei")
        number = pd.Series(np.arange(len(images)), index=images["Field"])
        nuclei = nuclei[nuclei["Field"].isin(number.index)]
        nuclei = nuclei.assign(Image=number[nuclei["Field"]].to_numpy())
    windows = module.windows(config, images, nuclei, about).sort_values("Image", kind="stable", ignore_index=True)
    names = images[list(contracts.FIELD)].agg("/".join, axis=1)
    table = _describe(images.drop(columns=["Height", "Width"]), windows, names, True, place)
    return _chosen(table, samples, place), rows, tuple(module.output_size(config, about)), asdict(config)


def view(samples: dict, parent: pd.DataFrame, facts: dict, place: str) -> tuple[pd.DataFrame, tuple[int, int], dict]:
    """The samples table of a view, the size of its samples (height, width), and all keys of its strategy.

    Parameters
    ----------
    samples
        The view's block; ``use`` may be None.
    parent, facts
        The parent's samples table and statistics.
    place
        Place in the configuration, for messages.
    """
    height, width = facts["shape"][1:]
    whole = samples["use"] is None
    images = parent.assign(Height=height, Width=width)
    if whole:
        windows = pd.DataFrame({"Image": np.arange(len(parent)), "Number": 1, "Top": 0, "Left": 0})
        windows, size, keys = windows.assign(Height=height, Width=width), (height, width), {}
    else:
        module, config = _strategy(samples, place)
        if "nuclei" in module.NEEDS:
            raise UserError(f"{place}: use: '{samples['use']}' needs nuclei, which are found in fields: leave out 'of'.")
        # The parent's samples may be resized: their pixels are not the dataset's.
        about = facts | {"pixel_size_um": None}
        windows, size = module.windows(config, images, None, about), tuple(module.output_size(config, about))
        keys = asdict(config)
    outer = parent.iloc[windows["Image"]].reset_index(drop=True)
    windows = windows.rename(columns=dict(zip(WINDOW, PARENT, strict=True)))
    # Places in the field, whatever the parent's samples were resized to.
    for axis, length, full in (("Top", "Height", height), ("Left", "Width", width)):
        windows[axis] = outer[axis] + (windows[f"Parent{axis}"] * outer[length] / full).round().astype(np.int64)
        windows[length] = (windows[f"Parent{length}"] * outer[length] / full).round().astype(np.int64)
    windows["Parent"] = windows["Image"]
    if facts["of"]:
        _look_through(windows, outer, (height, width), place)
    described = parent.drop(columns=[*WINDOW, "Sample", *(name for name in ("Parent", *PARENT) if name in parent)])
    table = _describe(described, windows, parent["Sample"], not whole, place)
    return _chosen(table, samples, place), size, keys


def _strategy(samples: dict, place: str):
    module = plugins.load("samples", samples["use"])
    return module, plugins.configure(module.Config, samples["keys"], place)


def _images(fields: pd.DataFrame, inputs) -> tuple[pd.DataFrame, list[dict]]:
    """The fields that can be used, with their quality: as a table, and as rows of the fields table."""
    quality = contracts.read_table(inputs.quality, "field_quality")
    usable = illumination.usable(fields, inputs.fields)
    rows = [row for row in usable if not quality["Problem"].iloc[row["Field"]]]
    if not rows:
        raise UserError(f"{inputs.quality}: none of the plate's fields can be used; the column Problem says why.")
    chosen = [row["Field"] for row in rows]
    kept = [name for name in fields if name.startswith(("Metadata_", "Label_", "Split_"))]
    images = fields.iloc[chosen][[*kept, "Height", "Width"]].assign(Field=chosen).reset_index(drop=True)
    measured = [name for name in quality if name.startswith(("ImageQuality_", "Count_"))]
    return images.join(quality.iloc[chosen][measured].reset_index(drop=True)), rows


def _describe(images: pd.DataFrame, windows: pd.DataFrame, names: pd.Series, numbered: bool, place: str) -> pd.DataFrame:
    """The samples table: what is known of each window and of the image it lies in."""
    if windows.empty:
        raise UserError(
            f"{place}: not one window lies inside the images. Make 'size' or 'size_um' smaller, or set 'edge: pad'."
        )
    outer = images.iloc[windows["Image"]].reset_index(drop=True)
    sample = names.iloc[windows["Image"]].reset_index(drop=True)
    if numbered:
        sample = sample + "/" + windows["Number"].astype(str)
    if sample.duplicated().any():
        raise UserError(
            f"{place}: sample '{sample[sample.duplicated()].iloc[0]}' exists twice: a site stands in the plate twice."
        )
    own = windows.drop(columns=["Image", "Number"])
    order = [name for name in (*WINDOW, "Parent", *PARENT) if name in own]
    own = own[order + [name for name in own if name not in order]]
    return pd.concat([outer.drop(columns=[name for name in own if name in outer]).assign(Sample=sample), own], axis=1)


def _chosen(table: pd.DataFrame, samples: dict, place: str) -> pd.DataFrame:
    where = samples.get("where")
    return table.iloc[selection.rows(table, where, f"{place}: where")].reset_index(drop=True) if where else table


def _look_through(windows: pd.DataFrame, outer: pd.DataFrame, size: tuple[int, int], place: str) -> None:
    """Let windows of a view point into the array behind it."""
    whole = (windows["ParentHeight"] == size[0]) & (windows["ParentWidth"] == size[1])
    resized = (outer["ParentHeight"] != size[0]) | (outer["ParentWidth"] != size[1])
    if (resized & ~whole).any():
        raise UserError(
            f"{place}: of: the samples it cuts are themselves resized cuts; take windows of the first set instead."
        )
    for name in ("ParentTop", "ParentLeft"):
        windows[name] += outer[name]
    for name in ("ParentHeight", "ParentWidth"):
        windows[name] = windows[name].where(~resized, outer[name])
    windows["Parent"] = outer["Parent"]
