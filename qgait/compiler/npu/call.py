"""A run of the NPU as a step of the compiled program, between the kernels of the host core."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from qgait.export.graph import Graph
from qgait.export.schedule import output_tensor
from qgait.export.segments import BEFORE, Segment
from qgait.runtime.ethosu.segment import CompiledSegment, Port
from qgait.targets.processors import Target

WEIGHTS, SCRATCH, FAST = 0, 1, 2  # the regions of every command stream that Vela writes
PLACE = 16  # bytes; addresses in a command stream are multiples of it


@dataclass(frozen=True, eq=False)
class NpuCall:
    """One run of a compiled segment, with what the memory plan and the generated C ask of a kernel.

    The scratch memory is the region in which the segment's inputs and outputs lie; nothing in it survives. A running
    maximum is copied in as ``NAME_before`` and copied out as ``NAME``.
    """

    segment: Segment
    compiled: CompiledSegment

    @property
    def symbol(self) -> str:
        """What the generated C calls it."""
        return "npu_" + re.sub(r"\W", "_", self.segment.name)

    @property
    def ops(self) -> tuple[str, ...]:
        """The names of the graph's operators."""
        return tuple(op.name for op in self.segment.ops)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The tensors that are read, without the maxima so far."""
        return self.segment.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """The tensors that are written, maxima among them."""
        return self.segment.outputs

    @property
    def clock(self) -> str:
        """The tensor whose series tells in which steps it runs."""
        return output_tensor(self.segment.ops[0])

    @property
    def scratch_bytes(self) -> int:
        """Bytes of the region with inputs, outputs and everything between them."""
        return self.compiled.scratch[1]

    @cached_property
    def constants(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The command stream and the weights, which stay in read-only memory."""
        compiled = self.compiled
        return np.frombuffer(compiled.command_stream, np.uint8), np.frombuffer(compiled.weights, np.uint8)

    @property
    def fast_bytes(self) -> int:
        """Bytes of the fast memory beside it that the NPU needs for itself; 0 where there is no such region."""
        return self.compiled.scratch_fast[1]

    def input_port(self, tensor: str) -> Port:
        """Where an input of the graph lies."""
        return next(port for port in self.compiled.inputs if port.name == tensor)

    def output_port(self, tensor: str) -> Port:
        """Where an output lies."""
        return next(port for port in self.compiled.outputs if port.name == tensor)


def npu_call(graph: Graph, segment: Segment, compiled: CompiledSegment) -> NpuCall:
    """The run of ``segment``; ValueError unless ``compiled`` has its tensors, where the library expects them."""
    before = {name + BEFORE: name for name in segment.state}
    for what, ports, names in (
        ("reads", compiled.inputs, {**{name: name for name in segment.inputs}, **before}),
        ("writes", compiled.outputs, {name: name for name in segment.outputs}),
    ):
        if sorted(port.name for port in ports) != sorted(names):
            raise ValueError(f"{segment.name} {what} {sorted(names)}, not {sorted(port.name for port in ports)}")
        for port in ports:
            if port.size != graph.tensors[names[port.name]].size:
                raise ValueError(f"{port.name} of {segment.name} has {port.size} bytes")
            if port.region != SCRATCH or port.offset % PLACE or port.offset + port.size > compiled.scratch[1]:
                raise ValueError(f"{port.name} of {segment.name} lies outside the scratch region")
    regions = (compiled.weight_region, compiled.scratch[0], compiled.scratch_fast[0] or FAST)
    if regions != (WEIGHTS, SCRATCH, FAST):
        raise ValueError(f"{segment.name} has the regions {regions}")
    return NpuCall(segment, compiled)


def driver(host: Target) -> str:
    """The C file in ``device/`` that has gait_npu_run for a host: under Linux the kernel drives the NPU."""
    return "npu_ethosu.c" if host.bare_metal else "npu_linux.c"
