"""Convolution channel by channel: every lane is a channel, and no sum crosses lanes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from tvm import tirx
from tvm.script.ir_builder import tirx as T

from qgait.compiler.tvm.builder import Index, function, load, local, store
from qgait.compiler.tvm.channel_products import ChannelProducts, Tap
from qgait.compiler.tvm.fusion import Group
from qgait.compiler.tvm.instruction_sets import instruction_set
from qgait.compiler.tvm.program import Kernel
from qgait.compiler.tvm.rows.channel_rule import ChannelRule
from qgait.compiler.tvm.rows.ending import Ending, in_place_of
from qgait.compiler.tvm.rows.nest import Ring
from qgait.compiler.tvm.rows.tile import fewest_tiles
from qgait.export.graph import Graph
from qgait.export.operators import DepthwiseConv2d, Requant, Tensor
from qgait.targets.processors import Target

if TYPE_CHECKING:
    from tvm.tirx import Buffer, PrimExpr

UNROLLED = 49  # taps of the largest field that is written out; a larger one goes row by row


def depthwise_kernel(group: Group, graph: Graph, target: Target) -> tuple[Kernel, str]:
    """The kernel of a group that starts with such a convolution, and which implementation that is."""
    conv, instructions = group.conv, instruction_set(target)
    assert isinstance(conv, DepthwiseConv2d)
    source, made = graph.tensors[conv.inputs[0]], graph.tensors[conv.output]
    products = instructions.by_channel.fitted(made.shape[2], conv.weight[..., 0].size)
    if products.rescaling is not None:
        instructions = replace(instructions, rescaling=products.rescaling)
    ring = Ring.of(conv, source, made, products.dtype, 1)
    blocks = _blocks(made.shape[2], products)
    with function(group, in_place_of(group)) as f:
        data = f.input(source)
        ending = Ending(f, group, graph, instructions)
        packed = _packed(conv, blocks, products)
        weights = f.constant(packed, packed.dtype.name)
        rule = ChannelRule(f, _in_order(conv, blocks, products), made, products.lanes, instructions)
        # vectors of fewer channels than there are lanes end behind the last row
        rows, spare = f.scratch((ring.size + products.lanes, products.dtype), (ending.spare, "int8"))
        out = f.output(graph.tensors[group.output])
        nest = Nest(conv, products, ring, made, rows, weights, packed[0].size, rule)

        def make(y: Index, buffer: Buffer, start: Index) -> None:
            ring.fill(rows, data, y)
            nest.row(y, buffer, start)

        ending.each_row(make, spare, out)
    return f.kernel(), "channels in lanes"


def _blocks(channels: int, products: ChannelProducts) -> np.ndarray:
    """The channels of every block, [blocks, lanes]: the last one overlaps, and what does not exist is the last."""
    first = np.minimum(np.arange(0, channels, products.lanes), max(channels - products.lanes, 0))
    return np.minimum(first[:, np.newaxis] + np.arange(products.lanes), channels - 1)


def _packed(conv: DepthwiseConv2d, blocks: np.ndarray, products: ChannelProducts) -> np.ndarray:
    """The weights of every block, step by step."""
    weights = conv.weight[:, :, blocks]
    steps = [
        products.packed(np.stack([weights[i, j] for i, j in step], axis=1)).reshape(len(blocks), -1)
        for step in _steps(conv, products)
    ]
    return np.concatenate(steps, axis=1)


def _steps(conv: DepthwiseConv2d, products: ChannelProducts) -> list[list[Tap]]:
    height, width = conv.kernel
    if height * width <= UNROLLED:
        return products.steps(height, width)
    return [[(row, j) for _, j in step] for row in range(height) for step in products.steps(1, width)]


def _in_order(conv: DepthwiseConv2d, blocks: np.ndarray, products: ChannelProducts) -> DepthwiseConv2d:
    """The convolution with biases and multipliers as the sums of its blocks lie."""
    channels = blocks[:, products.order].reshape(-1)
    multiplier, shift = (
        np.broadcast_to(numbers, conv.bias.shape)[channels] for numbers in (conv.requant.multiplier, conv.requant.shift)
    )
    return replace(conv, bias=conv.bias[channels], requant=Requant(multiplier, shift))


@dataclass(frozen=True, eq=False)
class Nest:
    """The register tiles of one output row; ``size`` packed weights a block."""

    conv: DepthwiseConv2d
    products: ChannelProducts
    ring: Ring
    made: Tensor
    rows: Buffer
    weights: Buffer
    size: int
    rule: ChannelRule

    def row(self, y: Index, out: Buffer, start: Index) -> None:
        """Codes of output row ``y``, dense from ``start`` on. The last tile overlaps the one before it."""
        lanes, (_, width, channels) = self.products.lanes, self.made.shape
        pixels = fewest_tiles(width, self.products.pixels)
        sums = local(pixels * lanes, "int32")
        # blocks inside: constants that differ from round to round are not loaded too early, only to be spilled
        with T.serial(0, -(-width // pixels)) as i, T.serial(0, -(-channels // lanes)) as block:
            first = tirx.min(block * lanes, max(channels - lanes, 0))
            x = tirx.min(i * pixels, width - pixels)
            for p in range(pixels):
                store(sums, p * lanes, load(self.rule.bias, block * lanes, lanes), lanes)
            self._sums(sums, pixels, y, x * self.ring.across + first, block * self.size)
            for p in range(pixels):
                self._codes(sums, p, block, out, start + (x + p) * channels + first)

    def _sums(self, sums: Buffer, pixels: int, y: Index, column: Index, weights: Index) -> None:
        height, width = self.conv.kernel
        if height * width <= UNROLLED:
            starts = [T.bind(self.ring.start(y, row) + column) for row in range(height)]
            self._steps(sums, pixels, starts, self.products.steps(height, width), weights)
        else:
            with T.serial(0, height) as row:
                start = T.bind(self.ring.start(y, row) + column)
                at = weights + row * (self.size // height)
                self._steps(sums, pixels, [start], self.products.steps(1, width), at)

    def _steps(self, sums: Buffer, pixels: int, starts: list[PrimExpr], steps: list[list[Tap]], weights: Index) -> None:
        """All steps with the rows of a field that begin at ``starts``; what pixels share is loaded once."""
        lanes, channels, stride = self.products.lanes, self.made.shape[2], self.conv.stride[1]
        loaded: dict[Tap, PrimExpr] = {}
        arranged: dict[tuple[Tap, ...], Sequence[PrimExpr]] = {}
        for step in steps:
            for p in range(pixels):
                taps = tuple((i, p * stride + j) for i, j in step)
                for i, j in taps:
                    if (i, j) not in loaded:
                        loaded[i, j] = T.bind(load(self.rows, starts[i] + j * channels, lanes))
                if taps not in arranged:
                    arranged[taps] = self.products.arranged([loaded[tap] for tap in taps])
                self.products.add(sums, p * lanes, arranged[taps], self.weights, weights)
            weights = weights + self.products.packed(np.zeros((1, len(step), lanes), np.int8)).size

    def _codes(self, sums: Buffer, pixel: int, block: Index, out: Buffer, start: Index) -> None:
        lanes, channels = self.products.lanes, self.made.shape[2]
        part = min(self.rule.lanes(lanes), lanes)
        values = [
            self.rule.rescaled(load(sums, pixel * lanes + v, part), block * lanes + v, part)
            for v in range(0, lanes, part)
        ]
        codes = self.products.codes(values, self.made)
        if channels >= lanes:
            store(out, start, codes, lanes)
            return
        spare = local(lanes, "int8")
        store(spare, 0, codes, lanes)
        for c in range(channels):
            store(out, start + c, load(spare, c, 1), 1)
