"""The plan of a run: which files a configuration asks for, and what each of them is made from.

It is made whenever Snakemake starts, also for a dry run, so it imports neither torch nor scikit-learn and touches no image.
"""

from functools import cached_property
from pathlib import Path

from phenorep import (
    configuration,
    datasets,
    digests,
    grid,
    labelling,
    notes,
    plugins,
    preprocessing,
    references,
    saved_epochs,
)
from phenorep.errors import UserError
from phenorep.grid import Encoded


class Plan:
    """All files of a run.

    Parameters
    ----------
    config
        The configuration as Snakemake read it.

    Raises
    ------
    UserError
        If the configuration's frame is wrong, or blocks refer to each other in a circle.
    """

    def __init__(self, config: dict):
        self.blocks = configuration.resolve(config)
        self.preprocess = preprocessing.settings(self.blocks["preprocess"])
        pipeline = self.preprocess.pipeline
        for key, path in (("pipeline", pipeline), ("cellprofiler", self.preprocess.cellprofiler)):
            configuration.check_path(str(path or ""), f"preprocess: {key}")
        if pipeline is not None and not Path(pipeline).is_file():
            raise UserError(f"preprocess: pipeline: there is no file {pipeline}; it starts at the working directory.")
        references.check(self.blocks, self.members, self.without_encoder, self.has_alternatives)
        labelling.check(self)
        # Whatever is wrong with plates, levels and epochs is said here, not in the middle of Snakemake's own planning.
        for study in self.blocks["studies"].values():
            self.plates(study["dataset"])
            self.sources(study["dataset"])
            self.about(study["dataset"])
        grid.check(self)

    # -- names -------------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.blocks["name"]

    def views(self) -> list[str]:
        """Sample sets that are views of others."""
        return [name for name, block in self.blocks["samples"].items() if "of" in block]

    def stored(self) -> list[str]:
        """Sample sets that have arrays of their own."""
        return [n for n, b in self.blocks["samples"].items() if "of" not in b and not configuration.is_imported(b)]

    def combined(self) -> list[str]:
        """Methods that put the embeddings of others side by side."""
        return [name for name in self.blocks["methods"] if self.members(name)]

    def trained(self) -> list[str]:
        """Methods that leave an encoder of their own."""
        return [name for name in self.with_encoder() if "from" not in self.blocks["methods"][name]]

    def learning(self) -> list[str]:
        """Methods whose encoders are trained for a number of epochs."""
        keys = {name: plugins.config_keys("methods", self.blocks["methods"][name]["use"]) for name in self.trained()}
        return [name for name in self.trained() if "epochs" in keys[name]]

    def with_encoder(self) -> list[str]:
        """Methods that apply one encoder, their own or another's."""
        return [name for name in self.blocks["methods"] if self.without_encoder(name) is None]

    def measured(self) -> list[str]:
        """Methods whose features are measurements of nuclei."""
        return [name for name in self.blocks["methods"] if "measurements" in self._method_needs(name)]

    def without_encoder(self, method: str) -> str | None:
        """What a method does in place of applying an encoder of its own; None if it has one."""
        if self.members(method):
            return "puts the embeddings of several side by side"
        if configuration.is_imported(self.blocks["methods"][method]):
            return "takes features that were computed elsewhere"
        return "takes measurements as features" if "measurements" in self._method_needs(method) else None

    def has_alternatives(self, method: str) -> bool:
        """Whether its members are alternatives to each other: each row is evaluated in the features of one of them."""
        return bool(self._constants(method).get("ALTERNATIVES"))

    def _method_needs(self, method: str) -> tuple[str, ...]:
        return self._constants(method).get("NEEDS", ())

    def _constants(self, method: str) -> dict[str, object]:
        """What the plug-in of a method declares; nothing for a method that has none of its own."""
        use = self.blocks["methods"][method]["use"]
        return plugins.constants("methods", use) if use else {}

    def measured_groups(self) -> list[str]:
        """Groups of measurements that any method of the configuration takes, in alphabetical order."""
        found = set()
        for name in self.measured():
            block = self.blocks["methods"][name]
            groups = block["keys"].get("groups", plugins.config_keys("methods", block["use"])["groups"])
            if not isinstance(groups, list | tuple):
                raise UserError(f"methods: {name}: groups: {groups!r} is no list of groups, like [shape, intensity].")
            found |= set(map(str, groups))
        return sorted(found)

    def maker(self, method: str) -> str:
        """The method that made the encoder that `method` applies."""
        block = self.blocks["methods"][method]
        return (
            self.maker(references.parse(self.blocks, block["from"], f"methods: {method}: from")[2])
            if "from" in block
            else method
        )

    def origin(self, node: tuple[str, str, str]) -> tuple[str, str, str]:
        """Dataset, samples and method of the encoder behind a method that borrows one."""
        block = self.blocks["methods"][node[2]]
        return self.origin(references.parse(self.blocks, block["from"], "from")) if "from" in block else node

    def members(self, method: str) -> list[str]:
        """Methods whose embeddings this one puts side by side; none for an ordinary method."""
        key = self._constants(method).get("COMBINES")
        named = self.blocks["methods"][method]["keys"].get(key) or [] if key else []
        if not isinstance(named, list):
            raise UserError(f"methods: {method}: {key}: {named!r} is no list of methods, like [first, second].")
        return named

    def settings(self, kind: str, name: str) -> dict:
        """A block as a job gets it: what to use and with which keys."""
        return self.blocks[kind][name]

    # -- datasets ----------------------------------------------------------------------------------------------------

    def without_images(self) -> list[str]:
        """Datasets that hold features computed elsewhere."""
        return [name for name, block in self.blocks["datasets"].items() if configuration.holds_features(block)]

    @cached_property
    def _datasets(self) -> dict:
        return {}

    def dataset(self, name: str):
        """A dataset's module and its built `Config`."""
        if name not in self._datasets:
            block = self.blocks["datasets"][name]
            module = plugins.load("datasets", block["use"])
            self._datasets[name] = module, plugins.configure(module.Config, block["keys"], f"datasets: {name}")
        return self._datasets[name]

    def plates(self, dataset: str) -> list[str]:
        """Names of a dataset's plates."""
        module, config = self.dataset(dataset)
        key = f"plates of {dataset}"
        if key not in self._datasets:
            with datasets.named(dataset), notes.unsaid():
                self._datasets[key] = module.plates(config)
        return self._datasets[key]

    def about(self, dataset: str) -> dict:
        """What a dataset states of itself."""
        module, config = self.dataset(dataset)
        key = f"about {dataset}"
        if key not in self._datasets:
            with datasets.named(dataset), notes.unsaid():
                self._datasets[key] = module.about(config)
        return self._datasets[key]

    def archives(self, dataset: str, plate: str) -> list[str]:
        """Downloads that a plate's fields need."""
        module, config = self.dataset(dataset)
        return [f"resources/{dataset}/{archive}" for archive in module.archives(config, plate)]

    def sources(self, name: str) -> list[str]:
        """Tables of the user that a dataset reads where they lie."""
        module, config = self.dataset(name)
        key = f"sources of {name}"  # asked for once per plate; a dataset may have to search a large folder for them
        if key not in self._datasets:
            self._datasets[key] = [str(path) for path in module.sources(config)]
        paths = self._datasets[key]
        for path in paths:
            configuration.check_path(path, f"datasets: {name}")
            if not Path(path).is_file():
                raise UserError(
                    f"datasets: {name}: there is no file {path}. Mend the path; a relative one starts at the working folder."
                )
        return paths

    # -- methods -----------------------------------------------------------------------------------------------------

    def seed(self, method: str, seed: int) -> int:
        """The seed that is run: 0 for methods whose result does not depend on it."""
        return seed if self._is_seeded(method) else 0

    def _is_seeded(self, method: str) -> bool:
        block = self.blocks["methods"][method]
        if "from" in block:
            return self._is_seeded(references.parse(self.blocks, block["from"], f"methods: {method}: from")[2])
        if configuration.is_imported(block):
            return False
        if self.members(method):
            return any(self._is_seeded(member) for member in self.members(method))
        return self._constants(method).get("SEEDED", True)

    def training_sources(self, encoded: Encoded) -> list[dict]:
        """What an encoder learns from: a list of {"samples": dataset/samples, "where", "labels"}."""
        block = self.blocks["methods"][encoded.method]
        own = f"{encoded.dataset}/{encoded.samples}"
        return [{"where": None, "labels": None, **s} for s in block.get("train") or [{"samples": own}]]

    def training_settings(self, encoded: Encoded) -> list:
        """All settings that decide what an encoder learns from: its sample sets, how they were made, and where it starts."""
        found = []
        for source in self.training_sources(encoded):
            dataset, samples = source["samples"].split("/")
            # A folder that moved holds the same images.
            found.append({key: value for key, value in self.blocks["datasets"][dataset]["keys"].items() if key != "path"})
            while samples:
                found += [self.blocks["samples"][samples], *labelling.decisive(self, dataset, samples)]
                samples = self.blocks["samples"][samples].get("of")
        block = self.blocks["methods"][encoded.method]
        if "init" in block:
            start = Encoded(*self.origin(references.parse(self.blocks, block["init"], "init")), encoded.seed)
            found += [self.blocks["methods"][start.method], self.recipe_digest(start.method), self.training_settings(start)]
        return [*found, preprocessing.decisive(self.preprocess)]

    def epochs(self, method: str) -> list[str]:
        """Saved epochs of a method and `final`; of a combined one those that all its members have which train."""
        return [*map(str, sorted(self._saved_epochs(method) or set())), "final"]

    def _saved_epochs(self, method: str) -> set[int] | None:
        """None for a method that does not train here, which is the same at each epoch of another one."""
        if members := self.members(method):
            saved = [epochs for epochs in map(self._saved_epochs, members) if epochs is not None]
            return set.intersection(*saved) if saved else None
        block = self.blocks["methods"][method]
        if block["use"] is None:
            return None
        keys = plugins.config_keys("methods", block["use"]) | block["keys"]
        if "epochs" not in keys:
            return None
        try:
            return set(saved_epochs.numbers(keys.get("save_epochs"), keys["epochs"]))
        except ValueError as error:
            raise UserError(f"methods: {method}: {error}.") from error

    def encoder(self, dataset: str, samples: str, method: str, seed: int, epoch: str = "final") -> str | None:
        """The file (of a saved epoch: its directory) of the encoder that a method applies; None if it has none."""
        block = self.blocks["methods"][method]
        if "from" in block:
            return self.encoder(*references.parse(self.blocks, block["from"], f"methods: {method}: from"), seed)
        if self.without_encoder(method):
            return None
        encoded = Encoded(dataset, samples, method, self.seed(method, seed))
        return encoded.path("encoders", "encoder.safetensors" if epoch == "final" else "epochs")

    def init(self, method: str, seed: int) -> str | None:
        """The encoder from which a method starts."""
        block = self.blocks["methods"][method]
        if "init" not in block:
            return None
        return self.encoder(*references.parse(self.blocks, block["init"], f"methods: {method}: init"), seed)

    # -- samples -----------------------------------------------------------------------------------------------------

    def sample_files(self, dataset: str, samples: str) -> dict[str, list[str]]:
        """Files of a sample set, plate by plate: tables, their statistics, and the arrays (of a view: its root's)."""
        own = [f"results/{dataset}/samples/{samples}/{plate}" for plate in self.plates(dataset)]
        arrays = [self.array(dataset, samples, plate) for plate in self.plates(dataset)]
        return {"tables": [f"{p}.parquet" for p in own], "statistics": [f"{p}.json" for p in own], "arrays": arrays}

    def array(self, dataset: str, samples: str, plate: str) -> str:
        """The array of one plate of a sample set; of a view its root's."""
        return f"results/{dataset}/samples/{self._root(samples)}/{plate}.npy"

    def measurements(self, dataset: str, samples: str) -> list[str]:
        """Measurements of the nuclei that a sample set shows, plate by plate; none if it is not cut around nuclei."""
        root = self._root(samples)
        if "nuclei" not in plugins.constants("samples", self.blocks["samples"][root]["use"])["NEEDS"]:
            return []
        return [f"results/{dataset}/measurements/{plate}.parquet" for plate in self.plates(dataset)]

    def _root(self, samples: str) -> str:
        """The sample set with an array of its own at which a view looks, through others or directly."""
        while "of" in self.blocks["samples"][samples]:
            samples = self.blocks["samples"][samples]["of"]
        return samples

    # -- the grid ----------------------------------------------------------------------------------------------------

    def encoded(self, study: dict) -> list[Encoded]:
        """Every table of embeddings that a study asks for."""
        return grid.encoded(self, study)

    def parts(self, whole: Encoded) -> list[Encoded]:
        """Tables of embeddings that a combined method puts side by side, in their order; none for another method."""
        return grid.parts(self, whole)

    def unlike(self, method: str, train: str) -> str | None:
        """Why a method has no features of the same encoder on another sample set; None if it has."""
        return labelling.unlike(self, method, train)

    def needs(self, evaluation: str) -> set[str]:
        """Sorts of files that an evaluation reads."""
        return set(plugins.constants("evaluations", self.blocks["evaluations"][evaluation]["use"])["NEEDS"])

    @cached_property
    def scores(self) -> list[dict]:
        """Every score file of the run: its wildcards."""
        return grid.scores(self)

    @cached_property
    def not_applicable(self) -> list[dict]:
        """What of the studies does not fit together, with the reason."""
        return grid.not_applicable(self)

    @property
    def skipped(self) -> list[dict]:
        """Methods that a study leaves out, with the reason that the configuration gives."""
        studies = self.blocks["studies"].items()
        return [{"study": n, "method": m, "reason": r} for n, study in studies for m, r in study["skip"].items()]

    # -- code --------------------------------------------------------------------------------------------------------

    def plugin_files(self, kind: str, names: list[str]) -> list[Path]:
        """Files of the plug-ins that blocks name, and of the folders of files that these find by name themselves."""
        uses = sorted({self.blocks[kind][name]["use"] for name in names} - {None})
        folders = {plugins.constants(kind, use).get("FINDS") for use in uses} - {None}
        found = [path for folder in sorted(folders) for path in sorted((plugins.ROOT / folder).glob("[!_]*.py"))]
        return [*(plugins.path_of(kind, use) for use in uses), *found]

    def step_files(self, profile: str) -> list[Path]:
        """Files of a profile's steps."""
        return [plugins.path_of("steps", step) for step in sorted({s["step"] for s in self.blocks["profiles"][profile]})]

    def figure_files(self) -> list[Path]:
        """Files of the figures that the evaluations of the configuration declare."""
        uses = {block["use"] for block in self.blocks["evaluations"].values()}
        names = {name for use in uses for name in plugins.constants("evaluations", use).get("FIGURES", ())}
        return [plugins.ROOT / "report" / f"{name}.py" for name in sorted(names)]

    def recipe_digest(self, method: str) -> str:
        """Digest of what decides the weights of an encoder: its recipe and the training loop."""
        return digests.of_weights(self.plugin_files("methods", [method]))
