"""Convolution with the vector instructions of a Cortex-M55 or M85 (MVE, "Helium").

VMLADAVA.S8 multiplies 16 codes by 16 weights and adds all products to one 32-bit sum, which lies in a register of the
processor's core. The six sums of two pixels and three channels stay there while a field goes by: five loads for six
instructions that multiply, and the processor does a load and a multiplication at the same time. Eight channels are
multiplied as three, three and two.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from tvm.script.ir_builder import tirx as T

from qgait.compiler.tvm.builder import Index, load, local, store
from qgait.compiler.tvm.fusion import Group
from qgait.compiler.tvm.instruction_set import InstructionSet
from qgait.compiler.tvm.mve import multiplied
from qgait.compiler.tvm.program import Kernel
from qgait.compiler.tvm.rows.nest import Packed, Tiles, row_kernel
from qgait.compiler.tvm.rows.tile import Tile
from qgait.export.graph import Graph

if TYPE_CHECKING:
    from tvm.tirx import Buffer

STEP = 16  # codes in a register
CHANNELS = 8  # channels that are requantized one behind the other
GROUPS = ((2, 3), (1, 2))  # (count, channels): how those are multiplied
PIXELS = 2
STEPS = (2, 1)  # of a round of the inner loop


def conv_kernel(group: Group, graph: Graph, instructions: InstructionSet) -> Kernel:
    """The kernel of a group that starts with a convolution."""
    assert group.conv is not None
    _, _, width, inputs = group.conv.weight.shape
    pixels = min(PIXELS, graph.tensors[group.conv.output].shape[1])
    tile = Tile(pixels, CHANNELS, STEP, 4)
    field = width * inputs
    run = (field if field >= STEP else group.conv.weight[0].size) + STEP - 1
    steps = next(n for n in STEPS if run // STEP % n == 0)
    sums = partial(_sums, steps=steps)
    return row_kernel(group, graph, instructions, tile, "int8", _pack, sums, field < STEP, steps, "int32")


def _pack(weight: Packed) -> Packed:
    """[O, runs, run] -> [O / 8, ...], for every group of channels [runs, run / 16, channels, 16]."""
    outputs, runs, run = weight.shape
    padded = np.pad(weight, ((0, -outputs % CHANNELS), (0, 0), (0, 0)))
    blocks = padded.reshape(-1, CHANNELS, runs, run // STEP, STEP)
    packed, first = [], 0
    for count, channels in GROUPS:
        for _ in range(count):
            group = blocks[:, first : first + channels].transpose(0, 2, 3, 1, 4)
            packed.append(group.reshape(len(blocks), -1))
            first += channels
    return np.ascontiguousarray(np.concatenate(packed, axis=1))


def _sums(tiles: Tiles, acc: Buffer, block: Index, stored: Index, y: Index, x: Index, steps: int) -> None:
    first = 0
    for count, channels in GROUPS:
        with T.serial(0, count) as i:
            _group(tiles, acc, (block, stored), first + i * channels, channels, y, x, steps)
        first += count * channels


def _group(
    tiles: Tiles, acc: Buffer, blocks: tuple[Index, Index], first: Index, channels: int, y: Index, x: Index, steps: int
) -> None:
    """The sums of ``channels`` channels from ``first`` on, within a block."""
    block, stored = blocks
    pixels, ring = tiles.tile.pixels, tiles.ring
    sums = local(pixels * channels, "int32")
    for c in range(channels):
        bias = load(tiles.rule.bias, block * CHANNELS + first + c, 1)
        for p in range(pixels):
            store(sums, p * channels + c, bias, 1)
    start = (stored * CHANNELS + first) * (ring.runs * ring.run)
    with T.serial(0, ring.runs) as row, T.serial(0, tiles.rounds) as i:
        for step in (i * steps + n for n in range(steps)):
            codes = tiles.fields(y, x, row, step)
            for c in range(channels):
                at = start + ((row * tiles.steps + step) * channels + c) * STEP
                weights = T.bind(T.reinterpret("int8x16", load(tiles.weights, at // 4, 4)))
                for p in range(pixels):
                    place = p * channels + c
                    store(sums, place, multiplied(load(sums, place, 1), codes[p], weights), 1)
    for p in range(pixels):
        for c in range(channels):
            store(acc, p * CHANNELS + first + c, load(sums, p * channels + c, 1), 1)
