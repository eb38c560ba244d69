"""DSP instructions of Armv7E-M and Armv8-M (Cortex-M4, M7, M33) as expressions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from qgait.compiler.tvm.builder import splat, widen
from qgait.compiler.tvm.rescaling import Int32

if TYPE_CHECKING:
    from tvm.tirx import PrimExpr


def multiplied(acc: PrimExpr, codes: PrimExpr, weights: PrimExpr) -> PrimExpr:
    """SMLAD: int32 ``acc`` plus the products of two pairs of int16 numbers, each pair in 32 bits."""
    return _arm("smlad", codes, weights, acc)


def widened(word: PrimExpr) -> PrimExpr:
    """SXTB16: bytes 0 and 2 as two int16 numbers."""
    return _arm("sxtb16", word)


class DspRescaling:
    """A ``ShortRescaling`` from the high half of a product (SMMUL where LLVM sees it); no left shift that saturates."""

    lanes = 2
    product_shift = 32

    def rows(self, m: Int32, n: Int32, k: Int32) -> tuple[Int32, ...] | None:
        return None if k.any() else (m, n)

    def rescaled(self, acc: PrimExpr, rows: Sequence[PrimExpr]) -> PrimExpr:
        m, n = rows
        product = widen(acc, "int64", self.lanes) * widen(m, "int64", self.lanes)
        high = widen(tirx.shift_right(product, splat(32, "int64", self.lanes)), "int32", self.lanes)
        one = splat(1, "int32", self.lanes)
        return tirx.shift_right(high + tirx.shift_left(one, n - one), n)


def _arm(name: str, *operands: PrimExpr) -> PrimExpr:
    return T.call_llvm_pure_intrin("int32", f"llvm.arm.{name}", *operands)
