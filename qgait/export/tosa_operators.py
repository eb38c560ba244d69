"""How operators that make one value of one value are written in TOSA, in forms that Ethos-U compilers fuse."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from qgait.errors import QgaitError
from qgait.export.graph import (
    Add,
    Concat,
    Conv2d,
    Graph,
    MaxPool2d,
    Multiply,
    Op,
    PartLinear,
    Requant,
    RowSlice,
    StripPool,
    Table,
    Tensor,
)
from qgait.export.tosa_builder import PROPAGATE, TosaBuilder
from qgait.export.tosa_flatbuffer import Attributes
from qgait.fixedpoint import MAX_SHIFT

DTYPE_INT32 = 5  # the schema's DType of an accumulator
ADD_SHIFT = 19  # of the operand that Ethos-U does not multiply


def operator(b: TosaBuilder, graph: Graph, op: Op, inputs: list[str]) -> str:
    """Adds ``op`` for maps [n, H, W, C] or parts [n, P, C] and returns the name of its result."""
    sources, result = [graph.tensors[name] for name in op.inputs], graph.tensors[op.output]
    match op:
        case Conv2d():
            return _conv2d(b, op, inputs[0], sources[0], result)
        case Table():
            return b.add("TABLE", [inputs[0], b.constant(op.table)], b.shape(inputs[0]))
        case MaxPool2d():
            return _max_pool2d(b, op, inputs[0])
        case Add():
            return _add(b, op, inputs, sources, result)
        case Multiply():
            return _multiply(b, op, inputs, sources, result)
        case StripPool():
            return _strip_pool(b, op, inputs[0], sources[0], result)
        case PartLinear():
            return _part_linear(b, op, inputs[0], sources[0], result)
        case Concat():
            return b.concat(inputs, axis=1)
        case RowSlice():
            return b.slice(inputs[0], 1, op.start, op.stop - op.start)
    raise TypeError(f"TOSA has no {type(op).__name__}")


def requantized_parts(b: TosaBuilder, acc: str, requant: Requant, result: Tensor) -> str:
    """Codes of int32 [n, P, C] or [n, P, 1, C], with one multiplier a part: parts that share one go together."""
    m, s = requant.multiplier.ravel(), requant.shift.ravel()
    starts = [0, *(np.flatnonzero((np.diff(m) != 0) | (np.diff(s) != 0)) + 1), len(m)]
    done = []
    for start, stop in itertools.pairwise(starts):
        part = b.slice(acc, 1, int(start), int(stop - start))
        done.append(b.requantized(part, Requant(m[start : start + 1], s[start : start + 1]), result))
    return b.concat(done, axis=1)


def _add(b: TosaBuilder, op: Add, inputs: list[str], sources: list[Tensor], result: Tensor) -> str:
    """Ethos-U55 and U65 multiply both operands by one 16-bit factor, or one by 32 bits and shift the other by 19.

    Vela fuses two unequal 16-bit factors too, but what it writes then loses the larger one.
    """
    larger = max(op.factors)
    wider = 0 if op.factors[0] == op.factors[1] else ADD_SHIFT - (larger.bit_length() - 1)
    requant = Requant(op.requant.multiplier, (op.requant.shift + wider).astype(np.int8))
    if requant.shift.max() > MAX_SHIFT:
        raise QgaitError(f"{op.name} scales its sum by less than 2**-26.", "look at the scales of its tensors.")
    terms = [
        b.widened(x, source.zero_point, factor << wider)
        for x, source, factor in zip(inputs, sources, op.factors, strict=True)
    ]
    return b.requantized(b.add("ADD", terms, b.shape(inputs[0]), "int32"), requant, result)


def _conv2d(b: TosaBuilder, op: Conv2d, x: str, source: Tensor, result: Tensor) -> str:
    top, left, bottom, right = op.padding
    _, kh, kw, _ = op.weight.shape
    x, bottom = _divisible(b, x, 1, top, bottom, kh, op.stride[0])
    x, right = _divisible(b, x, 2, left, right, kw, op.stride[1])
    acc = _convolution(b, x, op.weight, op.bias, source, op.name, [top, bottom, left, right], list(op.stride))
    return b.requantized(acc, op.requant, result)


def _divisible(b: TosaBuilder, x: str, axis: int, before: int, after: int, kernel: int, stride: int) -> tuple[str, int]:
    """TOSA wants strides to end at the padded border: what no window sees is taken off. -> (map, padding after)."""
    size = b.shape(x)[axis]
    unseen = (size + before + after - kernel) % stride
    from_map = max(unseen - after, 0)
    return b.slice(x, axis, 0, size - from_map), max(after - unseen, 0)


def _convolution(
    b: TosaBuilder,
    x: str,
    weight: NDArray[np.int8],
    bias: NDArray[np.int32],
    source: Tensor,
    layer: str,
    pad: list[int],
    stride: list[int],
) -> str:
    """``sum((code - zero_point) * weight) + bias``: int32 accumulators of a bias that holds -zero_point * sum."""
    sums = weight.astype(np.int64).sum(axis=(1, 2, 3))
    own = bias.astype(np.int64) + source.zero_point * sums
    farthest = max(source.zero_point - source.lo, source.hi - source.zero_point)
    largest = int((farthest * np.abs(weight.astype(np.int64)).sum(axis=(1, 2, 3)) + np.abs(own)).max())
    if largest >= 2**31:
        raise QgaitError(
            f"{layer} can reach {largest} while it accumulates, more than TOSA's int32 holds.",
            "narrow the layer, or export to ONNX, which needs no zero point in its sums.",
        )
    n, height, width, _ = b.shape(x)
    outputs, kh, kw, _ = weight.shape
    rows, columns = (height + pad[0] + pad[1] - kh) // stride[0] + 1, (width + pad[2] + pad[3] - kw) // stride[1] + 1
    constants = [b.constant(weight), b.constant(own.astype(np.int32)), b.scalar(source.zero_point), b.scalar(0)]
    shape = (n, rows, columns, outputs)
    window: Attributes = {"Pad": pad, "Stride": stride, "Dilation": [1, 1]}
    window |= {"LocalBound": False, "AccType": DTYPE_INT32}
    return b.add("CONV2D", [x, *constants], shape, "int32", window)


def _max_pool2d(b: TosaBuilder, op: MaxPool2d, x: str) -> str:
    k = op.kernel
    for axis in (1, 2):
        x = b.slice(x, axis, 0, b.shape(x)[axis] // k * k)
    n, height, width, channels = b.shape(x)
    window: Attributes = {"Kernel": [k, k], "Stride": [k, k], "Pad": [0, 0, 0, 0], "NanMode": PROPAGATE}
    return b.add("MAX_POOL2D", [x], (n, height // k, width // k, channels), "int8", window)


def _multiply(b: TosaBuilder, op: Multiply, inputs: list[str], sources: list[Tensor], result: Tensor) -> str:
    x, gate = inputs
    if len(b.shape(gate)) < len(b.shape(x)):
        n, _, channels = b.shape(gate)
        gate = b.reshape(gate, (n, 1, 1, channels))
    terms = [b.widened(codes, source.zero_point) for codes, source in zip((x, gate), sources, strict=True)]
    acc = b.add("MUL", [*terms, b.scalar(0)], b.shape(x), "int32")
    if len(b.shape(x)) == 3:
        return requantized_parts(b, acc, op.requant, result)
    return b.requantized(acc, op.requant, result)


def _strip_pool(b: TosaBuilder, op: StripPool, x: str, source: Tensor, result: Tensor) -> str:
    n, height, width, channels = b.shape(x)
    parts: list[str] = []
    for bins in op.bins:
        strips = b.reshape(x, (n, bins, height // bins * width, channels))
        acc = b.reduce("REDUCE_SUM", b.widened(strips, source.zero_point), 2)
        if op.kind == "mean_max":
            largest = b.reduce("REDUCE_MAX", strips, 2)
            weighted = b.widened(largest, source.zero_point, height // bins * width)
            acc = b.add("ADD", [acc, weighted], b.shape(acc), "int32")
        start = sum(b.shape(part)[1] for part in parts)
        share = slice(start, start + bins)
        requant = Requant(op.requant.multiplier[share], op.requant.shift[share])
        parts.append(requantized_parts(b, acc, requant, result))
    return b.reshape(b.concat(parts, axis=1), (n, sum(op.bins), channels))


def _part_linear(b: TosaBuilder, op: PartLinear, x: str, source: Tensor, result: Tensor) -> str:
    """A 1 x 1 convolution a part."""
    n, count, channels = b.shape(x)
    outputs = op.weight.shape[2]
    columns = b.reshape(x, (n, count, 1, channels))
    parts = []
    for i in range(count):
        weight = op.weight[i].T.reshape(outputs, 1, 1, channels)
        part = b.slice(columns, 1, i, 1)
        acc = _convolution(b, part, weight, op.bias[i], source, f"{op.name}, part {i},", [0, 0, 0, 0], [1, 1])
        parts.append(b.requantized(acc, Requant(op.requant.multiplier[i], op.requant.shift[i]), result))
    return b.reshape(b.concat(parts, axis=1), (n, count, outputs))
