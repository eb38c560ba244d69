"""From the integer graph to kernels: for every group of operators the best one that the target has.

What an NPU runs has no kernels; its runs stand between those of the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qgait.compiler.npu.call import NpuCall
from qgait.compiler.npu.placement import placed
from qgait.compiler.tvm.blocked import dotprod as conv_dotprod
from qgait.compiler.tvm.blocked import vnni as conv_vnni
from qgait.compiler.tvm.elementwise import (
    add_kernel,
    codes_kernel,
    concat_kernel,
    frame_max_kernel,
    multiply_kernel,
    row_slice_kernel,
    table_kernel,
)
from qgait.compiler.tvm.fusion import Group, groups
from qgait.compiler.tvm.part_linear import part_linear_kernel
from qgait.compiler.tvm.pooling import max_pool_kernel, strip_pool_kernel
from qgait.compiler.tvm.power_pool import power_pool_kernel
from qgait.compiler.tvm.program import Kernel, Program, Step
from qgait.compiler.tvm.rows import dsp as conv_dsp
from qgait.compiler.tvm.rows import mve as conv_mve
from qgait.compiler.tvm.rows import portable as conv_portable
from qgait.compiler.tvm.rows import v8 as conv_v8
from qgait.compiler.tvm.rows import winograd as conv_winograd
from qgait.compiler.tvm.windows import frame_window_kernel, window_max_kernel, window_pool_kernel
from qgait.compiler.views import needs_no_kernel, views
from qgait.export.graph import (
    Add,
    Concat,
    Conv2d,
    FrameMax,
    FrameWindow,
    Graph,
    MaxPool2d,
    Multiply,
    Op,
    PartLinear,
    PowerPool,
    RowSlice,
    StripPool,
    Table,
    WindowMax,
    WindowPool,
)
from qgait.export.schedule import output_tensor, schedule
from qgait.targets.processors import Isa, Target


def lower(graph: Graph, target: Target, calls: Sequence[NpuCall] = ()) -> Program:
    """The kernels of ``graph`` for ``target``, and between them the ``calls`` of an NPU that computes the rest.

    ``notes`` tells which convolution each layer got. Raises ValueError when calls wait for each other, or when one has
    operators that run at different moments.
    """
    frame, clip, notes = list[Step]([codes_kernel(graph)]), list[Step](), list[str]()
    times = schedule(graph)
    elsewhere = frozenset(op for call in calls for op in call.segment.ops)
    inside = views(graph, times.rings, elsewhere)
    for unit in _in_order(graph, [*groups(graph, elsewhere), *calls]):
        ops = _ops(unit)
        side = frame if graph.tensors[ops[0].inputs[0]].per_frame else clip
        if isinstance(unit, NpuCall):
            if len({times.series.get(output_tensor(op)) for op in ops}) > 1:
                raise ValueError(f"the operators of {unit.segment.name} run at different moments")
            side.append(unit)
        elif not needs_no_kernel(unit.op, inside):
            kernel, choice = kernel_of(unit, graph, target)
            side.append(kernel)
            notes.append(f"{' + '.join(kernel.ops)}: {choice}")
    kept = {*times.rings, *(op.output for op in graph.ops if isinstance(op, FrameMax))}
    for side in (frame, clip):
        inside |= placed(side, kept, inside)
    return Program(graph, target, tuple(frame), tuple(clip), times, tuple(notes), inside)


def _ops(unit: Group | NpuCall) -> tuple[Op, ...]:
    return unit.segment.ops if isinstance(unit, NpuCall) else unit.ops


def _in_order(graph: Graph, units: list[Group | NpuCall]) -> list[Group | NpuCall]:
    """Everything behind what it reads, and otherwise in the order of the graph."""
    at = {op.output: i for i, op in enumerate(graph.ops)}
    waiting = sorted(units, key=lambda unit: min(at[op.output] for op in _ops(unit)))
    made = {graph.input}
    ordered: list[Group | NpuCall] = []
    while waiting:
        unit = next((unit for unit in waiting if made.issuperset(unit.inputs)), None)
        if unit is None:
            raise ValueError(f"{_ops(waiting[0])[0].name} waits for what is made behind it")
        waiting.remove(unit)
        ordered.append(unit)
        made.update(op.output for op in _ops(unit))
    return ordered


def kernel_of(group: Group, graph: Graph, target: Target) -> tuple[Kernel, str]:
    """The kernel of one group, and which implementation that is."""
    match group.op:
        case Conv2d():
            return _convolution(group, graph, target)
        case Table() as op:
            kernel = table_kernel(group, op, graph)
        case MaxPool2d() as op:
            kernel = max_pool_kernel(group, op, graph)
        case Add() as op:
            kernel = add_kernel(group, op, graph)
        case Multiply() as op:
            kernel = multiply_kernel(group, op, graph)
        case FrameMax() as op:
            kernel = frame_max_kernel(group, op, graph)
        case StripPool() as op:
            kernel = strip_pool_kernel(group, op, graph)
        case PowerPool() as op:
            kernel = power_pool_kernel(group, op, graph)
        case PartLinear() as op:
            kernel = part_linear_kernel(group, op, graph)
        case Concat() as op:
            kernel = concat_kernel(group, op, graph)
        case RowSlice() as op:
            kernel = row_slice_kernel(group, op, graph)
        case FrameWindow() as op:
            kernel = frame_window_kernel(group, op, graph)
        case WindowMax() as op:
            kernel = window_max_kernel(group, op, graph)
        case WindowPool() as op:
            kernel = window_pool_kernel(group, op, graph)
        case op:
            raise TypeError(f"TVM has no {type(op).__name__}")
    return kernel, "portable"


# for every instruction set the convolutions to try, best first; one that does not fit a layer gives None
_CONVOLUTIONS: dict[Isa, tuple[tuple[str, Callable[[Group, Graph, Target], Kernel | None]], ...]] = {
    "dotprod": (("dot products", conv_dotprod.conv_kernel),),
    "vnni": (("dot products", conv_vnni.conv_kernel),),
    "v8": (("Winograd 4 x 4", conv_winograd.conv_kernel), ("direct, 8-bit products", conv_v8.conv_kernel)),
    "armv7": (("Winograd 4 x 4", conv_winograd.conv_kernel),),
    "generic": (("Winograd 4 x 4", conv_winograd.conv_kernel),),
    "mve": (("direct, 8-bit products", conv_mve.conv_kernel),),
    "dsp": (("direct, pairs of 16-bit products", conv_dsp.conv_kernel),),
}


def _convolution(group: Group, graph: Graph, target: Target) -> tuple[Kernel, str]:
    for name, build in _CONVOLUTIONS[target.isa]:
        kernel = build(group, graph, target)
        if kernel is not None:
            return kernel, name
    return conv_portable.conv_kernel(group, graph, target), "direct, 16-bit products"
