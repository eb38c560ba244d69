"""Whether the nodes of an ONNX file are those of the graph that it describes: only then is it given to ONNX Runtime.

The graph is exported once more. What a file may differ in from that is what onnxsim does: nodes are left out, and
others read instead of their results values that are the same by construction.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import inliner, shape_inference

from qgait.errors import QgaitError
from qgait.export.graph import Graph
from qgait.export.onnx.soundness import array_of
from qgait.export.onnx.writer import to_onnx
from qgait.shown import short

SAME_SHAPE = ("Reshape", "Slice", "Pad")  # change nothing where they do not change the shape, as the writer uses them


def require_own_nodes(model: onnx.ModelProto, graph: Graph, path: Path) -> None:
    """QgaitError that names the node, initialiser or setting of a sound ``model`` which ``graph`` does not have."""
    strange = next(strangers(model, to_onnx(graph)), None)
    if strange is not None:
        raise QgaitError(
            f"{path} does not compute what it describes: {strange} is not that of its graph.",
            "export it again with `qgait export`.",
        )


def strangers(model: onnx.ModelProto, own: onnx.ModelProto) -> Iterator[str]:
    """Nodes, initialisers and settings of a sound ``model`` that a fresh export, ``own``, does not have, by name."""
    if list(model.functions) != list(own.functions) or list(model.opset_import) != list(own.opset_import):
        yield "the Requant function or the version of the operators"
    known = {tensor.name: tensor for tensor in own.graph.initializer}
    for tensor in model.graph.initializer:
        if tensor.name not in known or not _equal(tensor, known.pop(tensor.name)):
            yield f"the initializer {short(tensor.name, 90)}"
    values = _Values(own)
    nodes = {node.output[0]: node for node in own.graph.node}
    for node in model.graph.node:
        same = nodes.pop(node.output[0] if node.output else "", None)
        if same is None or not values.are_same(list(node.input), list(same.input)) or _rest(node) != _rest(same):
            yield f"the node {short(node.name or node.op_type, 90)}"
    if own.graph.output[0].name in nodes:
        yield "the output"


def _equal(one: onnx.TensorProto, other: onnx.TensorProto) -> bool:
    a, b = array_of(one), array_of(other)
    return a.dtype == b.dtype and np.array_equal(a, b)


def _rest(node: onnx.NodeProto) -> bytes:
    """The node without its inputs, with attributes in one order."""
    rest = onnx.NodeProto()
    rest.CopyFrom(node)
    del rest.input[:], rest.attribute[:]
    rest.attribute.extend(sorted(node.attribute, key=lambda attribute: attribute.name))
    return rest.SerializeToString(deterministic=True)


class _Values:
    """The values of a model, numbered so that those which are the same by construction have one number."""

    def __init__(self, own: onnx.ModelProto) -> None:
        inferred = shape_inference.infer_shapes(inliner.inline_local_functions(own)).graph
        shapes = {
            value.name: [axis.dim_value or axis.dim_param or None for axis in value.type.tensor_type.shape.dim]
            for value in (*inferred.input, *inferred.value_info, *inferred.output)
        }
        self._numbers: dict[str, int] = {}
        found: dict[object, int] = {}

        def number(name: str, meaning: object) -> None:
            self._numbers[name] = found.setdefault(meaning, len(found))

        for value in own.graph.input:
            number(value.name, value.name)
        for tensor in own.graph.initializer:
            array = array_of(tensor)
            number(tensor.name, (array.dtype.str, array.shape, array.tobytes()))
        for node in own.graph.node:
            (result,) = node.output
            first, last = shapes.get(node.input[0]), shapes.get(result)
            kept = node.op_type in SAME_SHAPE and first is not None and first == last and None not in first
            if kept or (node.op_type == "Concat" and len(node.input) == 1):
                self._numbers[result] = self._numbers[node.input[0]]
            else:
                settings = onnx.NodeProto(op_type=node.op_type, domain=node.domain)
                settings.attribute.extend(sorted(node.attribute, key=lambda attribute: attribute.name))
                inputs = tuple(self._numbers[name] for name in node.input)
                number(result, (settings.SerializeToString(deterministic=True), inputs))

    def are_same(self, names: list[str], others: list[str]) -> bool:
        """Whether two lists of values are, one by one."""
        return len(names) == len(others) and all(
            a == b or (a in self._numbers and self._numbers[a] == self._numbers.get(b))
            for a, b in zip(names, others, strict=True)
        )
