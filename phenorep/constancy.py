"""Which features do not vary: decided where they enter, before any step, and carried on.

A feature that does not vary still differs between rows by rounding. Centring takes its value away and leaves the rounding;
what then divides by the standard deviation makes noise as large as an effect. No later step can tell the two apart, so each
feature has a floor from the start: the deviation at or below which it is rounding. Steps carry it along.
"""

import numpy as np

# Features are stored as float32: what varies less than its last digit is rounding.
RELATIVE = float(np.finfo(np.float32).eps)
# Of the size of the larger features: a dead unit is 0, or what is left where large numbers cancelled. Far below what
# measurements of other units vary by: the least of untrained networks and of CellProfiler varies 500,000 times its floor.
ABSOLUTE = RELATIVE**2
_LARGER = 0.75  # quantile of the features' sizes: neither a quarter of huge ones nor three of dead ones changes it
_VALUES_AT_ONCE = 2**22


class Floor:
    """The floor of each feature by name, as it travels with a table (``table.attrs["floor"]``).

    pandas compares and copies what travels with a table: this object is equal to itself alone, and is its own copy.
    """

    def __init__(self, columns: list[str], values: np.ndarray):
        self.values = dict(zip(columns, values.tolist(), strict=True))

    def __deepcopy__(self, memo: dict) -> "Floor":
        return self

    def of(self, columns: list[str]) -> np.ndarray | None:
        """The floor (F,) of these features; None if one of them has none."""
        if not self.values.keys() >= set(columns):
            return None
        return np.array([self.values[name] for name in columns], dtype=np.float64)


def floor(values: np.ndarray) -> np.ndarray:
    """Standard deviation (F,) at or below which a feature of (N, F) values is rounding."""
    return _floor(_ranges(values)[2])


def constant(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which features of (N, F) values are the same in all rows, (F,) bool, and the `floor` of all."""
    low, high, size = _ranges(values)
    lowest = _floor(size)
    return high - low <= np.maximum(RELATIVE * np.maximum(high, -low), _absolute(size)), lowest


def mixed(floor: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Floor (K,) of features that are sums of old ones, times a matrix (F, K).

    Rounding of different features is independent, so squares add up. Entries of the matrix are rounded too: an entry that is
    0 but for that carries a little of its feature.
    """
    exact = RELATIVE * np.abs(matrix).max(axis=0, initial=0.0)
    return np.sqrt(floor**2 @ (matrix**2 + exact**2))


def carried(floor: np.ndarray, names: list[str], columns: list[str], values: np.ndarray) -> np.ndarray:
    """Floor of the features `columns` with (N, K) `values` that a step made which does not say how it carries the floor on.

    Features that keep their names keep their floor, but no more than the largest of the new ones would have: the step may
    have changed units. Others get that of features that enter.
    """
    size = _ranges(values)[2]
    kept, most, entering = dict(zip(names, floor, strict=True)), RELATIVE * size.max(initial=0.0), _floor(size)
    return np.array([min(kept[name], most) if name in kept else new for name, new in zip(columns, entering, strict=True)])


def _floor(size: np.ndarray) -> np.ndarray:
    # The mean, not the maximum: one outlying row among a million does not hide that the others vary.
    return np.maximum(RELATIVE * size, _absolute(size))


def _absolute(size: np.ndarray) -> float:
    larger = size[size > 0]
    return ABSOLUTE * float(np.quantile(larger, _LARGER)) if len(larger) else 0.0


def _ranges(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lowest, highest and mean absolute value of each feature, (F,) each; without a copy of many rows."""
    low, high, size = (np.zeros(values.shape[1]) for _ in range(3))
    if not len(values):
        return low, high, size
    step = max(1, _VALUES_AT_ONCE // len(values))
    for first in range(0, values.shape[1], step):
        chosen = slice(first, first + step)
        part = values[:, chosen]
        low[chosen], high[chosen] = part.min(axis=0), part.max(axis=0)
        size[chosen] = np.abs(part).mean(axis=0, dtype=np.float64)
    return low, high, size
