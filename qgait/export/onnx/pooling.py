"""The ONNX nodes of operators that make one code of many pixels."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, numpy_helper

from qgait.export.onnx.arrays import Layout
from qgait.export.onnx.names import initializer_name, value_name
from qgait.export.onnx.node_list import NodeList
from qgait.export.operators import MaxPool2d, PowerPool, StripPool, Tensor

# powers [R * 256], thresholds [R, 1, T]; files of format 2 have them in int32
POWERS = Layout(
    {"powers": lambda table: table.reshape(-1), "thresholds": lambda table: table[:, np.newaxis]},
    {
        "powers": lambda table: table.astype(np.int64).reshape((-1, 256) if table.size % 256 == 0 else (1, -1)),
        "thresholds": lambda table: table.astype(np.int64)[:, 0],
    },
    {"powers": (0,), "thresholds": (0, 1, 0)},
)


def max_pool2d(nodes: NodeList, op: MaxPool2d, inputs: list[str], sources: list[Tensor]) -> None:
    """[n, C, H, W] -> [n, C, H // k, W // k]."""
    kernel = [op.kernel, op.kernel]
    nodes.layer("MaxPool", op, inputs, kernel_shape=kernel, strides=kernel)


def strip_pool(nodes: NodeList, op: StripPool, inputs: list[str], sources: list[Tensor]) -> None:
    (x,), (source,) = inputs, sources
    height, width, _ = source.shape
    centred = nodes.centred(op.name, x, source)
    axis = nodes.constant([3], np.int64)
    parts = []
    for bins in op.bins:
        prefix = f"{op.name}/{bins}"
        strips = centred  # [n, C, bins, H * W / bins], as it is where a strip is a row
        if bins != height:
            shape = nodes.constant([0, 0, bins, -1], np.int64)
            strips = nodes.node("Reshape", [centred, shape], f"{prefix}/strips")
        acc = nodes.node("ReduceSum", [strips, axis], f"{prefix}/sum", keepdims=0)
        if op.kind == "mean_max":
            largest = nodes.node("ReduceMax", [strips, axis], f"{prefix}/max", keepdims=0)
            count = nodes.constant(height * width // bins)
            weighted = nodes.node("Mul", [largest, count], f"{prefix}/weighted")
            acc = nodes.node("Add", [acc, weighted], f"{prefix}/acc")
        parts.append(acc)
    joined = nodes.joined(parts, f"{op.name}/channels_first", axis=2)
    nodes.requant(op, nodes.node("Transpose", [joined], f"{op.name}/acc", perm=[0, 2, 1], layer=op.name))


def power_pool(nodes: NodeList, op: PowerPool, inputs: list[str], sources: list[Tensor]) -> None:
    """Powers by one Gather, and one more code for every threshold that the sum reaches; powers and sums in int64."""
    region = np.repeat(np.arange(len(op.rows), dtype=np.int32) * 256, op.rows).reshape(-1, 1)  # [H, 1]
    nodes.initializers.append(numpy_helper.from_array(region, f"{op.name}/region"))
    index = nodes.node("Add", [nodes.index(op, inputs[0]), f"{op.name}/region"], f"{op.name}/entry")
    powers = nodes.node("Gather", [initializer_name(op.name, "powers"), index], f"{op.name}/powers", axis=0)
    row = nodes.node("ReduceSum", [powers, nodes.constant([3], np.int64)], f"{op.name}/rows", keepdims=0)  # [n, C, H]
    acc = row if max(op.rows) == 1 else _region_sums(nodes, op, row)
    parts = nodes.node("Transpose", [acc], f"{op.name}/acc", perm=[0, 2, 1], layer=op.name)
    axis = nodes.constant([3], np.int64)
    column = nodes.node("Unsqueeze", [parts, axis], f"{op.name}/column")  # [n, R, C, 1]
    is_reached = nodes.node("LessOrEqual", [initializer_name(op.name, "thresholds"), column], f"{op.name}/is_reached")
    reached = nodes.node("Cast", [is_reached], f"{op.name}/reached", to=TensorProto.INT32)
    count = nodes.node("ReduceSum", [reached, axis], f"{op.name}/count", keepdims=0)
    code = nodes.node("Add", [count, nodes.constant(nodes.graph.tensors[op.output].lo)], f"{op.name}/int32")
    nodes.node("Cast", [code], value_name(nodes.graph, op.output), layer=f"{op.name}/codes", to=TensorProto.INT8)


def _region_sums(nodes: NodeList, op: PowerPool, row: str) -> str:
    """[n, C, H] -> [n, C, R]."""
    axis = nodes.constant([2], np.int64)
    sums, start = [], 0
    for number, height in enumerate(op.rows):
        bounds = [nodes.constant([start], np.int64), nodes.constant([start + height], np.int64), axis]
        part = nodes.node("Slice", [row, *bounds], f"{op.name}/region{number}")
        sums.append(nodes.node("ReduceSum", [part, axis], f"{op.name}/sum{number}", keepdims=1))
        start += height
    return nodes.joined(sums, f"{op.name}/channels_first", axis=2)
