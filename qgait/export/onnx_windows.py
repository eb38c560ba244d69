"""The ONNX nodes of operators over neighbouring values: all act on the first axis, which is time, of any length."""

from __future__ import annotations

import numpy as np

from qgait.export.graph import FrameWindow, Op, Tensor, WindowMax, WindowPool
from qgait.export.onnx_names import value_name
from qgait.export.onnx_node_list import NodeList

TO_THE_END = 2**63 - 1


def repeated_frames(nodes: NodeList, frames: str) -> str:
    """Frames [n, H, W], repeated end to end as whole copies when there are fewer than ``min_frames``."""
    needed = nodes.graph.min_frames
    if needed == 1:
        return frames
    first, one = nodes.constant(0, np.int64), nodes.constant(1, np.int64)
    count = nodes.node("Gather", [nodes.node("Shape", [frames], f"{frames}/shape"), first], f"{frames}/count")
    # ceil(needed / count) copies, which is one copy of a clip that is long enough
    raised = nodes.node("Add", [count, nodes.constant(needed - 1, np.int64)], f"{frames}/raised")
    copies = nodes.node("Div", [raised, count], f"{frames}/copies")
    total = nodes.node("Mul", [copies, count], f"{frames}/total")
    steps = nodes.node("Range", [first, total, one], f"{frames}/steps")
    index = nodes.node("Mod", [steps, count], f"{frames}/index")
    return nodes.node("Gather", [frames, index], f"{frames}/repeated", axis=0)


def frame_window(nodes: NodeList, op: FrameWindow, x: str, source: Tensor) -> None:
    """[n, C, H, W] -> [m, size * C, H, W], [n, P, C] -> [m, P, size * C]."""
    missing = nodes.constant(source.zero_point, np.int8)
    parts = _neighbours(nodes, op, x, missing, len(source.shape) + 1, op.size, op.stride, op.padding)
    nodes.layer("Concat", op, parts, axis=1 if len(source.shape) == 3 else 2)


def window_max(nodes: NodeList, op: WindowMax, x: str, source: Tensor) -> None:
    """[n, ...] -> [m, ...]."""
    _maximum(nodes, op, x, source, op.size, op.stride, op.padding, value_name(nodes.graph, op.output))


def window_pool(nodes: NodeList, op: WindowPool, x: str, source: Tensor) -> None:
    """[n, ...] -> [n, ...]: the sum of ``code - zero_point``, where a missing one is 0, and size times the maximum."""
    half = (op.size - 1) // 2
    centred = nodes.centred(f"{op.name}/code", x, source)
    first, *rest = _neighbours(nodes, op, centred, nodes.constant(0), len(source.shape) + 1, op.size, 1, half)
    total = first
    for i, term in enumerate(rest):
        total = nodes.node("Add", [total, term], f"{op.name}/sum{i}")
    largest = _maximum(nodes, op, x, source, op.size, 1, half, f"{op.name}/max")
    largest = nodes.centred(f"{op.name}/max", largest, source)
    weighted = nodes.node("Mul", [largest, nodes.constant(op.size)], f"{op.name}/weighted")
    nodes.requant(op, nodes.node("Add", [total, weighted], f"{op.name}/acc", layer=op.name))


def _neighbours(
    nodes: NodeList, op: Op, x: str, missing: str, rank: int, size: int, stride: int, padding: int
) -> list[str]:
    """The values that every window sees, oldest first: ``size`` series of one length."""
    if padding:
        amounts = nodes.constant([padding, *[0] * (rank - 1), padding, *[0] * (rank - 1)], np.int64)
        x = nodes.node("Pad", [x, amounts, missing], f"{op.name}/padded", mode="constant")
    axis, step = nodes.constant([0], np.int64), nodes.constant([stride], np.int64)
    parts = []
    for i in range(size):
        end = i + 1 - size if i + 1 < size else TO_THE_END
        bounds = [nodes.constant([i], np.int64), nodes.constant([end], np.int64), axis, step]
        parts.append(nodes.node("Slice", [x, *bounds], f"{op.name}/value{i}"))
    return parts


def _maximum(nodes: NodeList, op: Op, x: str, source: Tensor, size: int, stride: int, padding: int, output: str) -> str:
    """A MaxPool over an image with one row a value; it leaves out what lies beyond the edge."""
    rows = nodes.node("Reshape", [x, nodes.constant([1, 1, -1, source.size], np.int64)], f"{op.name}/rows")
    pooled = nodes.node(
        "MaxPool",
        [rows],
        f"{op.name}/pooled",
        layer=op.name if isinstance(op, WindowMax) else "",
        kernel_shape=[size, 1],
        strides=[stride, 1],
        pads=[padding, 0, padding, 0],
    )
    shape = source.shape if len(source.shape) == 2 else (source.shape[2], *source.shape[:2])
    return nodes.node("Reshape", [pooled, nodes.constant([-1, *shape], np.int64)], output, layer=f"{op.name}/values")
