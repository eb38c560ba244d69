"""The integer rule in Python's unbounded integers."""

from __future__ import annotations

import numpy as np

from qgait.export.operators import Requant, Tensor


def rescaled(acc: int, requant: Requant, index: tuple[int, ...], result: Tensor) -> int:
    """The code at ``index`` of ``result`` that accumulator ``acc`` becomes."""
    m = int(np.broadcast_to(requant.multiplier, result.shape)[index])
    s = int(np.broadcast_to(requant.shift, result.shape)[index])
    return min(max(((acc * m + (1 << (s - 1))) >> s) + result.zero_point, result.lo), result.hi)
