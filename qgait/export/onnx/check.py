"""Post-condition of the ONNX export: between input and embedding there are integers and truth values alone."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import TensorProto, inliner, shape_inference

from qgait.errors import QgaitError
from qgait.shown import listed, short

INTEGERS = {
    TensorProto.DataType.Value(name): name.lower()
    for name in ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "BOOL")
}


def check_onnx(model: onnx.ModelProto) -> None:
    """Raises QgaitError, with the name of every offending tensor, when a value is a float or its type is unknown.

    Looks at inputs, outputs, initialisers and all intermediate values, those inside model-local functions included,
    and runs the ONNX checker with shape inference.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
        inlined = inliner.inline_local_functions(model)
        inferred = shape_inference.infer_shapes(inlined, strict_mode=True)
    except (onnx.checker.ValidationError, shape_inference.InferenceError, RuntimeError) as error:
        reason = short(" ".join(str(error).split()), 200)
        raise QgaitError(
            f"The ONNX checker refuses the model: {reason}.", "export it again from the calibrated model."
        ) from error
    offenders = [f"{name} ({kind})" for name, kind in _types(inferred.graph) if kind not in INTEGERS.values()]
    if offenders:
        raise QgaitError(
            f"{len(offenders)} tensors between input and embedding are not integers: {listed(offenders)}.",
            "quantize the layers that make them, then export again.",
        )


def _types(graph: onnx.GraphProto) -> Iterator[tuple[str, str]]:
    """(name, type in words) of every value."""
    known = {value.name: value for value in (*graph.input, *graph.output, *graph.value_info)}
    for initializer in graph.initializer:
        yield initializer.name, _word(initializer.data_type)
    for name, value in known.items():
        yield name, _word(value.type.tensor_type.elem_type)
    for node in graph.node:
        yield from ((name, "unknown type") for name in node.output if name and name not in known)
        if any(attribute.g.node or attribute.graphs for attribute in node.attribute):
            yield node.name or node.op_type, "holds a graph of its own"


def _word(data_type: int) -> str:
    if data_type == TensorProto.UNDEFINED:
        return "unknown type"
    return INTEGERS.get(data_type, TensorProto.DataType.Name(data_type).lower())
