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

from phenorep import contracts, inventory, plugins, references
from phenorep.errors import UserError
from phenorep.extents import Extent
from phenorep.grid import Encoded
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

    def add(self, rule: str, jobs: int = 1, units: float = 0.0, size: float = 0.0) -> None:
        """Jobs of a rule with the units of work (see `RATES`) and the bytes that they leave, all together."""
        start, rate = RATES[rule]
        stage = STAGES[rule]
        self.jobs[rule] = self.jobs.get(rule, 0) + jobs
        self.seconds[stage] = self.seconds.get(stage, 0.0) + jobs * start + units * rate
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
        self.files = inventory.files(plan)
        self.encoders = self._encoders()
        self.sets = self._sample_sets()
        self.extents = {name: extent(plan, name, cells.get(name)) for name in sorted({name for name, _ in self.sets})}
        # Asked for once per table of embeddings, of which saved epochs make hundreds.
        self.work: dict[str, object] = {}
        self.count = cache(self.count)
        self.features = cache(self.features)

    def estimate(self) -> Estimate:
        for dataset in self.extents:
            self._prepare(dataset)
        for dataset, samples in sorted(self.sets):
            self._cut(dataset, samples)
        for one in sorted(self.encoders):
            self._pretrain(one)
        self._embed()
        for entry in self.files["profiles"]:
            self._normalise(entry)
        for entry in self.files["scores"]:
            self._evaluate(entry)
        for _ in self.files["abnormality"]:
            self.found.add("abnormality")
        for rule in ("check", "scores", "answers", "costs"):
            self.found.add(rule)
        self.found.add("page", units=1, size=5e6)
        self.found.seconds["report"] += REPORT_SECONDS * len(self.files["scores"])
        self._explain()
        return self.found

    # -- what there is ---------------------------------------------------------------------------------------------------

    def _encoders(self) -> set[Encoded]:
        """Everything that the rule `pretrain` makes."""
        plan, found = self.plan, set()
        waiting = [Encoded(*(e[k] for k in ("dataset", "samples", "method", "seed"))) for e in self._applied()]
        while waiting:
            one = waiting.pop()
            node = plan.origin((one.dataset, one.samples, one.method))
            made = Encoded(*node, plan.seed(node[2], one.seed))
            if made not in found and node[2] in plan.trained():
                found.add(made)
                if init := plan.blocks["methods"][node[2]].get("init"):
                    waiting.append(Encoded(*references.parse(plan.blocks, init, "init"), one.seed))
        return found

    def _applied(self) -> list[dict]:
        return [*self.files["embeddings"], *self.files["scores"], *self.files["training"]]

    def _sample_sets(self) -> set[tuple[str, str]]:
        wanted = {(entry["dataset"], entry["samples"]) for entry in [*self.files["samples"], *self.files["embeddings"]]}
        for one in self.encoders:
            wanted |= {tuple(source["samples"].split("/")) for source in self.plan.training_sources(one)}
        found = set()
        for dataset, samples in wanted:
            if dataset in self.plan.without_images():
                continue
            found.add((dataset, samples))
            while "of" in self.plan.blocks["samples"][samples]:
                samples = self.plan.blocks["samples"][samples]["of"]
                found.add((dataset, samples))
        return found

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
        module, config = plan.dataset(dataset)
        plates, archives = len(plan.plates(dataset)), len(module.archives(config))
        megapixels = self._pixels(dataset) / 1e6
        drawn = not one.download
        found.download += one.download
        if archives:
            found.add("download", archives, megapixels if drawn else one.unpacked / 1e7, one.unpacked)
            at_once = min(4, one.archives)
            found.passing += at_once * one.download / one.archives if one.archives else 0.0
        found.add("fields", plates, one.fields, 12e3 * plates + 120 * one.fields)
        area, channels = one.size[0] * one.size[1], len(self._channels(dataset))
        found.add("illumination", plates, megapixels, plates * channels * area * 4)
        found.add("nuclei", plates, megapixels, one.fields * (one.cells * 45 + 0.04 * area))
        if plan.preprocess.engine == "cellprofiler":
            for stage in ("illumination", "nuclei"):
                found.add(f"stage_{stage}", plates)
            found.add("cellprofiler", 2 * plates, megapixels)
            # The staged images of a plate lie there until it is done.
            found.passing += self._pixels(dataset) / plates * 4
        if plan.preprocess.check:
            found.add("compare_engines", plates)
        if any(entry["dataset"] == dataset for entry in self.files["measurements"]):
            groups = plan.measured_groups()
            count = len(self._measured(dataset, groups))
            nuclei = one.fields * one.cells
            found.add("measurements", plates, nuclei * channels, nuclei * count * 8)

    def _measured(self, dataset: str, groups: list[str]) -> dict:
        from phenorep import measurements

        return measurements.columns(self._channels(dataset), groups)

    def _cut(self, dataset: str, samples: str) -> None:
        block, one = self.plan.blocks["samples"][samples], self.extents[dataset]
        plates, count = len(self.plan.plates(dataset)), self.count(dataset, samples)
        table = plates * 10e3 + 80 * count
        if "of" in block:
            self.found.add("view", plates, size=table)
            return
        height, width = self.shape(dataset, samples)
        array = count * len(self._channels(dataset)) * height * width * one.pixel_bytes + 128 * plates
        self.found.add("samples", plates, self._pixels(dataset) / 1e6, array + table)

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
        self.found.add("recipe")
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

    def _embed(self) -> None:
        plan = self.plan
        combined, measured = plan.combined(), plan.measured()
        for entry in self.files["embeddings"]:
            if entry["dataset"] in plan.without_images():
                self.found.add("import_features")
                continue
            rows = self.count(entry["dataset"], entry["samples"])
            size = rows * (60 + 4.5 * self.features(entry["method"], entry["dataset"], entry["samples"]))
            rule = (
                "concat" if entry["method"] in combined else "embed_measurements" if entry["method"] in measured else "embed"
            )
            self.found.add(rule, size=size)
            if rule == "embed":
                work = self._work(plan.origin((entry["dataset"], entry["samples"], entry["method"]))[2], *_where(entry))
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

    def _evaluate(self, entry: dict) -> None:
        units = 0.0
        if "chain" in self.plan.needs(entry["evaluation"]) and entry["dataset"] not in self.plan.without_images():
            # Profiles are made anew, fold by fold, and from the controls alone for each draw of the null.
            units = self.count(*_where(entry)) * self.features(entry["method"], *_where(entry)) / 1e6
        self.found.add("evaluate", units=units, size=20e3)

    def _normalise(self, entry: dict) -> None:
        if entry["dataset"] in self.plan.without_images():
            self.found.add("normalise")
            return
        features = self.features(entry["method"], *_where(entry))
        rows = self.count(*_where(entry))
        # Few rows, but a matrix of all features where a step whitens.
        self.found.add("normalise", units=rows * features / 1e6, size=5.0 * features**2 + 50e3)

    def _explain(self) -> None:
        for name, one in self.extents.items():
            found = f"{name}: {one.fields:,} fields of {one.size[0]} x {one.size[1]}, {one.cells:.0f} nuclei each"
            self.found.basis.append("; ".join([found, *(f"{key}: {reason}" for key, reason in one.basis.items())]))


def _where(entry: dict) -> tuple[str, str]:
    return entry["dataset"], entry["samples"]
