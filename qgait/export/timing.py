"""When the values of a tensor exist: how many a clip makes, and how many frames after its own frame each is known."""

from __future__ import annotations

from dataclasses import dataclass

from qgait.export.graph import FrameMax, FrameWindow, Graph, Op, WindowMax, WindowPool


@dataclass(frozen=True)
class Series:
    """A clip of n frames has ``(n + extra) // stride`` values; value j needs frame ``j * stride + delay`` and no later.

    Tensors can be joined index by index when ``stride`` and ``extra`` are equal; delays may differ.
    """

    stride: int = 1
    extra: int = 0
    delay: int = 0

    def length(self, frames: int) -> int:
        """Values that a clip of ``frames`` makes."""
        return max((frames + self.extra) // self.stride, 0)

    def behind(self, size: int, stride: int, padding: int) -> Series:
        """The series that a window makes of this one."""
        return Series(
            self.stride * stride,
            self.extra + (2 * padding - size + stride) * self.stride,
            self.delay + (size - 1 - padding) * self.stride,
        )


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


def repeated(frames: int, min_frames: int) -> int:
    """Frames that are computed for a clip of ``frames``: itself, or enough whole copies to reach ``min_frames``."""
    return frames * -(-min_frames // frames) if frames < min_frames else frames
