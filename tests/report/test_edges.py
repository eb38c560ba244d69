from __future__ import annotations

import re

import pytest
from example_graphs import gaitbase_graph, gaitset_graph

from qgait.export.graph import Graph
from qgait.report.edges import Edge, route, svg, width
from qgait.report.network import boxes


def routed(graph: Graph) -> tuple[list[Edge], int, int]:
    found = boxes(graph, {})
    frame = sum(box.per_frame for box in found)
    rows = [i + 1 if i < frame else i + 2 for i in range(len(found))]
    return route([box.inputs for box in found], rows, frame + 1), frame + 1, len(found) + 2


@pytest.mark.parametrize("make", [gaitset_graph, gaitbase_graph])
def test_every_edge_is_drawn_once_and_lanes_do_not_meet(make: object) -> None:
    graph: Graph = make()  # type: ignore[operator]
    edges, cut, rows = routed(graph)
    wanted = {(source, i) for i, box in enumerate(boxes(graph, {})) for source in box.inputs}
    assert len(edges) == len(wanted) == len({(edge.start, edge.end) for edge in edges})
    for a in edges:
        assert (a.lane is None) == (a.end == a.start + 1)
        assert a.crosses == (a.start < cut < a.end)
        for b in edges:
            if a is not b and a.lane is not None and a.lane == b.lane:
                assert a.end <= b.start or b.end <= a.start
    for row in range(rows):
        drawing = svg(edges, row, 58, 12)
        assert len(re.findall("<g", drawing)) == sum(edge.start <= row <= edge.end for edge in edges)
        assert f'viewBox="0 {row * 58} ' in drawing


def test_the_state_crosses_the_cut() -> None:
    edges, _, _ = routed(gaitset_graph())
    assert sum(edge.crosses for edge in edges) == 4  # the last maximum feeds the strips and the other branch
    edges, _, _ = routed(gaitbase_graph())
    assert sum(edge.crosses for edge in edges) == 1


def test_a_chain_needs_no_lane() -> None:
    edges = route([(-1,), (0,), (1,)], [1, 2, 3], 9)
    assert [edge.lane for edge in edges] == [None] * 3 and not any(edge.crosses for edge in edges)
    assert width(edges) < width(route([(-1,), (-1, 0)], [1, 2], 9))
