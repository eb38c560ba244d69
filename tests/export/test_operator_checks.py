"""Rules of operators over time, over regions and of products, each broken once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from example_graphs import parts_graph, temporal_graph
from graph_builder import GraphBuilder
from graph_edits import changed, op_of, refusal, with_op, with_tensor
from random_graphs import random_temporal_graph

from qgait.export.checks import check_graph
from qgait.export.graph import Graph
from qgait.export.operators import Multiply, PowerPool, Requant, StripPool, WindowPool, requant
from qgait.runtime import reference


def test_sound_graphs_pass() -> None:
    for graph in (temporal_graph(), parts_graph(), *(random_temporal_graph(seed) for seed in range(30))):
        check_graph(graph)


def powers(graph: Graph, layer: str, code: int, value: int) -> np.ndarray:
    return changed(op_of(graph, layer).powers, value, code + 128)


# the graph, what breaks in it, and the words that name it
BREAKS: dict[str, tuple[Callable[[], Graph], Callable[[Graph], Graph], str]] = {
    # windows
    "window of nothing": (temporal_graph, lambda g: with_op(g, "window0", size=0), "window0: a window of 0"),
    "stride 0": (temporal_graph, lambda g: with_op(g, "window0", stride=0), "window0: a window of 3, stride 0"),
    "padding as wide as the window": (
        temporal_graph,
        lambda g: with_op(g, "windowmax14", padding=5),
        "windowmax14: a window of 5, stride 3 and padding 5 is out of range",
    ),
    "negative padding": (temporal_graph, lambda g: with_op(g, "window0", padding=-1), "padding -1 is out of range"),
    "window of another width": (temporal_graph, lambda g: with_op(g, "window7", size=2), "window7 makes [8, 6, 12]"),
    "no middle": (parts_graph, lambda g: with_op(g, "windowpool12", size=4), "windowpool12: pools 4 values"),
    "window changes the scale": (
        temporal_graph,
        lambda g: with_tensor(g, "windowmax13", scale=np.float32(3)),
        "windowmax13 keeps codes, but its inputs and windowmax13 do not share one scale",
    ),
    "window of parts changes one scale": (
        parts_graph,
        lambda g: with_tensor(g, "window6", scale=np.array([1, 1, 1, 2], np.float32)),
        "window6 keeps codes, but the scales of window6 are not those",
    ),
    "window leaves its range": (
        temporal_graph,
        lambda g: with_tensor(g, "window7", hi=100),
        "exceeds the range of window7",
    ),
    "another zero point for missing values": (
        temporal_graph,
        lambda g: with_tensor(g, "window7", zero_point=-3),
        "window7 keeps codes, but pool6 and window7 have different zero points",
    ),
    # time
    "joined lengths": (temporal_graph, lambda g: with_op(g, "windowmax14", padding=0), "add15 joins series of diff"),
    "joined strides": (temporal_graph, lambda g: with_op(g, "windowmax14", stride=2), "add15 joins series of diff"),
    "clips too short": (
        temporal_graph,
        lambda g: replace(g, min_frames=2),
        "windowmax13 has no value in a clip of 2 frames",
    ),
    "no frames": (parts_graph, lambda g: replace(g, min_frames=0), "a clip of 0 frames is not possible"),
    # rows
    "rows out of order": (temporal_graph, lambda g: with_op(g, "rows12", start=6), "rows12: rows 6 to 5 are not"),
    "rows beyond the map": (temporal_graph, lambda g: with_op(g, "rows23", stop=9), "rows23: rows 5 to 9 are not rows"),
    "joined rows of two scales": (
        temporal_graph,
        lambda g: with_tensor(g, "rescale34", scale=np.float32(3)),
        "concat36 keeps codes, but its inputs and concat36 do not share one scale",
    ),
    # strips
    "unknown pooling": (temporal_graph, lambda g: with_op(g, "strips16", kind="max"), "strips16: pools 'max'"),
    # powers
    "regions that miss rows": (
        temporal_graph,
        lambda g: with_op(g, "power48", rows=(3, 4)),
        "power48: regions of [3, 4] rows do not make 8 rows",
    ),
    "empty region": (temporal_graph, lambda g: with_op(g, "power48", rows=(0, 8)), "power48: regions of [0, 8] rows"),
    "tables of too few regions": (
        temporal_graph,
        lambda g: with_op(g, "power48", powers=op_of(g, "power48").powers[:1]),
        "power48: powers are int64 [1, 256], not int64 [2, 256]",
    ),
    "narrow powers": (
        temporal_graph,
        lambda g: with_op(g, "power48", powers=op_of(g, "power48").powers.astype(np.int32)),
        "power48: powers are int32 [2, 256]",
    ),
    "negative power": (
        temporal_graph,
        lambda g: with_op(g, "power48", powers=powers(g, "power48", 5, -1)),
        "power48 has a negative power",
    ),
    "sum of 2**53": (
        temporal_graph,
        lambda g: with_op(g, "power48", powers=powers(g, "power48", 127, 2**53 // 18 + 1)),
        f"power48 can reach a sum of {18 * (2**53 // 18 + 1)} in region 0, the limit is {2**53}",
    ),
    "thresholds that fall": (
        temporal_graph,
        lambda g: with_op(g, "power48", thresholds=changed(op_of(g, "power48").thresholds, 2**63 - 1, 40)),
        "power48 has thresholds that are negative or do not ascend",
    ),
    "negative threshold": (
        temporal_graph,
        lambda g: with_op(g, "power48", thresholds=changed(op_of(g, "power48").thresholds, -1)),
        "power48 has thresholds that are negative or do not ascend",
    ),
    "one threshold too few": (
        temporal_graph,
        lambda g: with_op(g, "power48", thresholds=op_of(g, "power48").thresholds[:, 1:]),
        "power48 has 217 thresholds, but power48 has the codes -128..90",
    ),
    "thresholds of no shape": (
        temporal_graph,
        lambda g: with_op(g, "power48", thresholds=np.array(3)),
        "power48: thresholds are int64 []",
    ),
    # products and sums
    "factors of two shapes": (
        parts_graph,
        lambda g: with_op(g, "multiply13", inputs=("windowpool12", "linear7")),
        "multiply13: multiplies [4, 12] by [4, 3]",
    ),
    "one factor": (parts_graph, lambda g: with_op(g, "multiply13", inputs=("windowpool12",)), "takes 2 inputs, not 1"),
    "parts of other scales are added": (
        parts_graph,
        lambda g: with_tensor(g, "multiply13", scale=np.array([1, 1, 2, 1], np.float32)),
        "add22 adds parts, but the parts of multiply13 do not share one scale",
    ),
    "the sum has several scales": (
        parts_graph,
        lambda g: with_tensor(g, "add22", scale=np.array([1, 1, 2, 1], np.float32)),
        "add22 adds parts, but the parts of add22 do not share one scale",
    ),
}


@pytest.mark.parametrize("case", BREAKS)
def test_a_broken_rule_is_named(case: str) -> None:
    make, break_it, words = BREAKS[case]
    assert words in refusal(break_it(make()))


@pytest.mark.parametrize(
    ("make", "layer"),
    [(temporal_graph, "multiply19"), (parts_graph, "multiply13"), (parts_graph, "windowpool20")],
)
def test_multipliers(make: Callable[[], Graph], layer: str) -> None:
    graph = make()
    old = op_of(graph, layer).requant
    wrong = Requant(np.full(99, 2**30, np.int32), np.full(99, 40, np.int8))
    assert f"{layer} has multipliers and shifts of int32 [99]" in refusal(with_op(graph, layer, requant=wrong))
    small = Requant(old.multiplier, changed(old.shift, 9))
    assert f"{layer} can reach an accumulator of" in refusal(with_op(graph, layer, requant=small))


def test_a_window_needs_frames() -> None:
    builder = GraphBuilder(0, 16, 12)
    top = builder.window_max(builder.frame_max(builder.conv("silhouette", 4, 3)), 3, 1, 1)
    builder.tensors[top] = replace(builder.tensors[top], per_frame=False)
    builder.linear(builder.strips(top, (4,)), 3)
    assert "windowmax2 looks along the frames of max1, which belongs to a clip" in refusal(builder.graph("late"))


def extremes(graph: Graph, name: str) -> list[int]:
    return [graph.tensors[name].lo, graph.tensors[name].hi]


@pytest.mark.parametrize(
    ("make", "layer"),
    [
        (temporal_graph, "strips16"),
        (temporal_graph, "multiply19"),
        (temporal_graph, "power5"),
        (temporal_graph, "power48"),
        (parts_graph, "multiply21"),
        (parts_graph, "windowpool20"),
    ],
)
def test_the_bounds_of_the_accumulator_are_reached_and_not_passed(
    make: Callable[[], Graph], layer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By constant inputs at both ends of their ranges, in all combinations."""
    graph = make()
    op = op_of(graph, layer)
    bounds = op.accumulator(graph.tensors)
    assert bounds is not None and isinstance(op, StripPool | Multiply | PowerPool | WindowPool)
    seen: list[np.ndarray] = []
    monkeypatch.setattr(requant, "requantize", lambda acc, *rest: (seen.append(acc), acc.astype(np.int8))[1])
    monkeypatch.setattr(np, "searchsorted", lambda thresholds, acc, side: (seen.append(acc[:, np.newaxis]), acc)[1])
    for first in extremes(graph, op.inputs[0]):
        for last in extremes(graph, op.inputs[-1]):
            codes = [np.full((7, *graph.tensors[op.inputs[0]].shape), first, np.int8)]
            codes += [np.full((7, *graph.tensors[name].shape), last, np.int8) for name in op.inputs[1:]]
            reference.execute(graph, op, codes)
    regions = len(op.rows) if isinstance(op, PowerPool) else 1
    for region in range(regions):
        accumulators = seen[region::regions]
        assert min(acc.min() for acc in accumulators) == bounds[0][region].min()
        assert max(acc.max() for acc in accumulators) == bounds[1][region].max()
