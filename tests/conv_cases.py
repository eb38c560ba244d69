"""Fused convolutions in awkward shapes, with random weights and codes that touch both ends of their range."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qgait.compiler.tvm.fusion import Group
from qgait.export.graph import Graph
from qgait.export.operators import Add, Conv2d, DepthwiseConv2d, MaxPool2d, Op, Requant, Table, Tensor
from qgait.fixedpoint import encode_multiplier
from qgait.runtime import reference

Codes = np.ndarray


@dataclass(frozen=True)
class ConvCase:
    """One convolution and what is fused behind it. ``padding`` is (top, left, bottom, right).

    ``channels``: None is a convolution channel by channel.
    """

    source: tuple[int, int, int]
    channels: int | None
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (1, 1, 1, 1)
    zero_points: tuple[int, int] = (-128, -128)
    code_range: tuple[int, int] = (-128, 127)
    add: bool = False
    table: str = ""  # "monotone" or "random"
    pool: int = 1
    gain: float = 1.0  # of the multipliers; 1 spreads the codes over their range
    bits: int = 8  # of the weights

    @property
    def _weights(self) -> tuple[int, ...]:
        depth = self.source[2]
        return (*self.kernel, depth) if self.channels is None else (self.channels, *self.kernel, depth)

    def build(self, seed: int = 0) -> tuple[Graph, Group, dict[str, Codes]]:
        """A graph whose group is the whole of it, and the codes of its tensors by the reference."""
        rng = np.random.default_rng(seed)
        height, width, depth = self.source
        tensors = {"x": Tensor("x", self.source, np.float32(1), self.zero_points[0])}
        codes = {"x": rng.choice([-128, -127, -3, 0, 5, 126, 127, *rng.integers(-128, 128, 9)], self.source)}
        kind, channels = (DepthwiseConv2d, depth) if self.channels is None else (Conv2d, self.channels)
        largest = 2 ** (self.bits - 1) - 1
        weight = rng.integers(-largest, largest + 1, self._weights).astype(np.int8)
        bias = (rng.integers(-9999, 9999, channels) * largest // 127 - self.zero_points[0] * kind.total(weight)).astype(
            np.int32
        )
        top, left, bottom, right = self.padding
        rows = (height + top + bottom - self.kernel[0]) // self.stride[0] + 1
        columns = (width + left + right - self.kernel[1]) // self.stride[1] + 1
        spread = self.gain * 90 / (74 * 74 * np.sqrt(weight.size / channels)) * (127 / largest)
        requant = Requant(*encode_multiplier((spread * rng.uniform(0.3, 3, channels)).astype(np.float32)))
        conv = kind("conv", ("x",), "conv", weight, bias, self.stride, self.padding, requant)
        ops: list[Op] = [conv]
        shape = (rows, columns, channels)
        zero, (lo, hi) = self.zero_points[1], self.code_range
        tensors["conv"] = Tensor("conv", shape, np.float32(1), zero, lo, hi)
        if self.add:
            tensors["shortcut"] = Tensor("shortcut", shape, np.float32(1), 17)
            codes["shortcut"] = rng.integers(-128, 128, shape)
            factors = (16384, 9001)
            m, s = encode_multiplier(np.array([0.8 / 16384], np.float32))
            ops.append(Add("add", ("shortcut", "conv"), "add", factors, Requant(m, s)))
            tensors["add"] = Tensor("add", shape, np.float32(1), -20, -120, 127)
        if self.table:
            entries = rng.integers(-128, 128, 256)
            entries = np.sort(entries) if self.table == "monotone" else entries
            ops.append(Table("table", (ops[-1].output,), "table", entries.astype(np.int8)))
            tensors["table"] = Tensor("table", shape, np.float32(1))
        if self.pool > 1:
            ops.append(MaxPool2d("pool", (ops[-1].output,), "pool", self.pool))
            tensors["pool"] = Tensor("pool", (rows // self.pool, columns // self.pool, channels), np.float32(1))
        graph = Graph("case", "w8a8", "x", ops[-1].output, tensors, tuple(ops))
        batch = {name: array.astype(np.int8)[np.newaxis] for name, array in codes.items()}
        for op in ops:
            batch[op.output] = reference.execute(graph, op, [batch[name] for name in op.inputs])
        return graph, Group(tuple(ops)), {name: array[0] for name, array in batch.items()}


CASES = {
    "first layer": ConvCase((13, 17, 1), 32, (5, 5), padding=(2, 2, 2, 2)),
    "first layer, stride 2": ConvCase((13, 17, 1), 16, (3, 3), (2, 2)),
    "one pixel": ConvCase((1, 1, 16), 16, (1, 1), padding=(0, 0, 0, 0)),
    "one row": ConvCase((1, 9, 32), 32),
    "one column": ConvCase((9, 1, 32), 16),
    "rows of 16": ConvCase((6, 7, 16), 32),
    "rows of 48": ConvCase((5, 23, 48), 48, zero_points=(3, -7)),
    "stride 2": ConvCase((12, 14, 32), 64, stride=(2, 2)),
    "stride 2 of odd sizes": ConvCase((11, 13, 16), 16, stride=(2, 2)),
    "stride 3 by 2": ConvCase((16, 15, 16), 16, (3, 3), (3, 2), (2, 1, 0, 1)),
    "stride beyond the kernel": ConvCase((9, 11, 16), 16, (1, 1), (2, 2), (0, 0, 0, 0)),
    "no padding": ConvCase((8, 9, 32), 16, padding=(0, 0, 0, 0)),
    "padding on one side": ConvCase((8, 9, 16), 16, padding=(0, 2, 1, 0), zero_points=(-9, 4)),
    "padding wider than the kernel": ConvCase((3, 3, 16), 16, padding=(4, 4, 4, 4), zero_points=(11, 0)),
    "kernel 5": ConvCase((7, 8, 16), 16, (5, 5), padding=(2, 2, 2, 2)),
    "kernel 1 by 3": ConvCase((7, 8, 32), 16, (1, 3), padding=(0, 1, 0, 1)),
    "kernel 4 by 2": ConvCase((7, 8, 16), 16, (4, 2), padding=(1, 0, 2, 1)),
    "3 channels": ConvCase((9, 8, 3), 16),
    "5 to 7 channels": ConvCase((6, 9, 5), 7),
    "24 to 40 channels": ConvCase((6, 9, 24), 40, zero_points=(0, 0), code_range=(-8, 7)),
    "90 output channels": ConvCase((5, 6, 16), 90),
    "narrow range": ConvCase((6, 7, 16), 16, zero_points=(-128, 5), code_range=(-3, 40)),
    "multipliers near 1": ConvCase((6, 7, 16), 16, gain=300),
    "multipliers above 1": ConvCase((6, 7, 16), 32, gain=20000),
    "multipliers of nothing": ConvCase((6, 7, 16), 16, gain=1e-5),
    "shortcut": ConvCase((6, 7, 16), 32, add=True, zero_points=(-128, 5)),
    "shortcut, odd channels": ConvCase((6, 7, 16), 27, add=True, code_range=(-100, 90)),
    "monotone table": ConvCase((6, 7, 16), 32, table="monotone"),
    "any table": ConvCase((6, 7, 16), 24, table="random"),
    "pooling": ConvCase((6, 9, 16), 32, pool=2),
    "pooling of 3": ConvCase((7, 10, 16), 16, pool=3),
    "monotone table and pooling": ConvCase((7, 9, 16), 32, table="monotone", pool=2),
    "any table and pooling": ConvCase((8, 12, 32), 32, table="random", pool=2),
    "everything": ConvCase((9, 13, 32), 48, add=True, table="random", pool=2, stride=(2, 1)),
}
