"""The post-condition names every value that is not an integer."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from example_graphs import tiny_graph
from onnx import TensorProto, helper, numpy_helper

from qgait.errors import QgaitError
from qgait.export.onnx.check import check_onnx
from qgait.export.onnx.writer import to_onnx


def refusal(model: onnx.ModelProto) -> str:
    with pytest.raises(QgaitError) as caught:
        check_onnx(model)
    return caught.value.problem


def through(model: onnx.ModelProto, *nodes: onnx.NodeProto) -> onnx.ModelProto:
    """Puts ``nodes``, which map "conv0" to "patched", between the first convolution and its readers."""
    target = next(i for i, node in enumerate(model.graph.node) if "conv0" in node.output)
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            if name == "conv0":
                node.input[i] = "patched"
    rest = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*rest[: target + 1], *nodes, *rest[target + 1 :]])
    return model


def test_a_float_detour_is_named() -> None:
    model = through(
        to_onnx(tiny_graph()),
        helper.make_node("Cast", ["conv0"], ["as_float"], to=TensorProto.FLOAT),
        helper.make_node("Abs", ["as_float"], ["absolute"]),
        helper.make_node("Cast", ["absolute"], ["patched"], to=TensorProto.INT8),
    )
    assert "2 tensors between input and embedding are not integers: " in refusal(model)
    assert "as_float (float)" in refusal(model) and "absolute (float)" in refusal(model)


def test_a_float_initializer_is_named() -> None:
    model = to_onnx(tiny_graph())
    model.graph.initializer.append(numpy_helper.from_array(np.ones(3, np.float32), "left_over_scale"))
    assert "left_over_scale (float)" in refusal(model)


@pytest.mark.parametrize("kind", ["FLOAT16", "BFLOAT16", "DOUBLE"])
def test_other_types_are_named_too(kind: str) -> None:
    model = through(
        to_onnx(tiny_graph()),
        helper.make_node("Cast", ["conv0"], ["detour"], to=getattr(TensorProto, kind)),
        helper.make_node("Cast", ["detour"], ["patched"], to=TensorProto.INT8),
    )
    assert f"detour ({kind.lower()})" in refusal(model)


def test_a_float_inside_the_requantization_function_is_named() -> None:
    model = to_onnx(tiny_graph())
    (function,) = model.functions
    for node in function.node:
        if list(node.output) == ["acc64"]:
            node.output[0] = "hidden_int"
            position = list(function.node).index(node)
    detour = [
        helper.make_node("Cast", ["hidden_int"], ["hidden_float"], to=TensorProto.DOUBLE),
        helper.make_node("Cast", ["hidden_float"], ["acc64"], to=TensorProto.INT64),
    ]
    rest = list(function.node)
    del function.node[:]
    function.node.extend([*rest[: position + 1], *detour, *rest[position + 1 :]])
    problem = refusal(model)
    assert "10 tensors" in problem  # one in each of the ten requantizations
    assert "hidden_float" in problem and "(double)" in problem


def test_an_operator_of_unknown_type_is_named() -> None:
    model = through(to_onnx(tiny_graph()), helper.make_node("Mystery", ["conv0"], ["patched"], domain="elsewhere"))
    model.opset_import.append(helper.make_opsetid("elsewhere", 1))
    assert "patched (unknown type)" in refusal(model)


def test_a_declared_type_does_not_hide_an_unknown_operator_s_float() -> None:
    model = through(
        to_onnx(tiny_graph()),
        helper.make_node("Mystery", ["conv0"], ["unknown"], domain="elsewhere"),
        helper.make_node("Cast", ["unknown"], ["patched"], to=TensorProto.INT8),
    )
    model.opset_import.append(helper.make_opsetid("elsewhere", 1))
    model.graph.value_info.append(helper.make_tensor_value_info("unknown", TensorProto.FLOAT, None))
    assert "unknown (float)" in refusal(model)


def test_a_float_input_is_named() -> None:
    model = to_onnx(tiny_graph())
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT
    assert "silhouettes (float)" in refusal(model)


def test_a_nested_graph_is_not_overlooked() -> None:
    constant = helper.make_node("Constant", [], ["inner"], value=numpy_helper.from_array(np.array([1], np.int8)))
    output = helper.make_tensor_value_info("inner", TensorProto.INT8, [1])
    branch = helper.make_graph([constant], "branch", [], [output])
    model = to_onnx(tiny_graph())
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "always"))
    chosen = helper.make_node("If", ["always"], ["chosen"], name="choice", then_branch=branch, else_branch=branch)
    model = through(model, chosen, helper.make_node("Mul", ["conv0", "chosen"], ["patched"]))
    assert "choice (holds a graph of its own)" in refusal(model)


def test_the_onnx_checker_is_asked() -> None:
    model = to_onnx(tiny_graph())
    model.graph.node[3].input[0] = "nothing"
    assert "The ONNX checker refuses the model" in refusal(model)
