"""The shape of one convolution kernel: loop bounds, register tiles, and how gathered activations lie in scratch.

A block of output rows is computed at a time. Its input rows are first gathered into scratch, with their border, in
one of two layouts; the micro-kernel sees both as an ``Operand``: a K loop over 16-byte blocks, each read at a few taps.

- ``rows`` (input channels are a multiple of 16): [row][channel block][phase][column][16]. Neighbouring pixels of a
  channel block lie side by side, and a row of blocks follows the next without a gap, so the kernel rows and the channel
  blocks are one loop. A stride of s splits the columns into s phases, so that the pixels of a tap stay neighbours.
- ``columns`` (any other depth): [output pixel][receptive field, padded to 16], an im2col of the row block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qgait.compiler.alignment import aligned
from qgait.compiler.tvm.fusion import Group
from qgait.export.graph import Graph
from qgait.export.operators import Conv2d

BLOCK = 16  # bytes of K that the micro-kernel takes at once
SMALL_SCRATCH = 32 * 1024  # gathered rows that stay in a first-level cache


@dataclass(frozen=True)
class Operand:
    """Gathered activations as the micro-kernel reads them; every number is in bytes except where it says so.

    Output pixel x of a row, block t: ``row * row_stride + x * pixel_stride + t * block_stride``. Its taps are at the
    offset of every run and at the ``count - 1`` pixels behind that.
    ``last_groups`` counts the groups of four codes of the last block that hold weights: 4 unless K was padded.
    """

    blocks: int  # count
    block_stride: int
    runs: tuple[tuple[int, int], ...]  # (offset, count of taps)
    pixel_stride: int
    row_stride: int
    last_groups: int  # count
    size: int

    @property
    def full_blocks(self) -> int:
        """Blocks whose four groups all hold weights."""
        return self.blocks if self.last_groups == 4 else self.blocks - 1


@dataclass(frozen=True)
class ConvPlan:
    """Everything about a fused convolution that does not depend on the instruction set's details.

    ``rows`` x ``columns`` outputs are computed: whole pooling squares only. ``row_block`` of them at a time,
    ``tile`` channels at a time, ``pixel_tiles`` = (count, width) pairs that cover a row.
    """

    source: tuple[int, int, int]  # [H, W, I] of the input
    kernel: tuple[int, int]
    stride: tuple[int, int]
    border: tuple[int, int]  # padding (top, left)
    rows: int
    columns: int
    channels: int
    pool: int  # side of the squares of the fused max pooling; 1: none
    staged: bool  # codes of a row block pass through scratch on their way to a table or a pooling
    loop_taps: bool  # taps side by side are a loop; otherwise all of them are written out
    tile: int
    pixel_tiles: tuple[tuple[int, int], ...]
    row_block: int

    @property
    def by_rows(self) -> bool:
        """Gathered as rows; otherwise as columns."""
        return self.source[2] % BLOCK == 0

    @property
    def tap_order(self) -> tuple[int, ...]:
        """Kernel columns in the order of their weights (rows layout).

        In a loop: phase by phase. Written out: even ones upwards and odd ones downwards. A step then replaces a pair of
        a tile's pixels, which load as a pair into the registers of the pair that went.
        """
        width = self.kernel[1]
        if self.loop_taps:
            return tuple(k for phase in range(self.phases) for k in range(phase, width, self.stride[1]))
        return (*range(0, width, 2), *reversed(range(1, width, 2)))

    @property
    def phases(self) -> int:
        """Column phases that some tap reads (rows layout)."""
        return min(self.stride[1], self.kernel[1])

    @property
    def phase_columns(self) -> int:
        """Columns of one phase, border included (rows layout)."""
        return self.columns + (self.kernel[1] - 1) // self.stride[1]

    @property
    def input_rows(self) -> int:
        """Input rows behind one row block."""
        return (self.row_block - 1) * self.stride[0] + self.kernel[0]

    @property
    def line(self) -> int:
        """Bytes of one input row with its border, as the columns layout reads it."""
        return ((self.columns - 1) * self.stride[1] + self.kernel[1]) * self.source[2]

    @property
    def operand(self) -> Operand:
        """What the micro-kernel reads."""
        if self.by_rows:
            depth = self.source[2] // BLOCK
            phase = self.phase_columns * BLOCK
            block = self.phases * phase
            if self.loop_taps:
                runs = tuple((f * phase, len(range(f, self.kernel[1], self.stride[1]))) for f in range(self.phases))
            else:
                runs = tuple((k % self.stride[1] * phase + k // self.stride[1] * BLOCK, 1) for k in self.tap_order)
            row = self.stride[0] * depth * block
            return Operand(self.kernel[0] * depth, block, runs, BLOCK, row, 4, self.input_rows * depth * block)
        depth = self.kernel[0] * self.kernel[1] * self.source[2]
        blocks = -(-depth // BLOCK)
        pixel = blocks * BLOCK
        groups = -(-(depth - (blocks - 1) * BLOCK) // 4)
        row = self.columns * pixel
        # the copy of a pixel's last kernel row may run over into the next pixel, which is written later
        return Operand(blocks, BLOCK, ((0, 1),), pixel, row, groups, self.row_block * row + BLOCK)

    @property
    def lines_at(self) -> int:
        """Offset in scratch of the bordered input rows that the columns layout is made from."""
        return aligned(self.operand.size)

    @property
    def staging_at(self) -> int:
        """Offset in scratch of the staged codes, [row_block][columns][tile]."""
        lines = 0 if self.by_rows else self.input_rows * self.line + BLOCK
        return self.lines_at + aligned(lines)

    @property
    def scratch_bytes(self) -> int:
        """All of scratch."""
        return self.staging_at + (self.row_block * self.columns * self.tile if self.staged else 0)


def plan(group: Group, graph: Graph, tile: int, pixels: int, loop_taps: bool) -> ConvPlan:
    """The plan for a group that starts with a convolution, on register tiles of ``pixels`` x ``tile`` channels."""
    conv = group.conv
    assert isinstance(conv, Conv2d)
    pool = group.pool.kernel if group.pool else 1
    height, width, channels = graph.tensors[conv.output].shape
    source = graph.tensors[conv.inputs[0]].shape
    rows, columns = height // pool * pool, width // pool * pool

    def with_row_block(row_block: int) -> ConvPlan:
        return ConvPlan(
            source=(source[0], source[1], source[2]),
            kernel=(conv.weight.shape[1], conv.weight.shape[2]),
            stride=conv.stride,
            border=conv.padding[:2],
            rows=rows,
            columns=columns,
            channels=channels,
            pool=pool,
            staged=group.table is not None or group.pool is not None,
            loop_taps=loop_taps,
            tile=tile,
            pixel_tiles=_pixel_tiles(columns, pixels),
            row_block=row_block,
        )

    return _largest_row_block(with_row_block, rows, pool, conv.weight.nbytes)


def _largest_row_block(with_row_block: Callable[[int], ConvPlan], rows: int, pool: int, weights: int) -> ConvPlan:
    """As many rows as keep scratch small; more where the weights, streamed once a row block, are far larger still."""
    limit = max(SMALL_SCRATCH, weights // 16)
    plans = [with_row_block(n) for n in range(pool, rows + 1, pool) if rows % n == 0]
    return max((p for p in plans if p.scratch_bytes <= limit), key=lambda p: p.row_block, default=plans[0])


def _pixel_tiles(columns: int, pixels: int) -> tuple[tuple[int, int], ...]:
    """Tiles of nearly equal width: 44 columns and at most 6 pixels give 4 x 6 and 4 x 5."""
    tiles = -(-columns // pixels)
    narrow, wide = columns // tiles, columns % tiles
    return tuple((count, width) for count, width in ((wide, narrow + 1), (tiles - wide, narrow)) if count)
