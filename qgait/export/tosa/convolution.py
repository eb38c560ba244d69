"""Operators with weights in TOSA: CONV2D and a requantization, which Ethos-U does in one step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qgait.export.operators import Conv2d, PartLinear, Requant, Tensor
from qgait.export.tosa.builder import INT32, TosaBuilder
from qgait.export.tosa.flatbuffer import Attributes


def conv2d(b: TosaBuilder, op: Conv2d, inputs: list[str], sources: list[Tensor], result: Tensor) -> str:
    """TOSA wants strides to end at the padded border: what no output sees is taken off, by one SLICE at most."""
    top, left, bottom, right = op.padding
    (x,), (source,) = inputs, sources
    n, *size, channels = b.shape(x)
    after = [bottom, right]
    for axis, before in enumerate((top, left)):
        unseen = (size[axis] + before + after[axis] - op.weight.shape[1 + axis]) % op.stride[axis]
        size[axis] -= max(unseen - after[axis], 0)
        after[axis] = max(after[axis] - unseen, 0)
    x = b.corner(x, (n, *size, channels))
    acc = _convolution(b, x, op.weight, op.bias, source.zero_point, (top, after[0], left, after[1]), op.stride)
    return b.requantized(acc, op.requant, result)


def part_linear(b: TosaBuilder, op: PartLinear, inputs: list[str], sources: list[Tensor], result: Tensor) -> str:
    """A 1 x 1 convolution a part."""
    n, count, channels = b.shape(inputs[0])
    outputs = op.weight.shape[2]
    columns = b.reshape(inputs[0], (n, count, 1, channels))
    parts = []
    for i in range(count):
        weight = op.weight[i].T.reshape(outputs, 1, 1, channels)
        part = b.slice(columns, 1, i, 1)
        acc = _convolution(b, part, weight, op.bias[i], sources[0].zero_point)
        parts.append(b.requantized(acc, Requant(op.requant.multiplier[i], op.requant.shift[i]), result))
    return b.reshape(b.concat(parts, axis=1), (n, count, outputs))


def _convolution(
    b: TosaBuilder,
    x: str,
    weight: NDArray[np.int8],
    bias: NDArray[np.int32],
    zero_point: int,
    pad: Sequence[int] = (0, 0, 0, 0),
    stride: Sequence[int] = (1, 1),
) -> str:
    """int32 ``sum((code - zero_point) * weight) + bias``, of a ``bias`` that holds -zero_point * sum(weight).

    Neither the sums nor the bias can leave int32: a checked graph keeps the accumulator of every code below 2**28.
    """
    own = bias.astype(np.int64) + zero_point * weight.astype(np.int64).sum(axis=(1, 2, 3))
    n, height, width, _ = b.shape(x)
    outputs, kh, kw, _ = weight.shape
    rows, columns = (height + pad[0] + pad[1] - kh) // stride[0] + 1, (width + pad[2] + pad[3] - kw) // stride[1] + 1
    constants = [b.constant(weight), b.constant(own.astype(np.int32)), b.scalar(zero_point), b.scalar(0)]
    shape = (n, rows, columns, outputs)
    geometry: Attributes = {"Pad": list(pad), "Stride": list(stride), "Dilation": [1, 1]}
    geometry |= {"LocalBound": False, "AccType": INT32}
    return b.add("CONV2D", [x, *constants], shape, "int32", geometry)
