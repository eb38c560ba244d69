"""Compiled segments without Vela: where tensors lie and nothing else, for tests of the library beside an NPU.

Whatever runs them computes by the numpy reference. Inputs come in reverse order, and outputs lie over them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from qgait.compiler.npu.call import NpuCall, npu_call
from qgait.compiler.npu.partition import partition
from qgait.compiler.npu.plan import NpuPlan
from qgait.export.graph import Graph
from qgait.export.operators import FrameMax
from qgait.export.segments import BEFORE, Segment
from qgait.export.tosa.writer import segment_bytes
from qgait.runtime import reference
from qgait.runtime.ethosu.segment import CompiledSegment, Figures, Port
from qgait.targets.accelerators import NpuTarget, find_npu
from qgait.targets.processors import Target
from qgait.verification.stand_in import Codes, Run

NO_FIGURES = Figures(1000, 900, {"sram": 10}, 1e9, 0, 0, 0, 0, 1e9, ())
Compile = Callable[[Graph, Segment], CompiledSegment]


def npu(name: str) -> NpuTarget:
    found = find_npu(name)
    assert found is not None
    return found


def laid_out(graph: Graph, segment: Segment) -> CompiledSegment:
    """Every tensor at a multiple of 16, of which most are no multiples of 64."""
    names = [*segment.inputs, *(name + BEFORE for name in segment.state)]
    inputs, end = _ports(graph, names[::-1], 16)
    outputs, other = _ports(graph, list(segment.outputs), 0)
    return CompiledSegment(
        name=segment.name,
        accelerator="ethos-u85-256",
        system_config="none",
        memory_mode="none",
        command_stream=segment.name.encode(),
        weights=b"weights",
        weight_region=0,
        scratch=(1, max(end, other)),
        scratch_fast=(0, 0),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        figures=NO_FIGURES,
    )


def _ports(graph: Graph, names: list[str], start: int) -> tuple[list[Port], int]:
    ports = []
    for name in names:
        shape = graph.tensors[name if name in graph.tensors else name.removesuffix(BEFORE)].shape
        ports.append(Port(name, shape, 1, start))
        start += -(-ports[-1].size // 16) * 16
    return ports, start


def plan_of(graph: Graph, accelerator: str, host: Target, compile_: Compile = laid_out) -> NpuPlan:
    """Everything that the NPU can run, as ``compile_`` makes it; no TensorFlow Lite."""
    made = partition(graph, npu(accelerator))
    compiled = {segment.name: compile_(graph, segment) for segment in made.segments}
    tosa = {segment.name: segment_bytes(graph, segment) for segment in made.segments}
    return NpuPlan(graph, npu(accelerator), host, made, compiled, tosa, dict.fromkeys(compiled, b""), ())


def calls_of(graph: Graph) -> list[NpuCall]:
    """The runs of all segments of ``graph``."""
    made = partition(graph, npu("ethos-u85-256"))
    return [npu_call(graph, segment, laid_out(graph, segment)) for segment in made.segments]


def by_reference(graph: Graph, segments: Sequence[Segment]) -> Run:
    """Runs of ``segments`` computed by the numpy reference."""
    named = {segment.name: segment for segment in segments}

    def run(compiled: CompiledSegment, inputs: Mapping[str, Codes]) -> dict[str, Codes]:
        segment = named[compiled.name]
        tensors = {name: codes[np.newaxis] for name, codes in inputs.items()}
        for op in segment.ops:
            made = reference.execute(graph, op, [tensors[name] for name in op.inputs])
            before = tensors[op.output + BEFORE] if isinstance(op, FrameMax) else made
            tensors[op.output] = np.maximum(made, before)
        return {name: tensors[name][0] for name in segment.outputs}

    return run
