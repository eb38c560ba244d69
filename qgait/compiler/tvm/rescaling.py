"""The integer rule of ``qgait.fixedpoint`` in 32 bits, for processors that keep the high half of a product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from qgait.export.operators import Requant

if TYPE_CHECKING:
    from tvm.tirx import PrimExpr

Int32: TypeAlias = NDArray[np.int32]
LARGEST_RISE = 16  # bits; a rescaling by more than 2**14 is left to kernels with 64-bit products


class ShortRescaling(Protocol):
    """The rule in the instructions of a processor, on vectors of ``lanes`` accumulators."""

    lanes: int
    product_shift: int  # the processor keeps (acc * m) >> product_shift

    def rows(self, m: Int32, n: Int32, k: Int32) -> tuple[Int32, ...] | None:
        """The constants of ``rescaled`` from those of `rescaling`, each int32 [channels]; None: it cannot do that."""

    def rescaled(self, acc: PrimExpr, rows: Sequence[PrimExpr]) -> PrimExpr:
        """One vector of accumulators, rounded; no zero point, not clipped. ``rows`` are vectors of `rows`."""


def rescaling(requant: Requant, count: int, product_shift: int) -> Int32 | None:
    """The integer rule in 32 bits: int32 [3, count] of multiplier, right shift n >= 1, left shift k >= 0.

    With h = floor(((acc << k) * m) >> product_shift), where the processor keeps the high half of a product, the rule is
    ``(h + (1 << (n - 1))) >> n``: exact, because the half that is added is an integer at that scale and floors nest.
    The left shift makes n >= 1; it must saturate, which only happens where the result is clipped anyway.
    None if some k is larger than LARGEST_RISE.
    """
    m = np.broadcast_to(np.ravel(requant.multiplier), count)
    s = np.broadcast_to(np.ravel(requant.shift), count).astype(np.int32)
    k = np.maximum(product_shift + 1 - s, 0)
    if k.max() > LARGEST_RISE:
        return None
    return np.stack([m, s + k - product_shift, k]).astype(np.int32)


def rescaling_rows(rule: ShortRescaling, requant: Requant, count: int) -> tuple[Int32, ...] | None:
    """The constants with which ``rule`` rescales ``count`` channels; None where 32 bits do not do."""
    numbers = rescaling(requant, count, rule.product_shift)
    return None if numbers is None else rule.rows(*numbers)
