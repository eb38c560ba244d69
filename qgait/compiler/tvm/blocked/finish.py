"""Where codes go: straight to the output, or through scratch, a table and a pooling when those are fused."""

from __future__ import annotations

import numpy as np
from tvm.script.ir_builder import tirx as T

from qgait.compiler.tvm.blocked.gather import pieces
from qgait.compiler.tvm.blocked.plan import ConvPlan
from qgait.compiler.tvm.builder import load, store
from qgait.compiler.tvm.dot_products import Buffer, DotProducts, Expr
from qgait.export.operators import Table


class Finish:
    """Emits stores of a tile's channels; ``valid`` is how many of them exist (fewer in the last tile of odd layers)."""

    def __init__(
        self,
        plan: ConvPlan,
        dots: DotProducts,
        table: Table | None,
        lookup: Buffer | None,
        scratch: Buffer,
        out: Buffer,
    ) -> None:
        self.plan = plan
        self.dots = dots
        self.lookup = lookup
        self.pool_first = table is None or is_monotone(table)
        self.scratch = scratch
        self.out = out

    def codes(self, values: Expr, block: Expr, row: Expr, x: Expr, channel: Expr, valid: int) -> None:
        """The codes of one pixel, ``row`` within row block ``block``."""
        plan = self.plan
        if plan.staged:
            store(self.scratch, self._staged_at(row, x), values, plan.tile)
        else:
            y = block * plan.row_block + row
            self._output(values, (y * plan.columns + x) * plan.channels + channel, valid)

    def staged_row_block(self, block: Expr, channel: Expr, valid: int) -> None:
        """Table and pooling for the channels of one tile, once the row block is complete."""
        plan = self.plan
        rows, columns = plan.row_block // plan.pool, plan.columns // plan.pool
        with T.serial(0, rows) as r, T.serial(0, columns) as x:
            square = [
                load(self.scratch, self._staged_at(r * plan.pool + i, x * plan.pool + j), plan.tile)
                for i in range(plan.pool)
                for j in range(plan.pool)
            ]
            if not self.pool_first:
                square = [T.bind(self.dots.look_up(codes, self.lookup)) for codes in square]
            codes = square[0]
            for other in square[1:]:
                codes = T.max(codes, other)
            codes = T.bind(codes)
            if self.pool_first and self.lookup is not None:
                codes = T.bind(self.dots.look_up(codes, self.lookup))
            y = block * rows + r
            self._output(codes, (y * columns + x) * plan.channels + channel, valid)

    def _staged_at(self, row: Expr, x: Expr) -> Expr:
        return self.plan.staging_at + (row * self.plan.columns + x) * self.plan.tile

    def _output(self, values: Expr, at: Expr, valid: int) -> None:
        if valid == self.plan.tile:
            store(self.out, at, values, valid)
            return
        values = T.bind(values)
        for offset, size in pieces(valid):
            part = T.Shuffle([values], list(range(offset, offset + size)))
            store(self.out, at + offset, part, size)


def is_monotone(table: Table) -> bool:
    """Whether the table commutes with a maximum."""
    return bool(np.all(np.diff(table.table.astype(np.int16)) >= 0))
