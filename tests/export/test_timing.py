"""When values exist: checked by what the reference's values really depend on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from example_graphs import parts_graph, silhouettes, temporal_graph
from graph_builder import GraphBuilder
from random_graphs import random_temporal_graph

from qgait.export.graph import Graph
from qgait.export.timing import Series, repeated
from qgait.runtime.reference import trace

GRAPHS = [temporal_graph(), parts_graph(), *(random_temporal_graph(seed) for seed in range(20))]
FRAMES = 14


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.model)
def test_a_value_does_not_depend_on_frames_after_its_delay(graph: Graph) -> None:
    height, width, _ = graph.tensors[graph.input].shape
    clip = silhouettes(FRAMES, 1, height, width)
    whole = trace(graph, clip)
    later_matters = False
    for cut in range(FRAMES):  # frames from ``cut`` on are others
        other = clip.copy()
        other[cut:] = silhouettes(FRAMES - cut, 2, height, width)
        changed = trace(graph, other)
        for name, values in graph.series.items():
            known = [j for j in range(len(whole[name])) if j * values.stride + values.delay < cut]
            np.testing.assert_array_equal(changed[name][known], whole[name][known], err_msg=name)
            later_matters |= bool(np.any(changed[name] != whole[name]))
    assert later_matters


@pytest.mark.parametrize("make", [temporal_graph, parts_graph])
def test_the_delay_is_the_smallest_that_is_true(make) -> None:  # type: ignore[no-untyped-def]
    graph = make()
    clip = silhouettes(FRAMES, 1, 16, 12)
    whole, found = trace(graph, clip), graph.series
    for name in ("window7", "conv10", "add11", "windowmax13", "windowmax14", "add22", "conv39"):
        if make is parts_graph:
            name = {"window7": "window6", "conv10": "multiply13", "add11": "multiply21"}.get(name, "add22")
        values = found[name]
        frame = 1 * values.stride + values.delay  # the newest that value 1 needs
        other = clip.copy()
        other[frame] = np.random.default_rng(0).integers(0, 256, other[frame].shape)
        assert np.any(trace(graph, other)[name][1] != whole[name][1]), name


def test_joined_series_must_have_equal_lengths() -> None:
    builder = GraphBuilder(0, 16, 12, frames=8)
    x = builder.conv("silhouette", 4, 3)
    y = builder.window_max(x, 3, 1, 1)
    graph = builder.graph("half done")
    op = graph.ops[-1]
    builder.add(x, y)
    graph = builder.graph("joined")
    assert graph.series[graph.output] == Series(1, 0, 1)
    for change in ({"stride": 2}, {"padding": 0}, {"size": 4}):
        broken = replace(graph, ops=(graph.ops[0], replace(op, **change), graph.ops[2]))  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="add2 joins series of different lengths"):
            _ = broken.series


def test_repetition() -> None:
    assert [repeated(frames, 3) for frames in range(1, 6)] == [3, 4, 3, 4, 5]
    assert [repeated(frames, 1) for frames in range(1, 4)] == [1, 2, 3]
    assert [repeated(frames, 8) for frames in range(1, 10)] == [8, 8, 9, 8, 10, 12, 14, 8, 9]
