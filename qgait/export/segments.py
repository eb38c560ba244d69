"""Parts of the integer graph that an NPU runs as one command stream each."""

from __future__ import annotations

from dataclasses import dataclass

from qgait.export.graph import Graph
from qgait.export.operators import Op

BEFORE = "_before"  # ends the name under which a segment reads a running maximum that it updates


@dataclass(frozen=True, eq=False)
class Segment:
    """Operators that run at the same moments, in execution order: once a value of one series, or once an embedding.

    ``inputs`` are the tensors that others make (the silhouette's codes, what windows over time give, maxima that a
    head reads), ``outputs`` those that others read, running maxima among them. A FrameMax inside is state: the segment
    also reads the running maximum so far, under the name of its output + ``BEFORE``.
    """

    name: str
    ops: tuple[Op, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def state(self) -> tuple[str, ...]:
        """The running maxima that the segment updates."""
        return tuple(op.output for op in self.ops if op.ends_frames)


def segment_of(graph: Graph, ops: tuple[Op, ...], name: str) -> Segment:
    """The segment of ``ops``: what they read and do not make, what they make and others (or the caller) read."""
    made = {op.output for op in ops}
    inputs = dict.fromkeys(source for op in ops for source in op.inputs if source not in made)
    inside = set(map(id, ops))
    outputs = [
        op.output
        for op in ops
        if op.ends_frames
        or op.output == graph.output
        or any(id(reader) not in inside for reader in graph.readers(op.output))
    ]
    return Segment(name, ops, tuple(inputs), tuple(outputs))
