"""The reference against definitions written out in Python integers, one output at a time."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from example_graphs import silhouettes, tiny_graph
from hand_graph import tie_clip, tie_graph
from parity import assert_codes_equal
from unbounded_rule import rescaled

from qgait.export.graph import Graph
from qgait.export.operators import (
    Add,
    Concat,
    Conv2d,
    FrameMax,
    MaxPool2d,
    Op,
    PartLinear,
    StripPool,
    Table,
)
from qgait.runtime.reference import FRAMES_AT_ONCE, Reference, input_codes, trace

Values = dict[str, np.ndarray]


def conv_acc(op: Conv2d, x: np.ndarray, zero_point: int, index: tuple[int, ...]) -> int:
    """From the real definition: weights times centred codes, with the zero-point term taken out of the bias."""
    row, column, out = index
    _, kh, kw, channels = op.weight.shape
    acc = int(op.bias[out]) + zero_point * int(op.weight[out].astype(int).sum())
    for i, j in itertools.product(range(kh), range(kw)):
        y, z = row * op.stride[0] + i - op.padding[0], column * op.stride[1] + j - op.padding[1]
        if 0 <= y < x.shape[0] and 0 <= z < x.shape[1]:
            acc += sum(int(op.weight[out, i, j, c]) * (int(x[y, z, c]) - zero_point) for c in range(channels))
    return acc


def strip_acc(op: StripPool, x: np.ndarray, zero_point: int, index: tuple[int, ...]) -> int:
    part, channel = index
    for bins in op.bins:
        if part < bins:
            rows = x.shape[0] // bins
            strip = [int(v) - zero_point for v in x[part * rows : (part + 1) * rows, :, channel].ravel()]
            return sum(strip) + len(strip) * max(strip)
        part -= bins
    raise IndexError(index)


def one_code(graph: Graph, op: Op, inputs: list[np.ndarray], index: tuple[int, ...]) -> int:
    """One output of one operator for the tensors of one frame or clip."""
    sources, result = [graph.tensors[name] for name in op.inputs], graph.tensors[op.output]
    x = inputs[0]
    match op:
        case Conv2d():
            return rescaled(conv_acc(op, x, sources[0].zero_point, index), op.requant, index, result)
        case Table():
            return int(op.table[int(x[index]) + 128])
        case MaxPool2d():
            row, column, channel = index
            k = op.kernel
            return max(int(x[k * row + i, k * column + j, channel]) for i, j in itertools.product(range(k), range(k)))
        case Add():
            terms = zip(op.factors, inputs, sources, strict=True)
            acc = sum(factor * (int(codes[index]) - source.zero_point) for factor, codes, source in terms)
            return rescaled(acc, op.requant, index, result)
        case StripPool():
            return rescaled(strip_acc(op, x, sources[0].zero_point, index), op.requant, index, result)
        case PartLinear():
            part, out = index
            zero_point = sources[0].zero_point
            column = op.weight[part, :, out]
            acc = int(op.bias[part, out]) + zero_point * int(column.astype(int).sum())
            acc += sum(int(w) * (int(v) - zero_point) for w, v in zip(column, x[part], strict=True))
            return rescaled(acc, op.requant, index, result)
        case Concat():
            first = index[0]
            for codes in inputs:
                if first < len(codes):
                    return int(codes[(first, *index[1:])])
                first -= len(codes)
    raise TypeError(op)


def indices(shape: tuple[int, ...], rng: np.random.Generator) -> list[tuple[int, ...]]:
    """All outputs of a small tensor; every corner and 300 others of a large one."""
    everything = list(itertools.product(*map(range, shape)))
    if len(everything) <= 400:
        return everything
    corners = list(itertools.product(*((0, size - 1) for size in shape)))
    return corners + [everything[i] for i in rng.integers(0, len(everything), 300)]


@pytest.mark.parametrize("seed", [0, 1])
def test_every_operator_by_its_definition(seed: int) -> None:
    graph = tiny_graph(seed)
    values = trace(graph, silhouettes(2, seed + 9, 16, 12))
    rng = np.random.default_rng(seed)
    kinds = set()
    for op in graph.ops:
        kinds.add(type(op))
        got = values[op.output]
        assert got.dtype == np.int8 and got.min() != got.max(), op.name
        if isinstance(op, FrameMax):
            np.testing.assert_array_equal(got[0], np.maximum(*values[op.inputs[0]]))
            continue
        which = len(got) - 1  # the last frame, or the clip
        for index in indices(graph.tensors[op.output].shape, rng):
            inputs = [values[name][which] for name in op.inputs]
            assert got[which][index] == one_code(graph, op, inputs, index), (op.name, index)
    assert kinds == {Conv2d, Table, MaxPool2d, Add, FrameMax, StripPool, PartLinear, Concat}


@pytest.mark.parametrize("zero_point", [0, -128, 17])
def test_ties_by_their_definition(zero_point: int) -> None:
    graph, clip = tie_graph(zero_point), tie_clip()
    values = trace(graph, clip)
    conv = graph.ops[0]
    assert isinstance(conv, Conv2d)
    codes = values["silhouette"][0]
    accs = [conv_acc(conv, codes, -128, index) for index in np.ndindex(8, 6, 4)]
    assert sum(acc % 2 for acc in accs) > 20 and min(accs) < -100  # halved: odd ones are ties, many are negative
    for op in graph.ops[0], graph.ops[2], graph.ops[3]:
        inputs = [values[name][0] for name in op.inputs]
        expected = [one_code(graph, op, inputs, index) for index in np.ndindex(graph.tensors[op.output].shape)]
        assert_codes_equal(values[op.output][0].ravel(), np.array(expected, np.int8), op.name)
    assert {values["conv"].min(), values["conv"].max()} == {-128, 127}  # saturates at both ends


def test_a_pixel_becomes_the_code_128_below_it() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    np.testing.assert_array_equal(input_codes(pixels)[0, :, :, 0].ravel(), np.arange(-128, 128))


@pytest.mark.parametrize("frames", [1, 2, FRAMES_AT_ONCE, FRAMES_AT_ONCE + 1, 2 * FRAMES_AT_ONCE + 3])
def test_the_embedding_equals_the_trace(frames: int) -> None:
    graph = tiny_graph()
    clip = silhouettes(frames, 5, 16, 12)
    assert_codes_equal(Reference(graph).embed(clip), trace(graph, clip)[graph.output][0])


def test_the_order_of_frames_does_not_matter_and_the_frames_do() -> None:
    graph = tiny_graph()
    runtime = Reference(graph)
    clip = silhouettes(12, 6, 16, 12)
    once, turned, fewer = runtime.embed_many([clip, clip[::-1], clip[:3]])
    assert_codes_equal(turned, once)
    assert np.any(fewer != once)
