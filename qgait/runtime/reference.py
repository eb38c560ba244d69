"""The integer graph in numpy: the definition that every other runtime is compared with.

Convolutions and matrix products run in float64 on integer values. All partial sums stay below 2**53, so the results
are exact integers, and BLAS makes them fast enough for whole data sets.
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
    Graph,
    MaxPool2d,
    Op,
    PartLinear,
    Requant,
    StripPool,
    Table,
    Tensor,
)
from qgait.fixedpoint import requantize

Codes = NDArray[np.int8]
FRAMES_AT_ONCE = 8  # bounds the im2col buffer: 8 frames of GaitBase's widest layer are 100 MB


def input_codes(frames: NDArray[np.uint8]) -> Codes:
    """Uint8 silhouettes [n, H, W] to int8 codes [n, H, W, 1]: the pixel minus 128."""
    return (frames ^ 0x80).view(np.int8)[..., np.newaxis]


def conv_columns(op: Conv2d, x: Codes, source: Tensor) -> NDArray[np.float64]:
    """Im2col: [n, H, W, I] -> [n, H', W', I * KH * KW], padded with the zero point."""
    _, kh, kw, _ = op.weight.shape
    top, left, bottom, right = op.padding
    border = ((0, 0), (top, bottom), (left, right), (0, 0))
    padded: Codes = np.pad(x, border, constant_values=np.int8(source.zero_point))
    windows = sliding_window_view(padded, (kh, kw), axis=(1, 2))[  # type: ignore[call-overload]
        :, :: op.stride[0], :: op.stride[1]
    ]
    return windows.astype(np.float64).reshape(*windows.shape[:3], -1)


def conv_matrix(op: Conv2d) -> NDArray[np.float64]:
    """The weights in the order of ``conv_columns``: [I * KH * KW, O]."""
    return op.weight.transpose(3, 1, 2, 0).reshape(-1, len(op.weight)).astype(np.float64)


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
        parts.append(strips.sum(axis=2) + count * strips.max(axis=2) - 2 * count * source.zero_point)
    return _requantized(np.concatenate(parts, axis=1), op.requant, result)


def part_linear(op: PartLinear, x: Codes, source: Tensor, result: Tensor) -> Codes:
    """[n, P, I] -> [n, P, O]."""
    acc = np.einsum("npi,pio->npo", x.astype(np.float64), op.weight.astype(np.float64), optimize=True) + op.bias
    return _requantized(acc, op.requant, result)


def _requantized(acc: NDArray[np.generic], requant: Requant, result: Tensor) -> Codes:
    return requantize(acc.astype(np.int64), requant.multiplier, requant.shift, result.zero_point, result.lo, result.hi)


def execute(graph: Graph, op: Op, inputs: list[Codes]) -> Codes:
    """One operator on batched inputs [n, ...]; a FrameMax takes n frames to 1 clip."""
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
        case FrameMax():
            return inputs[0].max(axis=0, keepdims=True)
        case StripPool():
            return strip_pool(op, inputs[0], sources[0], result)
        case PartLinear():
            return part_linear(op, inputs[0], sources[0], result)
        case Concat():
            return np.concatenate(inputs, axis=1)
    raise TypeError(f"the reference has no {type(op).__name__}")


def trace(graph: Graph, clip: NDArray[np.uint8]) -> dict[str, Codes]:
    """Every tensor of one clip [frames, H, W]: frame tensors [frames, ...], clip tensors [1, ...]."""
    tensors = {graph.input: input_codes(clip)}
    for op in graph.ops:
        tensors[op.output] = execute(graph, op, [tensors[name] for name in op.inputs])
    return tensors


class Reference:
    """The ``reference`` runtime."""

    name = "reference"

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._maxima = [op.output for op in graph.frame_ops() if isinstance(op, FrameMax)]

    def embed(self, clip: NDArray[np.uint8]) -> Codes:
        """Embedding codes [P, C] of one clip [frames, H, W], in constant memory."""
        running: dict[str, Codes] = {}
        for start in range(0, len(clip), FRAMES_AT_ONCE):
            part = {self.graph.input: input_codes(clip[start : start + FRAMES_AT_ONCE])}
            for op in self.graph.frame_ops():
                part[op.output] = execute(self.graph, op, [part[name] for name in op.inputs])
            for name in self._maxima:
                running[name] = np.maximum(running[name], part[name]) if name in running else part[name]
        for op in self.graph.clip_ops():
            running[op.output] = execute(self.graph, op, [running[name] for name in op.inputs])
        return running[self.graph.output][0]

    def trace(self, clip: NDArray[np.uint8]) -> dict[str, Codes]:
        """Every tensor of one clip."""
        return trace(self.graph, clip)

    def embed_many(self, clips: Iterable[NDArray[np.uint8]]) -> list[Codes]:
        """One embedding a clip."""
        return [self.embed(clip) for clip in clips]
