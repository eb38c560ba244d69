"""Windows that repeat another's work are gone, and every code is what it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graph_builder import GraphBuilder, silhouettes
from quantized_backbones import folded

from qgait.export import folding
from qgait.export.checks import check_graph
from qgait.export.graph import Graph
from qgait.export.operators import FrameWindow, RowSlice
from qgait.export.shared_windows import share_windows
from qgait.runtime import reference


def kinds(graph: Graph) -> tuple[int, int]:
    """(windows, slices of rows)."""
    return tuple(sum(isinstance(op, kind) for op in graph.ops) for kind in (FrameWindow, RowSlice))  # type: ignore[return-value]


def traced(graph: Graph) -> dict[str, np.ndarray]:
    height, width, _ = graph.tensors[graph.input].shape
    return reference.trace(graph, silhouettes(5, 3, height, width))


def assert_same(one: Graph, other: Graph) -> None:
    """Every tensor that both have, the embedding among them, which is not constant."""
    before, after = traced(one), traced(other)
    assert len(np.unique(before[one.output])) > 10
    for name in after:
        np.testing.assert_array_equal(before[name], after[name], err_msg=name)


def bands(extra_slice: bool = False, padding: int = 1, late: bool = False) -> Graph:
    """A convolution over time of a whole map, and one of each of two bands of its rows; 16 x 12."""
    b = GraphBuilder(0, 16, 12, frames=6)
    x = b.conv("silhouette", 5, 3, zero_point=-7)

    def local() -> str:
        rows = [b.rows(x, start, stop) for start, stop in ((0, 6), (6, 16))]
        parts = [b.conv(b.frame_window(part, 3, 1, 1), 6, 3) for part in rows]
        if extra_slice:
            parts[1] = b.add(parts[1], b.conv(rows[1], 6, 3))
        return b.concat(*(b.rescale(part, b.tensors[parts[0]]) for part in parts))

    before = local() if late else ""
    whole = b.conv(b.frame_window(x, 2 * padding + 1, 1, padding), 6, 3)
    b.linear(b.strips(b.frame_max(b.add(whole, before or local())), (4,)), 9)
    return b.graph("bands")


def test_windows_over_rows_become_rows_of_the_window() -> None:
    graph = bands()
    shared = share_windows(graph)
    check_graph(shared)
    assert kinds(graph) == (3, 2)
    assert kinds(shared) == (1, 2)
    assert_same(graph, shared)


def test_a_slice_stays_that_somebody_else_reads() -> None:
    graph = bands(extra_slice=True)
    shared = share_windows(graph)
    check_graph(shared)
    assert kinds(shared) == (1, 3)
    assert_same(graph, shared)


@pytest.mark.parametrize("graph", [bands(padding=2), bands(late=True)], ids=["another size", "before the whole"])
def test_other_windows_are_left_alone(graph: Graph) -> None:
    assert [op.inputs for op in share_windows(graph).ops] == [op.inputs for op in graph.ops]
    assert kinds(share_windows(graph)) == (3, 2)


def test_equal_windows_are_one_and_so_are_those_behind_them() -> None:
    b = GraphBuilder(1, 16, 12, frames=6)
    x = b.conv("silhouette", 4, 3, zero_point=11)
    twice = [b.frame_window(b.frame_window(x, 3, 1, 1), 3, 3, 0) for _ in range(2)]
    b.linear(b.strips(b.frame_max(b.add(b.conv(twice[0], 6, 3), b.conv(twice[1], 6, 3))), (4,)), 9)
    graph = b.graph("twice", min_frames=3)
    shared = share_windows(graph)
    check_graph(shared)
    assert (kinds(graph), kinds(shared)) == ((4, 0), (2, 0))
    assert_same(graph, shared)


@pytest.mark.parametrize(("name", "windows"), [("gaitgl", 5), ("gaitgl-(2,3,4,5)", 9), ("gaitpart", 2)])
def test_exported_networks_have_each_window_once(name: str, windows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = folded(name)
    monkeypatch.setattr(folding, "share_windows", lambda graph: graph)
    graph = folded.__wrapped__(name)
    assert kinds(shared)[0] == windows < kinds(graph)[0]
    assert_same(graph, shared)


def test_rows_of_another_place_are_seen() -> None:
    graph = bands()
    shared = share_windows(graph)
    wrong = [replace(op, start=7, stop=13) if isinstance(op, RowSlice) and op.start == 0 else op for op in shared.ops]
    with pytest.raises(AssertionError):
        assert_same(graph, replace(shared, ops=tuple(wrong)))
