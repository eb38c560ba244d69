"""Vector instructions of ARM's A profile (NEON) as expressions: what LLVM does not find by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from tvm import tirx
from tvm.script.ir_builder import tirx as T

from qgait.compiler.tvm import channel_products
from qgait.compiler.tvm.builder import Index, load, splat, store, widen
from qgait.compiler.tvm.channel_products import Tap
from qgait.compiler.tvm.rescaling import Int32, ShortRescaling
from qgait.export.operators import Tensor

if TYPE_CHECKING:
    from tvm.tirx import Buffer, PrimExpr


def neon(dtype: str, name: str, *operands: PrimExpr) -> PrimExpr:
    """An instruction of 64-bit ARM under LLVM's name."""
    return T.call_llvm_pure_intrin(dtype, f"llvm.aarch64.neon.{name}", *operands)


class NeonRescaling:
    """A ``ShortRescaling`` of 64-bit ARM, in two instructions.

    SQDMULH is floor(2 * acc * m / 2**32), SRSHL by a negative amount rounds half up.
    """

    lanes = 4
    product_shift = 31

    def rows(self, m: Int32, n: Int32, k: Int32) -> tuple[Int32, ...]:
        return (m, -n, k) if k.any() else (m, -n)

    def rescaled(self, acc: PrimExpr, rows: Sequence[PrimExpr]) -> PrimExpr:
        m, shift, *rise = rows
        if rise:
            acc = neon("int32x4", "sqshl.v4i32", acc, rise[0])
        return neon("int32x4", "srshl.v4i32", neon("int32x4", "sqdmulh.v4i32", acc, m), shift)


def rounded_64(acc: PrimExpr, multiplier: PrimExpr, shift: PrimExpr, lanes: int) -> PrimExpr:
    """``requantize.rounded`` on 64-bit ARM: SMULL makes two products of 64 bits, SRSHL rounds half up."""
    return _rounded("llvm.aarch64.neon.smull.v2i64", "llvm.aarch64.neon.srshl.v2i64", acc, multiplier, shift, lanes)


def rounded_32(acc: PrimExpr, multiplier: PrimExpr, shift: PrimExpr, lanes: int) -> PrimExpr:
    """``requantize.rounded`` on 32-bit ARM: VMULL and VRSHL."""
    return _rounded("llvm.arm.neon.vmulls.v2i64", "llvm.arm.neon.vrshifts.v2i64", acc, multiplier, shift, lanes)


def look_up(codes: PrimExpr, table: Buffer) -> PrimExpr:
    """``table[code + 128]`` of 16 codes: the whole table is in registers of 64-bit ARM."""
    # codes from 0 come first: that is the order of their bit patterns
    rows = [load(table, (128 + 16 * i) % 256, 16) for i in range(16)]
    codes = T.bind(codes)
    found = neon("int8x16", "tbl4.v16i8", *rows[:4], codes)
    for i in (4, 8, 12):  # TBX keeps what is there where an index lies outside its 64 entries
        offset = splat((128 - 16 * i) % 256 - 128, "int8", 16)
        found = neon("int8x16", "tbx4.v16i8", found, *rows[i : i + 4], codes + offset)
    return found


@dataclass(frozen=True)
class ChannelDots:
    """``ChannelProducts`` by SDOT: the codes of four taps, mostly of one column, lie side by side for every channel.

    Three rows cost three loads and four interleavings a column, which neighbouring fields share.
    """

    pixels: int = 11
    lanes: ClassVar[int] = 8
    dtype: ClassVar[str] = "int8"
    order: ClassVar[Sequence[int]] = range(8)
    rescaling: ClassVar[ShortRescaling | None] = NeonRescaling()

    def fitted(self, channels: int, taps: int) -> ChannelDots:
        """Fewer sums beside the weights of a larger field."""
        return self if taps <= 9 else ChannelDots(8)

    def steps(self, height: int, width: int) -> list[list[Tap]]:
        found = []
        for top in range(0, height, 4):
            rows = range(top, min(top + 4, height))
            columns = 4 // len(rows)  # side by side where fewer rows are left
            for left in range(0, width, columns):
                found.append([(i, j) for j in range(left, min(left + columns, width)) for i in rows])
        return found

    def packed(self, weights: NDArray[np.int8]) -> NDArray[np.int8]:
        four = np.pad(weights, ((0, 0), (0, 4 - weights.shape[1]), (0, 0)))
        return np.ascontiguousarray(four.swapaxes(1, 2))

    def arranged(self, codes: Sequence[PrimExpr]) -> Sequence[PrimExpr]:
        a, b, c, d = [*codes, *[codes[-1]] * (4 - len(codes))]  # what stands in for a fourth meets weights of zero
        first, second = _zipped("int16x8", a, b, range(8)), _zipped("int16x8", c, d, range(8))
        return [_zipped("int8x16", first, second, half) for half in (range(4), range(4, 8))]

    def add(self, sums: Buffer, at: int, codes: Sequence[PrimExpr], weights: Buffer, start: Index) -> None:
        for i, fours in enumerate(codes):
            place = at + 4 * i
            factors = load(weights, start + 16 * i, 16)
            store(sums, place, neon("int32x4", "sdot.v4i32.v16i8", load(sums, place, 4), fours, factors), 4)

    def codes(self, values: Sequence[PrimExpr], result: Tensor) -> PrimExpr:
        return narrowed(values, result, self.lanes)


def _zipped(dtype: str, a: PrimExpr, b: PrimExpr, lanes: range) -> PrimExpr:
    """ZIP1 or ZIP2 of vectors of eight as one of ``dtype``."""
    return T.bind(T.reinterpret(dtype, T.Shuffle([a, b], [i + other for i in lanes for other in (0, 8)])))


def narrowed(values: Sequence[PrimExpr], result: Tensor, lanes: int) -> PrimExpr:
    """``lanes`` codes from rescaled sums: SQXTN saturates, then the zero point is added in 16 bits."""
    if len(values) < lanes // 4:
        return channel_products.narrowed(values, result, lanes)
    quarters = [neon("int16x4", "sqxtn.v4i16", value) for value in values]
    halves = [T.bind(T.Shuffle(quarters[i : i + 2], list(range(8)))) for i in range(0, len(values), 2)]
    if result.zero_point:
        halves = [neon("int16x8", "sqadd.v8i16", half, splat(result.zero_point, "int16", 8)) for half in halves]
    narrow = [neon("int8x8", "sqxtn.v8i8", half) for half in halves]
    codes = narrow[0] if lanes == 8 else T.Shuffle(narrow, list(range(lanes)))
    if result.hi < 127:
        codes = tirx.min(codes, splat(result.hi, "int8", lanes))
    return T.bind(tirx.max(codes, splat(result.lo, "int8", lanes)) if result.lo > -128 else codes)


def _rounded(
    product: str, rounding_shift: str, acc: PrimExpr, multiplier: PrimExpr, shift: PrimExpr, lanes: int
) -> PrimExpr:
    acc, multiplier, shift = T.bind(acc), T.bind(multiplier), T.bind(shift)
    pairs = []
    for lane in range(0, lanes, 2):
        of_two = [tirx.Shuffle([vector], [lane, lane + 1]) for vector in (acc, multiplier, shift)]
        long = T.call_llvm_pure_intrin("int64x2", product, *of_two[:2])
        back = splat(0, "int64", 2) - widen(of_two[2], "int64", 2)
        pairs.append(widen(T.call_llvm_pure_intrin("int64x2", rounding_shift, long, back), "int32", 2))
    return tirx.Shuffle(pairs, list(range(lanes)))
