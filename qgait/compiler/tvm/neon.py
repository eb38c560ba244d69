"""Vector instructions of ARM's A profile (NEON) as expressions: what LLVM does not find by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from qgait.compiler.tvm.builder import load, splat, widen
from qgait.compiler.tvm.rescaling import Int32

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
