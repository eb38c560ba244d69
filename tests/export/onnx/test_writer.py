"""What a written file looks like from outside: contract, names, types, metadata."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from example_graphs import GraphBuilder, gaitset_graph, silhouettes, tiny_graph
from onnx import TensorProto, numpy_helper
from parity import assert_codes_equal

from qgait.errors import QgaitError
from qgait.export.onnx.check import check_onnx
from qgait.export.onnx.metadata import DIGEST_KEY, digest_of, metadata_of, scale_from_json, scale_to_json
from qgait.export.onnx.writer import to_onnx, write
from qgait.export.operators import Add, Conv2d, PartLinear, StripPool
from qgait.runtime.ort import OnnxRuntime
from qgait.runtime.reference import trace


def test_contract_of_input_and_output() -> None:
    graph = tiny_graph()
    model = to_onnx(graph)
    (source,), (result,) = model.graph.input, model.graph.output
    assert source.name == "silhouettes"
    assert source.type.tensor_type.elem_type == TensorProto.UINT8
    dimensions = source.type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in dimensions] == ["frames", 16, 12]
    assert result.name == "embedding"
    assert result.type.tensor_type.elem_type == TensorProto.INT8
    assert [dim.dim_value for dim in result.type.tensor_type.shape.dim] == [1, 14, 12]


def test_one_requant_box_a_requantized_layer_and_no_quantize_nodes() -> None:
    graph = gaitset_graph(channels=(4, 6, 8))
    kinds = Counter(node.op_type for node in to_onnx(graph).graph.node)
    assert kinds["Requant"] == sum(isinstance(op, Conv2d | Add | StripPool | PartLinear) for op in graph.ops)
    assert kinds["ConvInteger"] == sum(isinstance(op, Conv2d) for op in graph.ops)
    assert not kinds.keys() & {"QuantizeLinear", "DequantizeLinear", "Conv", "MatMul", "Gemm"}


def test_layers_keep_their_names_and_names_are_unique() -> None:
    graph = tiny_graph()
    names = [node.name for node in to_onnx(graph).graph.node]
    assert len(set(names)) == len(names)
    assert {op.name for op in graph.ops} <= set(names)


def test_weights_and_tables_are_int8_on_disk() -> None:
    graph = tiny_graph()
    stored = {initializer.name: initializer for initializer in to_onnx(graph).graph.initializer}
    for op in graph.ops:
        for field in ("weight", "table"):
            if hasattr(op, field):
                assert stored[f"{op.name}.{field}"].data_type == TensorProto.INT8


def test_bias_has_no_zero_point_term_in_the_file() -> None:
    """ConvInteger subtracts the zero point itself; the graph's bias holds it for runtimes that do not."""
    graph = tiny_graph()
    op = graph.ops[0]
    assert isinstance(op, Conv2d)
    stored = {initializer.name: initializer for initializer in to_onnx(graph).graph.initializer}
    bias = numpy_helper.to_array(stored[f"{op.name}.bias"]).ravel()
    np.testing.assert_array_equal(bias - (-128) * op.weight.astype(np.int64).sum(axis=(1, 2, 3)), op.bias)


def test_metadata_says_what_verify_and_compile_need() -> None:
    graph = tiny_graph()
    entries = {entry.key: entry.value for entry in to_onnx(graph).metadata_props}
    assert entries["qgait.format"] == "4"
    assert entries["qgait.model"] == "tiny"
    assert json.loads(entries["qgait.input"])["shape"] == ["frames", 16, 12]
    cut = json.loads(entries["qgait.cut"])
    assert cut["frame"] == [op.name for op in graph.frame_ops()]
    assert cut["clip"] == [op.name for op in graph.clip_ops()]
    embedding = json.loads(entries["qgait.embedding"])
    assert embedding["shape"] == [1, 14, 12]
    np.testing.assert_array_equal(scale_from_json(embedding["scale"]), graph.tensors[graph.output].scale)
    assert len(entries[DIGEST_KEY]) == 64


def test_scales_are_stored_exactly() -> None:
    scales = np.array([1 / 255, 1e-30, 3.4e38, 1.1754944e-38, 1e-45, 0.1], np.float32)
    np.testing.assert_array_equal(scale_from_json(json.loads(json.dumps(scale_to_json(scales)))), scales, strict=True)
    assert scale_from_json(scale_to_json(scales[0])) == scales[0]


def test_the_same_graph_gives_the_same_bytes() -> None:
    one, other = to_onnx(tiny_graph(4)), to_onnx(tiny_graph(4))
    assert one.SerializeToString() == other.SerializeToString()
    assert digest_of(one) != digest_of(to_onnx(tiny_graph(5)))
    assert metadata_of(tiny_graph(4)) == metadata_of(tiny_graph(4))


def test_tensors_may_be_called_like_the_file_s_input_and_output(tmp_path: Path) -> None:
    builder = GraphBuilder(0, 16, 12)
    builder.linear(builder.strips(builder.frame_max(builder.conv("silhouette", 4, 3)), (4,)), 3)
    graph = builder.graph("named")
    renamed = {"silhouette": "silhouettes", "conv0": "embedding"}

    def name(old: str) -> str:
        return renamed.get(old, old)

    tensors = {name(key): replace(tensor, name=name(key)) for key, tensor in graph.tensors.items()}
    ops = tuple(replace(op, inputs=tuple(name(x) for x in op.inputs), output=name(op.output)) for op in graph.ops)
    graph = replace(graph, input="silhouettes", tensors=tensors, ops=ops)
    write(graph, tmp_path / "model.onnx")
    clip = silhouettes(2, 1, 16, 12)
    actual, expected = OnnxRuntime(tmp_path / "model.onnx").trace(clip), trace(graph, clip)
    assert list(actual) == list(expected) == ["silhouettes", "embedding", "max1", "strips2", "linear3"]
    for tensor, codes in expected.items():
        assert_codes_equal(actual[tensor], codes, tensor)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(QgaitError, match=r"nowhere.model.onnx cannot be written: there is no folder") as caught:
        write(tiny_graph(), tmp_path / "nowhere" / "model.onnx")
    assert "make it" in caught.value.fix


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.onnx"
    write(tiny_graph(), path)
    before = path.read_bytes()

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(QgaitError, match=r"no space left"):
        write(tiny_graph(1), path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.onnx"]


def test_the_written_model_passes_its_own_check() -> None:
    check_onnx(to_onnx(tiny_graph()))
