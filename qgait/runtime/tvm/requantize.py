"""The integer rule of ``qgait.fixedpoint`` as an expression over vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tvm import tirx

from qgait.export.graph import Tensor
from qgait.runtime.tvm.builder import splat, widen

if TYPE_CHECKING:
    from tvm.tirx import PrimExpr


def requantized(acc: PrimExpr, multiplier: PrimExpr, shift: PrimExpr, result: Tensor, lanes: int) -> PrimExpr:
    """Int8 codes of int32 accumulators; all three operands are int32 vectors. The product has 64 bits."""
    long_shift = widen(shift, "int64", lanes)
    half = tirx.shift_left(splat(1, "int64", lanes), long_shift - splat(1, "int64", lanes))
    product = widen(acc, "int64", lanes) * widen(multiplier, "int64", lanes)
    rounded = widen(tirx.shift_right(product + half, long_shift), "int32", lanes)
    return clipped(rounded + splat(result.zero_point, "int32", lanes), result, lanes)


def clipped(value: PrimExpr, result: Tensor, lanes: int) -> PrimExpr:
    """Int32 values as codes of ``result``."""
    low, high = splat(result.lo, "int32", lanes), splat(result.hi, "int32", lanes)
    return widen(tirx.max(tirx.min(value, high), low), "int8", lanes)
