"""Convolutions on 64-bit ARM with dot products (ARMv8.2 SDOT by element).

An accumulator register holds four output channels of one pixel. SDOT by element multiplies four groups of four weights
by one group of four codes, a lane of a register that holds 16 of the pixel's input channels:
``acc[i] += sum(weights[4 i + j] * codes[4 lane + j])``. 6 pixels x 16 channels take 24 accumulators, 6 registers of
codes and 2 of weights: all 32.
"""

from __future__ import annotations

from collections.abc import Sequence

from tvm.script.ir_builder import tirx as T

from qgait.compiler.tvm.builder import load, splat, widen
from qgait.compiler.tvm.dot_products import Buffer, CodeRange, Expr, ResidualAdd
from qgait.compiler.tvm.neon import NeonRescaling, look_up, neon
from qgait.compiler.tvm.rescaling import ShortRescaling


class Dotprod:
    """``DotProducts`` by element."""

    lanes = 4
    vectors = 4
    pixels = 6
    holds_codes = True
    code_offset = 0
    rescaling: ShortRescaling = NeonRescaling()

    def fitted(self, channels: int) -> Dotprod:
        return self

    def fence(self) -> None:
        T.evaluate(T.call_llvm_intrin("void", "llvm.aarch64.hint", T.int32(0)))  # a NOP that might change memory

    def dot(self, acc: Expr, weights: Expr, operand: Buffer, start: Expr, group: int) -> Expr:
        codes = T.reinterpret("int32x4", load(operand, start, 16))
        lane = T.reinterpret("int8x16", T.broadcast(T.Shuffle([codes], [group]), 4))
        return neon("int32x4", "sdot.v4i32.v16i8", acc, weights, lane)

    def codes(self, values: Sequence[Expr], result: CodeRange, add: ResidualAdd | None, other: Expr) -> Expr:
        halves = _narrow_to_16(values)
        if add is not None:
            rows = [splat(int(row[0]), "int32", 4) for row in add.rescale]
            sums = []
            for i, half in enumerate(halves):
                ours = T.bind(_clip(half, *result.around_zero, "int16", 8))
                theirs = widen(T.Shuffle([other], list(range(8 * i, 8 * i + 8))), "int16", 8)
                theirs = T.bind(theirs - splat(add.other_zero_point, "int16", 8))
                for quarter in (range(4), range(4, 8)):
                    a = widen(T.Shuffle([ours], list(quarter)), "int32", 4) * splat(add.factor, "int32", 4)
                    b = widen(T.Shuffle([theirs], list(quarter)), "int32", 4)
                    sums.append(self.rescaling.rescaled(a + b * splat(add.other_factor, "int32", 4), rows))
            halves = _narrow_to_16(sums)
            result = add.result
        if result.zero_point:
            zero = splat(result.zero_point, "int16", 8)
            halves = [neon("int16x8", "sqadd.v8i16", half, zero) for half in halves]
        narrow = [neon("int8x8", "sqxtn.v8i8", half) for half in halves]
        return T.bind(_clip(T.Shuffle(narrow, list(range(16))), result.lo, result.hi, "int8", 16))

    def look_up(self, codes: Expr, table: Buffer) -> Expr:
        return look_up(codes, table)


def _narrow_to_16(vectors: Sequence[Expr]) -> list[Expr]:
    """Saturates pairs of int32x4 to int16x8."""
    narrow = [neon("int16x4", "sqxtn.v4i16", vector) for vector in vectors]
    return [T.bind(T.Shuffle(narrow[i : i + 2], list(range(8)))) for i in range(0, len(narrow), 2)]


def _clip(values: Expr, lo: int, hi: int, dtype: str, lanes: int) -> Expr:
    """``values`` within [lo, hi]; nothing for a bound that the type has anyway."""
    bits = 8 if dtype == "int8" else 16
    if lo > -(1 << (bits - 1)):
        values = T.max(values, splat(lo, dtype, lanes))
    if hi < (1 << (bits - 1)) - 1:
        values = T.min(values, splat(hi, dtype, lanes))
    return values
