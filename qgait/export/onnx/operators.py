"""The ONNX nodes of each operator: int8 codes in, int8 codes out, standard integer operators and ``qgait.Requant``.

Inside the file maps are [values, C, H, W] and parts [values, P, C]; a tensor of a clip has one value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from qgait.export.onnx.arrays import AS_IN_THE_GRAPH, Change, Layout
from qgait.export.onnx.names import initializer_name
from qgait.export.onnx.node_list import NodeList
from qgait.export.onnx.pooling import POWERS, max_pool2d, power_pool, strip_pool
from qgait.export.onnx.windows import frame_window, window_max, window_pool
from qgait.export.operators import (
    Add,
    Concat,
    Conv2d,
    Convolution,
    DepthwiseConv2d,
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
from qgait.export.operators.back_end import BackEnd

PER_CHANNEL = ("bias", "multiplier", "shift")  # [O] in the graph, [O, 1, 1] beside maps [n, O, H, W]
STORED: dict[str, Change] = dict.fromkeys(PER_CHANNEL, lambda array: array.reshape(-1, 1, 1))
LOADED: dict[str, Change] = dict.fromkeys(PER_CHANNEL, lambda array: array.reshape(-1))
FORMS: dict[str, tuple[int, ...]] = dict.fromkeys(PER_CHANNEL, (0, 1, 1))
KERNELS = Layout(
    STORED | {"weight": lambda weight: np.ascontiguousarray(weight.transpose(0, 3, 1, 2))},
    LOADED | {"weight": lambda weight: np.ascontiguousarray(weight.transpose(0, 2, 3, 1))},
    FORMS | {"weight": (0, 0, 0, 0)},
)
DEPTHWISE_KERNELS = Layout(  # [C, 1, KH, KW]
    STORED | {"weight": lambda weight: np.ascontiguousarray(weight.transpose(2, 0, 1)[:, np.newaxis])},
    LOADED | {"weight": lambda weight: np.ascontiguousarray(weight[:, 0].transpose(1, 2, 0))},
    FORMS | {"weight": (0, 1, 0, 0)},
)
MATRICES = Layout(forms={"weight": (0, 0, 0)})


def _convolution(nodes: NodeList, op: Convolution, inputs: list[str], sources: list[Tensor]) -> None:
    product = nodes.node(
        "ConvInteger",
        [*inputs, initializer_name(op.name, "weight"), nodes.constant(sources[0].zero_point, np.int8)],
        f"{op.name}/product",
        layer=op.name,
        kernel_shape=list(op.kernel),
        pads=list(op.padding),
        strides=list(op.stride),
        **({"group": len(op.bias)} if isinstance(op, DepthwiseConv2d) else {}),
    )
    nodes.requant(op, _biased(nodes, op, product))


def _part_linear(nodes: NodeList, op: PartLinear, inputs: list[str], sources: list[Tensor]) -> None:
    axis = nodes.constant([2], np.int64)
    rows = nodes.node("Unsqueeze", [*inputs, axis], f"{op.name}/rows")  # [n, P, 1, I]
    product = nodes.node(
        "MatMulInteger",
        [rows, initializer_name(op.name, "weight"), nodes.constant(sources[0].zero_point, np.int8)],
        f"{op.name}/products",
        layer=op.name,
    )
    nodes.requant(op, _biased(nodes, op, nodes.node("Squeeze", [product, axis], f"{op.name}/product")))


def _biased(nodes: NodeList, op: Op, product: str) -> str:
    return nodes.node("Add", [product, initializer_name(op.name, "bias")], f"{op.name}/acc")


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


def _table(nodes: NodeList, op: Table, inputs: list[str], sources: list[Tensor]) -> None:
    nodes.layer("Gather", op, [initializer_name(op.name, "table"), nodes.index(op, inputs[0])], axis=0)


def _frame_max(nodes: NodeList, op: FrameMax, inputs: list[str], sources: list[Tensor]) -> None:
    nodes.layer("ReduceMax", op, [*inputs, nodes.constant([0], np.int64)], keepdims=1)


def _concat(nodes: NodeList, op: Concat, inputs: list[str], sources: list[Tensor]) -> None:
    nodes.layer("Concat", op, inputs, axis=2 if len(sources[0].shape) == 3 else 1)


def _row_slice(nodes: NodeList, op: RowSlice, inputs: list[str], sources: list[Tensor]) -> None:
    bounds = [nodes.constant([number], np.int64) for number in (op.start, op.stop, 2)]
    nodes.layer("Slice", op, [*inputs, *bounds])


@dataclass(frozen=True)
class OnnxForm:
    """``add(nodes, op, inputs, sources)`` appends the nodes of an operator; ``layout`` is that of its arrays."""

    add: Callable[..., None]
    layout: Layout = AS_IN_THE_GRAPH


ONNX: BackEnd[OnnxForm] = BackEnd(
    "ONNX",
    {
        Conv2d: OnnxForm(_convolution, KERNELS),
        DepthwiseConv2d: OnnxForm(_convolution, DEPTHWISE_KERNELS),
        PartLinear: OnnxForm(_part_linear, MATRICES),
        Add: OnnxForm(_add),
        Multiply: OnnxForm(_multiply),
        Table: OnnxForm(_table),
        MaxPool2d: OnnxForm(max_pool2d),
        StripPool: OnnxForm(strip_pool),
        PowerPool: OnnxForm(power_pool, POWERS),
        FrameMax: OnnxForm(_frame_max),
        FrameWindow: OnnxForm(frame_window),
        WindowMax: OnnxForm(window_max),
        WindowPool: OnnxForm(window_pool),
        Concat: OnnxForm(_concat),
        RowSlice: OnnxForm(_row_slice),
    },
)
