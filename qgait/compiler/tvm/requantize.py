"""The integer rule of ``qgait.fixedpoint`` as an expression over vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tvm import tirx

from qgait.compiler.tvm.builder import Function, Index, load, splat, widen
from qgait.export.operators import Requant, Tensor

if TYPE_CHECKING:
    from tvm.tirx import PrimExpr


def requantized(acc: PrimExpr, multiplier: PrimExpr, shift: PrimExpr, result: Tensor, lanes: int) -> PrimExpr:
    """Int8 codes of int32 accumulators; all three operands are int32 vectors."""
    return codes_of(rounded(acc, multiplier, shift, lanes), result, lanes)


def rounded(acc: PrimExpr, multiplier: PrimExpr, shift: PrimExpr, lanes: int) -> PrimExpr:
    """The rule without zero point and clip, int32 as its operands are. The product has 64 bits."""
    long_shift = widen(shift, "int64", lanes)
    half = tirx.shift_left(splat(1, "int64", lanes), long_shift - splat(1, "int64", lanes))
    product = widen(acc, "int64", lanes) * widen(multiplier, "int64", lanes)
    return widen(tirx.shift_right(product + half, long_shift), "int32", lanes)


def codes_of(value: PrimExpr, result: Tensor, lanes: int) -> PrimExpr:
    """Rounded int32 values as int8 codes of ``result``: the zero point is added, what lies outside is clipped."""
    low, high = splat(result.lo, "int32", lanes), splat(result.hi, "int32", lanes)
    shifted = value + splat(result.zero_point, "int32", lanes)
    return widen(tirx.max(tirx.min(shifted, high), low), "int8", lanes)


class RowRule:
    """The multipliers of a result whose rows (pixels of a map, or parts) share one each, or all share the same."""

    def __init__(self, function: Function, requant: Requant, result: Tensor, lanes: int) -> None:
        self._numbers = [function.constant(values, "int32") for values in (requant.multiplier, requant.shift)]
        self._step = 0 if requant.multiplier.size == 1 else 1
        self._result, self._lanes = result, lanes

    def codes(self, acc: PrimExpr, row: Index) -> PrimExpr:
        """Int8 codes of accumulators that belong to ``row``."""
        multiplier, shift = (
            splat(load(numbers, row * self._step, 1), "int32", self._lanes) for numbers in self._numbers
        )
        return requantized(acc, multiplier, shift, self._result, self._lanes)
