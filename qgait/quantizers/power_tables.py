"""The tables of a generalized mean in integers: powers of the codes, and thresholds in place of the root.

Made once, in float64, from two grids and the power: what these tables say is what every runtime computes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qgait.models.layers import GEM_FLOOR
from qgait.quantizers.grid import Grid

LARGEST_SUM = 2**53 - 2  # exact in float64 too; one more is a threshold that no sum reaches


def power_tables(
    source: Grid, source_step: float, result: Grid, steps: ArrayLike, counts: ArrayLike, powers: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(powers [R, 256], thresholds [R, hi - lo]) of R regions of ``counts`` [R] codes with ``powers`` [R].

    ``powers[code + 128]`` is ``round(x ** p * F)`` with x at least 1e-6, and F as large as a region's sum allows below
    2**53. ``thresholds[k]`` is the least sum whose root is nearer to code ``lo + k + 1`` of the ``result``, whose steps
    are ``steps`` [R], than to a smaller one: ``ceil(n F ((integer - 1/2) step) ** p)``.
    """
    p, n, step = (np.asarray(values, np.float64)[:, None] for values in (powers, counts, steps))
    codes = np.clip(np.arange(-128, 128), source.lo, source.hi)
    x = np.maximum((codes - source.zero_point) * np.float64(source_step), GEM_FLOOR)
    largest = np.maximum(source.max_integer * np.float64(source_step), GEM_FLOOR)
    unit = LARGEST_SUM // n  # F * largest ** p
    table = np.floor(unit * (x / largest) ** p + 0.5)
    halves = np.maximum(np.arange(result.min_integer + 1, result.max_integer + 1) - 0.5, 0) * step
    with np.errstate(over="ignore"):  # a root that no sum reaches
        sums = np.ceil(np.minimum(n * unit * (halves / largest) ** p, LARGEST_SUM + 1))
    return table.astype(np.int64), sums.astype(np.int64)
