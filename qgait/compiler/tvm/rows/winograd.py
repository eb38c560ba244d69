"""3 x 3 convolutions with stride 1 on ARM cores without dot products: a quarter of the products, and still exact.

    for a strip of tile rows:
        copy its input rows with their padding; transform the codes of every 6 x 6 patch
        for 16 output channels, whose weights are unpacked, for up to 128 input channels at a time:
            transform the weights; 36 matrix products [tiles, inputs] x [inputs, 16]
        transform back, requantize; residual sum, table and pooling row by row

The library holds the weights as they are; transforming them anew costs a few per cent and saves eight times the memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from qgait.compiler.tvm.builder import Index, function, load, local, splat, store, widen
from qgait.compiler.tvm.elementwise import Place, copy_codes
from qgait.compiler.tvm.fusion import Group
from qgait.compiler.tvm.instruction_set import InstructionSet
from qgait.compiler.tvm.program import Kernel
from qgait.compiler.tvm.rows import winograd_math as winograd
from qgait.compiler.tvm.rows.channel_rule import ChannelRule
from qgait.compiler.tvm.rows.ending import Ending, in_place_of
from qgait.compiler.tvm.rows.tile import Tile, fewest_tiles, multiply_lanes, pack_channels
from qgait.compiler.tvm.rows.winograd_math import OUTPUTS, POINTS, TAPS, two_dimensions
from qgait.compiler.tvm.weights import Weights
from qgait.export.graph import Graph
from qgait.export.operators import Convolution, Tensor

if TYPE_CHECKING:
    from tvm.tirx import Buffer, PrimExpr

CHANNELS = 16  # output channels at a time
MOST_PIXELS = 5  # of a register tile
MOST_TILES = 24  # of one strip: twice as many save 2 % of the instructions and take up to 180 KiB more memory
LANES = 8  # codes or weights transformed at once
WORTH = 1.6  # a transformed product costs this much more, transforms included


@dataclass(frozen=True)
class Plan:
    """Sizes: ``rows`` x ``columns`` tiles a strip, ``strips`` strips, ``parts`` sums of ``inputs`` channels each."""

    strips: int
    rows: int
    columns: int
    parts: int
    inputs: int
    tile: Tile

    @property
    def tiles(self) -> int:
        return self.rows * self.columns

    @property
    def padded(self) -> tuple[int, int]:
        """Rows and columns of the input that a strip reads, padding included."""
        return self.rows * OUTPUTS + TAPS - 1, self.columns * OUTPUTS + TAPS - 1


def plan(conv: Convolution, made: Tensor, instructions: InstructionSet) -> Plan | None:
    """None where the layer has another shape, or is so small that whole tiles would waste what is saved."""
    outputs, height, width, inputs = conv.weight.shape
    if (height, width) != (TAPS, TAPS) or conv.stride != (1, 1) or outputs % CHANNELS or inputs % LANES:
        return None
    tall, columns = (-(-size // OUTPUTS) for size in made.shape[:2])
    if POINTS**2 * tall * columns * WORTH > TAPS**2 * made.shape[0] * made.shape[1]:
        return None
    rows = max(r for r in range(1, tall + 1) if tall % r == 0 and (r == 1 or r * columns <= MOST_TILES))
    at_once = max(n for n in range(LANES, winograd.MOST_INPUTS + 1, LANES) if inputs % n == 0)
    pixels = min(instructions.sums // CHANNELS, MOST_PIXELS)
    tile = Tile(fewest_tiles(rows * columns, pixels), CHANNELS, instructions.lanes, instructions.lanes)
    return Plan(tall // rows, rows, columns, inputs // at_once, at_once, tile)


def conv_kernel(group: Group, graph: Graph, instructions: InstructionSet) -> Kernel | None:
    """The kernel of a group that starts with a convolution, or None where it would not pay."""
    conv = group.conv
    assert conv is not None
    source, made = graph.tensors[conv.inputs[0]], graph.tensors[conv.output]
    shape = plan(conv, made, instructions)
    if shape is None or (group.pool is not None and shape.rows * OUTPUTS % group.pool.kernel):
        return None
    with function(group, in_place_of(group)) as f:
        data = f.input(source)
        ending = Ending(f, group, graph, instructions)
        blocks = pack_channels(conv.weight, CHANNELS)
        weights = Weights.declare(f, blocks.reshape(len(blocks), -1), conv.weight_bits)
        rule = ChannelRule(f, conv, made, CHANNELS, instructions)
        padded, codes, factors, sums, rows = f.scratch(
            (prod(shape.padded) * source.shape[2], "int8"),
            (POINTS**2 * shape.tiles * source.shape[2], "int16"),
            (POINTS**2 * shape.inputs * CHANNELS, "int16"),
            (shape.parts * POINTS**2 * shape.tiles * CHANNELS, "int32"),
            (0 if ending.direct else shape.rows * OUTPUTS * ending.row, "int8"),
        )
        out = f.output(graph.tensors[group.output])
        weights.begin()
        with T.serial(0, shape.strips) as strip:
            first = strip * shape.rows * OUTPUTS
            _pad(conv, source, shape, (data, first), padded)
            _transform_codes(shape, source.shape[2], padded, codes)
            with T.serial(0, made.shape[2] // CHANNELS) as block:
                here = weights.bring(block)
                with T.serial(0, shape.parts) as part:
                    _transform_weights(shape, weights.buffer, here, part, factors)
                    _multiply(shape, codes, factors, sums, part)
                into = (out, first * ending.row) if ending.direct else (rows, 0)
                _transform_sums(shape, made, rule, sums, block, into, made.shape[0] - first)
            if not ending.direct:
                with T.serial(0, shape.rows * OUTPUTS) as y, T.If(first + y < ending.rows), T.Then():
                    square = (y - ending.pool + 1) * ending.row
                    ending.finish(first + y, (rows, y * ending.row), square, out)
    return f.kernel()


def _pad(conv: Convolution, source: Tensor, shape: Plan, data: Place, padded: Buffer) -> None:
    """Copies the input of a strip whose first output row is ``data[1]``; outside the image lies the zero point."""
    height, width, inputs = source.shape
    tall, wide = shape.padded
    top, left = conv.padding[0], conv.padding[1]
    border = tirx.const(source.zero_point, "int8")
    inside = min(width, wide - left)
    with T.serial(0, tall) as y:
        row, start = data[1] + y - top, y * wide * inputs
        with T.If(tirx.all(row >= 0, row < height)):
            with T.Then():
                with T.serial(0, left * inputs) as i:
                    store(padded, start + i, border, 1)
                copy_codes((data[0], row * width * inputs), (padded, start + left * inputs), inside * inputs)
                with T.serial(0, (wide - left - inside) * inputs) as i:
                    store(padded, start + (left + inside) * inputs + i, border, 1)
            with T.Else(), T.serial(0, wide * inputs) as i:
                store(padded, start + i, border, 1)


def _transform_codes(shape: Plan, inputs: int, padded: Buffer, codes: Buffer) -> None:
    """int16 [POINTS**2, tiles, inputs] from the padded rows."""
    wide = shape.padded[1]
    with T.serial(0, shape.rows) as y, T.serial(0, shape.columns) as x, T.serial(0, inputs // LANES) as c:
        corner = (y * wide + x) * OUTPUTS * inputs + c * LANES

        def code(row: int, column: int) -> PrimExpr:
            return widen(load(padded, corner + (row * wide + column) * inputs, LANES), "int16", LANES)

        made = two_dimensions(winograd.transform_codes, code, (POINTS, POINTS), "int16", LANES)
        for row in range(POINTS):
            for column in range(POINTS):
                tile = (row * POINTS + column) * shape.tiles + y * shape.columns + x
                store(codes, tile * inputs + c * LANES, made(row, column), LANES)


def _transform_weights(shape: Plan, weights: Buffer, block: Index, part: Index, factors: Buffer) -> None:
    """int16 [POINTS**2, inputs of this part, CHANNELS] of the output channels at ``block``."""
    inputs = shape.inputs * shape.parts
    with T.serial(0, shape.inputs) as c, T.serial(0, CHANNELS // LANES) as v:
        first = (block * TAPS**2 * inputs + part * shape.inputs + c) * CHANNELS + v * LANES

        def weight(row: int, column: int) -> PrimExpr:
            at = first + (row * TAPS + column) * inputs * CHANNELS
            return widen(load(weights, at, LANES), "int16", LANES)

        made = two_dimensions(winograd.transform_weights, weight, (TAPS, POINTS), "int16", LANES)
        for row in range(POINTS):
            for column in range(POINTS):
                at = ((row * POINTS + column) * shape.inputs + c) * CHANNELS + v * LANES
                store(factors, at, made(row, column), LANES)


def _multiply(shape: Plan, codes: Buffer, factors: Buffer, sums: Buffer, part: Index) -> None:
    """int32 [part, POINTS**2, tiles, CHANNELS]: for every point of the patch a matrix product."""
    tile, inputs = shape.tile, shape.inputs * shape.parts
    acc = local(tile.pixels * CHANNELS, "int32")
    with T.serial(0, POINTS**2) as point, T.serial(0, -(-shape.tiles // tile.pixels)) as i:
        first = tirx.min(i * tile.pixels, shape.tiles - tile.pixels)
        for at in range(0, tile.pixels * CHANNELS, LANES):
            store(acc, at, splat(0, "int32", LANES), LANES)
        with T.serial(0, shape.inputs // tile.step) as s:
            start = part * shape.inputs + s * tile.step
            here = [(point * shape.tiles + first + p) * inputs + start for p in range(tile.pixels)]
            weight = (point * shape.inputs + s * tile.step) * CHANNELS
            numbers = [T.bind(load(codes, at, tile.step)) for at in here]
            multiply_lanes(tile, acc, numbers, [(factors, weight + k * CHANNELS) for k in range(tile.step)])
        made = ((part * POINTS**2 + point) * shape.tiles + first) * CHANNELS
        for at in range(0, tile.pixels * CHANNELS, LANES):
            store(sums, made + at, load(acc, at, LANES), LANES)


def _transform_sums(
    shape: Plan, made: Tensor, rule: ChannelRule, sums: Buffer, block: Index, out: Place, height: Index
) -> None:
    """Codes of ``CHANNELS`` channels in all tiles of a strip, of which ``height`` rows exist."""
    lanes = 4
    _, width, channels = made.shape
    acc = local(OUTPUTS**2 * CHANNELS, "int32")
    first = block * CHANNELS
    with T.serial(0, shape.rows) as y, T.serial(0, shape.columns) as x:
        with T.serial(0, CHANNELS // lanes) as v:
            for at in range(OUTPUTS**2):
                store(acc, at * CHANNELS + v * lanes, load(rule.bias, first + v * lanes, lanes), lanes)
            with T.serial(0, shape.parts) as part:

                def product(row: int, column: int) -> PrimExpr:
                    point = (part * POINTS**2 + row * POINTS + column) * shape.tiles + y * shape.columns + x
                    return load(sums, point * CHANNELS + v * lanes, lanes)

                scaled = two_dimensions(winograd.transform_sums, product, (POINTS, OUTPUTS), "int32", lanes)
                for row in range(OUTPUTS):
                    for column in range(OUTPUTS):
                        at = (row * OUTPUTS + column) * CHANNELS + v * lanes
                        share = winograd.accumulators(scaled(row, column), row, column, lanes)
                        store(acc, at, load(acc, at, lanes) + share, lanes)
        with T.serial(0, OUTPUTS) as row, T.serial(0, OUTPUTS) as column:
            inside = tirx.all(y * OUTPUTS + row < height, x * OUTPUTS + column < width)
            with T.If(inside), T.Then():
                codes = rule.codes(load(acc, (row * OUTPUTS + column) * CHANNELS, CHANNELS), first, CHANNELS)
                at = ((y * OUTPUTS + row) * width + x * OUTPUTS + column) * channels + first
                store(out[0], out[1] + at, codes, CHANNELS)
