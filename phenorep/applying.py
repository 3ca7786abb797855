"""The command ``phenorep embed``: an encoder applied to new images, with the same steps as in the workflow."""

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq

from phenorep import applied_settings, configfiles, contracts, encoders, loose_crops, newplates, preparation
from phenorep.errors import NotRun, UserError

_TABLES = (".csv", ".tsv", ".txt", ".gz", ".bz2", ".zip", ".xz", ".parquet", ".pq")
_OUTPUTS = (".parquet", ".csv")
_OF_TABLES = tuple(applied_settings.TABLE_OPTIONS.values())


def make(options: dict) -> str:
    """Write the embeddings of images that are no part of a run.

    Parameters
    ----------
    options
        As the command line gave them. ``encoder``: a safetensors file. ``images``: a table of fields (``phenorep table``),
        samples that phenorep has cut, or crops that were cut elsewhere. ``output``: parquet, or CSV. ``samples``,
        ``config``, ``illumination``, ``on_bad_image``, ``pixel_size_um``: how fields become samples, where that is not to
        be as the encoder's file states. ``intensity_max``: the same of the camera. ``channels``, ``plate_map``: what the
        images are. ``rename``, ``names``, ``images_in``, ``plates``, ``time``, ``plane``: how tables are read.
        ``device``, ``batch_size``, ``threads``.

    Returns
    -------
    str
        What was written.

    Raises
    ------
    UserError
        If encoder, images and options do not fit together.
    """
    from phenorep import store

    facts = _stated(options["encoder"])
    entries = preparation.stated(options["encoder"], facts)
    output = Path(options["output"])
    if output.suffix not in _OUTPUTS:
        raise UserError(f"{output}: embeddings are written as .parquet or .csv: change the name behind --output.")
    if output.resolve() in (Path(path).resolve() for path in options["images"]):
        raise UserError(f"{output}: is among the images; give the embeddings another name by --output.")
    output.parent.mkdir(parents=True, exist_ok=True)
    config = _config(options.get("config"))
    compute = dict(config.get("compute") or {})
    compute |= {key: options[key] for key in ("device", "batch_size") if options.get(key) is not None}
    _check_device(compute)
    threads = options.get("threads") or min(4, len(os.sched_getaffinity(0)))
    prepare = _way(options["images"])
    # Beside the output: the samples of a plate may be larger than the folder of temporary files.
    with tempfile.TemporaryDirectory(prefix=f".{output.stem}.", dir=output.parent) as work:
        plates = prepare(options, facts, entries, config, Path(work), threads)
        preparation.warn_of_differences(entries, {"dtype": store.read_statistics(plates[0].statistics)["dtype"]})
        rows = _embed(options["encoder"], facts, plates, compute, threads, output)
    return f"Written: {output}: {rows} rows, {facts['features']} features of {facts['recipe']}."


def _stated(encoder: str) -> dict:
    """Metadata of an encoder that was made."""
    if not Path(encoder).is_file():
        raise UserError(f"{encoder}: there is no such file. Encoders are results/{{dataset}}/encoders/.../*.safetensors.")
    if Path(encoder).suffix != ".safetensors":
        raise UserError(f"{encoder}: is no encoder: those end in .safetensors. The encoder is named before the images.")
    try:
        return encoders.stated(encoder)
    except NotRun as reason:
        raise UserError(f"{encoder}: this encoder was not made, and says why: {reason}") from reason


def _check_device(compute: dict) -> None:
    """Raise `UserError` on a wrong setting, or a GPU that is not there, before images are cut for an hour."""
    from phenorep import devices

    settings = devices.configure(compute, devices=1)
    if settings.device != "auto":
        devices.accelerator(settings)


def _config(path: str | None) -> dict:
    if path is None:
        return {}
    found = configfiles.read(path)
    if not isinstance(found, dict):
        raise UserError(f"{path}: is no configuration: expected blocks such as 'samples:' and 'preprocess:'.")
    for name in ("preprocess", "samples", "compute"):
        if not isinstance(found.get(name) or {}, dict):
            raise UserError(f"{path}: {name}: found {str(found[name])[:80]!r}, expected keys and values.")
    return found


def _way(images: Sequence[str]) -> Callable:
    """The function that makes samples of images of this kind."""
    paths = [Path(path) for path in images]
    if all(_is_stored(path) for path in paths):
        return _stored
    if any(path.suffix.lower() in _TABLES for path in paths):
        if len(paths) > 1:
            raise UserError(f"{paths[0]}: one table of fields at a time; {len(paths)} files are named.")
        return newplates.cut
    return _taken


def _is_stored(path: Path) -> bool:
    """Whether this is a plate of samples that phenorep has cut."""
    if path.suffix not in (".npy", ".parquet") or not path.with_suffix(".json").is_file():
        return False
    table = path.with_suffix(".parquet")
    return table.is_file() and "Sample" in contracts.columns_of(table)


def _stored(options: dict, facts: dict, entries: list, config: dict, work: Path, threads: int) -> list[SimpleNamespace]:  # noqa: ARG001
    """Samples as they are."""
    from phenorep import store

    _unused(options, "the samples are cut already", "samples", "plate_map", "pixel_size_um", "intensity_max", *_OF_TABLES)
    if options.get("channels"):
        raise UserError("--channels: samples that phenorep has cut carry the names of their channels; leave it out.")
    places = list(dict.fromkeys(Path(path).with_suffix("") for path in options["images"]))
    plates = [SimpleNamespace(table=f"{place}.parquet", statistics=f"{place}.json") for place in places]
    (here,) = preparation.stated(
        plates[0].statistics,
        {preparation.KEY: [preparation.of_statistics("", store.read_statistics(plates[0].statistics))]},
    )
    preparation.warn_of_differences(entries, {key: value for key, value in here.flat().items() if key != "dtype"})
    return plates


def _taken(options: dict, facts: dict, entries: list, config: dict, work: Path, threads: int) -> list[SimpleNamespace]:  # noqa: ARG001
    """Crops that were cut elsewhere."""
    plates = loose_crops.found(options["images"])
    _unused(options, "the crops are cut already", "samples", "plate_map", "pixel_size_um", *_OF_TABLES)
    channels = [name.strip() for name in (options.get("channels") or "").split(",")]
    if not all(channels) or "=" in "".join(channels) or len(set(channels)) < len(channels):
        raise UserError(
            f"--channels: name the planes of the crops in their order, each once; the encoder reads "
            f"{', '.join(facts['channels'])}: --channels {','.join(facts['channels'])}, if that is their order."
        )
    newplates.check_channels(facts, channels, "--channels", "Name the planes as the encoder does.")
    made = []
    top = applied_settings.range_of(options, entries)
    preparation.warn_of_differences(entries, {} if top is None else {"intensity_max": top})
    for number, plate in enumerate(plates):
        made.append(newplates.outputs(work, f"plate{number}"))
        try:
            loose_crops.store(plate, channels, top, made[-1])
        except UserError as error:
            if hint := applied_settings.hint(str(error), options, (), top):
                raise UserError(f"{error} {hint}") from error
            raise
        print(f"{plate.name}: {_rows(made[-1].table)} crops, scaled as one plate")
    return made


def _embed(encoder: str, facts: dict, plates: list[SimpleNamespace], compute: dict, threads: int, output: Path) -> int:
    """Write the embeddings of samples; returns their number."""
    from phenorep import embedding, store

    tables, statistics = [str(plate.table) for plate in plates], [str(plate.statistics) for plate in plates]
    shape = store.read_statistics(statistics[0])
    size, trained = tuple(shape["shape"][1:]), tuple(facts["input_size"])
    if size != trained:
        print(
            f"WARNING: the samples are {size[0]} x {size[1]} pixels, those that the encoder was made for {trained[0]} x "
            f"{trained[1]}: its features depend on the size."
        )
    print(_scaling(facts["scaling"], shape))
    target = output if output.suffix == ".parquet" else Path(statistics[0]).parent / "embeddings.parquet"
    arguments = (encoder, tables, statistics, compute, threads, target, facts["channels"])
    try:
        embedding.make(*arguments)
    except (RuntimeError, ValueError, AssertionError) as error:
        if size == trained:
            raise
        raise UserError(
            f"{encoder}: takes images of {trained[0]} x {trained[1]} pixels; the samples are {size[0]} x {size[1]} "
            f"({error}). Cut them with that size."
        ) from error
    if target != output:
        _as_csv(target, output)
    return _rows(target)


def _scaling(scaling: str | dict, shape: dict) -> str:
    """What becomes of grey values, in words."""
    bits = f"{shape['dtype']}, at most {shape['intensity_max']}"
    if scaling == "plate":
        return f"grey values ({bits}) are scaled by mean and deviation of each plate's samples"
    if scaling == "range":
        return f"grey values ({bits}) are divided by {shape['intensity_max']}, the largest that the camera reaches"
    note = "" if float(scaling["clip"]) <= shape["intensity_max"] else "; WARNING: no image can be that bright"
    return f"grey values ({bits}) are divided by {float(scaling['clip']):g}, as in training{note}"


def _as_csv(table: Path, output: Path) -> None:
    with contracts.replacing(output) as temporary:
        for number, part in enumerate(contracts.row_groups(table)):
            part.to_csv(temporary, mode="a" if number else "w", header=not number, index=False, lineterminator="\n")


def _rows(table: str | Path) -> int:
    return pq.read_metadata(table).num_rows


def _unused(options: dict, why: str, *names: str) -> None:
    for name in names:
        if options.get(name) is not None and options.get(name) != "":
            raise UserError(f"--{name.replace('_', '-')}: has no effect here, since {why}; leave it out.")
