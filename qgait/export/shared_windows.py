"""A pass: neighbouring values that several operators look at are put side by side once.

1. Windows over one tensor with one size, stride and padding are one window.
2. A window over rows of a tensor, behind such a window over all of it, is rows of that window.

No code changes: a window moves whole values, and fills missing ones with the zero point, which a tensor's rows share.
"""

from __future__ import annotations

from dataclasses import replace

from qgait.export.graph import Graph
from qgait.export.operators import FrameWindow, Op, RowSlice


def share_windows(graph: Graph) -> Graph:
    """``graph`` without windows that repeat the work of an earlier one, and without slices that nobody reads then."""
    ops: list[Op] = []
    slices: dict[str, RowSlice] = {}
    windows: dict[tuple[str, int, int, int], str] = {}
    same: dict[str, str] = {}
    for old in graph.ops:
        op = replace(old, inputs=tuple(same.get(name, name) for name in old.inputs))
        if isinstance(op, RowSlice):
            slices[op.output] = op
        if isinstance(op, FrameWindow):
            source, look = op.inputs[0], (op.size, op.stride, op.padding)
            if (source, *look) in windows:
                same[op.output] = windows[source, *look]
                continue
            rows = slices.get(source)
            if rows is not None and (rows.inputs[0], *look) in windows:
                whole = windows[rows.inputs[0], *look]
                op = RowSlice(op.name, (whole,), op.output, rows.start, rows.stop)
                slices[op.output] = op
            else:
                windows[source, *look] = op.output
        ops.append(op)
    return _without_unread_slices(graph, ops)


def _without_unread_slices(graph: Graph, ops: list[Op]) -> Graph:
    read, kept = {graph.output}, list[Op]()
    for op in reversed(ops):
        if op.output in read or not isinstance(op, RowSlice):
            read.update(op.inputs)
            kept.append(op)
    names = [graph.input, *(op.output for op in reversed(kept))]
    return replace(graph, ops=tuple(reversed(kept)), tensors={name: graph.tensors[name] for name in names})
