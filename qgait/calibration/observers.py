"""What calibration sees of one tensor, and how a grid is chosen from it.

An observer holds a histogram a row: one row for a feature map, one a part for parts. Clips are dealt to two halves
in turn, so that the steps of one half, compared with those of all data, tell whether more data would change them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qgait.quantizers.grid import Grid, activation_grid

Floats = NDArray[np.float64]
Function = Callable[[Floats], Floats]

BINS = 2048
METHODS = ("mse", "percentile", "minmax")
PERCENTILE = 99.99
NOTHING = 1e-6  # what does not leave the range up to here has none
SHARES = (0, 1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)  # of the codes that may lie below zero
CANDIDATES = np.geomspace(0.08, 1.0, 64)  # step sizes tried, as a share of the step that clips nothing


class Observer:
    """Range first, then histograms: ``see_range`` over all data, then ``see_values`` over the same data."""

    def __init__(self, rows: int) -> None:
        self.low = np.zeros(rows)
        self.high = np.full(rows, NOTHING)
        self.counts = np.zeros((2, rows, BINS))
        self.sums = np.zeros((2, rows, BINS))

    def see_range(self, values: NDArray[np.float32]) -> None:
        """``values`` [rows, n]."""
        self.low = np.minimum(self.low, values.min(1))
        self.high = np.maximum(self.high, values.max(1))

    def see_values(self, values: NDArray[np.float32], half: int) -> None:
        """``values`` [rows, n], all within the range seen before."""
        for row, value in enumerate(values):
            span = self.high[row] - self.low[row]
            index = np.clip(((value - self.low[row]) * (BINS / span)).astype(np.int64), 0, BINS - 1)
            self.counts[half, row] += np.bincount(index, minlength=BINS)
            self.sums[half, row] += np.bincount(index, value, minlength=BINS)

    def points(self, row: int, half: int | None) -> tuple[Floats, Floats]:
        """(value, weight) of every bin that is not empty."""
        counts, sums = (
            (self.counts.sum(0)[row], self.sums.sum(0)[row])
            if half is None
            else (self.counts[half, row], self.sums[half, row])
        )
        filled = counts > 0
        return sums[filled] / counts[filled], counts[filled]

    def is_flat(self, row: int) -> bool:
        """Whether nothing was seen in a row but zeros."""
        return bool(self.low[row] > -NOTHING and self.high[row] <= NOTHING)

    def clipped(self, grid: Grid, steps: Floats) -> float:
        """The share of values outside the grid."""
        outside = total = 0.0
        for row, step in enumerate(steps):
            value, weight = self.points(row, None)
            integer = np.floor(value / step + 0.5)
            outside += weight[(integer < grid.min_integer) | (integer > grid.max_integer)].sum()
            total += weight.sum()
        return float(outside / total)


def _steps(observer: Observer, grid: Grid, method: str, function: Function, half: int | None) -> tuple[Floats, float]:
    """The step of every row and the summed squared error of them all.

    A row of zeros has any step without an error: the widest of the others, or that of a range that ends at 1.
    """
    steps, error = np.zeros(len(observer.low)), 0.0
    for row in range(len(steps)):
        if observer.is_flat(row):
            continue
        value, weight = observer.points(row, half)
        low, high = float(observer.low[row]), float(observer.high[row])
        if method == "percentile":
            order = np.argsort(value)
            share = np.cumsum(weight[order]) / weight.sum()
            high = float(value[order][np.searchsorted(share, PERCENTILE / 100)])
            low = min(0.0, float(value[order][np.searchsorted(share, 1 - PERCENTILE / 100)]))
        widest = high / grid.max_integer
        if grid.min_integer < 0:
            widest = max(widest, low / grid.min_integer)
        widest = max(widest, 1e-8)
        candidates = widest * CANDIDATES if method == "mse" else np.array([widest])
        wanted = function(value)
        costs = np.empty(len(candidates))
        for i, step in enumerate(candidates):
            integer = np.clip(np.floor(value / step + 0.5), grid.min_integer, grid.max_integer)
            costs[i] = (weight * (function(integer * step) - wanted) ** 2).sum()
        best = int(np.argmin(costs))
        steps[row] = candidates[best]
        error += costs[best] / max(weight.sum(), 1)
    steps[steps == 0] = steps.max() or 1 / grid.max_integer
    return steps, error


def choose(
    observers: list[Observer],
    bits: int,
    method: str,
    function: Function,
    half: int | None = None,
    symmetric: bool = False,
) -> tuple[Grid, list[Floats]]:
    """One grid for tensors that are joined, and the steps of each.

    ``function`` is what follows the tensor before the next rounding: the error that counts is the one behind it. The
    share of codes below zero is the one with the least squared error; a tensor that is never negative spends
    none, a ``symmetric`` one
    (the embedding) half of them, so that its zero point is 0.
    """
    negative = any((observer.low < 0).any() for observer in observers)
    best: tuple[float, Grid, list[Floats]] | None = None
    shares: tuple[float, ...] = (1 / 2,) if symmetric else SHARES if negative else (0,)
    for share in shares:
        below = int(2**bits * share)
        if share and not below:
            continue
        grid = activation_grid(bits, below)
        results = [_steps(observer, grid, method, function, half) for observer in observers]
        error = sum(result[1] for result in results)
        if best is None or error < best[0]:
            best = error, grid, [result[0] for result in results]
    assert best is not None
    return best[1], best[2]
