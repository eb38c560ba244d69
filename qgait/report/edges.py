"""The lines beside the boxes: every edge of the network, drawn in a gutter as inline SVG.

Boxes are rows of one height. An edge to the next row is a short vertical line; any other one leaves its box to the
left, runs down a lane of its own, and enters its reader from the left with an arrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LANE = 13  # pixels between lanes
EDGE = 10  # pixels between the last lane and the boxes


@dataclass(frozen=True)
class Edge:
    """From row ``start`` to row ``end``, in ``lane`` 0 (nearest the boxes) or further out; None: to the next row."""

    start: int
    end: int
    lane: int | None
    crosses: bool


def route(inputs: Sequence[Sequence[int]], rows: Sequence[int], cut: int) -> list[Edge]:
    """Edges of boxes whose sources are ``inputs`` (box numbers, -1 the silhouette in row 0) placed in ``rows``.

    Edges from above row ``cut`` to below it are marked. Short edges get the inner lanes; two edges share a lane only
    where they do not meet.
    """
    place = {-1: 0} | dict(enumerate(rows))
    wanted = sorted(
        {(place[source], place[i]) for i, sources in enumerate(inputs) for source in sources},
        key=lambda edge: (edge[1] - edge[0], edge),
    )
    lanes: list[list[tuple[int, int]]] = []
    edges = []
    for start, end in wanted:
        crossing = start < cut < end
        if end == start + 1:
            edges.append(Edge(start, end, None, crossing))
            continue
        lane = next((n for n, used in enumerate(lanes) if all(end <= a or start >= b for a, b in used)), len(lanes))
        if lane == len(lanes):
            lanes.append([])
        lanes[lane].append((start, end))
        edges.append(Edge(start, end, lane, crossing))
    return edges


def width(edges: Sequence[Edge]) -> int:
    """Pixels of the gutter."""
    lanes = max((edge.lane for edge in edges if edge.lane is not None), default=-1) + 1
    return EDGE + LANE * lanes + 4


def svg(edges: Sequence[Edge], row: int, row_height: int, gap: int) -> str:
    """What of the gutter stands beside ``row``, ``row_height`` pixels high of which the last ``gap`` are empty.

    One drawing a row keeps lines and boxes together where a printed page ends.
    """
    right = width(edges)
    parts = []
    for edge in edges:
        if not edge.start <= row <= edge.end:
            continue
        kind = ' class="crosses"' if edge.crosses else ""
        if edge.lane is None:
            x, top, bottom = right + 22.0, (edge.start + 1) * row_height - gap, edge.end * row_height
            path = f"M{x} {top}V{bottom}"
            parts.append(f"<g{kind}><path d='{path}'/><path class='tip' d='M{x - 4} {bottom - 5}h8l-4 5z'/></g>")
            continue
        middle = (row_height - gap) / 2
        x = right - EDGE - LANE * (edge.lane + 1) + LANE / 2
        start, end = edge.start * row_height + middle + 9, edge.end * row_height + middle - 9
        path = f"M{right} {start}H{x + 6}Q{x} {start} {x} {start + 6}V{end - 6}Q{x} {end} {x + 6} {end}H{right - 5}"
        parts.append(f"<g{kind}><path d='{path}'/><path class='tip' d='M{right - 6} {end - 4}v8l6 -4z'/></g>")
    return (
        f'<svg width="{right + 30}" height="{row_height}" '
        f'viewBox="0 {row * row_height} {right + 30} {row_height}" aria-hidden="true">{"".join(parts)}</svg>'
    )
