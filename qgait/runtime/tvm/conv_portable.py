"""Convolution for any processor: 16-bit products into 32-bit sums, a few pixels times a few channels in registers.

Rows of the input, padded and widened to int16, wait in a ring of KH rows. Codes of neighbouring columns lie one behind
the other in a row, so a window is KH runs of KW * I numbers. LLVM turns the products into smlal by lane on ARM
(vmlal.s16 on 32 bits) and into pmaddwd on x86.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from tvm import tirx
from tvm.script.ir_builder import tirx as T

from qgait.export.graph import Conv2d, Graph, Tensor
from qgait.runtime.targets import Target
from qgait.runtime.tvm.builder import Index, function, load, local, store
from qgait.runtime.tvm.conv_ending import Ending, in_place_of
from qgait.runtime.tvm.fusion import Group
from qgait.runtime.tvm.program import Kernel
from qgait.runtime.tvm.register_tile import (
    Rescaling,
    Tile,
    fewest_tiles,
    lanes_for,
    multiply_lanes,
    pack_channels,
)

if TYPE_CHECKING:
    from tvm.tirx import Buffer


def tile_for(target: Target, conv: Conv2d, width: int) -> Tile:
    """As many sums as there are registers left, and little work on pixels that do not exist."""
    outputs, _, kw, inputs = conv.weight.shape
    channels, sums = {"armv7": (8, 32), "v8": (16, 80), "dotprod": (16, 80)}.get(target.isa, (16, 96))
    channels = 8 if outputs % 16 == 8 else channels
    pixels = fewest_tiles(width, min(sums // channels, 8))
    step = 4 if target.isa == "armv7" or 0 < kw * inputs % 8 <= 4 else 8
    return Tile(pixels, channels, step, lanes_for(target))


def conv_kernel(group: Group, graph: Graph, target: Target) -> Kernel:
    """The kernel of a group that starts with a convolution."""
    conv = group.conv
    assert conv is not None
    source, made = graph.tensors[conv.inputs[0]], graph.tensors[conv.output]
    tile = tile_for(target, conv, made.shape[1])
    ring = Ring.of(conv, source, made, tile)
    weight = np.zeros((len(conv.weight), conv.weight.shape[1], ring.run), np.int8)
    weight[:, :, : conv.weight[0, 0].size] = conv.weight.reshape(*conv.weight.shape[:2], -1)
    with function(group, in_place_of(group)) as f:
        data = f.input(source)
        ending = Ending(f, group, graph, target)
        weights = f.constant(pack_channels(weight, tile.channels), "int8")
        rescaling = Rescaling(f, conv, made, tile.channels, target)
        rows, codes = f.scratch((ring.size, "int16"), (0 if ending.direct else ending.pool * ending.row, "int8"))
        out = f.output(graph.tensors[group.output])
        tiles = _Tiles(tile, ring, conv, made, rows, weights, rescaling)
        with T.serial(0, ending.rows) as y:
            ring.fill(rows, data, y)
            if ending.direct:
                tiles.row(y, out, y * ending.row)
            else:
                slot = tirx.floormod(y, ending.pool) * ending.row
                tiles.row(y, codes, slot)
                ending.finish(y, (codes, slot), 0, out)
    return f.kernel()


@dataclass(frozen=True, eq=False)
class Ring:
    """The last KH input rows as int16, row r in slot r % KH, each ``length`` numbers long with its padding.

    ``run`` is KW * I rounded up to whole steps; what lies behind a window meets weights that are zero.
    """

    conv: Conv2d
    source: Tensor
    run: int
    length: int

    @staticmethod
    def of(conv: Conv2d, source: Tensor, made: Tensor, tile: Tile) -> Ring:
        _, _, kw, inputs = conv.weight.shape
        run = -(-kw * inputs // tile.step) * tile.step
        padded = (conv.padding[1] + source.shape[1] + conv.padding[3]) * inputs
        last = (made.shape[1] - 1) * conv.stride[1] * inputs + run
        return Ring(conv, source, run, -(-max(padded, last) // 8) * 8)

    @property
    def size(self) -> int:
        return self.conv.weight.shape[1] * self.length

    def slot(self, row: Index) -> Index:
        """Where a row starts; rows count from the upper padding on."""
        return tirx.floormod(row, self.conv.weight.shape[1]) * self.length

    def fill(self, rows: Buffer, data: Buffer, y: Index) -> None:
        """Brings in the rows that output row ``y`` is the first to read."""
        height, stride = self.conv.weight.shape[1], self.conv.stride[0]
        with T.serial(0, height) as i, T.If(tirx.any(y == 0, i >= height - stride)), T.Then():
            row = y * stride + i
            self._row(rows, self.slot(row), data, row - self.conv.padding[0])

    def _row(self, rows: Buffer, start: Index, data: Buffer, row: Index) -> None:
        height, width, inputs = self.source.shape
        border = tirx.const(self.source.zero_point, "int16")
        left, whole = self.conv.padding[1] * inputs, width * inputs
        with T.If(tirx.all(row >= 0, row < height)):
            with T.Then():
                with T.serial(0, left) as i:
                    store(rows, start + i, border, 1)
                with T.serial(0, whole) as i:
                    store(rows, start + left + i, T.cast(load(data, row * whole + i, 1), "int16"), 1)
                with T.serial(0, self.length - left - whole) as i:
                    store(rows, start + left + whole + i, border, 1)
            with T.Else(), T.serial(0, self.length) as i:
                store(rows, start + i, border, 1)


class _Tiles:
    """The register tiles of one output row."""

    def __init__(
        self, tile: Tile, ring: Ring, conv: Conv2d, made: Tensor, rows: Buffer, weights: Buffer, rescaling: Rescaling
    ) -> None:
        self.tile, self.ring, self.conv, self.made = tile, ring, conv, made
        self.rows, self.weights, self.rescaling = rows, weights, rescaling

    def row(self, y: Index, out: Buffer, start: Index) -> None:
        """Codes of output row ``y``, dense from ``start`` on. The last tile overlaps the one before it."""
        tile, (_, width, channels) = self.tile, self.made.shape
        acc = local(tile.pixels * tile.channels, "int32")
        with T.serial(0, -(-channels // tile.channels)) as block, T.serial(0, -(-width // tile.pixels)) as i:
            x = tirx.min(i * tile.pixels, width - tile.pixels)
            self._sums(acc, block, y, x)
            for p in range(tile.pixels):
                self._codes(acc, p, block, out, start + (x + p) * channels)

    def _sums(self, acc: Buffer, block: Index, y: Index, x: Index) -> None:
        tile = self.tile
        height, inputs = self.conv.weight.shape[1], self.conv.weight.shape[3]
        for p in range(tile.pixels):
            for v in range(0, tile.channels, tile.lanes):
                bias = load(self.rescaling.bias, block * tile.channels + v, tile.lanes)
                store(acc, p * tile.channels + v, bias, tile.lanes)
        steps = self.ring.run // tile.step
        with T.serial(0, height) as r, T.serial(0, steps) as s:
            row = self.ring.slot(y * self.conv.stride[0] + r) + s * tile.step
            window = [row + (x + p) * self.conv.stride[1] * inputs for p in range(tile.pixels)]
            codes = [T.bind(load(self.rows, at, tile.step)) for at in window]
            weight = ((block * height + r) * steps + s) * tile.step * tile.channels
            multiply_lanes(tile, acc, codes, [(self.weights, weight + k * tile.channels) for k in range(tile.step)])

    def _codes(self, acc: Buffer, pixel: int, block: Index, out: Buffer, start: Index) -> None:
        tile, channels = self.tile, self.made.shape[2]
        first = block * tile.channels
        sums = load(acc, pixel * tile.channels, tile.channels)
        codes = self.rescaling.codes(sums, first, tile.channels)
        if channels % tile.channels == 0:
            store(out, start + first, codes, tile.channels)
            return
        spare = local(tile.channels, "int8")
        store(spare, 0, codes, tile.channels)
        with T.serial(0, tirx.min(tile.channels, channels - first)) as c:
            store(out, start + first + c, load(spare, c, 1), 1)
