"""The command ``phenorep embed``: an encoder applied to new images, with the same steps as in the workflow."""

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq

from phenorep import (
    configfiles,
    contracts,
    encoders,
    fields,
    loaddata,
    loose_crops,
    plugins,
    preprocessing,
    sampling_choice,
    tabulation,
)
from phenorep.errors import NotRun, UserError

_TABLES = (".csv", ".tsv", ".txt", ".gz", ".bz2", ".zip", ".xz", ".parquet", ".pq")
_OUTPUTS = (".parquet", ".csv")


def make(options: dict) -> str:
    """Write the embeddings of images that are no part of a run.

    Parameters
    ----------
    options
        As the command line gave them. ``encoder``: a safetensors file. ``images``: a table of fields (``phenorep table``),
        samples that phenorep has cut, or crops that were cut elsewhere. ``output``: parquet, or CSV. ``samples``,
        ``config``, ``illumination``, ``plate_map``, ``on_bad_image``, ``pixel_size_um``: how fields become samples.
        ``channels``, ``intensity_max``: what the images are. ``device``, ``batch_size``, ``threads``.

    Returns
    -------
    str
        What was written.

    Raises
    ------
    UserError
        If encoder, images and options do not fit together.
    """
    facts = _stated(options["encoder"])
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
        tables, statistics = prepare(options, facts, config, Path(work), threads)
        rows = _embed(
            options["encoder"], facts, tables, statistics, (config.get("compute") or {}) | compute, threads, output
        )
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
    return found


def _way(images: Sequence[str]) -> Callable:
    """The function that makes samples of images of this kind."""
    paths = [Path(path) for path in images]
    if all(_is_stored(path) for path in paths):
        return _stored
    if any(path.suffix.lower() in _TABLES for path in paths):
        if len(paths) > 1:
            raise UserError(f"{paths[0]}: one table of fields at a time; {len(paths)} files are named.")
        return _cut
    return _taken


def _is_stored(path: Path) -> bool:
    """Whether this is a plate of samples that phenorep has cut."""
    if path.suffix not in (".npy", ".parquet") or not path.with_suffix(".json").is_file():
        return False
    table = path.with_suffix(".parquet")
    return table.is_file() and "Sample" in contracts.columns_of(table)


def _stored(options: dict, facts: dict, config: dict, work: Path, threads: int) -> tuple[list[str], list[str]]:  # noqa: ARG001
    """Samples as they are."""
    _unused(options, "the samples are cut already", "samples", "plate_map", "pixel_size_um", "intensity_max")
    if options.get("channels"):
        raise UserError("--channels: samples that phenorep has cut carry the names of their channels; leave it out.")
    places = list(dict.fromkeys(Path(path).with_suffix("") for path in options["images"]))
    return [f"{place}.parquet" for place in places], [f"{place}.json" for place in places]


def _taken(options: dict, facts: dict, config: dict, work: Path, threads: int) -> tuple[list[str], list[str]]:  # noqa: ARG001
    """Crops that were cut elsewhere."""
    plates = loose_crops.found(options["images"])
    _unused(options, "the crops are cut already", "samples", "plate_map", "pixel_size_um")
    channels = [name.strip() for name in (options.get("channels") or "").split(",")]
    if not all(channels) or "=" in "".join(channels) or len(set(channels)) < len(channels):
        raise UserError(
            f"--channels: name the planes of the crops in their order, each once; the encoder reads "
            f"{', '.join(facts['channels'])}: --channels {','.join(facts['channels'])}, if that is their order."
        )
    _check_channels(facts, channels, "--channels", "Name the planes as the encoder does.")
    made = []
    for number, plate in enumerate(plates):
        made.append(_outputs(work, f"plate{number}"))
        loose_crops.store(plate, channels, options.get("intensity_max"), made[-1])
        print(f"{plate.name}: {_rows(made[-1].table)} crops, scaled as one plate")
    return [str(one.table) for one in made], [str(one.statistics) for one in made]


def _cut(options: dict, facts: dict, config: dict, work: Path, threads: int) -> tuple[list[str], list[str]]:
    """Samples cut out of fields, plate by plate, by the functions that the workflow's jobs call."""
    from phenorep import nuclei, store
    from phenorep.datasets import table
    from phenorep.imaging import illumination

    dataset = _dataset(options, facts)
    samples = sampling_choice.block(options, config)
    preprocess = _preprocess(options, config)
    names = table.plates(dataset)
    made = []
    for plate in names:
        files = {kind: work / kind / f"{plate}.parquet" for kind in ("fields", "nuclei", "quality")}
        files |= {kind: work / kind / f"{plate}.npz" for kind in ("illumination", "masks")}
        paths, outputs = SimpleNamespace(**files), _outputs(work / "samples", plate)
        # The same calls in the same order as the rules `fields`, `illumination`, `nuclei` and `samples`.
        fields.make(table, dataset, plate, work / Path(options["images"][0]).stem, preprocess.on_bad_image, paths.fields)
        illumination.make(paths.fields, preprocessing.stage(preprocess, "illumination"), threads, paths.illumination)
        nuclei.make(paths, preprocessing.stage(preprocess, "nuclei"), threads, paths)
        store.make(samples, preprocessing.stage(preprocess, "samples"), paths, outputs, threads)
        print(f"plate {plate}: {_rows(outputs.table)} samples")
        made.append(outputs)
    return [str(one.table) for one in made], [str(one.statistics) for one in made]


def _outputs(folder: Path, plate: str) -> SimpleNamespace:
    endings = {"array": "npy", "table": "parquet", "statistics": "json"}
    return SimpleNamespace(**{kind: folder / f"{plate}.{ending}" for kind, ending in endings.items()})


def _dataset(options: dict, facts: dict):
    """The table of fields as a dataset, whose channels have the encoder's names."""
    from phenorep.datasets import table

    path = options["images"][0]
    if not Path(path).is_file():
        raise UserError(f"{path}: there is no such file. `phenorep table` writes one from a microscope's folder.")
    ours = loaddata.columns(path, "table")
    known = contracts.channels_of(ours.values())
    pairs = tabulation.pairs(options["channels"], "--channels") if options.get("channels") else {}
    for name in pairs:
        if name not in known:
            raise UserError(f"--channels: {path} has no channel '{name}'; it has {', '.join(known) or 'none'}.")
    remedy = f"Say which is which: --channels THEIRS=OURS,..., like {known[0] if known else 'w1'}={facts['channels'][0]}."
    _check_channels(facts, [pairs.get(name, name) for name in known], path, remedy, pairs)
    rename = {
        theirs: f"{kind}_{pairs[name]}"
        for theirs, own in ours.items()
        for kind, _, name in [own.partition("_")]
        if kind in ("FileName", "PathName") and pairs.get(name, name) != name
    }
    keys = {"table": path, "rename": rename or None}
    for key in ("plate_map", "pixel_size_um", "intensity_max"):
        if options.get(key) is not None:
            keys[key] = options[key]
    return plugins.configure(table.Config, keys, "phenorep embed")


def _check_channels(facts: dict, channels: list[str], where: str, remedy: str, theirs: dict | None = None) -> None:
    """Raise `UserError` if a channel is missing that the encoder reads; say which are read, and in which order."""
    wanted = list(facts["channels"])
    if missing := [name for name in wanted if name not in channels]:
        raise UserError(
            f"{where}: there is no channel {', '.join(missing)}, which the encoder reads; there are "
            f"{', '.join(channels) or 'none'}. {remedy}"
        )
    named = {ours: name for name, ours in (theirs or {}).items() if ours != name}
    shown = [f"{name} (here {named[name]})" if name in named else name for name in wanted]
    print(f"channels: {', '.join(shown)}, in the encoder's order, of {', '.join(channels)}")


def _preprocess(options: dict, config: dict) -> preprocessing.Preprocess:
    """The configuration's settings with what the command line changes; all is done in process."""
    values = dict(config.get("preprocess") or {})
    if values.get("pipeline"):
        raise UserError(
            f"{options['config']}: preprocess: pipeline: nuclei by a CellProfiler pipeline of your own are found by the "
            "workflow alone. Run it on these plates, and give the samples that it cuts: results/{dataset}/samples/..."
        )
    if values.get("engine", "native") != "native":
        print(f"preprocess: the native engine works, in place of {values['engine']}: the same operations and settings")
    values |= {"engine": "native", "check": 0}
    if options.get("on_bad_image"):
        values["on_bad_image"] = options["on_bad_image"]
    if options.get("illumination") == "none":
        values["illumination"] = {**(values.get("illumination") or {}), "smoothing": "none"}
    if not config:
        print("preprocess: default settings; --config names a file with others")
    return preprocessing.settings(values)


def _embed(
    encoder: str, facts: dict, tables: list[str], statistics: list[str], compute: dict, threads: int, output: Path
) -> int:
    """Write the embeddings of samples; returns their number."""
    from phenorep import embedding, store

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
    """What becomes of grey values, in words: an encoder does not know how bright its images were."""
    bits = f"{shape['dtype']}, at most {shape['intensity_max']}"
    if scaling == "plate":
        return f"grey values ({bits}) are scaled by mean and deviation of each plate's samples"
    if scaling == "range":
        return f"grey values ({bits}) are divided by {shape['intensity_max']}: --intensity-max says what the camera reaches"
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
