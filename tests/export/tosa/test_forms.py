"""Equal forms of a segment: the same codes in TOSA's reference model, and different files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from example_graphs import gaitbase_graph, gaitset_graph, tiny_graph
from graph_builder import GraphBuilder, silhouettes
from parity import assert_codes_equal

from qgait.export.graph import Graph
from qgait.export.operators import Conv2d, Table
from qgait.export.segments import BEFORE, segment_of
from qgait.export.tosa.forms import Form, can_turn, side_by_side, turned
from qgait.export.tosa.writer import segment_bytes
from qgait.runtime import reference
from qgait.runtime.reference_operators import conv2d
from qgait.runtime.tosa_model import execute


def first_layers(graph: Graph, columns: int) -> dict[str, int]:
    """The convolution of the silhouette and a table behind it."""
    first = next(op for op in graph.ops if graph.input in op.inputs)
    behind = graph.readers(first.output)
    return {first.name: columns} | {op.name: columns for op in behind if isinstance(op, Table)}


def every_form(graph: Graph) -> dict[str, Form]:
    able = [op.name for op in graph.frame_ops() if can_turn(graph, op)]
    strided = frozenset(op.name for op in graph.ops if isinstance(op, Conv2d) and op.stride != (1, 1))
    late = frozenset(able[len(able) // 2 :])
    return {
        "turned": Form(frozenset(able)),
        "turned late": Form(late),
        "turned by turns": Form(frozenset(able[::2])),
        "two columns": Form(columns=first_layers(graph, 2)),
        "four columns, turned late, overhang": Form(late, first_layers(graph, 4), strided),
        "overhang": Form(overhang=strided),
        "overhang, turned": Form(frozenset(able), {}, strided),
    }


GRAPHS: dict[str, Callable[[], Graph]] = {
    "tiny": tiny_graph,
    "gaitset": lambda: gaitset_graph(0, (4, 6, 8)),
    "gaitbase": lambda: gaitbase_graph(0, (4, 6, 8, 8)),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_every_form_gives_the_same_codes(name: str) -> None:
    graph = GRAPHS[name]()
    segment = segment_of(graph, tuple(graph.frame_ops()), "frame")
    height, width, _ = graph.tensors[graph.input].shape
    clip = silhouettes(2, 5, height, width)
    codes = reference.input_codes(clip)
    first = {tensor: reference.trace(graph, clip[:1])[tensor] for tensor in segment.state}
    expected = reference.trace(graph, clip)
    files = {segment_bytes(graph, segment)}
    for what, form in every_form(graph).items():
        tosa = segment_bytes(graph, segment, form)
        files.add(tosa)
        before = {tensor + BEFORE: array for tensor, array in first.items()}
        found = execute(tosa, {graph.input: codes[1:], **before}, segment.outputs)
        for tensor in segment.outputs:
            assert_codes_equal(found[tensor], expected[tensor], f"{what}: {tensor}")
    assert len(files) > 4


def test_a_head_is_turned_too() -> None:
    graph = gaitset_graph(0, (4, 6, 8))
    segment = segment_of(graph, tuple(graph.clip_ops()), "head")
    expected = reference.trace(graph, silhouettes(2, 5))
    form = Form(frozenset(op.name for op in segment.ops if can_turn(graph, op)))
    found = execute(
        segment_bytes(graph, segment, form), {name: expected[name] for name in segment.inputs}, [graph.output]
    )
    assert_codes_equal(found[graph.output], expected[graph.output])


@pytest.mark.parametrize(("kernel", "columns"), [(3, 2), (5, 2), (5, 3), (1, 2), (7, 4), (5, 12)])
def test_columns_side_by_side(kernel: int, columns: int) -> None:
    b = GraphBuilder(kernel, 8, 12)
    b.conv("silhouette", 5, kernel)
    graph = b.graph("one layer")
    (op,) = graph.ops
    assert isinstance(op, Conv2d)
    source, result = graph.tensors[graph.input], graph.tensors[graph.output]
    pieces = b.codes[graph.input].reshape(2, 8, 12 // columns, columns)
    wide = side_by_side(op, columns)
    found = conv2d(wide, [pieces], [source], result).reshape(2, *result.shape)
    assert_codes_equal(found, b.codes[graph.output])
    wrong = replace(wide, weight=np.roll(wide.weight, 1, axis=0))
    with pytest.raises(AssertionError):
        assert_codes_equal(conv2d(wrong, [pieces], [source], result).reshape(found.shape), found)


def test_a_turned_convolution_with_uneven_padding_and_strides() -> None:
    b = GraphBuilder(3, 9, 12)
    b.conv(b.conv("silhouette", 3, 3), 4, 3)
    graph = b.graph("two layers")
    op = graph.ops[1]
    assert isinstance(op, Conv2d)
    op = replace(op, weight=op.weight[:, :2], padding=(2, 1, 0, 3), stride=(1, 2))
    source, result = (graph.tensors[name] for name in (op.inputs[0], op.output))
    x = b.codes[op.inputs[0]]
    found = conv2d(turned(op), [x.swapaxes(1, 2)], [source], result).swapaxes(1, 2)
    assert_codes_equal(found, conv2d(op, [x], [source], result))
