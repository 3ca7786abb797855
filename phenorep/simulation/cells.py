"""Cells of one field: where they are, the outlines of cells and nuclei, and the three stains.

Outlines are tables of a radius by angle around an integer centre, so that one polar grid serves every cell of every field.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from phenorep.simulation.textures import noise

_REACH = 80  # pixels: no cell is larger than this in any direction
_ANGLES = 360
_VISIBLE = 30  # pixels: a nucleus of which less is in the field is not counted
_INTERPHASE, _METAPHASE, _MONOPOLAR, _ANAPHASE = range(4)


@dataclass(frozen=True)
class Cells:
    """All cells in and around a field."""

    y: np.ndarray  # (K,) int, centre in pixels of the field; may lie outside
    x: np.ndarray
    axis: np.ndarray  # (K,) radians, direction of the long axis
    stage: np.ndarray  # (K,) int
    traits: dict[str, np.ndarray]  # parameter -> (K,)


@dataclass(frozen=True)
class Bodies:
    """Which cell covers a pixel, and where in the cell it lies."""

    owner: np.ndarray  # (H, W) int, -1 where there is no cell
    radius: np.ndarray  # (H, W) float32: 0 in the cell's centre, 1 at its outline
    depth: np.ndarray  # (H, W) float32: pixels to the edge of the cell or to its neighbour
    overlap: np.ndarray  # (H, W) float32: how much of a second cell lies over or under it


@lru_cache
def _polar() -> tuple[np.ndarray, np.ndarray]:
    """Radius (pixels) and index of the angle on a grid around a centre: each (2 * reach + 1, 2 * reach + 1)."""
    along = np.arange(-_REACH, _REACH + 1)
    y, x = np.meshgrid(along, along, indexing="ij")
    angle = np.mod(np.arctan2(y, x), 2 * np.pi)
    return np.hypot(y, x).astype(np.float32), (angle / (2 * np.pi) * _ANGLES).astype(np.intp) % _ANGLES


def _windows(y: int, x: int, half: int, size: int) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """The part of a patch that lies in the field: its place in the field and in the polar grid; None if there is none."""
    top, bottom, left, right = max(y - half, 0), min(y + half + 1, size), max(x - half, 0), min(x + half + 1, size)
    if top >= bottom or left >= right:
        return None
    inside = slice(top - y + _REACH, bottom - y + _REACH), slice(left - x + _REACH, right - x + _REACH)
    return (slice(top, bottom), slice(left, right)), inside


def place(count: float, size: int, spacing: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Centres of cells in and around a field, about `spacing` pixels apart or more, with crowds and gaps: y, x (K,) int."""
    margin = 40
    wide = size + 2 * margin
    wanted = rng.poisson(count * (wide / size) ** 2)
    candidates = rng.uniform(0, wide, (12 * wanted + 1, 2))
    crowding = noise("crowds", wide, rng)
    liked = crowding[candidates[:, 0].astype(int), candidates[:, 1].astype(int)]
    candidates = candidates[rng.random(len(candidates)) < 1 / (1 + np.exp(-1.6 * liked))]
    nearest = spacing * rng.uniform(0.85, 1.15, len(candidates))
    kept = np.empty((wanted, 2))
    number = 0
    for candidate, distance in zip(candidates, nearest, strict=True):
        if number == wanted:
            break
        if not number or ((kept[:number] - candidate) ** 2).sum(axis=1).min() > distance**2:
            kept[number] = candidate
            number += 1
    centres = np.round(kept[:number] - margin).astype(int)
    return centres[:, 0], centres[:, 1]


def populate(y: np.ndarray, x: np.ndarray, traits: dict[str, np.ndarray], rng: np.random.Generator) -> Cells:
    """Give cells their direction and their place in the cell cycle."""
    count = len(y)
    common = rng.uniform(0, np.pi)
    wander = rng.normal(0, 1, count) * (1 - traits["cell_alignment"]) * 1.6 + rng.normal(0, 0.15, count)
    stage = np.full(count, _INTERPHASE)
    dividing = rng.random(count) < traits["mitotic"]
    monopolar = rng.random(count) < traits["mitotic_monopolar"]
    stage[dividing] = np.where(rng.random(count) < 0.75, _METAPHASE, _ANAPHASE)[dividing]
    stage[dividing & monopolar] = _MONOPOLAR
    traits = dict(traits)
    late = rng.random(count) < 0.35  # cells that have copied their DNA
    traits["nucleus_radius"] = traits["nucleus_radius"] * np.where(late, 1.12, 1.0)
    traits["nucleus_level"] = traits["nucleus_level"] * np.where(late, 1.12, 1.0)
    # A dividing cell rounds up.
    round_up = stage != _INTERPHASE
    for name, factor in (("cell_radius", 0.55), ("cell_corners", 0.1), ("cell_ruffle", 0.5), ("actin_fibres", 0.0)):
        traits[name] = np.where(round_up, traits[name] * factor, traits[name])
    traits["cell_aspect"] = np.where(round_up, traits["cell_aspect"] ** 0.3, traits["cell_aspect"])
    traits["vacuoles"] = np.where(round_up, 0.3 * traits["vacuoles"], traits["vacuoles"])
    return Cells(y, x, common + wander, stage, traits)


def _ellipses(radius: np.ndarray, aspect: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Outlines of ellipses of equal area as circles of `radius`: (K, angles)."""
    theta = (np.arange(_ANGLES) + 0.5) / _ANGLES * 2 * np.pi - axis[:, None]
    stretch = np.sqrt(aspect)[:, None]
    return radius[:, None] / np.sqrt((np.cos(theta) / stretch) ** 2 + (np.sin(theta) * stretch) ** 2)


def _waves(orders: range, count: int, rng: np.random.Generator) -> np.ndarray:
    """Random closed curves around 0 of about unit spread, fine waves lower than broad ones: (count, angles)."""
    theta = (np.arange(_ANGLES) + 0.5) / _ANGLES * 2 * np.pi
    fall = 1 / np.array(orders)
    weights = rng.normal(0, 1, (2, count, len(orders))) * fall / np.sqrt((fall**2).sum())
    return weights[0] @ np.cos(np.outer(orders, theta)) + weights[1] @ np.sin(np.outer(orders, theta))


def bodies(cells: Cells, size: int, rng: np.random.Generator) -> Bodies:
    """Outline every cell and share the field among them: a pixel belongs to the cell whose outline it is deepest in."""
    count = len(cells.y)
    traits = cells.traits
    theta = (np.arange(_ANGLES) + 0.5) / _ANGLES * 2 * np.pi
    corners = np.zeros((count, _ANGLES))
    for _ in range(5):
        # Corners, with hollow edges between them: a spread cell hangs between its points of adhesion.
        height = rng.uniform(0, 1.6, (count, 1)) * traits["cell_corners"][:, None]
        corners += height * np.exp(11 * (np.cos(theta - rng.uniform(0, 2 * np.pi, (count, 1))) - 1))
    outline = _ellipses(np.ones(count), traits["cell_aspect"], cells.axis) * (0.75 + corners)
    outline *= 1 + traits["cell_ruffle"][:, None] * _waves(range(5, 24), count, rng)
    outline *= (traits["cell_radius"] / np.sqrt((outline**2).mean(axis=1)))[:, None]
    outline = np.clip(outline, 13, _REACH - 2).astype(np.float32)

    distance, angle = _polar()
    best = np.full((size, size), 9, np.float32)
    second = best.copy()
    reach = np.ones_like(best)
    owner = np.full((size, size), -1)
    for index in range(count):
        windows = _windows(cells.y[index], cells.x[index], int(outline[index].max()) + 2, size)
        if windows is None:
            continue
        field, patch = windows
        radius = outline[index][angle[patch]]
        here = distance[patch] / radius
        closer = here < best[field]
        second[field] = np.where(closer, best[field], np.minimum(second[field], here))
        best[field] = np.where(closer, here, best[field])
        reach[field] = np.where(closer, radius, reach[field])
        owner[field] = np.where(closer & (here < 1), index, owner[field])
    depth = np.minimum(1 - best, 0.5 * (second - best)) * reach
    overlap = np.clip((1 - second) / 0.1, 0, 1) * np.clip(1 - (second - best) / 0.15, 0, 1)
    return Bodies(owner, best, depth, overlap)


@dataclass(frozen=True)
class Nuclei:
    """The DNA stain of a field, and the truth about it."""

    image: np.ndarray  # (H, W) float32
    mask: np.ndarray  # (H, W) uint16: 0 background, 1..N
    centres: np.ndarray  # (N, 2) float: y, x of each nucleus, inside its mask


def nuclei(cells: Cells, size: int, rng: np.random.Generator) -> Nuclei:
    """Draw the nuclei of all cells: one, or two after a failed division; chromosomes in dividing cells."""
    table = _nuclei_of(cells, rng)
    count = len(table["y"])
    kind = table["kind"]
    outline = _ellipses(table["radius"], table["aspect"], table["axis"])
    outline *= 1 + np.clip(table["lobes"][:, None] * _waves(range(1, 5), count, rng), -0.40, 0.25)
    outline = np.clip(outline, 3, 50).astype(np.float32)
    distance, angle = _polar()
    image = np.zeros((size, size), np.float32)
    depth = np.ones((size, size), np.float32)
    label = np.zeros((size, size), np.int32)
    coarse, fine = noise("coarse", size, rng), noise("fine", size, rng)
    for index in range(count):
        windows = _windows(table["y"][index], table["x"][index], int(outline[index].max()) + 2, size)
        if windows is None:
            continue
        field, patch = windows
        radius = outline[index][angle[patch]]
        here = distance[patch] / radius
        texture = table["coarseness"][index] * coarse[field] + (1 - table["coarseness"][index]) * fine[field]
        stain = 1 + table["contrast"][index] * texture
        if kind[index] == _INTERPHASE:
            stain *= _nucleoli(table, index, field, here.shape, rng)
        elif kind[index] == _MONOPOLAR:
            stain *= 0.25 + np.exp(-(((here - 0.66) / 0.24) ** 2))
        edge = np.clip((radius - distance[patch]) / 2.5, 0, 1)
        light = table["level"][index] * np.maximum(stain, 0.1) * edge * (1.05 - 0.25 * here * here)
        # Nuclei that overlap are flattened against each other: their light does not add up in full.
        image[field] = np.maximum(image[field], light) + 0.35 * np.minimum(image[field], light)
        nearer = (here < 1) & (here < depth[field])
        depth[field] = np.where(nearer, here, depth[field])
        label[field] = np.where(nearer, index + 1, label[field])
    return Nuclei(image, *_truth(label, count))


def _nuclei_of(cells: Cells, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One row per nucleus (column -> (N,))."""
    traits, count = cells.traits, len(cells.y)
    double = (rng.random(count) < traits["binucleate"]) & (cells.stage == _INTERPHASE)
    pair = double | (cells.stage == _ANAPHASE)
    axis = cells.axis + rng.normal(0, 0.35, count)
    half_gap = np.where(double, 0.8 * traits["nucleus_radius"], 7.5)
    tilt = axis + rng.normal(0, 0.4, count) * double
    off_centre = rng.normal(0, 2.5, (2, count))
    parts = []
    for side, members in ((0, ~pair), (1, pair), (-1, pair)):
        stage = cells.stage
        # Chromosomes line up across the axis along which the cell divides.
        bar = (stage == _METAPHASE) | (stage == _ANAPHASE)
        radius = traits["nucleus_radius"] * np.where(double, 0.8, 1.0)
        radius = np.where(bar, 0.62 * radius, np.where(stage == _MONOPOLAR, 0.85 * radius, radius))
        part = {
            "y": np.round(cells.y + off_centre[0] + side * half_gap * np.sin(tilt)).astype(int),
            "x": np.round(cells.x + off_centre[1] + side * half_gap * np.cos(tilt)).astype(int),
            "kind": np.where(bar, _METAPHASE, stage),
            "radius": radius,
            "aspect": np.where(bar, 2.8, np.where(stage == _MONOPOLAR, 1.08, np.maximum(traits["nucleus_aspect"], 1.0))),
            "axis": np.where(bar, axis + np.pi / 2, axis + rng.normal(0, 0.2, count)),
            "lobes": np.where(stage == _INTERPHASE, traits["nucleus_lobes"], 0.08),
            "level": traits["nucleus_level"] * np.where(stage == _INTERPHASE, 1.0, 1.9),
            "contrast": np.where(stage == _INTERPHASE, traits["chromatin_contrast"], 0.3),
            "coarseness": traits["chromatin_coarseness"],
            "nucleoli": traits["nucleoli"],
        }
        parts.append({name: values[members] for name, values in part.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _nucleoli(table: dict, index: int, field: tuple[slice, slice], shape: tuple, rng: np.random.Generator) -> np.ndarray:
    """Factor below 1 where DNA is spared by nucleoli."""
    number = rng.integers(1, 5)
    reach = 0.5 * table["radius"][index]
    at = rng.normal(0, reach * 0.7, (2, number))
    width = rng.uniform(1.4, 2.6, number)
    y = np.arange(shape[0])[:, None] + field[0].start - table["y"][index]
    x = np.arange(shape[1])[:, None] + field[1].start - table["x"][index]
    # A Gaussian spot is the product of one profile along y and one along x.
    spots = np.exp(-0.5 * ((y - at[0]) / width) ** 2) @ np.exp(-0.5 * ((x - at[1]) / width) ** 2).T
    return (1 - table["nucleoli"][index] * np.minimum(spots, 1)).astype(np.float32)


def _truth(label: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Mask numbered 1..N without nuclei that are hardly in the field, and a centre inside each."""
    area = np.bincount(label.ravel(), minlength=count + 1)
    visible = area >= _VISIBLE
    visible[0] = False
    numbers = np.zeros(count + 1, np.uint16)
    numbers[visible] = np.arange(1, visible.sum() + 1)
    mask = numbers[label]
    y, x = np.nonzero(mask)
    of = mask[y, x]
    total = np.maximum(np.bincount(of, minlength=visible.sum() + 1), 1)
    middle = np.stack([np.bincount(of, weights=along, minlength=len(total)) / total for along in (y, x)], axis=1)
    # The centre of gravity of a bent nucleus may lie outside it: then its own pixel nearest to it.
    far = (y - middle[of, 0]) ** 2 + (x - middle[of, 1]) ** 2
    order = np.lexsort((far, of))
    first = order[np.searchsorted(of[order], np.arange(1, len(total)))]
    nearest = np.stack([y[first], x[first]], axis=1).astype(float)
    centres = middle[1:]
    outside = mask[tuple(np.round(centres).astype(int).T)] != np.arange(1, len(total))
    centres[outside] = nearest[outside]
    return mask, centres
