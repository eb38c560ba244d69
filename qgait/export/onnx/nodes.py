"""The ONNX nodes of each operator: int8 codes in, int8 codes out, standard integer operators and ``qgait.Requant``.

Inside the file maps are [values, C, H, W] and parts [values, P, C]; a tensor of a clip has one value.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, numpy_helper

from qgait.export.graph import (
    Add,
    Concat,
    Conv2d,
    FrameMax,
    FrameWindow,
    MaxPool2d,
    Multiply,
    Op,
    PartLinear,
    PowerPool,
    RowSlice,
    StripPool,
    Table,
    Tensor,
    WindowMax,
    WindowPool,
)
from qgait.export.onnx.names import INPUT, initializer_name, value_name
from qgait.export.onnx.node_list import NodeList
from qgait.export.onnx.windows import frame_window, repeated_frames, window_max, window_pool


def add_input(nodes: NodeList) -> None:
    """Pixels uint8 [frames, H, W] to codes int8 [values, 1, H, W]: the pixel minus 128."""
    pixels = nodes.node("Cast", [repeated_frames(nodes, INPUT)], f"{INPUT}/int32", to=TensorProto.INT32)
    centred = nodes.node("Sub", [pixels, nodes.constant(128)], f"{INPUT}/centred")
    codes = nodes.node("Cast", [centred], f"{INPUT}/int8", to=TensorProto.INT8)
    axis = nodes.constant([1], np.int64)
    source = nodes.graph.input
    nodes.node("Unsqueeze", [codes, axis], value_name(nodes.graph, source), layer=source)


def add_operator(nodes: NodeList, op: Op) -> None:
    """Appends the nodes of one operator."""
    sources = [nodes.graph.tensors[name] for name in op.inputs]
    inputs = [value_name(nodes.graph, name) for name in op.inputs]
    is_map = len(sources[0].shape) == 3
    nodes.arrays(op)
    match op:
        case Conv2d():
            _conv2d(nodes, op, inputs[0], sources[0])
        case Table():
            index = _index(nodes, op, inputs[0])
            nodes.layer("Gather", op, [initializer_name(op.name, "table"), index], axis=0)
        case MaxPool2d():
            kernel = [op.kernel, op.kernel]
            nodes.layer("MaxPool", op, inputs, kernel_shape=kernel, strides=kernel)
        case Add():
            _add(nodes, op, inputs, sources)
        case FrameMax():
            nodes.layer("ReduceMax", op, [*inputs, nodes.constant([0], np.int64)], keepdims=1)
        case StripPool():
            _strip_pool(nodes, op, inputs[0], sources[0])
        case PartLinear():
            _part_linear(nodes, op, inputs[0], sources[0])
        case Concat():
            nodes.layer("Concat", op, inputs, axis=2 if is_map else 1)
        case RowSlice():
            bounds = [nodes.constant([number], np.int64) for number in (op.start, op.stop, 2)]
            nodes.layer("Slice", op, [*inputs, *bounds])
        case FrameWindow():
            frame_window(nodes, op, inputs[0], sources[0])
        case WindowMax():
            window_max(nodes, op, inputs[0], sources[0])
        case WindowPool():
            window_pool(nodes, op, inputs[0], sources[0])
        case PowerPool():
            _power_pool(nodes, op, inputs[0])
        case Multiply():
            _multiply(nodes, op, inputs, sources)
        case _:
            raise TypeError(f"the ONNX writer has no {type(op).__name__}")


def _conv2d(nodes: NodeList, op: Conv2d, x: str, source: Tensor) -> None:
    product = nodes.node(
        "ConvInteger",
        [x, initializer_name(op.name, "weight"), nodes.constant(source.zero_point, np.int8)],
        f"{op.name}/product",
        layer=op.name,
        kernel_shape=list(op.weight.shape[1:3]),
        pads=list(op.padding),
        strides=list(op.stride),
    )
    nodes.requant(op, _biased(nodes, op, product))


def _add(nodes: NodeList, op: Add, inputs: list[str], sources: list[Tensor]) -> None:
    terms = []
    for side, x, source, factor in zip("ab", inputs, sources, op.factors, strict=True):
        centred = nodes.centred(f"{op.name}/{side}", x, source)
        terms.append(nodes.node("Mul", [centred, nodes.constant(factor)], f"{op.name}/{side}/scaled"))
    nodes.requant(op, nodes.node("Add", terms, f"{op.name}/acc", layer=op.name))


def _multiply(nodes: NodeList, op: Multiply, inputs: list[str], sources: list[Tensor]) -> None:
    a, b = (
        nodes.centred(f"{op.name}/{side}", x, source) for side, x, source in zip("ab", inputs, sources, strict=True)
    )
    if len(sources[1].shape) < len(sources[0].shape):  # one number a channel, [n, 1, C], beside a map [n, C, H, W]
        channels = nodes.node("Transpose", [b], f"{op.name}/b/channels", perm=[0, 2, 1])
        b = nodes.node("Unsqueeze", [channels, nodes.constant([3], np.int64)], f"{op.name}/b/pixels")
    nodes.requant(op, nodes.node("Mul", [a, b], f"{op.name}/acc", layer=op.name))


def _strip_pool(nodes: NodeList, op: StripPool, x: str, source: Tensor) -> None:
    height, width, _ = source.shape
    centred = nodes.centred(op.name, x, source)
    axis = nodes.constant([3], np.int64)
    parts = []
    for bins in op.bins:
        prefix = f"{op.name}/{bins}"
        shape = nodes.constant([0, 0, bins, -1], np.int64)
        strips = nodes.node("Reshape", [centred, shape], f"{prefix}/strips")  # [n, C, bins, H * W / bins]
        acc = nodes.node("ReduceSum", [strips, axis], f"{prefix}/sum", keepdims=0)
        if op.kind == "mean_max":
            largest = nodes.node("ReduceMax", [strips, axis], f"{prefix}/max", keepdims=0)
            count = nodes.constant(height * width // bins)
            weighted = nodes.node("Mul", [largest, count], f"{prefix}/weighted")
            acc = nodes.node("Add", [acc, weighted], f"{prefix}/acc")
        parts.append(acc)
    joined = nodes.node("Concat", parts, f"{op.name}/channels_first", axis=2)
    nodes.requant(op, nodes.node("Transpose", [joined], f"{op.name}/acc", perm=[0, 2, 1], layer=op.name))


def _power_pool(nodes: NodeList, op: PowerPool, x: str) -> None:
    """Powers by one Gather, and one more code for every threshold that the sum reaches; powers and sums in int64."""
    region = np.repeat(np.arange(len(op.rows), dtype=np.int32) * 256, op.rows).reshape(-1, 1)  # [H, 1]
    nodes.initializers.append(numpy_helper.from_array(region, f"{op.name}/region"))
    index = nodes.node("Add", [_index(nodes, op, x), f"{op.name}/region"], f"{op.name}/entry")
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
    return nodes.node("Concat", sums, f"{op.name}/channels_first", axis=2)


def _part_linear(nodes: NodeList, op: PartLinear, x: str, source: Tensor) -> None:
    axis = nodes.constant([2], np.int64)
    rows = nodes.node("Unsqueeze", [x, axis], f"{op.name}/rows")  # [n, P, 1, I]
    product = nodes.node(
        "MatMulInteger",
        [rows, initializer_name(op.name, "weight"), nodes.constant(source.zero_point, np.int8)],
        f"{op.name}/products",
        layer=op.name,
    )
    nodes.requant(op, _biased(nodes, op, nodes.node("Squeeze", [product, axis], f"{op.name}/product")))


def _biased(nodes: NodeList, op: Op, product: str) -> str:
    return nodes.node("Add", [product, initializer_name(op.name, "bias")], f"{op.name}/acc")


def _index(nodes: NodeList, op: Op, x: str) -> str:
    """``code + 128``, int32: where a code stands in a table."""
    code = nodes.node("Cast", [x], f"{op.name}/code", to=TensorProto.INT32)
    return nodes.node("Add", [code, nodes.constant(128)], f"{op.name}/index")
