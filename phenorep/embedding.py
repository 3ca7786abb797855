"""From samples to embeddings: one row for each sample, one row group for each plate."""

import time
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from phenorep import contracts, devices, encoders, plugins, records
from phenorep.batches import ReadAhead, Source, Sources
from phenorep.errors import NotRun, UserError


def make(
    encoder: str | Path,
    tables: Sequence[str],
    statistics: Sequence[str],
    compute: dict,
    threads: int,
    output: str | Path,
    channels: Sequence[str] | None = None,
    block: str | None = None,
    sample_set: str | None = None,
) -> None:
    """Write the embeddings of a sample set.

    Parameters
    ----------
    encoder
        A safetensors file; if it records that the encoder was not made, the output records the same.
    tables, statistics
        The sample set's files, one of each for each plate.
    compute
        The configuration block; see `devices.Compute`.
    threads
        That read samples; the result does not depend on it.
    channels
        The sample set's channels that take the places of the encoder's, in its order; None: the same names.
    block
        Name of the features; None: the encoder's recipe.
    sample_set
        ``dataset/samples``, as encoders name what they were trained on. Where these samples were made anew since, the output
        says so: GPU hours are not spent again for it in silence.

    Raises
    ------
    UserError
        If the encoder reads other channels than the samples have.
    """
    from phenorep.store import Samples

    settings = devices.configure(compute, devices=1)  # more would train, not embed
    with records.kept_in({output: "table"}), devices.repeatable(settings.threads):
        facts = encoders.stated(encoder)  # before the samples: the reason of a missing encoder is the one to pass on
        name = block or facts["recipe"]
        samples = Samples.open(list(tables), list(statistics))
        samples.check(threads)
        facts = facts | compared(facts.get("trained_on", []), sample_set, samples.sums_of_plates())
        device = torch.device(devices.accelerator(settings))
        network = encoders.Encoder.load(encoder, device)
        planes = network.positions(samples.channels, channels, str(tables[0]))
        used = tuple(samples.channels[plane] for plane in planes)
        about = {"encoder": facts, "blocks": {name: {"features": network.features, "channels": list(used)}}}
        sources = Sources([Source.choose("", samples)], used)
        start = time.perf_counter()
        with contracts.table_writer(output, "embeddings", about) as write, tqdm(total=len(samples), unit="image") as bar:
            for plate in np.unique(samples.plate_index):
                rows = np.flatnonzero(samples.plate_index == plate)
                features = embed(network, sources, rows, settings.batch_size, device, bar)
                table = samples.table.iloc[rows].reset_index(drop=True)
                columns = pd.DataFrame(features, columns=contracts.feature_names(name, network.features))
                write(pd.concat([table, columns], axis=1))
        seconds = time.perf_counter() - start
        print(f"{len(samples)} samples embedded by {name} in {seconds:.1f} s: {len(samples) / seconds:.0f} images/s")


def compared(trained_on: list[dict], sample_set: str | None, sums: dict[str, list[int]]) -> dict:
    """What an encoder was trained on, where samples of that name are now others.

    Parameters
    ----------
    trained_on
        As the encoder states it; ``sums`` of a source are the exact sums of its plates' samples.
    sample_set, sums
        Name and sums of the samples that are embedded.

    Returns
    -------
    dict
        ``trained_on`` with the plates whose samples differ as ``changed`` of their source; empty if there are none.
    """
    marked = []
    for source in trained_on:
        then = source.get("sums", {}) if source["samples"] == sample_set else {}
        plates = sorted(plate for plate, values in then.items() if plate in sums and sums[plate] != values)
        marked.append(source | ({"changed": plates} if plates else {}))
        if plates:
            print(f"WARNING: {sample_set} was made anew after the encoder was trained on it: {len(plates)} plates differ.")
    return {} if marked == trained_on else {"trained_on": marked}


def embed(
    network: encoders.Encoder,
    sources: Sources,
    rows: np.ndarray,
    batch_size: int,
    device: torch.device,
    bar: tqdm | None = None,
) -> np.ndarray:
    """Features of some samples of a source.

    Returns
    -------
    numpy.ndarray
        (len(rows), features) float32, in the order of `rows`.
    """
    features = np.empty((len(rows), network.features), dtype=np.float32)
    done = 0
    for raw in ReadAhead(sources, [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]):
        raw = raw.to(device)
        part = network.embed(raw.images, raw.means, raw.stds, raw.maxima[0][1])
        features[done : done + len(part)] = part.cpu().numpy()
        done += len(part)
        if bar is not None:
            bar.update(len(part))
    return features


def combine(members: Sequence[str | Path], names: Sequence[str], output: str | Path, method: dict) -> None:
    """Write the embeddings of several encoders of the same samples side by side.

    Parameters
    ----------
    members
        Tables of embeddings.
    names
        A block's name for each; of a member that has several blocks, the names stand before its own.
    method
        ``use``: the plug-in that combines them. If it defines ``facts(abouts, blocks, table)``, what that returns stands
        among the facts of the output: `abouts` and `blocks` are each member's facts and names of its blocks in the output.

    Raises
    ------
    UserError
        If the tables are not of the same samples in the same order, or the plug-in cannot combine them.
    """
    with records.kept_in({output: "table"}):
        for path, name in zip(members, names, strict=True):
            if reason := contracts.not_run(path):
                raise NotRun(f"its member {name} did not run: {reason}")
        files = [contracts.open_table(path) for path in members]
        abouts = {name: contracts.about(path) for path, name in zip(members, names, strict=True)}
        blocks = {
            name: [_block(name, block, about["blocks"]) for block in about["blocks"]] for name, about in abouts.items()
        }
        about = _combined_about(abouts, blocks, method["use"])
        plugin = plugins.load("methods", method["use"])
        if hasattr(plugin, "facts"):
            try:
                about |= plugin.facts(abouts, blocks, members[0])
            except UserError as error:
                raise UserError(f"{output}: {error}") from error
        groups = [file.num_row_groups for file in files]
        if len(set(groups)) > 1:
            raise UserError(f"members: {members[0]} and {members[1]} are of different plates. Remove both and run again.")
        with contracts.table_writer(output, "embeddings", about) as write:
            for group in range(groups[0]):
                parts = [contracts.row_group(file, group, path) for file, path in zip(files, members, strict=True)]
                write(_side_by_side(parts, members, names))


def _side_by_side(tables: list[pd.DataFrame], paths: Sequence[str | Path], names: Sequence[str]) -> pd.DataFrame:
    first = tables[0]
    parts = [first.drop(columns=contracts.feature_columns(first.columns))]
    for table, path, name in zip(tables, paths, names, strict=True):
        if not table["Sample"].equals(first["Sample"]):
            raise UserError(
                f"members: {path} holds other samples than {paths[0]}, or in another order. Remove both; run again."
            )
        blocks = contracts.feature_blocks(table.columns)
        for block, columns in blocks.items():
            parts.append(table[columns].set_axis(contracts.feature_names(_block(name, block, blocks), len(columns)), axis=1))
    return pd.concat(parts, axis=1)


def _block(name: str, block: str, blocks: Collection[str]) -> str:
    """What one of a member's blocks is called among those of all members."""
    return name if len(blocks) == 1 else f"{name}_{block}"


def _combined_about(abouts: dict[str, dict], names: dict[str, list[str]], recipe: str) -> dict:
    """Facts of all members; what any of them was trained on, the combination was trained on."""
    blocks, trained_on = {}, []
    for member, about in abouts.items():
        blocks |= dict(zip(names[member], about["blocks"].values(), strict=True))
        trained_on += [entry for entry in about["encoder"].get("trained_on", []) if entry not in trained_on]
    members = {member: about["encoder"] for member, about in abouts.items()}
    return {"encoder": {"recipe": recipe, "members": members, "trained_on": trained_on}, "blocks": blocks}
