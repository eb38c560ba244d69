"""Convolution row by row: a ring of padded input rows, register tiles along a row, then what is fused behind it.

Codes of neighbouring columns lie one behind the other in a row, so a field is KH runs of KW * I numbers.

Packed weights are unpacked for a few blocks of channels at a time, and where those are not all, then for several rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tvm import tirx
from tvm.script.ir_builder import tirx as T

from qgait.compiler.tvm.builder import Index, function, load, local, loop, store
from qgait.compiler.tvm.fusion import Group
from qgait.compiler.tvm.instruction_set import InstructionSet
from qgait.compiler.tvm.program import Kernel
from qgait.compiler.tvm.rows.channel_rule import ChannelRule
from qgait.compiler.tvm.rows.ending import Ending, in_place_of, rows_needed
from qgait.compiler.tvm.rows.tile import Tile
from qgait.compiler.tvm.weights import UNPACKED_AT_ONCE, Weights
from qgait.export.graph import Graph
from qgait.export.operators import Convolution, Tensor

if TYPE_CHECKING:
    from tvm.tirx import Buffer, PrimExpr

COPIED = 16  # numbers that a copy of a part of a field takes at most
WORTH = 64  # pixels that a few weights are unpacked for, at least
Packed = NDArray[np.int8]
# writes the int32 sums [pixels, channels] of a tile:
# (tiles, sums, block of channels, which block of ``tiles.weights`` that is, row, first column)
Sums = Callable[["Tiles", "Buffer", "Index", "Index", "Index", "Index"], None]


def row_kernel(
    group: Group,
    graph: Graph,
    instructions: InstructionSet,
    tile: Tile,
    dtype: str,
    pack: Callable[[Packed], Packed],
    sums: Sums,
    columns: bool = False,
    hide_steps: int = 0,
    weight_type: str = "int8",
) -> Kernel:
    """The kernel of a group that starts with a convolution.

    ``dtype`` is what input rows are kept as; ``pack`` orders int8 weights [O, runs, run] the way ``sums`` reads them,
    [blocks of channels, ...], and ``weight_type`` is what it reads them as.
    With ``columns`` a field is one run (`Columns`), otherwise KH of them. ``hide_steps``: how many steps a round of
    ``sums`` takes, for `Tiles.rounds`.
    """
    conv = group.conv
    assert conv is not None
    source, made = graph.tensors[conv.inputs[0]], graph.tensors[conv.output]
    by_rows = Ring.of(conv, source, made, dtype, tile.step)
    ring: Ring | Band | Columns = Columns.of(by_rows, made, tile.step) if columns else by_rows
    flat = conv.weight.reshape(len(conv.weight), ring.runs, -1)
    weight = np.zeros((*flat.shape[:2], ring.run), np.int8)
    weight[:, :, : flat.shape[2]] = flat
    blocks = pack(weight)
    at_once = len(blocks) if conv.weight_bits == 8 or columns else _blocks_at_once(blocks)
    together = 1
    if at_once < len(blocks):
        together = _rows_together(group, graph)
        ring = Band(by_rows, together)
    with function(group, in_place_of(group)) as f:
        data = f.input(source)
        ending = Ending(f, group, graph, instructions, together)
        pieces = blocks.reshape(len(blocks) // at_once, -1)
        weights = Weights.declare(f, pieces, conv.weight_bits, weight_type)
        rounds = f.constant([ring.run // tile.step // hide_steps], "int32") if hide_steps else None
        rule = ChannelRule(f, conv, made, tile.channels, instructions)
        rows, codes = f.scratch((ring.size, dtype), (ending.spare, "int8"))
        out = f.output(graph.tensors[group.output])
        tiles = Tiles(tile, ring, made, rows, weights, at_once, rule)
        weights.begin()
        if rounds is not None:
            tiles.rounds = T.bind(load(rounds, 0, 1))

        def make(y: Index, buffer: Buffer, start: Index) -> None:
            ring.fill(rows, data, y)
            tiles.rows(sums, 0 if together > 1 else y, together, buffer, start)

        ending.each_row(make, codes, out)
    return f.kernel()


def _blocks_at_once(blocks: Packed) -> int:
    """How many of the blocks of channels are unpacked at a time: a number that divides theirs."""
    most = max(1, UNPACKED_AT_ONCE // blocks[0].size)
    return max(n for n in range(1, most + 1) if len(blocks) % n == 0)


def _rows_together(group: Group, graph: Graph) -> int:
    """The fewest rows of the convolution's output that have as many pixels as unpacking is worth."""
    assert group.conv is not None
    rows, width = rows_needed(group, graph), graph.tensors[group.conv.output].shape[1]
    pool = group.pool.kernel if group.pool else 1
    return next((n for n in range(pool, rows, pool) if rows % n == 0 and n * width >= WORTH), rows)


@dataclass(frozen=True, eq=False)
class Ring:
    """The last KH input rows, row r in slot r % KH, each ``length`` numbers long with its padding.

    ``run`` is KW * I rounded up to whole steps; what lies behind a field meets weights that are zero.
    """

    conv: Convolution
    source: Tensor
    dtype: str
    run: int
    length: int

    @staticmethod
    def of(conv: Convolution, source: Tensor, made: Tensor, dtype: str, step: int) -> Ring:
        inputs = source.map_shape[2]
        run = -(-conv.kernel[1] * inputs // step) * step
        padded = (conv.padding[1] + source.shape[1] + conv.padding[3]) * inputs
        last = (made.shape[1] - 1) * conv.stride[1] * inputs + run
        return Ring(conv, source, dtype, run, -(-max(padded, last) // 8) * 8)

    @property
    def size(self) -> int:
        """Numbers of scratch memory."""
        return self.conv.kernel[0] * self.length

    @property
    def runs(self) -> int:
        """Runs of one field."""
        return self.conv.kernel[0]

    @property
    def across(self) -> int:
        """From a field to the next."""
        return self.conv.stride[1] * self.source.shape[2]

    def start(self, y: Index, run: Index) -> PrimExpr:
        """Where a run of the first field of output row ``y`` begins."""
        return self.slot(y * self.conv.stride[0] + run)

    def slot(self, row: Index) -> Index:
        """Where a row starts; rows count from the upper padding on."""
        return tirx.floormod(row, self.conv.kernel[0]) * self.length

    def fill(self, rows: Buffer, data: Buffer, y: Index) -> None:
        """Brings in the rows that output row ``y`` is the first to read."""
        height, stride = self.conv.kernel[0], self.conv.stride[0]
        with T.serial(0, height) as i, T.If(tirx.any(y == 0, i >= height - stride)), T.Then():
            row = y * stride + i
            self.bring(rows, self.slot(row), data, row)

    def bring(self, rows: Buffer, start: Index, data: Buffer, padded_row: Index) -> None:
        """Copies one row to ``start``; rows count from the upper padding on."""
        height, width, inputs = self.source.shape
        row = padded_row - self.conv.padding[0]
        border = tirx.const(self.source.zero_point, self.dtype)
        left, whole = self.conv.padding[1] * inputs, width * inputs
        with T.If(tirx.all(row >= 0, row < height)):
            with T.Then():
                with T.serial(0, left) as i:
                    store(rows, start + i, border, 1)
                with T.serial(0, whole) as i:
                    store(rows, start + left + i, T.cast(load(data, row * whole + i, 1), self.dtype), 1)
                with T.serial(0, self.length - left - whole) as i:
                    store(rows, start + left + whole + i, border, 1)
            with T.Else(), T.serial(0, self.length) as i:
                store(rows, start + i, border, 1)


@dataclass(frozen=True, eq=False)
class Band:
    """The input rows behind ``together`` output rows, which count from the first one of a band on."""

    ring: Ring
    together: int

    @property
    def conv(self) -> Convolution:
        return self.ring.conv

    @property
    def run(self) -> int:
        return self.ring.run

    @property
    def size(self) -> int:
        return self._height * self.ring.length

    @property
    def runs(self) -> int:
        return self.ring.runs

    @property
    def across(self) -> int:
        return self.ring.across

    @property
    def _height(self) -> int:
        return (self.together - 1) * self.conv.stride[0] + self.conv.kernel[0]

    def start(self, y: Index, run: Index) -> Index:
        return (y * self.conv.stride[0] + run) * self.ring.length

    def fill(self, rows: Buffer, data: Buffer, y: Index) -> None:
        """The whole band whose first output row is ``y``."""
        with T.serial(0, self._height) as i:
            self.ring.bring(rows, i * self.ring.length, data, y * self.conv.stride[0] + i)


@dataclass(frozen=True, eq=False)
class Columns:
    """The whole fields of one output row, each one run; made from a ring of rows, behind which they lie."""

    ring: Ring
    width: int
    run: int

    @staticmethod
    def of(ring: Ring, made: Tensor, step: int) -> Columns:
        field = ring.conv.weight[0].size
        return Columns(ring, made.shape[1], -(-field // step) * step)

    @property
    def conv(self) -> Convolution:
        return self.ring.conv

    @property
    def size(self) -> int:
        # a copy may run over the end of the last field
        return self._at + self.width * self.run + COPIED

    @property
    def runs(self) -> int:
        return 1

    @property
    def across(self) -> int:
        return self.run

    @property
    def _at(self) -> int:
        return -(-(self.ring.size + COPIED) // COPIED) * COPIED

    def start(self, y: Index, run: Index) -> Index:
        return self._at

    def fill(self, rows: Buffer, data: Buffer, y: Index) -> None:
        """Every field from its rows. What a copy spoils is written afterwards, or meets weights that are zero."""
        self.ring.fill(rows, data, y)
        _, height, width, inputs = self.conv.weight.shape
        span = width * inputs
        size = next((n for n in (4, 8) if n >= span), COPIED)
        with T.serial(0, self.width) as x:
            for i in range(height):
                source = self.ring.start(y, i) + x * self.ring.across
                for at in range(0, span, size):
                    codes = load(rows, source + at, size)
                    store(rows, self._at + x * self.run + i * span + at, codes, size)


class Tiles:
    """The register tiles of one output row."""

    def __init__(
        self,
        tile: Tile,
        ring: Ring | Band | Columns,
        made: Tensor,
        data: Buffer,
        weights: Weights,
        at_once: int,
        rule: ChannelRule,
    ) -> None:
        self.tile, self.ring, self.made, self.data = tile, ring, made, data
        self.weights, self.at_once, self.rule = weights.buffer, at_once, rule
        self._pieces = weights
        # of a run; LLVM does not know the number. If it did, it would write them all out and spill their addresses
        self.rounds: PrimExpr = self.steps

    def rows(self, sums: Sums, y: Index, count: int, out: Buffer, start: Index) -> None:
        """Codes of ``count`` output rows from ``y`` on, dense from ``start`` on. A row's last tile may overlap."""
        tile, (_, width, channels) = self.tile, self.made.shape
        acc = local(tile.pixels * tile.channels, "int32")
        with loop(-(-channels // tile.channels) // self.at_once) as piece:
            first = self._pieces.bring(piece) * self.at_once
            with loop(count) as r, T.serial(0, self.at_once) as i, T.serial(0, -(-width // tile.pixels)) as j:
                x = tirx.min(j * tile.pixels, width - tile.pixels)
                block = piece * self.at_once + i
                sums(self, acc, block, first + i, y + r, x)
                for p in range(tile.pixels):
                    self._codes(acc, p, block, out, start + (r * width + x + p) * channels)

    @property
    def steps(self) -> int:
        """Steps of one run."""
        return self.ring.run // self.tile.step

    def fields(self, y: Index, x: Index, row: Index, step: Index) -> list[PrimExpr]:
        """``tile.step`` numbers of every pixel from column ``x`` on, in one run of its field."""
        start, across = self.ring.start(y, row) + step * self.tile.step, self.ring.across
        return [T.bind(load(self.data, start + (x + p) * across, self.tile.step)) for p in range(self.tile.pixels)]

    def _codes(self, acc: Buffer, pixel: int, block: Index, out: Buffer, start: Index) -> None:
        tile, channels = self.tile, self.made.shape[2]
        first = block * tile.channels
        whole = channels % tile.channels == 0
        spare, to = (out, start + first) if whole else (local(tile.channels, "int8"), 0)
        lanes = self.rule.lanes(tile.channels)
        for v in range(0, tile.channels, lanes):
            sums = load(acc, pixel * tile.channels + v, lanes)
            store(spare, to + v, self.rule.codes(sums, first + v, lanes), lanes)
        if whole:
            return
        with T.serial(0, tirx.min(tile.channels, channels - first)) as c:
            store(out, start + first + c, load(spare, c, 1), 1)
