"""Where does a vision transformer look? The attention of its class token to the patches of a sample, in the last layer.

The class token's output is the embedding, so its attention says which patches the embedding was gathered from. Attention is
taken for each head, without what goes to the class token itself and to registers, and sums to 1 over the patches. Foreground
is what is brighter than the sample's own Otsu threshold [2], in the mean of all channels of the sample set, each divided by
its plate's standard deviation: it is the same for all encoders of a sample set, so these can be compared.

``foreground_share`` is the share of the mean attention (over heads; over channels where each is shown alone) that falls on
foreground; attention spread evenly over the patches has the share that foreground has of the area (column ``even`` of the
details). ``iou`` compares, as [0] does, the patches that hold most of the attention with the foreground: intersection over
union; unlike [0], no head is chosen by what it scores. As the control, each sample gets the attention of another one: what
lies in the middle of all samples is found by that, too. High values mean that an encoder looks at cells, not that its
embeddings tell treatments apart.

[0] Caron et al. 2021, Emerging properties in self-supervised vision transformers, arXiv:2104.14294
[1] facebookresearch/dino, visualize_attention.py
[2] Otsu 1979, A threshold selection method from gray-level histograms, doi:10.1109/TSMC.1979.4310076
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from phenorep import statistics
from phenorep.errors import NotRun
from phenorep.evaluations import Inputs, Score, reasons, shuffled
from phenorep.order import by_name
from phenorep.treatments import treatments

TASK = "look at the cells, not at the background"
NEEDS = ("encoder", "samples")
REQUIRES = ()
LEVEL = None
UNIT = "well"
FIGURES = ("attention",)
METRICS = {
    "foreground_share": {"range": [0, 1], "better": "higher", "reference": "Caron et al. 2021, arXiv:2104.14294"},
    "iou": {"range": [0, 1], "better": "higher", "reference": "Caron et al. 2021, arXiv:2104.14294"},
}


@dataclass(frozen=True)
class Config:
    """How many samples are looked at, and how much attention makes a mask."""

    samples: int = 64  # drawn, spread over plates and treatments; more narrow the interval
    shown: int = 6  # of these, kept with all their maps for the report's figure; each takes a row of it
    mass: float = 0.6  # share of the attention that the patches of the mask hold for iou; as in [0]
    batch_size: int = 16  # fewer if the device runs out of memory: large fields in small patches have many tokens
    permutations: int = 20  # of samples, for the shuffled control

    def __post_init__(self):
        if self.samples < 2 or self.batch_size < 1 or self.permutations < 1:
            raise ValueError("samples must be 2 or more, batch_size and permutations 1 or more")
        if not 0 <= self.shown <= self.samples:
            raise ValueError(f"shown must be from 0 to samples ({self.samples}), not {self.shown}")
        if not 0 < self.mass < 1:
            raise ValueError(f"mass must lie between 0 and 1, not {self.mass}")


@dataclass(frozen=True)
class Maps:
    """Attention of N samples over h x w patches; each map sums to 1."""

    attention: np.ndarray  # (N, M, heads, h, w) float32; M is 1, or one for each channel that is shown alone
    patch: tuple[float, float]  # height and width of a patch, in pixels of the sample
    channels: list[list[str]]  # of each of the M maps: which channels the network saw together

    def mean(self) -> np.ndarray:
        """Over channels and heads, (N, h, w)."""
        return self.attention.mean(axis=(1, 2), dtype=np.float64)


def evaluate(config: Config, inputs: Inputs, seed: int) -> tuple[list[Score], pd.DataFrame]:
    """Compare attention with foreground.

    Returns
    -------
    scores
        ``foreground_share`` and ``iou`` with intervals over wells; also with the samples' attention exchanged.
    details
        Part ``item``: each sample's values. Part ``attention``: for the samples to be shown one row per map and head, with
        the grid's ``rows`` and ``columns``, the patch's size in pixels, and ``attention`` as a list, row by row. Part
        ``reason``.

    Raises
    ------
    NotRun
        If there are fewer than two samples with a foreground, the encoder was not made, or its embedding is not the output
        of a class token.
    """
    table, whole = inputs.samples.table, inputs.rows(inputs.samples.table)
    if len(whole) < 2:
        raise NotRun(f"attention needs at least two samples; there are {len(whole)}.")
    generator = np.random.default_rng(seed)
    whole = whole[by_name(table.iloc[whole])]
    names = _treatments(table.iloc[whole])
    rows = whole[_spread(table["Metadata_Plate"].iloc[whole].astype(str) + "\t" + names, config.samples, generator)]
    stated = [f"{len(rows)} of {len(whole)} samples were drawn (samples)."] if len(rows) < len(whole) else []
    masks = np.stack([foreground(image) for image in _levelled(inputs.samples, rows)])
    lit = masks.any(axis=(1, 2))
    if not lit.all():
        stated.append(f"{int((~lit).sum())} samples of one grey level have no foreground and are left out.")
    if lit.sum() < 2:
        raise NotRun("attention needs at least two samples with a foreground; the drawn ones have one grey level each.")
    rows, masks = rows[lit], masks[lit]
    maps = _attend(config, inputs, rows)
    inside, area = cover(masks, maps.attention.shape[-2:], maps.patch)
    mean = maps.mean()
    chosen = table.iloc[rows]
    wells = (chosen["Metadata_Plate"].astype(str) + "/" + chosen["Metadata_Well"].astype(str)).to_numpy()
    items = pd.DataFrame({"part": "item", "settings": "", "item": chosen["Sample"].astype(str).to_numpy(), "well": wells})
    items["unit"] = wells
    even = (inside / area).mean(axis=(1, 2))
    scores, parts = [], []
    for metric, score in (("foreground_share", foreground_share), ("iou", iou)):
        extra = (config.mass,) if metric == "iou" else ()
        values = score(mean, inside, area, *extra)
        low, high = statistics.share_interval(values, wells)
        scores.append(Score(metric, float(values.mean()), low, high, len(rows), unit=UNIT, units=len(set(wells))))
        draws = np.random.default_rng(seed)
        control = [score(mean[_others(len(rows), draws)], inside, area, *extra).mean() for _ in range(config.permutations)]
        scores += shuffled(metric, control, len(rows))
        parts.append(items.assign(metric=metric, value=values, even=even if metric == "foreground_share" else np.nan))
    shown = np.sort(_spread(_treatments(chosen), config.shown, generator))
    parts += [_shown(chosen, maps, shown), reasons(stated)]
    return scores, pd.concat([part for part in parts if len(part)], ignore_index=True)


def foreground_share(attention: np.ndarray, inside: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Share of each map that falls on foreground, (N,); within a patch attention lies evenly.

    Parameters
    ----------
    attention
        (N, h, w), each summing to 1.
    inside, area
        (N, h, w) and (h, w): pixels of foreground, and all pixels, of each patch; see `cover`.
    """
    return (attention * inside / area).sum(axis=(1, 2))


def iou(attention: np.ndarray, inside: np.ndarray, area: np.ndarray, mass: float) -> np.ndarray:
    """Intersection over union of the foreground with the fewest patches that hold `mass` of the attention, (N,)."""
    count = len(attention)
    flat, lit, size = attention.reshape(count, -1), inside.reshape(count, -1), area.ravel()
    order = np.argsort(-flat, axis=1, kind="stable")
    held = np.cumsum(np.take_along_axis(flat, order, axis=1), axis=1)
    # A patch is kept if those before it do not hold the mass yet; rounding must not add another one.
    kept = np.concatenate([np.ones((count, 1), bool), held[:, :-1] < mass - 1e-9], axis=1)
    both = (np.take_along_axis(lit, order, axis=1) * kept).sum(axis=1)
    either = (size[order] * kept).sum(axis=1) + lit.sum(axis=1) - both
    return both / either


def foreground(image: np.ndarray) -> np.ndarray:
    """Pixels above Otsu's threshold, (H, W) bool; none in an image of one grey level."""
    from phenorep.imaging import thresholds

    return image > thresholds.otsu(image.astype(np.float32).ravel())


def cover(masks: np.ndarray, grid: tuple[int, int], patch: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Foreground and area of each patch, in pixels; a patch's parts beyond the image's border have no area.

    Parameters
    ----------
    masks
        (N, H, W) bool.
    grid, patch
        Number of patches, and their size in pixels, which need not be whole: down and across.

    Returns
    -------
    tuple of numpy.ndarray
        (N, h, w) and (h, w).
    """
    down, across = (_overlap(*axis) for axis in zip(grid, patch, masks.shape[1:], strict=True))
    return down @ masks.astype(np.float64) @ across.T, np.outer(down.sum(axis=1), across.sum(axis=1))


def _overlap(count: int, length: float, pixels: int) -> np.ndarray:
    """How much of each pixel lies in each patch along one axis, (count, pixels)."""
    edges, places = np.arange(count + 1) * length, np.arange(pixels)
    return np.clip(np.minimum(edges[1:, None], places + 1) - np.maximum(edges[:-1, None], places), 0, None)


def class_attention(encoder, images, means, stds, intensity_max: float | None = None):
    """Attention of the class token to the patches, in the last layer of the encoder's transformer.

    Query and key are taken from the call of torch's fused attention that the layer makes (so norms and rotations of them
    are included, whatever the architecture); of the softmax, which that call does not return, only the row of the class
    token is computed.

    Parameters
    ----------
    encoder
        `encoders.Encoder`; the other parameters are as in its ``embed``.

    Returns
    -------
    attention
        (B, M, heads, h, w) float32 tensor; M is the number of images that the network saw of each sample.
    patch
        Height and width of a patch in pixels of `images`.

    Raises
    ------
    NotRun
        If the encoder has no class token, or makes its embedding without it.
    """
    import torch
    from torch.nn import functional
    from torch.overrides import TorchFunctionMode

    network = _transformer(encoder)
    seen = {}

    class Watch(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            kwargs = kwargs or {}
            if func is functional.scaled_dot_product_attention:
                query, key = args[:2]
                if query.shape[-2] == key.shape[-2]:  # tokens among themselves: no pooling
                    seen["last"] = query[..., :1, :], key, kwargs.get("attn_mask"), kwargs.get("scale")
            return func(*args, **kwargs)

    hook = network.register_forward_pre_hook(lambda _, args: seen.update(size=tuple(args[0].shape[-2:])))
    try:
        with Watch():
            encoder.embed(images, means, stds, intensity_max)
    finally:
        hook.remove()
    if "last" not in seen:
        raise NotRun(f"{type(network).__name__} does not compute attention among its tokens by torch's fused attention.")
    query, key, bias, factor = seen["last"]
    with torch.inference_mode():
        logits = (query.float() @ key.float().transpose(-2, -1)) * (query.shape[-1] ** -0.5 if factor is None else factor)
        if bias is not None:  # of relative positions
            logits = logits + bias[..., :1, :].float()
        row = logits.softmax(dim=-1)[..., 0, network.num_prefix_tokens :]
        height, width = network.patch_embed.dynamic_feat_size(seen["size"])
        attention = (row / row.sum(dim=-1, keepdim=True)).reshape(len(images), -1, row.shape[1], height, width)
    sides = zip(network.patch_embed.feat_ratio(as_scalar=False), images.shape[-2:], seen["size"], strict=True)
    return attention, tuple(float(length * own / read) for length, own, read in sides)


def _transformer(encoder):
    """The vision transformer within an encoder; raises `NotRun` where its class token is not what the embedding is."""
    for module in encoder.network.modules():
        if all(hasattr(module, name) for name in ("cls_token", "num_prefix_tokens", "patch_embed", "blocks")):
            if module.cls_token is None or getattr(module, "global_pool", "token") != "token":
                raise NotRun(
                    f"the embedding of {encoder.metadata['config'].get('backbone')} is not the output of a class token: "
                    "there is no attention from which it is made. Transformers such as vit_small_patch16_224 have one."
                )
            return module
    raise NotRun(
        f"{encoder.metadata['config'].get('backbone', encoder.metadata['recipe'])} has no class token that attends to "
        "patches. timm's vision transformers have one."
    )


def _attend(config: Config, inputs: Inputs, rows: np.ndarray) -> Maps:
    import torch

    from phenorep import devices
    from phenorep.encoders import Encoder

    settings = devices.configure(inputs.compute, devices=1)
    device = devices.accelerator(settings)
    encoder, samples = Encoder.load(inputs.encoder, device), inputs.samples
    planes = encoder.positions(list(samples.channels), inputs.channels, "samples")
    plates = np.asarray(samples.plate_index)[rows]
    found, patch = [], (1.0, 1.0)
    for first in range(0, len(rows), config.batch_size):
        part = slice(first, first + config.batch_size)
        images = torch.from_numpy(np.ascontiguousarray(samples.read(rows[part])[:, planes])).to(device)
        means, stds = (
            torch.as_tensor(np.asarray(values)[plates[part]][:, planes], dtype=torch.float32, device=device)
            for values in (samples.means, samples.stds)
        )
        with devices.repeatable(settings.threads):
            attention, patch = class_attention(encoder, images, means, stds, samples.intensity_max)
        found.append(attention.cpu().numpy())
    names = [samples.channels[plane] for plane in planes]
    alone = found[0].shape[1] > 1
    return Maps(np.concatenate(found), patch, [[name] for name in names] if alone else [names])


def _levelled(samples, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Mean over channels of each sample, (H, W), each channel in units of its plate's standard deviation."""
    stds = np.asarray(samples.stds, dtype=np.float32)
    for row in rows:
        weight = stds[samples.plate_index[row]]
        weight = np.divide(1, weight, out=np.zeros_like(weight), where=weight > 0)
        yield (samples.read([row])[0].astype(np.float32) * weight[:, None, None]).mean(axis=0)


def _treatments(table: pd.DataFrame) -> pd.Series:
    """Name of each row's treatment; empty where the samples know none."""
    known = {"Metadata_Treatment", "Metadata_Perturbation", "Metadata_Compound"} & set(table.columns)
    return treatments(table).astype(str) if known else pd.Series("", index=table.index)


def _spread(groups: pd.Series, count: int, generator: np.random.Generator) -> np.ndarray:
    """Places of `count` random rows: the groups take turns, in random order, until all rows are drawn."""
    order = generator.permutation(len(groups))
    turn = groups.iloc[order].groupby(groups.iloc[order].to_numpy()).cumcount().to_numpy()
    return order[np.argsort(turn, kind="stable")][:count]


def _others(count: int, generator: np.random.Generator) -> np.ndarray:
    """For each of `count` samples another one, each of them once."""
    order = generator.permutation(count)
    other = np.empty(count, dtype=np.int64)
    other[order] = np.roll(order, 1)
    return other


def _shown(table: pd.DataFrame, maps: Maps, shown: np.ndarray) -> pd.DataFrame:
    """Rows of the part ``attention``."""
    height, width = maps.attention.shape[-2:]
    found = []
    for place in shown:
        row = table.iloc[place]
        of = {"part": "attention", "item": str(row["Sample"]), "plate": str(row["Metadata_Plate"])}
        of |= {"rows": height, "columns": width, "patch_height": maps.patch[0], "patch_width": maps.patch[1]}
        for channels, heads in zip(maps.channels, maps.attention[place], strict=True):
            for head, attention in enumerate(heads):
                found.append({**of, "channels": channels, "head": head, "attention": attention.ravel()})
    return pd.DataFrame(found)
