"""Random graphs with windows over frames: any size, stride and padding, joins of tensors that have different delays."""

from __future__ import annotations

import numpy as np
from graph_builder import GraphBuilder

from qgait.export.graph import Graph
from qgait.export.timing import Series

FRAMES = 24  # enough for every window to have values


def random_temporal_graph(seed: int) -> Graph:
    """Up to four random layers over time, joined with what came before them, then a head. 8 x 6 silhouettes."""
    rng = np.random.default_rng(seed)
    b = GraphBuilder(seed, 8, 6, frames=FRAMES)
    x = b.conv("silhouette", 4, 3, zero_point=int(rng.choice([-128, 0, -90])))
    if rng.random() < 0.5:  # the rest runs on parts
        x = b.strips(x, (2, 1), zero_point=int(rng.choice([-128, -110])), kind=str(rng.choice(["mean", "mean_max"])))
    for _ in range(int(rng.integers(1, 5))):
        before, x = x, _layer(b, rng, x)
        if _joins(b, before, x) and rng.random() < 0.7:
            x = b.multiply(x, b.sigmoid(before)) if rng.random() < 0.4 else b.add(x, before)
    x = b.frame_max(x)
    if len(b.tensors[x].shape) == 3:
        x = b.power_pool(x, (3, 5)) if rng.random() < 0.5 else b.strips(x, (4, 1))
    b.linear(x, 5)
    graph = b.graph(f"random{seed}")
    needed = next(n for n in range(1, FRAMES + 1) if all(s.length(n) > 0 for s in graph.series.values()))
    return b.graph(graph.model, min_frames=needed)


def _layer(b: GraphBuilder, rng: np.random.Generator, x: str) -> str:
    size = int(rng.integers(1, 6))
    stride, padding = int(rng.choice([1, 1, 1, 2, 3])), int(rng.integers(0, size))
    kind = rng.choice(["window", "same", "max", "pool"])
    if kind == "max":
        return b.window_max(x, size, stride, padding)
    if kind == "pool":
        return b.window_pool(x, 2 * (size // 2) + 1, zero_point=int(rng.choice([-128, -20])))
    wide = b.frame_window(x, size, stride, padding) if kind == "window" else b.frame_window(x, 3)
    if len(b.tensors[x].shape) == 2:
        return b.linear(wide, 4)
    return b.conv(wide, 4, int(rng.choice([1, 3])), zero_point=int(rng.choice([-128, 0, 5])))


def _joins(b: GraphBuilder, one: str, other: str) -> bool:
    """Whether the two have values of the same indices."""
    found = b.graph("unfinished").series
    one_series, other_series = found.get(one, Series()), found.get(other, Series())
    return (one_series.stride, one_series.extra) == (other_series.stride, other_series.extra)
