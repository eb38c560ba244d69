"""Kernels that work code by code: input codes, tables, sums, products, frame maxima, concatenation, slices.

The ``..._codes`` functions write a loop over ``count`` codes into the kernel under construction; convolutions use them
on their rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from qgait.compiler.tvm.builder import Index, function, lanes_of, load, splat, store, widen
from qgait.compiler.tvm.fusion import Group
from qgait.compiler.tvm.program import SILHOUETTE, Kernel
from qgait.compiler.tvm.requantize import RowRule, requantized
from qgait.export.graph import Graph
from qgait.export.operators import Add, Concat, FrameMax, Multiply, Op, RowSlice, Table, Tensor

if TYPE_CHECKING:
    from tvm.tirx import Buffer, PrimExpr

Place = tuple["Buffer", Index]  # a buffer and the first element in it


def codes_kernel(graph: Graph) -> Kernel:
    """Silhouette pixels to codes: the pixel minus 128."""
    frame = graph.tensors[graph.input]
    lanes = lanes_of(frame.size)
    group = Group((Op("codes", (SILHOUETTE,), graph.input),))
    with function(group) as f:
        pixels, out = f.input(frame), f.output(frame)
        with T.serial(0, frame.size // lanes) as i:
            store(out, i * lanes, tirx.bitwise_xor(load(pixels, i * lanes, lanes), splat(-128, "int8", lanes)), lanes)
    return f.kernel()


def table_kernel(group: Group, op: Table, graph: Graph) -> Kernel:
    """Any pointwise function of a code."""
    tensor = graph.tensors[op.output]
    with function(group, in_place=op.inputs[0]) as f:
        source, entries, out = f.input(tensor), f.constant(op.table, "int8"), f.output(tensor)
        table_codes(entries, (source, 0), (out, 0), tensor.size)
    return f.kernel()


def table_codes(entries: Buffer, source: Place, out: Place, count: int) -> None:
    """``out = entries[source + 128]``."""
    with T.serial(0, count) as i:
        code = T.cast(load(source[0], source[1] + i, 1), "int32")
        store(out[0], out[1] + i, load(entries, code + 128, 1), 1)


def add_kernel(group: Group, op: Add, graph: Graph) -> Kernel:
    """The residual sum of two tensors."""
    result = graph.tensors[op.output]
    with function(group, in_place=op.inputs[0]) as f:
        a, b, out = f.input(result), f.input(result, 1), f.output(result)
        add_codes(op, graph, (a, 0), (b, 0), (out, 0), result.size)
    return f.kernel()


def add_codes(op: Add, graph: Graph, a: Place, b: Place, out: Place, count: int) -> None:
    """``out = requantize(ka * (a - za) + kb * (b - zb))``; a and b in the order of ``op.inputs``."""
    lanes = lanes_of(count)
    result = graph.tensors[op.output]
    multiplier = splat(int(op.requant.multiplier[0]), "int32", lanes)
    shift = splat(int(op.requant.shift[0]), "int32", lanes)
    zeros = sum(k * graph.tensors[name].zero_point for k, name in zip(op.factors, op.inputs, strict=True))
    with T.serial(0, count // lanes) as i:
        acc = splat(-zeros, "int32", lanes)
        for factor, (buffer, start) in zip(op.factors, (a, b), strict=True):
            codes = widen(load(buffer, start + i * lanes, lanes), "int32", lanes)
            acc = acc + codes * splat(factor, "int32", lanes)
        store(out[0], out[1] + i * lanes, requantized(acc, multiplier, shift, result, lanes), lanes)


def frame_max_kernel(group: Group, op: FrameMax, graph: Graph) -> Kernel:
    """The running maximum: ``out = max(out, in)``."""
    tensor = graph.tensors[op.output]
    lanes = lanes_of(tensor.size)
    with function(group) as f:
        source, out = f.input(tensor), f.output(tensor)
        with T.serial(0, tensor.size // lanes) as i:
            largest = tirx.max(load(out, i * lanes, lanes), load(source, i * lanes, lanes))
            store(out, i * lanes, largest, lanes)
    return f.kernel()


def concat_kernel(group: Group, op: Concat, graph: Graph) -> Kernel:
    """Tensors one behind the other: a copy each, because they join on their first axis."""
    tensors = [graph.tensors[name] for name in op.inputs]
    with function(group) as f:
        sources = [f.input(tensor, index) for index, tensor in enumerate(tensors)]
        out = f.output(graph.tensors[op.output])
        start = 0
        for source, tensor in zip(sources, tensors, strict=True):
            copy_codes((source, 0), (out, start), tensor.size)
            start += tensor.size
    return f.kernel()


def row_slice_kernel(group: Group, op: RowSlice, graph: Graph) -> Kernel:
    """Rows of a map lie one behind the other: one copy."""
    source, result = graph.tensors[op.inputs[0]], graph.tensors[op.output]
    row = result.size // result.shape[0]
    with function(group) as f:
        data, out = f.input(source), f.output(result)
        copy_codes((data, op.start * row), (out, 0), result.size)
    return f.kernel()


def multiply_kernel(group: Group, op: Multiply, graph: Graph) -> Kernel:
    """The product of two tensors, or of a map with one row of channels."""
    a_tensor, b_tensor = (graph.tensors[name] for name in op.inputs)
    result = graph.tensors[op.output]
    channels = result.shape[-1]
    lanes = lanes_of(channels)
    b_step = 0 if b_tensor.size < a_tensor.size else channels
    with function(group, in_place=op.inputs[0]) as f:
        a, b = f.input(a_tensor), f.input(b_tensor, 1)
        rule = RowRule(f, op.requant, result, lanes)
        out = f.output(result)
        with T.serial(0, result.size // channels) as row, T.serial(0, channels // lanes) as c:
            acc = _real(a, row * channels + c * lanes, a_tensor, lanes) * _real(
                b, row * b_step + c * lanes, b_tensor, lanes
            )
            store(out, row * channels + c * lanes, rule.codes(acc, row), lanes)
    return f.kernel()


def _real(codes: Buffer, start: Index, tensor: Tensor, lanes: int) -> PrimExpr:
    """``code - zero_point`` as int32."""
    return widen(load(codes, start, lanes), "int32", lanes) - splat(tensor.zero_point, "int32", lanes)


def copy_codes(source: Place, out: Place, count: int) -> None:
    """``out = source``."""
    lanes = lanes_of(count)
    with T.serial(0, count // lanes) as i:
        store(out[0], out[1] + i * lanes, load(source[0], source[1] + i * lanes, lanes), lanes)
