"""One numpy function for each operator, on several values of a series: the definition of what operators compute.

Convolutions and matrix products run in float64 on integer values. All partial sums stay below 2**53, so the results
are exact integers, and BLAS makes them fast.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
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
    RowSlice,
    StripPool,
    Table,
    Tensor,
    WindowMax,
    WindowPool,
)
from qgait.export.operators.back_end import BackEnd
from qgait.runtime.reference_windows import frame_window, window_max, window_pool

Codes = NDArray[np.int8]


def conv_columns(op: Conv2d, x: Codes, source: Tensor) -> NDArray[np.float64]:
    """Im2col: [n, H, W, I] -> [n, H', W', KH * KW * I], padded with the zero point."""
    patches = _patches(op, x, source).astype(np.float64)
    # channels last, as in memory: whole pixels are copied, and only once
    return patches.transpose(0, 1, 2, 4, 5, 3).reshape(*patches.shape[:3], -1)


def _patches(op: Convolution, x: Codes, source: Tensor) -> Codes:
    """[n, H, W, C] -> [n, H', W', C, KH, KW], padded with the zero point."""
    top, left, bottom, right = op.padding
    border = ((0, 0), (top, bottom), (left, right), (0, 0))
    padded = np.pad(x, border, constant_values=np.int8(source.zero_point))
    every: Codes = sliding_window_view(padded, op.kernel, axis=(1, 2))  # type: ignore[call-overload]
    return every[:, :: op.stride[0], :: op.stride[1]]


def conv_matrix(op: Conv2d) -> NDArray[np.float64]:
    """The weights in the order of ``conv_columns``: [KH * KW * I, O]."""
    return op.weight.reshape(len(op.weight), -1).T.astype(np.float64)


def conv2d(op: Conv2d, inputs: list[Codes], sources: list[Tensor], result: Tensor) -> Codes:
    """[n, H, W, I] -> [n, H', W', O]."""
    return op.requant.codes(conv_columns(op, inputs[0], sources[0]) @ conv_matrix(op) + op.bias, result)


def _depthwise(op: DepthwiseConv2d, inputs: list[Codes], sources: list[Tensor], result: Tensor) -> Codes:
    """[n, H, W, C] -> [n, H', W', C]."""
    patches, weight = _patches(op, inputs[0], sources[0]).astype(np.float64), op.weight.astype(np.float64)
    return op.requant.codes(np.einsum("nyxcij,ijc->nyxc", patches, weight) + op.bias, result)


def _part_linear(op: PartLinear, inputs: list[Codes], sources: list[Tensor], result: Tensor) -> Codes:
    """[n, P, I] -> [n, P, O]."""
    codes, weight = inputs[0].astype(np.float64), op.weight.astype(np.float64)
    return op.requant.codes(np.einsum("npi,pio->npo", codes, weight, optimize=True) + op.bias, result)


def _table(op: Table, inputs: list[Codes], sources: list[Tensor], result: Tensor) -> Codes:
    return op.table[inputs[0].astype(np.int16) + 128]


def _add(op: Add, inputs: list[Codes], sources: list[Tensor], result: Tensor) -> Codes:
    a, b = _centred(inputs, sources)
    return op.requant.codes(op.factors[0] * a + op.factors[1] * b, result)


def _multiply(op: Multiply, inputs: list[Codes], sources: list[Tensor], result: Tensor) -> Codes:
    """Two tensors of one shape, or maps [n, H, W, C] and [n, 1, C]."""
    a, b = _centred(inputs, sources)
    return op.requant.codes(a * (b[:, np.newaxis] if b.ndim < a.ndim else b), result)


def _max_pool2d(op: MaxPool2d, inputs: list[Codes], sources: list[Tensor], result: Tensor) -> Codes:
    """[n, H, W, C] -> [n, H // k, W // k, C]."""
    (rows, columns, channels), k = result.shape, op.kernel
    blocks = inputs[0][:, : rows * k, : columns * k].reshape(-1, rows, k, columns, k, channels)
    return blocks.max(axis=(2, 4))


def _strip_pool(op: StripPool, inputs: list[Codes], sources: list[Tensor], result: Tensor) -> Codes:
    """[n, H, W, C] -> [n, P, C]."""
    (x,), (source,) = inputs, sources
    n, height, width, channels = x.shape
    parts = []
    for bins in op.bins:
        strips = x.reshape(n, bins, height // bins * width, channels).astype(np.int64)
        count = strips.shape[2]
        parts.append(strips.sum(axis=2) - count * source.zero_point)
        if op.kind == "mean_max":
            parts[-1] += count * (strips.max(axis=2) - source.zero_point)
    return op.requant.codes(np.concatenate(parts, axis=1), result)


def _power_pool(op: PowerPool, inputs: list[Codes], sources: list[Tensor], result: Tensor) -> Codes:
    """[n, H, W, C] -> [n, R, C]."""
    regions = np.split(inputs[0], np.cumsum(op.rows)[:-1], 1)
    parts = []
    for region, powers, thresholds in zip(regions, op.powers, op.thresholds, strict=True):
        acc = powers[region.astype(np.int16) + 128].sum(axis=(1, 2), dtype=np.int64)
        parts.append(result.lo + np.searchsorted(thresholds, acc, side="right"))
    return np.stack(parts, axis=1).astype(np.int8)


def _concat(op: Concat, inputs: list[Codes], sources: list[Tensor], result: Tensor) -> Codes:
    return np.concatenate(inputs, axis=1)


def _row_slice(op: RowSlice, inputs: list[Codes], sources: list[Tensor], result: Tensor) -> Codes:
    return inputs[0][:, op.start : op.stop]


def _frame_max(op: FrameMax, inputs: list[Codes], sources: list[Tensor], result: Tensor) -> Codes:
    """[n, ...] -> [1, ...]."""
    return inputs[0].max(axis=0, keepdims=True)


def _centred(inputs: list[Codes], sources: list[Tensor]) -> list[NDArray[np.int64]]:
    return [codes.astype(np.int64) - source.zero_point for codes, source in zip(inputs, sources, strict=True)]


NUMPY: BackEnd[Callable[..., Codes]] = BackEnd(
    "the reference",
    {
        Conv2d: conv2d,
        DepthwiseConv2d: _depthwise,
        PartLinear: _part_linear,
        Add: _add,
        Multiply: _multiply,
        Table: _table,
        MaxPool2d: _max_pool2d,
        StripPool: _strip_pool,
        PowerPool: _power_pool,
        FrameMax: _frame_max,
        FrameWindow: frame_window,
        WindowMax: window_max,
        WindowPool: window_pool,
        Concat: _concat,
        RowSlice: _row_slice,
    },
)
