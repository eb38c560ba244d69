"""The ONNX nodes of operators over neighbouring values: all act on the first axis, which is time, of any length."""

from __future__ import annotations

import numpy as np

from qgait.export.onnx.node_list import NodeList
from qgait.export.operators import FrameWindow, Tensor, WindowMax, WindowPool

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


def frame_window(nodes: NodeList, op: FrameWindow, inputs: list[str], sources: list[Tensor]) -> None:
    """[n, C, H, W] -> [m, size * C, H, W], [n, P, C] -> [m, P, size * C]."""
    (x,), (source,) = inputs, sources
    missing = nodes.constant(source.zero_point, np.int8)
    values = _neighbours(nodes, f"{op.name}/code", x, source, missing, op.window)
    nodes.layer("Concat", op, values, axis=1 if len(source.shape) == 3 else 2)


def window_max(nodes: NodeList, op: WindowMax, inputs: list[str], sources: list[Tensor]) -> None:
    """[n, ...] -> [m, ...]."""
    stacked = _stacked(nodes, op.name, inputs[0], sources[0], op.window)
    nodes.layer("ReduceMax", op, [stacked, nodes.constant([1], np.int64)], keepdims=0)


def window_pool(nodes: NodeList, op: WindowPool, inputs: list[str], sources: list[Tensor]) -> None:
    """[n, ...] -> [n, ...]: the sum of ``code - zero_point``, where a missing one is 0, and size times the maximum."""
    (x,), (source,) = inputs, sources
    centred = nodes.centred(op.name, x, source)
    total, *rest = _neighbours(nodes, f"{op.name}/term", centred, source, nodes.constant(0), op.window)
    for i, term in enumerate(rest):
        total = nodes.node("Add", [total, term], f"{op.name}/sum{i}")
    stacked = _stacked(nodes, op.name, x, source, op.window)
    largest = nodes.node("ReduceMax", [stacked, nodes.constant([1], np.int64)], f"{op.name}/max", keepdims=0)
    largest = nodes.centred(f"{op.name}/max", largest, source)
    weighted = nodes.node("Mul", [largest, nodes.constant(op.size)], f"{op.name}/weighted")
    nodes.requant(op, nodes.node("Add", [total, weighted], f"{op.name}/acc", layer=op.name))


def _stacked(nodes: NodeList, layer: str, x: str, source: Tensor, window: tuple[int, int, int]) -> str:
    """Codes [n, ...] as [m, size, ...]; no code is below -128, so a missing one never is the maximum."""
    values = _neighbours(nodes, f"{layer}/code", x, source, nodes.constant(-128, np.int8), window)
    joined = nodes.node("Concat", values, f"{layer}/joined", axis=1)
    shape = source.shape if len(source.shape) == 2 else (source.shape[2], *source.shape[:2])
    return nodes.node("Reshape", [joined, nodes.constant([0, window[0], *shape], np.int64)], f"{layer}/stacked")


def _neighbours(
    nodes: NodeList, prefix: str, x: str, source: Tensor, missing: str, window: tuple[int, int, int]
) -> list[str]:
    """The values that every window (size, stride, padding) sees, oldest first: ``size`` series of one length."""
    size, stride, padding = window
    if padding:
        other_axes = [0] * len(source.shape)
        amounts = nodes.constant([padding, *other_axes, padding, *other_axes], np.int64)
        x = nodes.node("Pad", [x, amounts, missing], f"{prefix}/padded", mode="constant")
    axis, step = nodes.constant([0], np.int64), nodes.constant([stride], np.int64)
    values = []
    for i in range(size):
        end = i + 1 - size if i + 1 < size else TO_THE_END
        bounds = [nodes.constant([i], np.int64), nodes.constant([end], np.int64), axis, step]
        values.append(nodes.node("Slice", [x, *bounds], f"{prefix}{i}"))
    return values
