"""Which form a segment gets for an accelerator, and that its command stream computes the graph's codes."""

from __future__ import annotations

import numpy as np
import pytest
from example_graphs import gaitbase_graph, gaitset_graph
from graph_builder import GraphBuilder, silhouettes
from parity import assert_codes_equal

from qgait.compiler.npu.ethosu import forms
from qgait.compiler.npu.ethosu.forms import form_for, tosa_for
from qgait.compiler.npu.ethosu.vela import compile_segment
from qgait.export.graph import Graph
from qgait.export.segments import BEFORE, Segment, segment_of
from qgait.export.tosa.forms import AS_IT_STANDS, Form
from qgait.export.tosa.writer import segment_bytes
from qgait.runtime import reference
from qgait.runtime.ethosu.interpreter.interpreter import Interpreter
from qgait.runtime.ethosu.segment import CompiledSegment
from qgait.targets.accelerators import NPU_TARGETS

TARGETS = {target.name: target for target in NPU_TARGETS}


def narrow_maps(width: int) -> Graph:
    """Convolutions on maps 16 x ``width`` behind a first one of 5 x 5, and a strided one of 1 x 1."""
    b = GraphBuilder(0, 16, width)
    x = b.leaky(b.conv("silhouette", 32, 5))
    for _ in range(3):
        x = b.conv(x, 32, 3)
    b.frame_max(b.conv(x, 8, 1, 2))
    return b.graph("narrow")


def frame_of(graph: Graph) -> Segment:
    return segment_of(graph, tuple(graph.frame_ops()), "frame")


def chosen(width: int, name: str) -> Form:
    graph = narrow_maps(width)
    return form_for(graph, frame_of(graph), TARGETS[name])


def test_odd_widths_are_turned_where_columns_go_in_pairs() -> None:
    assert chosen(11, "ethos-u55-128").turned
    assert not chosen(12, "ethos-u55-128").turned
    for blocks_of_one_column in ("ethos-u55-32", "ethos-u55-64"):
        assert not chosen(11, blocks_of_one_column).turned
    assert not chosen(11, "ethos-u55-256").turned  # rows go in pairs too


def test_first_convolutions_compute_two_columns_where_that_saves_steps() -> None:
    for name, target in TARGETS.items():
        columns = chosen(12, name).columns
        assert columns == ({} if target.family == "u85" else {"conv0": 2, "leaky1": 2})
    b = GraphBuilder(0, 16, 12)
    b.conv("silhouette", 8, 3)
    graph = b.graph("3 x 3")  # three steps both ways
    assert form_for(graph, frame_of(graph), TARGETS["ethos-u55-128"]) == AS_IT_STANDS


def test_large_maps_are_not_sliced_where_they_lie_in_dram(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any(chosen(12, name).overhang for name in TARGETS)
    monkeypatch.setattr(forms, "SRAM_MAP", 16 * 12 * 32 - 1)
    for name, target in TARGETS.items():
        assert bool(chosen(12, name).overhang) == (target.family != "u55")


def streamed(graph: Graph, segment: Segment, compiled: CompiledSegment, clip: np.ndarray) -> dict[str, np.ndarray]:
    interpreter = Interpreter(compiled)
    state = {name: np.full(graph.tensors[name].shape, -128, np.int8) for name in segment.state}
    for codes in reference.input_codes(clip):
        state = interpreter.run({graph.input: codes, **{name + BEFORE: array for name, array in state.items()}})
    return state


def assert_computed(graph: Graph, name: str) -> None:
    """AssertionError unless the chosen form's command stream makes the codes of the graph."""
    segment, target = frame_of(graph), TARGETS[name]
    compiled = compile_segment(tosa_for(graph, segment, target), target)
    height, width, _ = graph.tensors[graph.input].shape
    clip = silhouettes(2, 4, height, width)
    expected = reference.trace(graph, clip)
    for tensor, codes in streamed(graph, segment, compiled, clip).items():
        assert_codes_equal(codes, expected[tensor][0], tensor)


@pytest.mark.parametrize("name", ["ethos-u55-128", "ethos-u55-256"])
def test_command_streams_of_the_form_compute_the_graph(name: str) -> None:
    assert_computed(narrow_maps(11), name)


def test_command_streams_with_an_overhang_compute_the_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "SRAM_MAP", 0)
    graph = gaitbase_graph(0, (4, 6, 8, 8))
    assert len(form_for(graph, frame_of(graph), TARGETS["ethos-u65-256"]).overhang) == 2
    assert_computed(graph, "ethos-u65-256")


def test_forms_take_fewer_cycles_and_no_copies() -> None:
    graph = narrow_maps(11)
    segment, target = frame_of(graph), TARGETS["ethos-u55-128"]
    plain = compile_segment(segment_bytes(graph, segment), target).figures
    formed = compile_segment(tosa_for(graph, segment, target), target).figures
    assert formed.cycles < 0.97 * plain.cycles
    for figures in (plain, formed):
        assert not [layer for layer in figures.layers if layer.operator == "MemoryCopy"]


def test_a_gaitset_in_small_has_no_copies() -> None:
    graph = gaitset_graph(0, (4, 6, 8))
    segment, target = frame_of(graph), TARGETS["ethos-u55-128"]
    layers = compile_segment(tosa_for(graph, segment, target), target).figures.layers
    assert {layer.operator for layer in layers} <= {"Conv2D", "LUT", "MaxPool", "Maximum", "Transpose"}
