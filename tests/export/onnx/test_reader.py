"""What the reader refuses: strangers, newer formats, damage, and any change after the export."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from example_graphs import tiny_graph
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

from qgait.errors import QgaitError
from qgait.export.onnx.metadata import DIGEST_KEY, FORMAT_KEY, GRAPH_KEY, set_metadata
from qgait.export.onnx.reader import read
from qgait.export.onnx.writer import to_onnx, write

Edit = Callable[[onnx.ModelProto], None]


def refusal(path: Path) -> QgaitError:
    with pytest.raises(QgaitError) as caught:
        read(path)
    return caught.value


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    write(tiny_graph(), path)
    return path


def test_missing_file(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "none.onnx").problem


def test_a_folder(tmp_path: Path) -> None:
    assert "is a directory" in refusal(tmp_path).problem


@pytest.mark.parametrize(
    "content", [b"", b"hello, this is not a model\n" * 50, bytes(range(256)) * 20, b"\x80\x02}q\x00."]
)
def test_not_an_onnx_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert "is not an ONNX file, or is truncated" in refusal(path).problem


def test_every_truncation_is_refused(exported: Path) -> None:
    content = exported.read_bytes()
    rng = np.random.default_rng(0)
    for length in [*range(0, 200, 7), *rng.integers(0, len(content), 150).tolist(), len(content) - 1]:
        exported.write_bytes(content[:length])
        refusal(exported)


def test_another_onnx_model(tmp_path: Path) -> None:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "other", [x], [y])
    onnx.save(helper.make_model(graph), tmp_path / "other.onnx")
    error = refusal(tmp_path / "other.onnx")
    assert "not an export of qgait" in error.problem
    assert "qgait export" in error.fix


def test_a_newer_format(exported: Path) -> None:
    model = onnx.load(exported)
    entries = {entry.key: entry.value for entry in model.metadata_props if entry.key != DIGEST_KEY}
    set_metadata(model, entries | {FORMAT_KEY: "4"})
    onnx.save(model, exported)
    assert "has format 4, newer than format 3" in refusal(exported).problem


def initializer(model: onnx.ModelProto, suffix: str) -> onnx.TensorProto:
    return next(item for item in model.graph.initializer if item.name.endswith(suffix))


def add_one(model: onnx.ModelProto, suffix: str) -> None:
    """To the first element of an array."""
    tensor = initializer(model, suffix)
    array = numpy_helper.to_array(tensor).copy()
    array.flat[0] += 1
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def node(model: onnx.ModelProto, kind: str) -> onnx.NodeProto:
    return next(item for item in model.graph.node if item.op_type == kind)


def metadata(model: onnx.ModelProto, key: str) -> onnx.StringStringEntryProto:
    return next(entry for entry in model.metadata_props if entry.key == key)


def edit_metadata(key: str, old: str, new: str) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        entry = metadata(model, key)
        assert old in entry.value
        entry.value = entry.value.replace(old, new, 1)

    return edit


def edit_attribute(kind: str, attribute: str) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        found = next(item for item in node(model, kind).attribute if item.name == attribute)
        if found.ints:
            found.ints[0] += 1
        else:
            found.i += 1

    return edit


ALTERATIONS: dict[str, Edit] = {
    **{
        f"one {suffix}": (lambda model, suffix=suffix: add_one(model, suffix))  # type: ignore[misc]
        for suffix in (".weight", ".bias", ".multiplier", ".shift", ".table", "int8/-128", "int32/128")
    },
    "zero point": edit_attribute("Requant", "zero_point"),
    "lower clip": edit_attribute("Requant", "lo"),
    "padding": edit_attribute("ConvInteger", "pads"),
    "axis": edit_attribute("Concat", "axis"),
    "wiring": lambda model: node(model, "Add").input.reverse(),
    "operator": lambda model: setattr(node(model, "Sub"), "op_type", "Add"),
    "function body": lambda model: setattr(model.functions[0].node[14], "op_type", "Add"),
    "offset in the function": lambda model: setattr(model.functions[0].node[10].attribute[0], "i", 2**61),
    "scale": edit_metadata(GRAPH_KEY, "0x1.", "0x1.8"),
    "cut": edit_metadata("qgait.cut", "conv0", "conv1"),
    "input contract": edit_metadata("qgait.input", "pixel - 128", "pixel"),
    "embedding layout": edit_metadata("qgait.embedding", "channel", "chan"),
    "model name": edit_metadata("qgait.model", "tiny", "huge"),
    "added metadata": lambda model: model.metadata_props.add(key="note", value="mine") and None,
    "added node": lambda model: model.graph.node.append(helper.make_node("Identity", ["embedding"], ["copy"])),
    "added initializer": lambda model: model.graph.initializer.append(numpy_helper.from_array(np.ones(1), "more")),
    "opset": lambda model: setattr(model.opset_import[0], "version", 20),
    "digest": edit_metadata(DIGEST_KEY, "", "0"),
    "no digest": lambda model: model.metadata_props.remove(metadata(model, DIGEST_KEY)),
}


@pytest.mark.parametrize("change", ALTERATIONS)
def test_altered_after_export(exported: Path, change: str) -> None:
    model = onnx.load(exported)
    before = model.SerializeToString()
    ALTERATIONS[change](model)
    assert model.SerializeToString() != before
    onnx.save(model, exported)
    assert "was altered after its export" in refusal(exported).problem


def test_random_byte_damage_is_refused(exported: Path) -> None:
    content = exported.read_bytes()
    rng = np.random.default_rng(1)
    for position in rng.integers(0, len(content), 300):
        damaged = bytearray(content)
        damaged[position] ^= 1 << int(rng.integers(0, 8))
        exported.write_bytes(damaged)
        if not same_message(damaged, content):  # protobuf drops bits beyond the 64th of a number
            refusal(exported)


def same_message(one: bytes | bytearray, other: bytes) -> bool:
    try:
        return bool(onnx.load_model_from_string(bytes(one)) == onnx.load_model_from_string(other))
    except DecodeError:
        return False


def test_saving_the_model_again_unchanged_is_fine(exported: Path) -> None:
    onnx.save(onnx.load(exported), exported)
    assert read(exported).model == "tiny"


def redigested(model: onnx.ModelProto, description: dict[str, object] | str, path: Path) -> Path:
    """With another description of the graph and a digest that fits it, as only a forger would make."""
    entries = {entry.key: entry.value for entry in model.metadata_props if entry.key != DIGEST_KEY}
    text = description if isinstance(description, str) else json.dumps(description)
    set_metadata(model, entries | {GRAPH_KEY: text})
    onnx.save(model, path)
    return path


def test_a_graph_that_breaks_an_invariant_is_refused(tmp_path: Path) -> None:
    model = to_onnx(tiny_graph())
    description = json.loads(metadata(model, GRAPH_KEY).value)
    description["tensors"][1]["hi"] = 300
    assert "conv0 has lo -128" in refusal(redigested(model, description, tmp_path / "model.onnx")).problem


@pytest.mark.parametrize(
    "edit",
    [
        lambda graph: graph.pop("ops"),
        lambda graph: graph["ops"][0].update(op="Softmax"),
        lambda graph: graph["ops"][0]["initializers"].update(weight="elsewhere"),
        lambda graph: graph["ops"][0].pop("stride"),
        lambda graph: graph["ops"][0].update(inputs=["nothing"]),
        lambda graph: graph["ops"][0].update(inputs=[]),
        lambda graph: graph["ops"][0]["initializers"].update(weight="conv0.bias"),
        lambda graph: graph["ops"][0].update(colour="red"),
        lambda graph: graph["tensors"][0].update(scale="a lot"),
        lambda graph: graph["tensors"][0].update(scale=None),
    ],
)
def test_an_incomplete_description_is_refused(tmp_path: Path, edit: Callable[[dict], None]) -> None:
    model = to_onnx(tiny_graph())
    description = json.loads(metadata(model, GRAPH_KEY).value)
    edit(description)
    assert "is incomplete" in refusal(redigested(model, description, tmp_path / "model.onnx")).problem


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7"])
def test_a_description_that_is_not_a_graph_is_refused(tmp_path: Path, text: str) -> None:
    path = redigested(to_onnx(tiny_graph()), text, tmp_path / "model.onnx")
    assert "is incomplete" in refusal(path).problem
