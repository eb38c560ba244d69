"""Plays a streaming schedule with the reference's operators: what the generated C does, without a compiler."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qgait.export.graph import Graph
from qgait.export.operators import FrameMax, FrameWindow, Op, WindowMax, WindowPool
from qgait.export.schedule import UNENDED, due, output_tensor
from qgait.fixedpoint import requantize
from qgait.runtime import reference

Codes = NDArray[np.int8]


@dataclass
class Kept:
    """What outlives a step: rings as lists of places, and the running maxima."""

    rings: dict[str, list[Codes | None]]
    maxima: dict[str, Codes] = field(default_factory=dict)


class Player:
    """One walker; ``made`` counts the values of every tensor."""

    def __init__(self, graph: Graph, start: int = 0) -> None:
        self.graph, self.schedule = graph, graph.schedule
        self.step = start  # a later start is what counting from the limit on looks like
        self.kept = Kept({name: [None] * depth for name, depth in self.schedule.rings.items()})
        self.first_frames: list[NDArray[np.uint8]] = []
        self.made: dict[str, list[Codes]] = {}

    def push(self, frame: NDArray[np.uint8]) -> None:
        if len(self.first_frames) < self.schedule.stored_frames:
            self.first_frames.append(frame)
        self._run(self.kept, frame, self.step, UNENDED)
        self.step = self.schedule.following(self.step)

    def embedding(self) -> Codes:
        kept, made = (deepcopy(self.kept), deepcopy(self.made)) if self.schedule.needs_copy else (self.kept, self.made)
        before, self.made = self.made, made
        frames, end = self.step, self.schedule.length(self.step)
        for step in range(frames, end):
            self._run(kept, self.first_frames[step % frames], step, UNENDED)
        for step in range(end, end + self.schedule.flush):
            self._run(kept, None, step, end)
        tensors = dict(kept.maxima)
        for op in self.graph.clip_ops():
            tensors[op.output] = reference.execute(self.graph, op, [tensors[name] for name in op.inputs])
        self.finished, self.made = self.made, before
        return tensors[self.graph.output][0]

    def _run(self, kept: Kept, frame: NDArray[np.uint8] | None, step: int, frames: int) -> None:
        fresh: dict[str, Codes] = {}

        def write(name: str, value: int, codes: Codes) -> None:
            self.made.setdefault(name, []).append(codes)
            if name in kept.rings:
                kept.rings[name][value % len(kept.rings[name])] = codes
            else:
                fresh[name] = codes

        def read(name: str, value: int) -> Codes:
            codes = kept.rings[name][value % len(kept.rings[name])] if name in kept.rings else fresh[name]
            assert codes is not None
            return codes

        first = due(self.schedule.series[self.graph.input], step, frames)
        if first is not None:
            assert frame is not None
            write(self.graph.input, first, reference.input_codes(frame[np.newaxis])[0])
        for op in self.graph.frame_ops():
            value = due(self.schedule.series[output_tensor(op)], step, frames)
            if value is None:
                continue
            if op.output in self.schedule.windows:
                write(op.output, value, self._window(kept, op, value, frames))
            elif isinstance(op, FrameMax):
                codes = read(op.inputs[0], value)[np.newaxis]
                kept.maxima[op.output] = np.maximum(kept.maxima.get(op.output, codes), codes)
            else:
                inputs = [read(name, value)[np.newaxis] for name in op.inputs]
                write(op.output, value, reference.execute(self.graph, op, inputs)[0])

    def _window(self, kept: Kept, op: Op, value: int, frames: int) -> Codes:
        window = self.schedule.windows[op.output]
        looked = self.schedule.neighbours(window, value, frames)
        source, result = self.graph.tensors[op.inputs[0]], self.graph.tensors[op.output]
        places = [(kept.rings[window.source][place], present) for place, present in looked]
        values = np.stack([codes for codes, _ in places])  # type: ignore[arg-type]
        mask = np.array([present for _, present in places]).reshape(-1, *[1] * len(source.shape))
        match op:
            case FrameWindow():
                return np.concatenate(list(np.where(mask, values, np.int8(source.zero_point))), axis=-1)
            case WindowMax():
                return values.max(axis=0)
            case WindowPool():
                real = values.astype(np.int64) - source.zero_point
                acc = (real * mask).sum(axis=0) + op.size * real.max(axis=0)
                rule = op.requant
                return requantize(acc, rule.multiplier, rule.shift, result.zero_point, result.lo, result.hi)
        raise TypeError(type(op).__name__)
