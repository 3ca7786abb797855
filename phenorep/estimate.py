"""What a run will take, told before it starts: jobs, download, disk, hours of processor and of GPU.

Files are counted as Snakemake will make them, arrays have the size that their shape gives, and networks are run once with
their products left out (`phenorep.flops`), which gives the exact number of operations. What must be assumed is named beside
the figures: nuclei in a field, and how many operations a second a machine does.
"""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import contracts, jobs, plugins
from phenorep.errors import UserError
from phenorep.extents import Extent
from phenorep.grid import Encoded
from phenorep.jobs import Job
from phenorep.planning import Plan
from phenorep.rates import RATES, REPORT_SECONDS, STAGES

# Nuclei in a field of an unknown screen: an assumption, to be set by --cells.
CELLS = 100.0


@dataclass
class Estimate:
    """Totals by stage, and what they rest on."""

    jobs: dict[str, int] = field(default_factory=dict)  # by rule, as Snakemake will list them
    disk: dict[str, float] = field(default_factory=dict)  # bytes by stage, at the end
    seconds: dict[str, float] = field(default_factory=dict)  # of one core by stage, learning and embedding left out
    flop: dict[str, float] = field(default_factory=dict)  # operations of networks: pretrain, embed
    download: float = 0.0
    passing: float = 0.0  # bytes that are on the disk for a while beside those of `disk`
    basis: list[str] = field(default_factory=list)

    @property
    def end(self) -> float:
        """Bytes on the disk when all is done."""
        return sum(self.disk.values())

    @property
    def peak(self) -> float:
        """Most bytes on the disk at a time."""
        return self.end + self.passing

    def core_hours(self) -> float:
        """Hours of one core without what networks compute."""
        return sum(self.seconds.values()) / 3600

    def learning_hours(self, rate: float) -> float:
        """Hours of what networks compute, at `rate` operations a second."""
        return sum(self.flop.values()) / rate / 3600

    def start(self, rule: str, jobs: int) -> None:
        """Count jobs of a rule, and the seconds that they take to start."""
        self.jobs[rule] = self.jobs.get(rule, 0) + jobs
        self.seconds[STAGES[rule]] = self.seconds.get(STAGES[rule], 0.0) + jobs * RATES[rule][0]
        self.disk.setdefault(STAGES[rule], 0.0)

    def add(self, rule: str, units: float = 0.0, size: float = 0.0) -> None:
        """Count the units of work (see `RATES`) of a rule's jobs, and the bytes that they leave."""
        stage = STAGES[rule]
        self.seconds[stage] = self.seconds.get(stage, 0.0) + units * RATES[rule][1]
        self.disk[stage] = self.disk.get(stage, 0.0) + size


def of(plan: Plan, cells: dict[str, float] | None = None) -> Estimate:
    """The estimate of a run.

    Parameters
    ----------
    cells
        Expected nuclei of a field by dataset, in place of what the datasets state.

    Raises
    ------
    UserError
        If nothing states how large the images of a dataset are.
    """
    return _Run(plan, cells or {}).estimate()


def extent(plan: Plan, dataset: str, cells: float | None = None) -> Extent:
    """The extent of a dataset: as its module states it, or else counted in its tables and one of its images."""
    module, config = plan.dataset(dataset)
    found = module.extent(config) if hasattr(module, "extent") else _counted(module, config, dataset)
    if cells is None:
        return found
    return Extent(**{**vars(found), "cells": cells, "basis": {**found.basis, "cells": "as given"}})


def _counted(module, config, dataset: str) -> Extent:
    from phenorep.imaging import readers

    tables = [module.fields(config, plate, Path()) for plate in module.plates(config)]
    for table in tables:
        for channel in contracts.channels_of(list(table.columns)):
            for folder, file in zip(table[f"PathName_{channel}"], table[f"FileName_{channel}"], strict=True):
                if file and (Path(folder) / file).is_file():
                    height, width, bits = readers.header(Path(folder) / file)
                    basis = {"fields": "counted", "size": f"of {file}", "cells": "assumed; set it by --cells"}
                    return Extent(sum(map(len, tables)), (height, width), bits // 8, CELLS, basis=basis)
    raise UserError(f"datasets: {dataset}: none of its images is there, so their size is not known.")


class _Run:
    """Walks over what a plan asks for."""

    def __init__(self, plan: Plan, cells: dict[str, float]):
        self.plan, self.cells, self.found = plan, cells, Estimate()
        self.jobs: dict[str, list[Job]] = {}
        for job in jobs.of(plan):
            self.jobs.setdefault(job.rule, []).append(job)
        imaged = sorted({job["dataset"] for job in self._of("fields")})
        self.extents = {name: extent(plan, name, cells.get(name)) for name in imaged}
        # Asked for once per table of embeddings, of which saved epochs make hundreds.
        self.work: dict[str, object] = {}
        self.count = cache(self.count)
        self.features = cache(self.features)

    def estimate(self) -> Estimate:
        for rule, started in self.jobs.items():
            self.found.start(rule, len(started))
        for dataset in self.extents:
            self._prepare(dataset)
        for dataset, samples in sorted({(job["dataset"], job["samples"]) for job in self._of("samples", "view")}):
            self._cut(dataset, samples)
        for job in self._of("pretrain"):
            self._pretrain(job.encoded)
        for job in self._of("embed", "embed_measurements", "concat"):
            self._embed(job)
        for job in self._of("normalise"):
            self._normalise(job)
        for job in self._of("evaluate"):
            self._evaluate(job)
        self.found.add("page", size=5e6)
        self.found.seconds["report"] += REPORT_SECONDS * len(self._of("evaluate"))
        self._explain()
        return self.found

    def _of(self, *rules: str) -> list[Job]:
        return [job for rule in rules for job in self.jobs.get(rule, [])]

    def _channels(self, dataset: str) -> list[str]:
        module, config = self.plan.dataset(dataset)
        return module.about(config)["channels"]

    def _pixels(self, dataset: str) -> float:
        """Pixels of all images."""
        one = self.extents[dataset]
        return float(one.fields) * len(self._channels(dataset)) * one.size[0] * one.size[1]

    # -- stages ------------------------------------------------------------------------------------------------------------

    def _prepare(self, dataset: str) -> None:
        plan, found, one = self.plan, self.found, self.extents[dataset]
        plates, drawn = len(plan.plates(dataset)), not one.download
        megapixels = self._pixels(dataset) / 1e6
        found.download += one.download
        if self._works_on("download", dataset):
            found.add("download", megapixels if drawn else one.unpacked / 1e7, one.unpacked)
            at_once = min(4, one.archives)
            found.passing += at_once * one.download / one.archives if one.archives else 0.0
        found.add("fields", one.fields, 12e3 * plates + 120 * one.fields)
        area, channels = one.size[0] * one.size[1], len(self._channels(dataset))
        collected = plan.preprocess.engine == "cellprofiler"
        made, segmented = ("collect_illumination", "collect_nuclei") if collected else ("illumination", "nuclei")
        found.add(made, megapixels, plates * channels * area * 4)
        found.add(segmented, megapixels, one.fields * (one.cells * 45 + 0.04 * area))
        if collected:
            found.add("cellprofiler", megapixels)
            # The staged images of a plate lie there until it is done.
            found.passing += self._pixels(dataset) / plates * 4
        if self._works_on("compare_engines", dataset):
            # CellProfiler segments so many fields of each plate.
            found.add("cellprofiler", megapixels * min(1.0, plan.preprocess.check * plates / one.fields))
        if self._works_on("measurements", dataset):
            count = len(self._measured(dataset, plan.measured_groups()))
            nuclei = one.fields * one.cells
            found.add("measurements", nuclei * channels, nuclei * count * 8)

    def _works_on(self, rule: str, dataset: str) -> bool:
        """Whether jobs of a rule work on a dataset."""
        return any(job["dataset"] == dataset for job in self._of(rule))

    def _measured(self, dataset: str, groups: list[str]) -> dict:
        from phenorep import measurements

        return measurements.columns(self._channels(dataset), groups)

    def _cut(self, dataset: str, samples: str) -> None:
        block, one = self.plan.blocks["samples"][samples], self.extents[dataset]
        plates, count = len(self.plan.plates(dataset)), self.count(dataset, samples)
        table = plates * 10e3 + 80 * count
        if "of" in block:
            self.found.add("view", size=table)
            return
        height, width = self.shape(dataset, samples)
        array = count * len(self._channels(dataset)) * height * width * one.pixel_bytes + 128 * plates
        self.found.add("samples", self._pixels(dataset) / 1e6, array + table)

    def shape(self, dataset: str, samples: str) -> tuple[int, int]:
        """Height and width of a sample."""
        module, config, about = self._strategy(dataset, samples)
        return self.shape(dataset, self._parent(samples)) if module is None else module.output_size(config, about)

    def count(self, dataset: str, samples: str) -> float:
        """Samples of all plates that are expected. What `where` leaves out is not known: none of them."""
        module, config, about = self._strategy(dataset, samples)
        parent, one = self._parent(samples), self.extents[dataset]
        if module is None:
            return self.count(dataset, parent)
        height, width = one.size if parent is None else self.shape(dataset, parent)
        images = pd.DataFrame({"Height": [height], "Width": [width]})
        side = 100  # a grid of so many nuclei along each side: their share whose window lies inside
        y, x = np.divmod(np.arange(side**2), side)
        nuclei = pd.DataFrame({"Image": 0, "Nucleus": np.arange(side**2) + 1, "Touches_Border": False})
        nuclei["Location_Center_Y"], nuclei["Location_Center_X"] = (y + 0.5) / side * height, (x + 0.5) / side * width
        windows = len(module.windows(config, images, nuclei, about))
        each = windows / side**2 * one.cells if "nuclei" in module.NEEDS else windows
        return each * (one.fields if parent is None else self.count(dataset, parent))

    def _parent(self, samples: str) -> str | None:
        return self.plan.blocks["samples"][samples].get("of")

    def _strategy(self, dataset: str, samples: str) -> tuple:
        block = self.plan.blocks["samples"][samples]
        module, config = self.plan.dataset(dataset)
        about = {"dataset": dataset, **module.about(config)}
        if block["use"] is None:
            return None, None, about
        strategy = plugins.load("samples", block["use"])
        return strategy, plugins.configure(strategy.Config, block["keys"], f"samples: {samples}"), about

    def _work(self, method: str, dataset: str, samples: str):
        """What the encoder of a method takes; blocks that differ in nothing that decides it are counted once."""
        from phenorep import flops

        block = self.plan.blocks["methods"][method]
        shape = self.shape(dataset, samples)
        channels = list(block["keys"].get("channels") or self._channels(dataset))
        left_out = ("channels", "epochs", "save_epochs", "weak_label", "warmup_epochs", "batch_size")
        keys = {key: value for key, value in block["keys"].items() if key not in left_out}
        same = repr((block["use"], sorted(keys.items(), key=str), len(channels), shape))
        if same not in self.work:
            self.work[same] = flops.of_method({"use": block["use"], "keys": keys | {"channels": channels}}, shape)
        return self.work[same]

    def _pretrain(self, one: Encoded) -> None:
        plan, block = self.plan, self.plan.blocks["methods"][one.method]
        sources = plan.training_sources(one)
        work = self._work(one.method, *sources[0]["samples"].split("/"))
        saved = len(plan.epochs(one.method))  # the last one is `final`
        self.found.add("pretrain", size=saved * 4 * work.parameters)
        if not work.step:
            return
        images = 0.0
        for source in sources:
            part = source.get("hold_out")
            share = 1 - 1 / int(part["of"]) if part else 1.0
            images += share * self.count(*source["samples"].split("/"))
        epochs = int((plugins.config_keys("methods", block["use"]) | block["keys"])["epochs"])
        self._compute("pretrain", images * (epochs * work.step + work.start))
        self.found.passing = max(self.found.passing, 4.0 * work.states)

    def _compute(self, stage: str, flop: float) -> None:
        self.found.flop[stage] = self.found.flop.get(stage, 0.0) + flop

    def _embed(self, job: Job) -> None:
        rows = self.count(*_where(job))
        self.found.add(job.rule, size=rows * (60 + 4.5 * self.features(job["method"], *_where(job))))
        if job.rule == "embed":
            work = self._work(self.plan.origin((*_where(job), job["method"]))[2], *_where(job))
            self._compute("embed", rows * work.forward)

    def features(self, method: str, dataset: str, samples: str) -> int:
        """Number of features of a method."""
        members = self.plan.members(method)
        if members:
            counts = [self.features(member, dataset, samples) for member in members]
            return max(counts) if self.plan.has_alternatives(method) else sum(counts)
        if method in self.plan.measured():
            return len(self._measured(dataset, self.plan.measured_groups()))
        return self._work(self.plan.origin((dataset, samples, method))[2], dataset, samples).features

    def _evaluate(self, job: Job) -> None:
        units = 0.0
        if "chain" in self.plan.needs(job["evaluation"]) and job["dataset"] in self.extents:
            # Profiles are made anew, fold by fold, and from the controls alone for each draw of the null.
            units = self.count(*_where(job)) * self.features(job["method"], *_where(job)) / 1e6
        self.found.add("evaluate", units=units, size=20e3)

    def _normalise(self, job: Job) -> None:
        if job["dataset"] not in self.extents:
            return
        features = self.features(job["method"], *_where(job))
        rows = self.count(*_where(job))
        # Few rows, but a matrix of all features where a step whitens.
        self.found.add("normalise", units=rows * features / 1e6, size=5.0 * features**2 + 50e3)

    def _explain(self) -> None:
        for name, one in self.extents.items():
            found = f"{name}: {one.fields:,} fields of {one.size[0]} x {one.size[1]}, {one.cells:.0f} nuclei each"
            self.found.basis.append("; ".join([found, *(f"{key}: {reason}" for key, reason in one.basis.items())]))


def _where(job: Job) -> tuple[str, str]:
    return job["dataset"], job["samples"]
