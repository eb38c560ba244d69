"""Convolution for any processor: 16-bit products into 32-bit sums, every lane another output channel.

LLVM turns the products into smlal by lane on 64-bit ARM and into vmlal.s16 by lane on 32-bit ARM.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tvm.script.ir_builder import tirx as T

from qgait.compiler.tvm.builder import Index, load, store
from qgait.compiler.tvm.fusion import Group
from qgait.compiler.tvm.instruction_set import InstructionSet
from qgait.compiler.tvm.program import Kernel
from qgait.compiler.tvm.rows.nest import Tiles, row_kernel
from qgait.compiler.tvm.rows.tile import Tile, fewest_tiles, multiply_lanes, pack_channels
from qgait.export.graph import Graph
from qgait.export.operators import Convolution

if TYPE_CHECKING:
    from tvm.tirx import Buffer


def conv_kernel(group: Group, graph: Graph, instructions: InstructionSet) -> Kernel:
    """The kernel of a group that starts with a convolution."""
    assert group.conv is not None
    tile = tile_for(instructions, group.conv, graph.tensors[group.conv.output].shape[1])
    return row_kernel(group, graph, instructions, tile, "int16", partial(pack_channels, channels=tile.channels), _sums)


def tile_for(instructions: InstructionSet, conv: Convolution, width: int) -> Tile:
    """As many sums as there are registers left, and little work on pixels that do not exist."""
    outputs, _, kw, inputs = conv.weight.shape
    channels = 8 if outputs % 16 == 8 else 2 * instructions.lanes
    pixels = fewest_tiles(width, min(instructions.sums // channels, 8))
    step = 4 if 0 < kw * inputs % 8 <= 4 else instructions.lanes
    return Tile(pixels, channels, step, instructions.lanes)


def _sums(tiles: Tiles, acc: Buffer, block: Index, stored: Index, y: Index, x: Index) -> None:
    tile, height = tiles.tile, tiles.ring.conv.weight.shape[1]
    for p in range(tile.pixels):
        for v in range(0, tile.channels, tile.lanes):
            bias = load(tiles.rule.bias, block * tile.channels + v, tile.lanes)
            store(acc, p * tile.channels + v, bias, tile.lanes)
    with T.serial(0, height) as row, T.serial(0, tiles.steps) as step:
        numbers = tiles.fields(y, x, row, step)
        first = ((stored * height + row) * tiles.steps + step) * tile.step * tile.channels
        multiply_lanes(tile, acc, numbers, [(tiles.weights, first + k * tile.channels) for k in range(tile.step)])
