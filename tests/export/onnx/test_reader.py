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
from qgait.export.onnx.metadata import DIGEST_KEY, FORMAT_KEY, GRAPH_KEY, PROVENANCE_KEY, set_metadata
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
    assert "it is a folder, not a file" in refusal(tmp_path).problem


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
    set_metadata(model, entries | {FORMAT_KEY: "5"})
    onnx.save(model, exported)
    assert "has format 5, newer than format 4" in refusal(exported).problem


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
    "added initializer": lambda model: model.graph.initializer.append(
        numpy_helper.from_array(np.ones(1, np.int8), "more")
    ),
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
    description["tensors"][1]["hi"] = -100
    assert (
        "conv0 has lo -128, zero point -90, hi -100"
        in refusal(redigested(model, description, tmp_path / "model.onnx")).problem
    )


GraphEdit = Callable[[dict], object]

DESCRIPTIONS: dict[str, tuple[GraphEdit, str]] = {
    "no operators": (lambda graph: graph.pop("ops"), "it has no entry ops"),
    "an unknown operator": (lambda graph: graph["ops"][0].update(op="Softmax"), "ops[0].op is 'Softmax'"),
    "an array elsewhere": (
        lambda graph: graph["ops"][0]["initializers"].update(weight="elsewhere"),
        "conv0 has no initializer elsewhere",
    ),
    "no stride": (lambda graph: graph["ops"][0].pop("stride"), "ops[0] has no entry stride"),
    "three strides": (lambda graph: graph["ops"][0].update(stride=[1, 1, 1]), "ops[0].stride has to be a list of"),
    "reads a stranger": (lambda graph: graph["ops"][0].update(inputs=["nothing"]), "conv0 reads no tensor"),
    "reads nothing": (lambda graph: graph["ops"][0].update(inputs=[]), "conv0 reads no tensor"),
    "another array": (
        lambda graph: graph["ops"][0]["initializers"].update(weight="conv0.bias"),
        "the initializer conv0.bias is int32, not int8",
    ),
    "an array of another operator": (
        lambda graph: graph["ops"][0]["initializers"].update(weight="leaky1.table"),
        "conv0 has an initializer for its weight of shape [256]",
    ),
    "biases of another operator": (
        lambda graph: graph["ops"][0]["initializers"].update(bias="conv4.bias"),
        "conv0 has biases of shape [16], not [8]",
    ),
    "an unknown setting": (lambda graph: graph["ops"][0].update(colour="red"), "ops[0] has an entry colour"),
    "a scale in words": (lambda graph: graph["tensors"][0].update(scale="a lot"), "tensors[0].scale is text that"),
    "no scale": (lambda graph: graph["tensors"][0].update(scale=None), "tensors[0].scale has to be text or a list"),
    "a huge scale": (lambda graph: graph["tensors"][1].update(scale="0x1.0p+999"), "conv0 has a scale that is not"),
    "a huge code": (lambda graph: graph["tensors"][1].update(hi=300), "tensors[1].hi has to be a whole number of at"),
    "a huge map": (lambda graph: graph["tensors"][1].update(shape=[65536] * 3), "conv0 has 281,474,976,710,656 codes"),
    "many frames": (lambda graph: graph.update(min_frames=10**9), "min_frames has to be a whole number of at most"),
    "one tensor twice": (lambda graph: graph["tensors"].append(graph["tensors"][0]), "does not describe its graph"),
    "another value": (lambda graph: graph["tensors"][3].update(value="conv0"), "does not describe its graph"),
    "a huge bias": (lambda graph: graph["tensors"][0].update(zero_point=0), "does not have scale 1/255, zero point"),
}


@pytest.mark.parametrize("case", DESCRIPTIONS)
def test_what_is_wrong_in_a_description_is_named(case: str, tmp_path: Path) -> None:
    edit, words = DESCRIPTIONS[case]
    model = to_onnx(tiny_graph())
    description = json.loads(metadata(model, GRAPH_KEY).value)
    edit(description)
    problem = refusal(redigested(model, description, tmp_path / "model.onnx")).problem
    assert words in problem and len(problem) < 300


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[]", "it has to be an object, not a list"),
        ("null", "it has to be an object, not null"),
        ("7", "it has to be an object, not a whole number"),
        ("[" * 5000, "nested more than 32 deep"),
        ('{"model": NaN}', "it says NaN"),
        ('{"model": "a", "model": "b"}', "the entry model stands there twice"),
        (f'{{"min_frames": {10**40}}}', "a number of 41 digits"),
    ],
)
def test_a_description_that_is_not_a_graph_is_refused(text: str, words: str, tmp_path: Path) -> None:
    path = redigested(to_onnx(tiny_graph()), text, tmp_path / "model.onnx")
    assert words in refusal(path).problem


def forged(path: Path, edit: Edit) -> Path:
    """A file with a change of its protobuf, and a digest that fits."""
    model = to_onnx(tiny_graph())
    edit(model)
    entries = {entry.key: entry.value for entry in model.metadata_props if entry.key != DIGEST_KEY}
    set_metadata(model, entries)
    path.write_bytes(model.SerializeToString())
    return path


def external(model: onnx.ModelProto) -> None:
    tensor = initializer(model, "conv0.weight")
    onnx.external_data_helper.set_external_data(tensor, "/etc/passwd")
    tensor.ClearField("raw_data")


def sparse(model: onnx.ModelProto) -> None:
    values = numpy_helper.from_array(np.ones(1, np.int8), "sparse")
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "places")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [5]))


def subgraph(model: onnx.ModelProto) -> None:
    inner = helper.make_graph([], "inner", [], [])
    model.graph.node[0].attribute.append(helper.make_attribute("body", inner))


def dimensions(*dims: int) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        initializer(model, "conv0.weight").dims[:] = dims

    return edit


FORGERIES: dict[str, tuple[Edit, str]] = {
    "data in another file": (external, "conv0.weight has its data in another file, which is not read"),
    "a sparse tensor": (sparse, "it holds a sparse tensor"),
    "a graph in a node": (subgraph, "a node of it holds a graph of its own"),
    "huge dimensions": (dimensions(2**40, 2**40), "has dimensions [1099511627776, 1099511627776], but holds 200"),
    "negative dimensions": (dimensions(-8, -25), "has dimensions [-8, -25], but holds 200"),
    "other dimensions": (dimensions(200), "has an initializer for its weight of shape [200]"),
    "a string tensor": (
        lambda model: setattr(initializer(model, "conv0.weight"), "data_type", TensorProto.STRING),
        "conv0.weight has no integers",
    ),
    "a float tensor": (
        lambda model: model.graph.initializer.append(numpy_helper.from_array(np.ones(1), "more")),
        "the tensor more has no integers",
    ),
    "two inputs": (lambda model: model.graph.input.append(model.graph.input[0]), "does not take or give silhouettes"),
    "another size": (
        lambda model: setattr(model.graph.input[0].type.tensor_type.shape.dim[1], "dim_value", 4000),
        "does not take or give silhouettes",
    ),
    "another output": (
        lambda model: setattr(model.graph.output[0].type.tensor_type, "elem_type", TensorProto.FLOAT),
        "does not take or give embedding",
    ),
    "other words for the cut": (edit_metadata("qgait.cut", "conv0", "conv1"), "qgait.cut of its metadata does not"),
    "another model": (edit_metadata("qgait.model", "tiny", "huge"), "qgait.model of its metadata does not"),
    "an unknown entry": (lambda model: model.metadata_props.add(key="note", value="") and None, "unknown entry note"),
    "a format in words": (edit_metadata(FORMAT_KEY, "4", "four"), "has the format four, which is no number"),
    "format 0": (edit_metadata(FORMAT_KEY, "4", "0"), "has the format 0"),
    "provenance that is no text": (
        lambda model: model.metadata_props.add(key=PROVENANCE_KEY, value='{"commit": 5}') and None,
        "qgait.provenance: commit has to be text, not a whole number",
    ),
}


@pytest.mark.parametrize("case", FORGERIES)
def test_a_forged_file_is_refused(case: str, tmp_path: Path) -> None:
    edit, words = FORGERIES[case]
    problem = refusal(forged(tmp_path / "model.onnx", edit)).problem
    assert words in problem and len(problem) < 300


def test_a_file_may_tell_where_it_is_from(tmp_path: Path) -> None:
    told = json.dumps({"qgait": "1.0", "model sha256": "0" * 64})
    path = forged(
        tmp_path / "model.onnx", lambda model: model.metadata_props.add(key=PROVENANCE_KEY, value=told) and None
    )
    assert read(path).model == "tiny"


def test_an_entry_that_stands_twice_is_refused(exported: Path) -> None:
    model = onnx.load(exported)
    model.metadata_props.add(key=FORMAT_KEY, value="3")
    onnx.save(model, exported)
    assert "its metadata has qgait.format twice" in refusal(exported).problem


def test_text_that_is_no_text_is_refused(exported: Path) -> None:
    content = exported.read_bytes()
    exported.write_bytes(content.replace(b"conv0/product", b"conv0/p\xffoduct"))
    assert "holds text that is not UTF-8" in refusal(exported).problem
