"""Convolutions on x86-64 with AVX-512 VNNI.

An accumulator register holds 16 output channels of one pixel. VPDPBUSD multiplies 16 groups of four weights by four
codes that are broadcast to all groups. It takes *unsigned* codes: the gather adds 128 to them, and the bias holds
``-128 * sum(weight)`` (packing.packed_bias). 14 pixels x 32 channels take 28 of the 32 registers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from tvm.script.ir_builder import tirx as T

from qgait.compiler.tvm.builder import load, local, splat, store, widen
from qgait.compiler.tvm.dot_products import Buffer, CodeRange, Expr, ResidualAdd
from qgait.compiler.tvm.rescaling import Int32, ShortRescaling

LANES = 16


class VnniRescaling:
    """A ``ShortRescaling`` that takes high halves from products of 64 bits, of even and of odd lanes."""

    lanes = LANES
    product_shift = 32

    def rows(self, m: Int32, n: Int32, k: Int32) -> tuple[Int32, ...]:
        half = np.left_shift(1, n - 1).astype(np.int32)
        limit = (np.left_shift(np.int64(1), 31 - k) - 1).astype(np.int32)
        return (m, n, half, k, limit) if k.any() else (m, n, half)

    def rescaled(self, acc: Expr, rows: Sequence[Expr]) -> Expr:
        m, n, half, *rise = rows
        if rise:  # a saturating shift; codes beyond the limit are clipped anyway
            acc = T.shift_left(_within(acc, T.bitwise_not(rise[1]), rise[1]), rise[0])
        high = T.bind(_high_halves(T.bind(acc), m))
        return T.shift_right(high + half, n)


@dataclass
class Vnni:
    """``DotProducts``. ``byte_permutes``: the processor has AVX-512 VBMI (all but the first with VNNI have it)."""

    byte_permutes: bool
    vectors: int = 2
    lanes: int = LANES
    pixels: int = 14
    holds_codes: bool = False
    code_offset: int = 128
    rescaling: ShortRescaling = field(default_factory=VnniRescaling)

    def fitted(self, channels: int) -> Vnni:
        return replace(self, vectors=1 if channels <= LANES else 2)

    def fence(self) -> None:
        pass  # 32 registers of 64 bytes: nothing to gain

    def dot(self, acc: Expr, weights: Expr, operand: Buffer, start: Expr, group: int) -> Expr:
        codes = T.reinterpret("int32", load(operand, start + 4 * group, 4))
        codes = T.reinterpret("int8x64", T.broadcast(codes, LANES))
        return T.call_llvm_pure_intrin("int32x16", "llvm.x86.avx512.vpdpbusd.512", acc, codes, weights)

    def codes(self, values: Sequence[Expr], result: CodeRange, add: ResidualAdd | None, other: Expr) -> Expr:
        parts = []
        for i, value in enumerate(values):
            code = _clipped(value, result)
            if add is not None:
                theirs = widen(T.Shuffle([other], list(range(LANES * i, LANES * (i + 1)))), "int32", LANES)
                theirs = theirs - splat(add.other_zero_point, "int32", LANES)
                total = code * splat(add.factor, "int32", LANES) + theirs * splat(add.other_factor, "int32", LANES)
                rows = [splat(int(row[0]), "int32", LANES) for row in add.rescale]
                code = _clipped(self.rescaling.rescaled(total, rows), add.result)
            zero_point = (add.result if add else result).zero_point
            parts.append(widen(code + splat(zero_point, "int32", LANES), "int8", LANES))
        return T.bind(T.Shuffle(parts, list(range(LANES * len(parts)))) if len(parts) > 1 else parts[0])

    def look_up(self, codes: Expr, table: Buffer) -> Expr:
        lanes = LANES * self.vectors
        if not self.byte_permutes:
            return _look_up_each(codes, table, lanes)
        wide = T.bind(T.Shuffle([codes] * (64 // lanes), list(range(64))))
        below, above = (_permute(load(table, at, 64), wide, load(table, at + 64, 64)) for at in (0, 128))
        found = T.Select(wide < splat(0, "int8", 64), below, above)
        return T.Shuffle([found], list(range(lanes)))


def _high_halves(acc: Expr, m: Expr) -> Expr:
    """``(acc * m) >> 32`` of 16 signed pairs: products of the even and of the odd lanes, and their upper halves."""
    thirty_two = splat(32, "int64", 8)
    a, b = (T.bind(T.reinterpret("int64x8", value)) for value in (acc, m))
    even = T.shift_right(T.shift_left(a, thirty_two), thirty_two) * T.shift_right(
        T.shift_left(b, thirty_two), thirty_two
    )
    odd = T.shift_right(a, thirty_two) * T.shift_right(b, thirty_two)
    lower = T.shift_right(T.reinterpret("uint64x8", even), splat(32, "uint64", 8))
    upper = T.bitwise_and(odd, splat(-(1 << 32), "int64", 8))
    return T.reinterpret("int32x16", T.bitwise_or(T.reinterpret("int64x8", lower), upper))


def _clipped(value: Expr, result: CodeRange) -> Expr:
    lo, hi = result.around_zero
    return _within(value, splat(lo, "int32", LANES), splat(hi, "int32", LANES))


def _within(value: Expr, lo: Expr, hi: Expr) -> Expr:
    return T.max(T.min(value, hi), lo)


def _permute(first: Expr, index: Expr, second: Expr) -> Expr:
    """VPERMI2B: the entry of 128, in two registers, that the low seven bits of an index name."""
    return T.call_llvm_pure_intrin("int8x64", "llvm.x86.avx512.vpermi2var.qi.512", first, index, second)


def _look_up_each(codes: Expr, table: Buffer, lanes: int) -> Expr:
    """One code after the other, for processors without byte permutes."""
    memory = local(lanes, "int8")
    store(memory, 0, codes, lanes)
    with T.serial(0, lanes) as i:
        store(memory, i, load(table, T.cast(load(memory, i, 1), "int32") + 128, 1), 1)
    return load(memory, 0, lanes)
