"""Vector instructions of Armv8.1-M (MVE, "Helium") as expressions: LLVM has no other way to say them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tvm import tirx
from tvm.script.ir_builder import tirx as T

from qgait.compiler.tvm.builder import Index, load, splat, store, widen
from qgait.compiler.tvm.channel_products import Tap, pairs_of_taps, products
from qgait.compiler.tvm.requantize import codes_of
from qgait.compiler.tvm.rescaling import Int32
from qgait.export.operators import Tensor

if TYPE_CHECKING:
    from tvm.tirx import Buffer, PrimExpr


def multiplied(acc: PrimExpr, codes: PrimExpr, weights: PrimExpr) -> PrimExpr:
    """VMLADAVA.S8: the int32 scalar ``acc`` plus 16 products of signed bytes."""
    signed, added, in_order = _numbers(0, 0, 0)
    return _call("int32", "vmldava.v16i8", signed, added, in_order, acc, codes, weights)


class MveRescaling:
    """A ``ShortRescaling``: VQDMULH keeps the high half of twice the product, VRSHL rounds half up, VQSHL saturates."""

    lanes = 4
    product_shift = 31

    def rows(self, m: Int32, n: Int32, k: Int32) -> tuple[Int32, ...]:
        return (m, -n, k) if k.any() else (m, -n)

    def rescaled(self, acc: PrimExpr, rows: Sequence[PrimExpr]) -> PrimExpr:
        m, back, *rise = rows
        if rise:
            acc = _shifted(acc, rise[0], saturating=1, rounding=0)
        return _shifted(_call("int32x4", "vqdmulh.v4i32", acc, m), back, saturating=0, rounding=1)


class ChannelPairs:
    """``ChannelProducts``: those of two taps add up in 16 bits, VMOVLB and VMOVLT widen even and odd lanes."""

    lanes = 8
    pixels = 2
    dtype = "int8"
    order = (0, 2, 4, 6, 1, 3, 5, 7)
    rescaling = None

    def fitted(self, channels: int, taps: int) -> ChannelPairs:
        return self

    def steps(self, height: int, width: int) -> list[list[Tap]]:
        return pairs_of_taps(height, width)

    def packed(self, weights: NDArray[np.int8]) -> NDArray[np.int8]:
        return weights

    def arranged(self, codes: Sequence[PrimExpr]) -> Sequence[PrimExpr]:
        return [widen(code, "int16", self.lanes) for code in codes]

    def add(self, sums: Buffer, at: int, codes: Sequence[PrimExpr], weights: Buffer, start: Index) -> None:
        total = T.bind(products(codes, weights, start, self.lanes))
        for place, lanes in ((at, self.order[:4]), (at + 4, self.order[4:])):
            half = widen(tirx.Shuffle([total], list(lanes)), "int32", 4)
            store(sums, place, load(sums, place, 4) + half, 4)

    def codes(self, values: Sequence[PrimExpr], result: Tensor) -> PrimExpr:
        if len(values) == 1:  # not by ``MveRescaling``
            return tirx.Shuffle([codes_of(values[0], result, 8)], [0, 4, 1, 5, 2, 6, 3, 7])
        near = splat(0, "int16", 8)
        for top, half in enumerate(values):  # VQMOVNB and VQMOVNT saturate, and put the lanes back
            near = _call("int16x8", "vqmovn.v8i16.v4i32", near, half, *_numbers(0, 0, top))
        low, high = (splat(bound - result.zero_point, "int16", 8) for bound in (result.lo, result.hi))
        return widen(tirx.max(tirx.min(near, high), low) + splat(result.zero_point, "int16", 8), "int8", 8)


def look_up(codes: PrimExpr, table: Buffer) -> PrimExpr:
    """``table[code + 128]`` of 16 codes, by one load that takes every byte from another address."""
    offsets = codes ^ splat(-128, "int8", 16)
    bits, scale, unsigned = _numbers(8, 0, 1)
    start = T.address_of(table[0])
    return _call("int8x16", "vldr.gather.offset.v16i8.p0.v16i8", start, offsets, bits, scale, unsigned)


def _shifted(values: PrimExpr, by: PrimExpr, saturating: int, rounding: int) -> PrimExpr:
    """To the left by a positive amount, to the right by a negative one."""
    return _call("int32x4", "vshl.vector.v4i32.v4i32", values, by, *_numbers(saturating, rounding, 0))


def _numbers(*values: int) -> list[PrimExpr]:
    return [tirx.const(value, "int32") for value in values]


def _call(dtype: str, name: str, *operands: PrimExpr) -> PrimExpr:
    return T.call_llvm_pure_intrin(dtype, f"llvm.arm.mve.{name}", *operands)
