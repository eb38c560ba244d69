"""Which operators become one kernel: a convolution takes along the pointwise work and the pooling behind it."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeVar

from qgait.export.graph import Graph
from qgait.export.operators import Add, Convolution, MaxPool2d, Op, Table
from qgait.export.timing import Series

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Group:
    """Operators that one kernel computes: ``Convolution [Add] [Table] [MaxPool2d]`` in this order, or any one alone."""

    ops: tuple[Op, ...]

    @property
    def op(self) -> Op:
        """The first operator."""
        return self.ops[0]

    @property
    def conv(self) -> Convolution | None:
        return self._first(Convolution)

    @property
    def add(self) -> Add | None:
        return self._first(Add)

    @property
    def table(self) -> Table | None:
        return self._first(Table)

    @property
    def pool(self) -> MaxPool2d | None:
        return self._first(MaxPool2d)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The tensors read: those of the first operator, then the other operand of a fused Add."""
        inside = {op.output for op in self.ops}
        return tuple(name for op in self.ops for name in op.inputs if name not in inside)

    @property
    def output(self) -> str:
        """The tensor written."""
        return self.ops[-1].output

    @property
    def symbol(self) -> str:
        """The name of the C function."""
        return "qgait_" + re.sub(r"\W", "_", self.output)

    def _first(self, kind: type[T]) -> T | None:
        return next((op for op in self.ops if isinstance(op, kind)), None)


def groups(graph: Graph, elsewhere: Collection[Op] = ()) -> list[Group]:
    """The operators of ``graph`` in execution order, each in exactly one group, but for those that run ``elsewhere``.

    A tensor inside a group has one reader and is not the embedding. An Add joins the later of its two operands, so that
    the other one is there when the kernel runs; where that comes frames later, it stays alone. Results never change.
    """
    times = graph.series
    found: list[Group] = []
    taken = {op.output for op in elsewhere}
    ready = {graph.input}
    for op in graph.ops:
        if op in elsewhere:
            ready.add(op.output)
        if op.output in taken:
            continue
        group = Group(_chain(graph, op, ready, elsewhere, times) if isinstance(op, Convolution) else (op,))
        taken.update(member.output for member in group.ops)
        ready.add(group.output)
        found.append(group)
    return found


def _chain(
    graph: Graph, conv: Convolution, ready: set[str], elsewhere: Collection[Op], times: dict[str, Series]
) -> tuple[Op, ...]:
    """The convolution and the operators behind it that its kernel can finish."""
    chain: tuple[Op, ...] = (conv,)
    for kind in (Add, Table, MaxPool2d):
        output = chain[-1].output
        readers = graph.readers(output)
        if output == graph.output or len(readers) != 1 or not isinstance(readers[0], kind):
            continue
        if readers[0] in elsewhere or times.get(output) != times.get(readers[0].output):
            continue
        if all(name == output or name in ready for name in readers[0].inputs) and readers[0].inputs.count(output) == 1:
            chain += (readers[0],)
    return chain
