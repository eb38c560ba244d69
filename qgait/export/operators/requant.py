"""How accumulators become codes, and the bounds within which that is exact.

An accumulator's range is exact, output by output: a code runs from ``lo`` to ``hi`` of its tensor, so one product
``weight * (code - zero_point)`` runs between its two ends, and the bounds add up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qgait.export.operators.tensor import Tensor
from qgait.fixedpoint import MAX_ACCUMULATOR, MAX_SHIFT, MIN_SHIFT, requantize

Range = tuple[NDArray[np.int64], NDArray[np.int64]]  # the smallest and largest accumulators, in a multiplier's shape


@dataclass(frozen=True, eq=False)
class Requant:
    """Multiplier (int32) and shift (int8) of the integer rule; both broadcast against the accumulator."""

    multiplier: NDArray[np.int32]
    shift: NDArray[np.int8]

    def codes(self, acc: NDArray[np.generic], result: Tensor) -> NDArray[np.int8]:
        """The codes of ``result`` from accumulators, which are integers of any type."""
        exact = acc.astype(np.int64)
        return requantize(exact, self.multiplier, self.shift, result.zero_point, result.lo, result.hi)

    def offences(self, layer: str, bounds: Range) -> Iterator[str]:
        """One clause for every rule that is broken when the accumulators of ``layer`` reach their ``bounds``.

        |acc| < 2**(s - 1) for the rounding to be defined, |acc| < 2**28 for float64 to be exact.
        """
        magnitude = np.maximum(np.abs(bounds[0]), np.abs(bounds[1]))
        m, s = self.multiplier, self.shift
        if m.dtype != np.int32 or s.dtype != np.int8 or m.shape != magnitude.shape or s.shape != magnitude.shape:
            found = f"{m.dtype} {list(m.shape)} and {s.dtype} {list(s.shape)}"
            yield f"{layer} has multipliers and shifts of {found}, not int32 and int8 {list(magnitude.shape)}"
            return
        if m.min() < 2**30:  # an int32 is below 2**31 by itself
            yield f"{layer} has a multiplier of {m.min()}, below 2**30"
        if s.min() < MIN_SHIFT or s.max() > MAX_SHIFT:
            yield f"{layer} has a shift outside {MIN_SHIFT}..{MAX_SHIFT}"
            return
        limit = np.minimum(np.int64(1) << (s.astype(np.int64) - 1), MAX_ACCUMULATOR)
        if np.any(magnitude >= limit):
            worst = np.unravel_index(np.argmax(magnitude / limit), magnitude.shape)
            where = list(map(int, worst))
            yield (
                f"{layer} can reach an accumulator of {magnitude[worst]} at output {where}, the limit is {limit[worst]}"
            )
