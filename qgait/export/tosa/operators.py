"""How operators that make one value of one value are written in TOSA, in forms that Ethos-U compilers fuse."""

from __future__ import annotations

from collections.abc import Sequence

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
from qgait.export.tosa.builder import INT32, PROPAGATE, TosaBuilder, of_one_multiplier
from qgait.export.tosa.flatbuffer import Attributes
from qgait.export.tosa.strips import strip_pool
from qgait.fixedpoint import MAX_SHIFT

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
            return strip_pool(b, op, inputs[0], sources[0], result)
        case PartLinear():
            return _part_linear(b, op, inputs[0], sources[0], result)
        case Concat():
            return b.concat(inputs, axis=1)
        case RowSlice():
            return b.slice(inputs[0], 1, op.start, op.stop - op.start)
    raise TypeError(f"TOSA has no {type(op).__name__}")


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
    """TOSA wants strides to end at the padded border: what no window sees is taken off, by one SLICE at most."""
    top, left, bottom, right = op.padding
    n, *size, channels = b.shape(x)
    after = [bottom, right]
    for axis, before in enumerate((top, left)):
        unseen = (size[axis] + before + after[axis] - op.weight.shape[1 + axis]) % op.stride[axis]
        size[axis] -= max(unseen - after[axis], 0)
        after[axis] = max(after[axis] - unseen, 0)
    x = b.corner(x, (n, *size, channels))
    acc = _convolution(b, x, op.weight, op.bias, source, (top, after[0], left, after[1]), op.stride)
    return b.requantized(acc, op.requant, result)


def _convolution(
    b: TosaBuilder,
    x: str,
    weight: NDArray[np.int8],
    bias: NDArray[np.int32],
    source: Tensor,
    pad: Sequence[int] = (0, 0, 0, 0),
    stride: Sequence[int] = (1, 1),
) -> str:
    """int32 ``sum((code - zero_point) * weight) + bias``, of a ``bias`` that holds -zero_point * sum(weight).

    Neither the sums nor the bias can leave int32: a checked graph keeps the accumulator of every code below 2**28.
    """
    own = bias.astype(np.int64) + source.zero_point * weight.astype(np.int64).sum(axis=(1, 2, 3))
    n, height, width, _ = b.shape(x)
    outputs, kh, kw, _ = weight.shape
    rows, columns = (height + pad[0] + pad[1] - kh) // stride[0] + 1, (width + pad[2] + pad[3] - kw) // stride[1] + 1
    constants = [b.constant(weight), b.constant(own.astype(np.int32)), b.scalar(source.zero_point), b.scalar(0)]
    shape = (n, rows, columns, outputs)
    window: Attributes = {"Pad": list(pad), "Stride": list(stride), "Dilation": [1, 1]}
    window |= {"LocalBound": False, "AccType": INT32}
    return b.add("CONV2D", [x, *constants], shape, "int32", window)


def _max_pool2d(b: TosaBuilder, op: MaxPool2d, x: str) -> str:
    k = op.kernel
    n, height, width, channels = b.shape(x)
    x = b.corner(x, (n, height // k * k, width // k * k, channels))
    window: Attributes = {"Kernel": [k, k], "Stride": [k, k], "Pad": [0, 0, 0, 0], "NanMode": PROPAGATE}
    return b.add("MAX_POOL2D", [x], (n, height // k, width // k, channels), "int8", window)


def _multiply(b: TosaBuilder, op: Multiply, inputs: list[str], sources: list[Tensor], result: Tensor) -> str:
    """Slices stand before everything else: what Vela 5.2 makes of a RESCALE that reads one forgets where it lies."""
    x, gate = inputs
    if len(b.shape(gate)) < len(b.shape(x)):
        n, _, channels = b.shape(gate)
        gate = b.reshape(gate, (n, 1, 1, channels))
    if len(b.shape(x)) == 4:
        return b.requantized(_product(b, (x, gate), sources), op.requant, result)
    parts = []
    for start, stop, requant in of_one_multiplier(op.requant):
        some = [b.slice(codes, 1, start, stop - start) for codes in (x, gate)]
        parts.append(b.requantized(_product(b, some, sources), requant, result))
    return b.concat(parts, axis=1)


def _product(b: TosaBuilder, codes: Sequence[str], sources: list[Tensor]) -> str:
    terms = [b.widened(x, source.zero_point) for x, source in zip(codes, sources, strict=True)]
    return b.add("MUL", [*terms, b.scalar(0)], b.shape(codes[0]), "int32")


def _part_linear(b: TosaBuilder, op: PartLinear, x: str, source: Tensor, result: Tensor) -> str:
    """A 1 x 1 convolution a part."""
    n, count, channels = b.shape(x)
    outputs = op.weight.shape[2]
    columns = b.reshape(x, (n, count, 1, channels))
    parts = []
    for i in range(count):
        weight = op.weight[i].T.reshape(outputs, 1, 1, channels)
        part = b.slice(columns, 1, i, 1)
        acc = _convolution(b, part, weight, op.bias[i], source)
        parts.append(b.requantized(acc, Requant(op.requant.multiplier[i], op.requant.shift[i]), result))
    return b.reshape(b.concat(parts, axis=1), (n, count, outputs))
