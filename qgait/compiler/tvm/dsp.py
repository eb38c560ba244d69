"""DSP instructions of Armv7E-M and Armv8-M (Cortex-M4, M7, M33) as expressions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tvm import tirx
from tvm.script.ir_builder import tirx as T

from qgait.compiler.tvm.builder import Index, load, splat, store, widen
from qgait.compiler.tvm.channel_products import Tap, narrowed
from qgait.compiler.tvm.rescaling import Int32
from qgait.export.operators import Tensor

if TYPE_CHECKING:
    from tvm.tirx import Buffer, PrimExpr


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


class ChannelWords:
    """``ChannelProducts`` of two channels, the halves of a word: SMLABB and SMLATT. Weights lie as int16 like codes."""

    lanes = 2
    pixels = 2
    dtype = "int16"
    order = (0, 1)
    rescaling = None

    def fitted(self, channels: int, taps: int) -> ChannelWords:
        return self

    def steps(self, height: int, width: int) -> list[list[Tap]]:
        return [[(i, j)] for i in range(height) for j in range(width)]

    def packed(self, weights: NDArray[np.int8]) -> NDArray[np.signedinteger]:
        return weights.astype(np.int16)

    def arranged(self, codes: Sequence[PrimExpr]) -> Sequence[PrimExpr]:
        return [T.bind(T.reinterpret("int32", code)) for code in codes]

    def add(self, sums: Buffer, at: int, codes: Sequence[PrimExpr], weights: Buffer, start: Index) -> None:
        factors = T.bind(T.reinterpret("int32", load(weights, start, 2)))
        for lane, name in enumerate(("smlabb", "smlatt")):
            store(sums, at + lane, _arm(name, codes[0], factors, load(sums, at + lane, 1)), 1)

    def codes(self, values: Sequence[PrimExpr], result: Tensor) -> PrimExpr:
        return narrowed(values, result, self.lanes)


def _arm(name: str, *operands: PrimExpr) -> PrimExpr:
    return T.call_llvm_pure_intrin("int32", f"llvm.arm.{name}", *operands)
