"""The jobs of a run, rule by rule: what the table of costs is of, and what the estimate counts.

Each rule says which jobs make its inputs, as the rule files do; a run is all that its scores and its report need. The tests
hold the numbers against ``snakemake --dry-run`` and the names against the rule files.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from phenorep import inventory, labelling, references
from phenorep.grid import Encoded
from phenorep.planning import Plan

# Rules that collect what all others left.
COLLECTING = ("scores", "answers", "costs", "page")


@dataclass(frozen=True)
class Job:
    """A rule and its wildcards, in the rule's order."""

    rule: str
    wildcards: tuple[tuple[str, str | int], ...] = ()

    def __getitem__(self, wildcard: str) -> str | int:
        return dict(self.wildcards)[wildcard]

    @property
    def encoded(self) -> Encoded:
        """The encoder, or the table of embeddings, that the wildcards name."""
        named = dict(self.wildcards)
        return Encoded(*(named[key] for key in ("dataset", "samples", "method", "seed")), named.get("epoch", "final"))


@lru_cache
def of(plan: Plan) -> tuple[Job, ...]:
    """All jobs of a run in an empty folder, sorted by rule and wildcards."""
    jobs = _Jobs(plan)
    planned = dict.fromkeys([*jobs.reported(), *(Job(rule, (("name", plan.name),)) for rule in COLLECTING)])
    waiting = list(planned)
    while waiting:
        for job in jobs.before(waiting.pop()):
            if job not in planned:
                planned[job] = None
                waiting.append(job)
    return tuple(sorted(planned, key=lambda job: (job.rule, tuple(map(str, job.wildcards)))))


def costs(plan: Plan, benchmarks: dict[str, str]) -> list[dict]:
    """Benchmark files of a run's jobs.

    Parameters
    ----------
    plan
        The run.
    benchmarks
        For each rule the path of its benchmark, with its wildcards in braces.

    Returns
    -------
    list
        For each job its ``rule``, its wildcards and the ``path`` of its benchmark. Jobs of `COLLECTING` are left out: the
        page and the table itself are not made yet when the costs are read, scores and answers perhaps not.
    """
    measured = [job for job in of(plan) if job.rule not in COLLECTING]
    named = [(job.rule, dict(job.wildcards)) for job in measured]
    return [{**named_by, "rule": rule, "path": benchmarks[rule].format(**named_by)} for rule, named_by in named]


class _Jobs:
    """From a job to those that make its inputs."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self.combined, self.measured = set(plan.combined()), set(plan.measured())
        self.without_images, self.views = set(plan.without_images()), set(plan.views())
        self.cellprofiler = plan.preprocess.engine == "cellprofiler"
        self.listed: set[tuple[str, str]] = set()  # sample sets: hundreds of embeddings may read the same plates

    def reported(self) -> Iterator[Job]:
        """Jobs whose results the tables and the page read."""
        files = inventory.files(self.plan)
        for entry in files["scores"]:
            yield Job("evaluate", tuple((key, value) for key, value in entry.items() if key != "path"))
        for entry in files["fields"]:
            yield from self._of_plate(entry["dataset"], entry["plate"], self.nuclei)
        for entry in files["engines"]:
            yield self._plate_job("compare_engines", entry["dataset"], entry["plate"])
        for entry in files["samples"]:
            yield self.cut(entry["dataset"], entry["samples"], entry["plate"])
        for entry in files["abnormality"]:
            yield self.abnormality(Encoded(*(entry[key] for key in ("dataset", "samples", "method", "seed"))))

    def before(self, job: Job) -> Iterator[Job]:
        """Jobs that make the inputs of this one."""
        if reads := getattr(self, f"_before_{job.rule}", None):
            yield from reads(job)

    # -- which rule makes a file -------------------------------------------------------------------------------------------

    @staticmethod
    def _plate_job(rule: str, dataset: str, plate: str) -> Job:
        return Job(rule, (("dataset", dataset), ("plate", plate)))

    @staticmethod
    def _of_plate(dataset: str, plate: str, *makers: Callable[[str, str], Job]) -> Iterator[Job]:
        for maker in makers:
            yield maker(dataset, plate)

    def fields(self, dataset: str, plate: str) -> Job:
        return self._plate_job("fields", dataset, plate)

    def illumination(self, dataset: str, plate: str) -> Job:
        return self._plate_job("collect_illumination" if self.cellprofiler else "illumination", dataset, plate)

    def nuclei(self, dataset: str, plate: str) -> Job:
        return self._plate_job("collect_nuclei" if self.cellprofiler else "nuclei", dataset, plate)

    def cut(self, dataset: str, samples: str, plate: str) -> Job:
        rule = "view" if samples in self.views else "samples"
        return Job(rule, (("dataset", dataset), ("samples", samples), ("plate", plate)))

    def sample_set(self, dataset: str, samples: str) -> Iterator[Job]:
        """The jobs of all plates of a sample set, the first time that they are asked for."""
        if (dataset, samples) not in self.listed:
            self.listed.add((dataset, samples))
            for plate in self.plan.plates(dataset):
                yield self.cut(dataset, samples, plate)

    def embeddings(self, encoded: Encoded) -> Job:
        rule = "embed"
        if encoded.dataset in self.without_images:
            rule = "import_features"
        elif encoded.method in self.combined:
            rule = "concat"
        elif encoded.method in self.measured:
            rule = "embed_measurements"
        return Job(rule, tuple(vars(encoded).items()))

    def abnormality(self, encoded: Encoded) -> Job:
        return Job("abnormality", tuple((key, value) for key, value in vars(encoded).items() if key != "epoch"))

    def encoder(self, node: tuple[str, str, str], seed: int) -> Iterator[Job]:
        """The training of the encoder that a method applies; none for a method without one."""
        dataset, samples, method = self.plan.origin(node)
        if self.plan.without_encoder(method) is None:
            named = (("dataset", dataset), ("samples", samples), ("method", method))
            yield Job("pretrain", (*named, ("seed", self.plan.seed(method, seed))))

    def _trained(self, encoded: Encoded, train: str | None = None) -> list[Encoded]:
        other = labelling.trained(self.plan, encoded, train)
        return [] if other is None else [other]

    # -- what each rule reads ----------------------------------------------------------------------------------------------

    def _before_download(self, job: Job) -> Iterator[Job]:
        yield Job("check")

    def _before_fields(self, job: Job) -> Iterator[Job]:
        module, config = self.plan.dataset(job["dataset"])
        yield Job("check")
        for archive in module.archives(config, job["plate"]):
            yield Job("download", (("dataset", job["dataset"]), ("archive", archive)))

    def _before_illumination(self, job: Job) -> Iterator[Job]:
        yield self.fields(job["dataset"], job["plate"])

    _before_stage_illumination = _before_illumination

    def _before_nuclei(self, job: Job) -> Iterator[Job]:
        yield from self._of_plate(job["dataset"], job["plate"], self.fields, self.illumination)

    _before_stage_nuclei = _before_stage_check = _before_nuclei

    def _before_cellprofiler(self, job: Job) -> Iterator[Job]:
        yield self._plate_job(f"stage_{job['stage']}", job["dataset"], job["plate"])

    def _by_cellprofiler(self, job: Job, stage: str) -> Job:
        return Job("cellprofiler", (("dataset", job["dataset"]), ("stage", stage), ("plate", job["plate"])))

    def _before_collect_illumination(self, job: Job) -> Iterator[Job]:
        yield self._by_cellprofiler(job, "illumination")

    def _before_collect_nuclei(self, job: Job) -> Iterator[Job]:
        yield from self._before_nuclei(job)
        yield self._by_cellprofiler(job, "nuclei")

    def _before_compare_engines(self, job: Job) -> Iterator[Job]:
        yield from self._before_nuclei(job)
        yield self._by_cellprofiler(job, "check")

    def _before_samples(self, job: Job) -> Iterator[Job]:
        yield self.nuclei(job["dataset"], job["plate"])

    _before_measurements = _before_samples

    def _before_view(self, job: Job) -> Iterator[Job]:
        block = self.plan.blocks["samples"][job["samples"]]
        yield self.cut(job["dataset"], block["of"], job["plate"])
        if labelling.is_cleaned(block):
            yield self.abnormality(labelling.encoded(self.plan, job["dataset"], block["of"]))

    def _before_pretrain(self, job: Job) -> Iterator[Job]:
        yield Job("recipe", job.wildcards)
        for source in self.plan.training_sources(job.encoded):
            yield from self.sample_set(*source["samples"].split("/"))
        if init := self.plan.blocks["methods"][job["method"]].get("init"):
            yield from self.encoder(references.parse(self.plan.blocks, init, "init"), job["seed"])

    def _before_embed(self, job: Job) -> Iterator[Job]:
        yield from self.sample_set(job["dataset"], job["samples"])
        yield from self.encoder((job["dataset"], job["samples"], job["method"]), job["seed"])

    def _before_embed_measurements(self, job: Job) -> Iterator[Job]:
        yield from self.sample_set(job["dataset"], job["samples"])
        if self.plan.measurements(job["dataset"], job["samples"]):
            for plate in self.plan.plates(job["dataset"]):
                yield self._plate_job("measurements", job["dataset"], plate)

    def _before_import_features(self, job: Job) -> Iterator[Job]:
        yield Job("check")

    def _before_concat(self, job: Job) -> Iterator[Job]:
        yield from map(self.embeddings, self.plan.parts(job.encoded))

    def _before_normalise(self, job: Job) -> Iterator[Job]:
        yield self.embeddings(job.encoded)

    def _before_abnormality(self, job: Job) -> Iterator[Job]:
        for encoded in [job.encoded, *self._trained(job.encoded)]:
            yield self.embeddings(encoded)

    def _before_evaluate(self, job: Job) -> Iterator[Job]:
        needs, scored = self.plan.needs(job["evaluation"]), job.encoded
        if "profiles" in needs:
            yield Job("normalise", job.wildcards[:-1])
        if needs & {"embeddings", "chain", "benchmark"}:
            yield self.embeddings(scored)
        if "encoder" in needs:
            yield from self.encoder((scored.dataset, scored.samples, scored.method), scored.seed)
        if "samples" in needs:
            yield from self.sample_set(scored.dataset, scored.samples)
        train = self.plan.blocks["evaluations"][job["evaluation"]].get("train")
        for other in self._trained(scored, train) if train else []:
            if "embeddings" in needs:
                yield self.embeddings(other)
            if "samples" in needs:
                yield from self.sample_set(other.dataset, other.samples)
