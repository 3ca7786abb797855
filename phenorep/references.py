"""Blocks of the configuration that refer to each other: each reference is found, none goes in a circle."""

from collections.abc import Callable

from phenorep import folds, selection
from phenorep.configuration import holds_features, is_imported
from phenorep.errors import UserError
from phenorep.plugins import constants, suggest

KINDS = ("datasets", "samples", "methods")
SOURCE_KEYS = ("samples", "where", "labels", "hold_out")


def parse(blocks: dict, text: str, where: str) -> tuple[str, ...]:
    """Take ``dataset/samples/method`` (or the first two of these) apart; each part must be a block of the configuration.

    Parameters
    ----------
    where
        Place in the configuration, for messages. A place that ends in ``samples`` asks for two parts.
    """
    kinds = KINDS[:2] if where.endswith("samples") else KINDS
    parts = str(text).split("/")
    if len(parts) != len(kinds):
        form = "/".join(kind.removesuffix("s") for kind in kinds)
        example = "/".join(next(iter(blocks[kind]), "...") for kind in kinds)
        raise UserError(f"{where}: '{text}' is not of the form {form}, like '{example}'.")
    for part, kind in zip(parts, kinds, strict=True):
        if part not in blocks[kind]:
            raise UserError(f"{where}: there is no '{part}' under {kind}. {suggest(part, blocks[kind])}")
    if holds_features(blocks["datasets"][parts[0]]) or is_imported(blocks["samples"][parts[1]]):
        raise UserError(
            f"{where}: '{text}' stands for features that were computed elsewhere: there are no images to learn from and no "
            "encoder. Name a dataset of images and a sample set of it."
        )
    return tuple(parts)


def check(
    blocks: dict,
    members: Callable[[str], list[str]],
    without_encoder: Callable[[str], str | None],
    has_alternatives: Callable[[str], bool],
) -> None:
    """Refuse references to blocks that are not there, and circles.

    Parameters
    ----------
    blocks
        The resolved configuration.
    members
        Gives the methods that a method puts side by side.
    without_encoder
        Gives what a method does that has no encoder of its own; None for one that has.
    has_alternatives
        Says whether the members of a method are alternatives to each other.

    Raises
    ------
    UserError
        With the place and, for a circle, the way round.
    """
    for name, block in blocks["samples"].items():
        known = [sample for sample, other in blocks["samples"].items() if not is_imported(other)]
        if "of" in block and block["of"] not in known:
            suggestion = suggest(block["of"], known)
            raise UserError(f"samples: {name}: of: there is no sample set '{block['of']}'. {suggestion}")
        if block.get("where"):
            selection.check_language(block["where"], f"samples: {name}: where")
    _refuse_circles({(n,): [(b["of"],)] if "of" in b else [] for n, b in blocks["samples"].items()}, "samples", "of")
    for name, block in blocks["evaluations"].items():
        if "train" in block:
            parse(blocks, block["train"], f"evaluations: {name}: train: samples")
            if not constants("evaluations", block["use"]).get("TRAIN"):
                raise UserError(
                    f"evaluations: {name}: train: {block['use']} does not learn from another sample set. Leave the key out."
                )
    edges: dict[tuple, list[tuple]] = {}
    for study in blocks["studies"].values():
        for method in study["methods"]:
            _add_edges((study["dataset"], study["samples"], method), blocks, members, without_encoder, edges)
    _refuse_circles(edges, "methods", "init, from, members")
    for _, _, method in edges:
        for member in filter(has_alternatives, members(method)):
            raise UserError(
                f"methods: {method}: members: the members of '{member}' are alternatives to each other, which cannot stand "
                f"beside others. Put methods side by side first, and name these as members of '{member}'."
            )


def _add_edges(node: tuple[str, str, str], blocks: dict, members: Callable, without_encoder: Callable, edges: dict) -> None:
    if node in edges:
        return
    dataset, samples, method = node
    block = blocks["methods"][method]
    for member in members(method):
        known = [name for name, other in blocks["methods"].items() if not is_imported(other)]
        if member not in known:
            suggestion = suggest(member, known)
            raise UserError(f"methods: {method}: members: there is no method '{member}'. {suggestion}")
    edges[node] = [(dataset, samples, member) for member in members(method)]
    if (instead := without_encoder(method)) and (useless := {"init", "train"} & block.keys()):
        raise UserError(f"methods: {method}: {min(useless)}: nothing is trained: the method {instead}. Leave the key out.")
    for key in {"from", "init"} & block.keys():
        other = parse(blocks, block[key], f"methods: {method}: {key}")
        if instead := without_encoder(other[2]):
            remedy = "one of its members" if members(other[2]) else "a method that has one"
            raise UserError(f"methods: {method}: {key}: '{other[2]}' has no encoder: it {instead}. Name {remedy}.")
        edges[node].append(other)
    sources = block.get("train", [])
    listed = isinstance(sources, list) and all(isinstance(source, dict) for source in sources)
    if not listed or ("train" in block and not sources):
        raise UserError(
            f"methods: {method}: train: found {sources!r}, expected a list of sources, like [{{samples: dataset/samples}}]. "
            "Without the key the method learns from the study's own samples."
        )
    for number, source in enumerate(sources, 1):
        where = f"methods: {method}: train: {number}"
        for key in source:
            if key not in SOURCE_KEYS:
                raise UserError(f"{where}: unknown key '{key}'. {suggest(key, SOURCE_KEYS)}")
        parse(blocks, source.get("samples", ""), f"{where}: samples")
        if source.get("where"):
            selection.check_language(source["where"], f"{where}: where")
        if source.get("hold_out") is not None:
            folds.parse(source["hold_out"], f"{where}: hold_out")
    for other in edges[node]:
        _add_edges(other, blocks, members, without_encoder, edges)


def _refuse_circles(edges: dict[tuple, list[tuple]], kind: str, keys: str) -> None:
    done: set[tuple] = set()

    def visit(node: tuple, way: list[tuple]) -> None:
        if node in way:
            circle = " -> ".join("/".join(n) for n in [*way[way.index(node) :], node])
            raise UserError(f"{kind}: {keys}: these depend on each other in a circle: {circle}. Break it at one of them.")
        if node not in done:
            for other in edges.get(node, []):
                visit(other, [*way, node])
            done.add(node)

    for node in edges:
        visit(node, [])
