"""TOSA files: every operator by itself, segments that stream, and what the specification asks of a file."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from conv_cases import CASES, ConvCase
from example_graphs import gaitbase_graph, gaitset_graph, parts_graph, temporal_graph, tiny_graph
from graph_builder import GraphBuilder, silhouettes
from graph_edits import with_op
from parity import assert_codes_equal

from qgait.errors import QgaitError
from qgait.export.graph import Graph
from qgait.export.operators import Add, Requant
from qgait.export.segments import BEFORE, Segment, segment_of
from qgait.export.tosa.writer import clip_bytes, segment_bytes
from qgait.runtime import reference
from qgait.runtime.tosa_model import execute

Make = Callable[[GraphBuilder, str], str]


def narrow(b: GraphBuilder, x: str, channels: int) -> str:
    return b.conv(x, channels, 1, zero_point=0, bits=4)


OPERATORS: dict[str, Make] = {
    "first convolution": lambda b, x: b.conv("silhouette", 5, 5),
    "convolution to one channel": lambda b, x: b.conv(x, 1, 3),
    "convolution to 4 bits": lambda b, x: narrow(b, x, 6),
    "table": lambda b, x: b.leaky(x),
    "pool of 2": lambda b, x: b.pool(x),
    "pool of 3 that leaves a row": lambda b, x: b.pool(b.rows(x, 0, 13), 3),
    "pool of 5": lambda b, x: b.pool(x, 5),
    "sum": lambda b, x: b.add(b.conv(x, 8, 1, zero_point=7), x, zero_point=-20),
    "sum of equal scales": lambda b, x: b.add(x, b.pool(x, 1)),
    "sum of parts": lambda b, x: b.add(b.strips(x, (4, 2)), b.strips(x, (2, 4), zero_point=-3)),
    "strips": lambda b, x: b.strips(x, (16, 8, 4, 2, 1), zero_point=-100),
    "mean of strips": lambda b, x: b.strips(x, (4, 1), kind="mean"),
    "strips of 4 bits": lambda b, x: b.strips(narrow(b, x, 3), (2, 8), zero_point=0),
    "linear": lambda b, x: b.linear(b.strips(x, (4, 2, 1)), 9),
    "linear of one part": lambda b, x: b.linear(b.strips(x, (1,)), 3),
    "joined maps": lambda b, x: b.concat(b.rows(x, 0, 3), x, b.rows(x, 9, 16)),
    "joined parts": lambda b, x: b.concat(b.strips(x, (2,)), b.strips(x, (4,))),
    "70 joined maps": lambda b, x: b.concat(*(b.rows(x, i % 16, i % 16 + 1) for i in range(70))),
    "one joined map": lambda b, x: b.concat(x),
    "rows": lambda b, x: b.rows(x, 5, 12),
    "all rows": lambda b, x: b.rows(x, 0, 16),
    "product of maps": lambda b, x: b.multiply(x, b.sigmoid(b.conv(x, 8, 1))),
    "product with one number a channel": lambda b, x: b.multiply(x, b.sigmoid(b.strips(x, (1,)))),
    "product of parts": lambda b, x: b.multiply(b.strips(x, (4, 1)), b.sigmoid(b.strips(x, (1, 4)))),
    "generalized mean": lambda b, x: b.power_pool(x, (16,)),
    "generalized mean of uneven regions": lambda b, x: b.power_pool(x, (3, 1, 12), 3.0, hi=90),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator(name: str) -> None:
    b = GraphBuilder(len(name), 16, 12)
    OPERATORS[name](b, b.conv("silhouette", 8, 3, zero_point=-90))
    graph = b.graph("case")
    op = graph.ops[-1]
    inputs = {name: b.codes[name][:1] for name in op.inputs}
    tosa = segment_bytes(graph, segment_of(graph, (op,), "case"))
    assert_codes_equal(execute(tosa, inputs, [op.output])[op.output], b.codes[op.output][:1])


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_convolution_and_what_follows(case: ConvCase) -> None:
    graph, _, codes = case.build()
    segment = segment_of(graph, graph.ops, "case")
    found = execute(
        segment_bytes(graph, segment), {name: codes[name][np.newaxis] for name in segment.inputs}, segment.outputs
    )
    assert list(found) == [graph.output]
    np.testing.assert_array_equal(found[graph.output][0], codes[graph.output])
    assert found[graph.output].dtype == np.int8


def test_a_generalized_mean_of_too_many_pixels_is_refused() -> None:
    b = GraphBuilder(0, 128, 64)
    b.power_pool("silhouette", (127, 1))
    graph = b.graph("case")
    assert segment_bytes(graph, segment_of(graph, graph.ops, "case"))
    b = GraphBuilder(0, 128, 64)
    b.power_pool("silhouette", (128,))
    graph = b.graph("case")
    with pytest.raises(QgaitError, match="sums 8192 pixels; int32, all that TOSA has, holds 8191"):
        segment_bytes(graph, segment_of(graph, graph.ops, "case"))


def test_a_sum_that_scales_by_too_little_is_refused() -> None:
    """Unequal factors are written 2**5 times as large, and the shift with them."""
    b = GraphBuilder(0, 16, 12)
    x = b.conv("silhouette", 8, 3)
    b.add(b.conv(x, 8, 1, zero_point=7), x)
    op = b.ops[-1]
    assert isinstance(op, Add) and op.factors[0] != op.factors[1]
    for shift, factors in ((57, op.factors), (62, (3, 3))):
        requant = Requant(op.requant.multiplier, np.full(1, shift, np.int8))
        graph = with_op(b.graph("case"), op.name, requant=requant, factors=factors)
        assert segment_bytes(graph, segment_of(graph, graph.ops[-1:], "case"))
    graph = with_op(b.graph("case"), op.name, requant=Requant(op.requant.multiplier, np.full(1, 58, np.int8)))
    with pytest.raises(QgaitError, match=rf"{op.name} scales its sum by less than 2\*\*-26"):
        segment_bytes(graph, segment_of(graph, graph.ops[-1:], "case"))


def halves(graph: Graph) -> tuple[Segment, Segment]:
    """What runs once a frame and what runs once an embedding."""
    return segment_of(graph, tuple(graph.frame_ops()), "frame"), segment_of(graph, tuple(graph.clip_ops()), "head")


@pytest.mark.parametrize(
    "make", [tiny_graph, lambda: gaitset_graph(0, (4, 6, 8)), lambda: gaitbase_graph(0, (4, 6, 8, 8))]
)
def test_segments_stream(make: Callable[[], Graph]) -> None:
    """Frame after frame with running maxima, then the head: the codes of the whole clip."""
    graph = make()
    frame, head = halves(graph)
    assert frame.state == frame.outputs
    height, width, _ = graph.tensors[graph.input].shape
    clip = silhouettes(3, 8, height, width)
    expected = reference.trace(graph, clip)
    tosa = segment_bytes(graph, frame)
    state = {name: np.full((1, *graph.tensors[name].shape), -128, np.int8) for name in frame.state}
    for codes in reference.input_codes(clip):
        before = {name + BEFORE: array for name, array in state.items()}
        state = execute(tosa, {graph.input: codes[np.newaxis], **before}, frame.outputs)
    for name in frame.state:
        assert_codes_equal(state[name], expected[name], name)
    assert_codes_equal(execute(segment_bytes(graph, head), state, head.outputs)[graph.output], expected[graph.output])


def test_a_file_bears_the_names_of_the_graph_in_order() -> None:
    from tosa.TosaGraph import TosaGraph

    graph = tiny_graph()
    frame, _ = halves(graph)
    root = TosaGraph.GetRootAs(segment_bytes(graph, frame))
    version, block = root.Version(), root.Regions(0).Blocks(0)
    assert (version._Major(), version._Minor(), version._Patch(), version._Draft()) == (1, 0, 0, False)
    tensors = {block.Tensors(i).Name().decode(): block.Tensors(i) for i in range(block.TensorsLength())}
    inputs = [block.Inputs(i).decode() for i in range(block.InputsLength())]
    outputs = [block.Outputs(i).decode() for i in range(block.OutputsLength())]
    assert inputs == [*frame.inputs, *(name + BEFORE for name in frame.state)]
    assert outputs == list(frame.outputs)
    for name in (*inputs, *outputs):
        shape = graph.tensors[name.removesuffix(BEFORE)].shape
        assert tensors[name].ShapeAsNumpy().tolist() == [1, *shape]


def validated(tosa: bytes, folder: Path, profile: str) -> subprocess.CompletedProcess[str]:
    """What the checker of the specification, which is another program than the reference model, says to a file."""
    path = folder / "graph.tosa"
    path.write_bytes(tosa)
    program = metadata.distribution("tosa-tools").locate_file("bin/tosa-opt")
    passes = [
        f"--tosa-deserialize=tosa-flatbuffer-filename={path}",
        f"--tosa-attach-target=specification_version=1.0 level=8k profiles={profile}",
        "--tosa-validate=strict-op-spec-alignment=true",
    ]
    return subprocess.run([str(program), *passes, "/dev/null", "-o", "/dev/null"], capture_output=True, text=True)


@pytest.mark.parametrize("make", [tiny_graph, temporal_graph, parts_graph])
def test_files_keep_to_the_integer_profile(make: Callable[[], Graph], tmp_path: Path) -> None:
    tosa = clip_bytes(make(), 5)
    done = validated(tosa, tmp_path, "pro_int")
    assert done.returncode == 0, done.stderr[:2000]
    done = validated(tosa, tmp_path, "pro_fp")
    assert done.returncode != 0 and "profile" in done.stderr


def test_equal_graphs_make_equal_files() -> None:
    assert clip_bytes(tiny_graph(), 4) == clip_bytes(tiny_graph(), 4) != clip_bytes(tiny_graph(1), 4)
