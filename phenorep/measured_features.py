"""From measurements of nuclei to embeddings: what was measured on the nucleus of each sample is its features."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import blas, checksums, contracts, plugins, records
from phenorep.errors import NotRun, UserError
from phenorep.undefined import Summary, filled

_IDENTITY = contracts.REQUIRED["measurements"]  # columns before the measurements


@blas.single_thread()
def make(tables: Sequence[str], measurements: Sequence[str], method: dict, output: str | Path) -> None:
    """Write the measurements of a sample set's nuclei as embeddings.

    Parameters
    ----------
    tables
        The sample set's tables, one per plate.
    measurements
        The measurements of the same plates in the same order; empty if the samples have no nuclei.
    method
        The method's block; its plug-in's `choose` names the measurements.
    output
        One row per sample, one row group per plate; features are ``{use}_0000...``. Their own names stand in the facts, as
        ``names`` of the block, beside those that were ``left_out``. Where `scale` is set features have mean 0 and standard
        deviation 1 over all samples. If the samples have no nuclei, a "not run" record.

    Raises
    ------
    UserError
        If a sample's nucleus was not measured, or a measurement that is asked for.
    """
    module = plugins.load("methods", method["use"])
    config = plugins.configure(module.Config, method["keys"], f"methods: {method['use']}")
    with records.kept_in({output: "table"}):
        for path in tables:
            if "Nucleus" not in contracts.columns_of(path):
                raise NotRun("its samples are not cut around nuclei, and measurements are of nuclei")
        stated = contracts.about(measurements[0])
        described = {name: stated["columns"][name] for name in contracts.columns_of(measurements[0])[len(_IDENTITY) :]}
        names = module.choose(config, described, stated["channels"])
        plates = [(table, path) for table, path in zip(tables, measurements, strict=True) if len(_keys(table))]
        if not plates:
            raise NotRun("its sample set is empty")
        summary = Summary(len(names))
        for _, values in _joined(plates, names):
            summary.add(values)
        kept = summary.usable()
        left_out = [name for name, keep in zip(names, kept, strict=True) if not keep]
        if left_out:
            text = "%d of %d measurements are constant or often undefined and left out: %s"
            logging.getLogger(__name__).warning(text, len(left_out), len(names), ", ".join(left_out))
        if not kept.any():
            raise NotRun("none of its measurements varies among the samples")
        centre, spread = (summary.mean[kept], summary.deviation()[kept]) if config.scale else (0.0, 1.0)
        chosen = [name for name, keep in zip(names, kept, strict=True) if keep]
        with contracts.table_writer(output, "embeddings", _about(method["use"], stated, chosen, left_out)) as write:
            for table, values in _joined(plates, chosen):
                features = ((filled(values) - centre) / spread).astype(np.float32)
                block = pd.DataFrame(features, columns=contracts.feature_names(method["use"], len(chosen)))
                write(pd.concat([table, block], axis=1))
        print(f"{summary.count} samples have {len(chosen)} measurements as features")


def _joined(plates: Sequence[tuple], names: list[str]) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
    """Plate by plate the samples table and the measurements (n, F) float64 of its samples' nuclei."""
    for samples, path in plates:
        measured_here = set(contracts.columns_of(path))
        missing = [name for name in names if name not in measured_here]
        if missing:
            raise UserError(f"{path}: {missing[0]} was not measured on this plate. Remove the file and run again.")
        table = contracts.read_table(samples, "samples").drop(columns=checksums.COLUMN, errors="ignore")
        measured = contracts.read_table(path, "measurements")
        rows = pd.MultiIndex.from_frame(measured[["Field", "Nucleus"]]).get_indexer(_keys(samples))
        if (rows < 0).any():
            raise UserError(
                f"{path}: holds nothing of the nucleus of sample {table['Sample'][int(np.argmax(rows < 0))]} in {samples}: "
                "they are not of the same nuclei. Remove both and run again."
            )
        yield table, measured[names].to_numpy(np.float64)[rows]


def _keys(samples: str | Path) -> pd.MultiIndex:
    """Field and number of each sample's nucleus."""
    return pd.MultiIndex.from_frame(contracts.read_table(samples, "samples", ["Field", "Nucleus"]))


def _about(use: str, stated: dict, names: list[str], left_out: list[str]) -> dict:
    channels = [c for c in stated["channels"] if any(c in stated["columns"][name][1:] for name in names)]
    versions = {"cp_measure": stated["version"]}
    made_by = {"recipe": use, "channels": channels, "trained_on": [], "versions": versions}
    block = {"features": len(names), "channels": channels, "names": names, "left_out": left_out}
    return {"encoder": made_by, "blocks": {use: block}}
