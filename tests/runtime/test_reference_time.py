"""Operators over time, over regions and products, against definitions written out in Python integers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from example_graphs import parts_graph, silhouettes, temporal_graph
from graph_builder import GraphBuilder
from parity import assert_codes_equal
from random_graphs import random_temporal_graph
from unbounded_rule import rescaled

from qgait.export.graph import Graph
from qgait.export.operators import (
    FrameWindow,
    Multiply,
    Op,
    PowerPool,
    RowSlice,
    StripPool,
    WindowMax,
    WindowPool,
)
from qgait.export.timing import repeated
from qgait.runtime.reference import Reference, trace

Index = tuple[int, ...]


def seen(op: Op, value: int, length: int) -> list[int | None]:
    """The indices that value ``value`` of a window looks at; None where there is no such value."""
    window = op.window
    assert window is not None
    size, stride, padding = window
    places = [value * stride - padding + i for i in range(size)]
    return [place if 0 <= place < length else None for place in places]


def one_code(graph: Graph, op: Op, inputs: list[np.ndarray], value: int, index: Index) -> int | None:
    """Output ``index`` of value ``value`` from whole input series; None for operators that are not of this test."""
    sources, result = [graph.tensors[name] for name in op.inputs], graph.tensors[op.output]
    zero, x = sources[0].zero_point, inputs[0]
    match op:
        case FrameWindow():
            channels = x.shape[-1]
            place = seen(op, value, len(x))[index[-1] // channels]
            return zero if place is None else int(x[(place, *index[:-1], index[-1] % channels)])
        case WindowMax():
            return max(int(x[(place, *index)]) for place in seen(op, value, len(x)) if place is not None)
        case WindowPool():
            there = [int(x[(place, *index)]) - zero for place in seen(op, value, len(x)) if place is not None]
            return rescaled(sum(there) + op.size * max(there), op.requant, index, result)
        case RowSlice():
            return int(x[(value, op.start + index[0], *index[1:])])
        case PowerPool():
            region, channel = index
            first = sum(op.rows[:region])
            pixels = x[value, first : first + op.rows[region], :, channel].ravel()
            acc = sum(int(op.powers[region, int(code) + 128]) for code in pixels)
            return result.lo + sum(int(threshold) <= acc for threshold in op.thresholds[region])
        case Multiply():
            other = index if inputs[1].ndim == x.ndim else (0, index[2])
            factor = int(inputs[1][(value, *other)]) - sources[1].zero_point
            return rescaled((int(x[(value, *index)]) - zero) * factor, op.requant, index, result)
        case StripPool():
            assert len(op.bins) == 1  # in these graphs
            rows = x.shape[1] // op.bins[0]
            strip = x[value, index[0] * rows : (index[0] + 1) * rows, :, index[1]].ravel().astype(int) - zero
            acc = sum(map(int, strip)) + (len(strip) * int(max(strip)) if op.kind == "mean_max" else 0)
            return rescaled(acc, op.requant, index, result)
    return None


@pytest.mark.parametrize("frames", [1, 4, 8])
@pytest.mark.parametrize("make", [temporal_graph, parts_graph])
def test_every_operator_by_its_definition(make, frames: int) -> None:  # type: ignore[no-untyped-def]
    graph = make(frames)
    values = trace(graph, silhouettes(frames, frames, 16, 12))
    rng = np.random.default_rng(frames)
    compared = 0
    for op in graph.ops:
        inputs, got = [values[name] for name in op.inputs], values[op.output]
        everything = list(itertools.product(*map(range, got.shape[1:])))
        for value in range(len(got)):
            for index in (everything[i] for i in rng.integers(0, len(everything), 25)):
                wanted = one_code(graph, op, inputs, value, index)
                if wanted is not None:
                    assert got[value][index] == wanted, (op.name, value, index)
                    compared += 1
    assert compared > 200
    kinds = {type(op) for op in temporal_graph().ops} | {type(op) for op in parts_graph().ops}
    assert kinds >= {FrameWindow, WindowMax, WindowPool, RowSlice, PowerPool, Multiply, StripPool}
    assert {op.kind for g in (temporal_graph(), parts_graph()) for op in g.ops if isinstance(op, StripPool)} == {
        "mean",
        "mean_max",
    }


GRAPHS = [temporal_graph(), parts_graph(), *(random_temporal_graph(seed) for seed in range(25))]


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.model)
def test_any_length(graph: Graph) -> None:
    """A tensor has as many values as ``timing`` says; the embedding is that of the trace."""
    found = graph.series
    height, width, _ = graph.tensors[graph.input].shape
    for frames in range(1, 13):
        clip = silhouettes(frames, frames, height, width)
        traced = trace(graph, clip)
        computed = repeated(frames, graph.min_frames)
        for name, codes in traced.items():
            assert len(codes) == (found[name].length(computed) if name in found else 1), (name, frames)
        assert_codes_equal(Reference(graph).embed(clip), traced[graph.output][0])


def test_a_short_clip_is_its_repetition() -> None:
    graph = temporal_graph()
    assert graph.min_frames == 3
    for frames, copies in ((1, 3), (2, 2)):
        clip = silhouettes(frames, 5, 16, 12)
        longer = np.concatenate([clip] * copies)
        for name, codes in trace(graph, longer).items():
            np.testing.assert_array_equal(trace(graph, clip)[name], codes, err_msg=name)
    enough = silhouettes(3, 5, 16, 12)
    assert len(trace(graph, enough)[graph.input]) == 3


def test_order_of_frames_matters() -> None:
    for graph in (temporal_graph(), parts_graph()):
        clip = silhouettes(9, 1, 16, 12)
        assert np.any(Reference(graph).embed(clip) != Reference(graph).embed(clip[::-1]))


@pytest.mark.parametrize("exponent", [1.0, 3.0, 6.5])
def test_a_power_pool_of_frames_is_a_generalized_mean(exponent: float) -> None:
    """Within half a step, where not all codes are tiny; of every frame, not only a clip."""
    builder = GraphBuilder(3, 16, 12, frames=4)
    x = builder.conv("silhouette", 6, 3)
    builder.power_pool(x, (5, 3, 8), exponent)
    (op,) = (op for op in builder.ops if isinstance(op, PowerPool))
    powers = op.powers.astype(np.float64)
    codes = builder.codes[x].astype(int)
    for region, (start, stop) in enumerate(((0, 5), (5, 8), (8, 16))):
        count = (stop - start) * 12
        unit, top = powers[region, 255], 255.0
        # the exponent that the builder drew, read from the table itself
        drawn = np.log(powers[region, 228] / unit) / np.log(228 / top)
        mean = (((codes[:, start:stop] + 128.0) ** drawn).sum(axis=(1, 2)) / count) ** (1 / drawn)
        wanted = np.clip(mean / (0.8 * top) * 255, 0, 255) - 128
        fine = codes[:, start:stop].max(axis=(1, 2)) >= 16 - 128
        assert fine.mean() > 0.6
        assert np.abs(builder.codes[op.output][:, region] - wanted)[fine].max() < 0.51
