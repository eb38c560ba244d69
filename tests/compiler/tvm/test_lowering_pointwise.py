"""Kernels of windows, products, slices, generalized means and plain means, alone, on codes of every kind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from kernel_driver import run_kernels

from qgait.compiler.tvm.fusion import Group
from qgait.compiler.tvm.lowering import kernel_of
from qgait.compiler.tvm.program import Kernel
from qgait.export.graph import Graph
from qgait.export.operators import (
    FrameWindow,
    Multiply,
    Op,
    PowerPool,
    Requant,
    RowSlice,
    StripPool,
    Tensor,
    WindowMax,
    WindowPool,
)
from qgait.fixedpoint import encode_multiplier
from qgait.runtime import reference
from qgait.targets.processors import Target, find

MAP, PARTS = (6, 5, 12), (7, 24)
TARGETS = [find(name) for name in ("host", "arm", "armv7")]


def rule(shape: tuple[int, ...], around: float, seed: int = 0) -> Requant:
    m, s = encode_multiplier((np.random.default_rng(seed).uniform(0.5, 1.5, shape) * around).astype(np.float32))
    return Requant(m, s)


def codes(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Noise of all codes with both extremes."""
    found = np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)
    found.flat[:2] = (-128, 127)
    return found


def made_of(
    op: Op, shapes: list[tuple[int, ...]], shape: tuple[int, ...], zero_point: int = -17, **bounds: int
) -> Graph:
    tensors = [Tensor(name, of, np.float32(1), -17) for name, of in zip(op.inputs, shapes, strict=True)]
    result = Tensor(op.output, shape, np.float32(1), **{"zero_point": -3, "lo": -120, "hi": 111} | bounds)
    return Graph("one", "w8a8", op.inputs[0], op.output, {t.name: t for t in (*tensors, result)}, (op,))


def power_pool(rows: tuple[int, ...], count: int) -> PowerPool:
    """Tables whose sums reach 2**53 on the largest code, which passes every threshold."""
    levels = np.arange(256.0)
    powers = [np.floor((2**53 - 1) / (height * MAP[1]) * (levels / 255) ** 3) for height in rows]
    top = np.array([of.max() * height * MAP[1] for of, height in zip(powers, rows, strict=True)])
    steps = np.floor(top[:, None] * np.linspace(0.001, 1, count) ** 3)
    return PowerPool(f"{count} steps", ("x",), "y", rows, np.array(powers).astype(np.int64), steps.astype(np.int64))


CASES: list[tuple[Op, list[tuple[int, ...]], tuple[int, ...], dict[str, int]]] = [
    (Multiply("map times map", ("a", "b"), "y", rule((1,), 0.01)), [MAP, MAP], MAP, {}),
    (Multiply("map times one row", ("a", "b"), "y", rule((1,), 0.01)), [MAP, (1, 12)], MAP, {}),
    (Multiply("parts times parts", ("a", "b"), "y", rule((7, 1), 0.01)), [PARTS, PARTS], PARTS, {}),
    (RowSlice("rows", ("x",), "y", 2, 5), [MAP], (3, 5, 12), {"lo": -128, "hi": 127}),
    (StripPool("means", ("x",), "y", (3, 1), rule((4, 1), 0.08), "mean"), [MAP], (4, 12), {}),
    (power_pool((1, 2, 3), 255), [MAP], (3, 12), {"lo": -128, "hi": 127, "zero_point": -128}),
    (power_pool((5, 1), 8), [MAP], (2, 12), {"lo": 0, "hi": 8, "zero_point": 0}),
]
WINDOWS: list[tuple[Op, tuple[int, ...], tuple[int, ...]]] = [
    (FrameWindow("three maps", ("x",), "y", 3, 1, 1), MAP, (6, 5, 36)),
    (FrameWindow("four parts", ("x",), "y", 4, 1, 2), (7, 3), (7, 12)),
    (WindowMax("maximum of five", ("x",), "y", 5, 1, 2), MAP, MAP),
    (WindowPool("five maps", ("x",), "y", 5, rule((1,), 0.1)), MAP, MAP),
    (WindowPool("three parts", ("x",), "y", 3, rule((7, 1), 0.2)), PARTS, PARTS),
]


class Alone:
    """Kernels under new names, so that one program runs all of them on their own inputs."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.kernels: list[Kernel] = []
        self.tensors: dict[str, Tensor] = {}
        self.given: dict[str, np.ndarray] = {}
        self.wanted: dict[str, np.ndarray] = {}

    def add(self, graph: Graph, given: list[np.ndarray], wanted: np.ndarray) -> None:
        kernel, _ = kernel_of(Group(graph.ops), graph, self.target)
        output = f"out{len(self.kernels)}"
        inputs = tuple(f"{output}_{i}" for i in range(len(given)))
        assert kernel.prototype().count("const int8_t *") >= len(given)
        for name, array in zip(inputs, given, strict=True):
            self.tensors[name], self.given[name] = Tensor(name, array.shape, np.float32(1)), array
        self.tensors[output] = replace(graph.tensors[graph.output], name=output)
        self.wanted[output] = wanted
        self.kernels.append(replace(kernel, symbol=output, inputs=inputs, output=output, neighbours=0))

    def check(self) -> None:
        graph = Graph("alone", "w8a8", "", "", self.tensors, ())
        found = run_kernels(self.kernels, graph, self.target, self.given)
        for kernel in self.kernels:
            np.testing.assert_array_equal(found[kernel.output], self.wanted[kernel.output], err_msg=str(kernel.ops))


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_kernels_of_one_value(target: Target) -> None:
    alone = Alone(target)
    for number, (op, shapes, shape, bounds) in enumerate(CASES):
        graph = made_of(op, shapes, shape, **bounds)
        given = [codes(of, 9 * number + i) for i, of in enumerate(shapes)]
        if isinstance(op, PowerPool):
            given[0][:, :, 0] = 127  # the largest sum
            given[0][:, :, 1] = -128
        wanted = reference.execute(graph, op, [array[np.newaxis] for array in given])[0]
        assert len(np.unique(wanted)) > 3
        alone.add(graph, given, wanted)
    alone.check()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_kernels_of_windows(target: Target) -> None:
    """At the beginning of a clip, in its middle and at its end; missing values come as copies and are marked."""
    alone, frames = Alone(target), 6
    for number, (op, shape, result) in enumerate(WINDOWS):
        keeps = not isinstance(op, WindowPool)
        graph = made_of(op, [shape], result, **({"lo": -128, "hi": 127, "zero_point": -17} if keeps else {}))
        series = codes((frames, *shape), 50 + number)
        wanted = reference.execute(graph, op, [series])
        size, _, padding = op.window or (0, 0, 0)
        for value in (0, 1, len(wanted) // 2, len(wanted) - 1):
            looked = np.arange(value - padding, value - padding + size)
            present = np.where((looked >= 0) & (looked < frames), -1, 0).astype(np.int8)
            values = series[np.clip(looked, 0, frames - 1)]
            alone.add(graph, [*values, present], wanted[value])
    alone.check()
