"""What a fused convolution does with a finished row of codes: residual sum, table, max pooling."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from qgait.compiler.tvm.builder import Function, Index, load, loop, store
from qgait.compiler.tvm.elementwise import Place, add_codes, table_codes
from qgait.compiler.tvm.fusion import Group
from qgait.compiler.tvm.instruction_set import InstructionSet, LookUp
from qgait.compiler.tvm.pooling import pool_row
from qgait.export.graph import Graph

if TYPE_CHECKING:
    from tvm.tirx import Buffer


def rows_needed(group: Group, graph: Graph) -> int:
    """Rows of the convolution's output that end up in some code of the result."""
    assert group.conv is not None
    pool = 1 if group.pool is None else group.pool.kernel
    return graph.tensors[group.conv.output].shape[0] // pool * pool


def in_place_of(group: Group) -> str | None:
    """The shortcut's memory may be the output's: each row is read before it is written. Not if the taps read it too."""
    alone = group.add is not None and group.pool is None and group.inputs[0] != group.inputs[1]
    return group.inputs[1] if alone else None


class Ending:
    """The operators of a group behind its convolution, one row of the convolution's output at a time.

    The convolution makes ``together`` rows before they are finished: a number that divides those that are needed, and
    is 1 or a multiple of the side of the pooling squares.
    """

    def __init__(
        self, f: Function, group: Group, graph: Graph, instructions: InstructionSet, together: int = 1
    ) -> None:
        assert group.conv is not None
        self.group, self.graph, self.look_up, self.together = group, graph, instructions.look_up, together
        self.height, self.width, self.channels = graph.tensors[group.conv.output].shape
        self.residual: Buffer | None = None
        if group.add is not None:
            self.residual = f.input(graph.tensors[group.inputs[1]], 1)
        self.entries = None if group.table is None else f.constant(group.table.table, "int8")
        self.pool = 1 if group.pool is None else group.pool.kernel
        self.rows = rows_needed(group, graph)

    @property
    def direct(self) -> bool:
        """Whether the convolution's codes are the result."""
        return len(self.group.ops) == 1

    @property
    def row(self) -> int:
        """Codes in one row of the convolution's output."""
        return self.width * self.channels

    def each_row(self, make: Callable[[Index, Buffer, Index], None], spare: Buffer, out: Buffer) -> None:
        """Makes and finishes all rows.

        ``make(y, buffer, start)`` writes the codes of ``together`` rows from row ``y`` on, dense from there on.
        ``spare`` holds them, or the rows of one pooling square.
        """
        with T.serial(0, self.rows // self.together) as i:
            first = i * self.together
            if self.direct:
                make(first, out, first * self.row)
                return
            make(first, spare, tirx.floormod(first, self._kept) * self.row)
            with loop(self.together) as r:
                at = tirx.floormod(first + r, self._kept)
                self.finish(first + r, (spare, at * self.row), at // self.pool * self.pool * self.row, out)

    @property
    def spare(self) -> int:
        """Codes of scratch memory for `each_row`."""
        return 0 if self.direct else self._kept * self.row

    @property
    def _kept(self) -> int:
        return max(self.pool, self.together)

    def finish(self, y: Index, source: Place, square: Index, out: Buffer) -> None:
        """Takes row ``y`` of the convolution, dense at ``source``, to the output.

        ``square`` is where the rows of the pooling square that ends with this row start, in the buffer of ``source``.
        """
        target: Place = (out, y * self.row) if self.pool == 1 else source
        if self.residual is not None:
            assert self.group.add is not None and self.group.conv is not None
            other: Place = (self.residual, y * self.row)
            first = self.group.add.inputs[0] == self.group.conv.output
            a, b = (source, other) if first else (other, source)
            add_codes(self.group.add, self.graph, a, b, target if self.entries is None else source, self.row)
        if self.entries is not None:
            if self.look_up is not None and self.row % 16 == 0:
                self._look_up_16(self.look_up, source, target)
            else:
                table_codes(self.entries, source, target, self.row)
        if self.pool > 1:
            with T.If(tirx.floormod(y, self.pool) == self.pool - 1), T.Then():
                columns = self.width // self.pool
                into = (out, tirx.floordiv(y, self.pool) * columns * self.channels)
                pool_row(self.pool, (source[0], square), self.row, into, columns, self.channels)

    def _look_up_16(self, look_up: LookUp, source: Place, target: Place) -> None:
        with T.serial(0, self.row // 16) as i:
            codes = load(source[0], source[1] + i * 16, 16)
            store(target[0], target[1] + i * 16, look_up(codes, self.entries), 16)
