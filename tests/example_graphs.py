"""Integer graphs with random weights in the shapes of real backbones, for tests of writers and runtimes.

Multipliers are chosen layer by layer from the accumulators of random silhouettes, so that codes spread over their
range and saturate at both ends now and then: a runtime that clips or rounds wrongly is seen.
"""

from __future__ import annotations

import numpy as np
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
from qgait.fixedpoint import add_factors, encode_multiplier
from qgait.runtime import reference


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

    def leaky(self, x: str, zero_point: int = -120, lo: int = -128, hi: int = 127) -> str:
        source = self.tensors[x]
        real = np.arange(-128, 128) - source.zero_point
        codes = np.floor(np.where(real >= 0, real, 0.01 * real) * 0.9 + 0.5) + zero_point
        name = f"leaky{len(self.ops)}"
        op = Table(name, (x,), name, np.clip(codes, lo, hi).astype(np.int8))
        return self._finish(op, source.shape, source.per_frame, source, zero_point=zero_point, lo=lo, hi=hi)

    def rescale(self, x: str, like: Tensor) -> str:
        """A table that brings the codes of ``x`` to the scale, zero point and range of ``like``."""
        source = self.tensors[x]
        real = (np.arange(-128, 128) - source.zero_point) * float(source.scale) / float(like.scale)
        name = f"rescale{len(self.ops)}"
        codes = np.clip(np.floor(real + 0.5) + like.zero_point, like.lo, like.hi)
        op = Table(name, (x,), name, codes.astype(np.int8))
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
        real = (np.arange(-128, 128) - source.zero_point) / (-40 if flipped else 40)
        codes = np.clip(np.floor(256 / (1 + np.exp(-real)) + 0.5), 0, 255) - 128
        name = f"sigmoid{len(self.ops)}"
        scale = _scales(source, np.float32(1 / 256))
        change = {"scale": scale, "zero_point": -128, "lo": -128, "hi": 127}
        op = Table(name, (x,), name, codes.astype(np.int8))
        return self._finish(op, source.shape, source.per_frame, source, **change)

    def power_pool(self, x: str, rows: tuple[int, ...], exponent: float = 6.5, hi: int = 127) -> str:
        """Generalized mean with an exponent near ``exponent`` a region; the result has zero point and lo -128."""
        source = self.tensors[x]
        _, width, channels = source.shape
        levels = np.maximum(np.arange(-128, 128) - source.zero_point, 0)
        steps = hi + 128
        powers, thresholds = [], []
        for height in rows:
            p = exponent + self.rng.uniform(-1, 1)
            unit = (2**31 - 1) // (height * width) / (source.hi - source.zero_point) ** p
            powers.append(np.floor(unit * np.minimum(levels, source.hi - source.zero_point) ** p))
            halves = (np.arange(steps) + 0.5) / steps * (source.hi - source.zero_point) * self.rng.uniform(0.6, 0.9)
            thresholds.append(np.ceil(height * width * unit * halves**p))
        name = f"power{len(self.ops)}"
        op = PowerPool(name, (x,), name, rows, np.array(powers).astype(np.int32), np.array(thresholds).astype(np.int32))
        shape, scale = (len(rows), channels), np.full(len(rows), source.scale, np.float32)
        return self._finish(op, shape, source.per_frame, source, scale=scale, zero_point=-128, lo=-128, hi=hi)

    def graph(self, model: str, bits: str = "w8a8", min_frames: int = 1) -> Graph:
        ops, output = tuple(self.ops), self.ops[-1].output
        return Graph(model, bits, "silhouette", output, dict(self.tensors), ops, min_frames=min_frames)


def _scales(like: Tensor, scale: np.float32) -> NDArray[np.float32]:
    """``scale`` for a map, once a part for parts."""
    return np.full(like.shape[0] if len(like.shape) == 2 else (), scale, np.float32)


def _accumulators(op: Conv2d, x: NDArray[np.int8], source: Tensor, result: Tensor) -> NDArray[np.int64]:
    columns = reference.conv_columns(op, x, source)
    return (columns @ reference.conv_matrix(op) + op.bias).astype(np.int64)


def tiny_graph(seed: int = 0) -> Graph:
    """Every operator once, on 16 x 12 silhouettes; odd sizes and channel counts on purpose."""
    b = GraphBuilder(seed, 16, 12)
    x = b.pool(b.leaky(b.conv("silhouette", 8, 5, zero_point=-90)))
    early = b.frame_max(x)
    y = b.conv(x, 16, 3)
    y = b.add(y, b.conv(x, 16, 1))
    z = b.conv(y, 24, 3, stride=2)
    late = b.frame_max(z)
    branch = b.pool(b.leaky(b.conv(early, 24, 3, zero_point=-100), zero_point=-124))
    joined = b.add(late, branch)
    parts = b.concat(b.strips(late, (4, 2, 1)), b.strips(joined, (4, 2, 1)))
    b.linear(parts, 12)
    return b.graph("tiny")


def gaitset_graph(seed: int = 0, channels: tuple[int, int, int] = (32, 64, 128), bits: int = 8) -> Graph:
    """OpenGait's GaitSet for CASIA-B on 64 x 44 silhouettes."""
    b = GraphBuilder(seed)
    c1, c2, c3 = channels
    hi = 2 ** (bits - 1) - 1
    total, pooled = (-110, -128) if bits == 8 else (0, 0)  # zero points, which must lie between lo and hi
    act = {"zero_point": -124} if bits == 8 else {"zero_point": 0, "lo": -hi - 1, "hi": hi}

    def block(x: str, c: int, first: int, pool: bool) -> str:
        x = b.leaky(b.conv(x, c, first, zero_point=-90), **act)
        x = b.leaky(b.conv(x, c, 3, zero_point=-80), **act)
        return b.pool(x) if pool else x

    one = block("silhouette", c1, 5, True)
    top = block(b.frame_max(one), c2, 3, True)
    two = block(one, c2, 3, True)
    top = b.add(top, b.frame_max(two), zero_point=total)
    top = block(top, c3, 3, False)
    three = b.frame_max(block(two, c3, 3, False))
    top = b.add(top, three, zero_point=total)
    bins = (16, 8, 4, 2, 1)
    b.linear(b.concat(b.strips(three, bins, pooled), b.strips(top, bins, pooled)), 256)
    return b.graph("gaitset", f"w8a{bits}")


def gaitbase_graph(seed: int = 0, channels: tuple[int, int, int, int] = (64, 128, 256, 512)) -> Graph:
    """OpenGait's GaitBase (ResNet9) on 64 x 44 silhouettes."""
    b = GraphBuilder(seed)
    x = b.conv("silhouette", channels[0], 3)
    for c, stride in zip(channels, (1, 2, 2, 1), strict=True):
        y = b.conv(b.conv(x, c, 3, stride), c, 3, zero_point=3)
        shortcut = x if b.tensors[x].shape == b.tensors[y].shape else b.conv(x, c, 1, stride, zero_point=-7)
        x = b.add(y, shortcut)
    b.linear(b.strips(b.frame_max(x), (16,)), 256)
    return b.graph("gaitbase")


def temporal_graph(seed: int = 0) -> Graph:
    """HSTL and DeepGaitV2-3D in small: 3-D convolutions, regions of rows, gates, every third frame. 16 x 12."""
    b = GraphBuilder(seed, 16, 12, frames=8)
    x = b.leaky(b.conv(b.frame_window("silhouette"), 6, 3, zero_point=-90))
    early = b.power_pool(b.conv(b.frame_max(x), 8, 1), (16,))
    x = b.pool(x)
    y = b.conv(b.frame_window(b.conv(b.frame_window(x), 6, 3)), 6, 1, zero_point=3)
    x = b.add(y, x)  # y is known two frames after x
    gated = [_gated(b, b.rows(x, start, stop)) for start, stop in ((0, 5), (5, 8))]
    x = b.concat(*(_with_scale_of_first(b, gated)))
    bands = [b.conv(b.frame_window(b.rows(x, start, stop)), 8, 3) for start, stop in ((0, 2), (2, 8))]
    last = b.frame_max(b.concat(*_with_scale_of_first(b, bands)))
    b.linear(b.concat(early, b.power_pool(last, (1,) * 8), b.power_pool(last, (3, 5), 4.0, hi=90)), 10)
    return b.graph("temporal", min_frames=3)


def _gated(b: GraphBuilder, x: str) -> str:
    """HSTL's choice between two maxima over time, per channel: ``w * a + (1 - w) * b``; every third frame."""
    short, long = b.window_max(x, 3, 3, 0), b.window_max(x, 5, 3, 1)
    gap = b.linear(b.strips(b.add(short, long), (1,), kind="mean"), b.tensors[x].shape[2])
    return b.add(b.multiply(short, b.sigmoid(gap)), b.multiply(long, b.sigmoid(gap, flipped=True)))


def _with_scale_of_first(b: GraphBuilder, maps: list[str]) -> list[str]:
    """Tables that bring maps to one scale and range, as they must have to be joined."""
    first = b.tensors[maps[0]]
    return [b.rescale(x, first) for x in maps]


def parts_graph(seed: int = 0) -> Graph:
    """GaitPart in small: parts of every frame, convolutions over time a part, gates, maxima over frames. 16 x 12."""
    b = GraphBuilder(seed, 16, 12, frames=6)
    x = b.pool(b.leaky(b.conv("silhouette", 8, 5, zero_point=-90)))
    x = b.strips(b.leaky(b.conv(x, 12, 3, zero_point=-80)), (4,), zero_point=-120)
    templates = []
    for size, kernel in ((3, 1), (5, 3)):
        hidden = b.leaky(b.linear(b.frame_window(x), 3), zero_point=-60)
        gate = b.sigmoid(b.linear(b.frame_window(hidden, kernel), 12))
        templates.append(b.multiply(b.window_pool(x, size), gate))
    b.linear(b.frame_max(b.add(*templates)), 10)
    return b.graph("parts")
