"""Groups: every operator once, in an order that works, and only where nobody else reads what disappears."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from example_graphs import GraphBuilder, gaitbase_graph, gaitset_graph, silhouettes, tiny_graph

from qgait.compiler.tvm.fusion import Group, groups
from qgait.export.graph import Graph
from qgait.runtime import reference

BACKBONES = [tiny_graph, gaitset_graph, gaitbase_graph]


def kinds(group: Group) -> str:
    return " ".join(type(op).__name__ for op in group.ops)


@pytest.mark.parametrize("build", BACKBONES)
def test_every_operator_is_in_one_group_in_order(build: Callable[[], Graph]) -> None:
    graph = build()
    found = groups(graph)
    assert sorted(op.output for group in found for op in group.ops) == sorted(op.output for op in graph.ops)
    ready = {graph.input}
    for group in found:
        assert set(group.inputs) <= ready
        ready.add(group.output)
    assert graph.output in ready


@pytest.mark.parametrize("build", BACKBONES)
def test_running_groups_gives_the_reference(build: Callable[[], Graph]) -> None:
    """Only the tensors that groups write survive from one group to the next."""
    graph = build()
    height, width, _ = graph.tensors[graph.input].shape
    clip = silhouettes(2, 3, height, width)
    kept = {graph.input: reference.input_codes(clip)}
    for group in groups(graph):
        inside = {name: kept[name] for name in group.inputs}
        for op in group.ops:
            inside[op.output] = reference.execute(graph, op, [inside[name] for name in op.inputs])
        kept[group.output] = inside[group.output]
    wanted = reference.trace(graph, clip)
    for name, codes in kept.items():
        np.testing.assert_array_equal(codes, wanted[name])


def test_what_the_backbones_fuse() -> None:
    assert [kinds(group) for group in groups(tiny_graph())][:6] == [
        "Conv2d Table MaxPool2d",
        "FrameMax",
        "Conv2d",
        "Conv2d Add",
        "Conv2d",
        "FrameMax",
    ]
    gaitset = [kinds(group) for group in groups(gaitset_graph())]
    assert gaitset.count("Conv2d Table MaxPool2d") == 3 and gaitset.count("Conv2d Table") == 7
    assert not any(kind in ("Table", "MaxPool2d") for kind in gaitset)
    gaitbase = [kinds(group) for group in groups(gaitbase_graph())]
    assert gaitbase.count("Conv2d Add") == 4 and "Add" not in gaitbase


def test_a_tensor_with_two_readers_stays() -> None:
    b = GraphBuilder(0, 16, 12)
    x = b.conv("silhouette", 8, 3)
    b.add(b.leaky(x), b.leaky(x))
    assert [kinds(group) for group in groups(b.graph("two readers"))] == ["Conv2d", "Table", "Table", "Add"]


def test_the_embedding_stays() -> None:
    b = GraphBuilder(0, 16, 12)
    x = b.conv("silhouette", 8, 3)
    b.leaky(x)
    graph = b.graph("early output")
    assert [kinds(group) for group in groups(graph)] == ["Conv2d Table"]
    assert [kinds(group) for group in groups(replace(graph, output=x))] == ["Conv2d", "Table"]


def test_an_add_joins_the_later_operand() -> None:
    b = GraphBuilder(0, 16, 12)
    x = b.conv("silhouette", 8, 3)
    late, early = b.conv(x, 8, 3), b.conv(x, 8, 1)
    b.add(late, early)
    found = groups(b.graph("add"))
    assert [kinds(group) for group in found] == ["Conv2d", "Conv2d", "Conv2d Add"]
    assert found[-1].conv is not None and found[-1].conv.output == early
    assert found[-1].inputs == (x, late)


def test_a_sum_with_itself_is_not_fused() -> None:
    b = GraphBuilder(0, 16, 12)
    x = b.conv("silhouette", 8, 3)
    b.add(x, x)
    assert [kinds(group) for group in groups(b.graph("twice"))] == ["Conv2d", "Add"]


def test_the_order_of_fusion_is_fixed() -> None:
    b = GraphBuilder(0, 16, 12)
    b.leaky(b.pool(b.conv("silhouette", 8, 3)))
    assert [kinds(group) for group in groups(b.graph("pool first"))] == ["Conv2d MaxPool2d", "Table"]


def test_symbols_are_c_names() -> None:
    for group in groups(tiny_graph()):
        assert group.symbol.isidentifier() and group.symbol.startswith("qgait_")
    b = GraphBuilder(0, 16, 12)
    op = groups(_renamed(b, "layer1.0/conv"))[0]
    assert op.symbol == "qgait_layer1_0_conv"


def _renamed(b: GraphBuilder, name: str) -> Graph:
    b.conv("silhouette", 8, 3)
    op = replace(b.ops[0], output=name)
    return replace(b.graph("renamed"), ops=(op,), output=name)
