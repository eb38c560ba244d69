"""When the values of a tensor exist: how many a clip makes, and how many frames after its own frame each is known."""

from __future__ import annotations

from qgait.export.graph import FrameMax, FrameWindow, Graph, Op, WindowMax, WindowPool
from qgait.models.series import Series, repeated

__all__ = ["Series", "repeated", "series", "window_of"]


def window_of(op: Op) -> tuple[int, int, int] | None:
    """(size, stride, padding) of an operator over neighbouring values; None for all others."""
    match op:
        case FrameWindow() | WindowMax():
            return op.size, op.stride, op.padding
        case WindowPool():
            return op.size, 1, (op.size - 1) // 2
    return None


def series(graph: Graph) -> dict[str, Series]:
    """The series of every tensor of a frame.

    Raises ValueError, naming the operator, where tensors of different lengths are joined.
    """
    found = {graph.input: Series()}
    for op in graph.ops:
        if isinstance(op, FrameMax) or not all(name in found for name in op.inputs):
            continue
        sources = [found[name] for name in op.inputs]
        if len({(source.stride, source.extra) for source in sources}) > 1:
            raise ValueError(f"{op.name} joins series of different lengths")
        joined = Series(sources[0].stride, sources[0].extra, max(source.delay for source in sources))
        window = window_of(op)
        found[op.output] = joined if window is None else joined.behind(*window)
    return found


def macs_of_frame(graph: Graph) -> int:
    """Multiply-accumulates of a frame, the mean over a long clip: what has a stride does not run for every frame."""
    times = series(graph)
    return sum(graph.macs_of(op) // times[op.output].stride for op in graph.frame_ops() if op.output in times)
