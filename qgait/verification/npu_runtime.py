"""The runtime ``npu``, an Ethos-U: the interpreter for what Vela compiled, the reference for what stays on the host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from qgait.compiler.npu.ethosu.segment_compiler import SegmentCompiler
from qgait.compiler.npu.ethosu.vela import VelaOptions
from qgait.compiler.npu.partition import Partition, partition
from qgait.errors import QgaitError
from qgait.export.graph import Graph
from qgait.export.segments import BEFORE, Segment
from qgait.progress import Progress
from qgait.runtime.clips import require_clip
from qgait.runtime.dequantizer import Dequantizer
from qgait.runtime.ethosu.interpreter.interpreter import Interpreter
from qgait.runtime.ethosu.segment import CompiledSegment
from qgait.runtime.reference import execute, input_codes, whole_clip
from qgait.targets.accelerators import NpuTarget

Codes = NDArray[np.int8]
LOWEST = -128  # a running maximum before the first frame


def require_interpreted(accelerator: NpuTarget) -> None:
    """QgaitError for an accelerator whose command streams have no interpreter."""
    if accelerator.family == "u85":
        raise QgaitError(
            f"Command streams of {accelerator.name} are not interpreted: Ethos-U85 has other instructions and another "
            "weight format than U55 and U65.",
            "verify the graph that Vela compiles on the runtime tosa, or a stream on the runtime ethos-u65-256.",
        )


class NpuRuntime:
    """Segments by their command streams, value by value, and single operators by the reference.

    ``compiled`` holds what Vela made of every segment of ``made``, by its name.
    """

    name = "npu"

    def __init__(self, graph: Graph, made: Partition, compiled: Mapping[str, CompiledSegment]) -> None:
        self.graph = graph
        self.dequantizer = Dequantizer.of(graph)
        self._partition = made
        self._interpreters = {segment.name: Interpreter(compiled[segment.name]) for segment in made.segments}

    @classmethod
    def compile(cls, graph: Graph, accelerator: NpuTarget, report: Progress | None = None) -> NpuRuntime:
        """Everything that ``accelerator`` can run, running maxima and head included, with Vela's default options.

        QgaitError for an Ethos-U85, and where Vela does not take a segment.
        """
        require_interpreted(accelerator)
        made = partition(graph, accelerator)
        compiler = SegmentCompiler(graph, accelerator, VelaOptions())
        compiled: dict[str, CompiledSegment] = {}
        for segment in made.segments:
            compiled[segment.name] = compiler.compiled(segment)
            if report is not None:
                report(f"Vela, {accelerator.name}", len(compiled), len(made.segments))
        return cls(graph, made, compiled)

    def embed(self, clip: NDArray[np.uint8]) -> Codes:
        """Embedding codes [P, C] of one clip [frames, H, W]."""
        return self.trace(clip)[self.graph.output][0]

    def embed_many(self, clips: Iterable[NDArray[np.uint8]]) -> list[Codes]:
        """One embedding a clip."""
        return [self.embed(clip) for clip in clips]

    def trace(self, clip: NDArray[np.uint8]) -> dict[str, Codes]:
        """What leaves segments, and what the host makes: series [values, ...] of a frame, [1, ...] of a clip."""
        height, width, _ = self.graph.tensors[self.graph.input].shape
        require_clip(clip, height, width)
        tensors = {self.graph.input: input_codes(whole_clip(self.graph, clip))}
        for unit in (*self._partition.frame, *self._partition.clip):
            if isinstance(unit, Segment):
                tensors |= self._segment(unit, tensors)
            else:
                tensors[unit.output] = execute(self.graph, unit, [tensors[name] for name in unit.inputs])
        return tensors

    def _segment(self, segment: Segment, tensors: dict[str, Codes]) -> dict[str, Codes]:
        """The segment on one value after the other; of a running maximum, the last one counts."""
        interpreter = self._interpreters[segment.name]
        before = {name: np.full(self.graph.tensors[name].shape, LOWEST, np.int8) for name in segment.state}
        made: dict[str, list[Codes]] = {name: [] for name in segment.outputs}
        for value in range(len(tensors[segment.inputs[0]])):
            inputs = {name: tensors[name][value] for name in segment.inputs}
            outputs = interpreter.run(inputs | {name + BEFORE: codes for name, codes in before.items()})
            before = {name: outputs[name] for name in segment.state}
            for name, codes in outputs.items():
                made[name] = [codes] if name in before else [*made[name], codes]
        return {name: np.stack(codes) for name, codes in made.items()}
