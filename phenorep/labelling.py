"""What a plan says of labels of single images: where they are read, what is computed from them, and what is left out by it.

`annotations` are labels given by eye, ``{dataset/samples: file}``. From these, or from the labels that a dataset has,
`abnormality` is computed: for each sample the probability that its image is abnormal. A view whose `where` names
``abnormality`` leaves samples out by it. `annotate` is the page on which labels are given.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from phenorep import plugins, references
from phenorep.errors import UserError
from phenorep.grid import Encoded
from phenorep.quality.annotations import ARTEFACT, QUALITY

if TYPE_CHECKING:
    from phenorep.planning import Plan

COLUMN = "abnormality"
_NAMED = re.compile(rf"(?<![\w`.]){COLUMN}(?!\w)")
# Keys of `annotate` that planning reads; the others are those of the page.
PAGE_KEYS = ("samples", "method", "seed")


def check(plan: "Plan") -> None:
    """Refuse labels and sample sets that cannot be had.

    Raises
    ------
    UserError
        With the place in the configuration.
    """
    for text, path in plan.blocks["annotations"].items():
        references.parse(plan.blocks, text, "annotations: samples")
        if not Path(path).is_file():
            raise UserError(
                f"annotations: {text}: there is no file {path}. Relative paths start at the working directory. To make it, "
                "take this line out, mark images on the page of `snakemake annotate` and export them."
            )
    cleaned = [name for name, block in plan.blocks["samples"].items() if is_cleaned(block)]
    for name in cleaned:
        if "of" not in plan.blocks["samples"][name]:
            raise UserError(
                f"samples: {name}: where: {COLUMN} is known of samples that are cut and embedded already. Make a second "
                f"sample set: {name}_clean: {{of: {name}, where: ...}}."
            )
        if plan.blocks["abnormality"] is None:
            raise UserError(
                f"samples: {name}: where: {COLUMN} needs the block 'abnormality', like 'abnormality: {{method: NAME}}' with "
                "one of your methods."
            )
    if plan.blocks["abnormality"] is not None:
        _check_abnormality(plan, cleaned)
    _check_page(plan)


def _check_abnormality(plan: "Plan", cleaned: list[str]) -> None:
    block = plan.blocks["abnormality"]
    _method(plan, block["method"], "abnormality: method")
    if block["samples"] and block["samples"] not in plan.blocks["samples"]:
        known = plugins.suggest(block["samples"], plan.blocks["samples"])
        raise UserError(f"abnormality: samples: there is no sample set '{block['samples']}'. {known}")
    if block["train"]:
        references.parse(plan.blocks, block["train"], "abnormality: train: samples")
    parents = {plan.blocks["samples"][name]["of"] for name in cleaned}
    if block["samples"] and parents - {block["samples"]}:
        raise UserError(
            f"abnormality: samples: it is computed of {block['samples']}, but samples: {cleaned[0]} leaves samples of "
            f"{min(parents - {block['samples']})} out by it. Name that one, or leave 'samples' out."
        )
    for encoded in abnormalities(plan):
        for node in [encoded, *filter(None, [trained(plan, encoded)])]:
            for source in _learnt_from(plan, (node.dataset, node.samples, node.method), set()):
                if set(_chain(plan, source.split("/")[1])) & set(cleaned):
                    raise UserError(
                        f"abnormality: method: {block['method']} learns from {source}, which leaves images out by their "
                        f"{COLUMN}: a circle. Take another method, or train it on all samples."
                    )


def _check_page(plan: "Plan") -> None:
    block = plan.blocks["annotate"]
    if block["samples"]:
        references.parse(plan.blocks, block["samples"], "annotate: samples")
    if block["method"]:
        _method(plan, block["method"], "annotate: method")
    elif block["keys"].get("sampling") == "diverse":
        raise UserError("annotate: sampling: diverse samples are chosen by their embeddings: name a 'method' beside it.")


def _method(plan: "Plan", name: str, where: str) -> None:
    if name not in plan.blocks["methods"]:
        raise UserError(f"{where}: there is no method '{name}'. {plugins.suggest(name, plan.blocks['methods'])}")
    if plan.has_alternatives(name):
        raise UserError(f"{where}: {name} has other features for each fold held out. Name one of its members.")


def is_cleaned(samples: dict) -> bool:
    """Whether a sample set's block leaves samples out by their abnormality."""
    return bool(_NAMED.search(str(samples.get("where") or "")))


def annotations(plan: "Plan", dataset: str, samples: str) -> str | None:
    """The file of labels of a sample set: its own, or that of the set of which it shows whole samples."""
    for name in _chain(plan, samples):
        if path := plan.blocks["annotations"].get(f"{dataset}/{name}"):
            return str(path)
        if plan.blocks["samples"][name]["use"] is not None:
            return None  # windows of its own have names of their own
    return None


def reads_labels(plan: "Plan", evaluation: str) -> bool:
    """Whether an evaluation reads labels of single images: its plug-in declares it, or a key names their column."""
    block = plan.blocks["evaluations"][evaluation]
    if plugins.constants("evaluations", block["use"]).get("LABELLED"):
        return True
    keys = plugins.config_keys("evaluations", block["use"]) | block["keys"]
    named = str([keys, block.get("by")])  # as a column, in a list of columns, or in a condition
    return QUALITY in named or ARTEFACT in named


def abnormalities(plan: "Plan") -> list[Encoded]:
    """Embeddings of which the abnormality of each sample is computed: those of the studies' datasets."""
    block = plan.blocks["abnormality"]
    if block is None:
        return []
    found = set()
    for study in plan.blocks["studies"].values():
        if study["dataset"] not in plan.without_images():
            for samples in _chain(plan, study["samples"]):
                if samples == _samples(plan):
                    found.add(encoded(plan, study["dataset"], samples))
    return sorted(found)


def encoded(plan: "Plan", dataset: str, samples: str) -> Encoded:
    """The embeddings that the classifier of abnormal images reads."""
    block = plan.blocks["abnormality"]
    return Encoded(dataset, samples, block["method"], plan.seed(block["method"], block["seed"]))


def path(one: Encoded) -> str:
    """The file of a sample set's abnormality."""
    return one.path("abnormality", "").rstrip("/") + ".parquet"


def of_view(plan: "Plan", dataset: str, samples: str) -> str | None:
    """The abnormality by which a view leaves samples out; None if it does not."""
    block = plan.blocks["samples"][samples]
    return path(encoded(plan, dataset, block["of"])) if is_cleaned(block) else None


def cleaned(plan: "Plan") -> list[dict]:
    """Sample sets of the studies that leave samples out by their abnormality: dataset, samples, parent and where."""
    found = {}
    for study in plan.blocks["studies"].values():
        for name in _chain(plan, study["samples"]):
            block = plan.blocks["samples"][name]
            if is_cleaned(block):
                entry = {"dataset": study["dataset"], "samples": name, "parent": block["of"], "where": block["where"]}
                found[study["dataset"], name] = entry
    return list(found.values())


def decisive(plan: "Plan", dataset: str, samples: str) -> list:
    """What decides which samples a view holds, beyond its own block: nothing unless it leaves abnormal ones out."""
    if not is_cleaned(plan.blocks["samples"][samples]):
        return []
    one = encoded(plan, dataset, plan.blocks["samples"][samples]["of"])
    files = [
        plan.blocks["annotations"].get(name) for name in (f"{dataset}/{one.samples}", plan.blocks["abnormality"]["train"])
    ]
    digests = [hashlib.sha256(Path(name).read_bytes()).hexdigest() for name in files if name]
    return [plan.blocks["abnormality"], plan.blocks["methods"][one.method], digests]


def annotated(plan: "Plan") -> tuple[str, str]:
    """Dataset and sample set that the annotation page shows: those of the first study with images, if none are named.

    Raises
    ------
    UserError
        If no study has images.
    """
    if named := plan.blocks["annotate"]["samples"]:
        return tuple(named.split("/"))
    for study in plan.blocks["studies"].values():
        if study["dataset"] not in plan.without_images():
            return study["dataset"], study["samples"]
    raise UserError("annotate: no study has images. Name the sample set: 'annotate: {samples: dataset/samples}'.")


def page_embeddings(plan: "Plan") -> str | None:
    """The embeddings by which the annotation page chooses samples; None if it draws them."""
    block = plan.blocks["annotate"]
    if block["keys"].get("sampling") != "diverse":
        return None
    one = Encoded(*annotated(plan), block["method"], plan.seed(block["method"], block["seed"]))
    return one.path("embeddings", f"{one.epoch}.parquet")


# -- one dataset to learn from, another to be judged ---------------------------------------------------------------------


def trained(plan: "Plan", one: Encoded, train: str | None = None) -> Encoded | None:
    """The same encoder's embeddings of the sample set whose labels are learnt from; None if it is the set itself.

    Parameters
    ----------
    one
        What is judged.
    train
        ``dataset/samples``; None: as the block `abnormality` says.

    Raises
    ------
    UserError
        If the method has another encoder there.
    """
    train = plan.blocks["abnormality"]["train"] if train is None else train
    if not train or train == f"{one.dataset}/{one.samples}":
        return None
    if reason := unlike(plan, one.method, train):
        raise UserError(f"abnormality: train: {reason}")
    dataset, samples = train.split("/")
    method = _there(plan, one.method, train)
    return Encoded(dataset, samples, method, plan.seed(method, one.seed), one.epoch)


def unlike(plan: "Plan", method: str, train: str) -> str | None:
    """Why the embeddings of a method on another sample set are not made by the same encoder; None if they are."""
    if _there(plan, method, train) != method:
        return None
    if plan.members(method) or "from" in plan.blocks["methods"][method]:
        return f"{method} does not apply one encoder of {train}: take that by 'from: {train}/NAME'"
    if method in plan.learning():
        return f"{method} is trained anew on each dataset: name a method '{method}_there: {{from: {train}/{method}}}'"
    return None


def _there(plan: "Plan", method: str, train: str) -> str:
    """Name that a method has on the sample set `train`: that of the encoder which it takes from there."""
    source = plan.blocks["methods"][method].get("from")
    if source:
        dataset, samples, name = references.parse(plan.blocks, source, f"methods: {method}: from")
        return name if f"{dataset}/{samples}" == train else method
    return method


def _samples(plan: "Plan") -> str:
    """The sample set whose abnormality is computed."""
    block = plan.blocks["abnormality"]
    left_out = [b["of"] for b in plan.blocks["samples"].values() if is_cleaned(b)]
    first = next((s["samples"] for s in plan.blocks["studies"].values() if s["dataset"] not in plan.without_images()), "")
    return block["samples"] or next(iter(left_out), first)


def _chain(plan: "Plan", samples: str) -> Iterator[str]:
    """A sample set, the one that it is a view of, and so on."""
    yield samples
    while "of" in plan.blocks["samples"][samples]:
        samples = plan.blocks["samples"][samples]["of"]
        yield samples


def _learnt_from(plan: "Plan", node: tuple[str, str, str], seen: set) -> Iterator[str]:
    """All sample sets that the embeddings of a method depend on by what its encoders learnt from."""
    if node in seen:
        return
    seen.add(node)
    dataset, samples, method = node
    block = plan.blocks["methods"][method]
    if method in plan.learning():
        yield from (source["samples"] for source in plan.training_sources(Encoded(dataset, samples, method, 0)))
    others = [(dataset, samples, member) for member in plan.members(method)]
    others += [references.parse(plan.blocks, block[key], key) for key in ("from", "init") if key in block]
    for other in others:
        yield from _learnt_from(plan, other, seen)
