"""What a run leaves: the files that the report and the tables of scores and costs are made from."""

from functools import lru_cache

from phenorep import __version__, labelling, plugins
from phenorep.planning import Encoded, Plan


@lru_cache
def files(plan: Plan) -> dict[str, list[dict]]:
    """Files of a run by kind; each entry holds the wildcards of a file and its ``path``.

    Returns
    -------
    dict
        ``scores``, ``details``, ``profiles``, ``embeddings``, ``training``, ``fields``, ``quality``, ``illumination``,
        ``engines``, ``samples``, ``measurements``, ``abnormality`` and ``encoders`` (of each ``method``
        that is scored, wherever they were made; of a combined method those of all its members).
    """
    found: dict[str, list[dict]] = {"scores": [], "details": []}
    profiles, embeddings, encoders = {}, {}, {}
    for score in plan.scores:
        encoded = Encoded(*(score[key] for key in ("dataset", "samples", "method", "seed", "epoch")))
        stem = encoded.path("scores", f"{encoded.epoch}/{score['profile']}/{score['evaluation']}")
        found["scores"].append({**score, "path": f"{stem}.csv"})
        found["details"].append({**score, "path": f"{stem}.parquet"})
        encoders[encoded] = None
        # An evaluation that reads only encoder and samples asks for no embeddings.
        if plan.needs(score["evaluation"]) & {"profiles", "embeddings", "benchmark"}:
            embeddings[encoded] = {**vars(encoded), "path": encoded.path("embeddings", f"{encoded.epoch}.parquet")}
        if score["profile"] != "none":
            path = encoded.path("profiles", f"{encoded.epoch}/{score['profile']}.parquet")
            profiles[path] = {**vars(encoded), "profile": score["profile"], "path": path}
    found["abnormality"] = []
    for own in labelling.abnormalities(plan):
        found["abnormality"].append({**vars(own), "path": labelling.path(own)})
        for one in filter(None, [own, labelling.trained(plan, own)]):
            encoders[one] = None
            embeddings[one] = {**vars(one), "path": one.path("embeddings", f"{one.epoch}.parquet")}
    waiting = list(embeddings)
    while waiting:  # members may be combined themselves
        for own in plan.parts(waiting.pop(0)):
            embeddings.setdefault(own, {**vars(own), "path": own.path("embeddings", f"{own.epoch}.parquet")})
            encoders[own] = None
            waiting.append(own)
    found["profiles"] = list(profiles.values())
    found["embeddings"] = list(embeddings.values())
    trained = set(plan.trained())
    found["training"] = [_training(own) for own in encoders if own.epoch == "final" and own.method in trained]
    found |= _plate_files(plan)
    found["measurements"] = _measurements(plan, found["embeddings"])
    found["encoders"] = _encoders(plan)
    return found


def _training(encoded: Encoded) -> dict:
    wildcards = {key: value for key, value in vars(encoded).items() if key != "epoch"}
    return {**wildcards, "path": encoded.path("encoders", "training.csv")}


def _encoders(plan: Plan) -> list[dict]:
    """Encoders behind the methods that are scored."""
    encoders = {}
    for score in plan.scores:
        where = tuple(score[key] for key in ("dataset", "samples", "method", "seed"))
        encoders |= {(*where, path): None for path in _applied(plan, Encoded(*where))}
    keys = ("dataset", "samples", "method", "seed", "path")
    return [dict(zip(keys, values, strict=True)) for values in encoders]


def _applied(plan: Plan, encoded: Encoded) -> list[str]:
    """Files of the encoders that embeddings are made with: one, or those of all members."""
    if parts := plan.parts(encoded):
        return [path for part in parts for path in _applied(plan, part)]
    path = plan.encoder(encoded.dataset, encoded.samples, encoded.method, encoded.seed)
    return [] if path is None else [path]


def _plate_files(plan: Plan) -> dict[str, list[dict]]:
    studies = plan.blocks["studies"].values()
    found: dict[str, list[dict]] = {"fields": [], "quality": [], "illumination": [], "engines": [], "samples": []}
    imaged = {study["dataset"] for study in studies} - set(plan.without_images())
    for dataset in sorted(imaged):
        for plate in plan.plates(dataset):
            where = {"dataset": dataset, "plate": plate}
            found["fields"].append({**where, "path": f"results/{dataset}/fields/{plate}.parquet"})
            found["quality"].append({**where, "path": f"results/{dataset}/field_quality/{plate}.parquet"})
            found["illumination"].append({**where, "path": f"results/{dataset}/illumination/{plate}.npz"})
            if plan.preprocess.check:
                found["engines"].append({**where, "path": f"results/{dataset}/engines/{plate}.parquet"})
    wanted = {(s["dataset"], s["samples"]) for s in studies if s["dataset"] in imaged}
    # What was left out is told from the set that it was left out of.
    wanted |= {(view["dataset"], name) for view in labelling.cleaned(plan) for name in (view["samples"], view["parent"])}
    wanted |= {(one.dataset, one.samples) for one in labelling.abnormalities(plan)}
    for dataset, samples in sorted(wanted):
        for plate, path in zip(plan.plates(dataset), plan.sample_files(dataset, samples)["tables"], strict=True):
            found["samples"].append({"dataset": dataset, "samples": samples, "plate": plate, "path": path})
    return found


def _measurements(plan: Plan, embeddings: list[dict]) -> list[dict]:
    """Measurements that these embeddings are made of."""
    found, measured = {}, set(plan.measured())
    for entry in embeddings:
        if entry["method"] in measured:
            paths = plan.measurements(entry["dataset"], entry["samples"])
            for plate, path in zip(plan.plates(entry["dataset"]), paths, strict=False):
                found[path] = {"dataset": entry["dataset"], "plate": plate, "path": path}
    return list(found.values())


def _trained_keys(plan: Plan) -> dict[str, dict]:
    blocks = plan.blocks["methods"]
    return {n: plugins.config_keys("methods", blocks[n]["use"]) | blocks[n]["keys"] for n in plan.trained()}


def summary(plan: Plan) -> dict:
    """What the report needs to know of a run, as plain values."""
    datasets = {}
    for dataset in sorted({study["dataset"] for study in plan.blocks["studies"].values()}):
        datasets[dataset] = {"about": plan.about(dataset), "plates": plan.plates(dataset)}
    return {
        "name": plan.name,
        "version": __version__,
        "config": plan.blocks,
        "studies": plan.blocks["studies"],
        "datasets": datasets,
        "epochs": {method: int(keys["epochs"]) for method, keys in _trained_keys(plan).items() if "epochs" in keys},
        "seeded": [method for method in plan.blocks["methods"] if plan.seed(method, 1) == 1],
        "skipped": plan.skipped,
        "not_applicable": plan.not_applicable,
        "engine": plan.preprocess.engine,
        "cleaned": labelling.cleaned(plan),
        "files": {
            "scores": f"results/scores/{plan.name}.csv",
            "answers": f"results/answers/{plan.name}.csv",
            "costs": f"results/costs/{plan.name}.csv",
            **{kind: entries for kind, entries in files(plan).items() if kind != "scores"},
        },
    }
