"""What the lowering hands to the bundle: kernels in execution order, each one C function, and runs of an NPU."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from qgait.compiler.npu.call import NpuCall
from qgait.compiler.views import View
from qgait.export.graph import Graph
from qgait.targets.processors import Target

if TYPE_CHECKING:
    from tvm.tirx import PrimFunc

C_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "int32": "int32_t", "int64": "int64_t"}


@dataclass(frozen=True, eq=False)
class Kernel:
    """One C function: ``void symbol(in0[, in1...], constant0[, ...], [scratch,] [unpacked,] out)``.

    Inputs and output are dense int8 tensors in NHWC order without padding (``codes``, the first kernel of a frame,
    reads the uint8 silhouette as the same bytes). Constants are read-only and 64-byte aligned; scratch memory holds
    nothing between calls, and its last ``unpacked_bytes`` are for weights that are unpacked. ``in_place`` names an
    input whose memory may be the output's. ``ops`` names the graph's operators.

    A window takes ``neighbours`` pointers in place of its one input, the oldest value first, and ``present``: one byte
    for each, -1, or 0 where the value is missing (its pointer is then that of a value which is there).
    """

    symbol: str
    ops: tuple[str, ...]
    inputs: tuple[str, ...]
    output: str
    constants: tuple[NDArray[np.generic], ...]
    scratch_bytes: int
    func: PrimFunc
    in_place: str | None = None
    neighbours: int = 0
    unpacked_bytes: int = 0

    @property
    def working(self) -> dict[str, tuple[int, int]]:
        """The arguments that are scratch memory: offset in it and bytes, by name."""
        first = self.scratch_bytes - self.unpacked_bytes
        areas = {"scratch": (0, first), "unpacked": (first, self.unpacked_bytes)}
        return {name: area for name, area in areas.items() if area[1]}

    @property
    def outputs(self) -> tuple[str, ...]:
        """``output``, as steps with several have it."""
        return (self.output,)

    def prototype(self) -> str:
        """The C declaration, without a semicolon."""
        inputs = [f"const int8_t *in{i}" for i in range(self.neighbours or len(self.inputs))]
        inputs += ["const int8_t *present"] if self.neighbours else []
        constants = [f"const {C_TYPES[array.dtype.name]} *constant{i}" for i, array in enumerate(self.constants)]
        scratch = [f"int8_t *{name}" for name in self.working]
        return f"void {self.symbol}({', '.join([*inputs, *constants, *scratch, 'int8_t *out'])})"


Step: TypeAlias = Kernel | NpuCall


@dataclass
class Program:
    """A compiled network: ``steps`` are kernels, and where there is an NPU its runs.

    ``frame`` runs once a silhouette; its first kernel, ``codes``, reads the silhouette under the name ``SILHOUETTE``
    and writes ``graph.input``. A FrameMax kernel has one input and updates its output: ``out = max(out, in)``; that
    output is state, -128 everywhere before the first frame. ``clip`` runs once an embedding and changes no state.
    ``views`` are the tensors that lie inside others, or inside the scratch memory of an NPU's run (then the base is its
    symbol); slices and joins that are nothing but views have no kernel.
    ``notes`` has one line a kernel: which implementation was chosen.
    """

    graph: Graph
    target: Target
    frame: tuple[Step, ...]
    clip: tuple[Step, ...]
    notes: tuple[str, ...] = field(default=())
    views: dict[str, View] = field(default_factory=dict)

    @property
    def steps(self) -> tuple[Step, ...]:
        """What runs for a frame, then what runs for an embedding."""
        return (*self.frame, *self.clip)

    @property
    def results(self) -> tuple[tuple[Step, str], ...]:
        """Every step with each tensor that it writes, numbered as a trace numbers them."""
        return tuple((step, name) for step in self.steps for name in step.outputs)

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """The steps that are C functions."""
        return tuple(step for step in self.steps if isinstance(step, Kernel))

    @property
    def calls(self) -> tuple[NpuCall, ...]:
        """The steps that are runs of an NPU."""
        return tuple(step for step in self.steps if isinstance(step, NpuCall))

    @property
    def target_name(self) -> str:
        """What people call the target: the NPU, or the processor alone."""
        return self.calls[0].compiled.accelerator if self.calls else self.target.name

    def owner(self, tensor: str) -> str:
        """The tensor in whose memory ``tensor`` lies, mostly itself, or the symbol of an NPU's run."""
        return self.views[tensor].base if tensor in self.views else tensor


SILHOUETTE = "pixels"  # the input of the kernel ``codes``: uint8 pixels, not a tensor of the graph
