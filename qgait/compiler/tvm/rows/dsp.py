"""Convolution with the DSP instructions of a Cortex-M33 (or M4 and M7): two 16-bit products in one instruction.

Input rows are kept as int16. SXTB16 widens two weights at once, SMLAD multiplies two pairs and adds both products to a
32-bit sum. Weights lie as 0, 2, 1, 3, so that one SXTB16 takes the first pair and one with a rotation the second.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from qgait.compiler.tvm.builder import Index, load, store
from qgait.compiler.tvm.dsp import multiplied, widened
from qgait.compiler.tvm.fusion import Group
from qgait.compiler.tvm.instruction_set import InstructionSet
from qgait.compiler.tvm.program import Kernel
from qgait.compiler.tvm.rows.nest import Packed, Tiles, row_kernel
from qgait.compiler.tvm.rows.tile import Tile, pack_channels
from qgait.export.graph import Graph

if TYPE_CHECKING:
    from tvm.tirx import Buffer, PrimExpr

STEP = 4  # weights in a register
CHANNELS = PIXELS = 2  # their four sums, codes and weights fit into the registers
STEPS = (2, 1)  # of a round of the inner loop


def conv_kernel(group: Group, graph: Graph, instructions: InstructionSet) -> Kernel:
    """The kernel of a group that starts with a convolution."""
    assert group.conv is not None
    _, height, width, inputs = group.conv.weight.shape
    columns = width * inputs < 2 * STEP
    run = width * inputs * (height if columns else 1)
    tile = Tile(min(PIXELS, graph.tensors[group.conv.output].shape[1]), CHANNELS, STEP, CHANNELS)
    steps = next(n for n in STEPS if -(-run // STEP) % n == 0)
    sums = partial(_sums, steps=steps)
    return row_kernel(group, graph, instructions, tile, "int16", _pack, sums, columns, steps)


def _pack(weight: Packed) -> Packed:
    """[O, runs, run] -> [O / 2, runs, run / 4, 2, 4], the four of a step as 0, 2, 1, 3."""
    blocks = pack_channels(weight, CHANNELS)
    fours = blocks.reshape(*blocks.shape[:2], -1, STEP, CHANNELS)[:, :, :, [0, 2, 1, 3]]
    return fours.swapaxes(-1, -2)


def _sums(tiles: Tiles, acc: Buffer, block: Index, stored: Index, y: Index, x: Index, steps: int) -> None:
    pixels, ring = tiles.tile.pixels, tiles.ring
    for c in range(CHANNELS):
        for p in range(pixels):
            store(acc, p * CHANNELS + c, load(tiles.rule.bias, block * CHANNELS + c, 1), 1)
    with T.serial(0, ring.runs) as row, T.serial(0, tiles.rounds) as i:
        for step in (i * steps + n for n in range(steps)):
            codes = [T.bind(T.reinterpret("int32x2", four)) for four in tiles.fields(y, x, row, step)]
            for c in range(CHANNELS):
                at = (((stored * ring.runs + row) * tiles.steps + step) * CHANNELS + c) * STEP
                weights = T.bind(T.reinterpret("int32", load(tiles.weights, at, STEP)))
                for lane, pair in enumerate((_pair(weights), _pair(_rotated(weights)))):
                    for p in range(pixels):
                        place = p * CHANNELS + c
                        two = tirx.Shuffle([codes[p]], [lane])
                        store(acc, place, multiplied(load(acc, place, 1), two, pair), 1)


def _pair(word: PrimExpr) -> PrimExpr:
    """Bytes 0 and 2 as two int16 numbers."""
    return T.bind(widened(word))


def _rotated(word: PrimExpr) -> PrimExpr:
    """To the right by 8 bits."""
    bits = T.reinterpret("uint32", word)
    eight, rest = tirx.const(8, "uint32"), tirx.const(24, "uint32")
    return T.reinterpret("int32", tirx.bitwise_or(tirx.shift_right(bits, eight), tirx.shift_left(bits, rest)))
