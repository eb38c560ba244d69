"""From the integer graph to kernels: for every group of operators the best one that the target has."""

from __future__ import annotations

from collections.abc import Callable

from qgait.export.graph import (
    Add,
    Concat,
    Conv2d,
    FrameMax,
    FrameWindow,
    Graph,
    MaxPool2d,
    Multiply,
    PartLinear,
    PowerPool,
    RowSlice,
    StripPool,
    Table,
    WindowMax,
    WindowPool,
)
from qgait.runtime.schedule import schedule
from qgait.runtime.targets import Isa, Target
from qgait.runtime.tvm import conv_dotprod, conv_portable, conv_v8, conv_vnni, conv_winograd
from qgait.runtime.tvm.elementwise import (
    add_kernel,
    codes_kernel,
    concat_kernel,
    frame_max_kernel,
    multiply_kernel,
    row_slice_kernel,
    table_kernel,
)
from qgait.runtime.tvm.fusion import Group, groups
from qgait.runtime.tvm.part_linear import part_linear_kernel
from qgait.runtime.tvm.pooling import max_pool_kernel, strip_pool_kernel
from qgait.runtime.tvm.power_pool import power_pool_kernel
from qgait.runtime.tvm.program import Kernel, Program
from qgait.runtime.tvm.windows import frame_window_kernel, window_max_kernel, window_pool_kernel
from qgait.runtime.views import needs_no_kernel, views


def lower(graph: Graph, target: Target) -> Program:
    """The kernels of ``graph`` for ``target``. ``notes`` tells which convolution each layer got."""
    frame, clip, notes = [codes_kernel(graph)], list[Kernel](), list[str]()
    inside = views(graph, schedule(graph).rings)
    for group in groups(graph):
        if needs_no_kernel(group.op, inside):
            continue
        kernel, choice = kernel_of(group, graph, target)
        side = frame if graph.tensors[group.op.inputs[0]].per_frame else clip
        side.append(kernel)
        notes.append(f"{' + '.join(kernel.ops)}: {choice}")
    return Program(graph, target, tuple(frame), tuple(clip), tuple(notes), inside)


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
    "mve": (),
    "dsp": (),
}


def _convolution(group: Group, graph: Graph, target: Target) -> tuple[Kernel, str]:
    for name, build in _CONVOLUTIONS[target.isa]:
        kernel = build(group, graph, target)
        if kernel is not None:
            return kernel, name
    return conv_portable.conv_kernel(group, graph, target), "direct, 16-bit products"
