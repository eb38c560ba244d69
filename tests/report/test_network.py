from __future__ import annotations

import pytest
from example_graphs import gaitbase_graph, gaitset_graph
from small_networks import network

from qgait.export.folding import fold
from qgait.export.graph import Graph, Table
from qgait.report.network import boxes, describe


@pytest.mark.parametrize("make", [gaitset_graph, gaitbase_graph])
def test_boxes_hold_the_whole_graph_once(make: object) -> None:
    graph: Graph = make()  # type: ignore[operator]
    found = boxes(graph, {})
    tables = sum(isinstance(op, Table) for op in graph.ops)
    assert len(found) == len(graph.ops) - tables
    frame_macs, clip_macs = graph.macs()
    assert sum(box.macs for box in found if box.per_frame) == frame_macs
    assert sum(box.macs for box in found if not box.per_frame) == clip_macs
    assert sum(box.weights for box in found) == graph.parameters()
    assert [box.per_frame for box in found] == sorted((box.per_frame for box in found), reverse=True)


@pytest.mark.parametrize("make", [gaitset_graph, gaitbase_graph])
def test_inputs_are_the_boxes_that_made_the_tensor(make: object) -> None:
    graph: Graph = make()  # type: ignore[operator]
    found = boxes(graph, {})
    made = {graph.input: None} | {op.output: op for op in graph.ops}
    ops = {op.name: op for op in graph.ops}
    for i, box in enumerate(found):
        names = []
        for tensor in ops[box.name].inputs:
            maker = made[tensor]
            while isinstance(maker, Table):
                maker = made[maker.inputs[0]]
            names.append(None if maker is None else maker.name)
        assert [None if n == -1 else found[n].name for n in box.inputs] == names
        assert max(box.inputs) < i


def test_a_box_says_what_its_codes_mean() -> None:
    net = network("gaitset", "w4a4")
    graph = fold(net)
    named = {box.name: box for box in boxes(graph, net.weight_bits)}
    first, second, last = named["set_block1_conv1"], named["set_block2_conv1"], named["embedding"]
    assert (first.what, first.shape) == ("5×5 convolution, 1 → 8, leaky relu", (64, 44, 8))
    assert (first.weight_bits, first.bits) == (8, 4)
    assert (second.weight_bits, second.bits) == (4, 4)
    out = graph.tensors["set_block1_conv1"]
    assert first.scale == (float(out.scale), float(out.scale)) and first.zero_point == out.zero_point
    scale = graph.tensors["embedding"].scale
    assert last.scale == (float(scale.min()), float(scale.max())) and scale.min() < scale.max()
    assert [box.name for box in named.values() if box.is_state] == ["set_max1", "set_max2", "set_max3"]


def test_the_description_is_what_the_graph_says() -> None:
    graph = gaitset_graph()
    found = describe(graph, {})
    assert (found["operators"], found["parameters"]) == (len(graph.ops), graph.parameters())
    assert (found["macs_per_frame"], found["macs_per_embedding"]) == graph.macs()
