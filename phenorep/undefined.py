"""Measurements that are undefined here and there: which of them can be features, and what stands in the gaps."""

import numpy as np

UNDEFINED = 0.01  # share of rows for which a measurement may be undefined before it is left out


class Summary:
    """Running mean and deviation of measurements, and how often they are defined: no screen must fit into memory."""

    def __init__(self, count: int):
        self.count = 0
        self.mean, self._squares = np.zeros(count), np.zeros(count)
        self._undefined, self._absent = np.zeros(count, np.int64), np.zeros(count, bool)

    def add(self, values: np.ndarray) -> None:
        """Add a plate's values (n, F), NaN where undefined."""
        undefined = np.isnan(values)
        self._undefined += undefined.sum(axis=0)
        self._absent |= undefined.all(axis=0)
        values = filled(np.where(self._absent, 0.0, values))
        n = len(values)
        mean = values.mean(axis=0)
        # Sums of squares about the mean of two parts add up to those of the whole [Chan, Golub, LeVeque 1983].
        self._squares += ((values - mean) ** 2).sum(axis=0) + (mean - self.mean) ** 2 * self.count * n / (self.count + n)
        self.mean = self.mean + (mean - self.mean) * n / (self.count + n)
        self.count += n

    def deviation(self) -> np.ndarray:
        """Standard deviation of each measurement, (F,)."""
        return np.sqrt(self._squares / self.count)

    def undefined(self) -> np.ndarray:
        """For how many rows each measurement is undefined, (F,)."""
        return self._undefined

    def usable(self) -> np.ndarray:
        """Which measurements vary, are defined for nearly all samples and for some on every plate, (F,) bool."""
        # Measurements are stored as float32: what varies less than its last digit is rounding.
        varies = self.deviation() > np.finfo(np.float32).eps * np.abs(self.mean)
        return varies & ~self._absent & (self._undefined <= UNDEFINED * self.count)


def filled(values: np.ndarray) -> np.ndarray:
    """A plate's values with the median of each column in the place of NaN."""
    undefined = np.isnan(values)
    if not undefined.any():
        return values
    return np.where(undefined, np.nanmedian(values, axis=0), values)
