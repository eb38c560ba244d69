"""The smallest and largest accumulator that any input can cause, exactly, output by output.

A code runs from ``lo`` to ``hi`` of its tensor, so one product ``weight * (code - zero_point)`` runs between its two
ends and the bounds add up. Integer rule: |acc| < 2**(s - 1) for the rounding to be defined, |acc| < 2**28 for float64
to be exact.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qgait.export.graph import Add, Conv2d, Graph, Multiply, Op, PartLinear, PowerPool, StripPool, Tensor, WindowPool

Range = tuple[NDArray[np.int64], NDArray[np.int64]]


def accumulator_range(graph: Graph, op: Op) -> Range | None:
    """(smallest, largest) in the shape of the operator's multiplier; None for operators that do not accumulate.

    A PowerPool has no multiplier; its bounds are [R, 1], Python's integers: they may be beyond int64.
    """
    sources = [graph.tensors[name] for name in op.inputs]
    match op:
        case Conv2d():
            return _products(op.weight, op.bias, sources[0], lambda x: x.sum(axis=(1, 2, 3), dtype=np.int64))
        case PartLinear():
            return _products(op.weight, op.bias, sources[0], lambda x: x.sum(axis=1, dtype=np.int64))
        case Add():
            low, high = _centred(sources[0]) * op.factors[0] + _centred(sources[1]) * op.factors[1]
            return low.reshape(1), high.reshape(1)
        case StripPool():
            height, width, _ = sources[0].shape
            count = np.repeat([height * width // bins for bins in op.bins], op.bins)[:, np.newaxis].astype(np.int64)
            weight = count if op.kind == "mean" else 2 * count
            low, high = _centred(sources[0])
            return weight * low, weight * high
        case WindowPool():
            low, high = _centred(sources[0])
            weight = np.full(_per_part(sources[0]), 2 * op.size, np.int64)
            return weight * low, weight * high
        case Multiply():
            corners = np.multiply.outer(_centred(sources[0]), _centred(sources[1]))
            shape = _per_part(sources[0])
            return np.full(shape, corners.min()), np.full(shape, corners.max())
        case PowerPool():
            source = sources[0]
            count = np.array(op.rows, object)[:, np.newaxis] * source.shape[1]
            reached = op.powers[:, source.lo + 128 : source.hi + 129]
            return count * reached.min(axis=1, keepdims=True), count * reached.max(axis=1, keepdims=True)
    return None


def raw_magnitude(op: Conv2d | PartLinear) -> int:
    """The largest |bias| + sum(|weight| * 128): what a runtime that accumulates raw codes may reach on its way."""
    axes = (1, 2, 3) if isinstance(op, Conv2d) else 1
    products = 128 * np.abs(op.weight.astype(np.int64)).sum(axis=axes)
    return int((products + np.abs(op.bias.astype(np.int64))).max())


def _centred(tensor: Tensor) -> NDArray[np.int64]:
    """The smallest and the largest ``code - zero_point``."""
    return np.array([tensor.lo - tensor.zero_point, tensor.hi - tensor.zero_point], np.int64)


def _per_part(tensor: Tensor) -> tuple[int, ...]:
    """The shape of a multiplier that all pixels of a map, or all channels of a part, have in common."""
    return (1,) if len(tensor.shape) == 3 else (tensor.shape[0], 1)


def _products(
    weight: NDArray[np.int8],
    bias: NDArray[np.int32],
    source: Tensor,
    total: Callable[[NDArray[np.integer]], NDArray[np.int64]],
) -> Range:
    """Bounds of ``bias + sum(weight * code)``. A padded code is the zero point, which lies between lo and hi."""
    positive, negative = total(np.maximum(weight, 0)), total(np.minimum(weight, 0))
    return bias + positive * source.lo + negative * source.hi, bias + positive * source.hi + negative * source.lo
