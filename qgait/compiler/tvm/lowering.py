"""From the integer graph to kernels: for every group of operators the best one that the target has.

What an NPU runs has no kernels; its runs stand between those of the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qgait.compiler.npu.call import NpuCall
from qgait.compiler.tvm.depthwise import depthwise_kernel
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
from qgait.compiler.tvm.instruction_sets import convolution
from qgait.compiler.tvm.part_linear import part_linear_kernel
from qgait.compiler.tvm.placement import placed
from qgait.compiler.tvm.pooling import max_pool_kernel, strip_pool_kernel
from qgait.compiler.tvm.power_pool import power_pool_kernel
from qgait.compiler.tvm.program import Kernel, Program, Step
from qgait.compiler.tvm.windows import frame_window_kernel, window_max_kernel, window_pool_kernel
from qgait.compiler.views import needs_no_kernel, views
from qgait.export.graph import Graph
from qgait.export.operators import (
    Add,
    Concat,
    Conv2d,
    DepthwiseConv2d,
    FrameMax,
    FrameWindow,
    MaxPool2d,
    Multiply,
    Op,
    PartLinear,
    PowerPool,
    RowSlice,
    StripPool,
    Table,
    Weighted,
    WindowMax,
    WindowPool,
)
from qgait.export.operators.back_end import BackEnd
from qgait.export.schedule import output_tensor
from qgait.targets.processors import Target

Lowering = Callable[[Group, Graph, Target], tuple[Kernel, str]]


def lower(graph: Graph, target: Target, calls: Sequence[NpuCall] = ()) -> Program:
    """The kernels of ``graph`` for ``target``, and between them the ``calls`` of an NPU that computes the rest.

    ``notes`` tells which convolution each layer got, and of packed weights how many bits they have. Raises ValueError
    when calls wait for each other, or when one has operators that run at different moments.
    """
    frame, clip, notes = list[Step]([codes_kernel(graph)]), list[Step](), list[str]()
    times = graph.schedule
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
            notes.append(f"{' + '.join(kernel.ops)}: {choice}{_packing(unit.op, kernel)}")
    kept = {*times.rings, *(op.output for op in graph.ops if isinstance(op, FrameMax))}
    for side in (frame, clip):
        inside |= placed(side, kept, inside)
    return Program(graph, target, tuple(frame), tuple(clip), tuple(notes), inside)


def _packing(op: Op, kernel: Kernel) -> str:
    return f", weights of {op.weight_bits} bits" if isinstance(op, Weighted) and kernel.unpacked_bytes else ""


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


def _portable(build: Callable[..., Kernel]) -> Lowering:
    """``build(group, op, graph)`` as the kernel for every target."""
    return lambda group, graph, target: (build(group, group.op, graph), "portable")


TVM: BackEnd[Lowering] = BackEnd(
    "TVM",
    {
        Conv2d: convolution,
        DepthwiseConv2d: depthwise_kernel,
        PartLinear: _portable(part_linear_kernel),
        Add: _portable(add_kernel),
        Multiply: _portable(multiply_kernel),
        Table: _portable(table_kernel),
        MaxPool2d: _portable(max_pool_kernel),
        StripPool: _portable(strip_pool_kernel),
        PowerPool: _portable(power_pool_kernel),
        FrameMax: _portable(frame_max_kernel),
        FrameWindow: _portable(frame_window_kernel),
        WindowMax: _portable(window_max_kernel),
        WindowPool: _portable(window_pool_kernel),
        Concat: _portable(concat_kernel),
        RowSlice: _portable(row_slice_kernel),
    },
)


def kernel_of(group: Group, graph: Graph, target: Target) -> tuple[Kernel, str]:
    """The kernel of one group, and which implementation that is."""
    return TVM[group.op](group, graph, target)
