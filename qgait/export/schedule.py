"""Streaming: what runs when a frame comes, what is kept for later frames, and how a clip ends.

Frames are pushed one at a time and an embedding may be asked for at any moment; it is that of the frames so far.

- Step t brings frame t. Value j of a series is made in step ``j * stride + delay``, by the operators in the order of
  the graph, so each input either comes from the same step or was made before.
- A *ring* keeps the newest values of a tensor: those that a window still looks at, and those that wait for a slower
  partner where tensors of different delays are joined. Value j lies in place ``j % depth`` of its ring.
- The end: after the last frame ``flush`` more steps bring no frame. They make the values whose windows reach beyond the
  clip. They work on a copy of rings and maxima, because pushing may go on.
- The first ``min_frames - 1`` frames are kept. While there are no more, a clip ends with their repetition.

``qgait/compiler/device/glue_streams.c.in`` has the same rules in C.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import lcm

from qgait.export.operators import Op
from qgait.export.timing import Series, repeated

LIMIT = 2**30  # steps are counted up to this number
UNENDED = LIMIT + 2**20  # the length of a clip whose end has not come: longer than any step can see


@dataclass(frozen=True)
class Window:
    """Where a value of a window looks: ``size`` values of ``source`` from ``value * stride - padding`` on."""

    source: str
    size: int
    stride: int
    padding: int


@dataclass(frozen=True)
class Schedule:
    """``series`` of every tensor of a frame, ``rings`` the number of values kept, ``windows`` by their output."""

    series: Mapping[str, Series]
    rings: dict[str, int]
    windows: dict[str, Window]
    flush: int
    min_frames: int

    @property
    def is_plain(self) -> bool:
        """Every frame is computed at once and by itself: nothing but the maxima is kept."""
        return not self.windows and self.min_frames == 1

    @property
    def needs_copy(self) -> bool:
        """Whether an embedding runs steps of its own."""
        return self.flush > 0 or self.min_frames > 1

    @property
    def delay(self) -> int:
        """Frames until everything that runs for a frame has run once."""
        return max(of.delay for of in self.series.values())

    @property
    def stride(self) -> int:
        """Frames after which the same kernels run again."""
        return lcm(*(of.stride for of in self.series.values()))

    @property
    def stored_frames(self) -> int:
        """First frames that are kept to be repeated."""
        return self.min_frames - 1

    @property
    def period(self) -> int:
        """Counting may skip back by so many steps: every ring and every series looks the same."""
        return lcm(*(of.stride * self.rings.get(name, 1) for name, of in self.series.items()))

    def length(self, frames: int) -> int:
        """Frames that are computed for a clip of ``frames``."""
        return repeated(frames, self.min_frames)

    def following(self, step: int) -> int:
        """The number of the step behind ``step``: up to ``LIMIT``, where counting goes back by one period."""
        return step + 1 - self.period if step + 1 == LIMIT else step + 1

    def neighbours(self, window: Window, value: int, frames: int) -> list[tuple[int, bool]]:
        """(place in the ring, present) of what ``value`` looks at; missing ones name the place of one that is there."""
        depth, length = self.rings[window.source], self.series[window.source].length(frames)
        first = value * window.stride - window.padding
        newest = min(first + window.size, length) - 1
        looked = range(first, first + window.size)
        return [(at % depth, True) if 0 <= at < length else (newest % depth, False) for at in looked]


def due(of: Series, step: int, frames: int) -> int | None:
    """The value that a series of a clip of ``frames`` makes in ``step``; None when it makes none."""
    value, rest = divmod(step - of.delay, of.stride)
    return value if rest == 0 and 0 <= value < of.length(frames) else None


def schedule_of(series: Mapping[str, Series], ops: Sequence[Op], min_frames: int) -> Schedule:
    """The schedule of the operators that run for a frame; ``Graph.schedule`` keeps it.

    Raises ValueError, naming the tensor, when they cannot be streamed.
    """
    rings: dict[str, int] = {}
    windows: dict[str, Window] = {}
    for op in ops:
        window = op.window
        if window is not None:
            windows[op.output] = Window(op.inputs[0], *window)
            if not 0 <= windows[op.output].padding < windows[op.output].size:
                raise ValueError(f"{op.name} has values that look at no frame at all")
            rings[op.inputs[0]] = max(rings.get(op.inputs[0], 0), window[0])
            continue
        made = series[output_tensor(op)]
        for name in op.inputs:
            waits = made.delay - series[name].delay
            if waits > 0:
                rings[name] = max(rings.get(name, 0), waits // series[name].stride + 1)
    empty = [name for name, at in series.items() if at.length(min_frames) < 1]
    if empty:
        raise ValueError(f"{empty[0]} has no value in a clip of {min_frames} frames")
    flush = max(at.extra + at.delay - at.stride + 1 for at in series.values())
    found = Schedule(series, rings, windows, flush, min_frames)
    if found.period + min_frames + flush > LIMIT // 2:
        raise ValueError(f"a period of {found.period} frames cannot be counted")
    return found


def output_tensor(op: Op) -> str:
    """The tensor whose series tells when an operator runs: of a FrameMax its input, for a maximum is no series."""
    return op.inputs[0] if op.ends_frames else op.output
