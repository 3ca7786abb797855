"""The actin and tubulin stains of a field: cell bodies, cortex, stress fibres, microtubules, clumps and vesicles.

Filaments are drawn as points along curves, for all cells at once; the blur of the optics joins them.
"""

from __future__ import annotations

import numpy as np

from phenorep.simulation.cells import Bodies, Cells
from phenorep.simulation.textures import noise

# Traits are products of many effects: without a limit a strong one asks for millions of vesicles in a cell.
_MOST = 1000


def splat(y: np.ndarray, x: np.ndarray, weight: np.ndarray, size: int) -> np.ndarray:
    """Add points of a weight to an image, each shared among its four nearest pixels: (size, size) float32."""
    top, left = np.floor(y).astype(np.intp), np.floor(x).astype(np.intp)
    inside = (top >= 0) & (left >= 0) & (top < size - 1) & (left < size - 1) & (weight > 0)
    top, left, weight = top[inside], left[inside], weight[inside]
    down, right = y[inside] - top, x[inside] - left
    corner = top * size + left
    image = np.zeros(size * size)
    for step, share in (
        (0, (1 - down) * (1 - right)),
        (1, (1 - down) * right),
        (size, down * (1 - right)),
        (size + 1, down * right),
    ):
        image += np.bincount(corner + step, weights=weight * share, minlength=size * size)
    return image.reshape(size, size).astype(np.float32)


def _in_cell(y: np.ndarray, x: np.ndarray, cell: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Which points lie in the field and in their own cell."""
    size = len(owner)
    row, column = np.round(y).astype(np.intp), np.round(x).astype(np.intp)
    inside = (row >= 0) & (column >= 0) & (row < size) & (column < size)
    return inside & (owner[np.clip(row, 0, size - 1), np.clip(column, 0, size - 1)] == cell)


def _scatter(cells: Cells, number: np.ndarray, rng: np.random.Generator, reach: float) -> tuple[np.ndarray, ...]:
    """Random points in the ellipses of the cells, at most some thousand in each: cell index, y, x, each (M,)."""
    cell = np.repeat(np.arange(len(number)), rng.poisson(np.minimum(number, _MOST)))
    along, across = rng.normal(0, reach, (2, len(cell))) * cells.traits["cell_radius"][cell]
    stretch = np.sqrt(cells.traits["cell_aspect"][cell])
    along, across = along * stretch, across / stretch
    cos, sin = np.cos(cells.axis[cell]), np.sin(cells.axis[cell])
    return cell, cells.y[cell] + along * sin + across * cos, cells.x[cell] + along * cos - across * sin


def stress_fibres(cells: Cells, owner: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Straight bundles of actin along the axis of each cell: (H, W) float32."""
    traits = cells.traits
    cell, y, x = _scatter(cells, traits["actin_fibres"], rng, 0.42)
    angle = cells.axis[cell] + rng.normal(0, 1, len(cell)) * traits["actin_disorder"][cell]
    length = traits["cell_radius"][cell] * rng.uniform(0.7, 1.9, len(cell)) * np.sqrt(traits["cell_aspect"][cell])
    steps = np.arange(-45, 46)
    bend = rng.normal(0, 0.004, (len(cell), 1)) * steps
    cos, sin = np.cos(angle[:, None] + bend), np.sin(angle[:, None] + bend)
    y, x = y[:, None] + steps * sin, x[:, None] + steps * cos
    # More fibres are thinner ones, so that their number changes the texture more than the mean.
    weight = rng.lognormal(-0.6, 0.5, len(cell)) * (16 / np.maximum(traits["actin_fibres"][cell], 2)) ** 0.5
    weight = weight[:, None] * (np.abs(steps) < length[:, None] / 2)
    weight = weight * _in_cell(y, x, cell[:, None], owner)
    return splat(y, x, weight, len(owner))


def microtubules(cells: Cells, owner: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Curved filaments that grow outwards from beside the nucleus: (H, W) float32."""
    traits, count = cells.traits, len(cells.y)
    dividing = cells.stage > 0
    cell = np.repeat(np.arange(count), rng.poisson(np.minimum(traits["tubulin_filaments"], _MOST)))
    total = len(cell)
    # Some filaments start at the organising centre beside the nucleus, most elsewhere around and over it.
    side = rng.uniform(0, 2 * np.pi, count)
    start = rng.uniform(0, 2 * np.pi, total)
    centred = rng.random(total) < 0.2
    start = np.where(centred, side[cell] + rng.normal(0, 0.3, total), start)
    from_centre = np.where(dividing, 5.0, traits["nucleus_radius"])[cell] * np.where(
        centred, 0.9, rng.uniform(0.3, 1.5, total)
    )
    heading = np.where(centred, rng.uniform(0, 2 * np.pi, total), start + rng.normal(0, 0.6, total))
    bundled = rng.random(total) < traits["tubulin_bundling"][cell]
    lane = rng.integers(0, 4, total)
    lanes = rng.uniform(0, 2 * np.pi, (count, 4))[cell, lane]
    heading = np.where(bundled, lanes + np.pi / 2 + rng.normal(0, 0.12, total), heading)
    start = np.where(bundled, lanes + rng.normal(0, 0.25, total), start)
    length = traits["tubulin_length"][cell] * rng.uniform(0.4, 1.5, total) * np.where(dividing, 0.4, 1.0)[cell]
    steps = int(min(length.max(initial=1), 75)) + 1
    # A filament bends steadily one way and wanders besides; those of a bundle bend alike.
    alike = rng.normal(0, 0.25, (count, 4))[cell, lane]
    steady = np.where(bundled, alike, rng.normal(0, 0.35, total)) * traits["tubulin_bend"][cell]
    turn = np.where(bundled, 0.2, 1.0) * traits["tubulin_bend"][cell]
    wander = rng.standard_normal((total, steps), dtype=np.float32) * turn[:, None] + steady[:, None]
    direction = heading[:, None] + np.cumsum(wander, axis=1)
    along, across = np.cumsum(np.cos(direction), axis=1), np.cumsum(np.sin(direction), axis=1)
    # Paths are made for a round cell and stretched with it.
    stretch = np.sqrt(traits["cell_aspect"])[cell, None]
    cos, sin = np.cos(cells.axis)[cell, None], np.sin(cells.axis)[cell, None]
    along, across = along * stretch, across / stretch
    y = cells.y[cell, None] + (from_centre * np.sin(start))[:, None] + along * sin + across * cos
    x = cells.x[cell, None] + (from_centre * np.cos(start))[:, None] + along * cos - across * sin
    weight = (90 / np.maximum(traits["tubulin_filaments"][cell], 5)) ** 0.5 * (
        40 / np.maximum(traits["tubulin_length"][cell], 9)
    ) ** 0.5
    weight = weight * np.where(dividing, 1.3, 1.0)[cell]
    weight = weight[:, None] * (np.arange(steps) < length[:, None]) * _in_cell(y, x, cell[:, None], owner)
    return splat(y, x, weight, len(owner))


def stains(cells: Cells, body: Bodies, dna: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Actin and tubulin of a field, about 1 in a control cell: two (H, W) float32."""
    from scipy.ndimage import gaussian_filter

    size = len(body.owner)
    if not len(cells.y):
        return np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)
    traits, inside = cells.traits, body.owner >= 0
    owner = np.where(inside, body.owner, 0)

    def per_pixel(values: np.ndarray) -> np.ndarray:
        return np.where(inside, values.astype(np.float32)[owner], 0)

    thick = np.where(cells.stage > 0, 1.7, 1.0)
    height = (0.32 + 0.68 * np.exp(-((body.radius / 0.5) ** 2))) * (1 - np.exp(-np.maximum(body.depth, 0) / 2.5))
    height = height * per_pixel(thick) * (1 + 0.6 * body.overlap)
    mottle = 1 + 0.2 * noise("mottle", size, rng)
    in_nucleus = np.clip(dna, 0, 1)

    cortex = np.exp(-(((body.depth - 1.3) / 1.7) ** 2)) * np.maximum(1 + 0.5 * noise("mottle", size, rng), 0.1)
    actin = per_pixel(0.55 * traits["actin_diffuse"]) * height * mottle * (1 - 0.2 * in_nucleus)
    actin += per_pixel(traits["actin_cortex"] * thick) * cortex
    actin += 0.55 * stress_fibres(cells, body.owner, rng) * (1 - 0.3 * in_nucleus)
    cell, y, x = _scatter(cells, traits["actin_puncta"], rng, 0.45)
    bright = rng.lognormal(1.1, 0.5, len(cell)) * _in_cell(y, x, cell, body.owner)
    actin += 1.8 * gaussian_filter(splat(y, x, bright, size), 1.1)

    tubulin = per_pixel(0.6 * traits["tubulin_diffuse"]) * height * (2 - mottle) * (1 - 0.5 * in_nucleus)
    tubulin += 0.24 * microtubules(cells, body.owner, rng) * (1 - 0.35 * in_nucleus) * (0.6 + 0.4 * height)

    cell, y, x = _scatter(cells, traits["vacuoles"], rng, 0.38)
    holes = rng.uniform(15, 60, len(cell)) * _in_cell(y, x, cell, body.owner)
    clear = 1 - 0.8 * np.clip(gaussian_filter(splat(y, x, holes, size), 2.1), 0, 1) * (1 - in_nucleus)
    return actin * clear, tubulin * clear
