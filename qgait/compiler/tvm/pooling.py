"""Kernels that take maxima and sums over space: max pooling and horizontal pyramid pooling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from tvm import tirx
from tvm.script.ir_builder import tirx as T

from qgait.compiler.tvm.builder import Index, function, lanes_of, load, local, splat, store, widen
from qgait.compiler.tvm.elementwise import Place
from qgait.compiler.tvm.fusion import Group
from qgait.compiler.tvm.program import Kernel
from qgait.compiler.tvm.requantize import requantized
from qgait.export.graph import Graph
from qgait.export.operators import MaxPool2d, StripPool, Tensor

if TYPE_CHECKING:
    from tvm.tirx import Buffer


def max_pool_kernel(group: Group, op: MaxPool2d, graph: Graph) -> Kernel:
    """The maximum of k x k squares."""
    source, result = graph.tensors[op.inputs[0]], graph.tensors[op.output]
    height, columns, channels = result.shape
    row = source.shape[1] * channels
    with function(group) as f:
        data, out = f.input(source), f.output(result)
        with T.serial(0, height) as y:
            pool_row(op.kernel, (data, y * op.kernel * row), row, (out, y * columns * channels), columns, channels)
    return f.kernel()


def pool_row(k: int, source: Place, stride: int, out: Place, columns: int, channels: int) -> None:
    """One row of ``columns`` maxima from k rows of codes that lie ``stride`` apart."""
    lanes = lanes_of(channels)
    buffer, start = source
    with T.serial(0, columns) as x, T.serial(0, channels // lanes) as c:
        at = [start + dy * stride + (x * k + dx) * channels + c * lanes for dy in range(k) for dx in range(k)]
        largest = load(buffer, at[0], lanes)
        for index in at[1:]:
            largest = tirx.max(largest, load(buffer, index, lanes))
        store(out[0], out[1] + x * channels + c * lanes, largest, lanes)


def strip_pool_kernel(group: Group, op: StripPool, graph: Graph) -> Kernel:
    """Mean + max (or mean) of horizontal strips, as ``sum + n * max`` with 1/n in the multiplier."""
    source, result = graph.tensors[op.inputs[0]], graph.tensors[op.output]
    height, width, channels = source.shape
    with function(group) as f:
        data = f.input(source)
        multiplier = f.constant(np.broadcast_to(op.requant.multiplier, (result.shape[0], 1)), "int32")
        shift = f.constant(np.broadcast_to(op.requant.shift, (result.shape[0], 1)), "int32")
        out = f.output(result)
        first = 0
        for bins in op.bins:
            count = height // bins * width
            with T.serial(0, bins) as b:
                part = first + b
                strip = (data, b * count * channels)
                _strip(op.kind, strip, count, source, (multiplier, shift), part, out, result)
            first += bins
    return f.kernel()


def _strip(
    kind: str,
    strip: Place,
    count: int,
    source: Tensor,
    rule: tuple[Buffer, Buffer],
    part: Index,
    out: Buffer,
    result: Tensor,
) -> None:
    """One part: all its channels, over ``count`` positions that lie one behind the other."""
    channels = result.shape[1]
    lanes = lanes_of(channels)
    total, largest = local(lanes, "int32"), local(lanes, "int8")
    multiplier, shift = (splat(load(buffer, part, 1), "int32", lanes) for buffer in rule)
    with_max = kind == "mean_max"
    with T.serial(0, channels // lanes) as c:
        store(total, 0, splat(-(2 if with_max else 1) * count * source.zero_point, "int32", lanes), lanes)
        if with_max:
            store(largest, 0, splat(-128, "int8", lanes), lanes)
        with T.serial(0, count) as i:
            codes = load(strip[0], strip[1] + i * channels + c * lanes, lanes)
            store(total, 0, load(total, 0, lanes) + widen(codes, "int32", lanes), lanes)
            if with_max:
                store(largest, 0, tirx.max(load(largest, 0, lanes), codes), lanes)
        acc = load(total, 0, lanes)
        if with_max:
            acc = acc + widen(load(largest, 0, lanes), "int32", lanes) * splat(count, "int32", lanes)
        store(out, part * channels + c * lanes, requantized(acc, multiplier, shift, result, lanes), lanes)
