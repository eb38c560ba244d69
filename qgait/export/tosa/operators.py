"""Operators in TOSA, on maps [n, H, W, C] and parts [n, P, C], in forms that Ethos-U compilers fuse."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from qgait.export.operators import (
    Add,
    Concat,
    Conv2d,
    Convolution,
    DepthwiseConv2d,
    FrameMax,
    FrameWindow,
    MaxPool2d,
    Multiply,
    PartLinear,
    PowerPool,
    Requant,
    RowSlice,
    StripPool,
    Table,
    Tensor,
    Weighted,
    WindowMax,
    WindowPool,
)
from qgait.export.operators.back_end import BackEnd
from qgait.export.tosa.builder import INT32, PROPAGATE, TosaBuilder
from qgait.export.tosa.elementwise import add, frame_max, multiply, table
from qgait.export.tosa.flatbuffer import Attributes
from qgait.export.tosa.power import power_pool
from qgait.export.tosa.strips import strip_pool
from qgait.export.tosa.windows import frame_window, window_max, window_pool


def _conv2d(b: TosaBuilder, op: Conv2d, inputs: list[str], sources: list[Tensor], result: Tensor) -> str:
    x, pad = _ending_at_the_border(b, op, inputs[0])
    acc = _convolution(b, "CONV2D", x, op.weight, _own_bias(op, sources[0]), sources[0], pad, op.stride)
    return b.requantized(acc, op.requant, result)


def _depthwise(b: TosaBuilder, op: DepthwiseConv2d, inputs: list[str], sources: list[Tensor], result: Tensor) -> str:
    x, pad = _ending_at_the_border(b, op, inputs[0])
    weight = op.weight[..., np.newaxis]  # one result a channel
    acc = _convolution(b, "DEPTHWISE_CONV2D", x, weight, _own_bias(op, sources[0]), sources[0], pad, op.stride)
    return b.requantized(acc, op.requant, result)


def _part_linear(b: TosaBuilder, op: PartLinear, inputs: list[str], sources: list[Tensor], result: Tensor) -> str:
    """A 1 x 1 convolution a part."""
    n, count, channels = b.shape(inputs[0])
    outputs = op.weight.shape[2]
    columns, bias = b.reshape(inputs[0], (n, count, 1, channels)), _own_bias(op, sources[0])
    parts = []
    for i in range(count):
        weight = op.weight[i].T.reshape(outputs, 1, 1, channels)
        part = b.slice(columns, 1, i, 1)
        acc = _convolution(b, "CONV2D", part, weight, bias[i], sources[0])
        parts.append(b.requantized(acc, Requant(op.requant.multiplier[i], op.requant.shift[i]), result))
    return b.reshape(b.concat(parts, axis=1), (n, count, outputs))


def _ending_at_the_border(b: TosaBuilder, op: Convolution, x: str) -> tuple[str, list[int]]:
    """The map and (top, bottom, left, right): TOSA wants the last field to end at the padded border.

    What no output sees is taken off, by one SLICE at most.
    """
    top, left, bottom, right = op.padding
    n, *size, channels = b.shape(x)
    after = [bottom, right]
    for axis, before in enumerate((top, left)):
        unseen = (size[axis] + before + after[axis] - op.kernel[axis]) % op.stride[axis]
        size[axis] -= max(unseen - after[axis], 0)
        after[axis] = max(after[axis] - unseen, 0)
    return b.corner(x, (n, *size, channels)), [top, after[0], left, after[1]]


def _own_bias(op: Weighted, source: Tensor) -> NDArray[np.int32]:
    """The bias without ``-zero_point * sum(weight)``, for TOSA subtracts the zero point itself.

    Neither the sums nor this can leave int32: a checked graph keeps the accumulator of every code below 2**28.
    """
    return (op.bias.astype(np.int64) + source.zero_point * op.total(op.weight)).astype(np.int32)


def _convolution(
    b: TosaBuilder,
    kind: str,
    x: str,
    weight: NDArray[np.int8],
    bias: NDArray[np.int32],
    source: Tensor,
    pad: Sequence[int] = (0, 0, 0, 0),
    stride: Sequence[int] = (1, 1),
) -> str:
    """int32 ``sum((code - zero_point) * weight) + bias``; a CONV2D has weights OHWI, a DEPTHWISE_CONV2D HWC1."""
    n, height, width, _ = b.shape(x)
    kh, kw = weight.shape[1:3] if kind == "CONV2D" else weight.shape[:2]
    rows, columns = (height + pad[0] + pad[1] - kh) // stride[0] + 1, (width + pad[2] + pad[3] - kw) // stride[1] + 1
    constants = [b.constant(weight), b.constant(bias), b.scalar(source.zero_point), b.scalar(0)]
    geometry: Attributes = {"Pad": list(pad), "Stride": list(stride), "Dilation": [1, 1]}
    geometry |= {"LocalBound": False, "AccType": INT32}
    return b.add(kind, [x, *constants], (n, rows, columns, len(bias)), "int32", geometry)


def _max_pool2d(b: TosaBuilder, op: MaxPool2d, inputs: list[str], sources: list[Tensor], result: Tensor) -> str:
    k = op.kernel
    n, height, width, channels = b.shape(inputs[0])
    x = b.corner(inputs[0], (n, height // k * k, width // k * k, channels))
    geometry: Attributes = {"Kernel": [k, k], "Stride": [k, k], "Pad": [0, 0, 0, 0], "NanMode": PROPAGATE}
    return b.add("MAX_POOL2D", [x], (n, height // k, width // k, channels), "int8", geometry)


def _concat(b: TosaBuilder, op: Concat, inputs: list[str], sources: list[Tensor], result: Tensor) -> str:
    return b.concat(inputs, axis=1)


def _row_slice(b: TosaBuilder, op: RowSlice, inputs: list[str], sources: list[Tensor], result: Tensor) -> str:
    return b.slice(inputs[0], 1, op.start, op.stop - op.start)


# (builder, op, names of inputs, their tensors, tensor of the result) -> the name of what was made
TOSA: BackEnd[Callable[..., str]] = BackEnd(
    "TOSA",
    {
        Conv2d: _conv2d,
        DepthwiseConv2d: _depthwise,
        PartLinear: _part_linear,
        Add: add,
        Multiply: multiply,
        Table: table,
        MaxPool2d: _max_pool2d,
        StripPool: strip_pool,
        PowerPool: power_pool,
        FrameMax: frame_max,
        FrameWindow: frame_window,
        WindowMax: window_max,
        WindowPool: window_pool,
        Concat: _concat,
        RowSlice: _row_slice,
    },
)
