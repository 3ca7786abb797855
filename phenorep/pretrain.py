"""From samples to an encoder file: build the recipe, train it where it learns, and state what it was trained on."""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import phenorep
from phenorep import contracts, devices, encoders, gpus, plugins, preparation, records
from phenorep.batches import Source, Sources
from phenorep.checkpoints import Checkpoint
from phenorep.errors import NotRun, UserError
from phenorep.recipes import PretrainConfig, Recipe
from phenorep.training import Training


def make(
    method: dict,
    sources: list[dict],
    init: str | None,
    seed: int,
    compute: dict,
    threads: int,
    outputs: Sequence[str],
    code: str = "",
) -> None:
    """Write an encoder, its training curve and the encoders of saved epochs.

    The state of a training is kept beside the encoder until it ends, and a killed one goes on from there.

    Parameters
    ----------
    method
        ``use``: the recipe; ``keys``: its configuration.
    sources
        What it learns from: a list of ``{samples, where, labels, tables, statistics}``, also with ``hold_out``; tables and
        statistics are lists of the sample set's files, one of each for each plate.
    init
        The encoder file to start from, or None.
    compute
        The configuration block; see `devices.Compute`.
    threads
        That read samples; the result does not depend on it.
    outputs
        The encoder (safetensors), the training curve (CSV with `contracts.TRAINING_COLUMNS`) and the directory of saved
        epochs, in this order. Where the recipe cannot run for a stated reason, these are "not run" records, and each of
        the epochs that would have been saved is one.
    code
        Digest of the code that trains; a checkpoint of other code is not taken up.

    Raises
    ------
    UserError
        If samples, configuration and `init` do not fit together, or the device is not there.
    """
    job = {
        "method": {"use": method["use"], "keys": method.get("keys") or {}},
        "sources": sources,
        "init": init or None,
        "seed": seed,
        "compute": compute,
        "threads": threads,
        "outputs": [str(path) for path in outputs],
        "code": code,
    }
    settings = devices.configure(compute)
    if settings.devices == 1:
        run(**job)
        return
    devices.accelerator(settings)
    path = Path(outputs[0]).with_name("job.json")
    contracts.write_json(job, path)
    # Lightning starts one process for each device with the command line of this one: it must be a plain module.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(plugins.ROOT.parent), *sys.path])}
    command = [sys.executable, "-m", "phenorep.launch", str(path)]
    ended = subprocess.run(command, env=environment, pass_fds=gpus.held(), check=False)
    if ended.returncode:
        raise UserError(f"training on {settings.devices} devices ended with status {ended.returncode}; the log says why.")
    path.unlink()


def run(
    method: dict,
    sources: list[dict],
    init: str | None,
    seed: int,
    compute: dict,
    threads: int,
    outputs: list[str],
    code: str,
) -> None:
    """As `make`, in this process, which may be one of several that train together."""
    first = int(os.environ.get("LOCAL_RANK", 0)) == 0
    encoder, curve, epochs = outputs
    # Saved epochs are files of their own: each says why it was not made, as the directory cannot.
    weights = [encoder, *(Path(epochs) / f"{epoch}.safetensors" for epoch in configured_epochs(method))]
    kinds = {curve: "training", epochs: "folder", **dict.fromkeys(weights, "weights")}
    settings = devices.configure(compute)
    with records.kept_in(kinds if first else {}), devices.repeatable(settings.threads):
        config, recipe_class, data = prepare(method, sources, threads)
        learns = isinstance(config, PretrainConfig)
        fabric = devices.fabric(settings, config.precision) if learns else None
        recipe = build(recipe_class, config, data, seed, fabric.world_size if fabric else 1)
        if learns:
            check_signal(data)
        if init:
            start_from(recipe, init, data.channels)
        facts = describe(method["use"], recipe, data, seed, init) | {"computed_on": computed_on(settings, fabric)}
        state = Checkpoint(Path(encoder).with_name("checkpoint.pt"), fingerprint(facts, data, init, fabric, code))
        history = []
        if learns:

            def keep(network: torch.nn.Module, epoch: int) -> None:
                seen = facts["trained_on"] if epoch else seen_before(init)
                encoders.save(state.epoch_path(epoch), network, {**facts, "trained_on": seen, "epoch": epoch})

            history = Training(recipe, data, fabric, seed, state, keep, settings.checkpoint_minutes).run()
        if first:
            encoders.save(encoder, recipe.trained_encoder(), {**facts, "epoch": config.epochs if learns else 0})
            contracts.write_csv(pd.DataFrame(history, columns=list(contracts.TRAINING_COLUMNS)), curve)
            state.deliver_epochs(config.saved_epochs() if learns else [], epochs)
            state.clear()


def configured_epochs(method: dict) -> list[int]:
    """Epochs of a method that are to be saved; none if it does not learn."""
    config = plugins.configure(plugins.load("methods", method["use"]).Config, method["keys"], f"methods: {method['use']}")
    return config.saved_epochs() if isinstance(config, PretrainConfig) else []


def prepare(method: dict, sources: list[dict], threads: int = 1) -> tuple:
    """Configuration, recipe class and samples of a method.

    Raises
    ------
    NotRun
        If the samples lack a column that the recipe requires.
    UserError
        If recipe and ``train: labels`` name labels at once.
    """
    from phenorep.store import Samples

    name = method["use"]
    module = plugins.load("methods", name)
    if not hasattr(module, "Recipe"):
        raise UserError(f"methods: {name}: has no encoder of its own; its members have.")
    config = plugins.configure(module.Config, method["keys"], f"methods: {name}")
    chosen = []
    for source in sources:
        opened = Samples.open(list(source["tables"]), list(source["statistics"]))
        opened.check(threads)  # seconds, before hours
        for column in getattr(module, "REQUIRES", ()):
            if column not in opened.table:
                raise NotRun(f"the recipe {name} needs the column {column}, which {source['samples']} does not have")
        own, labels = module.Recipe.label_column(config, list(opened.table), source["samples"]), source.get("labels")
        if own and labels:
            raise UserError(
                f"train: {source['samples']}: labels: {labels}, but {name} learns from {own}: take out one of the two."
            )
        taken = Source.choose(source["samples"], opened, source.get("where"), own or labels, source.get("hold_out"))
        chosen.append((taken.labelled() if own else taken).in_order())
    return config, module.Recipe, Sources(chosen, config.channels)


def check_signal(sources: Sources) -> None:
    """Say which channels have no signal.

    Raises
    ------
    NotRun
        If that is all of them on all plates: there is nothing to learn.
    """
    dark = sources.dark()
    for channel, plates in dark.items():
        print(f"WARNING: the channel {channel} is of one grey level on {len(plates)} plates, the first is {plates[0]}")
    if dark and all(len(dark.get(channel, ())) == sources.plates() for channel in sources.channels):
        names = ", ".join(sources.channels)
        raise NotRun(f"all samples are of one grey level in {names}: there is nothing to learn. Look at its images")


def build(recipe_class: type[Recipe], config, sources: Sources, seed: int, world: int = 1) -> Recipe:
    """The recipe with its initial weights, which the seed decides."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (libraries that a recipe uses may draw from the global state)
    recipe = recipe_class(config, sources.channels, sources.size, len(sources.classes))
    recipe.world = world
    recipe.setup()
    return recipe.to(memory_format=torch.channels_last)  # convolutions are a fifth faster so, on CPU and GPU


def start_from(recipe: Recipe, path: str, channels: list[str]) -> None:
    """Put the weights of another encoder into the recipe's.

    Raises
    ------
    UserError
        If channels or architecture differ.
    """
    theirs = encoders.stated(path)["channels"]
    if list(theirs) != list(channels):
        raise UserError(
            f"init: {path} reads the channels {', '.join(theirs)}, the samples give {', '.join(channels)}. Names and order "
            "must be the same: set 'channels' on the method."
        )
    encoders.load_weights(recipe.encoder, path, "the method that starts from it ('init')")
    recipe.on_weights_loaded()


def describe(name: str, recipe: Recipe, sources: Sources, seed: int, init: str | None) -> dict:
    """Metadata of the encoder's file: all that is needed to use it, and to judge what it has seen."""
    trained_on = [source.about() for source in sources.sources] if isinstance(recipe.config, PretrainConfig) else []
    return {
        "recipe": name,
        "config": dataclasses.asdict(recipe.config),
        "channels": sources.channels,
        "input_size": list(sources.size),
        "scaling": recipe.scaling,
        "seed": seed,
        "features": recipe.features,
        "trained_on": seen_before(init) + trained_on,
        preparation.KEY: preparation.of_sources(sources.sources),
        "versions": {"phenorep": phenorep.__version__, "torch": version("torch"), "timm": version("timm")},
    }


def computed_on(settings: devices.Compute, fabric) -> dict:
    """What decides how sums are rounded: the kind of device; on a CPU also the number of threads."""
    if fabric is not None and fabric.device.type != "cpu":
        return {"device": fabric.device.type}
    return {"device": "cpu", "threads": settings.threads}


def seen_before(init: str | None) -> list[dict]:
    """What the encoder was trained on from which a training starts."""
    return encoders.stated(init).get("trained_on", []) if init else []


def fingerprint(facts: dict, sources: Sources, init: str | None, fabric, code: str) -> str:
    """What decides the weights: a checkpoint with another fingerprint belongs to another training."""
    # How images became samples decides weights by the samples alone.
    facts = {key: value for key, value in facts.items() if key != preparation.KEY}
    total = hashlib.sha256(json.dumps([facts, code], sort_keys=True).encode())
    if fabric is not None:
        total.update(f"{fabric.device.type} {fabric.world_size}".encode())
    if init:
        total.update(Path(init).read_bytes())
    for source in sources.sources:
        samples = source.samples
        names = samples.table["Sample"].iloc[source.rows]
        total.update("\n".join([source.name, *names, *source.labels]).encode())
        total.update(str(samples.intensity_max).encode())
        # Means and deviations of each plate change with its pixels, which would take minutes to read.
        for part in (source.rows, np.asarray(samples.means), np.asarray(samples.stds), np.asarray(samples.size)):
            total.update(np.ascontiguousarray(part).tobytes())
    return total.hexdigest()
