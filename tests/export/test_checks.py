"""Each rule of the integer graph, broken once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from example_graphs import gaitbase_graph, gaitset_graph, tiny_graph
from graph_builder import GraphBuilder
from graph_edits import changed, op_of, refusal, with_op, with_tensor

from qgait.export.checks import check_graph
from qgait.export.graph import Graph
from qgait.export.operators import Add, Conv2d, Op, PartLinear, Requant, StripPool, requant
from qgait.runtime import reference


def test_sound_graphs_pass() -> None:
    thin = (4, 6, 8)
    for graph in (tiny_graph(), gaitset_graph(0, thin), gaitset_graph(0, thin, bits=4), gaitbase_graph(0, (*thin, 10))):
        check_graph(graph)


# layers of tiny: conv0 leaky1 pool2 max3 conv4 conv5 add6 conv7 max8 conv9 leaky10 pool11 add12 strips13 strips14
# concat15 linear16
BREAKS: dict[str, tuple[Callable[[Graph], Graph], str]] = {
    # names and order
    "two layers of one name": (lambda g: with_op(g, "pool2", name="conv0"), "2 layers are called conv0"),
    "unknown input": (lambda g: with_op(g, "pool2", inputs=("void",)), "pool2 reads void, which is not a tensor"),
    "read too early": (
        lambda g: replace(g, ops=g.ops[::-1]),
        "linear16 reads concat15 before it is written",
    ),
    "unknown output": (lambda g: with_op(g, "pool2", output="void"), "pool2 writes void, which is not a tensor"),
    "written twice": (lambda g: with_op(g, "conv5", output="conv4"), "conv5 writes conv4 a second time"),
    "never written": (lambda g: with_op(g, "conv5", output="conv4"), "tensor conv5 is never written"),
    "listed wrongly": (lambda g: with_tensor(g, "conv5", name="conv4"), "tensor conv4 is listed as conv5"),
    "a result nobody reads": (lambda g: with_op(g, "add12", inputs=("max8", "max8")), "nothing reads pool11"),
    "output is read": (lambda g: replace(g, output="concat15"), "the output concat15 is read by another layer"),
    "output is unknown": (lambda g: replace(g, output="void"), "the output void is not written"),
    "no layers": (lambda g: replace(g, ops=()), "is not written"),
    # the ends
    "two channels in": (lambda g: with_tensor(g, "silhouette", shape=(16, 12, 2)), "weights are int8"),
    "other input scale": (lambda g: with_tensor(g, "silhouette", scale=np.float32(1)), "does not have scale 1/255"),
    "other input zero point": (lambda g: with_tensor(g, "silhouette", zero_point=0), "zero point -128"),
    # tensors
    "lo above hi": (lambda g: with_tensor(g, "conv5", lo=9, hi=3), "conv5 has lo 9, zero point -128, hi 3"),
    "zero has no code": (lambda g: with_tensor(g, "conv5", lo=-100), "conv5 has lo -100, zero point -128"),
    "above int8": (lambda g: with_tensor(g, "conv5", hi=128), "conv5 has lo -128, zero point -128, hi 128"),
    "negative scale": (lambda g: with_tensor(g, "conv5", scale=np.float32(-1)), "not finite and positive"),
    "infinite scale": (lambda g: with_tensor(g, "conv5", scale=np.float32(np.inf)), "not finite and positive"),
    "float64 scale": (lambda g: with_tensor(g, "conv5", scale=np.float64(1)), "float64 scale"),
    "one scale for parts": (lambda g: with_tensor(g, "linear16", scale=np.float32(1)), "not float32 [14]"),
    "empty tensor": (lambda g: with_tensor(g, "conv5", shape=(8, 0, 16)), "conv5 has shape [8, 0, 16]"),
    # shapes
    "wrong size": (lambda g: with_tensor(g, "conv5", shape=(8, 6, 15)), "conv5 makes [8, 6, 16]"),
    "add of two shapes": (
        lambda g: with_op(g, "add6", inputs=("conv4", "pool2")),
        "add6: adds [8, 6, 16] and [8, 6, 8]",
    ),
    "one input too few": (lambda g: with_op(g, "add6", inputs=("conv4",)), "add6: takes 2 inputs, not 1"),
    "bias of another size": (
        lambda g: with_op(g, "conv4", bias=np.zeros(15, np.int32)),
        "conv4: biases are int32 [15], not int32 [16]",
    ),
    "int64 bias": (lambda g: with_op(g, "conv4", bias=np.zeros(16, np.int64)), "conv4: biases are int64 [16]"),
    "int16 weights": (
        lambda g: with_op(g, "conv4", weight=op_of(g, "conv4").weight.astype(np.int16)),
        "conv4: weights are int16",
    ),
    "short table": (lambda g: with_op(g, "leaky1", table=np.zeros(255, np.int8)), "leaky1: table are int8 [255]"),
    "strips that do not split": (lambda g: with_op(g, "strips13", bins=(3,)), "strips13: 4 rows do not split into [3]"),
    "pool larger than the map": (
        lambda g: with_op(g, "pool2", kernel=13),
        "pool2: a pool of 13 does not fit into 16 x 12",
    ),
    "stride 0": (lambda g: with_op(g, "conv4", stride=(0, 1)), "conv4: stride (0, 1)"),
    # the cut
    "clip tensor marked as frame": (
        lambda g: with_tensor(g, "max8", per_frame=True),
        "max8 writes max8 on the wrong side",
    ),
    "frame tensor marked as clip": (
        lambda g: with_tensor(g, "conv4", per_frame=False),
        "conv4 writes conv4 on the wrong side",
    ),
    # codes that are kept
    "pool changes the scale": (lambda g: with_tensor(g, "pool2", scale=np.float32(9)), "do not share one scale"),
    "pool changes the zero point": (lambda g: with_tensor(g, "pool2", zero_point=0), "have different zero points"),
    "maximum leaves its range": (lambda g: with_tensor(g, "max8", hi=100), "exceeds the range of max8"),
    "table leaves its range": (lambda g: with_tensor(g, "leaky1", hi=20), "leaky1 has entries outside -128..20"),
    "scales of joined parts": (
        lambda g: with_tensor(g, "concat15", scale=np.arange(1, 15, dtype=np.float32)),
        "scales of concat15 are not those of its inputs in order",
    ),
    # the integer rule
    "weight of -128": (
        lambda g: with_op(g, "conv4", weight=changed(op_of(g, "conv4").weight, -128)),
        "conv4 has a weight of -128",
    ),
    "large bias": (
        lambda g: with_op(g, "conv4", bias=changed(op_of(g, "conv4").bias, 2**31 - 1)),
        "conv4 can leave int32 while it accumulates raw codes",
    ),
    "accumulator of 2**28": (
        lambda g: with_op(g, "conv4", bias=changed(op_of(g, "conv4").bias, 2**28, 5)),
        "at output [5], the limit is",
    ),
    "factor above 2**14": (lambda g: with_op(g, "add6", factors=(2**14 + 1, 1)), "outside 1..16384"),
    "factor of 0": (lambda g: with_op(g, "add6", factors=(2**14, 0)), "outside 1..16384"),
}


@pytest.mark.parametrize("case", BREAKS)
def test_a_broken_rule_is_named(case: str) -> None:
    break_it, words = BREAKS[case]
    assert words in refusal(break_it(tiny_graph()))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"multiplier": 2**30 - 1}, "below 2**30"),
        ({"shift": 1}, "has a shift outside 2..62"),
        ({"shift": 63}, "has a shift outside 2..62"),
        ({"shift": 9}, "can reach an accumulator of"),
    ],
)
@pytest.mark.parametrize("layer", ["conv4", "add6", "strips13", "linear16"])
def test_multipliers_and_shifts(layer: str, change: dict[str, int], words: str) -> None:
    graph = tiny_graph()
    old = op_of(graph, layer).requant
    fields = {
        name: changed(getattr(old, name), change[name]) if name in change else getattr(old, name) for name in vars(old)
    }
    problem = refusal(with_op(graph, layer, requant=Requant(**fields)))
    assert layer in problem and words in problem


@pytest.mark.parametrize("layer", ["conv4", "add6", "strips13", "linear16"])
def test_multipliers_of_another_shape(layer: str) -> None:
    graph = tiny_graph()
    requant = Requant(np.full(99, 2**30, np.int32), np.full(99, 40, np.int8))
    assert f"{layer} has multipliers and shifts of int32 [99]" in refusal(with_op(graph, layer, requant=requant))


def test_all_offences_are_listed_at_once() -> None:
    graph = with_op(with_tensor(tiny_graph(), "conv5", hi=128), "add12", factors=(0, 1))
    problem = refusal(graph)
    assert "breaks 2 rules" in problem
    assert "conv5" in problem and "add12" in problem


def test_a_sentence_stays_short_however_many_rules_are_broken() -> None:
    graph = tiny_graph()
    for name in graph.tensors:
        graph = with_tensor(graph, name, hi=128)
    problem = refusal(replace(graph, model="m" * 5000))
    assert f"breaks {len(graph.tensors)} rules" in problem or f"breaks {len(graph.tensors) + 1} rules" in problem
    assert len(problem) < 300 and problem.endswith(" more.")


def test_a_maximum_over_frames_needs_frames() -> None:
    builder = GraphBuilder(0, 16, 12)
    top = builder.frame_max(builder.frame_max(builder.conv("silhouette", 4, 3)))
    builder.linear(builder.strips(top, (4,)), 3)
    assert "which belongs to a clip" in refusal(builder.graph("twice"))


def test_a_map_cannot_be_the_embedding() -> None:
    builder = GraphBuilder(0, 16, 12)
    builder.frame_max(builder.conv("silhouette", 4, 3))
    assert "is not one [P, C] embedding a clip" in refusal(builder.graph("map"))


def test_a_frame_cannot_be_added_to_a_clip() -> None:
    builder = GraphBuilder(0, 16, 12)
    frame = builder.conv("silhouette", 4, 3)
    builder.linear(builder.strips(builder.add(frame, builder.frame_max(frame)), (4,)), 3)
    assert "joins a tensor of a frame with a tensor of a clip" in refusal(builder.graph("mixed"))


def worst_input(op: Op, graph: Graph, sign: int) -> list[np.ndarray]:
    """Codes [1, ...] that drive output 0 of ``op`` to its smallest (-1) or largest (+1) accumulator."""
    inputs = []
    for name in op.inputs:
        tensor = graph.tensors[name]
        low, high = (tensor.lo, tensor.hi) if sign > 0 else (tensor.hi, tensor.lo)
        codes = np.full((1, *tensor.shape), high, np.int8)
        if isinstance(op, Conv2d):
            _, kh, kw, _ = op.weight.shape
            codes[0, :kh, :kw] = np.where(op.weight[0] >= 0, high, low)
        if isinstance(op, PartLinear):
            codes[0, 0] = np.where(op.weight[0, :, 0] >= 0, high, low)
        inputs.append(codes)
    return inputs


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("layer", ["conv4", "conv9", "add6", "add12", "strips13", "linear16"])
def test_the_bound_of_the_accumulator_is_reached_and_not_passed(layer: str, sign: int, monkeypatch: Any) -> None:
    """The worst input attains the bound exactly: it is neither too lax nor too strict."""
    graph = with_op(tiny_graph(), layer)
    op = op_of(graph, layer)
    if isinstance(op, Conv2d):  # without padding, so that one output sees a whole kernel of our choice
        op = replace(op, padding=(0, 0, 0, 0))
    seen: list[np.ndarray] = []
    monkeypatch.setattr(requant, "requantize", lambda acc, *rest: (seen.append(acc), acc.astype(np.int8))[1])
    reference.execute(graph, op, worst_input(op, graph, sign))
    bounds = op.accumulator(graph.tensors)
    assert bounds is not None
    (accumulators,) = seen
    bound = bounds[(sign + 1) // 2]
    first = accumulators[0, 0, 0, 0] if isinstance(op, Conv2d | Add) else accumulators[0, 0, 0]
    assert first == bound.flat[0]
    if isinstance(op, Add | StripPool):
        np.testing.assert_array_equal(np.broadcast_to(bound, accumulators[0].shape), accumulators[0])
