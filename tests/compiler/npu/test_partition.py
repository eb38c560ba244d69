"""The partition: what shares a command stream, what stays on the host and why, and that everything can run in order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from example_graphs import GraphBuilder, gaitset_graph, parts_graph, temporal_graph, tiny_graph
from quantized_backbones import NAMES, folded
from random_graphs import random_temporal_graph

from qgait.compiler.npu import partition as module
from qgait.compiler.npu.ethosu.limits import Stay, stays
from qgait.compiler.npu.partition import ALONE, Partition, partition, staying
from qgait.export.graph import Graph
from qgait.export.operators import FrameMax, PowerPool
from qgait.export.schedule import output_tensor
from qgait.export.segments import Segment
from qgait.targets.accelerators import find_npu

U55, U85 = find_npu("ethos-u55-128"), find_npu("ethos-u85-256")
assert U55 is not None and U85 is not None


def names(made: Partition) -> list[str]:
    return [unit.name for unit in (*made.frame, *made.clip)]


def test_a_network_without_windows_is_one_segment_a_frame_and_one_an_embedding() -> None:
    graph = gaitset_graph(channels=(4, 8, 12))
    made = partition(graph, U55)
    assert names(made) == ["frame", "head"] and not made.host
    frame, head = made.segments
    assert frame.inputs == ("silhouette",) and frame.outputs == frame.state == head.inputs
    assert head.outputs == (graph.output,)
    assert [len(frame.ops), len(head.ops)] == [len(list(graph.frame_ops())), len(list(graph.clip_ops()))]


def test_maxima_and_head_go_where_they_are_sent() -> None:
    graph = tiny_graph()
    made = partition(graph, U55, maximum="host", head="host")
    assert made.segments[0].state == () and len(made.segments) == 1
    staying_ops = [op for op, _ in staying(graph, made)]
    assert staying_ops == [op for op in graph.ops if isinstance(op, FrameMax) or op in list(graph.clip_ops())]
    assert {"running maximum", "head"} <= {word for _, why in staying(graph, made) for word in _said(why)}


def _said(why: Stay) -> list[str]:
    return [word for word in ("running maximum", "head") if word in why.reason]


@pytest.mark.parametrize("maximum", ["npu", "host"])
@pytest.mark.parametrize("name", NAMES)
def test_every_backbone_is_cut_into_parts_that_run_at_the_same_moments(name: str, maximum: str) -> None:
    graph = folded(name)
    made = partition(graph, U55, maximum)  # type: ignore[arg-type]
    times = graph.series
    for segment in made.segments:
        assert len({times.get(output_tensor(op)) for op in segment.ops}) == 1
        assert not any(op.window or isinstance(op, PowerPool) for op in segment.ops)
        assert segment.name.startswith("head") or any(op.macs(graph.tensors) for op in segment.ops)
    macs = sum(op.macs(graph.tensors) for op in graph.ops)
    assert sum(op.macs(graph.tensors) for segment in made.segments for op in segment.ops) == macs
    assert all(why.reason and why.fix.endswith(".") for _, why in staying(graph, made))


def test_segments_wait_for_the_windows_between_them() -> None:
    graph = temporal_graph()
    made = partition(graph, U55)
    known = {graph.input}
    for unit in (*made.frame, *made.clip):
        assert known >= set(unit.inputs)
        known |= set(unit.outputs) if isinstance(unit, Segment) else {unit.output}
    assert graph.output in known
    assert len(made.segments) == 7


@pytest.mark.parametrize("seed", range(20))
def test_random_networks_over_time_are_cut(seed: int) -> None:
    graph = random_temporal_graph(seed)
    for maximum in ("npu", "host"):
        made = partition(graph, U55, maximum)  # type: ignore[arg-type]
        assert sum(len(unit.ops) if isinstance(unit, Segment) else 1 for unit in (*made.frame, *made.clip)) == len(
            graph.ops
        )


def test_nothing_runs_before_its_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = temporal_graph()
    cut = module._units
    monkeypatch.setattr(module, "_units", lambda *arguments: cut(*arguments)[::-1])
    with pytest.raises(ValueError, match="before it is made"):
        partition(graph, U55)
    monkeypatch.setattr(module, "_units", lambda *arguments: () if arguments[-1] == "head" else cut(*arguments))
    with pytest.raises(ValueError, match="not the graph"):
        partition(graph, U55)


def test_what_has_no_multiply_accumulates_stays_between_windows() -> None:
    graph = parts_graph()
    made = partition(graph, U55)
    assert [op.name for op, why in staying(graph, made) if why is ALONE] == ["add22", "max23"]


def test_a_long_stride_stays_on_the_host_of_a_u55() -> None:
    b = GraphBuilder(0, 16, 12)
    b.linear(b.strips(b.frame_max(b.conv(b.conv("silhouette", 4, 5, stride=4), 3, 3)), (1,)), 2)
    graph = b.graph("strided")
    made = partition(graph, U55)
    assert names(made) == ["conv0", "frame", "head"]
    assert "its stride is 4" in made.host["conv0"].reason and "Ethos-U85" in made.host["conv0"].fix
    assert names(partition(graph, U85)) == ["frame", "head"]


def test_the_limits_of_weights_and_axes() -> None:
    graph = tiny_graph()
    conv = graph.ops[0]
    wide = np.full((8, 5, 5, 2700), 127, np.int8)
    assert "sum up to" in stays(graph, replace(conv, weight=wide), U55).reason  # type: ignore[type-var, union-attr]
    long = replace(graph.tensors["silhouette"], shape=(65537, 12, 1))
    stretched: Graph = replace(graph, tensors={**graph.tensors, "silhouette": long})
    assert "65537" in stays(stretched, conv, U55).reason  # type: ignore[union-attr]
    assert stays(graph, conv, U55) is None


def test_what_vela_rejects_stays_on_the_host() -> None:
    graph = tiny_graph()
    second = graph.ops[4].name
    made = partition(graph, U55, left={second: Stay("Vela said no", "do something.")})
    assert made.host[second].reason == "Vela said no" and second in names(made)
    assert len(made.segments) > len(partition(graph, U55).segments)
