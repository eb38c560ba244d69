"""A wrong node in an ONNX file, which its metadata know nothing of, is refused; were it not, codes would show it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from example_graphs import parts_graph, silhouettes, temporal_graph, tiny_graph

from qgait.errors import QgaitError
from qgait.export.graph import Graph
from qgait.export.onnx import own_nodes
from qgait.export.onnx.check import check_onnx
from qgait.export.onnx.metadata import DIGEST_KEY, set_metadata
from qgait.export.onnx.own_nodes import require_own_nodes
from qgait.export.onnx.writer import to_onnx
from qgait.runtime.ort import OnnxRuntime
from qgait.runtime.reference import Reference
from qgait.verification.parity import compare

Make = Callable[[int], Graph]


def retouched(graph: Graph, path: Path, edit: Callable[[onnx.ModelProto], object]) -> OnnxRuntime:
    """The runtime of a file whose nodes were changed behind the back of its metadata, with a digest that fits."""
    model = to_onnx(graph)
    edit(model)
    check_onnx(model)
    entries = {entry.key: entry.value for entry in model.metadata_props if entry.key != DIGEST_KEY}
    set_metadata(model, entries)
    onnx.save(model, path)
    return OnnxRuntime(path, threads=1)


def reading(model: onnx.ModelProto, node: str, place: int, array: np.ndarray) -> None:
    """Gives input ``place`` of a node a constant of its own."""
    (found,) = (item for item in model.graph.node if item.name == node)
    model.graph.initializer.append(onnx.numpy_helper.from_array(array, f"{node}/other{place}"))
    found.input[place] = f"{node}/other{place}"


def no_repetition(model: onnx.ModelProto) -> None:
    (cast,) = (item for item in model.graph.node if item.name == "silhouettes/int32")
    cast.input[0] = "silhouettes"


def later_rows(model: onnx.ModelProto) -> None:
    reading(model, "rows12", 1, np.array([1]))
    reading(model, "rows12", 2, np.array([6]))


def one_sided_window(model: onnx.ModelProto) -> None:
    """All padding in front."""
    reading(model, "window7/code/padded", 1, np.array([2, 0, 0, 0, 0, 0, 0, 0]))


def one_sided_maximum(model: onnx.ModelProto) -> None:
    reading(model, "windowmax14/code/padded", 1, np.array([2, 0, 0, 0, 0, 0, 0, 0]))


RETOUCHES: dict[str, tuple[Make, Callable[[onnx.ModelProto], None], str]] = {
    "missing frames are black": (
        temporal_graph,
        lambda model: reading(model, "window7/code/padded", 2, np.array(0, np.int8)),
        "window7",
    ),
    "a shifted window": (temporal_graph, one_sided_window, "window7"),
    "a shifted maximum": (temporal_graph, one_sided_maximum, "windowmax14"),
    "other rows": (temporal_graph, later_rows, "rows12"),
    "mean of five": (
        parts_graph,
        lambda model: reading(model, "windowpool12/weighted", 1, np.array(5, np.int32)),
        "windowpool12",
    ),
    "order of a window": (
        parts_graph,
        lambda model: next(n for n in model.graph.node if n.name == "window6").input.reverse(),
        "window6",
    ),
}


@pytest.fixture
def believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody compares the nodes with those of the graph."""
    monkeypatch.setattr(own_nodes, "require_own_nodes", lambda *_: None)


@pytest.mark.parametrize("what", RETOUCHES)
def test_a_wrong_node_is_refused_by_name(what: str, tmp_path: Path) -> None:
    make, edit, layer = RETOUCHES[what]
    with pytest.raises(QgaitError, match=rf"model.onnx does not compute what it describes: the \w+ {layer}"):
        retouched(make(0), tmp_path / "model.onnx", edit)


def other_attribute(model: onnx.ModelProto) -> None:
    node = next(item for item in model.graph.node if item.op_type == "Requant")
    next(item for item in node.attribute if item.name == "hi").i -= 1


def other_constant(model: onnx.ModelProto) -> None:
    """One that many nodes share."""
    tensor = next(item for item in model.graph.initializer if item.name == "int32/128")
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.array(127, np.int32), tensor.name))


def other_function(model: onnx.ModelProto) -> None:
    next(node for node in model.functions[0].node if node.op_type == "Add").op_type = "Sub"


def same_kind_of_value(model: onnx.ModelProto) -> None:
    """What is read instead has the same type and shape."""
    next(item for item in model.graph.node if item.op_type == "Add" and item.name == "add6").input.reverse()


def no_node(model: onnx.ModelProto) -> None:
    del model.graph.node[-1]
    model.graph.node.append(onnx.helper.make_node("Identity", ["conv0"], ["embedding"]))


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (other_attribute, "the node conv0"),
        (other_constant, "the initializer int32/128"),
        (other_function, "the Requant function"),
        (same_kind_of_value, "the node add6"),
        (no_node, "the node Identity"),
    ],
)
def test_every_part_of_a_file_is_compared_with_the_graph(
    edit: Callable[[onnx.ModelProto], None], words: str, tmp_path: Path
) -> None:
    model = to_onnx(tiny_graph())
    require_own_nodes(model, tiny_graph(), tmp_path)
    edit(model)
    with pytest.raises(QgaitError, match=words):
        require_own_nodes(model, tiny_graph(), tmp_path)


@pytest.mark.usefixtures("believed")
@pytest.mark.parametrize("what", RETOUCHES)
def test_a_wrong_node_is_seen_and_its_layer_named(what: str, tmp_path: Path) -> None:
    make, edit, layer = RETOUCHES[what]
    graph = make(0)
    clips = [silhouettes(frames, frames, 16, 12) for frames in (1, 5, 9)]
    result = compare(
        retouched(graph, tmp_path / "model.onnx", edit), graph, clips, [Reference(graph).embed(clip) for clip in clips]
    )
    assert result.mismatches > 0
    assert result.first_layer == layer


@pytest.mark.usefixtures("believed")
def test_forgotten_repetition_does_not_pass(tmp_path: Path) -> None:
    """Without it a clip of one frame has no values at all; ONNX Runtime may refuse to run."""
    graph = temporal_graph()
    runtime = retouched(graph, tmp_path / "model.onnx", no_repetition)
    clip = silhouettes(1, 1, 16, 12)
    wanted = Reference(graph).embed(clip)
    try:
        found = runtime.embed(clip)
    except QgaitError as error:
        assert "ONNX Runtime cannot run" in error.problem
        return
    assert found.shape != wanted.shape or np.any(found != wanted)
