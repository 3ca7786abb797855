"""The command ``phenorep table``: a microscope's folder becomes a table of fields and a plate map to fill in."""

import csv
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd

from phenorep import contracts, fieldlist, image_folders, microscopes, plugins, wording
from phenorep.errors import UserError

TO_FILL_IN = ("Metadata_Compound", "Metadata_Concentration", "Metadata_MoA", "Metadata_Control")
_FOR_NUCLEI = ("dna", "dapi", "hoechst", "draq5", "nuclei")  # parts of names that channels of nuclei have


def write(options: dict) -> str:
    """List the images of a folder as a table, as `phenorep.datasets.table` reads it, and write a plate map to fill in.

    Parameters
    ----------
    options
        ``folder``, ``layout``, ``pattern``, ``channels``, ``plates``, ``time``, ``plane``, ``output`` and ``plate_map``, as
        the command line gave them. A file that is there is not overwritten: a plate map is kept.

    Returns
    -------
    str
        What was found and written, and the lines for the configuration.

    Raises
    ------
    UserError
        If the table is there already, or the folder cannot be understood.
    """
    output, plate_map = Path(options["output"]), Path(options["plate_map"])
    if output.exists():
        raise UserError(f"{output}: the file is there already and is kept. Remove it, or name another one by --output.")
    config = _config(options)
    files, chosen = image_folders.listing(config), image_folders.selection(config)
    fields, found = _fields(files, chosen)
    empty = fieldlist.empty(fields)
    for column in [name for name in fields if name.startswith("PathName_")]:
        fields[column] = [_from(path, output.parent) for path in fields[column]]
    with contracts.replacing(output) as temporary:
        fields.to_csv(temporary, index=False)
    lines = _summary(fields, found)
    if empty:
        lines.append(f"{len(empty)} images are empty (0 bytes) or cannot be opened: {wording.listed(empty)}.")
    lines.append(f"Written: {output}.")
    if plate_map.exists():
        lines.append(f"{plate_map} is there already and is kept as it is.")
    else:
        with contracts.replacing(plate_map) as temporary:
            wells = fields[["Metadata_Plate", "Metadata_Well"]].drop_duplicates()
            wells.reindex(columns=[*wells, *TO_FILL_IN]).to_csv(temporary, index=False)
        lines.append(
            f"Written: {plate_map}, to be filled in: concentrations in micromolar, Metadata_Control negative, positive or "
            "empty; a column that stays empty is left out, others may be added."
        )
    return "\n".join([*lines, *_configuration(fields, found, output, plate_map)])


def _config(options: dict) -> image_folders.ImageFolder:
    keys = {key: options[key] for key in ("folder", "layout", "pattern")}
    for key in ("channels", "plates"):
        if options.get(key):
            keys[key] = pairs(options[key], f"--{key}")
    for key in ("time", "plane"):
        if options.get(key) is not None:
            if not str(options[key]).isdecimal():
                raise UserError(
                    f"--{key} {options[key]}: expected a number. Images are read as they are: projections and averages are "
                    "made by the microscope's software."
                )
            keys[key] = options[key]
    return plugins.configure(image_folders.ImageFolder, keys, "phenorep table")


def pairs(text: str, option: str) -> dict[str, str]:
    """``w1=DNA,w2`` as {"w1": "DNA", "w2": "w2"}; a name with a comma is in quotes: ``"DAPI, 405"=DNA``."""
    # The last sign parts: theirs may have others, as in "GFP=488", and ours has none.
    parts = [part.rpartition("=") for part in next(csv.reader([text.replace("\n", " ")], skipinitialspace=True))]
    if any((sign and not theirs.strip()) or not ours.strip() for theirs, sign, ours in parts):
        raise UserError(
            f"{option} {text}: expected THEIRS=OURS,THEIRS=OURS, like w1=DNA,w2=Actin; a name with a comma in it in quotes: "
            f"{option} '\"DAPI, 405\"=DNA,w2=Actin'."
        )
    return {(theirs if sign else ours).strip(): ours.strip() for theirs, sign, ours in parts}


def _fields(files: microscopes.Listing, chosen: fieldlist.Selection) -> tuple[pd.DataFrame, list[microscopes.Acquisition]]:
    """The fields of all plates, and what was read of each."""
    tables, acquisitions = [], []
    for theirs, ours in fieldlist.plates(files, chosen).items():
        acquisitions.append(fieldlist.read(files, chosen, theirs))
        images = acquisitions[-1].images
        tables.append(fieldlist.table(files, images, ours, fieldlist.channels(files, chosen, images), chosen))
    first = contracts.channels_of(tables[0].columns)
    for table in tables:
        fieldlist.check_same(contracts.channels_of(table.columns), first, table["Metadata_Plate"][0], str(files.root))
    return pd.concat(tables, ignore_index=True), acquisitions


def _from(path: str, folder_of_table: Path) -> str:
    """A folder as the table names it: from the table's own folder if it lies below that, so that both can move."""
    if not path:
        return ""
    path, base = os.path.abspath(path), os.path.abspath(folder_of_table)
    return os.path.relpath(path, base) if Path(path).is_relative_to(base) else path


def _summary(fields: pd.DataFrame, found: list[microscopes.Acquisition]) -> list[str]:
    names, wells = (
        list(dict.fromkeys(fields["Metadata_Plate"])),
        fields[["Metadata_Plate", "Metadata_Well"]].drop_duplicates(),
    )
    counts = sorted(fields.groupby(["Metadata_Plate", "Metadata_Well"], sort=False).size().unique())
    sites = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    channels = contracts.channels_of(fields.columns)
    named = {image.channel: image.code for image in found[0].images}
    known = [name if name == code else f"{code} {name}" for name, code in sorted(named.items(), key=lambda pair: pair[1])]
    lines = [
        f"Plates: {len(names)} ({wording.listed(names)})",
        f"Wells: {len(wells)}; sites in a well: {sites}; fields: {len(fields)}",
        f"Channels: {', '.join(channels)} (the microscope's: {', '.join(known)})",
    ]
    for key in ("Time", "Plane"):
        if f"Metadata_{key}" in fields:
            lines.append(f"{key}: {fields[f'Metadata_{key}'][0]}, as chosen")
    passed_over = max((one.passed_over for one in found), key=lambda counts: counts.total())
    notes = dict.fromkeys(note for one in found for note in one.notes)
    lines += fieldlist.remarks(replace(found[0], passed_over=passed_over, notes=tuple(notes)))
    lacking = fieldlist.gaps(fields)
    if lacking:
        lines.append(
            f"{len(lacking)} images are missing: {wording.listed(lacking)}. Their fields stand in the table with an "
            "empty FileName_: a run stops there, or leaves them out and lists them with 'preprocess: {on_bad_image: "
            "exclude}'."
        )
    return lines


def _configuration(fields: pd.DataFrame, found: list[microscopes.Acquisition], output: Path, plate_map: Path) -> list[str]:
    sizes = {one.pixel_size_um for one in found}
    size = f", pixel_size_um: {sizes.pop():g}" if len(sizes) == 1 and None not in sizes else ""
    lines = [
        "For the configuration:",
        "  datasets:",
        f"    mine: {{use: table, table: {_yaml(output)}, plate_map: {_yaml(plate_map)}{size}}}",
    ]
    channels = contracts.channels_of(fields.columns)
    if "DNA" not in channels:
        likely = [name for name in channels if any(part in name.lower() for part in _FOR_NUCLEI)]
        # Which channel shows nuclei is not guessed: the line is to be completed where names do not tell.
        lines += ["  preprocess:", f"    nuclei: {{channel: {likely[0] if likely else 'THE_ONE_THAT_SHOWS_NUCLEI'}}}"]
    return lines


def _yaml(path: Path) -> str:
    """A path as YAML takes it within braces: in quotes if it has more than plain characters."""
    return str(path) if re.fullmatch(r"[\w./-]+", str(path)) else json.dumps(str(path))
