"""Encoders: a network with all that is needed to use it, in one safetensors file.

The file's metadata (text to JSON text) name the recipe and its configuration, from which the network is built again, the
channels in their order, the input size, the scaling of pixel values, what the encoder was trained on, and how images became
the samples that it was made for (`phenorep.preparation`).
"""

import json
import struct
from pathlib import Path

import torch
from torch import nn

from phenorep import architectures, checksums, contracts, encoderfiles, plugins
from phenorep.errors import NotRun, UserError

_CHECK = "crc32"  # the key of the checksum among a file's metadata

SCALINGS = encoderfiles.SCALINGS


def check_scaling(scaling: str | dict) -> None:
    """Raise `ValueError` unless this is one of `SCALINGS` or ``{"clip": intensity}``."""
    if isinstance(scaling, dict):
        if set(scaling) != {"clip"}:
            raise ValueError(f"scaling must be plate, range or {{clip: an intensity}}, not {scaling}")
        check_clip(scaling["clip"])


def check_clip(clip: object) -> None:
    """Raise `ValueError` unless this is an intensity that can be divided by."""
    try:
        usable = float(clip) > 0  # it may be text, from --config
    except (TypeError, ValueError):
        usable = False
    if not usable:
        raise ValueError(f"scaling: clip must be an intensity above 0, not {clip!r}")


def full_range(dtype: torch.dtype, intensity_max: float | None) -> float:
    """The largest intensity that samples can hold: as the dataset states it, or else that of their type."""
    return float(intensity_max or torch.iinfo(dtype).max)


def scale(
    images: torch.Tensor, scaling: str | dict, means: torch.Tensor, stds: torch.Tensor, intensity_max: float | None = None
) -> torch.Tensor:
    """Raw integers to the numbers a network reads.

    Parameters
    ----------
    images
        (B, C, H, W) integers.
    scaling
        ``plate``: mean 0 and standard deviation 1 for each plate and channel; ``range``: 0 to 1 over the camera's range;
        ``{"clip": c}``: brighter pixels are set to `c`, then all are divided by it.
    means, stds
        (B, C) statistics of the plate that each sample comes from.
    intensity_max
        Largest intensity of the camera; None: that of the samples' type.

    Returns
    -------
    torch.Tensor
        (B, C, H, W) float32.
    """
    floats = images.to(torch.float32)
    if isinstance(scaling, dict):
        return floats.clamp_max(float(scaling["clip"])) / float(scaling["clip"])
    if scaling == "range":
        return floats / full_range(images.dtype, intensity_max)
    # A channel without any signal has no deviation to divide by: it stays at 0.
    return (floats - means[:, :, None, None]) / stds.clamp_min(1e-6)[:, :, None, None]


def backbone(name: str, channels: int, size: tuple[int, int] | None = None, **options) -> nn.Module:
    """An untrained network of timm without its classifier; weights come from torch's random state.

    Parameters
    ----------
    name
        timm's name of the architecture.
    channels
        Number of input planes.
    size
        Height and width in pixels that position embeddings are made for; transformers take other sizes too, by
        interpolation. None: the architecture's own.
    options
        Passed on to the architecture.

    Returns
    -------
    torch.nn.Module
        (B, channels, H, W) to (B, num_features).
    """
    import timm

    architectures.check(name)
    settings = {"pretrained": False, "in_chans": channels, "num_classes": 0, **options}
    own_size = {} if size is None else {"img_size": tuple(size)}
    # Vision transformers take a size and, most of them, interpolation of positions; convolutional networks take neither.
    for extra in ({**own_size, "dynamic_img_size": True, "dynamic_img_pad": True}, own_size):
        try:
            return timm.create_model(name, **settings, **extra)
        except TypeError:
            continue
    return timm.create_model(name, **settings)


def features_of(network: nn.Module, channels: int, size: tuple[int, int]) -> int:
    """Number of features that a network gives, found by trying."""
    training = network.training
    with torch.inference_mode():
        count = network.eval()(torch.zeros(1, channels, *size)).shape[1]
    network.train(training)
    return count


def save(path: str | Path, network: nn.Module, metadata: dict) -> None:
    """Write an encoder, whole or not at all; each value of `metadata` is kept as JSON."""
    from safetensors.torch import save as serialised

    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.state_dict().items()}
    content = serialised(tensors, metadata={key: json.dumps(value, sort_keys=True) for key, value in metadata.items()})
    # safetensors writes the metadata in any order: sorted, equal encoders are equal files.
    length = struct.unpack("<Q", content[:8])[0]
    header, weights = json.loads(content[8 : 8 + length]), content[8 + length :]
    header["__metadata__"][_CHECK] = _check_of(header, weights)
    text = json.dumps(header, sort_keys=True).encode()
    text += b" " * (-len(text) % 8)
    with contracts.replacing(path) as temporary:
        temporary.write_bytes(struct.pack("<Q", len(text)) + text + weights)


def _check_of(header: dict, weights: bytes) -> str:
    """Checksum of a file: of its header without the checksum, and of its weights."""
    facts = {key: value for key, value in header["__metadata__"].items() if key != _CHECK}
    return checksums.of_bytes(json.dumps({**header, "__metadata__": facts}, sort_keys=True).encode(), weights)


def check_whole(path: str | Path) -> None:
    """Raise `UserError` if an encoder file is not what was written; one without a checksum is taken as it is."""
    try:
        content = Path(path).read_bytes()
        length = struct.unpack("<Q", content[:8])[0]
        header = json.loads(content[8 : 8 + length])
        stated = header["__metadata__"].get(_CHECK)
        if stated is not None and stated != _check_of(header, content[8 + length :]):
            raise ValueError("it is not what was written")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise checksums.Damaged(path, "an encoder", error) from error


def metadata(path: str | Path) -> dict:
    """Metadata of an encoder file, read without torch.

    Raises
    ------
    UserError
        If the file is missing or no safetensors file.
    """
    found = encoderfiles.metadata(path)
    if "not_run" in found:
        return {"not_run": found["not_run"]}
    return encoderfiles.decoded(path, {key: text for key, text in found.items() if key != _CHECK})


def stated(path: str | Path) -> dict:
    """Metadata of an encoder that was made; raises `NotRun` with the recorded reason if it was not."""
    found = metadata(path)
    if "not_run" in found:
        raise NotRun(found["not_run"])
    missing = {"recipe", "config", "channels", "input_size", "scaling"} - set(found)
    if missing:
        raise UserError(f"{path}: an encoder's metadata need {', '.join(sorted(missing))}. Remove the file and run again.")
    return found


def load_weights(network: nn.Module, path: str | Path, whose: str) -> None:
    """Put the weights of an encoder file into a network of the same build.

    Raises
    ------
    UserError
        If names or shapes of the weights differ; the message names the first difference.
    """
    from safetensors.torch import load_file

    check_whole(path)
    try:
        tensors = load_file(path)
    except Exception as error:  # its own kinds of error
        raise UserError(f"{path}: its weights cannot be read ({error}). Remove the file and run again.") from error
    check_weights(network, tensors, path, whose)
    network.load_state_dict(tensors, strict=True)


def check_weights(network: nn.Module, tensors: dict[str, torch.Tensor], path: str | Path, whose: str) -> None:
    """Raise `UserError` unless `tensors` are exactly the weights that `network` has."""
    own = network.state_dict()
    for name in own:
        if name not in tensors:
            raise UserError(
                f"{path}: has no weights '{name}', which {whose} needs. Choose the backbone that the file is of."
            )
        if own[name].shape != tensors[name].shape:
            found, expected = tuple(tensors[name].shape), tuple(own[name].shape)
            raise UserError(
                f"{path}: weights '{name}' have shape {found}; {whose} needs {expected}. "
                "Number of channels, input size and backbone must be the same."
            )
    for name in tensors:
        if name not in own:
            raise UserError(f"{path}: holds weights '{name}', which {whose} has no place for. Choose the backbone it is of.")


class Encoder(nn.Module):
    """A network that is ready to use on raw samples.

    Parameters
    ----------
    network
        (B, C, H, W) float32 to (B, features).
    metadata
        What stands in the encoder's file.
    """

    def __init__(self, network: nn.Module, metadata: dict):
        super().__init__()
        self.network = network.eval()
        self.metadata = metadata
        self.channels: list[str] = list(metadata["channels"])
        self.features: int = int(metadata["features"])
        self.input_size: tuple[int, int] = tuple(metadata["input_size"])
        self.scaling: str | dict = metadata["scaling"]

    @classmethod
    def load(cls, path: str | Path, device: str | torch.device = "cpu") -> "Encoder":
        """Build the network again from its recipe and load its weights.

        Raises
        ------
        NotRun
            If the file records that the encoder was not made; the reason is the recorded one.
        """
        facts = stated(path)
        encoderfiles.check(path, facts, check_scaling)
        recipe = plugins.load("methods", facts["recipe"])
        config = plugins.configure(recipe.Config, facts["config"], f"{path}: config")
        try:
            with torch.random.fork_rng(devices=[]):  # initial weights are thrown away: drawing them must change nothing
                network = recipe.Recipe.build_encoder(config, len(facts["channels"]), tuple(facts["input_size"]))
        except (RuntimeError, MemoryError, TypeError, ValueError, AssertionError) as error:
            raise UserError(
                f"{path}: recipe '{facts['recipe']}' builds no network of its configuration ({error}). Take a file that "
                "phenorep has written, or remove it and run again."
            ) from error
        load_weights(network, path, f"recipe '{facts['recipe']}' as configured")
        return cls(network, facts).to(device, memory_format=torch.channels_last)

    @property
    def device(self) -> torch.device:
        """Where the weights are (an encoder without weights computes where the images are)."""
        first = next(self.network.parameters(), None)
        return torch.device("cpu") if first is None else first.device

    @torch.inference_mode()
    def embed(
        self, images: torch.Tensor, means: torch.Tensor, stds: torch.Tensor, intensity_max: float | None = None
    ) -> torch.Tensor:
        """Features of raw samples.

        Parameters
        ----------
        images
            (B, C, H, W) integers as stored, channels in the encoder's order.
        means, stds
            (B, C) statistics of each sample's plate.
        intensity_max
            Largest intensity of the samples' camera; None: that of their type.

        Returns
        -------
        torch.Tensor
            (B, features) float32.
        """
        return self(scale(images, self.scaling, means, stds, intensity_max))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features of scaled samples: (B, C, H, W) float32 to (B, features) float32; gradients flow."""
        return self.network(images).to(torch.float32)

    def positions(self, channels: list[str], use: list[str] | None = None, where: str = "") -> list[int]:
        """Positions, among the channels of a sample set, of the planes that this encoder reads.

        Parameters
        ----------
        channels
            Channels of the sample set.
        use
            Channels that take the place of the encoder's own, in their order; None: the same names are needed, in
            the same order unless the encoder was configured for some of several channels.
        where
            The sample set, for messages.

        Raises
        ------
        UserError
            If a channel is missing or the order differs: a silent swap spoils a result.
        """
        chosen = self.channels if use is None else list(use)
        if len(chosen) != len(self.channels):
            raise UserError(
                f"channels: {', '.join(chosen)} are {len(chosen)}; the encoder reads {', '.join(self.channels)}."
            )
        selects = use is not None or self.metadata["config"].get("channels") is not None
        if all(name in channels for name in chosen) and (selects or chosen == list(channels)):
            return [list(channels).index(name) for name in chosen]
        raise UserError(
            f"{where}: has the channels {', '.join(channels)}; the encoder reads {', '.join(self.channels)}. State the "
            "key 'channels' on the method: the sample set's channels that take their places, in the encoder's order."
        )
