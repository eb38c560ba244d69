from __future__ import annotations

import pytest
from example_graphs import gaitbase_graph, gaitset_graph, parts_graph, temporal_graph
from small_networks import network

from qgait.compiler.memory_plan import state_bytes
from qgait.export.folding import fold
from qgait.export.graph import Graph
from qgait.export.operators import Table
from qgait.report.network import boxes, describe

EVERY = [gaitset_graph, gaitbase_graph, temporal_graph, parts_graph]


@pytest.mark.parametrize("make", EVERY)
def test_boxes_hold_the_whole_graph_once(make: object) -> None:
    graph: Graph = make()  # type: ignore[operator]
    found = boxes(graph, {})
    tails = [op for op in graph.ops if isinstance(op, Table) and op.name not in {box.name for box in found}]
    assert len(found) == len(graph.ops) - len(tails)
    assert {op.name for op in tails} <= {box.what.rpartition(", ")[2] for box in found}
    assert sum(box.macs for box in found if box.per_frame) == graph.frame_macs
    assert sum(box.macs for box in found if not box.per_frame) == graph.clip_macs
    assert sum(box.weights for box in found) == graph.parameters
    assert [box.per_frame for box in found] == sorted((box.per_frame for box in found), reverse=True)


@pytest.mark.parametrize("make", EVERY)
def test_inputs_are_the_boxes_that_made_the_tensor(make: object) -> None:
    graph: Graph = make()  # type: ignore[operator]
    found = boxes(graph, {})
    made = {graph.input: None} | {op.output: op for op in graph.ops}
    ops = {op.name: op for op in graph.ops}
    boxed = {box.name for box in found}
    for i, box in enumerate(found):
        names = []
        for tensor in ops[box.name].inputs:
            maker = made[tensor]
            while isinstance(maker, Table) and maker.name not in boxed:
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
    assert [box.name for box in named.values() if box.kept] == ["set_max1", "set_max2", "set_max3"]


def test_operators_over_time_are_named_and_their_state_is_said() -> None:
    graph = temporal_graph()
    found = boxes(graph, {})
    said = {box.what for box in found}
    assert "3 neighbours in time side by side" in said
    assert {"max of 3 neighbours in time, stride 3", "max of 5 neighbours in time, stride 3"} <= said
    assert {"rows 0 to 4", "rows 5 to 7", "product with a gate", "join of parts or rows"} <= said
    assert {"generalized mean of each row", "generalized mean of regions of 3 + 5 rows"} <= said
    assert {"1 strip, mean", "1 matrix, 6 → 6"} <= said and any(what.startswith("table of sigmoid") for what in said)
    assert "mean + max of 3 neighbours in time" in {box.what for box in boxes(parts_graph(), {})}
    assert {box.every for box in found if box.what.startswith("max of")} == {3}
    assert {box.every for box in found if not box.per_frame} == {1}
    times = graph.schedule
    maxima = sum(box.what == "running max over the frames" for box in found)
    of_input = describe(graph, {})["input"]["kept"]
    assert of_input == 3 and sum(box.kept for box in found) + of_input == maxima + sum(times.rings.values())


@pytest.mark.parametrize("make", EVERY)
def test_the_description_is_what_the_graph_says(make: object) -> None:
    graph: Graph = make()  # type: ignore[operator]
    found = describe(graph, {})
    assert (found["operators"], found["parameters"]) == (len(graph.ops), graph.parameters)
    assert (found["macs_per_frame"], found["macs_per_embedding"]) == (graph.frame_macs, graph.clip_macs)
    assert (found["state_bytes"], found["min_frames"]) == (state_bytes(graph), graph.min_frames)
    assert found["delay"] == graph.schedule.delay
