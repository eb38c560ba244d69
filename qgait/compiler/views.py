"""Rows of maps without a copy: a slice lies inside its source, and parts that are joined are written where they end up.

Only maps, and only where every place is a multiple of ``ALIGNMENT``; all else is copied by a kernel.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from qgait.compiler.alignment import ALIGNMENT
from qgait.export.graph import Graph
from qgait.export.operators import Concat, FrameMax, Op, RowSlice


@dataclass(frozen=True)
class View:
    """A tensor that is the bytes of ``base`` from ``offset`` on."""

    base: str
    offset: int


def views(graph: Graph, rings: Collection[str], elsewhere: Collection[Op] = ()) -> dict[str, View]:
    """The tensors that need no memory of their own, by name; ``rings`` are kept from frame to frame and do.

    Slices and joins that run ``elsewhere`` have memory there.
    """
    found: dict[str, View] = {}
    ops = [op for op in graph.ops if op not in elsewhere]
    maxima = {op.output for op in graph.ops if isinstance(op, FrameMax)}
    own = {graph.input, graph.output, *rings, *maxima}
    for op in reversed(ops):  # from the end: what is joined is placed before its own parts are
        if isinstance(op, Concat) and len(graph.tensors[op.output].shape) == 3:
            _place(graph, op, own, found)
    for op in ops:
        if isinstance(op, RowSlice) and op.output not in own and op.output not in found:
            row = graph.tensors[op.output].size // graph.tensors[op.output].shape[0]
            base = found.get(op.inputs[0], View(op.inputs[0], 0))
            view = View(base.base, base.offset + op.start * row)
            if view.offset % ALIGNMENT == 0:
                found[op.output] = view
    return found


def needs_no_kernel(op: Op, inside: dict[str, View]) -> bool:
    """Whether a slice or a join is nothing but views."""
    match op:
        case RowSlice():
            return op.output in inside
        case Concat():
            return inside.get(op.inputs[0]) == inside.get(op.output, View(op.output, 0))
    return False


def _place(graph: Graph, op: Concat, own: Collection[str], found: dict[str, View]) -> None:
    """All the parts of a Concat inside its result, or none of them."""
    base = found.get(op.output, View(op.output, 0))
    placed: dict[str, View] = {}
    offset = base.offset
    sliced = {other.output for other in graph.ops if isinstance(other, RowSlice)}
    for name in op.inputs:
        if name in own or name in found or name in placed or name in sliced or offset % ALIGNMENT:
            return
        placed[name] = View(base.base, offset)
        offset += graph.tensors[name].size
    found |= placed
