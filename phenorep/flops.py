"""How much a network computes: floating-point operations of one image, counted by a run in which they are left out.

A training step of a recipe is run as it is, on images of zeros, but for its products of matrices and convolutions: of these
only the shapes are followed, which takes no time, however large the network. Two operations are counted for a multiplication
and the addition that follows it; all else (activations, norms, augmentation, the optimiser) is little beside them and not
counted [0].

[0] torch.utils.flop_counter, whose formulas are used
"""

import contextlib
import io
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import flop_registry

from phenorep import plugins, recipes

_BATCH, _SIDE, _ROWS, _CLASSES = 2, 64, 1024, 16  # enough for batch norms and for most numbers of clusters


@dataclass(frozen=True)
class Work:
    """What an encoder takes. Operations are those of one image."""

    parameters: int  # of the encoder that is kept
    states: int  # numbers in a training's checkpoint: network, heads, the optimiser's state
    features: int
    forward: int  # of one pass, as when it is applied
    step: int  # of a training step: all passes of all views there and back, and the heads; 0: nothing is trained
    start: int  # once, before the first epoch: where clusters are sought among all images


class LeftOut(TorchDispatchMode):
    """Counts the operations of products and convolutions in `total`, and gives zeros in their place."""

    def __init__(self):
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """One operation of the network."""
        kwargs = kwargs or {}
        formula = flop_registry.get(func._overloadpacket)
        if formula is None:
            whole = func.decompose(*args, **kwargs)
            return func(*args, **kwargs) if whole is NotImplemented else whole
        shapes = tree_map_only(torch.Tensor, lambda tensor: tensor.to("meta"), (args, kwargs))
        out = func(*shapes[0], **shapes[1])
        self.total += formula(*args, **kwargs, out_val=out)
        return tree_map_only(torch.Tensor, lambda like: torch.zeros_like(like, device="cpu"), out)


@contextlib.contextmanager
def left_out():
    """Everything within is counted, and hardly computed."""
    with LeftOut() as counted, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield counted


def of_method(method: dict, size: tuple[int, int]) -> Work:
    """What a method's encoder takes on samples of a shape.

    Parameters
    ----------
    method
        Its block of the resolved configuration: {"use", "keys"}, with its channels among the keys. Published weights are not
        loaded.
    size
        Height and width of the samples in pixels.

    Raises
    ------
    UserError
        If a key has no right value.
    """
    module = plugins.load("methods", method["use"])
    learns = "epochs" in plugins.config_keys("methods", method["use"])
    drawn = plugins.constants("methods", method["use"]).get("DRAWN", {})  # published weights are not read, as many are drawn
    keys = method["keys"] | drawn
    config = plugins.configure(module.Config, keys, f"methods: {method['use']}")
    channels = list(config.channels)
    shape = (len(channels), *size)
    with left_out() as counted, contextlib.redirect_stdout(io.StringIO()):
        recipe = module.Recipe(config, channels, size, _CLASSES)
        if not learns:
            network = recipe.trained_encoder()
            parameters = _numbers(network.state_dict())
            forward = _forward(network, shape, counted)
            return Work(parameters, 0, recipe.features, forward, 0, 0)
        recipe.setup()
        network = recipe.trained_encoder()
        forward = _forward(network, shape, counted)
        step, start = _training(recipe.train(), shape, forward, counted)
    # Of momentum one number a weight is kept, of Adam two.
    moments = {"sgd": 1}.get(config.optimiser, 2)
    learned = sum(parameter.numel() for parameter in recipe.parameters() if parameter.requires_grad)
    states = _numbers(recipe.state_dict()) + moments * learned
    return Work(_numbers(network.state_dict()), states, recipe.features, forward, step, start)


def _forward(network: torch.nn.Module, shape: tuple[int, int, int], counted: LeftOut) -> int:
    before = counted.total
    with torch.no_grad():
        network.eval()(torch.zeros(1, *shape))
    return counted.total - before


def _training(recipe: recipes.Recipe, shape: tuple, forward: int, counted: LeftOut) -> tuple[int, int]:
    """Operations of a step, and once before the first epoch, for each image."""
    labels = np.arange(_ROWS) % _CLASSES
    seen = [0]
    handle = recipe.encoder.register_forward_hook(lambda _, images, __: seen.append(len(images[0])))
    recipe.order(labels, np.random.default_rng(0))
    small = (shape[0], *(min(side, _SIDE) for side in shape[1:]))
    recipe.on_epoch_start(1, lambda rows=None: (_batch(range(i, i + 128), labels, small) for i in range(0, _ROWS, 128)))
    start = round(sum(seen) / _ROWS * forward)
    handle.remove()
    before = counted.total
    loss = recipe(_batch(range(_BATCH), labels, shape))
    loss.backward()
    return round((counted.total - before) / _BATCH), start


def _batch(rows: range, labels: np.ndarray, shape: tuple) -> recipes.Batch:
    images, known = torch.zeros(len(rows), *shape), torch.from_numpy(labels[rows.start : rows.stop])
    statistics = torch.ones(len(rows), shape[0])
    return recipes.Batch(images, known, torch.tensor(list(rows)), statistics, statistics, 0.0, images)


def _numbers(state: dict) -> int:
    return sum(tensor.numel() for tensor in state.values() if isinstance(tensor, torch.Tensor))
