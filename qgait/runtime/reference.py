"""The integer graph in numpy: the definition that every other runtime is compared with.

Convolutions and matrix products run in float64 on integer values. All partial sums stay below 2**53, so the results
are exact integers, and BLAS makes them fast enough for whole data sets. A clip goes through operator by operator: a
tensor of a frame is its whole series, one value a row; windows (``qgait.runtime.reference_windows``) look along it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from qgait.export.graph import (
    Add,
    Concat,
    Conv2d,
    FrameMax,
    FrameWindow,
    Graph,
    MaxPool2d,
    Multiply,
    Op,
    PartLinear,
    PowerPool,
    Requant,
    RowSlice,
    StripPool,
    Table,
    Tensor,
    WindowMax,
    WindowPool,
)
from qgait.export.timing import repeated
from qgait.fixedpoint import requantize
from qgait.runtime.reference_windows import frame_window, window_max, window_pool_sums

Codes = NDArray[np.int8]
FRAMES_AT_ONCE = 8  # bounds the im2col buffer: 8 frames of GaitBase's widest layer are 100 MB


def input_codes(frames: NDArray[np.uint8]) -> Codes:
    """Uint8 silhouettes [n, H, W] to int8 codes [n, H, W, 1]: the pixel minus 128."""
    return (frames ^ 0x80).view(np.int8)[..., np.newaxis]


def conv_columns(op: Conv2d, x: Codes, source: Tensor) -> NDArray[np.float64]:
    """Im2col: [n, H, W, I] -> [n, H', W', KH * KW * I], padded with the zero point."""
    _, kh, kw, _ = op.weight.shape
    top, left, bottom, right = op.padding
    border = ((0, 0), (top, bottom), (left, right), (0, 0))
    padded = np.pad(x, border, constant_values=np.int8(source.zero_point)).astype(np.float64)
    windows = sliding_window_view(padded, (kh, kw), axis=(1, 2))[  # type: ignore[call-overload]
        :, :: op.stride[0], :: op.stride[1]
    ]
    # channels last, as in memory: whole pixels are copied, and only once
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(*windows.shape[:3], -1)


def conv_matrix(op: Conv2d) -> NDArray[np.float64]:
    """The weights in the order of ``conv_columns``: [KH * KW * I, O]."""
    return op.weight.reshape(len(op.weight), -1).T.astype(np.float64)


def conv2d(op: Conv2d, x: Codes, source: Tensor, result: Tensor) -> Codes:
    """[n, H, W, I] -> [n, H', W', O]."""
    return _requantized(conv_columns(op, x, source) @ conv_matrix(op) + op.bias, op.requant, result)


def table(op: Table, x: Codes, source: Tensor, result: Tensor) -> Codes:
    """Any shape, code by code."""
    return op.table[x.astype(np.int16) + 128]


def max_pool2d(op: MaxPool2d, x: Codes, source: Tensor, result: Tensor) -> Codes:
    """[n, H, W, C] -> [n, H // k, W // k, C]."""
    n, height, width, channels = x.shape
    k = op.kernel
    rows, columns = height // k, width // k
    blocks = x[:, : rows * k, : columns * k].reshape(n, rows, k, columns, k, channels)
    return blocks.max(axis=(2, 4))


def add(op: Add, a: Codes, b: Codes, source_a: Tensor, source_b: Tensor, result: Tensor) -> Codes:
    """Two tensors of one shape."""
    ka, kb = op.factors
    acc = ka * (a.astype(np.int64) - source_a.zero_point) + kb * (b.astype(np.int64) - source_b.zero_point)
    return _requantized(acc, op.requant, result)


def strip_pool(op: StripPool, x: Codes, source: Tensor, result: Tensor) -> Codes:
    """[n, H, W, C] -> [n, P, C]."""
    n, height, width, channels = x.shape
    parts = []
    for bins in op.bins:
        strips = x.reshape(n, bins, height // bins * width, channels).astype(np.int64)
        count = strips.shape[2]
        parts.append(strips.sum(axis=2) - count * source.zero_point)
        if op.kind == "mean_max":
            parts[-1] += count * (strips.max(axis=2) - source.zero_point)
    return _requantized(np.concatenate(parts, axis=1), op.requant, result)


def part_linear(op: PartLinear, x: Codes, source: Tensor, result: Tensor) -> Codes:
    """[n, P, I] -> [n, P, O]."""
    acc = np.einsum("npi,pio->npo", x.astype(np.float64), op.weight.astype(np.float64), optimize=True) + op.bias
    return _requantized(acc, op.requant, result)


def power_pool(op: PowerPool, x: Codes, result: Tensor) -> Codes:
    """[n, H, W, C] -> [n, R, C]."""
    parts = []
    for region, powers, thresholds in zip(
        np.split(x, np.cumsum(op.rows)[:-1], 1), op.powers, op.thresholds, strict=True
    ):
        acc = powers[region.astype(np.int16) + 128].sum(axis=(1, 2), dtype=np.int64)
        parts.append(result.lo + np.searchsorted(thresholds, acc, side="right"))
    return np.stack(parts, axis=1).astype(np.int8)


def multiply(op: Multiply, a: Codes, b: Codes, source_a: Tensor, source_b: Tensor, result: Tensor) -> Codes:
    """Two tensors of one shape, or maps [n, H, W, C] and [n, 1, C]."""
    factor = b.astype(np.int64) - source_b.zero_point
    if b.ndim < a.ndim:
        factor = factor[:, np.newaxis]
    return _requantized((a.astype(np.int64) - source_a.zero_point) * factor, op.requant, result)


def _requantized(acc: NDArray[np.generic], requant: Requant, result: Tensor) -> Codes:
    return requantize(acc.astype(np.int64), requant.multiplier, requant.shift, result.zero_point, result.lo, result.hi)


def execute(graph: Graph, op: Op, inputs: list[Codes]) -> Codes:
    """One operator on whole series [n, ...]: windows make their own number of values, a FrameMax one."""
    source, result = graph.tensors[op.inputs[0]], graph.tensors[op.output]
    match op:
        case FrameMax():
            return inputs[0].max(axis=0, keepdims=True)
        case FrameWindow():
            return frame_window(op, inputs[0], source)
        case WindowMax():
            return window_max(op, inputs[0])
        case WindowPool():
            return _requantized(window_pool_sums(op, inputs[0], source), op.requant, result)
    starts = range(0, len(inputs[0]), FRAMES_AT_ONCE)
    parts = [_values(graph, op, [codes[start : start + FRAMES_AT_ONCE] for codes in inputs]) for start in starts]
    return np.concatenate(parts)


def _values(graph: Graph, op: Op, inputs: list[Codes]) -> Codes:
    """An operator that makes one value of one value, on some values of a series."""
    sources = [graph.tensors[name] for name in op.inputs]
    result = graph.tensors[op.output]
    match op:
        case Conv2d():
            return conv2d(op, inputs[0], sources[0], result)
        case Table():
            return table(op, inputs[0], sources[0], result)
        case MaxPool2d():
            return max_pool2d(op, inputs[0], sources[0], result)
        case Add():
            return add(op, inputs[0], inputs[1], sources[0], sources[1], result)
        case Multiply():
            return multiply(op, inputs[0], inputs[1], sources[0], sources[1], result)
        case StripPool():
            return strip_pool(op, inputs[0], sources[0], result)
        case PowerPool():
            return power_pool(op, inputs[0], result)
        case PartLinear():
            return part_linear(op, inputs[0], sources[0], result)
        case Concat():
            return np.concatenate(inputs, axis=1)
        case RowSlice():
            return inputs[0][:, op.start : op.stop]
    raise TypeError(f"the reference has no {type(op).__name__}")


def whole_clip(graph: Graph, clip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The frames that are computed: ``clip``, repeated end to end when it is shorter than the graph needs."""
    return np.tile(clip, (repeated(len(clip), graph.min_frames) // len(clip), 1, 1))


def trace(graph: Graph, clip: NDArray[np.uint8]) -> dict[str, Codes]:
    """Every tensor of one clip [frames, H, W]: frame tensors are series [values, ...], clip tensors [1, ...]."""
    tensors = {graph.input: input_codes(whole_clip(graph, clip))}
    for op in graph.ops:
        tensors[op.output] = execute(graph, op, [tensors[name] for name in op.inputs])
    return tensors


class Reference:
    """The ``reference`` runtime."""

    name = "reference"

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._last_reader = {name: op for op in graph.ops for name in op.inputs}

    def embed(self, clip: NDArray[np.uint8]) -> Codes:
        """Embedding codes [P, C] of one clip [frames, H, W]; memory holds the series that are still to be read."""
        live = {self.graph.input: input_codes(whole_clip(self.graph, clip))}
        for op in self.graph.ops:
            live[op.output] = execute(self.graph, op, [live[name] for name in op.inputs])
            for name in set(op.inputs):
                if self._last_reader[name] is op:
                    del live[name]
        return live[self.graph.output][0]

    def trace(self, clip: NDArray[np.uint8]) -> dict[str, Codes]:
        """Every tensor of one clip."""
        return trace(self.graph, clip)

    def embed_many(self, clips: Iterable[NDArray[np.uint8]]) -> list[Codes]:
        """One embedding a clip."""
        return [self.embed(clip) for clip in clips]
