"""The integer graph as TOSA, in TOSA's reference model: what every TOSA implementation must compute."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from qgait.export.graph import Graph
from qgait.export.tosa import tools as tosa_tools
from qgait.export.tosa.writer import clip_bytes
from qgait.runtime.clips import require_clip
from qgait.runtime.dequantizer import Dequantizer
from qgait.runtime.reference import input_codes
from qgait.runtime.tosa_model import execute

Codes = NDArray[np.int8]
SLOWEST = 1e7  # multiply-accumulates a second that the model reaches even on a machine that has other work


class TosaRuntime:
    """The ``tosa`` runtime. Raises QgaitError when tosa-tools is missing or of another version."""

    name = "tosa"

    def __init__(self, graph: Graph) -> None:
        tosa_tools.require()
        self.graph = graph
        self.dequantizer = Dequantizer.of(graph)

    def embed(self, clip: NDArray[np.uint8]) -> Codes:
        """Embedding codes [P, C] of one clip [frames, H, W]."""
        return self._run(clip, [self.graph.output])[self.graph.output][0]

    def embed_many(self, clips: Iterable[NDArray[np.uint8]]) -> list[Codes]:
        """One embedding a clip, of any length each."""
        return [self.embed(clip) for clip in clips]

    def trace(self, clip: NDArray[np.uint8]) -> dict[str, Codes]:
        """Every tensor that an operator makes, in the reference's layout."""
        return self._run(clip, [op.output for op in self.graph.ops])

    def _run(self, clip: NDArray[np.uint8], outputs: Sequence[str]) -> dict[str, Codes]:
        height, width, _ = self.graph.tensors[self.graph.input].shape
        require_clip(clip, height, width)
        of_frame, of_clip = self.graph.frame_macs, self.graph.clip_macs
        within = round(60 + (len(clip) * of_frame + of_clip) / SLOWEST)
        tosa = clip_bytes(self.graph, len(clip), outputs)
        return execute(tosa, {self.graph.input: input_codes(clip)}, outputs, within)
