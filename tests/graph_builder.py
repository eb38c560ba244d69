"""Builds integer graphs with random weights, layer by layer.

Multipliers are chosen layer by layer from the accumulators of random silhouettes, so that codes spread over their
range and saturate at both ends now and then: a runtime that clips or rounds wrongly is seen.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pointwise_tables import leaky_codes, power_tables, rescaled_codes, sigmoid_codes

from qgait.export.graph import Graph
from qgait.export.operators import (
    Add,
    Concat,
    Conv2d,
    DepthwiseConv2d,
    FrameMax,
    FrameWindow,
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
from qgait.fixedpoint import add_factors, encode_multiplier
from qgait.runtime import reference
from qgait.runtime.reference_operators import conv_columns, conv_matrix


def silhouettes(frames: int, seed: int = 0, height: int = 64, width: int = 44) -> NDArray[np.uint8]:
    """Blobs of about a person's size with soft edges, uint8 [frames, height, width]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / np.array([height, width]).reshape(2, 1, 1)
    clips = []
    for _ in range(frames):
        cx, cy, rx, ry = rng.uniform([0.4, 0.4, 0.12, 0.35], [0.6, 0.6, 0.25, 0.5])
        distance = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 + 0.15 * np.sin(9 * y + rng.uniform(0, 6))
        clips.append(np.clip((1.1 - distance) * 500, 0, 255))
    return np.stack(clips).astype(np.uint8)


class GraphBuilder:
    """Adds one random layer at a time and runs it, so that the next one gets realistic codes."""

    def __init__(self, seed: int, height: int = 64, width: int = 44, frames: int = 2) -> None:
        self.rng = np.random.default_rng(seed)
        frame = Tensor("silhouette", (height, width, 1), np.float32(1 / 255), -128)
        self.tensors = {"silhouette": frame}
        self.ops: list[Op] = []
        self.codes = {"silhouette": reference.input_codes(silhouettes(frames, seed, height, width))}

    def _finish(self, op: Op, shape: tuple[int, ...], per_frame: bool, like: Tensor, **change: object) -> str:
        fields = {"scale": like.scale, "zero_point": like.zero_point, "lo": like.lo, "hi": like.hi} | change
        self.tensors[op.output] = Tensor(op.output, shape, per_frame=per_frame, **fields)  # type: ignore[arg-type]
        self.ops.append(op)
        graph = Graph("probe", "w8a8", "silhouette", op.output, self.tensors, tuple(self.ops))
        self.codes[op.output] = reference.execute(graph, op, [self.codes[name] for name in op.inputs])
        return op.output

    def _requant(self, acc: NDArray[np.generic], spread: float, shape: tuple[int, ...]) -> tuple[Requant, np.float32]:
        wanted = np.float32(spread / (np.abs(np.asarray(acc, np.float64)).std() + 1))
        m, s = encode_multiplier((wanted * self.rng.uniform(0.6, 1.6, shape)).astype(np.float32))
        return Requant(m, s), wanted

    def conv(self, x: str, channels: int, kernel: int, stride: int = 1, zero_point: int = -128, bits: int = 8) -> str:
        source = self.tensors[x]
        height, width, inputs = source.shape
        weight = self.rng.integers(-127, 128, (channels, kernel, kernel, inputs)).astype(np.int8)
        p = kernel // 2
        size = ((height + 2 * p - kernel) // stride + 1, (width + 2 * p - kernel) // stride + 1, channels)
        lo, hi = (zero_point, zero_point + 2**bits - 1) if zero_point in (-128, 0) else (-128, 127)
        if zero_point == 0 and bits == 8:
            lo, hi = -128, 127
        name = f"conv{len(self.ops)}"
        bias = -source.zero_point * weight.astype(np.int64).sum(axis=(1, 2, 3)) + self.rng.integers(-999, 999, channels)
        probe = Tensor("probe", size, np.float32(1), 0, -128, 127)
        one = Requant(np.full(channels, 2**30, np.int32), np.full(channels, 30, np.int8))
        op = Conv2d(name, (x,), name, weight, bias.astype(np.int32), (stride, stride), (p, p, p, p), one)
        acc = _accumulators(op, self.codes[x], source, probe)
        requant, scale = self._requant(acc, (hi - lo) / 4, (channels,))
        op = Conv2d(name, (x,), name, weight, op.bias, op.stride, op.padding, requant)
        return self._finish(op, size, source.per_frame, source, scale=scale, zero_point=zero_point, lo=lo, hi=hi)

    def depthwise(self, x: str, kernel: int, stride: int = 1, zero_point: int = -128) -> str:
        source = self.tensors[x]
        height, width, channels = source.shape
        weight = self.rng.integers(-127, 128, (kernel, kernel, channels)).astype(np.int8)
        p = kernel // 2
        size = ((height + 2 * p - kernel) // stride + 1, (width + 2 * p - kernel) // stride + 1, channels)
        bias = -source.zero_point * weight.astype(np.int64).sum(axis=(0, 1)) + self.rng.integers(-99, 99, channels)
        requant, scale = self._requant(self.rng.integers(-(90**2), 90**2, 99) * kernel, 60, (channels,))
        name = f"depthwise{len(self.ops)}"
        op = DepthwiseConv2d(name, (x,), name, weight, bias.astype(np.int32), (stride, stride), (p, p, p, p), requant)
        change = {"scale": scale, "zero_point": zero_point, "lo": -128, "hi": 127}
        return self._finish(op, size, source.per_frame, source, **change)

    def leaky(self, x: str, zero_point: int = -120, lo: int = -128, hi: int = 127) -> str:
        source = self.tensors[x]
        name = f"leaky{len(self.ops)}"
        op = Table(name, (x,), name, leaky_codes(source, zero_point, lo, hi))
        return self._finish(op, source.shape, source.per_frame, source, zero_point=zero_point, lo=lo, hi=hi)

    def rescale(self, x: str, like: Tensor) -> str:
        """A table that brings the codes of ``x`` to the scale, zero point and range of ``like``."""
        source = self.tensors[x]
        name = f"rescale{len(self.ops)}"
        op = Table(name, (x,), name, rescaled_codes(source, like))
        return self._finish(op, source.shape, source.per_frame, like)

    def pool(self, x: str, kernel: int = 2) -> str:
        source = self.tensors[x]
        height, width, channels = source.shape
        name = f"pool{len(self.ops)}"
        shape = (height // kernel, width // kernel, channels)
        return self._finish(MaxPool2d(name, (x,), name, kernel), shape, source.per_frame, source)

    def frame_max(self, x: str) -> str:
        name = f"max{len(self.ops)}"
        source = self.tensors[x]
        return self._finish(FrameMax(name, (x,), name), source.shape, False, source)

    def add(self, a: str, b: str, zero_point: int = -128) -> str:
        first, second = self.tensors[a], self.tensors[b]
        name = f"add{len(self.ops)}"
        factors = add_factors(float(first.scale.flat[0]), float(second.scale.flat[0]))
        acc = factors[0] * (self.codes[a].astype(np.int64) - first.zero_point) + factors[1] * (
            self.codes[b].astype(np.int64) - second.zero_point
        )
        requant, scale = self._requant(acc, 60, (1,))
        op = Add(name, (a, b), name, factors, requant)
        return self._finish(op, first.shape, first.per_frame, first, scale=_scales(first, scale), zero_point=zero_point)

    def strips(self, x: str, bins: tuple[int, ...], zero_point: int = -128, kind: str = "mean_max") -> str:
        source = self.tensors[x]
        height, width, channels = source.shape
        parts = sum(bins)
        count = np.repeat([height * width // b for b in bins], bins)[:, None]
        m, s = encode_multiplier((self.rng.uniform(0.3, 0.6, (parts, 1)) / count).astype(np.float32))
        name = f"strips{len(self.ops)}"
        op = StripPool(name, (x,), name, bins, Requant(m, s), kind)
        scale = np.ones(parts, np.float32)
        return self._finish(op, (parts, channels), source.per_frame, source, scale=scale, zero_point=zero_point)

    def linear(self, x: str, channels: int) -> str:
        source = self.tensors[x]
        parts, inputs = source.shape
        weight = self.rng.integers(-127, 128, (parts, inputs, channels)).astype(np.int8)
        bias = (-source.zero_point * weight.astype(np.int64).sum(axis=1)).astype(np.int32)
        acc = np.einsum("npi,pio->npo", self.codes[x].astype(np.float64), weight.astype(np.float64)) + bias
        requant, _ = self._requant(acc, 50, (parts, channels))
        name = f"linear{len(self.ops)}"
        op = PartLinear(name, (x,), name, weight, bias, requant)
        return self._finish(op, (parts, channels), source.per_frame, source, zero_point=0, lo=-128, hi=127)

    def concat(self, *inputs: str) -> str:
        name = f"concat{len(self.ops)}"
        first = self.tensors[inputs[0]]
        rows = sum(self.tensors[x].shape[0] for x in inputs)
        scale = first.scale if first.scale.ndim == 0 else np.concatenate([self.tensors[x].scale for x in inputs])
        return self._finish(Concat(name, inputs, name), (rows, *first.shape[1:]), first.per_frame, first, scale=scale)

    def rows(self, x: str, start: int, stop: int) -> str:
        source = self.tensors[x]
        name = f"rows{len(self.ops)}"
        shape = (stop - start, *source.shape[1:])
        return self._finish(RowSlice(name, (x,), name, start, stop), shape, source.per_frame, source)

    def frame_window(self, x: str, size: int = 3, stride: int = 1, padding: int | None = None) -> str:
        source = self.tensors[x]
        name = f"window{len(self.ops)}"
        op = FrameWindow(name, (x,), name, size, stride, size // 2 if padding is None else padding)
        return self._finish(op, (*source.shape[:-1], size * source.shape[-1]), True, source)

    def window_max(self, x: str, size: int, stride: int, padding: int) -> str:
        name = f"windowmax{len(self.ops)}"
        source = self.tensors[x]
        return self._finish(WindowMax(name, (x,), name, size, stride, padding), source.shape, True, source)

    def window_pool(self, x: str, size: int = 3, zero_point: int = -128) -> str:
        source = self.tensors[x]
        shape = (1,) if len(source.shape) == 3 else (source.shape[0], 1)
        m, s = encode_multiplier((self.rng.uniform(0.4, 0.8, shape) / size).astype(np.float32))
        name = f"windowpool{len(self.ops)}"
        return self._finish(
            WindowPool(name, (x,), name, size, Requant(m, s)), source.shape, True, source, zero_point=zero_point
        )

    def multiply(self, a: str, b: str, zero_point: int = -128) -> str:
        first, second = self.tensors[a], self.tensors[b]
        name = f"multiply{len(self.ops)}"
        largest = 127.0 * (second.hi - second.zero_point)
        shape = (1,) if len(first.shape) == 3 else (first.shape[0], 1)
        m, s = encode_multiplier((self.rng.uniform(80, 160, shape) / largest).astype(np.float32))
        op = Multiply(name, (a, b), name, Requant(m, s))
        return self._finish(op, first.shape, first.per_frame, first, zero_point=zero_point, lo=-128, hi=127)

    def sigmoid(self, x: str, flipped: bool = False) -> str:
        """A gate, codes -128..127 of 0..255 / 256; ``flipped`` is 1 - sigmoid."""
        source = self.tensors[x]
        name = f"sigmoid{len(self.ops)}"
        scale = _scales(source, np.float32(1 / 256))
        change = {"scale": scale, "zero_point": -128, "lo": -128, "hi": 127}
        op = Table(name, (x,), name, sigmoid_codes(source, -40 if flipped else 40))
        return self._finish(op, source.shape, source.per_frame, source, **change)

    def power_pool(self, x: str, rows: tuple[int, ...], exponent: float = 6.5, hi: int = 127) -> str:
        """Generalized mean with an exponent near ``exponent`` a region; the result has zero point and lo -128."""
        source = self.tensors[x]
        exponents = exponent + self.rng.uniform(-1, 1, len(rows))
        powers, thresholds = power_tables(source, rows, exponents, hi + 128)
        name = f"power{len(self.ops)}"
        op = PowerPool(name, (x,), name, rows, powers, thresholds)
        shape, scale = (len(rows), source.shape[2]), np.full(len(rows), source.scale, np.float32)
        return self._finish(op, shape, source.per_frame, source, scale=scale, zero_point=-128, lo=-128, hi=hi)

    def graph(self, model: str, bits: str = "w8a8", min_frames: int = 1) -> Graph:
        ops, output = tuple(self.ops), self.ops[-1].output
        return Graph(model, bits, "silhouette", output, dict(self.tensors), ops, min_frames=min_frames)


def _scales(like: Tensor, scale: np.float32) -> NDArray[np.float32]:
    """``scale`` for a map, once a part for parts."""
    return np.full(like.shape[0] if len(like.shape) == 2 else (), scale, np.float32)


def _accumulators(op: Conv2d, x: NDArray[np.int8], source: Tensor, result: Tensor) -> NDArray[np.int64]:
    columns = conv_columns(op, x, source)
    return (columns @ conv_matrix(op) + op.bias).astype(np.int64)
