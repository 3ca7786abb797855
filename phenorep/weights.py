"""Published weights: fetched, or read from a local file of any usual layout, and put into a network strictly."""

import argparse
from pathlib import Path, PosixPath

import torch
from torch import nn

from phenorep import encoders, plugins, weight_packages
from phenorep.errors import NotRun, UserError

TORCHVISION = "torchvision/"
# Entries of a training checkpoint that hold the network; of a self-distilled pair the teacher is the one published.
_NETWORKS = ("teacher", "state_dict", "model_state_dict", "model_ema", "model", "student")
# What wrappers put before the names: DataParallel, torch.compile, the part of a larger model.
_PREFIXES = ("module.", "_orig_mod.", "backbone.", "encoder_q.", "encoder.", "model.", "network.")
# Classifiers and projections, which an encoder does without.
_HEADS = (
    "fc.",
    "head.",
    "heads.",
    "head_dist.",
    "classifier.",
    "last_linear.",
    "AuxLogits.",
    "aux1.",
    "aux2.",
    "norm_pre_head.",
)


class PooledFeatures(nn.Module):
    """The convolutional part of a torchvision model, averaged over the image; parameters keep their published names."""

    def __init__(self, features: nn.Module, rectify: bool):
        super().__init__()
        self.features = features
        self.rectify = rectify  # densenet ends in a normalisation that its own forward rectifies

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) to (B, features)."""
        maps = self.features(images)
        return (maps.relu() if self.rectify else maps).mean(dim=(2, 3))


def architecture(name: str) -> nn.Module:
    """An untrained backbone for images of three planes: a name of timm, or ``torchvision/`` and a name of torchvision."""
    if not name.startswith(TORCHVISION):
        return encoders.backbone(name, channels=3)
    import torchvision

    short = name.removeprefix(TORCHVISION)
    known = torchvision.models.list_models(module=torchvision.models)
    if short not in known:
        raise UserError(f"backbone: torchvision has no model '{short}'. {plugins.suggest(short, known)}")
    extra = {"init_weights": True} if short in ("googlenet", "inception_v3") else {}
    model = torchvision.models.get_model(short, weights=None, **extra)
    for head in ("fc", "head", "heads"):
        if hasattr(model, head):
            setattr(model, head, nn.Identity())
            return model
    return PooledFeatures(model.features, rectify=short.startswith("densenet"))


def widen(network: nn.Module, channels: int) -> None:
    """Let a network for three planes read `channels` planes, in place.

    The first convolution's weights are repeated over the planes and scaled by 3 / channels, so that its output keeps its
    size.
    """
    if channels == 3:
        return
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.in_channels == 3 and layer.groups == 1:
            # In place: a layer of timm's own kind pads in its own way.
            layer.in_channels = channels
            layer.weight = nn.Parameter(layer.weight.data[:, torch.arange(channels) % 3] * (3 / channels))
            return
    raise UserError("channel_mode: adapt needs a backbone whose first layer is a convolution; use channel_mode: separate.")


def colours(name: str, source: str = "download") -> dict:
    """Scaling that the publisher of the weights of a backbone used, for red, green and blue in 0 to 1 (or `maximum`)."""
    if source == "package":
        return weight_packages.PACKAGED[name]
    if name.startswith(TORCHVISION):
        import torchvision

        preset = torchvision.models.get_model_weights(name.removeprefix(TORCHVISION)).DEFAULT.transforms()
        return {"mean": list(preset.mean), "std": list(preset.std)}
    import timm

    published = timm.get_pretrained_cfg(name)
    if published is None:
        return {}
    return {"mean": list(published.mean), "std": list(published.std)}


def check_source(source: str, name: str) -> None:
    """Raise `UserError` unless a backbone's weights can come from there: ``download``, ``package``, ``none`` or a file."""
    if source == "package" and name not in weight_packages.PACKAGED:
        raise UserError(
            f"weights: package: there is none with weights of '{name}'; there is one of "
            f"{', '.join(weight_packages.PACKAGED)}. Choose that backbone, or 'download', or give the path of the weights."
        )
    if source not in ("download", "package", "none") and not Path(source).is_file():
        raise UserError(
            f"weights: there is no file {source}. Give the path of the weights, 'download', 'package' or 'none'."
        )


def put(network: nn.Module, source: str, name: str) -> None:
    """Put a backbone's published weights into a network: ``download``, ``package``, or the path of a file.

    Raises
    ------
    NotRun
        If they cannot be had.
    UserError
        If they do not fit the network.
    """
    if source == "download":
        download(network, name)
    elif source == "package":
        check_source(source, name)
        path = weight_packages.path()
        _fill(network, {weight_packages.timm_name(key): value for key, value in read(path).items()}, path, name)
    else:
        load(network, source, name)


def load(network: nn.Module, path: str | Path, name: str) -> None:
    """Put the weights of a local file into a network: safetensors, or what torch saved.

    Raises
    ------
    UserError
        If there is no such file, it is damaged, or its weights are not those of this backbone.
    """
    check_source(str(path), name)
    _fill(network, unwrapped(read(path), set(network.state_dict())), path, name)


def download(network: nn.Module, name: str) -> None:
    """Fetch the published weights of a backbone and put them into the network.

    Raises
    ------
    NotRun
        If they cannot be had; they are never replaced by random ones.
    """
    try:
        tensors = _fetch(name)
    except UserError:
        raise
    except Exception as error:  # each library and each kind of missing network raises its own
        raise NotRun(f"the weights of {name} cannot be downloaded ({type(error).__name__}: {short(error)})") from error
    _fill(network, unwrapped(tensors, set(network.state_dict())), f"published weights of {name}", name)


def start(network: nn.Module, name: str, source: str, channels: int, remedy: str) -> None:
    """Put published weights for three colours into a network for `channels` planes, in place.

    Unless there are three, each plane gets the sum over the colours divided by the number of planes: a channel alone is seen
    as the published network sees a grey image, which is how Cross-Zamirski et al. 2022 (arXiv:2209.07819) show theirs.

    Parameters
    ----------
    name
        The backbone.
    source
        ``download``, ``package``, or a local file.
    remedy
        What to set where the weights are of another image size; ends the message.

    Raises
    ------
    NotRun
        If they cannot be had.
    UserError
        If they do not fit the network.
    """
    published = architecture(name)
    put(published, source, name)
    _show_grey(network, published.state_dict(), channels, remedy)


def start_with(
    network: nn.Module, name: str, tensors: dict[str, torch.Tensor], place: str, channels: int, remedy: str
) -> None:
    """As `start`, with the tensors of a file; `place` names file and entry for messages."""
    published = architecture(name)
    _fill(published, tensors, place, name)
    _show_grey(network, published.state_dict(), channels, remedy)


def _show_grey(network: nn.Module, tensors: dict[str, torch.Tensor], channels: int, remedy: str) -> None:
    own = network.state_dict()
    for key, tensor in tensors.items():
        if tensor.ndim == 4 and tensor.shape[1] == 3 and own[key].shape[1] == channels != 3:
            tensors[key] = tensor.sum(dim=1, keepdim=True).expand(-1, channels, -1, -1) / channels
        elif tensor.shape != own[key].shape:
            raise UserError(
                f"weights: {key} has the shape {tuple(tensor.shape)}, the network {tuple(own[key].shape)}: {remedy}"
            )
    network.load_state_dict(tensors)


def _fetch(name: str) -> dict[str, torch.Tensor]:
    if name.startswith(TORCHVISION):
        import torchvision

        published = torchvision.models.get_model_weights(name.removeprefix(TORCHVISION)).DEFAULT
        return published.get_state_dict(progress=False, check_hash=True)
    import timm

    published = timm.get_pretrained_cfg(name)
    if published is None or not published.has_weights:
        raise UserError(f"weights: download: timm has no published weights of '{name}'. See timm.list_pretrained().")
    return timm.create_model(name, pretrained=True, num_classes=0).state_dict()


def short(error: Exception) -> str:
    """An error's text on a line of at most 200 characters."""
    return " ".join(str(error).split())[:200]


def read(path: str | Path) -> dict:
    """What a file of weights holds: safetensors, or what torch saved; nothing in it is run.

    Raises
    ------
    UserError
        If there is no such file, or it is damaged or holds more than weights and the arguments of a training.
    """
    if not Path(path).is_file():
        raise UserError(f"weights: there is no file {path}. Give the path of the weights.")
    try:
        if str(path).endswith(".safetensors"):
            from safetensors.torch import load_file

            return load_file(path)
        # Weights only: a file from elsewhere must not run code. Training checkpoints often hold their arguments too, and
        # paths among these.
        with torch.serialization.safe_globals([argparse.Namespace, PosixPath]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files make the readers raise many kinds
        raise UserError(
            f"weights: {path} cannot be read as weights ({type(error).__name__}). Give a file of "
            "safetensors, or of torch.save with weights alone."
        ) from error


def unwrapped(checkpoint: dict, wanted: set[str]) -> dict[str, torch.Tensor]:
    """The state dictionary within a checkpoint, under the names that the network has.

    Parameters
    ----------
    checkpoint
        As saved: a state dictionary, or a dictionary that holds one.
    wanted
        Names of the network's weights; wrappers' prefixes are taken away until these appear.
    """
    if not isinstance(checkpoint, dict):
        return {}
    for entry in _NETWORKS:
        if isinstance(checkpoint.get(entry), dict):
            checkpoint = checkpoint[entry]
            break
    tensors = {k: value for k, value in checkpoint.items() if isinstance(k, str) and isinstance(value, torch.Tensor)}
    for _ in _PREFIXES:  # wrappers nest
        if wanted <= set(tensors):
            break
        prefix = next((p for p in _PREFIXES if any(name.startswith(p) for name in tensors)), None)
        if prefix is None:
            break
        tensors = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    return tensors


def _fill(network: nn.Module, tensors: dict[str, torch.Tensor], path: str | Path, name: str) -> None:
    own = network.state_dict()
    # Old files lack the counter of batches, which inference does not use.
    for counter in (key for key in own if key.endswith("num_batches_tracked") and key not in tensors):
        tensors = {**tensors, counter: own[counter]}
    backbone = {key: value for key, value in tensors.items() if key in own or not key.startswith(_HEADS)}
    encoders.check_weights(network, backbone, f"weights: {path}", f"the backbone {name}")
    network.load_state_dict(backbone, strict=True)
