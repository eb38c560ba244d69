"""The inner part of a convolution: a few pixels times a few channels of sums that stay in registers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tvm import tirx
from tvm.script.ir_builder import tirx as T

from qgait.compiler.tvm.blocked.packing import rescaling
from qgait.compiler.tvm.builder import Function, Index, load, splat, store, widen, wrapping_add
from qgait.compiler.tvm.mve import rescaled
from qgait.compiler.tvm.requantize import clipped, requantized
from qgait.export.operators import Conv2d, Tensor
from qgait.targets.processors import Target

if TYPE_CHECKING:
    from tvm.tirx import Buffer, PrimExpr

# signed products of 32 bits into 64, and shifts that round half up
LONG_PRODUCT = {"v8": "llvm.aarch64.neon.smull.v2i64", "armv7": "llvm.arm.neon.vmulls.v2i64"}
ROUNDING_SHIFT = {"v8": "llvm.aarch64.neon.srshl.v2i64", "armv7": "llvm.arm.neon.vrshifts.v2i64"}


@dataclass(frozen=True)
class Tile:
    """``pixels`` x ``channels`` sums in vectors of ``lanes``; ``step`` numbers of a pixel are read at once."""

    pixels: int
    channels: int
    step: int
    lanes: int


def lanes_for(target: Target) -> int:
    """Sums in one vector as LLVM likes them: two registers of 64-bit ARM take the halves of one int16 vector."""
    return 4 if target.isa == "armv7" else 8


def fewest_tiles(count: int, most: int) -> int:
    """The pixels of a tile, up to ``most``, that cover ``count`` with the least work."""
    return min(range(1, min(most, count) + 1), key=lambda pixels: -(-count // pixels) * (pixels + 1))


def multiply_lanes(tile: Tile, acc: Buffer, numbers: list[PrimExpr], weights: list[tuple[Buffer, Index]]) -> None:
    """``acc[pixel, channel] += numbers[pixel][k] * weights[k][channel]`` for every lane k of the int16 numbers."""
    for k, (buffer, start) in enumerate(weights):
        for v in range(0, tile.channels, tile.lanes):
            factor = T.bind(widen(load(buffer, start + v, tile.lanes), "int16", tile.lanes))
            for p, number in enumerate(numbers):
                at = p * tile.channels + v
                # a shuffle and no splat, which TVM would widen before it is spread, out of LLVM's sight
                other = tirx.Shuffle([number] * -(-tile.lanes // tile.step), [k] * tile.lanes)
                product = widen(factor, "int32", tile.lanes) * widen(other, "int32", tile.lanes)
                store(acc, at, wrapping_add(load(acc, at, tile.lanes), product, tile.lanes), tile.lanes)


def pack_channels(values: NDArray[np.int8], channels: int) -> NDArray[np.int8]:
    """[O, ...] -> [O / channels, ..., channels], zeros where there is no such output."""
    blocks = -(-len(values) // channels)
    padded = np.zeros((blocks * channels, *values.shape[1:]), values.dtype)
    padded[: len(values)] = values
    return np.moveaxis(padded.reshape(blocks, channels, *values.shape[1:]), 1, -1)


class Rescaling:
    """Bias, multiplier and shift of every output channel, padded with harmless ones to whole blocks of channels."""

    def __init__(self, f: Function, conv: Conv2d, made: Tensor, channels: int, target: Target) -> None:
        count = len(conv.weight)
        missing = -count % channels
        multiplier = np.broadcast_to(conv.requant.multiplier, count)
        shift = np.broadcast_to(conv.requant.shift, count).astype(np.int32)
        self.bias = f.constant(np.pad(conv.bias, (0, missing)), "int32")
        self.multiplier = f.constant(np.pad(multiplier, (0, missing), constant_values=2**30), "int32")
        self.shift = f.constant(np.pad(shift, (0, missing), constant_values=30), "int32")
        self.made, self.isa = made, target.isa
        self.short_rows = _short_rows(f, conv, count + missing, target)

    def lanes(self, channels: int) -> int:
        """How many of ``channels`` sums are best requantized at once."""
        return 4 if self.short_rows and self.isa == "mve" else channels

    def codes(self, sums: PrimExpr, first: Index, lanes: int) -> PrimExpr:
        """Int8 codes of the sums of channels ``first`` and up."""
        if self.short_rows:
            m, n, *rise = (load(row, first, lanes) for row in self.short_rows)
            rounded = rescaled(sums, m, n, *rise) if self.isa == "mve" else _high_half(sums, m, n, lanes)
            return clipped(rounded + splat(self.made.zero_point, "int32", lanes), self.made, lanes)
        multiplier, shift = load(self.multiplier, first, lanes), load(self.shift, first, lanes)
        if self.isa not in LONG_PRODUCT:
            return requantized(sums, multiplier, shift, self.made, lanes)
        sums, multiplier, shift = T.bind(sums), T.bind(multiplier), T.bind(shift)
        pairs = []
        for lane in range(0, lanes, 2):
            of_two = [tirx.Shuffle([vector], [lane, lane + 1]) for vector in (sums, multiplier, shift)]
            product = T.call_llvm_pure_intrin("int64x2", LONG_PRODUCT[self.isa], *of_two[:2])
            back = splat(0, "int64", 2) - widen(of_two[2], "int64", 2)
            rounded = T.call_llvm_pure_intrin("int64x2", ROUNDING_SHIFT[self.isa], product, back)
            pairs.append(widen(rounded, "int32", 2))
        rounded = tirx.Shuffle(pairs, list(range(lanes)))
        return clipped(rounded + splat(self.made.zero_point, "int32", lanes), self.made, lanes)


def _short_rows(f: Function, conv: Conv2d, count: int, target: Target) -> tuple[Buffer, ...]:
    """The constants of the integer rule in 32 bits (rescaling.rescaling), where the processor is quick at that."""
    outputs = len(conv.weight)
    if target.isa not in ("mve", "dsp"):
        return ()
    rows = rescaling(conv.requant, outputs, 31 if target.isa == "mve" else 32)
    if rows is None or (target.isa == "dsp" and rows[2].any()):
        return ()
    m, n, k = np.pad(rows, ((0, 0), (0, count - outputs)), constant_values=1)
    if target.isa == "mve":
        return tuple(f.constant(row, "int32") for row in ((m, -n, k) if rows[2].any() else (m, -n)))
    return f.constant(m, "int32"), f.constant(n, "int32")


def _high_half(acc: PrimExpr, m: PrimExpr, n: PrimExpr, lanes: int) -> PrimExpr:
    """The integer rule where no left shift is needed: SMMUL keeps the high half of the product."""
    product = widen(acc, "int64", lanes) * widen(m, "int64", lanes)
    high = widen(tirx.shift_right(product, splat(32, "int64", lanes)), "int32", lanes)
    one = splat(1, "int32", lanes)
    return tirx.shift_right(high + tirx.shift_left(one, n - one), n)
