"""Full checkpoints of DINO [0]: the backbones of student and teacher with the heads that they were trained with.

[0] publishes them as "full ckpt" beside the teacher's backbone alone, and the code of WS-DINO [1] starts from one. Student
and teacher each take their own. The centre of the teacher's outputs is taken where a file has it (as ``dino_loss``), as both
codes do; the published files lack it [2], so it starts at 0. Optimiser and epoch are left: a training begins anew.

[0] facebookresearch/dino: main_dino.py, vision_transformer.py (DINOHead), and the table of its README
[1] crosszamirski/WS-DINO, WS-DINO_BBBC021.py: restart_from_checkpoint
[2] facebookresearch/dino, issues 40 and 188
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from phenorep import plugins, weights
from phenorep.errors import NotRun, UserError

ADDRESS = "https://dl.fbaipublicfiles.com/dino/{0}/{0}_full_checkpoint.pth"
# By timm's name. No size or hash is published. ResNet-50's head has other layers ([0], issue 189).
PUBLISHED = {
    "vit_small_patch16_224.dino": "dino_deitsmall16_pretrain",
    "vit_small_patch8_224.dino": "dino_deitsmall8_pretrain",
    "vit_base_patch16_224.dino": "dino_vitbase16_pretrain",
    "vit_base_patch8_224.dino": "dino_vitbase8_pretrain",
}
_PARTS = ("backbone.", "head.")
_REMEDY = "Give a full checkpoint of DINO, which has student and teacher with their heads, or set head_weights: random."


@dataclass(frozen=True)
class Network:
    """Student or teacher: tensors of backbone and head, under the names that DINO's code gives them."""

    place: str  # file and entry, for messages
    backbone: dict[str, torch.Tensor]
    head: dict[str, torch.Tensor]


@dataclass(frozen=True)
class FullCheckpoint:
    """What a training goes on from."""

    student: Network
    teacher: Network
    center: torch.Tensor | None  # (1, outputs); None where the file has none


def check(source: str, name: str) -> None:
    """Raise `UserError` unless a backbone's full checkpoint can come from there: ``download`` or a local file."""
    if source == "download" and name not in PUBLISHED:
        raise UserError(
            f"head_weights: checkpoint: no full checkpoint of '{name}' is published. {plugins.suggest(name, PUBLISHED)} Or "
            "give the path of one as 'weights:', or set head_weights: random."
        )


def read(source: str, name: str) -> FullCheckpoint:
    """Read a full checkpoint: ``download``, or the path of a file.

    Raises
    ------
    NotRun
        If it cannot be downloaded.
    UserError
        If there is no such file, or student or teacher lack a head.
    """
    check(source, name)
    path, content = _downloaded(name) if source == "download" else (source, weights.read(source))
    student, teacher = (_network(content, entry, path) for entry in ("student", "teacher"))
    return FullCheckpoint(student, teacher, _center(content, teacher, path))


def fill_head(head: nn.Module, network: Network, normalised: bool) -> None:
    """Put a head of a checkpoint into lightly's `DINOProjectionHead`, in place.

    Parameters
    ----------
    normalised
        Whether the last layer's rows have length 1, whatever the file says; else they have the file's lengths.

    Raises
    ------
    UserError
        If a tensor is missing or misshapen, or the head has other widths.
    """
    _check_head(head, network)
    head.load_state_dict({_lightly(name): tensor for name, tensor in network.head.items()}, strict=True)
    if normalised:
        head.last_layer.weight_g.data.fill_(1)


def _lightly(name: str) -> str:
    return name.replace("mlp.", "layers.", 1)


def _network(content: Mapping, entry: str, path: str | Path) -> Network:
    tensors = content.get(entry) if isinstance(content, Mapping) else None
    if not isinstance(tensors, Mapping):
        raise UserError(f"weights: {path}: holds no '{entry}'. {_REMEDY}")
    # Both are wrapped for several devices where the backbone normalises over the batch, else the student alone.
    named = {key.removeprefix("module."): value for key, value in tensors.items() if isinstance(value, torch.Tensor)}
    parts = ({key.removeprefix(part): value for key, value in named.items() if key.startswith(part)} for part in _PARTS)
    network = Network(f"{path}: {entry}", *parts)
    if not network.head:
        raise UserError(f"weights: {path}: the {entry} has no head. {_REMEDY}")
    return network


def _center(content: Mapping, teacher: Network, path: str | Path) -> torch.Tensor | None:
    loss = content.get("dino_loss")
    center = loss.get("center") if isinstance(loss, Mapping) else None
    outputs = teacher.head.get("last_layer.weight_v")
    if center is not None and outputs is not None and tuple(center.shape) != (1, len(outputs)):
        raise UserError(
            f"weights: {path}: the centre in 'dino_loss' has shape {tuple(center.shape)}; the teacher's head needs "
            f"{(1, len(outputs))}. The file is damaged: take another."
        )
    return center


def _check_head(head: nn.Module, network: Network) -> None:
    """Names, then shapes, then whether the widths are those that are configured."""
    place, given = f"weights: {network.place}", network.head
    needed = {name.replace("layers.", "mlp.", 1): tuple(value.shape) for name, value in head.state_dict().items()}
    for name in (name for name in needed if name not in given):
        raise UserError(f"{place}: has no weights 'head.{name}'. {_REMEDY}")
    for name in (name for name in given if name not in needed):
        raise UserError(f"{place}: holds weights 'head.{name}', which a head of three layers has no place for. {_REMEDY}")
    first, last, prototypes = (given[name].shape for name in ("mlp.0.weight", "mlp.4.weight", "last_layer.weight_v"))
    hidden, bottleneck, outputs = (shape[0] if shape else 0 for shape in (first, last, prototypes))
    widths = (needed["mlp.0.weight"][0], needed["mlp.4.weight"][0], needed["last_layer.weight_v"][0])
    for name, shape in _shapes(needed["mlp.0.weight"][1], hidden, bottleneck, outputs).items():
        if tuple(given[name].shape) != shape:
            raise UserError(
                f"{place}: weights 'head.{name}' have shape {tuple(given[name].shape)}; backbone and the head's other "
                f"layers need {shape}. Choose the backbone that the file is of, or take another file."
            )
    if widths != (hidden, bottleneck, outputs):
        raise UserError(
            f"{place}: its head has widths of {hidden} and {bottleneck} and {outputs} outputs; configured are head: "
            f"[{widths[0]}, {widths[1]}] and output_dim: {widths[2]}. Set head: [{hidden}, {bottleneck}] and output_dim: "
            f"{outputs}."
        )


def _shapes(features: int, hidden: int, bottleneck: int, outputs: int) -> dict[str, tuple[int, ...]]:
    widths = {"mlp.0": (hidden, features), "mlp.2": (hidden, hidden), "mlp.4": (bottleneck, hidden)}
    layers = {f"{name}.weight": shape for name, shape in widths.items()}
    biases = {f"{name}.bias": shape[:1] for name, shape in widths.items()}
    return layers | biases | {"last_layer.weight_g": (outputs, 1), "last_layer.weight_v": (outputs, bottleneck)}


def _downloaded(name: str) -> tuple[str, dict]:
    """Address and content of a published file, which is kept with torch's other downloads."""
    address = ADDRESS.format(PUBLISHED[name])
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(address).name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(address, str(path), progress=False)
        except Exception as error:  # each kind of missing network raises its own
            raise NotRun(f"{address} cannot be downloaded ({type(error).__name__}: {weights.short(error)})") from error
    try:
        return address, weights.read(path)
    except UserError as error:
        path.unlink(missing_ok=True)  # it came in part: the next run is not to find it
        raise NotRun(f"{address}: what came cannot be read and was removed: run again ({error})") from error
