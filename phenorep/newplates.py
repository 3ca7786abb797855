"""Samples of plates that no run has seen, cut as those were that an encoder was made with.

What decides them comes from the encoder's file; options and ``--config`` change it, and each change is said.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq

from phenorep import applied_settings, contracts, fields, loaddata, plugins, preparation, preprocessing, tabulation
from phenorep.errors import UserError
from phenorep.preparation import Entry


def cut(
    options: dict, facts: dict, entries: Sequence[Entry], config: dict, work: Path, threads: int
) -> list[SimpleNamespace]:
    """Cut the samples of a table of fields, plate by plate, by the functions that the workflow's jobs call.

    Parameters
    ----------
    options
        As of `phenorep.applying.make`.
    facts
        What the encoder's file states.
    entries
        What it states of its images, as of `preparation.stated`.
    config
        The blocks behind ``--config``.
    work
        Folder of the files that are made.

    Returns
    -------
    Paths of each plate's `array`, `table` and `statistics`.

    Raises
    ------
    UserError
        If table, encoder and options do not fit together, or the images contradict what is known of them.
    """
    from phenorep import nuclei, store
    from phenorep.datasets import table
    from phenorep.imaging import illumination

    chosen = applied_settings.settled(options, entries, config)
    preprocess = chosen.preprocess
    made, name = [], Path(options["images"][0]).stem
    with _told(options, chosen):
        dataset = _dataset(options, facts, chosen)
        plates = table.plates(dataset)
    preparation.warn_of_differences(entries, chosen.flat())
    for plate in plates:
        files = {kind: work / kind / f"{plate}.parquet" for kind in ("fields", "nuclei", "quality")}
        files |= {kind: work / kind / f"{plate}.npz" for kind in ("illumination", "masks")}
        paths, sets = SimpleNamespace(**files), []
        for level, block in enumerate(chosen.samples):
            sets.append(outputs(work / "samples" / str(level) / (block["use"] or "view"), plate))
        with _told(options, chosen, f"datasets: {name}: "):
            # The same calls in the same order as the rules `fields`, `illumination`, `nuclei`, `samples` and `view`.
            fields.make(table, dataset, plate, work / name, preprocess.on_bad_image, paths.fields)
            illumination.make(paths.fields, preprocessing.stage(preprocess, "illumination"), threads, paths.illumination)
            nuclei.make(paths, preprocessing.stage(preprocess, "nuclei"), threads, paths)
            store.make(chosen.samples[0], preprocessing.stage(preprocess, "samples"), paths, sets[0], threads)
            for block, parent, view in zip(chosen.samples[1:], sets, sets[1:], strict=False):
                looked_at = SimpleNamespace(table=parent.table, statistics=parent.statistics, array=sets[0].array)
                store.make_view(block, looked_at, view)
        print(f"plate {plate}: {pq.read_metadata(sets[-1].table).num_rows} samples")
        made.append(sets[-1])
    return made


@contextmanager
def _told(options: dict, chosen: applied_settings.Settings, prefix: str = "") -> Iterator[None]:
    """Tell the user of this command what the jobs' functions tell the user of a configuration."""
    try:
        yield
    except UserError as error:
        # The table is no dataset of a configuration, though the jobs' functions take it for one.
        text = str(error).removeprefix(prefix)
        hint = applied_settings.hint(text, options, chosen.samples, chosen.intensity_max)
        raise UserError(f"{text} {hint}".strip()) from error


def outputs(folder: Path, plate: str) -> SimpleNamespace:
    """Paths of a plate's samples."""
    endings = {"array": "npy", "table": "parquet", "statistics": "json"}
    return SimpleNamespace(**{kind: folder / f"{plate}.{ending}" for kind, ending in endings.items()})


def check_channels(facts: dict, channels: list[str], where: str, remedy: str, theirs: dict | None = None) -> None:
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


def _dataset(options: dict, facts: dict, chosen: applied_settings.Settings):
    """The table of fields as a dataset of the channels that are needed, which have the encoder's names."""
    from phenorep.datasets import table

    path = options["images"][0]
    if not Path(path).is_file():
        raise UserError(f"{path}: there is no such file. `phenorep table` writes one from a microscope's folder.")
    given = tabulation.pairs(options["rename"], "--rename") if options.get("rename") else {}
    ours = loaddata.columns(path, "table", given)
    known = contracts.channels_of(ours.values())
    pairs = tabulation.pairs(options["channels"], "--channels") if options.get("channels") else {}
    for name in pairs:
        if name not in known:
            raise UserError(f"--channels: {path} has no channel '{name}'; it has {', '.join(known) or 'none'}.")
    names = [pairs.get(name, name) for name in known]
    remedy = f"Say which is which: --channels THEIRS=OURS,..., like {known[0] if known else 'w1'}={facts['channels'][0]}."
    _check_one_each(known, names)
    check_channels(facts, names, path, remedy, pairs)
    nuclear = chosen.preprocess.nuclei_settings.channel or "DNA"
    if nuclear not in names:
        raise UserError(
            f"{path}: there is no channel {nuclear}, on which nuclei are found; there are {', '.join(names)}. {remedy} Or "
            "name another by 'preprocess: nuclei: channel' in a file behind --config."
        )
    if nuclear not in facts["channels"]:
        print(f"channels: {nuclear} is opened too: nuclei are found on it")
    needed = {*facts["channels"], nuclear}
    rename = given | {
        theirs: f"{kind}_{pairs[name]}"
        for theirs, own in ours.items()
        for kind, _, name in [own.partition("_")]
        if kind in ("FileName", "PathName") and pairs.get(name, name) != name
    }
    keys = {"table": path, "rename": rename or None, "channels": [name for name in names if name in needed]}
    keys |= {"intensity_max": chosen.intensity_max, "pixel_size_um": chosen.pixel_size_um}
    stated = {key: options.get(option) for key, option in applied_settings.TABLE_OPTIONS.items() if key != "rename"}
    stated["plate_map"] = options.get("plate_map")
    if stated["plates"] is not None:
        stated["plates"] = list(tabulation.pairs(stated["plates"], "--plates"))
    keys |= {key: value for key, value in stated.items() if value is not None}
    return plugins.configure(table.Config, keys, "phenorep embed")


def _check_one_each(theirs: list[str], ours: list[str]) -> None:
    """Raise `UserError` if two channels of a table would have one name."""
    name, number = Counter(ours).most_common(1)[0] if ours else ("", 0)
    if number > 1:
        both = [channel for channel, new in zip(theirs, ours, strict=True) if new == name]
        raise UserError(
            f"--channels: {' and '.join(both)} of the table would both be the channel {name}. Name the one that is meant, "
            f"and call the other otherwise: --channels {both[0]}={name},{both[1]}=Other."
        )
