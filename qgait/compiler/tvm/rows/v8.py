"""Convolution for 64-bit ARM without dot products, where Winograd does not fit: strides, 1 x 1 and large fields.

8-bit products, every lane another part of the field: smull and smlal2 add two products in 16 bits, which cannot
overflow because a weight is never -128 (2 * 127 * 128 < 2**15); sadalp adds neighbours to four 32-bit sums. That is 16
products in 3 instructions. The four sums of a pixel and a channel are added at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from tvm import tirx
from tvm.script.ir_builder import tirx as T

from qgait.compiler.tvm.builder import Index, load, local, splat, store, widen
from qgait.compiler.tvm.fusion import Group
from qgait.compiler.tvm.instruction_set import InstructionSet
from qgait.compiler.tvm.neon import neon
from qgait.compiler.tvm.program import Kernel
from qgait.compiler.tvm.rows.nest import Packed, Tiles, row_kernel
from qgait.compiler.tvm.rows.tile import Tile, fewest_tiles, pack_channels
from qgait.export.graph import Graph

if TYPE_CHECKING:
    from tvm.tirx import Buffer, PrimExpr

STEP = 16  # codes in a register
TOGETHER = 4  # channels whose sums are in registers at one time
CHANNELS = 16  # channels that are requantized together
PIXELS = 5


def conv_kernel(group: Group, graph: Graph, instructions: InstructionSet) -> Kernel | None:
    """The kernel of a group that starts with a convolution; None where a run of the field fills no register."""
    assert group.conv is not None
    _, _, width, inputs = group.conv.weight.shape
    if width * inputs < STEP:
        return None
    pixels = fewest_tiles(graph.tensors[group.conv.output].shape[1], PIXELS)
    return row_kernel(
        group, graph, instructions, Tile(pixels, CHANNELS, STEP, instructions.lanes), "int8", _pack, _sums
    )


def _pack(weight: Packed) -> Packed:
    """[O, KH, run] -> [O / 16, 4, KH, run / 16, 4, 16]."""
    outputs, height, run = weight.shape
    padded = np.pad(weight, ((0, -outputs % CHANNELS), (0, 0), (0, 0)))
    blocks = pack_channels(padded, TOGETHER).reshape(-1, height, run // STEP, STEP, TOGETHER)
    return blocks.swapaxes(-1, -2).reshape(len(padded) // CHANNELS, -1)


def _sums(tiles: Tiles, acc: Buffer, block: Index, stored: Index, y: Index, x: Index) -> None:
    pixels, height = tiles.tile.pixels, tiles.ring.conv.weight.shape[1]
    parts = local(pixels * TOGETHER * 4, "int32")
    with T.serial(0, CHANNELS // TOGETHER) as four:
        for at in range(0, pixels * TOGETHER * 4, 4):
            store(parts, at, splat(0, "int32", 4), 4)
        with T.serial(0, height) as row, T.serial(0, tiles.steps) as step:
            codes = tiles.fields(y, x, row, step)
            first = ((stored * (CHANNELS // TOGETHER) + four) * height + row) * tiles.steps + step
            for c in range(TOGETHER):
                weights = T.bind(load(tiles.weights, (first * TOGETHER + c) * STEP, STEP))
                for p in range(pixels):
                    at = (p * TOGETHER + c) * 4
                    store(parts, at, load(parts, at, 4) + _neighbours(_products(codes[p], weights)), 4)
        channel = block * CHANNELS + four * TOGETHER
        for p in range(pixels):
            of_channel = [load(parts, (p * TOGETHER + c) * 4, 4) for c in range(TOGETHER)]
            total = _pairwise(_pairwise(*of_channel[:2]), _pairwise(*of_channel[2:]))
            store(acc, p * CHANNELS + four * TOGETHER, total + load(tiles.rule.bias, channel, TOGETHER), TOGETHER)


def _products(codes: PrimExpr, weights: PrimExpr) -> PrimExpr:
    """int16x8: the product of the lower half plus that of the upper half."""
    halves = [
        widen(tirx.Shuffle([codes], lanes), "int16", 8) * widen(tirx.Shuffle([weights], lanes), "int16", 8)
        for lanes in (list(range(8)), list(range(8, 16)))
    ]
    return halves[0] + halves[1]


def _neighbours(products: PrimExpr) -> PrimExpr:
    return neon("int32x4", "saddlp.v4i32.v8i16", products)


def _pairwise(a: PrimExpr, b: PrimExpr) -> PrimExpr:
    return neon("int32x4", "addp.v4i32", a, b)
