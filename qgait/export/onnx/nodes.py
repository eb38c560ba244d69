"""The nodes of a whole graph: silhouettes to codes, then operator by operator."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from qgait.export.onnx.names import INPUT, value_name
from qgait.export.onnx.node_list import NodeList
from qgait.export.onnx.operators import ONNX
from qgait.export.onnx.windows import repeated_frames
from qgait.export.operators import Op


def add_input(nodes: NodeList) -> None:
    """Pixels uint8 [frames, H, W] to codes int8 [values, 1, H, W]: the pixel minus 128."""
    pixels = nodes.node("Cast", [repeated_frames(nodes, INPUT)], f"{INPUT}/int32", to=TensorProto.INT32)
    centred = nodes.node("Sub", [pixels, nodes.constant(128)], f"{INPUT}/centred")
    codes = nodes.node("Cast", [centred], f"{INPUT}/int8", to=TensorProto.INT8)
    axis = nodes.constant([1], np.int64)
    source = nodes.graph.input
    nodes.node("Unsqueeze", [codes, axis], value_name(nodes.graph, source), layer=source)


def add_operator(nodes: NodeList, op: Op) -> None:
    """Appends the nodes of one operator, and stores its arrays."""
    form = ONNX[op]
    nodes.arrays(op, form.layout)
    inputs = [value_name(nodes.graph, name) for name in op.inputs]
    form.add(nodes, op, inputs, op.sources(nodes.graph.tensors))
