"""The integer graph in numpy: the definition that every other runtime is compared with.

A clip goes through operator by operator (``qgait.runtime.reference_operators``): a tensor of a frame is its whole
series, one value a row, and windows (``qgait.runtime.reference_windows``) look along it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from qgait.export.graph import Graph
from qgait.export.operators import Op
from qgait.export.timing import repeated
from qgait.runtime.clips import require_clip
from qgait.runtime.dequantizer import Dequantizer
from qgait.runtime.reference_operators import NUMPY, Codes

FRAMES_AT_ONCE = 8  # bounds the im2col buffer: 8 frames of GaitBase's widest layer are 100 MB


def input_codes(frames: NDArray[np.uint8]) -> Codes:
    """Uint8 silhouettes [n, H, W] to int8 codes [n, H, W, 1]: the pixel minus 128."""
    return (frames ^ 0x80).view(np.int8)[..., np.newaxis]


def execute(graph: Graph, op: Op, inputs: list[Codes]) -> Codes:
    """One operator on whole series [n, ...]: windows make their own number of values, a FrameMax one."""
    run, sources, result = NUMPY[op], op.sources(graph.tensors), graph.tensors[op.output]
    if op.window is not None or op.ends_frames:
        return run(op, inputs, sources, result)
    starts = range(0, len(inputs[0]), FRAMES_AT_ONCE)
    parts = [run(op, [codes[start : start + FRAMES_AT_ONCE] for codes in inputs], sources, result) for start in starts]
    return np.concatenate(parts)


def whole_clip(graph: Graph, clip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The frames that are computed: ``clip``, repeated end to end when it is shorter than the graph needs.

    QgaitError when it is no clip of the graph's size.
    """
    height, width, _ = graph.tensors[graph.input].shape
    require_clip(clip, height, width)
    return np.tile(clip, (repeated(len(clip), graph.min_frames) // len(clip), 1, 1))


def trace(graph: Graph, clip: NDArray[np.uint8]) -> dict[str, Codes]:
    """Every tensor of one clip [frames, H, W]: frame tensors are series [values, ...], clip tensors [1, ...]."""
    tensors = {graph.input: input_codes(whole_clip(graph, clip))}
    for op in graph.ops:
        tensors[op.output] = execute(graph, op, [tensors[name] for name in op.inputs])
    return tensors


class Reference:
    """The ``reference`` runtime."""

    name = "reference"

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.dequantizer = Dequantizer.of(graph)
        self._last_reader = {name: op for op in graph.ops for name in op.inputs}

    def embed(self, clip: NDArray[np.uint8]) -> Codes:
        """Embedding codes [P, C] of one clip [frames, H, W]; memory holds the series that are still to be read."""
        live = {self.graph.input: input_codes(whole_clip(self.graph, clip))}
        for op in self.graph.ops:
            live[op.output] = execute(self.graph, op, [live[name] for name in op.inputs])
            for name in set(op.inputs):
                if self._last_reader[name] is op:
                    del live[name]
        return live[self.graph.output][0]

    def trace(self, clip: NDArray[np.uint8]) -> dict[str, Codes]:
        """Every tensor of one clip."""
        return trace(self.graph, clip)

    def embed_many(self, clips: Iterable[NDArray[np.uint8]]) -> list[Codes]:
        """One embedding a clip."""
        return [self.embed(clip) for clip in clips]
