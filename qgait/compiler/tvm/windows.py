"""Kernels over neighbouring values of a series: side by side, their maximum, their mean + maximum.

A value that is missing at an end of the clip comes as a copy of one that is there: that changes no maximum, and a sum
takes it as nothing where ``present`` is 0.
"""

from __future__ import annotations

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from qgait.compiler.tvm.builder import function, lanes_of, load, splat, store, widen
from qgait.compiler.tvm.fusion import Group
from qgait.compiler.tvm.program import Kernel
from qgait.compiler.tvm.requantize import RowRule
from qgait.export.graph import Graph
from qgait.export.operators import FrameWindow, WindowMax, WindowPool


def frame_window_kernel(group: Group, op: FrameWindow, graph: Graph) -> Kernel:
    """Row by row the channels of all values, the oldest first; the zero point where one is missing."""
    source, result = graph.tensors[op.inputs[0]], graph.tensors[op.output]
    channels = source.shape[-1]
    lanes = lanes_of(channels)
    with function(group) as f:
        values, present = f.window(source, op.size)
        out = f.output(result)
        zero = splat(source.zero_point, "int8", lanes)
        with T.serial(0, source.size // channels) as row, T.serial(0, channels // lanes) as c:
            for i, codes in enumerate(values):
                there = splat(load(present, i, 1), "int8", lanes)
                ordered = tirx.bitwise_xor(load(codes, row * channels + c * lanes, lanes), zero)
                kept = tirx.bitwise_xor(tirx.bitwise_and(ordered, there), zero)
                store(out, (row * op.size + i) * channels + c * lanes, kept, lanes)
    return f.kernel()


def window_max_kernel(group: Group, op: WindowMax, graph: Graph) -> Kernel:
    """Code by code the maximum."""
    tensor = graph.tensors[op.output]
    lanes = lanes_of(tensor.size)
    with function(group) as f:
        values, _ = f.window(tensor, op.size)
        out = f.output(tensor)
        with T.serial(0, tensor.size // lanes) as i:
            largest = load(values[0], i * lanes, lanes)
            for codes in values[1:]:
                largest = tirx.max(largest, load(codes, i * lanes, lanes))
            store(out, i * lanes, largest, lanes)
    return f.kernel()


def window_pool_kernel(group: Group, op: WindowPool, graph: Graph) -> Kernel:
    """Code by code ``sum(code - zero_point) + size * (max(code) - zero_point)``, requantized."""
    source, result = graph.tensors[op.inputs[0]], graph.tensors[op.output]
    channels = source.shape[-1]
    lanes = lanes_of(channels)
    with function(group) as f:
        values, present = f.window(source, op.size)
        rule = RowRule(f, op.requant, result, lanes)
        out = f.output(result)
        with T.serial(0, source.size // channels) as row, T.serial(0, channels // lanes) as c:
            zero = splat(source.zero_point, "int32", lanes)
            total, largest = splat(0, "int32", lanes), splat(-128, "int8", lanes)
            for i, buffer in enumerate(values):
                codes = load(buffer, row * channels + c * lanes, lanes)
                there = splat(load(present, i, 1), "int32", lanes)
                total = total + tirx.bitwise_and(widen(codes, "int32", lanes) - zero, there)
                largest = tirx.max(largest, codes)
            acc = total + (widen(largest, "int32", lanes) - zero) * splat(op.size, "int32", lanes)
            store(out, row * channels + c * lanes, rule.codes(acc, row), lanes)
    return f.kernel()
