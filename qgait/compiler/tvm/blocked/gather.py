"""Copies the input rows of a block of output rows, with their border, to where the micro-kernel reads them.

See plan.py for the two layouts. Everything moves in vectors of up to 16 bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

from tvm.script.ir_builder import tirx as T

from qgait.compiler.tvm.blocked.plan import BLOCK, ConvPlan
from qgait.compiler.tvm.builder import load, splat, store
from qgait.compiler.tvm.dot_products import Buffer, Expr


class Gather:
    """Emits the copies; ``flip`` is XORed to every byte (-128 turns int8 codes into unsigned ones)."""

    def __init__(self, plan: ConvPlan, source: Buffer, scratch: Buffer, border: Buffer, flip: int) -> None:
        self.plan = plan
        self.source = source
        self.scratch = scratch
        self.border = border  # 16 bytes of the padding value, flipped; in memory, or LLVM would call memset
        self.flip = flip

    def row_block(self, block: Expr) -> None:
        """Everything that output row block number ``block`` reads."""
        plan = self.plan
        first = block * (plan.row_block * plan.stride[0]) - plan.border[0]
        with T.serial(0, plan.input_rows) as g, T.If(T.And(first + g >= 0, first + g < plan.source[0])):
            with T.Then():
                self._copy_row(first + g, g)
            with T.Else():
                self._fill_row(g)
        if not plan.by_rows:
            self._columns()

    def _copy_row(self, y: Expr, g: Expr) -> None:
        plan = self.plan
        width, channels = plan.source[1:]
        if not plan.by_rows:
            line = plan.lines_at + g * plan.line
            left = min(plan.border[1] * channels, plan.line)
            inside = min(width * channels, plan.line - left)
            self._fill(line, left)
            self._fill(line + left + inside, plan.line - left - inside)
            self._copy(line + left, y * (width * channels), inside)
            return
        stride = plan.stride[1]
        with T.serial(0, channels // BLOCK) as c:
            for phase in range(plan.phases):
                # columns i of this phase show input column i * stride + phase - left
                begin = min(max(-(-(plan.border[1] - phase) // stride), 0), plan.phase_columns)
                end = min(max(-(-(width + plan.border[1] - phase) // stride), begin), plan.phase_columns)
                to = self._block_at(g, c, phase)
                for i in (*range(begin), *range(end, plan.phase_columns)):
                    self._store(to + i * BLOCK, self._border(BLOCK), BLOCK)
                with T.serial(begin, end) as i:
                    column = i * stride + phase - plan.border[1]
                    self._store(to + i * BLOCK, self._load((y * width + column) * channels + c * BLOCK, BLOCK), BLOCK)

    def _fill_row(self, g: Expr) -> None:
        plan = self.plan
        if not plan.by_rows:
            self._fill(plan.lines_at + g * plan.line, plan.line)
            return
        with T.serial(0, plan.source[2] // BLOCK) as c, T.serial(0, plan.phases * plan.phase_columns) as i:
            self._store(self._block_at(g, c, 0) + i * BLOCK, self._border(BLOCK), BLOCK)

    def _block_at(self, g: Expr, c: Expr, phase: int) -> Expr:
        plan = self.plan
        block = (g * (plan.source[2] // BLOCK) + c) * plan.operand.block_stride
        return block + phase * plan.phase_columns * BLOCK

    def _columns(self) -> None:
        """The receptive field of every pixel of the row block, from the bordered lines.

        A copy may write past its kernel row: what it spoils is written afterwards, or meets a zero weight.
        """
        plan = self.plan
        operand = plan.operand
        span = plan.kernel[1] * plan.source[2]
        size = next((n for n in (4, 8, BLOCK) if n >= span), BLOCK)
        with T.serial(0, plan.row_block) as r, T.serial(0, plan.columns) as x:
            for ky in range(plan.kernel[0]):
                line = plan.lines_at + (r * plan.stride[0] + ky) * plan.line + x * plan.stride[1] * plan.source[2]
                field = r * operand.row_stride + x * operand.pixel_stride + ky * span
                for at in range(0, span, size):
                    self._store(field + at, load(self.scratch, line + at, size), size)

    def _copy(self, to: Expr, at: Expr, count: int) -> None:
        for offset, size in pieces(count):
            self._store(to + offset, self._load(at + offset, size), size)

    def _fill(self, to: Expr, count: int) -> None:
        for offset, size in pieces(count):
            self._store(to + offset, self._border(size), size)

    def _store(self, to: Expr, value: Expr, size: int) -> None:
        store(self.scratch, to, value, size)

    def _load(self, at: Expr, size: int) -> Expr:
        codes = load(self.source, at, size)
        return codes ^ splat(self.flip, "int8", size) if self.flip else codes

    def _border(self, size: int) -> Expr:
        return load(self.border, 0, size)


def pieces(count: int) -> Iterator[tuple[int, int]]:
    """(offset, size) of the vectors of 16, 8, 4, 2 and 1 bytes that make up ``count`` bytes."""
    offset = 0
    for size in (BLOCK, 8, 4, 2, 1):
        while count - offset >= size:
            yield offset, size
            offset += size
